//! TOML with a memory: every value asked for is checked, every key not asked for is a mistake, and reading goes on after
//! each, so that one run shows all of them.

use super::mistake::{Mistake, Mistakes};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A parsed file, with the mistakes found so far.
pub struct Document<'t> {
    root: Table<'t>,
    notes: Rc<Notes>,
}

struct Notes {
    path: PathBuf,
    line_starts: Vec<usize>,
    mistakes: RefCell<Vec<Mistake>>,
    known: RefCell<BTreeSet<String>>,
}

impl Notes {
    fn line(&self, at: &Range<usize>) -> usize {
        self.line_starts.partition_point(|start| *start <= at.start)
    }

    fn add(&self, at: &Range<usize>, key: &str, problem: impl Into<String>, mend: impl Into<String>) {
        let line = self.line(at);
        self.mistakes.borrow_mut().push(Mistake {
            line,
            key: key.to_owned(),
            problem: problem.into(),
            mend: mend.into(),
        });
    }
}

impl<'t> Document<'t> {
    /// Parses `text`; what is not TOML is a mistake like others.
    #[must_use]
    pub fn parse(path: &Path, text: &'t str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let notes = Rc::new(Notes {
            path: path.to_owned(),
            line_starts,
            mistakes: RefCell::default(),
            known: RefCell::default(),
        });
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().unwrap_or(0..0);
            notes.add(&at, "", error.message().replace('\n', ", "), "Mend the line so that it is TOML.");
        }
        let root = Table { path: String::new(), at: 0..0, entries: Some(root.into_inner()), notes: notes.clone() };
        Self { root, notes }
    }

    /// The file's top level.
    pub fn root(&mut self) -> &mut Table<'t> {
        &mut self.root
    }

    /// Ends the reading: all mistakes, in the order of their lines.
    #[must_use]
    pub fn finish(self) -> Mistakes {
        drop(self.root);
        let mut list = self.notes.mistakes.take();
        list.sort_by_key(|mistake| mistake.line);
        Mistakes { path: self.notes.path.clone(), list }
    }

    /// Every key that was asked for, for the test that keeps the documentation complete.
    #[cfg(test)]
    pub fn known_keys(&self) -> BTreeSet<String> {
        self.notes.known.borrow().clone()
    }
}

/// One table; an absent one answers every question with the default.
pub struct Table<'t> {
    path: String,
    at: Range<usize>,
    entries: Option<DeTable<'t>>,
    notes: Rc<Notes>,
}

/// A value with its place, so that what is found wrong with it later has a line too.
#[derive(Clone)]
pub struct At<T> {
    pub value: T,
    pub at: Range<usize>,
    pub key: String,
}

impl<'t> Table<'t> {
    /// True when the file has this table.
    #[must_use]
    pub fn present(&self) -> bool {
        self.entries.is_some()
    }

    /// The line of a key that was not asked for yet; 0 when it is not there.
    #[must_use]
    pub fn line(&self, key: &str) -> usize {
        let entry = self.entries.as_ref().and_then(|entries| entries.iter().find(|(name, _)| name.get_ref() == key));
        entry.map_or(0, |(name, _)| self.notes.line(&name.span()))
    }

    /// A mistake that concerns this table as a whole.
    pub fn mistake(&self, problem: impl Into<String>, mend: impl Into<String>) {
        self.notes.add(&self.at, &self.path, problem, mend);
    }

    /// A mistake that concerns a value read before.
    pub fn mistake_at<T>(&self, value: &At<T>, problem: impl Into<String>, mend: impl Into<String>) {
        self.notes.add(&value.at, &value.key, problem, mend);
    }

    /// A table inside.
    #[must_use]
    pub fn table(&mut self, key: &str) -> Self {
        let path = self.join(key);
        let (at, entries) = match self.take(key) {
            Some((at, DeValue::Table(entries))) => (at, Some(entries)),
            Some((at, other)) => {
                self.wrong(&at, key, &other, &format!("a table: write [{path}]"));
                (at, None)
            }
            None => (self.at.clone(), None),
        };
        Table { path, at, entries, notes: self.notes.clone() }
    }

    /// The tables of `[[key]]`.
    pub fn tables(&mut self, key: &str) -> Vec<Self> {
        let path = self.join(key);
        let mend = format!("a list of tables: write [[{path}]]");
        match self.take(key) {
            None => Vec::new(),
            Some((_, DeValue::Array(list))) => {
                let mut tables = Vec::new();
                for item in list {
                    let at = item.span();
                    match item.into_inner() {
                        DeValue::Table(entries) => {
                            let notes = self.notes.clone();
                            tables.push(Table { path: path.clone(), at, entries: Some(entries), notes });
                        }
                        other => self.wrong(&at, key, &other, &mend),
                    }
                }
                tables
            }
            Some((at, other)) => {
                self.wrong(&at, key, &other, &mend);
                Vec::new()
            }
        }
    }

    /// A text.
    pub fn text(&mut self, key: &str) -> Option<At<String>> {
        match self.take(key)? {
            (at, DeValue::String(text)) => Some(At { value: text.into_owned(), at, key: self.join(key) }),
            (at, other) => {
                self.wrong(&at, key, &other, "text in quotes");
                None
            }
        }
    }

    /// A list of texts; a single text is a list of one.
    pub fn texts(&mut self, key: &str) -> Vec<At<String>> {
        let name = self.join(key);
        match self.take(key) {
            None => Vec::new(),
            Some((at, DeValue::String(text))) => vec![At { value: text.into_owned(), at, key: name }],
            Some((_, DeValue::Array(list))) => {
                let mut texts = Vec::new();
                for item in list {
                    let at = item.span();
                    match item.into_inner() {
                        DeValue::String(text) => {
                            texts.push(At { value: text.into_owned(), at, key: name.clone() });
                        }
                        other => self.wrong(&at, key, &other, "a list of texts in quotes"),
                    }
                }
                texts
            }
            Some((at, other)) => {
                self.wrong(&at, key, &other, "a list of texts in quotes");
                Vec::new()
            }
        }
    }

    /// A text that `T` can be read from, or the default.
    pub fn parsed<T: std::str::FromStr>(&mut self, key: &str, default: T, example: &str) -> T {
        let Some(text) = self.text(key) else { return default };
        text.value.parse().unwrap_or_else(|_| {
            self.mistake_at(
                &text,
                format!("{:?} is not understood", text.value),
                format!("Write it like {example:?}."),
            );
            default
        })
    }

    /// A whole number in a range, or the default.
    pub fn number(&mut self, key: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let (at, found) = match self.take(key) {
            None => return default,
            Some((at, DeValue::Integer(number))) => {
                let digits = number.as_str().replace('_', "");
                (at, digits.parse::<u64>().ok())
            }
            Some((at, other)) => {
                self.wrong(&at, key, &other, "a whole number");
                return default;
            }
        };
        match found {
            Some(number) if range.contains(&number) => number,
            _ => {
                let (low, high) = range.into_inner();
                let mend = format!("Set it to a whole number from {low} to {high}; the default is {default}.");
                self.notes.add(&at, &self.join(key), "is out of range", mend);
                default
            }
        }
    }

    /// A duration such as "15s", "10m", "6h", in a range, or the default.
    pub fn duration(&mut self, key: &str, default: Duration, range: RangeInclusive<Duration>) -> Duration {
        let Some(text) = self.text(key) else { return default };
        let mend = |range: &RangeInclusive<Duration>| {
            let [low, high, usual] = [*range.start(), *range.end(), default].map(show);
            format!("Write a time from \"{low}\" to \"{high}\", such as \"{usual}\".")
        };
        match parse_duration(&text.value) {
            Some(duration) if range.contains(&duration) => duration,
            Some(_) => {
                self.mistake_at(&text, "is out of range", mend(&range));
                default
            }
            None => {
                self.mistake_at(&text, format!("{:?} is not a duration", text.value), mend(&range));
                default
            }
        }
    }

    /// True or false, or the default.
    pub fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.take(key) {
            None => default,
            Some((_, DeValue::Boolean(flag))) => flag,
            Some((at, other)) => {
                self.wrong(&at, key, &other, "true or false");
                default
            }
        }
    }

    /// Whether a key is there that was not asked for yet.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.line(key) > 0
    }

    /// Notes every key that nobody asked for. Called when all questions are asked.
    pub fn end(mut self) {
        self.end_here();
    }

    /// [`Table::end`] for a table that is only borrowed.
    pub fn end_here(&mut self) {
        for (key, _) in self.entries.take().unwrap_or_default() {
            let name = self.join(key.get_ref());
            let known = self.notes.known.borrow();
            let siblings = known
                .iter()
                .filter(|other| other.rsplit_once('.').map_or("", |(table, _)| table) == self.path)
                .map(|other| (strsim::jaro_winkler(other, &name), other.clone()))
                .max_by(|one, other| one.0.total_cmp(&other.0));
            let mend = match siblings {
                Some((likeness, other)) if likeness > 0.85 => format!("Did you mean {other}?"),
                _ => "Remove it; the shipped config.toml lists every key.".to_owned(),
            };
            self.notes.add(&key.span(), &name, "is not a known key", mend);
        }
    }

    fn take(&mut self, key: &str) -> Option<(Range<usize>, DeValue<'t>)> {
        let name = self.join(key);
        self.notes.known.borrow_mut().insert(name);
        let value: Spanned<DeValue<'t>> = self.entries.as_mut()?.remove(key)?;
        Some((value.span(), value.into_inner()))
    }

    fn wrong(&self, at: &Range<usize>, key: &str, found: &DeValue<'_>, expected: &str) {
        // What was found is named by its kind, never quoted: it may be a secret in the wrong place.
        let problem = format!("is {}, not {expected}", kind(found));
        self.notes.add(at, &self.join(key), problem, "Write it as the shipped config.toml shows.");
    }

    fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Reads "15s", "1h 30m", "250ms"; "0" is no time at all.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    // jiff's days are the calendar's; here they have 24 hours.
    if let Some(days) = text.strip_suffix('d') {
        return days.parse::<u64>().ok().filter(|days| *days < 1_000_000).map(|days| Duration::from_hours(24 * days));
    }
    let duration: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(duration).ok()
}

fn show(duration: Duration) -> String {
    let ms = duration.as_millis();
    match () {
        () if ms.is_multiple_of(86_400_000) && ms > 86_400_000 => format!("{}d", ms / 86_400_000),
        () if ms.is_multiple_of(3_600_000) && ms > 0 => format!("{}h", ms / 3_600_000),
        () if ms.is_multiple_of(60_000) && ms > 0 => format!("{}m", ms / 60_000),
        () if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        () => format!("{ms}ms"),
    }
}
