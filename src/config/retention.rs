//! `[retention]`: how long to keep finished events.

use crate::config::reader::ConfigTable;
use crate::queue::retention::RetentionSettings;
use crate::store::db::prune::RetentionRule;
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const YEAR: Duration = Duration::from_hours(24 * 365);

pub(crate) fn read_retention_section(mut table: ConfigTable<'_>) -> RetentionSettings {
    let non_zero = |duration: Duration| (!duration.is_zero()).then_some(duration);
    let retention = RetentionSettings {
        interval: table.read_duration("every", HOUR, HOUR / 60..=30 * DAY),
        warn_percent: table.read_number("warn_percent", 90, 1..=100),
        disk_pressure_percent: table.read_number("squeeze_percent", 95, 1..=100),
        disk_pressure_body_age: non_zero(table.read_duration("squeeze_bodies", 7 * DAY, Duration::ZERO..=10 * YEAR)),
        rules: Vec::new(),
    };
    let mut rules: Vec<RetentionRule> = Vec::new();
    for mut entry in table.read_tables("rules") {
        let source = entry.read_text("source").filter(|source| source.value != "*");
        if let Some(source) = &source
            && !["shopify", "easypost", "keycloak", "sps"].contains(&source.value.as_str())
        {
            let hint = "Write \"shopify\", \"easypost\", \"keycloak\", \"sps\" or \"*\".";
            entry.report_error_at(source, format!("{:?} is not a source", source.value), hint);
        }
        let status = entry.read_text("status");
        let status = status.map_or("completed".to_owned(), |status| {
            if !["completed", "failed"].contains(&status.value.as_str()) {
                let hint = "Write \"completed\" or \"failed\": retention never deletes an unfinished event.";
                entry.report_error_at(
                    &status,
                    format!("retention does not delete events with status {:?}", status.value),
                    hint,
                );
            }
            status.value
        });
        let bodies = entry.read_duration("bodies", Duration::ZERO, Duration::ZERO..=100 * YEAR);
        // A provider may send an event again for days. Without its row the event would be new.
        let rows = entry.read_duration("rows", Duration::ZERO, Duration::ZERO..=100 * YEAR);
        if !rows.is_zero() && rows < 30 * DAY {
            let hint = "Keep rows for at least 30 days: only the row shows that a webhook is a duplicate. Delete \
                        bodies instead.";
            entry.report_error("deletes rows too early", hint);
        }
        let source = source.map(|source| source.value);
        if rules.iter().any(|rule| rule.source == source && rule.status == status) {
            entry.report_error("has the same source and status as an earlier rule", "Remove one of them.");
        }
        rules.push(RetentionRule {
            source,
            status,
            keep_bodies_for: non_zero(bodies),
            keep_events_for: non_zero(rows),
        });
        entry.finish();
    }
    table.finish();
    if rules.is_empty() {
        rules.push(RetentionRule {
            source: None,
            status: "completed".to_owned(),
            keep_bodies_for: Some(90 * DAY),
            keep_events_for: Some(400 * DAY),
        });
    }
    RetentionSettings { rules, ..retention }
}
