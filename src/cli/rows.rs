//! Rows of lists for programs: JSON lines and CSV.

use crate::cli::output::{StdoutWriter, open_stdout, print_line};
use crate::spreadsheet::cells::CsvWriter;
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
        let writer = Box::new(CsvWriter::begin_in(open_stdout(), columns)?);
        Ok(Some(RowWriter::Csv { writer, columns }))
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
    Csv { writer: Box<CsvWriter<StdoutWriter<Stdout>>>, columns: &'static [&'static str] },
}

impl RowWriter {
    /// Writes a row that is an object in JSON.
    pub(crate) fn write_row(&mut self, row: &impl Serialize) -> anyhow::Result<()> {
        match self {
            Self::JsonLines => print_line(&serde_json::to_string(row)?)?,
            Self::Csv { writer, columns } => {
                let document = serde_json::to_value(row)?;
                writer.write_row(columns.iter().map(|column| format_csv_value(&document[*column])))?;
            }
        }
        Ok(())
    }
}

/// Returns a value as text that a terminal does not obey. A list is JSON.
fn format_csv_value(value: &Value) -> String {
    let replace = |letter| if is_hidden_char(letter) && letter != '\n' && letter != '\t' { '\u{fffd}' } else { letter };
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.chars().map(replace).collect(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_text_and_lists_are_json() {
        assert_eq!(format_csv_value(&json!(null)), "");
        assert_eq!(format_csv_value(&json!(-5)), "-5");
        assert_eq!(format_csv_value(&json!("one\n\u{1b}[2Jtwo")), "one\n\u{fffd}[2Jtwo");
        assert_eq!(format_csv_value(&json!(true)), "true");
        assert_eq!(format_csv_value(&json!([{"name": "erp"}])), r#"[{"name":"erp"}]"#);
    }
}
