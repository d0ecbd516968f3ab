//! `[retention]`: how long events are kept after they ended.

use super::reader::Table;
use crate::queue::janitor::Retention;
use crate::store::prune::Rule;
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const YEAR: Duration = Duration::from_hours(24 * 365);

pub(super) fn read(mut table: Table<'_>) -> Retention {
    let kept = |duration: Duration| (!duration.is_zero()).then_some(duration);
    let retention = Retention {
        every: table.duration("every", HOUR, HOUR / 60..=30 * DAY),
        warn_percent: table.number("warn_percent", 90, 1..=100),
        squeeze_percent: table.number("squeeze_percent", 95, 1..=100),
        squeeze_bodies: kept(table.duration("squeeze_bodies", 7 * DAY, Duration::ZERO..=10 * YEAR)),
        rules: Vec::new(),
    };
    let mut rules: Vec<Rule> = Vec::new();
    for mut entry in table.tables("rules") {
        let source = entry.text("source").filter(|source| source.value != "*");
        if let Some(source) = &source
            && !["shopify", "easypost", "keycloak", "sps"].contains(&source.value.as_str())
        {
            let mend = "Write \"shopify\", \"easypost\", \"keycloak\", \"sps\" or \"*\".";
            entry.mistake_at(source, format!("{:?} is no source", source.value), mend);
        }
        let status = entry.text("status");
        let status = status.map_or("completed".to_owned(), |status| {
            if !["completed", "failed"].contains(&status.value.as_str()) {
                let mend = "Write \"completed\" or \"failed\": what is not ended is never taken off.";
                entry.mistake_at(&status, format!("{:?} cannot be taken off", status.value), mend);
            }
            status.value
        });
        let bodies = entry.duration("bodies", Duration::ZERO, Duration::ZERO..=100 * YEAR);
        // A provider may send again for days; without its row the event would be new.
        let rows = entry.duration("rows", Duration::ZERO, Duration::ZERO..=100 * YEAR);
        if !rows.is_zero() && rows < 30 * DAY {
            let mend = "Keep rows for 30 days at least: a delivery that comes again is known by its row. Take off bodies instead.";
            entry.mistake("takes off rows too early", mend);
        }
        let source = source.map(|source| source.value);
        if rules.iter().any(|rule| rule.source == source && rule.status == status) {
            entry.mistake("says the same as a rule before", "Take one of them out.");
        }
        rules.push(Rule { source, status, bodies: kept(bodies), rows: kept(rows) });
        entry.end();
    }
    table.end();
    if rules.is_empty() {
        rules.push(Rule {
            source: None,
            status: "completed".to_owned(),
            bodies: Some(90 * DAY),
            rows: Some(400 * DAY),
        });
    }
    Retention { rules, ..retention }
}
