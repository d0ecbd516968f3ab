//! Printing for people: tables, and colour only where a person looks.

use anstyle::{AnsiColor, Style};
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// Whoever read our standard output has stopped reading, as `| head` does. A connection that breaks gives the same kind of error,
/// and is a failure: so this one has a type of its own.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub struct ReaderGone;

/// Where all output goes.
pub struct Out<W>(W);

/// Standard output as it is: for bytes, CSV, scripts.
pub fn out() -> Out<io::Stdout> {
    Out(io::stdout())
}

/// Standard output for people: anstream takes the colours out when this is no terminal, and when `NO_COLOR` is set.
fn coloured() -> Out<anstream::AutoStream<io::StdoutLock<'static>>> {
    Out(anstream::stdout().lock())
}

fn named(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { io::Error::new(error.kind(), ReaderGone) } else { error }
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(named)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(named)
    }
}

/// One cell: its text, and how it looks on a terminal.
pub struct Cell {
    text: String,
    style: Style,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: Style::new() }
    }
}

/// Columns as wide as their widest cell, two spaces apart, without lines: it can be cut and searched.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) -> io::Result<()> {
    let bold = Style::new().bold();
    let header = header.iter().map(|name| Cell { text: (*name).to_owned(), style: bold }).collect();
    let rows = rows.into_iter().map(|row| {
        row.into_iter().map(|cell| Cell { text: shortened(&shown(&cell.text), CELL_CHARS), ..cell }).collect()
    });
    let rows: Vec<Vec<Cell>> = std::iter::once(header).chain(rows).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.width()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = coloured();
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

/// Most of a cell that is printed; `--json` has it whole.
const CELL_CHARS: usize = 200;

/// `text` as a terminal may be given it: what strangers wrote can hold escapes that clear, colour or forge what is on it.
pub fn shown(text: &str) -> String {
    let hidden = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|letter| if hidden(letter) { '\u{fffd}' } else { letter }).collect()
}

/// A status in its colour.
pub fn status(status: &str) -> Cell {
    let colour = match status {
        "completed" | "delivered" => AnsiColor::Green,
        "failed" => AnsiColor::Red,
        "processing" | "delivering" => AnsiColor::Cyan,
        _ => AnsiColor::Yellow,
    };
    Cell { text: status.to_owned(), style: Style::new().fg_color(Some(colour.into())) }
}

/// `text`, at most `chars` long.
pub fn shortened(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars.saturating_sub(1)).chain(['…']).collect()
}

/// A number of bytes for people.
pub fn bytes(bytes: u64) -> String {
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

/// A time span for people, in its two largest units.
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match () {
        () if days > 0 => format!("{days} d {hours} h"),
        () if hours > 0 => format!("{hours} h {minutes} min"),
        () if minutes > 0 => format!("{minutes} min {} s", seconds % 60),
        () => format!("{seconds} s"),
    }
}

/// A line for people that holds what strangers wrote.
pub fn say(text: &str) -> io::Result<()> {
    line(&shown(text))
}

/// Writes a line to standard output; a closed pipe is an error here and success in `main`.
pub fn line(text: &str) -> io::Result<()> {
    writeln!(coloured(), "{text}")
}
