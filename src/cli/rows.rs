//! Rows of lists for programs: JSON lines and CSV.

use crate::cli::output::{self, StdoutWriter, print_line};
use crate::text::is_hidden_char;
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use std::io::Stdout;

/// The form in which a list is printed: a table for people, or rows for programs.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct RowFormatArgs {
    /// Print one JSON line per row
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV with a line of column names, for a spreadsheet; times are in UTC
    #[arg(long)]
    csv: bool,
}

impl RowFormatArgs {
    pub(crate) fn is_for_programs(self) -> bool {
        self.json || self.csv
    }

    /// Returns the writer of rows, or None if a person reads the list. `columns` are the keys of the rows in the order
    /// of the CSV columns.
    pub(crate) fn open_writer(self, columns: &'static [&'static str]) -> anyhow::Result<Option<RowWriter>> {
        if self.json {
            return Ok(Some(RowWriter::JsonLines));
        }
        if !self.csv {
            return Ok(None);
        }
        let mut writer = csv::Writer::from_writer(output::open_stdout());
        writer.write_record(columns)?;
        writer.flush()?;
        Ok(Some(RowWriter::Csv { writer: Box::new(writer), columns }))
    }

    /// Prints all rows, or returns false if a person reads the list.
    pub(crate) fn print_rows<R: Serialize>(self, columns: &'static [&'static str], rows: &[R]) -> anyhow::Result<bool> {
        let Some(mut writer) = self.open_writer(columns)? else { return Ok(false) };
        rows.iter().try_for_each(|row| writer.write_row(row))?;
        Ok(true)
    }
}

/// Writes rows to standard output, each as soon as it is known.
pub(crate) enum RowWriter {
    JsonLines,
    Csv { writer: Box<csv::Writer<StdoutWriter<Stdout>>>, columns: &'static [&'static str] },
}

impl RowWriter {
    /// Writes a row that is an object in JSON.
    pub(crate) fn write_row(&mut self, row: &impl Serialize) -> anyhow::Result<()> {
        match self {
            Self::JsonLines => print_line(&serde_json::to_string(row)?)?,
            Self::Csv { writer, columns } => {
                let document = serde_json::to_value(row)?;
                writer.write_record(columns.iter().map(|column| format_csv_value(&document[*column])))?;
                writer.flush()?;
            }
        }
        Ok(())
    }
}

fn format_csv_value(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => neutralize_text(text),
        other => other.to_string(),
    }
}

/// Returns `text` so that a spreadsheet does not run it as a formula and a terminal does not obey it. A text that looks
/// like a formula gets an apostrophe before it, which spreadsheets read as "this is text".
fn neutralize_text(text: &str) -> String {
    let replace = |letter| if is_hidden_char(letter) && letter != '\n' && letter != '\t' { '\u{fffd}' } else { letter };
    let visible: String = text.chars().map(replace).collect();
    let is_number = visible.starts_with('-') && visible.parse::<f64>().is_ok_and(f64::is_finite);
    if visible.starts_with(['=', '+', '-', '@', '\t', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
        && !is_number
    {
        return format!("'{visible}");
    }
    visible
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn spreadsheet_runs_no_formula_of_a_row() {
        for (text, neutral) in [
            ("=HYPERLINK(\"http://192.0.2.10\")", "'=HYPERLINK(\"http://192.0.2.10\")"),
            ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("＝1", "'＝1"),
            ("-10.00", "-10.00"),
            ("+4930123456", "'+4930123456"),
            ("plain", "plain"),
            ("line one\nline two", "line one\nline two"),
            ("\u{1b}[2J=1", "\u{fffd}[2J=1"),
        ] {
            assert_eq!(neutralize_text(text), neutral);
        }
    }

    #[test]
    fn values_are_text_and_lists_are_json() {
        assert_eq!(format_csv_value(&json!(null)), "");
        assert_eq!(format_csv_value(&json!(-5)), "-5");
        assert_eq!(format_csv_value(&json!(true)), "true");
        assert_eq!(format_csv_value(&json!([{"name": "erp"}])), r#"[{"name":"erp"}]"#);
    }
}
