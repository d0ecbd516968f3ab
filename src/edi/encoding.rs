//! Decodes the bytes of an EDI file. The stored bytes never change.
//!
//! A byte order mark decides first, then the encoding that XML declares (XML 1.0, section 4.3.3). Other text is UTF-8,
//! and Windows-1252 if its bytes are no UTF-8: each file of a Western European program is one of these two.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::borrow::Cow;

/// Longest XML declaration, in bytes.
const XML_DECLARATION_BYTES_MAX: usize = 200;

/// Text of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedText<'b> {
    pub text: Cow<'b, str>,
    /// Reason why the text may differ from the sender's.
    pub warning: Option<String>,
}

/// Decodes the bytes of a file.
///
/// # Errors
/// The file states an encoding that nobody knows.
pub fn decode_edi_bytes(bytes: &[u8]) -> Result<DecodedText<'_>, String> {
    if let Some((encoding, mark_bytes)) = Encoding::for_bom(bytes) {
        return Ok(decode_stated(encoding, &bytes[mark_bytes..], "the byte order mark"));
    }
    match bytes {
        [0, second, ..] if *second != 0 => return Ok(decode_stated(UTF_16BE, bytes, "the first character")),
        [first, 0, ..] if *first != 0 => return Ok(decode_stated(UTF_16LE, bytes, "the first character")),
        _ => {}
    }
    match find_declared_encoding(bytes) {
        Some(label) => match Encoding::for_label(label.as_bytes()) {
            None => Err(format!("its XML declaration states the encoding {label:?}, which is not known")),
            // The declaration could not be read so if it were true.
            Some(encoding) if encoding == UTF_16BE || encoding == UTF_16LE => Ok(decode_undeclared(bytes)),
            Some(encoding) => Ok(decode_stated(encoding, bytes, "the XML declaration")),
        },
        None => Ok(decode_undeclared(bytes)),
    }
}

/// Decodes bytes whose encoding something states. Bytes that do not fit are decoded as Windows-1252.
fn decode_stated<'b>(encoding: &'static Encoding, bytes: &'b [u8], stated_by: &str) -> DecodedText<'b> {
    if let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(bytes) {
        return DecodedText { text, warning: None };
    }
    let name = encoding.name();
    let warning = if encoding == UTF_8 {
        let line = find_line_of_invalid_byte(bytes);
        format!("{stated_by} states UTF-8, but a byte in line {line} is none: the file is read as Windows-1252")
    } else {
        format!("{stated_by} states {name}, but some bytes are none: each is read as \u{fffd}")
    };
    let encoding = if encoding == UTF_8 { WINDOWS_1252 } else { encoding };
    let text = encoding.decode_without_bom_handling(bytes).0;
    DecodedText { text, warning: Some(warning) }
}

fn decode_undeclared(bytes: &[u8]) -> DecodedText<'_> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return DecodedText { text: Cow::Borrowed(text), warning: None };
    }
    let line = find_line_of_invalid_byte(bytes);
    DecodedText {
        text: WINDOWS_1252.decode_without_bom_handling(bytes).0,
        warning: Some(format!(
            "the file states no encoding, and a byte in line {line} is no UTF-8: the file is read as Windows-1252"
        )),
    }
}

fn find_line_of_invalid_byte(bytes: &[u8]) -> usize {
    let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    bytes[..valid].split(|byte| *byte == b'\n').count()
}

/// Returns the encoding of an XML declaration, `<?xml version="1.0" encoding="windows-1252"?>`.
fn find_declared_encoding(bytes: &[u8]) -> Option<String> {
    let start = bytes.trim_ascii_start();
    let start = &start[..start.len().min(XML_DECLARATION_BYTES_MAX)];
    let end = start.windows(2).position(|window| window == b"?>")?;
    let declaration = std::str::from_utf8(&start[..end]).ok()?.strip_prefix("<?xml")?;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
    Some(value[1..].split(quote).next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> (String, bool) {
        let decoded = decode_edi_bytes(bytes).unwrap();
        (decoded.text.into_owned(), decoded.warning.is_some())
    }

    fn declare(encoding: &str, rest: &[u8]) -> Vec<u8> {
        [format!("<?xml version=\"1.0\" encoding='{encoding}'?>").as_bytes(), rest].concat()
    }

    #[test]
    fn declared_encoding_is_read() {
        for (label, bytes, text) in [
            ("windows-1252", &b"Chef\x92s \x80"[..], "Chef\u{2019}s \u{20ac}"),
            ("ISO-8859-1", b"M\xfcller", "M\u{fc}ller"),
            ("iso-8859-15", b"\xa4", "\u{20ac}"),
            ("ibm866", b"\x80", "\u{410}"),
            ("Shift_JIS", b"\x83\x65", "\u{30c6}"),
            ("utf-8", "ü€".as_bytes(), "ü€"),
            ("UTF-16", "ü".as_bytes(), "ü"),
        ] {
            let (decoded, is_doubtful) = decode(&declare(label, bytes));
            assert!(decoded.ends_with(text) && !is_doubtful, "{label}: {decoded}");
        }
        assert!(decode_edi_bytes(&declare("klingon", b"")).unwrap_err().contains("\"klingon\""));
    }

    #[test]
    fn byte_order_marks_and_utf_16_without_one_are_read() {
        let le: Vec<u8> = "ISA*ü".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = "ISA*ü".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [
            [b"\xff\xfe", &le[..]].concat(),
            [b"\xfe\xff", &be[..]].concat(),
            le,
            be,
            [b"\xef\xbb\xbf", "ISA*ü".as_bytes()].concat(),
        ] {
            assert_eq!(decode(&bytes), ("ISA*ü".to_owned(), false));
        }
        assert_eq!(decode(b"\xef\xbb\xbfM\xfcller"), ("Müller".to_owned(), true));
        assert!(decode(b"\xff\xfeA\0\x00\xd8").1, "a lone surrogate");
    }

    #[test]
    fn undeclared_text_that_is_no_utf_8_is_windows_1252_with_a_warning() {
        assert_eq!(decode("Müller".as_bytes()), ("Müller".to_owned(), false));
        assert_eq!(decode(b"M\xfcller \x96 \x80"), ("Müller – €".to_owned(), true));
        assert!(decode(&declare("utf-8", b"M\xfcller")).1);
        let warning = decode_edi_bytes(b"a\nb\n\xfc").unwrap().warning.unwrap();
        assert!(warning.contains("line 3"), "{warning}");
        assert_eq!(decode(b""), (String::new(), false));
    }
}
