//! From text to segments.

/// Most segments of one file: bounds memory.
pub const SEGMENTS_MAX: usize = 1_000_000;
/// Longest ISA that is looked for its sixteen separators; a conforming one has 105 characters.
const ISA_CHARS_MAX: usize = 400;

/// The separators of one interchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Separators {
    pub element: char,
    /// `None` where ISA16 is missing.
    pub component: Option<char>,
    pub segment: char,
    /// From 00402 on.
    pub repetition: Option<char>,
}

/// One segment: its id and its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment<'t> {
    /// Upper case in every sound file.
    pub id: &'t str,
    elements: Vec<&'t str>,
    /// Line of the file it begins on, from 1.
    pub line: usize,
}

impl<'t> Segment<'t> {
    /// The element at a place, from 1; empty when it is missing.
    #[must_use]
    pub fn get(&self, place: usize) -> &'t str {
        self.elements.get(place.wrapping_sub(1)).copied().unwrap_or("")
    }

    /// The same, `None` for an empty one.
    #[must_use]
    pub fn some(&self, place: usize) -> Option<String> {
        Some(self.get(place).trim()).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// How many elements it has, trailing empty ones aside.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    #[must_use]
    pub fn is(&self, id: &str) -> bool {
        self.id.eq_ignore_ascii_case(id)
    }
}

/// White space and fillers that stand between segments.
fn is_filler(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '\0' | '\u{1a}' | '\u{feff}' | '\u{a0}')
}

/// Trimmed, also of the no-break spaces that some pad with.
#[must_use]
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(is_filler)
}

/// Cuts a text into segments, one after the other.
#[derive(Debug, Clone)]
pub struct Tokens<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    separators: Option<Separators>,
    /// Said once: an ISA that is not as it should be.
    pub complaints: Vec<(usize, String)>,
}

impl<'t> Tokens<'t> {
    #[must_use]
    pub fn new(text: &'t str) -> Self {
        Self { text, at: 0, line: 1, separators: None, complaints: Vec::new() }
    }

    /// The separators of the interchange that was read last.
    #[must_use]
    pub fn separators(&self) -> Option<Separators> {
        self.separators
    }

    /// Looks for an interchange's beginning here: after an IEA the next one may have other separators.
    fn begin(&mut self) {
        let rest = &self.text[self.at..];
        if let Some(found) = find_separators(rest) {
            if let Some(said) = found.complaint {
                self.complaints.push((self.line, said));
            }
            self.separators = Some(found.separators);
        }
    }

    fn skip_fillers(&mut self) {
        let terminator = self.separators.map(|separators| separators.segment);
        for letter in self.text[self.at..].chars() {
            if !is_filler(letter) && Some(letter) != terminator {
                break;
            }
            self.at += letter.len_utf8();
            self.line += usize::from(letter == '\n');
        }
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Segment<'t>;

    fn next(&mut self) -> Option<Segment<'t>> {
        self.skip_fillers();
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        if self.separators.is_none() || is_isa(rest) {
            self.begin();
        }
        let separators = self.separators?;
        let line = self.line;
        // The ISA's own terminator comes after its component separator, which may be the same character.
        let isa_length = if is_isa(rest) { find_separators(rest).map_or(0, |found| found.length) } else { 0 };
        let end = isa_length + rest[isa_length..].find(separators.segment).unwrap_or(rest.len() - isa_length);
        let body = &rest[..end];
        self.at += (end + separators.segment.len_utf8()).min(rest.len());
        self.line += body.matches('\n').count() + usize::from(separators.segment == '\n' && end < rest.len());
        let body = body.trim_end_matches(|letter| is_filler(letter) && letter != '\u{a0}');
        // A sender that ends its lines with the component separator too means nothing by it.
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
        Some(Segment { id, elements, line })
    }
}

fn is_isa(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 3
        && bytes[..3].eq_ignore_ascii_case(b"ISA")
        && text[3..].chars().next().is_some_and(|letter| !letter.is_alphanumeric())
}

struct Found {
    separators: Separators,
    /// Of the ISA up to and with ISA16.
    length: usize,
    complaint: Option<String>,
}

/// Reads the separators from an ISA, which has sixteen elements; from a GS or ST where a file begins without one.
fn find_separators(text: &str) -> Option<Found> {
    if !is_isa(text) && text.chars().nth(2).is_some_and(|letter| !letter.is_alphanumeric()) {
        return without_isa(text);
    }
    let element = text.chars().nth(3).filter(|letter| !letter.is_alphanumeric() && !letter.is_whitespace())?;
    let begins = is_isa(text);
    let mut places = text.char_indices().take(ISA_CHARS_MAX).filter(|(_, letter)| *letter == element).skip(15);
    let sixteenth = places.next().map(|(at, _)| at);
    // Anything with an ISA's shape is one, under whatever name.
    let shaped = sixteenth.is_some_and(|at| text[..at].chars().count() == 103 && !text[..at].contains(['\n', '~']));
    if !begins && !shaped {
        return None;
    }
    let at = sixteenth? + element.len_utf8();
    let mut rest = text[at..].chars();
    let first = rest.next()?;
    let (component, segment, length) = if first == '\n' || first == '\r' {
        (None, first, at)
    } else {
        (Some(first), rest.next().unwrap_or('\n'), at + first.len_utf8())
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
    let complaint = if !begins {
        Some(format!("{} stands where ISA should", text.chars().take(3).collect::<String>()))
    } else if text[..length].chars().count() != 105 {
        Some(format!(
            "ISA has {} characters instead of 105: its elements are not padded as they should be",
            text[..length].chars().count()
        ))
    } else {
        None
    };
    Some(Found { separators: Separators { element, component, segment, repetition }, length, complaint })
}

/// A file that begins with GS or ST: the element separator stands after the id, the segment's end before the next one.
fn without_isa(text: &str) -> Option<Found> {
    let id = text.get(..2).filter(|id| ["GS", "ST"].contains(&id.to_ascii_uppercase().as_str()))?;
    let element = text.chars().nth(2).filter(|letter| !letter.is_whitespace())?;
    let segment = ["ST", "BEG", "BCH", "GS"]
        .iter()
        .filter_map(|next| {
            let at = text[id.len()..].find(&format!("{next}{element}"))? + id.len();
            let before = text[..at].trim_end_matches([' ', '\t']);
            // CR LF, or a terminator with a line's end after it: the first of them.
            let end = before.trim_end_matches(['\r', '\n']);
            let last = end.chars().last().filter(|letter| !letter.is_alphanumeric() && *letter != element);
            Some((at, last.or_else(|| before[end.len()..].chars().next())?))
        })
        .min()
        .map(|(_, letter)| letter)?;
    Some(Found {
        separators: Separators { element, component: None, segment, repetition: None },
        length: 0,
        complaint: Some("there is no ISA: who sent this is not known, and it cannot be acknowledged".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISA: &str =
        "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *261124*1041*U*00401*000000055*0*T*>~";

    fn cut(text: &str) -> Vec<String> {
        Tokens::new(text).map(|segment| format!("{}:{}", segment.id, segment.elements.join("|"))).collect()
    }

    #[test]
    fn separators_are_as_isa_announces_them() {
        let text = format!("{ISA}\r\n  GS*PO*A*B~\nST*850*0001*~");
        assert_eq!(cut(&text)[1..], ["GS:PO|A|B", "ST:850|0001"]);
        assert_eq!(Tokens::new(&text).last().unwrap().line, 3);
        let odd = ISA.replace('*', "\u{1d}").replace('~', "Ö");
        assert_eq!(cut(&format!("{odd}GS\u{1d}POÖ"))[1..], ["GS:PO"]);
        let five = ISA.replace("*U*00401*", "*^*00501*");
        let mut tokens = Tokens::new(&five);
        tokens.next();
        assert_eq!(tokens.separators().unwrap().repetition, Some('^'));
    }

    #[test]
    fn each_interchange_has_its_own() {
        let second = ISA.replace('*', "|").replace('~', "\n");
        let all = cut(&format!("{ISA}IEA*0*000000055~{second}IEA|0|55\n"));
        assert_eq!(all.len(), 4, "{all:?}");
        assert_eq!(all[3], "IEA:0|55");
    }

    #[test]
    fn sloppy_beginnings_are_read() {
        assert_eq!(cut("\u{feff}ISA*00* *00* *ZZ*A*ZZ*B*261124*1041*U*00401*1*0*T*>~GS*PO~").len(), 2, "not padded");
        assert_eq!(cut(&format!("{}GS*PO\n", ISA.replace(">~", "~\n"))).len(), 2, "the terminator is a line's end");
        assert_eq!(cut(&format!("{}GS*PO\n", ISA.replace(">~", "\n")))[1], "GS:PO", "ISA16 is missing");
        assert_eq!(cut("GS*PO*A*B*20261124\nST*850*1\n"), ["GS:PO|A|B|20261124", "ST:850|1"]);
        assert_eq!(cut(&ISA.replace("ISA", "XXX")).len(), 1);
        assert_eq!(cut("nothing of this kind"), [""; 0]);
        assert_eq!(cut(""), [""; 0]);
    }
}
