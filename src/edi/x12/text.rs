//! Prepares the text of an X12 file for the tokenizer: what other programs added on the way is taken out.
//!
//! Mainframes and mailboxes cut a file into records of 80 characters, put a line such as `$$ADD` before the ISA, or
//! break lines inside segments. X12 knows no line break inside a segment (X12.5, section 3: control characters other
//! than the separators are no data), so none becomes part of a value. Each removal is a warning, and the lines keep
//! their numbers.

use crate::edi::x12::tokenizer::{X12Separators, find_separators, is_filler, starts_with_isa};
use crate::text::{escape_hidden_chars, format_count};
use std::borrow::Cow;

/// Most characters of skipped text in a warning.
const SHOWN_CHARS_MAX: usize = 60;
/// Most places that look like an ISA and are checked; bounds the time.
const CANDIDATES_MAX: usize = 20_000;
/// Longest ISA with line breaks in it, in bytes.
const WRAPPED_ISA_BYTES_MAX: usize = 1_600;

/// Text of an X12 file without foreign lines, and without line breaks inside segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct X12Text<'t> {
    text: Cow<'t, str>,
    /// Offsets in `text` at which the file has one more line break, ascending.
    removed_breaks: Vec<usize>,
    /// Line and message for each removal.
    pub warnings: Vec<(usize, String)>,
}

impl<'t> X12Text<'t> {
    /// Prepares the text of a file. Text without an ISA stays as it is.
    #[must_use]
    pub fn prepare(text: &'t str) -> Self {
        let starts = find_interchange_starts(text);
        let is_clean = match starts.as_slice() {
            [] => true,
            [first] => text[..*first].chars().all(is_filler) && !has_inner_break(text, *first),
            _ => false,
        };
        if is_clean {
            return Self { text: Cow::Borrowed(text), removed_breaks: Vec::new(), warnings: Vec::new() };
        }
        let mut builder = TextBuilder::default();
        builder.skip_foreign_text(&text[..starts[0]], "before the first ISA");
        for (index, start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).copied().unwrap_or(text.len());
            builder.append_interchange(&text[*start..end]);
        }
        Self { text: Cow::Owned(builder.text), removed_breaks: builder.removed_breaks, warnings: builder.warnings }
    }

    /// Returns the prepared text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the number of removed line breaks behind the offset `from`, up to `to`.
    #[must_use]
    pub fn count_removed_breaks(&self, from: usize, to: usize) -> usize {
        self.count_breaks_until(to) - self.count_breaks_until(from)
    }

    /// Returns the number of removed line breaks up to an offset.
    #[must_use]
    pub fn count_breaks_until(&self, offset: usize) -> usize {
        self.removed_breaks.partition_point(|at| *at <= offset)
    }
}

/// Returns the offsets at which interchanges begin: an ISA whose elements have the values of one.
fn find_interchange_starts(text: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut offset = 0;
    for _ in 0..CANDIDATES_MAX {
        let Some(at) = find_isa(&text[offset..]).map(|at| offset + at) else { break };
        // The first ISA of a file may have any values: the file is X12, or nothing.
        let is_file_start = || text[..at].chars().all(is_filler) && find_separators(&text[at..]).is_some();
        if has_isa_values(&text[at..]) || is_file_start() {
            starts.push(at);
        }
        offset = at + 3;
    }
    starts
}

/// Returns the offset of the next ISA in upper or lower case, with a separator behind it.
fn find_isa(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    bytes
        .windows(3)
        .enumerate()
        .filter(|(_, window)| window.eq_ignore_ascii_case(b"ISA"))
        .map(|(at, _)| at)
        .find(|at| text.is_char_boundary(*at) && starts_with_isa(&text[*at..]))
}

/// Returns true if the elements of an ISA have values that only an ISA has: a control number, and T, P or I for the
/// kind of data. `ISA` also occurs in names.
fn has_isa_values(text: &str) -> bool {
    let head = join_isa_lines(text);
    let Some(element) = head.chars().nth(3) else { return false };
    let elements: Vec<&str> = head.split(element).take(17).collect();
    let trimmed = |position: usize| elements.get(position).map_or("", |value| value.trim());
    let is_number = !trimmed(13).is_empty() && trimmed(13).bytes().all(|byte| byte.is_ascii_digit());
    elements.len() > 16 && is_number && ["T", "P", "I"].contains(&trimmed(15).to_ascii_uppercase().as_str())
}

/// Returns the beginning of an interchange without line breaks.
fn join_isa_lines(text: &str) -> String {
    let end = (0..=WRAPPED_ISA_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].chars().filter(|letter| !matches!(letter, '\r' | '\n')).collect()
}

/// Returns the separators of an interchange that begins here. None if its segments end with line breaks: then no line
/// break can be removed.
fn find_unbroken_separators(text: &str) -> Option<X12Separators> {
    let separators = find_separators(text)?.separators;
    let joined = find_separators(&join_isa_lines(text)).map(|found| found.separators);
    let ends_with_line = |separators: &X12Separators| matches!(separators.segment, '\r' | '\n');
    match joined {
        // Without its line breaks the ISA is followed by the terminator, and not by the next segment.
        Some(joined) if !joined.segment.is_ascii_alphanumeric() && joined.segment != ' ' => Some(joined),
        _ => Some(separators).filter(|separators| !ends_with_line(separators)),
    }
}

/// Returns true if a line break is inside a segment of the interchange that begins at `start`.
fn has_inner_break(text: &str, start: usize) -> bool {
    let Some(separators) = find_unbroken_separators(&text[start..]) else { return false };
    let lines: Vec<&str> = split_lines(&text[start..]).collect();
    lines.iter().take(lines.len().saturating_sub(1)).any(|line| !ends_segment(line, separators))
}

/// Returns true if the line holds the end of a segment, or nothing.
fn ends_segment(line: &str, separators: X12Separators) -> bool {
    let line = line.trim_end_matches(|letter| is_filler(letter) && letter != separators.segment);
    line.is_empty() || line.ends_with(separators.segment)
}

/// Splits a text into lines. CR LF, LF and CR end a line.
fn split_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

#[derive(Default)]
struct TextBuilder {
    text: String,
    removed_breaks: Vec<usize>,
    warnings: Vec<(usize, String)>,
    /// Line breaks of the file so far.
    line_breaks: usize,
}

impl TextBuilder {
    /// Leaves out a text that belongs to no interchange.
    fn skip_foreign_text(&mut self, skipped: &str, place: &str) {
        let shown = skipped.trim_matches(is_filler);
        if !shown.is_empty() {
            let line = self.line_breaks + 1 + skipped[..skipped.find(shown).unwrap_or(0)].matches('\n').count();
            let start: String = escape_hidden_chars(&shown.chars().take(SHOWN_CHARS_MAX).collect::<String>());
            let dots = if shown.chars().count() > SHOWN_CHARS_MAX { "…" } else { "" };
            self.warnings.push((line, format!("the text {place} is no EDI and is skipped: {start:?}{dots}")));
        }
        let breaks = skipped.matches('\n').count();
        self.removed_breaks.extend(std::iter::repeat_n(self.text.len(), breaks));
        self.line_breaks += breaks;
    }

    /// Appends an interchange without the line breaks inside its segments, and without the text behind its IEA.
    fn append_interchange(&mut self, interchange: &str) {
        let separators = find_unbroken_separators(interchange);
        let Some(separators) = separators else {
            self.line_breaks += interchange.matches('\n').count();
            self.text.push_str(interchange);
            return;
        };
        let end = find_interchange_end(interchange, separators);
        self.append_lines(&interchange[..end], separators);
        self.skip_foreign_text(&interchange[end..], "behind an IEA");
    }

    fn append_lines(&mut self, interchange: &str, separators: X12Separators) {
        let lines: Vec<&str> = split_lines(interchange).collect();
        let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        let (mut wrapped, mut broken) = (Vec::new(), Vec::new());
        for (index, line) in lines.iter().enumerate() {
            let is_last = index + 1 == lines.len();
            let number = self.line_breaks + 1;
            if is_last || ends_segment(line, separators) {
                self.text.push_str(line);
                if !is_last {
                    self.text.push('\n');
                    self.line_breaks += 1;
                }
                continue;
            }
            // A record of fixed length ends anywhere. Another line break stands for a blank, unless a separator is
            // beside it.
            if line.chars().count() == longest {
                self.text.push_str(line);
                wrapped.push(number);
            } else {
                self.text.push_str(line.trim_end_matches([' ', '\t']));
                let next = lines[index + 1].trim_start_matches([' ', '\t']).chars().next();
                let is_separator = |letter: Option<char>| {
                    letter.is_none_or(|letter| {
                        [separators.element, separators.segment].contains(&letter)
                            || Some(letter) == separators.component
                    })
                };
                if !is_separator(self.text.chars().next_back()) && !is_separator(next) {
                    self.text.push(' ');
                }
                broken.push(number);
            }
            self.removed_breaks.push(self.text.len());
            self.line_breaks += 1;
        }
        if let Some(first) = wrapped.first() {
            let records = format_count(wrapped.len(), "line break", "line breaks");
            let message =
                format!("the file is cut into records of {longest} characters: {records} inside segments are removed");
            self.warnings.push((*first, message));
        }
        if let Some(first) = broken.first() {
            let breaks = format_count(broken.len(), "line break", "line breaks");
            let message =
                format!("{breaks} inside segments: each is read as a blank, or as nothing beside a separator");
            self.warnings.push((*first, message));
        }
    }
}

/// Returns the offset behind the last IEA of an interchange, or its length if it has none, or if further segments
/// follow.
fn find_interchange_end(interchange: &str, separators: X12Separators) -> usize {
    let marker = format!("IEA{}", separators.element);
    let Some(at) = interchange.to_ascii_uppercase().rfind(&marker) else { return interchange.len() };
    let follows_segment = interchange[..at].trim_end_matches(is_filler).ends_with(separators.segment);
    let end = interchange[at..].find(separators.segment).map(|end| at + end + separators.segment.len_utf8());
    let is_last = |end: &usize| {
        let rest = interchange[*end..].trim_start_matches(is_filler);
        !["GS", "ST"].iter().any(|id| rest.strip_prefix(id).is_some_and(|rest| rest.starts_with(separators.element)))
    };
    end.filter(|end| follows_segment && is_last(end)).unwrap_or(interchange.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edi::x12::tokenizer::X12Tokenizer;

    const ISA: &str =
        "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *261124*1041*U*00401*000000055*0*T*>~";
    const REST: &str = "GS*PO*SENDER*RECEIVER*20261124*1041*55*X*004010~ST*850*0001~BEG*00*SA*4500123**20261124~\
                        N1*ST*The ISA Company of a very long name~MSG*Deliver at dock 3 before noon~SE*5*0001~\
                        GE*1*55~IEA*1*000000055~";

    /// Returns the segments and the lines on which they begin.
    fn tokenize(text: &str) -> Vec<(String, usize)> {
        let text = X12Text::prepare(text);
        X12Tokenizer::new(&text)
            .map(|segment| {
                let elements: Vec<&str> = (1..=segment.len()).map(|position| segment.element(position)).collect();
                (format!("{}|{}", segment.id, elements.join("|")), segment.line)
            })
            .collect()
    }

    fn segments(text: &str) -> Vec<String> {
        tokenize(text).into_iter().map(|(segment, _)| segment).collect()
    }

    fn wrap(text: &str, width: usize, line_end: &str) -> String {
        let letters: Vec<char> = text.chars().collect();
        letters.chunks(width).map(|line| line.iter().collect::<String>()).collect::<Vec<_>>().join(line_end)
    }

    #[test]
    fn records_of_any_width_are_joined() {
        let whole = format!("{ISA}{REST}");
        let expected = segments(&whole);
        assert_eq!(expected.len(), 9);
        for width in [20, 35, 53, 72, 79, 80, 105, 106, 107, 128, 255] {
            for line_end in ["\n", "\r\n", "\r"] {
                let wrapped = wrap(&whole, width, line_end);
                assert_eq!(segments(&wrapped), expected, "{width} {line_end:?}");
            }
        }
        let text = X12Text::prepare(&whole);
        assert!(matches!(text.text, Cow::Borrowed(_)) && text.warnings.is_empty());
    }

    #[test]
    fn segments_keep_their_lines_and_the_removal_is_reported() {
        let wrapped = format!("$$ADD ID=NOVEX\r\n\r\n{}", wrap(&format!("{ISA}{REST}"), 80, "\r\n"));
        let lines: Vec<usize> = tokenize(&wrapped).into_iter().map(|(_, line)| line).collect();
        let expected: Vec<usize> = segments(&wrapped)
            .iter()
            .map(|segment| {
                let id = segment.split('|').next().unwrap();
                let flat = format!("{ISA}{REST}");
                let at = if id == "ISA" { 0 } else { flat.find(&format!("~{id}*")).unwrap() + 1 };
                at / 80 + 3
            })
            .collect();
        assert_eq!(lines, expected);
        let warnings = X12Text::prepare(&wrapped).warnings;
        assert_eq!(warnings[0].0, 1);
        assert!(warnings[0].1.contains("before the first ISA is no EDI and is skipped: \"$$ADD ID=NOVEX\""));
        assert!(warnings[1].1.contains("records of 80 characters"), "{warnings:?}");
    }

    #[test]
    fn other_line_breaks_are_blanks_or_nothing() {
        let text = format!("{ISA}\n{}", REST.replace("dock 3 before", "dock 3\nbefore").replace("*SA*", "*\r\nSA*"));
        let found = segments(&text);
        assert!(found.contains(&"MSG|Deliver at dock 3 before noon".to_owned()), "{found:?}");
        assert!(found.contains(&"BEG|00|SA|4500123||20261124".to_owned()), "{found:?}");
        assert_eq!(X12Text::prepare(&text).warnings.len(), 1);
    }

    #[test]
    fn line_ends_that_terminate_segments_stay() {
        for line_end in ["\n", "\r\n", "\r", " \n", "  \r\n"] {
            let text = format!("{ISA}{REST}").replace('~', line_end);
            assert_eq!(segments(&text), segments(&format!("{ISA}{REST}")), "{line_end:?}");
            assert!(X12Text::prepare(&text).warnings.is_empty(), "{line_end:?}");
        }
        let padded = format!("{ISA}{REST}").replacen(">~", "> ~", 1);
        assert_eq!(segments(&padded)[1..], segments(&format!("{ISA}{REST}"))[1..]);
    }

    #[test]
    fn text_between_interchanges_is_skipped() {
        let text = format!("{ISA}{REST}\n$$EOF\n$$ADD ID=X~Y\n{ISA}{REST}\nISA is no name\n");
        let found = segments(&text);
        assert_eq!(found.iter().filter(|segment| segment.starts_with("BEG|")).count(), 2);
        assert_eq!(found.iter().filter(|segment| segment.contains('$')).count(), 0, "{found:?}");
        let warnings = X12Text::prepare(&text).warnings;
        let lines: Vec<usize> = warnings.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 5], "{warnings:?}");
        assert!(warnings[1].1.contains("behind an IEA is no EDI and is skipped: \"ISA is no name\""), "{warnings:?}");
    }

    #[test]
    fn text_without_an_interchange_stays() {
        for text in ["", "ISA", "ISA\n", "name,ISA*club\n1,2", "GS*PO*A\nST*850*1\n"] {
            let prepared = X12Text::prepare(text);
            assert_eq!(prepared.as_str(), text);
            assert!(prepared.warnings.is_empty());
        }
    }
}
