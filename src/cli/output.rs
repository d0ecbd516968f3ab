//! Output for people: tables, counts, and colour only on a terminal.

use crate::text::{is_hidden_char, keep_first_chars};
use anstyle::{AnsiColor, Style};
use std::fmt::Display;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// Error of a write to standard output after its reader has closed it, as `| head` does. It has its own type because a
/// broken network connection gives the same error kind and is a failure.
#[derive(Debug, thiserror::Error)]
#[error("the reader of standard output has closed it")]
pub struct StdoutClosed;

/// Standard output, with [`StdoutClosed`] in place of a broken pipe.
pub struct StdoutWriter<W>(W);

/// Returns standard output as it is, for bytes, CSV and scripts.
pub fn open_stdout() -> StdoutWriter<io::Stdout> {
    StdoutWriter(io::stdout())
}

/// Returns standard output for people. anstream removes colours if it is not a terminal or `NO_COLOR` is set.
fn lock_color_stdout() -> StdoutWriter<anstream::AutoStream<io::StdoutLock<'static>>> {
    StdoutWriter(anstream::stdout().lock())
}

fn mark_stdout_closed(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { io::Error::new(error.kind(), StdoutClosed) } else { error }
}

impl<W: Write> Write for StdoutWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(mark_stdout_closed)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(mark_stdout_closed)
    }
}

/// Cell of a table: its text and its style on a terminal.
pub struct TableCell {
    text: String,
    style: Style,
}

impl<T: Into<String>> From<T> for TableCell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: Style::new() }
    }
}

/// Prints a table whose columns are as wide as their widest cell. It has no lines, so that `cut` and `grep` work on it.
pub fn print_table(header: &[&str], rows: impl IntoIterator<Item = Vec<TableCell>>) -> io::Result<()> {
    let bold = Style::new().bold();
    let header = header.iter().map(|name| TableCell { text: (*name).to_owned(), style: bold }).collect();
    let rows = rows.into_iter().map(|row| {
        row.into_iter()
            .map(|cell| TableCell { text: shorten_text(&replace_control_chars(&cell.text), CELL_CHARS_MAX), ..cell })
            .collect()
    });
    let rows: Vec<Vec<TableCell>> = std::iter::once(header).chain(rows).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.width()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = lock_color_stdout();
    for row in &rows {
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let style = cell.style;
            write!(out, "{style}{}{style:#}", cell.text)?;
            if index + 1 < row.len() {
                out.write_all(" ".repeat(width - cell.text.width() + 2).as_bytes())?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Most characters of a cell that are printed; `--json` has all of them.
const CELL_CHARS_MAX: usize = 200;

/// Returns `text` without control characters. Untrusted text can contain escapes that clear, colour or forge the
/// terminal's content.
pub fn replace_control_chars(text: &str) -> String {
    text.chars().map(|letter| if is_hidden_char(letter) { '\u{fffd}' } else { letter }).collect()
}

/// Columns of a line if standard output is no terminal.
const PIPE_COLUMNS: usize = 100;

/// Returns the columns of the terminal, at most as many as are comfortable to read.
pub fn measure_stdout_width() -> usize {
    const COLUMNS_MAX: usize = 120;
    let columns = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { PIPE_COLUMNS } else { columns.min(COLUMNS_MAX) }
}

/// Returns a status in its colour.
pub fn format_status(status: &str) -> TableCell {
    let colour = match status.split(' ').next().unwrap_or_default() {
        "completed" | "delivered" => AnsiColor::Green,
        "failed" => AnsiColor::Red,
        "processing" | "delivering" => AnsiColor::Cyan,
        _ => AnsiColor::Yellow,
    };
    TableCell { text: status.to_owned(), style: Style::new().fg_color(Some(colour.into())) }
}

/// Returns `text`, cut to at most `chars` characters.
pub fn shorten_text(text: &str, chars: usize) -> String {
    keep_first_chars(text, chars)
}

/// Returns a count with its noun in the right number: `1 event`, `2 events`.
pub fn format_count<N: Copy + Display + PartialEq + From<u8>>(count: N, singular: &str, plural: &str) -> String {
    let noun = if count == N::from(1) { singular } else { plural };
    format!("{count} {noun}")
}

/// Returns a number of bytes for people, such as `1.5 MiB`.
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// Returns a time span for people, in its two largest units.
pub fn format_duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match () {
        () if days > 0 => format!("{days} d {hours} h"),
        () if hours > 0 => format!("{hours} h {minutes} min"),
        () if minutes > 0 => format!("{minutes} min {} s", seconds % 60),
        () => format!("{seconds} s"),
    }
}

/// Writes a line with untrusted text to standard output, without its control characters.
pub fn print_untrusted_line(text: &str) -> io::Result<()> {
    print_line(&replace_control_chars(text))
}

/// Writes a line to standard output. A closed pipe is an error here, which `main` turns into success.
pub fn print_line(text: &str) -> io::Result<()> {
    writeln!(lock_color_stdout(), "{text}")
}
