//! Text as roff(7) and man(7), which `man` formats.

use std::fmt::Write;

/// Escapes a text for a line of its own.
pub fn escape_text(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    // A line that begins with these is a request.
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// Writes the heading of a section.
pub fn write_section(page: &mut String, heading: &str) {
    let _ = writeln!(page, ".SH \"{}\"", escape_text(&heading.replace('"', "'")));
}

/// Writes a term with its description.
pub fn write_term(page: &mut String, term: &str, description: &str) {
    let _ = writeln!(page, ".TP\n\\fB{}\\fR\n{}", escape_text(term), escape_text(description));
}

/// Writes lines as they are, indented.
pub fn write_block<'l>(page: &mut String, lines: impl IntoIterator<Item = &'l str>) {
    page.push_str(".RS 4\n.nf\n");
    for line in lines {
        let _ = writeln!(page, "{}", escape_text(line));
    }
    page.push_str(".fi\n.RE\n");
}

/// Converts a line of Markdown: code becomes bold, and a link becomes its text.
pub fn convert_markdown_line(line: &str) -> String {
    let (mut text, mut rest) = (String::new(), line);
    while let Some(at) = rest.find(['`', '[']) {
        text.push_str(&escape_inline(&rest[..at]));
        let (is_code, after) = (rest.as_bytes()[at] == b'`', &rest[at + 1..]);
        if is_code && let Some(end) = after.find('`') {
            let _ = write!(text, "\\fB{}\\fR", escape_inline(&after[..end]));
            rest = &after[end + 1..];
        } else if !is_code
            && let Some((label, target)) = after.split_once("](")
            && !label.contains(['[', ']'])
        {
            text.push_str(&convert_markdown_line(label));
            rest = target.split_once(')').map_or("", |(_, rest)| rest);
        } else {
            text.push_str(&escape_inline(&rest[at..=at]));
            rest = after;
        }
    }
    text.push_str(&escape_inline(rest));
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

fn escape_inline(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace("**", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_roff() {
        let cases = [
            ("`a-b` and [the page](x.md#y), [`c`](z)", "\\fBa\\-b\\fR and the page, \\fBc\\fR"),
            (".start with \\ and **bold**", "\\&.start with \\e and bold"),
            ("a list [] of `[[x]]` and an open ` mark", "a list [] of \\fB[[x]]\\fR and an open ` mark"),
            ("'quoted' [no link]", "\\&'quoted' [no link]"),
        ];
        for (markdown, expected) in cases {
            assert_eq!(convert_markdown_line(markdown), expected, "{markdown}");
        }
    }
}
