//! Logs to standard error, for journald or for programs.
//!
//! A line has the subject, the fact, the consequence for events and the fix; the id of an event is the field `event`.
//! No line has bodies, secrets or customer data. The message of a panic may quote such data, so the log has only its
//! place.

use std::fmt;
use std::io::IsTerminal;
use tracing::{Event, Level, Subscriber, error};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{self, Format, FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// Settings of `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    pub json: bool,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
}

/// Starts logging for this process. Call it once.
pub fn init_logging(log: &LogSettings) {
    let filter =
        EnvFilter::new(format!("{level},novex_ingest={level},rustls=warn,hyper=warn,h2=warn", level = log.level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if log.json {
        builder.json().flatten_event(true).with_current_span(false).with_target(false).init();
    } else if std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stderr().is_terminal() {
        builder
            .with_ansi(false)
            .event_format(JournalFormat(format::format().without_time().with_level(false).with_target(false)))
            .init();
    } else {
        let colour =
            std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        builder.with_ansi(colour).with_target(false).init();
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        error!("a bug in novex-ingest: it panicked at {place}. Please report it");
    }));
}

/// Text lines with a priority prefix that journald reads and removes; journald adds the time.
struct JournalFormat<T>(Format<format::Full, T>);

impl<S, N, T> FormatEvent<S, N> for JournalFormat<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    Format<format::Full, T>: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}
