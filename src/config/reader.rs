//! Reads TOML and collects all errors: it checks each value that a section reads, reports each key that no section
//! reads, and goes on after an error, so that one run reports all of them.

use crate::config::error::{ConfigError, ConfigErrors};
use crate::text::find_similar;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A parsed file with the errors found so far.
pub struct ConfigDocument<'t> {
    root: ConfigTable<'t>,
    context: Rc<ParseContext>,
}

struct ParseContext {
    path: PathBuf,
    line_starts: Vec<usize>,
    errors: RefCell<Vec<ConfigError>>,
    settings: RefCell<Vec<EffectiveSetting>>,
    known_keys: RefCell<BTreeSet<String>>,
}

impl ParseContext {
    fn line_of(&self, at: &Range<usize>) -> usize {
        self.line_starts.partition_point(|start| *start <= at.start)
    }

    fn add_error(&self, at: &Range<usize>, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        let line = self.line_of(at);
        self.errors.borrow_mut().push(ConfigError {
            line,
            key: key.to_owned(),
            message: message.into(),
            hint: hint.into(),
        });
    }
}

impl<'t> ConfigDocument<'t> {
    /// Parses `text`. A syntax error is an error like others.
    #[must_use]
    pub fn parse(path: &Path, text: &'t str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let context = Rc::new(ParseContext {
            path: path.to_owned(),
            line_starts,
            errors: RefCell::default(),
            settings: RefCell::default(),
            known_keys: RefCell::default(),
        });
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().unwrap_or(0..0);
            context.add_error(&at, "", error.message().replace('\n', ", "), "Correct the TOML syntax of this line.");
        }
        let root =
            ConfigTable { path: String::new(), span: 0..0, entries: Some(root.into_inner()), context: context.clone() };
        Self { root, context }
    }

    /// Returns the top level of the file.
    pub fn root(&mut self) -> &mut ConfigTable<'t> {
        &mut self.root
    }

    /// Returns the value of every key that was read so far, in the order of reading.
    #[must_use]
    pub fn take_settings(&self) -> Vec<EffectiveSetting> {
        self.context.settings.take()
    }

    /// Returns all errors, ordered by line.
    #[must_use]
    pub fn into_errors(self) -> ConfigErrors {
        drop(self.root);
        let mut list = self.context.errors.take();
        list.sort_by_key(|error| error.line);
        ConfigErrors { path: self.context.path.clone(), errors: list }
    }

    /// Returns every key that a section read, for the test that keeps the documentation complete.
    #[cfg(test)]
    pub fn known_keys(&self) -> BTreeSet<String> {
        self.context.known_keys.borrow().clone()
    }
}

/// One table. An absent table returns the default for every key.
pub struct ConfigTable<'t> {
    path: String,
    span: Range<usize>,
    entries: Option<DeTable<'t>>,
    context: Rc<ParseContext>,
}

/// A value with its place in the file, so that a later check can report its line.
#[derive(Clone)]
pub struct Located<T> {
    pub value: T,
    pub span: Range<usize>,
    pub key: String,
}

impl<'t> ConfigTable<'t> {
    /// Returns whether the file has this table.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.entries.is_some()
    }

    /// Returns the line of a key that is not read yet; 0 if the key is absent.
    #[must_use]
    pub fn line_of_key(&self, key: &str) -> usize {
        let entry = self.entries.as_ref().and_then(|entries| entries.iter().find(|(name, _)| name.get_ref() == key));
        entry.map_or(0, |(name, _)| self.context.line_of(&name.span()))
    }

    /// Reports an error that concerns the whole table.
    pub fn report_error(&self, message: impl Into<String>, hint: impl Into<String>) {
        self.context.add_error(&self.span, &self.path, message, hint);
    }

    /// Reports an error that concerns a value read before.
    pub fn report_error_at<T>(&self, value: &Located<T>, message: impl Into<String>, hint: impl Into<String>) {
        self.context.add_error(&value.span, &value.key, message, hint);
    }

    /// Reads an inner table.
    #[must_use]
    pub fn read_table(&mut self, key: &str) -> Self {
        let path = self.qualified_key(key);
        let (at, entries) = match self.take_value(key) {
            Some((at, DeValue::Table(entries))) => (at, Some(entries)),
            Some((at, other)) => {
                self.report_wrong_type(&at, key, &other, &format!("a table: write [{path}]"));
                (at, None)
            }
            None => (self.span.clone(), None),
        };
        ConfigTable { path, span: at, entries, context: self.context.clone() }
    }

    /// Reads the tables of `[[key]]`.
    pub fn read_tables(&mut self, key: &str) -> Vec<Self> {
        let path = self.qualified_key(key);
        let expected = format!("a list of tables: write [[{path}]]");
        match self.take_value(key) {
            None => Vec::new(),
            Some((_, DeValue::Array(list))) => {
                let mut tables = Vec::new();
                for item in list {
                    let at = item.span();
                    match item.into_inner() {
                        DeValue::Table(entries) => {
                            let context = self.context.clone();
                            tables.push(ConfigTable { path: path.clone(), span: at, entries: Some(entries), context });
                        }
                        other => self.report_wrong_type(&at, key, &other, &expected),
                    }
                }
                tables
            }
            Some((at, other)) => {
                self.report_wrong_type(&at, key, &other, &expected);
                Vec::new()
            }
        }
    }

    /// Reads a text.
    pub fn read_text(&mut self, key: &str) -> Option<Located<String>> {
        match self.take_value(key)? {
            (at, DeValue::String(text)) => {
                Some(Located { value: text.into_owned(), span: at, key: self.qualified_key(key) })
            }
            (at, other) => {
                self.report_wrong_type(&at, key, &other, "text in quotes");
                None
            }
        }
    }

    /// Reads a list of texts; a single text is a list of one.
    pub fn read_texts(&mut self, key: &str) -> Vec<Located<String>> {
        let name = self.qualified_key(key);
        match self.take_value(key) {
            None => Vec::new(),
            Some((at, DeValue::String(text))) => vec![Located { value: text.into_owned(), span: at, key: name }],
            Some((_, DeValue::Array(list))) => {
                let mut texts = Vec::new();
                for item in list {
                    let at = item.span();
                    match item.into_inner() {
                        DeValue::String(text) => {
                            texts.push(Located { value: text.into_owned(), span: at, key: name.clone() });
                        }
                        other => self.report_wrong_type(&at, key, &other, "a list of texts in quotes"),
                    }
                }
                texts
            }
            Some((at, other)) => {
                self.report_wrong_type(&at, key, &other, "a list of texts in quotes");
                Vec::new()
            }
        }
    }

    /// Reads a text and parses it as `T`, or returns the default.
    pub fn read_parsed<T: std::str::FromStr + Display>(&mut self, key: &str, default: T, example: &str) -> T {
        let Some(text) = self.read_text(key) else {
            self.record_default(key, default.to_string());
            return default;
        };
        text.value.parse().unwrap_or_else(|_| {
            self.report_error_at(
                &text,
                format!("{:?} is not valid", text.value),
                format!("Write it like {example:?}."),
            );
            default
        })
    }

    /// Reads a whole number in a range, or returns the default.
    pub fn read_number(&mut self, key: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let (at, found) = match self.take_value(key) {
            None => {
                self.record_default(key, default.to_string());
                return default;
            }
            Some((at, DeValue::Integer(number))) => {
                let digits = number.as_str().replace('_', "");
                (at, digits.parse::<u64>().ok())
            }
            Some((at, other)) => {
                self.report_wrong_type(&at, key, &other, "a whole number");
                return default;
            }
        };
        match found {
            Some(number) if range.contains(&number) => number,
            _ => {
                let (low, high) = range.into_inner();
                let hint = format!("Set it to a whole number from {low} to {high}; the default is {default}.");
                self.context.add_error(&at, &self.qualified_key(key), "is out of range", hint);
                default
            }
        }
    }

    /// Reads a duration such as "15s", "10m", "6h", in a range, or returns the default.
    pub fn read_duration(&mut self, key: &str, default: Duration, range: RangeInclusive<Duration>) -> Duration {
        let Some(text) = self.read_text(key) else {
            self.record_default(key, format_duration(default));
            return default;
        };
        let hint = |range: &RangeInclusive<Duration>| {
            let [low, high, default] = [*range.start(), *range.end(), default].map(format_duration);
            format!("Write a time from \"{low}\" to \"{high}\", such as \"{default}\".")
        };
        match parse_duration(&text.value) {
            Some(duration) if range.contains(&duration) => duration,
            Some(_) => {
                self.report_error_at(&text, "is out of range", hint(&range));
                default
            }
            None => {
                self.report_error_at(&text, format!("{:?} is not a duration", text.value), hint(&range));
                default
            }
        }
    }

    /// Reads true or false, or returns the default.
    pub fn read_bool(&mut self, key: &str, default: bool) -> bool {
        match self.take_value(key) {
            None => {
                self.record_default(key, default.to_string());
                default
            }
            Some((_, DeValue::Boolean(flag))) => flag,
            Some((at, other)) => {
                self.report_wrong_type(&at, key, &other, "true or false");
                default
            }
        }
    }

    /// Returns whether the table has a key that is not read yet.
    #[must_use]
    pub fn has_key(&self, key: &str) -> bool {
        self.line_of_key(key) > 0
    }

    /// Skips the keys that are not read yet, after an error that makes their meaning unknown.
    pub fn skip_unread_keys(&mut self) {
        self.entries = None;
    }

    /// Reports every key that no section read. Call it after the last read.
    pub fn finish(mut self) {
        self.report_unknown_keys();
    }

    /// Does the same as [`ConfigTable::finish`] for a borrowed table.
    pub fn report_unknown_keys(&mut self) {
        for (key, _) in self.entries.take().unwrap_or_default() {
            let name = self.qualified_key(key.get_ref());
            let known = self.context.known_keys.borrow();
            let siblings = known
                .iter()
                .map(String::as_str)
                .filter(|other| other.rsplit_once('.').map_or("", |(table, _)| table) == self.path);
            let hint = match find_similar(&name, siblings) {
                Some(other) => format!("Did you mean {other}?"),
                None => "Remove it; /usr/share/doc/novex-ingest/config.toml lists every key.".to_owned(),
            };
            self.context.add_error(&key.span(), &name, "is not a known key", hint);
        }
    }

    fn take_value(&mut self, key: &str) -> Option<(Range<usize>, DeValue<'t>)> {
        let name = self.qualified_key(key);
        self.context.known_keys.borrow_mut().insert(name);
        let value: Spanned<DeValue<'t>> = self.entries.as_mut()?.remove(key)?;
        if let Some(shown) = describe_value(key, value.get_ref()) {
            self.record_setting(key, shown, false);
        }
        Some((value.span(), value.into_inner()))
    }

    fn record_default(&self, key: &str, value: String) {
        self.record_setting(key, value, true);
    }

    fn record_setting(&self, key: &str, value: String, is_default: bool) {
        let key = self.qualified_key(key);
        self.context.settings.borrow_mut().push(EffectiveSetting { key, value, is_default });
    }

    fn report_wrong_type(&self, at: &Range<usize>, key: &str, found: &DeValue<'_>, expected: &str) {
        // The message names the type of the value and never quotes it: it may be a secret in the wrong place.
        let message = format!("is {}, not {expected}", describe_type(found));
        self.context.add_error(
            at,
            &self.qualified_key(key),
            message,
            "See /usr/share/doc/novex-ingest/config.toml for an example.",
        );
    }

    fn qualified_key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// The value of a key, as it is in force. It has no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// The key with its tables: `server.listen`.
    pub key: String,
    pub value: String,
    pub is_default: bool,
}

/// Returns a value as people may see it; None for a table.
///
/// `secrets` has places of secrets, and everything else there is an error. A URL can have a token in its path, and a
/// program one in its arguments, so these are left out.
fn describe_value(key: &str, value: &DeValue<'_>) -> Option<String> {
    let show_text = |text: &str| match text.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            let is_whole = host.len() == rest.trim_end_matches('/').len();
            format!("{scheme}://{host}{}", if is_whole { "" } else { "/…" })
        }
        None if key == "secrets" && !is_secret_reference(text) => "…".to_owned(),
        None => text.to_owned(),
    };
    match value {
        DeValue::String(text) => Some(show_text(text)),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(list) => {
            let texts: Vec<String> = list.iter().filter_map(|item| describe_value(key, item.get_ref())).collect();
            match texts.first() {
                Some(program) if key == "command" && texts.len() > 1 => Some(format!("{program}, …")),
                Some(_) => Some(texts.join(", ")),
                None => None,
            }
        }
        DeValue::Table(_) => None,
    }
}

fn is_secret_reference(text: &str) -> bool {
    ["file:", "credential:", "env:"].iter().any(|kind| text.starts_with(kind))
}

fn describe_type(value: &DeValue<'_>) -> &'static str {
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

/// Parses "15s", "1h 30m", "250ms", "7d" and "0".
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    // jiff's days depend on the calendar; here a day has 24 hours.
    if let Some(days) = text.strip_suffix('d') {
        return days.parse::<u64>().ok().filter(|days| *days < 1_000_000).map(|days| Duration::from_hours(24 * days));
    }
    let duration: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(duration).ok()
}

fn format_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match () {
        () if ms.is_multiple_of(86_400_000) && ms > 86_400_000 => format!("{}d", ms / 86_400_000),
        () if ms.is_multiple_of(3_600_000) && ms > 0 => format!("{}h", ms / 3_600_000),
        () if ms.is_multiple_of(60_000) && ms > 0 => format!("{}m", ms / 60_000),
        () if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        () => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_no_secret() {
        let text = "[a]\nurl = \"https://user:pw@erp.example.com:8443/path?k=v\"\nsecrets = [\"file:x\", \"hunter2\"]\n\
                    command = [\"/bin/x\", \"--token\", \"hunter2\"]\nplain = \"https://erp.example.com/\"\n";
        let mut document = ConfigDocument::parse(Path::new("c.toml"), text);
        let mut table = document.root().read_table("a");
        for key in ["url", "plain"] {
            table.read_text(key);
        }
        for key in ["secrets", "command"] {
            table.read_texts(key);
        }
        table.read_number("count", 7, 1..=9);
        table.read_duration("time", Duration::from_secs(90), Duration::ZERO..=Duration::MAX);
        table.finish();
        let shown: Vec<String> = document
            .take_settings()
            .into_iter()
            .map(|setting| format!("{} {} {}", setting.key, setting.value, setting.is_default))
            .collect();
        let expected = [
            "a.url https://erp.example.com:8443/… false",
            "a.plain https://erp.example.com false",
            "a.secrets file:x, … false",
            "a.command /bin/x, … false",
            "a.count 7 true",
            "a.time 90s true",
        ];
        assert_eq!(shown, expected);
    }
}
