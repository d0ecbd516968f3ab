//! The log: to standard error, for journald or for programs.
//!
//! What a line holds: what happened, what it means for the events, what to do; the event's id as the field `event`. What no
//! line ever holds: bodies, secrets, customers' data. A panic's own message may quote such data, so only its place is
//! logged.

use crate::config::sections::Log;
use std::fmt;
use std::io::IsTerminal;
use tracing::{Event, Level, Subscriber, error};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{self, Format, FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// Starts logging for this process.
pub fn start(log: &Log) {
    let filter =
        EnvFilter::new(format!("{level},novex_ingest={level},rustls=warn,hyper=warn,h2=warn", level = log.level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if log.json {
        builder.json().flatten_event(true).with_current_span(false).with_target(false).init();
    } else if std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stderr().is_terminal() {
        builder
            .with_ansi(false)
            .event_format(Journal(format::format().without_time().with_level(false).with_target(false)))
            .init();
    } else {
        let colour =
            std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        builder.with_ansi(colour).with_target(false).init();
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        error!("a fault in novex-ingest itself: it panicked at {place}. Please report it");
    }));
}

/// Text with the priority in front that journald reads and removes; it knows the time itself.
struct Journal<T>(Format<format::Full, T>);

impl<S, N, T> FormatEvent<S, N> for Journal<T>
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
