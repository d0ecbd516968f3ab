//! Shows the bytes of an event: JSON as a tree that folds, EDI with one segment a line, XML with indents, else text or
//! hexadecimal digits. What is shown is bounded; the download has everything.

use crate::edi::encoding::decode_edi_bytes;
use crate::lenient_json::{JsonValue, parse_lenient_json};
use maud::{Markup, html};
use quick_xml::events::Event;
use quick_xml::{Reader, Writer};

/// Largest body that is parsed, in bytes; a larger one is shown as text.
const PARSED_BYTES_MAX: usize = 1 << 20;
/// Most values of a tree.
const NODES_MAX: usize = 3_000;
/// Deepest level of a tree.
const DEPTH_MAX: usize = 20;
/// Levels that are open at first.
const OPEN_LEVELS: usize = 2;
/// Most characters of one text in a tree.
const VALUE_CHARS_MAX: usize = 2_000;
/// Most characters of a body as text.
const TEXT_CHARS_MAX: usize = 200_000;
/// Most bytes as hexadecimal digits.
const HEX_BYTES_MAX: usize = 4 << 10;
/// Place of the segment terminator in an ISA, in characters: it has a fixed length.
const ISA_TERMINATOR: usize = 105;

/// Returns the view of a body.
#[must_use]
pub fn build_body_view(body: &[u8]) -> Markup {
    if body.is_empty() {
        return html! { p { "The body is empty." } };
    }
    let is_small = body.len() <= PARSED_BYTES_MAX;
    if is_small && let Ok(json) = parse_lenient_json(body) {
        let mut tree = JsonTree { nodes: 0 };
        return html! { div class="tree" { (tree.build_value(None, &json.value, 0)) } };
    }
    let Some(text) = decode_text(body) else { return build_hex(body) };
    if let Some(segments) = split_segments(&text) {
        return build_text(&segments);
    }
    match is_small.then(|| indent_xml(&text)).flatten() {
        Some(indented) => build_text(&indented),
        None => build_text(&text),
    }
}

/// Returns the ending of a file name that fits a body.
#[must_use]
pub fn find_extension(body: &[u8]) -> &'static str {
    let start = body.trim_ascii_start();
    match start.first() {
        Some(b'{' | b'[') => "json",
        Some(b'<') => "xml",
        _ if start.starts_with(b"ISA") => "edi",
        _ if std::str::from_utf8(body).is_ok() => "txt",
        _ => "bin",
    }
}

fn decode_text(body: &[u8]) -> Option<String> {
    // A byte order mark or an XML declaration can state another encoding than UTF-8.
    let text = decode_edi_bytes(body).ok()?.text;
    let is_binary = text.chars().take(1_000).any(|letter| letter.is_control() && !letter.is_whitespace());
    (!is_binary).then(|| text.into_owned())
}

fn build_text(text: &str) -> Markup {
    let end = text.char_indices().nth(TEXT_CHARS_MAX).map(|(end, _)| end);
    html! {
        pre class="scroll card" tabindex="0" { (text[..end.unwrap_or(text.len())]) }
        @if end.is_some() { p { "Only the start is shown; the download has the whole body." } }
    }
}

fn build_hex(body: &[u8]) -> Markup {
    let shown = &body[..body.len().min(HEX_BYTES_MAX)];
    let lines: Vec<String> = shown
        .chunks(16)
        .enumerate()
        .map(|(index, line)| {
            let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let visible = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' };
            format!("{:08x}  {:<47}  {}", index * 16, digits.join(" "), line.iter().map(visible).collect::<String>())
        })
        .collect();
    html! {
        pre class="scroll card" tabindex="0" { (lines.join("\n")) }
        @if shown.len() < body.len() { p { "Only the start is shown; the download has the whole body." } }
    }
}

/// Returns an X12 file with one segment a line, or None for another text.
fn split_segments(text: &str) -> Option<String> {
    let text = text.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '\u{feff}');
    let terminator = text.strip_prefix("ISA").and_then(|_| text.chars().nth(ISA_TERMINATOR))?;
    if terminator.is_alphanumeric() || terminator == ' ' {
        return None;
    }
    let segments = text.split(terminator).map(|segment| segment.trim_matches(['\r', '\n']));
    Some(segments.filter(|segment| !segment.is_empty()).collect::<Vec<_>>().join("\n"))
}

/// Returns XML with indents, or None if it is none.
fn indent_xml(text: &str) -> Option<String> {
    if !text.trim_start().starts_with('<') {
        return None;
    }
    let mut reader = Reader::from_str(text);
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    loop {
        match reader.read_event().ok()? {
            Event::Eof => break,
            // The indents of the file.
            Event::Text(blank) if blank.trim_ascii().is_empty() => {}
            event => writer.write_event(event).ok()?,
        }
    }
    String::from_utf8(writer.into_inner()).ok()
}

/// Builds the tree of a JSON value within [`NODES_MAX`] and [`DEPTH_MAX`].
struct JsonTree {
    nodes: usize,
}

impl JsonTree {
    fn build_value(&mut self, name: Option<&str>, value: &JsonValue, depth: usize) -> Markup {
        self.nodes += 1;
        let label = html! { @if let Some(name) = name { span class="key" { (name) } ": " } };
        let (count, brackets) = match value {
            JsonValue::Array(elements) => (elements.len(), ["[", "]"]),
            JsonValue::Object(object) => (object.len(), ["{", "}"]),
            scalar => return html! { div { (label) (build_scalar(scalar)) } },
        };
        if count == 0 {
            return html! { div { (label) (brackets[0]) (brackets[1]) } };
        }
        if depth >= DEPTH_MAX || self.nodes >= NODES_MAX {
            return html! { div { (label) (brackets[0]) "…" (brackets[1]) " " (count) } };
        }
        html! {
            details open[depth < OPEN_LEVELS] {
                summary { (label) (brackets[0]) (count) (brackets[1]) }
                (self.build_children(value, depth + 1))
            }
        }
    }

    fn build_children(&mut self, value: &JsonValue, depth: usize) -> Markup {
        let mut children = Vec::new();
        let mut add = |tree: &mut Self, name: Option<&str>, child: &JsonValue| {
            let has_place = tree.nodes < NODES_MAX;
            children.push(if has_place {
                tree.build_value(name, child, depth)
            } else {
                html! { div { "… more: the download has the whole body" } }
            });
            has_place
        };
        match value {
            JsonValue::Array(elements) => {
                for (index, child) in elements.iter().enumerate() {
                    if !add(self, Some(&index.to_string()), child) {
                        break;
                    }
                }
            }
            JsonValue::Object(object) => {
                for (name, child) in object.iter() {
                    if !add(self, Some(name), child) {
                        break;
                    }
                }
            }
            _ => {}
        }
        html! { @for child in children { (child) } }
    }
}

fn build_scalar(value: &JsonValue) -> Markup {
    let text = value.to_string();
    let end = text.char_indices().nth(VALUE_CHARS_MAX).map(|(end, _)| end);
    html! { code { (text[..end.unwrap_or(text.len())]) @if end.is_some() { "…" } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(body: &[u8]) -> String {
        build_body_view(body).into_string()
    }

    #[test]
    fn json_is_a_tree_of_escaped_values() {
        let shown = show(br#"{"a":{"<b>":["<script>",2,null]},"e":{}}"#);
        assert_eq!(
            shown,
            "<div class=\"tree\"><details open><summary>{2}</summary><details open><summary>\
             <span class=\"key\">a</span>: {1}</summary><details><summary><span class=\"key\">&lt;b&gt;</span>: [3]\
             </summary><div><span class=\"key\">0</span>: <code>&quot;&lt;script&gt;&quot;</code></div>\
             <div><span class=\"key\">1</span>: <code>2</code></div>\
             <div><span class=\"key\">2</span>: <code>null</code></div></details></details>\
             <div><span class=\"key\">e</span>: {}</div></details></div>"
        );
    }

    #[test]
    fn tree_is_bounded() {
        let wide = format!("[{}]", vec!["[1,2]"; 100_000].join(","));
        let shown = show(wide.as_bytes());
        assert!(shown.len() < 400_000 && shown.contains("… more"), "{} bytes", shown.len());
        let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(show(deep.as_bytes()).matches("<details").count(), DEPTH_MAX);
        let long = format!("\"{}\"", "x".repeat(100_000));
        assert!(show(long.as_bytes()).len() < 3_000);
        let large = format!("[\"{}\"]", "y".repeat(PARSED_BYTES_MAX));
        let shown = show(large.as_bytes());
        assert!(shown.starts_with("<pre") && shown.len() < 2 * TEXT_CHARS_MAX);
    }

    #[test]
    fn edi_has_one_segment_a_line() {
        let isa = format!(
            "ISA*00*{0}*00*{0}*ZZ*SENDER         *ZZ*US             *260101*1200*U*00401*000000001*0*P*>~",
            " ".repeat(10)
        );
        assert_eq!(isa.len(), 106);
        let shown = show(format!("{isa}GS*PO*<b>~\r\nST*850*0001~").as_bytes());
        assert!(shown.ends_with("\nGS*PO*&lt;b&gt;\nST*850*0001</pre>"), "{shown}");
    }

    #[test]
    fn xml_text_and_bytes_are_readable() {
        let shown = show(b"<Order><Line>1 &lt; 2</Line><Empty/></Order>");
        assert!(
            shown.contains("&lt;Order&gt;\n  &lt;Line&gt;1 &amp;lt; 2&lt;/Line&gt;\n  &lt;Empty/&gt;\n"),
            "{shown}"
        );
        assert!(show(b"<Order><Line>").contains("&lt;Order&gt;"), "broken XML is text");
        assert!(show("für <b>".as_bytes()).contains("für &lt;b&gt;"));
        assert!(show(b"\x00\x01\xff\x02").contains("00000000  00 01 ff 02"));
        assert!(show(b"").contains("empty"));
    }

    #[test]
    fn file_name_fits_the_body() {
        for (body, extension) in [
            (&b" {}"[..], "json"),
            (b"<a/>", "xml"),
            (b"ISA*", "edi"),
            (b"text", "txt"),
            (b"\xff\xfe", "bin"),
            (b"", "txt"),
        ] {
            assert_eq!(find_extension(body), extension);
        }
    }
}
