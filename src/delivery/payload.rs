//! Describes the payload of a delivery: its format, and for EDI its document type, its partner and its file name.
//!
//! The bytes decide the format, never the topic: one topic of EDI has files in X12, XML and JSON.

use crate::edi::file::decode_text;
use crate::edi::parties::find_partner;
use crate::edi::x12::text::X12Text;
use crate::edi::x12::tokenizer::X12Tokenizer;
use crate::event::{EventKey, Source};
use crate::store::erp::outbound_documents::SEND_TOPIC_PREFIX;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// Format of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadFormat {
    Json,
    Xml,
    X12,
    Csv,
    /// Fields of an HTML form, as some listeners of Keycloak send them.
    Form,
    Text,
    /// Text in another encoding than UTF-8.
    LegacyText,
    Binary,
}

impl PayloadFormat {
    /// Returns the end of a file name, without a dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
            Self::X12 => "edi",
            Self::Csv => "csv",
            Self::Form | Self::Text | Self::LegacyText => "txt",
            Self::Binary => "bin",
        }
    }

    /// Returns the value of `content-type`.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "application/xml",
            Self::X12 => "application/edi-x12",
            Self::Csv => "text/csv",
            Self::Form => "application/x-www-form-urlencoded",
            Self::Text => "text/plain; charset=utf-8",
            Self::LegacyText => "text/plain",
            Self::Binary => "application/octet-stream",
        }
    }

    /// Returns the format of a payload.
    #[must_use]
    pub fn detect(bytes: &[u8]) -> Self {
        let text = decode_text(bytes);
        let text = text.trim();
        let is_utf8 = std::str::from_utf8(bytes).is_ok();
        match text.chars().next() {
            None if bytes.is_empty() => return Self::Text,
            Some('<') if is_well_formed_xml(text) => return Self::Xml,
            Some(_) if is_json_document(text) => return Self::Json,
            _ => {}
        }
        if text.contains(|char: char| char.is_control() && !char.is_whitespace() && char != '\u{1a}') {
            // X12 may separate its elements by control characters.
            return if is_x12(text) { Self::X12 } else { Self::Binary };
        }
        match () {
            () if is_x12(text) => Self::X12,
            () if is_form(text) => Self::Form,
            () if is_csv(text) => Self::Csv,
            () if is_utf8 => Self::Text,
            () => Self::LegacyText,
        }
    }
}

/// Returns true for a JSON object or array. The value of a string is not checked, because some senders write lone
/// surrogates.
fn is_json_document(text: &str) -> bool {
    text.starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn is_well_formed_xml(text: &str) -> bool {
    let (mut reader, mut depth, mut roots) = (Reader::from_str(text), 0_usize, 0_usize);
    loop {
        match reader.read_event() {
            Ok(Event::Start(_)) => {
                roots += usize::from(depth == 0);
                depth += 1;
            }
            // The reader refuses an end that does not match its start.
            Ok(Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(Event::Empty(_)) => roots += usize::from(depth == 0),
            Ok(Event::Eof) => return depth == 0 && roots == 1,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

fn is_x12(text: &str) -> bool {
    X12Tokenizer::new(&X12Text::prepare(text)).next().is_some()
}

/// Returns true for `name=value` pairs with `&` between them.
fn is_form(text: &str) -> bool {
    let is_form_char = |byte: u8| byte.is_ascii_alphanumeric() || b"%._~*+-$!'(),:@/[]".contains(&byte);
    text.split('&').all(|pair| {
        pair.split_once('=')
            .is_some_and(|(name, value)| !name.is_empty() && (name.bytes().chain(value.bytes())).all(is_form_char))
    })
}

/// Returns true for at least two lines with the same number of fields, and at least two fields.
fn is_csv(text: &str) -> bool {
    [b',', b';', b'\t'].into_iter().any(|delimiter| {
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).from_reader(text.as_bytes());
        let mut record = csv::ByteRecord::new();
        let mut count = 0;
        loop {
            match reader.read_byte_record(&mut record) {
                Ok(true) if record.len() < 2 => return false,
                Ok(true) => count += 1,
                Ok(false) => return count >= 2,
                Err(_) => return false,
            }
        }
    })
}

/// Facts about an EDI file, received or sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdiDescription {
    /// Transaction set id: 850, 810, 997 …; `mixed` or `unknown`.
    pub document_type: String,
    pub partner: Option<String>,
    /// Name at the source, or at the partner for an outbound document.
    pub file_name: String,
}

impl EdiDescription {
    /// Returns the facts about an EDI file; None for an event of another source.
    #[must_use]
    pub fn of_event(key: &EventKey, bytes: &[u8]) -> Option<Self> {
        if key.source != Source::Sps {
            return None;
        }
        let sent_type = key.topic.strip_prefix(SEND_TOPIC_PREFIX);
        // The webhook id of a received file is its name and the digest of its bytes.
        let file_name = match (sent_type, key.webhook_id.rsplit_once(' ')) {
            (None, Some((name, _digest))) => name,
            _ => &key.webhook_id,
        };
        Some(Self {
            document_type: sent_type.unwrap_or(&key.topic).to_owned(),
            partner: find_partner(bytes, sent_type.is_some()),
            file_name: file_name.to_owned(),
        })
    }
}

/// Characters that are percent-encoded in a header, beside those that are not ASCII: control characters, and the
/// percent sign itself, so that a receiver decodes each value in the same way.
const ENCODED_IN_HEADERS: &AsciiSet = &CONTROLS.add(b'%');

/// Returns a value that a header can contain: printable ASCII, other characters percent-encoded as UTF-8.
///
/// A blank at either end is encoded too, because HTTP drops it (RFC 9110, section 5.5).
#[must_use]
pub fn to_header_value(text: &str) -> String {
    let value = utf8_percent_encode(text, ENCODED_IN_HEADERS).to_string();
    let inner = value.trim_matches(' ');
    let at_start = value.len() - value.trim_start_matches(' ').len();
    let at_end = value.len() - at_start - inner.len();
    format!("{}{inner}{}", "%20".repeat(at_start), "%20".repeat(at_end))
}

/// Replaces the character that an environment variable cannot contain.
#[must_use]
pub fn to_variable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "?").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISA: &str =
        "ISA*00*          *00*          *ZZ*ACMERETAIL     *ZZ*NOVEX          *261124*1041*U*00401*000000055*0*P*>~";

    #[test]
    fn bytes_decide_the_format() {
        use PayloadFormat::{Binary, Csv, Form, Json, LegacyText, Text, X12, Xml};
        let utf16: Vec<u8> = [0xFF, 0xFE].into_iter().chain("{\"a\":1}".bytes().flat_map(|byte| [byte, 0])).collect();
        let cases: &[(&[u8], PayloadFormat)] = &[
            (br#"{"id":1}"#, Json),
            (b" \r\n[1]\n", Json),
            (b"\xEF\xBB\xBF{\"id\":1}", Json),
            (br#"{"name":"\ud800"}"#, Json),
            (b"{\"name\":\"M\xFCsli\"}", Json),
            (&utf16, Json),
            (b"{\"cut\":", Text),
            (b"{not json}", Text),
            (b"<?xml version=\"1.0\"?><Orders><Order/></Orders>", Xml),
            (b"<Order/>", Xml),
            (b"<Orders><Order>", Text),
            (b"<a/><b/>", Text),
            (ISA.as_bytes(), X12),
            (b"GS*FA*A*B*20261124*1041*7*X*004010~ST*997*0001~", X12),
            (b"sku,quantity\nJAM,3\n", Csv),
            (b"sku;name\r\n\"A;1\";M\xFCsli\r\n", Csv),
            (b"sku\tquantity\nJAM\t3", Csv),
            (b"sku,quantity\nJAM\n", Text),
            (b"one, line", Text),
            (b"type=LOGIN&userId=ada%40example.com", Form),
            (b"Hello\n", Text),
            ("Müsli".as_bytes(), Text),
            (b"M\xFCsli", LegacyText),
            (b"", Text),
            (b"%PDF-1.7\n\0\x01\xFF", Binary),
            (b"\0", Binary),
        ];
        for (bytes, format) in cases {
            assert_eq!(PayloadFormat::detect(bytes), *format, "{}", String::from_utf8_lossy(bytes));
        }
        let unusual = ISA.replace('*', "\u{1d}").replace('~', "\u{1c}");
        assert_eq!(PayloadFormat::detect(unusual.as_bytes()), X12);
    }

    #[test]
    fn header_values_are_ascii_and_can_be_decoded() {
        for (text, value) in [
            ("PO 17.edi", "PO 17.edi"),
            ("Größe 5%.edi", "Gr%C3%B6%C3%9Fe 5%25.edi"),
            ("a\r\nb: c", "a%0D%0Ab: c"),
            (" 注文.xml ", "%20%E6%B3%A8%E6%96%87.xml%20"),
            ("  ", "%20%20"),
            ("", ""),
        ] {
            assert_eq!(to_header_value(text), value);
            assert_eq!(percent_encoding::percent_decode_str(value).decode_utf8().unwrap(), text);
        }
    }

    #[test]
    fn edi_description_names_type_partner_and_file() {
        let key = |topic: &str, webhook_id: &str| EventKey {
            source: Source::Sps,
            shop_domain: "/out".into(),
            topic: topic.into(),
            webhook_id: webhook_id.into(),
        };
        let received = EdiDescription::of_event(&key("850", "PO 17.edi 0a1b"), ISA.as_bytes()).unwrap();
        assert_eq!((received.document_type.as_str(), received.file_name.as_str()), ("850", "PO 17.edi"));
        assert_eq!(received.partner.as_deref(), Some("ACMERETAIL"));
        let sent = EdiDescription::of_event(&key("send/997", "997-NOVEX-7.edi"), ISA.as_bytes()).unwrap();
        assert_eq!((sent.document_type.as_str(), sent.file_name.as_str()), ("997", "997-NOVEX-7.edi"));
        assert_eq!(sent.partner.as_deref(), Some("NOVEX"));
        let shopify = EventKey { source: Source::Shopify, ..key("orders/create", "w1") };
        assert_eq!(EdiDescription::of_event(&shopify, ISA.as_bytes()), None);
    }
}
