//! Output: standard output with colour only on a terminal, and numbers for people.

use crate::presentation::program::complete_commands;
use crate::text::replace_control_chars;
use std::io::{self, IsTerminal, Write};

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
pub(crate) fn lock_color_stdout() -> StdoutWriter<anstream::AutoStream<io::StdoutLock<'static>>> {
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

/// Returns the columns of the terminal of standard output, or None if it is no terminal. `COLUMNS` overrides them.
pub(crate) fn measure_terminal_width() -> Option<usize> {
    /// Columns of a terminal that does not know its size.
    const UNKNOWN_COLUMNS: usize = 80;
    if !io::stdout().is_terminal() {
        return None;
    }
    let stated = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let measured = || rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
    Some(stated.or_else(measured).filter(|columns| *columns > 0).unwrap_or(UNKNOWN_COLUMNS))
}

/// Returns the columns of a page of text: those of the terminal, at most as many as are comfortable to read.
pub fn measure_page_width() -> usize {
    const COLUMNS_MAX: usize = 120;
    /// Columns if standard output is no terminal.
    const PIPE_COLUMNS: usize = 100;
    measure_terminal_width().map_or(PIPE_COLUMNS, |columns| columns.min(COLUMNS_MAX))
}

/// Writes a line with untrusted text to standard output, without its control characters.
pub fn print_untrusted_line(text: &str) -> io::Result<()> {
    print_line(&replace_control_chars(text))
}

/// Writes a line to standard output, its commands with the options of this process. A JSON document stays as it is. A
/// closed pipe is an error here, which `main` turns into success.
pub fn print_line(text: &str) -> io::Result<()> {
    if text.starts_with(['{', '[']) {
        return writeln!(lock_color_stdout(), "{text}");
    }
    writeln!(lock_color_stdout(), "{}", complete_commands(text))
}
