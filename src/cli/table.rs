//! Tables for people, which fit the width of the terminal.

use crate::cli::output::{lock_color_stdout, measure_terminal_width};
use crate::presentation::times::TimeFormat;
use crate::text::replace_control_chars;
use anstyle::{AnsiColor, Style};
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// Cell of a table: its text and its style on a terminal.
#[derive(Clone)]
pub(crate) struct TableCell {
    text: String,
    /// A shorter text with the same meaning, for a narrow terminal.
    short: Option<String>,
    /// True for free text, which a narrow terminal shows in part. An id is always whole.
    can_be_cut: bool,
    style: Style,
}

impl<T: Into<String>> From<T> for TableCell {
    fn from(text: T) -> Self {
        Self { text: replace_control_chars(&text.into()), short: None, can_be_cut: false, style: Style::new() }
    }
}

/// Returns a cell of free text.
pub(crate) fn free_text(text: impl Into<String>) -> TableCell {
    TableCell { can_be_cut: true, ..text.into().into() }
}

/// Returns a cell of a stored time, with its age. A narrow terminal shows the age alone.
pub(crate) fn time_cell(times: &TimeFormat, stored: Option<&str>) -> TableCell {
    let Some(stored) = stored else { return "".into() };
    TableCell { short: times.format_age(stored), ..times.format_time_with_age(stored).into() }
}

/// Returns a cell of a status, in its colour.
pub(crate) fn status_cell(status: &str) -> TableCell {
    let colour = match status.split(' ').next().unwrap_or_default() {
        "completed" | "delivered" => AnsiColor::Green,
        "failed" => AnsiColor::Red,
        "processing" | "delivering" => AnsiColor::Cyan,
        _ => AnsiColor::Yellow,
    };
    TableCell { style: Style::new().fg_color(Some(colour.into())), ..status.into() }
}

/// Spaces between two columns.
const COLUMN_GAP: usize = 2;
/// A column of free text is this wide at least, before times get short.
const TEXT_WIDTH_COMFORTABLE: usize = 24;
/// A column of free text is this wide at least.
const TEXT_WIDTH_MIN: usize = 6;

/// Prints a table. It has no lines, so that `cut` and `grep` work on it. On a terminal it is as wide as the terminal at
/// most, if cutting free text is enough for that.
pub(crate) fn print_table(header: &[&str], rows: impl IntoIterator<Item = Vec<TableCell>>) -> io::Result<()> {
    let bold = Style::new().bold();
    let header = header.iter().map(|name| TableCell { style: bold, ..(*name).into() }).collect();
    let mut rows: Vec<Vec<TableCell>> = std::iter::once(header).chain(rows).collect();
    let widths = match measure_terminal_width() {
        Some(width) => fit_table(&mut rows, width),
        None => measure_columns(&rows),
    };
    let mut out = lock_color_stdout();
    for row in &rows {
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let style = cell.style;
            write!(out, "{style}{}{style:#}", cell.text)?;
            if index + 1 < row.len() {
                out.write_all(" ".repeat(width.saturating_sub(cell.text.width()) + COLUMN_GAP).as_bytes())?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Returns the width of the widest cell of each column.
fn measure_columns(rows: &[Vec<TableCell>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let measure = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.width()).max();
    (0..columns).map(|column| measure(column).unwrap_or(0)).collect()
}

/// Shortens cells until the table is `width` columns wide, or no cell may be shorter. Returns the width of each column.
fn fit_table(rows: &mut [Vec<TableCell>], width: usize) -> Vec<usize> {
    let natural = measure_columns(rows);
    let can_be_cut: Vec<bool> = (0..natural.len())
        .map(|column| rows.iter().any(|row| row.get(column).is_some_and(|cell| cell.can_be_cut)))
        .collect();
    let mut widths = shrink_columns(natural, &can_be_cut, width, TEXT_WIDTH_COMFORTABLE);
    if total_width(&widths) > width {
        for cell in rows.iter_mut().flatten() {
            if let Some(short) = cell.short.take() {
                cell.text = short;
            }
        }
        widths = shrink_columns(measure_columns(rows), &can_be_cut, width, TEXT_WIDTH_MIN);
    }
    for row in rows.iter_mut() {
        for (cell, width) in row.iter_mut().zip(&widths) {
            cell.text = truncate_to_width(&cell.text, *width);
        }
    }
    widths
}

fn total_width(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + COLUMN_GAP * widths.len().saturating_sub(1)
}

/// Makes the widest columns of free text narrower, but none narrower than `min`, until all columns are `width` wide.
fn shrink_columns(mut widths: Vec<usize>, can_be_cut: &[bool], width: usize, min: usize) -> Vec<usize> {
    let mut excess = total_width(&widths).saturating_sub(width);
    while excess > 0 {
        let candidates = || (0..widths.len()).filter(|column| can_be_cut[*column] && widths[*column] > min);
        let Some(widest) = candidates().max_by_key(|column| widths[*column]) else { break };
        // Down to the next widest one in one step.
        let next = candidates().map(|column| widths[column]).filter(|other| *other < widths[widest]).max();
        let step = (widths[widest] - next.unwrap_or(min).max(min)).min(excess);
        widths[widest] -= step;
        excess -= step;
    }
    widths
}

/// Returns `text`, at most `width` columns wide; an ellipsis is the last character if text is left out.
fn truncate_to_width(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut end = 0;
    for (start, letter) in text.char_indices() {
        let next = start + letter.len_utf8();
        // The width of a sequence, such as an emoji with its modifier, is not the sum of its characters.
        if text[..next].width() >= width {
            break;
        }
        end = next;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(rows: &[Vec<TableCell>]) -> Vec<Vec<&str>> {
        rows.iter().map(|row| row.iter().map(|cell| cell.text.as_str()).collect()).collect()
    }

    fn time(text: &str, short: &str) -> TableCell {
        TableCell { short: Some(short.to_owned()), ..text.into() }
    }

    #[test]
    fn table_that_fits_stays_as_it_is() {
        let mut rows = vec![vec!["ID".into(), "ERROR".into()], vec!["17".into(), free_text("no answer")]];
        assert_eq!(fit_table(&mut rows, 13), [2, 9]);
        assert_eq!(texts(&rows), [["ID", "ERROR"], ["17", "no answer"]]);
    }

    #[test]
    fn widest_free_text_is_cut_first_and_an_id_never() {
        let long = "a long text without end, and more of it, and more";
        let id = "1234567890123456789012345678901234567890";
        let mut rows = vec![vec![id.into(), free_text(long), free_text("a text of some length")]];
        assert_eq!(fit_table(&mut rows, 90), [40, 25, 21]);
        assert_eq!(texts(&rows), [[id, "a long text without end,…", "a text of some length"]]);
        assert_eq!(fit_table(&mut rows, 20), [40, 6, 6], "an id is whole although the table is too wide");
        assert_eq!(texts(&rows), [[id, "a lon…", "a tex…"]]);
    }

    #[test]
    fn times_are_short_before_text_is_unreadable() {
        let cells = || vec![vec![time("2026-11-23 15:30:00 EST (4 min ago)", "4 min ago"), free_text("x".repeat(60))]];
        let mut rows = cells();
        assert_eq!(fit_table(&mut rows, 70), [35, 33]);
        let mut rows = cells();
        assert_eq!(fit_table(&mut rows, 60), [9, 49]);
        assert_eq!(rows[0][0].text, "4 min ago");
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(truncate_to_width("日本語テキスト", 7), "日本語…");
        assert_eq!(truncate_to_width("日本語テキスト", 6), "日本…");
        assert_eq!(truncate_to_width("日本語", 6), "日本語");
        assert_eq!(truncate_to_width("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
    }

    proptest! {
        #[test]
        fn cut_text_is_never_wider(text in "\\PC{0,40}", width in 1_usize..40) {
            let cut = truncate_to_width(&text, width);
            prop_assert!(cut.width() <= width, "{cut:?}");
            prop_assert!(cut == text || cut.ends_with('…'));
        }

        #[test]
        fn table_of_free_text_always_fits(texts in prop::collection::vec("[a-z日]{0,60}", 1..6), width in 60_usize..120) {
            let mut rows = vec![texts.into_iter().map(free_text).collect::<Vec<_>>()];
            let widths = fit_table(&mut rows, width);
            prop_assert!(total_width(&widths) <= width);
            prop_assert!(rows[0].iter().zip(&widths).all(|(cell, width)| cell.text.width() <= *width));
        }
    }
}
