//! Groups failed events by their error, so that one fault of a thousand events is one line.

use crate::presentation::error_patterns::build_error_pattern;
use crate::store::StoreError;
use crate::store::events::records::{COMPLETED_AT_COLUMN, EventFilter, EventStatus, LAST_ERROR_COLUMN};
use crate::store::events::scan::visit_matches;
use rusqlite::Connection;
use std::collections::HashMap;

/// Most failed events that are grouped, the newest ones.
pub const GROUPED_EVENTS_MAX: u32 = 20_000;
/// Most groups that are returned, those with most events.
const GROUPS_MAX: usize = 100;

/// Failed events whose errors differ only in numbers, times and ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureGroup {
    /// The error with `*` in place of what differs; it fits [`EventFilter::error`].
    pub pattern: String,
    pub events: u64,
    pub first_failed_at: String,
    pub last_failed_at: String,
    /// The newest event of the group.
    pub last_event: i64,
    /// Its error.
    pub example: String,
}

/// Groups of failed events, the one with most events first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailureGroups {
    pub groups: Vec<FailureGroup>,
    /// True if older failed events, or further groups, are left out.
    pub has_more: bool,
}

/// Returns the groups of the failed events that match; the status of the filter does not count.
pub fn group_failures(connection: &Connection, filter: &EventFilter) -> Result<FailureGroups, StoreError> {
    let filter = EventFilter { status: Some(EventStatus::Failed), ..filter.clone() };
    let mut groups: HashMap<String, FailureGroup> = HashMap::new();
    let next = visit_matches(connection, &filter, None, GROUPED_EVENTS_MAX, |row| {
        let error: Option<String> = row.get(LAST_ERROR_COLUMN)?;
        let (error, id) = (error.unwrap_or_default(), row.get(0)?);
        let failed_at: Option<String> = row.get(COMPLETED_AT_COLUMN)?;
        let failed_at = failed_at.unwrap_or_default();
        let pattern = build_error_pattern(&error);
        let group = groups.entry(pattern).or_insert_with_key(|pattern| FailureGroup {
            pattern: pattern.clone(),
            events: 0,
            first_failed_at: failed_at.clone(),
            last_failed_at: failed_at.clone(),
            last_event: id,
            example: error,
        });
        group.events += 1;
        if failed_at < group.first_failed_at {
            group.first_failed_at = failed_at;
        } else if failed_at > group.last_failed_at {
            group.last_failed_at = failed_at;
        }
        Ok(true)
    })?;
    let mut groups: Vec<FailureGroup> = groups.into_values().collect();
    groups.sort_by(|one, other| other.events.cmp(&one.events).then(other.last_event.cmp(&one.last_event)));
    let has_more = next.is_some() || groups.len() > GROUPS_MAX;
    groups.truncate(GROUPS_MAX);
    Ok(FailureGroups { groups, has_more })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::db::migrate::SCHEMA;
    use crate::store::events::scan::{ScanLimits, count_matching_events};

    #[test]
    fn equal_faults_meet_and_lead_to_their_events() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let errors = ["order 1 has no line 7", "order 22 has no line 8", "ORDER 3 is late", "order 4 has no line 9"];
        for (index, error) in errors.iter().enumerate() {
            let at = format!("2026-01-01T00:00:0{index}.000Z");
            connection
                .execute(
                    "INSERT INTO webhook_events (source, shop_domain, topic, webhook_id, status, received_at, \
                     completed_at, last_error) VALUES ('shopify', 's', 'orders/create', ?1, 'failed', ?2, ?2, ?3)",
                    rusqlite::params![index.to_string(), at, error],
                )
                .unwrap();
        }
        let found = group_failures(&connection, &EventFilter::default()).unwrap();
        let shown: Vec<(&str, u64, &str, &str)> = found
            .groups
            .iter()
            .map(|group| (&*group.pattern, group.events, &group.first_failed_at[18..19], &group.last_failed_at[18..19]))
            .collect();
        assert_eq!(shown, [("order * has no line *", 3, "0", "3"), ("ORDER * is late", 1, "2", "2")]);
        assert!(!found.has_more && found.groups[0].example == errors[3]);
        for group in found.groups {
            let filter = EventFilter { error: Some(group.pattern), ..EventFilter::default() };
            let limits = ScanLimits { rows: 10, scanned: 10 };
            let count = count_matching_events(&connection, &filter, None, limits).unwrap();
            assert_eq!(count.events as u64, group.events);
        }
    }
}
