//! `[log]`: format and level of the log.

use crate::config::reader::ConfigTable;
use crate::logging::LogSettings;

pub(crate) fn read_log_section(mut table: ConfigTable<'_>) -> LogSettings {
    let mut one_of = |key: &str, default: &str, all: &[&str]| -> String {
        let Some(text) = table.read_text(key) else { return default.to_owned() };
        if all.contains(&text.value.as_str()) {
            return text.value;
        }
        table.report_error_at(
            &text,
            format!("{:?} is not a valid value", text.value),
            format!("Use one of {}.", all.join(", ")),
        );
        default.to_owned()
    };
    let log = LogSettings {
        json: one_of("format", "text", &["text", "json"]) == "json",
        level: one_of("level", "info", &["error", "warn", "info", "debug", "trace"]),
    };
    table.finish();
    log
}
