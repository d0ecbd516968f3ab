//! Lists of the audit trail, with a filter.

use crate::store::StoreError;
use crate::store::audit::system_log::{AuditRecord, COLUMNS, read_audit_row};
use rusqlite::{Connection, ToSql, named_params};
use std::ops::Range;

/// A filter of audit records; the default matches all.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Keycloak id or name of the user.
    pub user: Option<String>,
    /// A glob for the type: `LOGIN*`.
    pub kind: Option<String>,
    pub realm: Option<String>,
    pub address: Option<String>,
    /// This time or later, as [`crate::clock::format_timestamp`] writes it.
    pub since: Option<String>,
    /// Before this time, in the same form.
    pub until: Option<String>,
}

/// A page of audit records.
#[derive(Debug, Clone)]
pub struct AuditPage {
    pub records: Vec<AuditRecord>,
    /// The id before which the next page begins; None on the last page.
    pub next: Option<i64>,
}

/// Rows that one page looks at: a filter that matches nothing must not read ten million rows.
const PAGE_SCAN_ROWS: i64 = 200_000;

/// Returns a page of audit records from [`PAGE_SCAN_ROWS`] rows before the id `before`, the newest first.
pub fn list_audit_page(
    connection: &Connection,
    filter: &AuditFilter,
    before: Option<i64>,
    limit: u32,
) -> Result<AuditPage, StoreError> {
    scan_audit_page(connection, filter, before, (limit, PAGE_SCAN_ROWS))
}

fn scan_audit_page(
    connection: &Connection,
    filter: &AuditFilter,
    before: Option<i64>,
    (limit, scan_rows): (u32, i64),
) -> Result<AuditPage, StoreError> {
    let (first, last): (Option<i64>, Option<i64>) = (
        connection.query_row("SELECT min(id) FROM system_log", [], |row| row.get(0))?,
        connection.query_row("SELECT max(id) FROM system_log", [], |row| row.get(0))?,
    );
    let (Some(first), Some(last)) = (first, last) else { return Ok(AuditPage { records: Vec::new(), next: None }) };
    let before = before.unwrap_or(i64::MAX).min(last.saturating_add(1));
    let from = before.saturating_sub(scan_rows);
    let records = list_audit_range(connection, filter, from..before, limit)?;
    let is_full = records.len() == limit as usize;
    let next = if is_full { records.last().map(|record| record.id) } else { Some(from) };
    Ok(AuditPage { records, next: next.filter(|next| *next > first) })
}

/// Returns audit records, the newest first. `before` is the last id of the previous page.
pub fn list_audit_records(
    connection: &Connection,
    filter: &AuditFilter,
    before: i64,
    limit: u32,
) -> Result<Vec<AuditRecord>, StoreError> {
    list_audit_range(connection, filter, i64::MIN..before, limit)
}

fn list_audit_range(
    connection: &Connection,
    filter: &AuditFilter,
    ids: Range<i64>,
    limit: u32,
) -> Result<Vec<AuditRecord>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM system_log WHERE id >= :from AND id < :before AND (:user IS NULL OR :user IN (user_id, username)) \
         AND (:kind IS NULL OR type GLOB :kind) AND (:realm IS NULL OR realm = :realm) AND (:address IS NULL OR ip_address = :address) \
         AND (:since IS NULL OR at >= :since) AND (:until IS NULL OR at < :until) ORDER BY id DESC LIMIT :limit"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(
        named_params! {
            ":from": ids.start,
            ":before": ids.end,
            ":user": &filter.user as &dyn ToSql,
            ":kind": filter.kind,
            ":realm": filter.realm,
            ":address": filter.address,
            ":since": filter.since,
            ":until": filter.until,
            ":limit": limit,
        },
        read_audit_row,
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::db::migrate::SCHEMA;

    #[test]
    fn rare_rows_are_found_in_bounded_steps() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        for id in 1..=100 {
            let kind = if id % 40 == 0 { "RARE" } else { "LOGIN" };
            let sql =
                "INSERT INTO system_log (id, at, type, result, prev_hash, hash) VALUES (?, '2026', ?, 'ok', '', '')";
            connection.execute(sql, rusqlite::params![id, kind]).unwrap();
        }
        let filter = AuditFilter { kind: Some("RARE".to_owned()), ..AuditFilter::default() };
        let (mut before, mut pages) = (None, Vec::new());
        loop {
            let page = scan_audit_page(&connection, &filter, before, (1, 30)).unwrap();
            pages.push((page.records.iter().map(|record| record.id).collect::<Vec<_>>(), page.next));
            let Some(next) = page.next else { break };
            before = Some(next);
        }
        let expected =
            [(vec![80], Some(80)), (vec![], Some(50)), (vec![40], Some(40)), (vec![], Some(10)), (vec![], None)];
        assert_eq!(pages, expected);
        let all = scan_audit_page(&connection, &AuditFilter::default(), None, (200, 200)).unwrap();
        assert_eq!((all.records.len(), all.next), (100, None));
    }
}
