//! Reads the JSON of providers, also if a part of its text cannot be read.
//!
//! A byte order mark, invalid UTF-8, half of a surrogate pair, an invalid escape or a NUL in one text must not fail an
//! event for good. The reader replaces what it cannot read by U+FFFD and reports it as [`TextRepairs`]. The stored
//! bytes stay as they are. Everything else must be JSON: text after the JSON, for example, is an error, because nobody
//! knows which of the two counts. If an object repeats a key, the last value counts, here and in every other reader but
//! that of RSX, which reads all of them. [`LenientJson::repeated_names`] has such keys.
//!
//! A NUL is valid JSON. It is replaced because `sqlite3` prints a text only up to its first NUL, and other databases
//! refuse such a text.

mod fields;
mod repeats;
mod value;

pub use fields::{read_scalar_fields, read_text_fields};
pub use repeats::describe_repeated_names;
pub use value::{JsonObject, JsonValue};

use crate::text::format_count;
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;
use value::RepeatedFields;

/// Stands for text that cannot be read.
pub const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// What a reader changed in a text to read it. [`fmt::Display`] writes it as a note for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextRepairs {
    /// The text begins with a byte order mark, which the reader leaves out.
    has_byte_order_mark: bool,
    /// The byte order mark is one of UTF-16.
    is_utf16: bool,
    /// Control characters in a JSON text that are not escaped; the reader keeps them.
    raw_controls: usize,
    /// Places that became U+FFFD.
    replaced: usize,
    /// Line and column of the first of these places, from 1; the column counts bytes.
    first_replaced: Option<(usize, usize)>,
}

impl TextRepairs {
    fn into_option(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

impl fmt::Display for TextRepairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.has_byte_order_mark {
            parts.push(format!("a byte order mark of {} is left out", if self.is_utf16 { "UTF-16" } else { "UTF-8" }));
        }
        if self.raw_controls > 0 {
            let characters = format_count(self.raw_controls, "control character is", "control characters are");
            parts.push(format!("{characters} not escaped"));
        }
        if let Some((line, column)) = self.first_replaced {
            let characters = format_count(self.replaced, "unreadable character", "unreadable characters");
            let place = if self.replaced == 1 { "at" } else { "the first at" };
            parts.push(format!("{characters} became U+FFFD, {place} line {line}, column {column}"));
        }
        write!(f, "the body was read with repairs: {}; the stored bytes are unchanged", parts.join("; "))
    }
}

/// JSON with the repairs that reading it needed, and the keys of which only one value counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LenientJson {
    pub value: JsonValue,
    pub repairs: Option<TextRepairs>,
    /// Keys that an object states twice with different values, sorted.
    pub repeated_names: Vec<Rc<str>>,
}

/// Parses JSON, repaired by [`repair_json`].
pub fn parse_lenient_json(body: &[u8]) -> Result<LenientJson, serde_json::Error> {
    parse_repaired_json(body, RepeatedFields::LastOnly)
}

/// Parses JSON as [`parse_lenient_json`] does, and keeps each value of a repeated key that differs from the one before.
pub fn parse_repeated_lenient_json(body: &[u8]) -> Result<LenientJson, serde_json::Error> {
    parse_repaired_json(body, RepeatedFields::Different)
}

fn parse_repaired_json(body: &[u8], repeated: RepeatedFields) -> Result<LenientJson, serde_json::Error> {
    let (text, repairs) = repair_json(body);
    let (value, repeated_names) = value::parse_json(&text, repeated)?;
    Ok(LenientJson { value, repairs, repeated_names })
}

/// Replaces what makes JSON unreadable inside of its texts. Borrows the body if there is nothing to repair.
///
/// The result is valid UTF-8. It may still not be JSON.
#[must_use]
pub fn repair_json(body: &[u8]) -> (Cow<'_, [u8]>, Option<TextRepairs>) {
    repair(body, TextSyntax::Json)
}

/// Replaces invalid UTF-8 and NUL in a text that is not JSON, and leaves out its byte order mark.
#[must_use]
pub fn repair_plain_text(body: &[u8]) -> (Cow<'_, str>, Option<TextRepairs>) {
    let (text, repairs) = repair(body, TextSyntax::Plain);
    let text = match text {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    };
    (text, repairs)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextSyntax {
    Json,
    Plain,
}

fn repair(body: &[u8], syntax: TextSyntax) -> (Cow<'_, [u8]>, Option<TextRepairs>) {
    let to_unit = match body {
        [0xFF, 0xFE, ..] => u16::from_le_bytes,
        [0xFE, 0xFF, ..] => u16::from_be_bytes,
        _ => {
            let mut repairer = Repairer::new(body, syntax);
            repairer.run();
            let repairs = repairer.repairs.clone().into_option();
            return (repairer.finish(), repairs);
        }
    };
    let decoded = decode_utf16(&body[2..], to_unit);
    let mut repairer = Repairer::new(decoded.as_bytes(), syntax);
    repairer.repairs = TextRepairs { has_byte_order_mark: true, is_utf16: true, ..TextRepairs::default() };
    repairer.run();
    let repairs = repairer.repairs.clone().into_option();
    (Cow::Owned(repairer.finish().into_owned()), repairs)
}

/// Decodes UTF-16. Half of a surrogate pair becomes a NUL, which the [`Repairer`] counts and replaces; so does an odd
/// last byte.
fn decode_utf16(bytes: &[u8], to_unit: fn([u8; 2]) -> u16) -> String {
    let pairs = bytes.chunks_exact(2);
    let odd_byte = (!pairs.remainder().is_empty()).then_some('\0');
    let units = pairs.map(|pair| to_unit([pair[0], pair[1]]));
    char::decode_utf16(units).map(|unit| unit.unwrap_or('\0')).chain(odd_byte).collect()
}

/// Copies a text with repairs. Copies nothing before the first repair.
struct Repairer<'b> {
    body: &'b [u8],
    syntax: TextSyntax,
    output: Option<Vec<u8>>,
    /// Bytes of the body that `output` has, as they are or repaired.
    copied: usize,
    in_string: bool,
    repairs: TextRepairs,
}

impl<'b> Repairer<'b> {
    fn new(body: &'b [u8], syntax: TextSyntax) -> Self {
        Self { body, syntax, output: None, copied: 0, in_string: false, repairs: TextRepairs::default() }
    }

    fn run(&mut self) {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        let mut start = 0;
        while self.body[start..].starts_with(MARK) {
            start += MARK.len();
        }
        if start > 0 {
            self.repairs.has_byte_order_mark = true;
            self.substitute(0, start, b"");
        }
        // The whole at once is faster than piece by piece, and nearly every body is valid.
        if std::str::from_utf8(&self.body[start..]).is_ok() {
            return self.scan(start, self.body.len());
        }
        for chunk in self.body[start..].utf8_chunks() {
            let end = start + chunk.valid().len();
            self.scan(start, end);
            start = end + chunk.invalid().len();
            if start > end {
                self.replace(end, start);
            }
        }
    }

    fn finish(self) -> Cow<'b, [u8]> {
        match self.output {
            None => Cow::Borrowed(self.body),
            Some(mut output) => {
                output.extend_from_slice(&self.body[self.copied..]);
                Cow::Owned(output)
            }
        }
    }

    /// Repairs `body[at..end]`, which is valid UTF-8.
    fn scan(&mut self, mut at: usize, end: usize) {
        if self.syntax == TextSyntax::Plain {
            while let Some(found) = self.body[at..end].iter().position(|byte| *byte == 0) {
                self.replace(at + found, at + found + 1);
                at += found + 1;
            }
            return;
        }
        while at < end {
            match self.body[at] {
                b'"' => self.in_string = !self.in_string,
                b'\\' if self.in_string => {
                    at = self.scan_escape(at, end);
                    continue;
                }
                0 if self.in_string => self.replace(at, at + 1),
                control @ 1..0x20 if self.in_string => {
                    self.repairs.raw_controls += 1;
                    self.substitute(at, at + 1, format!("\\u{control:04x}").as_bytes());
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Repairs the escape at `at`. Returns the place after it.
    fn scan_escape(&mut self, at: usize, end: usize) -> usize {
        match self.body[at..end] {
            // The body ends inside of the escape: the parser reports that it is truncated.
            [_] if end == self.body.len() => end,
            [_, b'u', ref digits @ ..]
                if end == self.body.len() && digits.len() < 4 && digits.iter().all(u8::is_ascii_hexdigit) =>
            {
                end
            }
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => at + 2,
            [_, b'u', ..] => match self.read_code_unit(at, end) {
                Some(0 | 0xDC00..=0xDFFF) => {
                    self.replace(at, at + 6);
                    at + 6
                }
                Some(0xD800..=0xDBFF) => {
                    if let Some(0xDC00..=0xDFFF) = self.read_code_unit(at + 6, end) {
                        return at + 12;
                    }
                    self.replace(at, at + 6);
                    at + 6
                }
                Some(_) => at + 6,
                None => self.replace_backslash(at),
            },
            _ => self.replace_backslash(at),
        }
    }

    /// Replaces a backslash that begins no escape; the text after it stays.
    fn replace_backslash(&mut self, at: usize) -> usize {
        self.replace(at, at + 1);
        at + 1
    }

    /// Returns the value of `\uXXXX` at `at`.
    fn read_code_unit(&self, at: usize, end: usize) -> Option<u16> {
        let digits = self.body.get(at..(at + 6).min(end))?.strip_prefix(b"\\u")?;
        if digits.len() != 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    /// Replaces `body[start..end]` by U+FFFD and counts it.
    fn replace(&mut self, start: usize, end: usize) {
        self.repairs.replaced += 1;
        if self.repairs.first_replaced.is_none() {
            let before = &self.body[..start];
            let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
            let line = before.split(|byte| *byte == b'\n').count();
            self.repairs.first_replaced = Some((line, start - line_start + 1));
        }
        self.substitute(start, end, REPLACEMENT.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn substitute(&mut self, start: usize, end: usize, text: &[u8]) {
        let output = self.output.get_or_insert_with(|| Vec::with_capacity(self.body.len()));
        output.extend_from_slice(&self.body[self.copied..start]);
        output.extend_from_slice(text);
        self.copied = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(body: &[u8]) -> (Value, String) {
        let read = parse_lenient_json(body).unwrap();
        let value = serde_json::from_str(&read.value.to_string()).unwrap();
        (value, read.repairs.map(|repairs| repairs.to_string()).unwrap_or_default())
    }

    #[test]
    fn readable_json_is_borrowed_and_has_no_repairs() {
        for body in [r#"{"a":"\ud83d\ude00 \\ud800 \\\\","b":[1e2,null]}"#, " {}\n", "[\"\u{feff}\u{fffd}é\"]", "x", ""]
        {
            let (text, repairs) = repair_json(body.as_bytes());
            assert!(matches!(text, Cow::Borrowed(_)) && repairs.is_none(), "{body}");
        }
    }

    #[test]
    fn unreadable_text_becomes_the_replacement_character() {
        for (body, expected) in [
            (&b"{\"a\":\"x\\ud800y\"}"[..], "x\u{fffd}y"),
            (b"{\"a\":\"\\udc00\\ud83d\\ude00\"}", "\u{fffd}😀"),
            (b"{\"a\":\"\\ud83d\\ud83d\\ude00\"}", "\u{fffd}😀"),
            (b"{\"a\":\"\\ud83d\\n\"}", "\u{fffd}\n"),
            (b"{\"a\":\"Caf\xe9 \xc3\xa9\"}", "Caf\u{fffd} é"),
            (b"{\"a\":\"\xf0\x9f\"}", "\u{fffd}"),
            (b"{\"a\":\"1\\u0000\"}", "1\u{fffd}"),
            (b"{\"a\":\"1\0\"}", "1\u{fffd}"),
            (b"{\"a\":\"\\x41\"}", "\u{fffd}x41"),
            (b"{\"a\":\"\\u12G4\"}", "\u{fffd}u12G4"),
            (b"{\"a\":\"\\u\"}", "\u{fffd}u"),
            (b"{\"a\":\"\\\xff\"}", "\u{fffd}\u{fffd}"),
            (b"{\"a\":\"\\ud83d\xff\"}", "\u{fffd}\u{fffd}"),
        ] {
            let (value, note) = read(body);
            assert_eq!(value, json!({ "a": expected }), "{note}");
            assert!(note.contains("became U+FFFD") && note.contains("line 1, column "), "{note}");
        }
    }

    #[test]
    fn note_names_number_and_first_place() {
        let (_, note) = read(b"{\n \"a\": \"\\ud800\",\n \"b\": \"\xff\"}");
        let expected = "the body was read with repairs: 2 unreadable characters became U+FFFD, the first at line 2, \
                        column 8; the stored bytes are unchanged";
        assert_eq!(note, expected);
        let (value, note) = read("\u{feff}{\"a\":\"1\t2\n\"}".as_bytes());
        assert_eq!(value, json!({"a": "1\t2\n"}));
        let expected = "the body was read with repairs: a byte order mark of UTF-8 is left out; 2 control characters are \
                        not escaped; the stored bytes are unchanged";
        assert_eq!(note, expected);
    }

    #[test]
    fn utf16_with_a_byte_order_mark_is_read() {
        for (mark, to_bytes) in [(0xFEFF_u16, u16::to_le_bytes as fn(u16) -> [u8; 2]), (0xFEFF, u16::to_be_bytes)] {
            let text = "{\"a\":\"é😀\"}".encode_utf16();
            let body: Vec<u8> = std::iter::once(mark).chain(text).flat_map(to_bytes).collect();
            let (value, note) = read(&body);
            assert_eq!(value, json!({"a": "é😀"}));
            assert!(note.contains("UTF-16"), "{note}");
        }
        let half: Vec<u8> = "\u{feff}[\""
            .encode_utf16()
            .chain([0xD800])
            .chain("\"]".encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        let (value, note) = read(&half);
        assert!(value == json!(["\u{fffd}"]) && note.contains("1 unreadable character became"), "{note}");
    }

    #[test]
    fn numbers_keep_their_digits_and_last_key_counts() {
        let body = b"\xef\xbb\xbf{\"n\":89999999999999.990,\"id\":18446744073709551615,\"id\":9223372036854775807}";
        let (value, _) = read(body);
        assert_eq!(value.to_string(), r#"{"id":9223372036854775807,"n":89999999999999.990}"#);
        assert_eq!(
            read_text_fields(
                br#"{"id":"a","x":{"id":"n"},"id":"b","t":-7.50,"u":[1,{}],"v":{"a":1},"w":null,"y":true}"#,
                ["id", "t", "u", "v", "w", "y", "none"]
            ),
            Some([Some("b".to_owned()), None, None, None, None, None, None])
        );
    }

    #[test]
    fn text_that_is_not_one_json_value_stays_an_error() {
        for body in
            [&b"{} {}"[..], b"{}x", b"{}\0", b"{\"a\":\"", b"{\"a\":\"\\", b"{\"a\":\"\\ud8", b"", b"\xef\xbb\xbf"]
        {
            assert!(parse_lenient_json(body).is_err(), "{}", body.escape_ascii());
            assert_eq!(read_text_fields(body, ["a"]), None, "{}", body.escape_ascii());
        }
        assert_eq!(read_text_fields(b"[]", ["a"]), None);
    }

    proptest::proptest! {
        #![proptest_config(crate::seed::seeded_config(512))]

        #[test]
        fn repaired_text_is_valid_and_needs_no_second_repair(
            parts in proptest::collection::vec(proptest::sample::select(PARTS), 0..12)
        ) {
            let body = parts.concat();
            for repair in [repair_json, repair_plain_text_bytes] {
                let (text, repairs) = repair(&body);
                assert!(std::str::from_utf8(&text).is_ok());
                assert_eq!(repairs.is_none(), matches!(text, Cow::Borrowed(_)));
                assert_eq!(repair(&text), (Cow::Borrowed(&*text), None));
            }
            let strict = serde_json::from_slice::<Value>(&body);
            let lenient = parse_lenient_json(&body);
            if let (Ok(strict), Ok(lenient)) = (&strict, &lenient) {
                assert_eq!(replace_nul(strict.clone()).to_string(), lenient.value.to_string());
            }
            assert!(strict.is_err() || lenient.is_ok());
        }
    }

    fn replace_nul(value: Value) -> Value {
        let replace = |text: String| text.replace('\0', "\u{fffd}");
        match value {
            Value::String(text) => replace(text).into(),
            Value::Array(items) => items.into_iter().map(replace_nul).collect(),
            Value::Object(map) => map.into_iter().map(|(key, value)| (replace(key), replace_nul(value))).collect(),
            other => other,
        }
    }

    fn repair_plain_text_bytes(body: &[u8]) -> (Cow<'_, [u8]>, Option<TextRepairs>) {
        let (text, repairs) = repair_plain_text(body);
        let bytes = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        (bytes, repairs)
    }

    const PARTS: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b":",
        b",",
        b"\\",
        b"u",
        b"\\ud83d",
        b"\\ude00",
        b"\\u0000",
        b"00",
        b"a",
        b"7",
        b"\0",
        b"\n",
        b"\x01",
        b"\xff",
        b"\xc3",
        b"\xc3\xa9",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\\\"",
        b" ",
    ];
}
