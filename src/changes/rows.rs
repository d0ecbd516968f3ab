//! Rows of ERP tables as a handler states them.

use crate::changes::privacy::PersonalRows;

/// An ERP table in the catalogue.
#[derive(Debug, PartialEq, Eq)]
pub struct TableSpec {
    pub name: &'static str,
    /// The columns of the primary key.
    pub key: &'static [&'static str],
    /// Tables whose rows belong to a row of this one, by the same key. A table with partitions appears once for each,
    /// as `table:partition`.
    pub lists: &'static [&'static str],
    /// `shop/redact` deletes the rows of the shop. Otherwise it leaves the table as it is.
    pub is_deleted_with_shop: bool,
    /// The rows that are personal data, and the effect of `customers/redact` on them. Empty: none are.
    pub personal_rows: &'static [PersonalRows],
}

/// The value of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CellValue {
    Null,
    Integer(i64),
    Text(String),
}

impl From<i64> for CellValue {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for CellValue {
    fn from(value: bool) -> Self {
        Self::Integer(value.into())
    }
}

impl From<&str> for CellValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for CellValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for CellValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The columns and lists that one event states of one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    pub table: &'static TableSpec,
    /// One cell for each column of the table's key.
    pub key: Vec<CellValue>,
    /// Compared as text; the greater version is newer.
    pub row_version: String,
    pub columns: Vec<(&'static str, CellValue)>,
    pub lists: Vec<ListChange>,
}

/// All rows of one entity in another table. They replace the rows that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListChange {
    pub table: &'static str,
    /// Column and value that mark the rows of this list, where several fields of a body fill one table. Each partition
    /// is a register of its own, so that a body with one of the fields leaves the rows of the others.
    pub partition: Option<(&'static str, &'static str)>,
    /// The columns beside the key of the entity and the partition.
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<CellValue>>,
}

/// A row that is added once and never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactChange {
    pub table: &'static TableSpec,
    pub columns: Vec<(&'static str, CellValue)>,
}

impl ListChange {
    /// Returns the name of the register in `column_versions`: `table`, or `table:partition`.
    pub(crate) fn register_name(&self) -> String {
        self.partition.map_or_else(|| self.table.to_owned(), |(_, value)| format!("{}:{value}", self.table))
    }
}
