//! novex-ingest.toml(5): docs/configuration.md as a manual page.

use crate::cli::man::pages::{FILES, write_see_also, write_terms};
use crate::cli::man::roff::{convert_markdown_line, write_block, write_section};
use std::fmt::Write;

const CONFIGURATION_PAGE: &str = include_str!("../../../docs/configuration.md");

/// Renders the page.
pub fn render_config_page() -> String {
    let mut page = format!(
        ".TH novex\\-ingest.toml 5 \"\" \"novex\\-ingest {}\" \"novex\\-ingest\"\n.SH \"NAME\"\n\
         novex\\-ingest.toml \\- configuration of novex\\-ingest\n.SH \"DESCRIPTION\"\n",
        env!("CARGO_PKG_VERSION")
    );
    write_markdown(&mut page, CONFIGURATION_PAGE);
    write_terms(&mut page, "FILES", &FILES);
    let related = ["novex-ingest(1)", "novex-ingest-config-check(1)", "novex-ingest-setup(1)", "systemd.exec(5)"];
    write_see_also(&mut page, &related.map(str::to_owned));
    page
}

/// Writes a document with the Markdown of this project: headings, paragraphs, lists, tables and blocks of code.
fn write_markdown(page: &mut String, document: &str) {
    let mut lines = document.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# ") || line.is_empty() {
            page.push_str(if line.is_empty() && !page.ends_with(".PP\n") { ".PP\n" } else { "" });
        } else if let Some(heading) = line.strip_prefix("## ") {
            drop_empty_paragraph(page);
            write_section(page, &convert_heading(heading));
        } else if line.starts_with("```") {
            write_block(page, lines.by_ref().take_while(|line| !line.starts_with("```")));
        } else if line.starts_with('|') {
            let mut table = vec![line];
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                table.push(row);
            }
            drop_empty_paragraph(page);
            write_table(page, &table);
        } else if let Some(item) = line.strip_prefix("- ") {
            drop_empty_paragraph(page);
            let _ = writeln!(page, ".IP \\(bu 2\n{}", convert_markdown_line(item));
        } else {
            let _ = writeln!(page, "{}", convert_markdown_line(line.trim_start()));
        }
    }
    drop_empty_paragraph(page);
}

/// Removes a paragraph that the next request would end without a text: `man` warns about it.
fn drop_empty_paragraph(page: &mut String) {
    while let Some(shorter) = page.strip_suffix(".PP\n") {
        page.truncate(shorter.len());
    }
}

/// Returns a heading in capitals, except the name of a table of the file.
fn convert_heading(heading: &str) -> String {
    let text = heading.replace('`', "");
    if text.starts_with('[') { text } else { text.to_uppercase() }
}

/// Writes a table. A row of a table of keys becomes a term; another table becomes one list for each column.
fn write_table(page: &mut String, table: &[&str]) {
    let mut rows = table.iter().map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<&str>>());
    let header = rows.next().unwrap_or_default();
    let rows: Vec<Vec<&str>> = rows.skip(1).collect();
    let key = header.iter().position(|name| *name == "key");
    if key.is_none() && !["type", "reference"].contains(&header[0]) {
        return write_columns(page, &header, &rows);
    }
    let (key, last) = (key.unwrap_or(0), header.len() - 1);
    for row in rows {
        let facts =
            header.iter().zip(&row).enumerate().filter(|(at, (_, cell))| ![key, last].contains(at) && !cell.is_empty());
        let facts: Vec<String> = facts
            .map(|(_, (name, cell))| format!("{}: {}", convert_markdown_line(name), convert_markdown_line(cell)))
            .collect();
        let _ = writeln!(page, ".TP\n{}\n{}", convert_markdown_line(row[key]), convert_markdown_line(row[last]));
        if !facts.is_empty() {
            let _ = writeln!(page, ".br\n({})", facts.join("; "));
        }
    }
    page.push_str(".PP\n");
}

fn write_columns(page: &mut String, header: &[&str], rows: &[Vec<&str>]) {
    for (at, name) in header.iter().enumerate() {
        let _ = writeln!(page, ".PP\n{}:", convert_markdown_line(name));
        for cell in rows.iter().filter_map(|row| row.get(at)).filter(|cell| !cell.is_empty()) {
            let _ = writeln!(page, ".IP \\(bu 2\n{}", convert_markdown_line(cell));
        }
    }
    page.push_str(".PP\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, SecretLoading};
    use std::path::Path;

    #[test]
    fn example_of_the_document_is_a_valid_configuration() {
        let example = CONFIGURATION_PAGE.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let config = Config::parse(Path::new("c.toml"), example, SecretLoading::Skip).unwrap();
        assert_eq!((config.shopify.len(), config.destinations.len()), (1, 1));
    }

    #[test]
    fn every_key_of_the_document_is_a_term() {
        let page = render_config_page();
        let mut count = 0;
        for row in CONFIGURATION_PAGE.lines().filter(|line| line.starts_with("| `")) {
            let cell = row.split('|').nth(1).unwrap().trim();
            count += 1;
            assert!(page.contains(&convert_markdown_line(cell)), "{cell}");
        }
        assert!(count > 100, "{count} rows");
        assert!(page.contains("\n.TP\n\\fBanswer_timeout\\fR\n"), "{page}");
        assert!(page.contains("\n.SH \"[[destinations]]\"\n") && page.contains("\n.SH \"SECRETS\"\n"));
        assert!(!page.contains("](") && !page.contains("| ") && !page.contains("```"), "no Markdown is left");
    }
}
