//! Cells of CSV files for spreadsheets. A cell with text of others must never become a formula.
//!
//! A spreadsheet runs a cell that begins with `=` or another [`FORMULA_STARTS`] as a formula, which can start programs
//! or send the other cells away. [`neutralise_cell`] puts an apostrophe before it, and [`restore_cell`] takes exactly
//! these apostrophes away again.

use crate::text::is_hidden_char;
use std::io;

/// First characters of a formula. East Asian spreadsheets also accept the full-width ones.
const FORMULA_STARTS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
/// Characters at which a spreadsheet can begin a new cell, although the cell is in quotes. It does so if its own
/// separator is not the comma: then the quotes are not at the start of a cell.
const SEPARATORS: [char; 5] = [';', '\t', '|', '\r', '\n'];
/// Put before a cell that would be a formula.
const PREFIX: char = '\'';

/// Writes CSV with commas. No cell of it is a formula.
pub struct CsvWriter<W: io::Write>(csv::Writer<W>);

impl<W: io::Write> CsvWriter<W> {
    /// Writes the line of column names.
    pub fn begin_in(out: W, header: &[&str]) -> anyhow::Result<Self> {
        let mut out = csv::Writer::from_writer(out);
        out.write_record(header)?;
        out.flush()?;
        Ok(Self(out))
    }

    /// Writes a row at once, because the next one may take a while.
    pub fn write_row(&mut self, row: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
        self.0.write_record(row.into_iter().map(|cell| neutralise_cell(&cell)))?;
        self.0.flush()?;
        Ok(())
    }
}

/// Writes a table as CSV.
pub fn write_csv(
    out: impl io::Write,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> anyhow::Result<()> {
    let mut writer = CsvWriter::begin_in(out, header)?;
    rows.into_iter().try_for_each(|row| writer.write_row(row))
}

/// Returns a text that no spreadsheet runs as a formula. Plain numbers such as `-5` stay as they are.
pub fn neutralise_cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len() + 1);
    if starts_with_line_end(text) {
        cell.push(PREFIX);
    }
    for part in text.split_inclusive(SEPARATORS) {
        if is_formula(part) {
            cell.push(PREFIX);
        }
        cell.push_str(part);
    }
    cell
}

/// Returns the text that [`neutralise_cell`] got.
pub fn restore_cell(cell: &str) -> String {
    let cell = cell.strip_prefix(PREFIX).filter(|rest| starts_with_line_end(rest)).unwrap_or(cell);
    let parts = cell.split_inclusive(SEPARATORS);
    parts.map(|part| part.strip_prefix(PREFIX).filter(|rest| is_formula(rest)).unwrap_or(part)).collect()
}

/// Returns true for a part of a cell that a spreadsheet runs: behind blanks, quotes and hidden characters it begins as
/// a formula, and it is no plain number.
fn is_formula(part: &str) -> bool {
    let part = part.trim_end_matches(SEPARATORS);
    part.trim_start_matches(is_skipped_char).starts_with(FORMULA_STARTS) && !is_plain_number(part)
}

/// Returns true if a tab or line end comes before the text. A spreadsheet may drop it and run the rest.
fn starts_with_line_end(text: &str) -> bool {
    text.chars().take_while(|letter| is_skipped_char(*letter)).any(|letter| matches!(letter, '\t' | '\r' | '\n'))
}

fn is_skipped_char(letter: char) -> bool {
    letter.is_whitespace() || is_hidden_char(letter) || matches!(letter, '"' | '\'' | '\u{200b}'..='\u{200d}')
}

/// Returns true for a sign and decimal digits, with a fraction or without one.
fn is_plain_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    [whole, fraction].iter().all(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::Strategy;

    #[test]
    fn formulas_are_neutralised_and_numbers_stay() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+49 30 1234", "'+49 30 1234"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("＝1", "'＝1"),
            ("－1", "'－1"),
            (" =1", "' =1"),
            ("\u{a0}=1", "'\u{a0}=1"),
            ("\u{feff}=1", "'\u{feff}=1"),
            ("\"=1", "'\"=1"),
            ("'=1", "''=1"),
            ("\tcmd", "'\tcmd"),
            ("\r=1", "'\r'=1"),
            ("a;=1", "a;'=1"),
            ("a\n=1\r\nb", "a\n'=1\r\nb"),
            ("-1e5", "'-1e5"),
            ("--5", "'--5"),
            ("-", "'-"),
            ("-5", "-5"),
            ("+49301234", "+49301234"),
            ("-5.25", "-5.25"),
            ("0012", "0012"),
            ("GRAIN-1 = 2", "GRAIN-1 = 2"),
            ("it's", "it's"),
            ("", ""),
        ] {
            assert_eq!(neutralise_cell(text), cell);
            assert_eq!(restore_cell(cell), text);
        }
        // Somebody wrote these apostrophes; they are part of the text.
        for text in ["'tis", "'-5", "'", "''"] {
            assert_eq!(restore_cell(text), text);
        }
    }

    proptest::proptest! {
        #![proptest_config(crate::seed::seeded_config(4096))]
        #[test]
        fn each_cell_is_restored_and_no_part_of_it_is_a_formula(
            text in proptest::collection::vec(proptest::sample::select(
                vec!['=', '+', '-', '@', '＝', '\'', '"', ' ', '\t', '\r', '\n', ';', '|', ',', '5', '.', 'a', '\u{feff}']
            ), 0..10).prop_map(|letters| letters.into_iter().collect::<String>())
        ) {
            let cell = neutralise_cell(&text);
            proptest::prop_assert_eq!(restore_cell(&cell), text);
            for part in cell.split(SEPARATORS) {
                proptest::prop_assert!(!part.starts_with(FORMULA_STARTS) || is_plain_number(part), "{}", cell);
            }
            proptest::prop_assert!(!cell.starts_with(['\t', '\r', '\n']));
        }
    }
}
