//! How shared types are stored in columns.

use crate::event::Source;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

impl FromSql for Source {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|error: String| FromSqlError::Other(error.into()))
    }
}

impl ToSql for Source {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

/// Returns the first eight bytes of a SHA-256 digest, by which the store finds equal bodies.
pub(crate) fn to_body_hash(digest: &[u8; 32]) -> i64 {
    i64::from_be_bytes(*digest.first_chunk().expect("a digest has more than eight bytes"))
}
