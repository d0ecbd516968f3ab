//! The time of the last event that each secret proved, for the question "may the old secret of a rotation go?".

use crate::event::Source;
use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, params};
use std::sync::Arc;

/// A secret, as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretKey {
    pub source: Source,
    /// Domain of the shop; empty for other sources.
    pub shop_domain: String,
    /// Such as `file:secrets/easypost`. The database holds no part of the secret and no hash of it.
    pub reference: Arc<str>,
}

impl Store {
    /// Records that a secret proved an event at `at`. No caller waits for this row, and a crash may lose it.
    pub fn record_secret_use(&self, key: SecretKey, at: String) {
        self.writer.submit_detached(WriteClass::Maintain, move |connection| upsert_secret_use(connection, &key, &at));
    }
}

fn upsert_secret_use(connection: &Connection, key: &SecretKey, at: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO secret_uses (source, shop_domain, secret, last_used_at) VALUES (?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET last_used_at = max(last_used_at, excluded.last_used_at)",
        )?
        .execute(params![key.source, key.shop_domain, &*key.reference, at])?;
    Ok(())
}

/// Returns the time at which each secret was last used; a secret that was never used is absent.
pub fn list_secret_uses(connection: &Connection) -> Result<Vec<(SecretKey, String)>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT source, shop_domain, secret, last_used_at FROM secret_uses")?;
    let rows = statement.query_map([], |row| {
        let reference: String = row.get(2)?;
        Ok((SecretKey { source: row.get(0)?, shop_domain: row.get(1)?, reference: reference.into() }, row.get(3)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
