//! Splits the prepared text of an X12 file into segments.

use crate::edi::x12::text::X12Text;

/// Most segments of one file; bounds memory.
pub const SEGMENTS_MAX: usize = 1_000_000;
/// Longest ISA in which the sixteen separators are searched; a conforming one has 105 characters.
const ISA_CHARS_MAX: usize = 400;

/// Separators of one interchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct X12Separators {
    pub element: char,
    /// Component separator; `None` if ISA16 is missing.
    pub component: Option<char>,
    pub segment: char,
    /// Repetition separator, from version 00402 on.
    pub repetition: Option<char>,
}

/// Segment: its id and its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct X12Segment<'t> {
    /// Segment id, in upper case if the file conforms.
    pub id: &'t str,
    elements: Vec<&'t str>,
    /// Line of the file on which it begins, from 1.
    pub line: usize,
}

impl<'t> X12Segment<'t> {
    /// Returns the element at a position, from 1; empty if it is missing.
    #[must_use]
    pub fn element(&self, position: usize) -> &'t str {
        self.elements.get(position.wrapping_sub(1)).copied().unwrap_or("")
    }

    /// Returns the element at a position, trimmed, or `None` if it is empty.
    #[must_use]
    pub fn non_empty_element(&self, position: usize) -> Option<String> {
        Some(self.element(position).trim()).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// Returns the number of elements, without trailing empty ones.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Returns true if the segment has this id, in upper or lower case.
    #[must_use]
    pub fn has_id(&self, id: &str) -> bool {
        self.id.eq_ignore_ascii_case(id)
    }
}

/// Returns true for white space and fillers between segments.
pub(super) fn is_filler(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '\0' | '\u{1a}' | '\u{feff}' | '\u{a0}')
}

/// Trims white space and fillers, also the no-break spaces that some senders pad with.
#[must_use]
pub fn trim_fillers(text: &str) -> &str {
    text.trim_matches(is_filler)
}

/// Splits a text into segments, one after the other.
#[derive(Debug, Clone)]
pub struct X12Tokenizer<'t> {
    source: &'t X12Text<'t>,
    text: &'t str,
    offset: usize,
    line: usize,
    separators: Option<X12Separators>,
    /// Line and message for each ISA that does not conform.
    pub isa_warnings: Vec<(usize, String)>,
}

impl<'t> X12Tokenizer<'t> {
    /// Creates a tokenizer at the beginning of a text.
    #[must_use]
    pub fn new(source: &'t X12Text<'t>) -> Self {
        let line = 1 + source.count_breaks_until(0);
        Self { source, text: source.as_str(), offset: 0, line, separators: None, isa_warnings: Vec::new() }
    }

    /// Reads the separators if an interchange begins here. After an IEA the next interchange may have other separators.
    fn detect_separators(&mut self) {
        let rest = &self.text[self.offset..];
        if let Some(found) = find_separators(rest) {
            if let Some(warning) = found.warning {
                self.isa_warnings.push((self.line, warning));
            }
            self.separators = Some(found.separators);
        }
    }

    fn skip_fillers(&mut self) {
        let terminator = self.separators.map(|separators| separators.segment);
        let start = self.offset;
        for letter in self.text[start..].chars() {
            if !is_filler(letter) && Some(letter) != terminator {
                break;
            }
            self.offset += letter.len_utf8();
            self.line += usize::from(letter == '\n');
        }
        self.line += self.source.count_removed_breaks(start, self.offset);
    }
}

impl<'t> Iterator for X12Tokenizer<'t> {
    type Item = X12Segment<'t>;

    fn next(&mut self) -> Option<X12Segment<'t>> {
        self.skip_fillers();
        let rest = &self.text[self.offset..];
        if rest.is_empty() {
            return None;
        }
        if self.separators.is_none() || starts_with_isa(rest) {
            self.detect_separators();
        }
        let separators = self.separators?;
        let line = self.line;
        // The terminator of ISA follows its component separator, which may be the same character.
        let isa_length =
            if starts_with_isa(rest) { find_separators(rest).map_or(0, |found| found.isa_length) } else { 0 };
        let end = isa_length + rest[isa_length..].find(separators.segment).unwrap_or(rest.len() - isa_length);
        let body = &rest[..end];
        let start = self.offset;
        self.offset += (end + separators.segment.len_utf8()).min(rest.len());
        self.line += self.source.count_removed_breaks(start, self.offset);
        self.line += body.matches('\n').count() + usize::from(separators.segment == '\n' && end < rest.len());
        let body = body.trim_end_matches(|letter| is_filler(letter) && letter != '\u{a0}');
        // Some senders also end each segment with the component separator, without any meaning.
        let body = match separators.component {
            Some(component) if isa_length == 0 => body.trim_end_matches(component),
            _ => body,
        };
        let mut parts = body.split(separators.element);
        let id = parts.next().unwrap_or("").trim();
        let mut elements: Vec<&str> = parts.collect();
        while elements.last().is_some_and(|element| element.is_empty()) {
            elements.pop();
        }
        Some(X12Segment { id, elements, line })
    }
}

pub(super) fn starts_with_isa(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 3
        && bytes[..3].eq_ignore_ascii_case(b"ISA")
        && text[3..].chars().next().is_some_and(|letter| !letter.is_alphanumeric())
}

pub(super) struct DetectedSeparators {
    pub separators: X12Separators,
    /// Length in bytes of the ISA, up to and including ISA16.
    isa_length: usize,
    warning: Option<String>,
}

/// Reads the separators from an ISA, which has sixteen elements, or from a GS or ST if the file has no ISA.
pub(super) fn find_separators(text: &str) -> Option<DetectedSeparators> {
    if !starts_with_isa(text) && text.chars().nth(2).is_some_and(|letter| !letter.is_alphanumeric()) {
        return find_separators_without_isa(text);
    }
    let element = text.chars().nth(3).filter(|letter| !letter.is_alphanumeric())?;
    if element.is_whitespace() && !has_fixed_positions(text, element) {
        return None;
    }
    let is_isa = starts_with_isa(text);
    let mut offsets = text.char_indices().take(ISA_CHARS_MAX).filter(|(_, letter)| *letter == element).skip(15);
    let sixteenth = offsets.next().map(|(at, _)| at);
    // A segment with the shape of an ISA counts as one under any id.
    let has_isa_shape =
        sixteenth.is_some_and(|at| text[..at].chars().count() == 103 && !text[..at].contains(['\n', '~']));
    if !is_isa && !has_isa_shape {
        return None;
    }
    let at = sixteenth? + element.len_utf8();
    let mut rest = text[at..].chars();
    let first = rest.next()?;
    let (component, segment, length) = if first == '\n' || first == '\r' {
        (None, first, at)
    } else {
        (Some(first), find_terminator(rest.as_str()), at + first.len_utf8())
    };
    if segment.is_ascii_alphanumeric() {
        return None;
    }
    let elements: Vec<&str> = text[..at].split(element).collect();
    let (standard, version) = (elements.get(11).copied().unwrap_or(""), elements.get(12).copied().unwrap_or(""));
    let repetition = standard.chars().next().filter(|letter| {
        version >= "00402"
            && !letter.is_alphanumeric()
            && !is_filler(*letter)
            && ![Some(element), component, Some(segment)].contains(&Some(*letter))
    });
    let warning = if !is_isa {
        Some(format!("{} is in the place of ISA", text.chars().take(3).collect::<String>()))
    } else if text[..length].chars().count() != 105 {
        Some(format!(
            "ISA has {} characters instead of 105: its elements are not padded to their fixed widths",
            text[..length].chars().count()
        ))
    } else {
        None
    };
    Some(DetectedSeparators {
        separators: X12Separators { element, component, segment, repetition },
        isa_length: length,
        warning,
    })
}

/// Positions of the element separators in an ISA whose elements have their fixed widths.
const ISA_SEPARATORS: [usize; 16] = [3, 6, 17, 20, 31, 34, 50, 53, 69, 76, 81, 83, 89, 99, 101, 103];

/// Returns true for an ISA with this white space, such as a tab, in the places of its separators and nowhere else. A
/// blank pads the elements, and a line break ends segments or records: neither can separate them.
fn has_fixed_positions(text: &str, element: char) -> bool {
    let head = text.chars().take(104).enumerate().filter(|(_, letter)| *letter == element).map(|(at, _)| at);
    matches!(element, '\t' | '\u{b}' | '\u{c}') && head.eq(ISA_SEPARATORS)
}

/// Returns the segment terminator from the text behind ISA16. Blanks before it are padding.
fn find_terminator(text: &str) -> char {
    let unpadded = text.trim_start_matches([' ', '\t']);
    match unpadded.chars().next() {
        Some(letter) if unpadded.len() == text.len() || !letter.is_alphanumeric() => letter,
        None if text.is_empty() => '\n',
        _ => ' ',
    }
}

/// Reads the separators of a file that begins with GS or ST.
///
/// The element separator follows the first id. The segment terminator is the character before the next segment.
fn find_separators_without_isa(text: &str) -> Option<DetectedSeparators> {
    let id = text.get(..2).filter(|id| ["GS", "ST"].contains(&id.to_ascii_uppercase().as_str()))?;
    let element = text.chars().nth(2).filter(|letter| !letter.is_whitespace())?;
    let segment = ["ST", "BEG", "BCH", "GS"]
        .iter()
        .filter_map(|next| {
            let at = text[id.len()..].find(&format!("{next}{element}"))? + id.len();
            let before = text[..at].trim_end_matches([' ', '\t']);
            // CR LF, or a terminator followed by a line break: the first character counts.
            let end = before.trim_end_matches(['\r', '\n']);
            let last = end.chars().last().filter(|letter| !letter.is_alphanumeric() && *letter != element);
            Some((at, last.or_else(|| before[end.len()..].chars().next())?))
        })
        .min()
        .map(|(_, letter)| letter)?;
    Some(DetectedSeparators {
        separators: X12Separators { element, component: None, segment, repetition: None },
        isa_length: 0,
        warning: Some("there is no ISA: the sender is not known, and the file cannot be acknowledged".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISA: &str =
        "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *261124*1041*U*00401*000000055*0*T*>~";

    fn tokenize(text: &str) -> Vec<String> {
        let text = X12Text::prepare(text);
        X12Tokenizer::new(&text).map(|segment| format!("{}:{}", segment.id, segment.elements.join("|"))).collect()
    }

    #[test]
    fn separators_are_read_from_isa() {
        let text = format!("{ISA}\r\n  GS*PO*A*B~\nST*850*0001*~");
        assert_eq!(tokenize(&text)[1..], ["GS:PO|A|B", "ST:850|0001"]);
        assert_eq!(X12Tokenizer::new(&X12Text::prepare(&text)).last().unwrap().line, 3);
        let odd = ISA.replace('*', "\u{1d}").replace('~', "Ö");
        assert_eq!(tokenize(&format!("{odd}GS\u{1d}POÖ"))[1..], ["GS:PO"]);
        let five = ISA.replace("*U*00401*", "*^*00501*");
        let five = X12Text::prepare(&five);
        let mut tokens = X12Tokenizer::new(&five);
        tokens.next();
        assert_eq!(tokens.separators.unwrap().repetition, Some('^'));
    }

    #[test]
    fn each_interchange_has_its_own_separators() {
        let second = ISA.replace('*', "|").replace('~', "\n");
        let all = tokenize(&format!("{ISA}IEA*0*000000055~{second}IEA|0|55\n"));
        assert_eq!(all.len(), 4, "{all:?}");
        assert_eq!(all[3], "IEA:0|55");
    }

    #[test]
    fn malformed_file_starts_are_read() {
        assert_eq!(
            tokenize("\u{feff}ISA*00* *00* *ZZ*A*ZZ*B*261124*1041*U*00401*1*0*T*>~GS*PO~").len(),
            2,
            "not padded"
        );
        assert_eq!(
            tokenize(&format!("{}GS*PO\n", ISA.replace(">~", "~\n"))).len(),
            2,
            "the terminator is a line break"
        );
        assert_eq!(tokenize(&format!("{}GS*PO\n", ISA.replace(">~", "\n")))[1], "GS:PO", "ISA16 is missing");
        assert_eq!(tokenize("GS*PO*A*B*20261124\nST*850*1\n"), ["GS:PO|A|B|20261124", "ST:850|1"]);
        assert_eq!(tokenize(&ISA.replace("ISA", "XXX")).len(), 1);
        assert_eq!(tokenize("nothing of this kind"), [""; 0]);
        assert_eq!(tokenize(""), [""; 0]);
    }
}
