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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

/// The rows of a list, encoded in one piece of memory: most cells of most lists are empty, and an order can have many
/// thousand lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRows {
    bytes: Vec<u8>,
    /// Number of cells of each row.
    width: usize,
    count: usize,
}

/// First byte of an encoded cell.
const NULL_TAG: u8 = 0;
const INTEGER_TAG: u8 = 1;
const TEXT_TAG: u8 = 2;

impl ListRows {
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a row. All rows have the same number of cells.
    pub fn push(&mut self, cells: impl IntoIterator<Item = CellValue>) {
        let mut width = 0;
        for cell in cells {
            width += 1;
            match cell {
                CellValue::Null => self.bytes.push(NULL_TAG),
                CellValue::Integer(number) => {
                    self.bytes.push(INTEGER_TAG);
                    self.bytes.extend_from_slice(&number.to_le_bytes());
                }
                CellValue::Text(text) => {
                    self.bytes.push(TEXT_TAG);
                    self.bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
                    self.bytes.extend_from_slice(text.as_bytes());
                }
            }
        }
        assert!(self.count == 0 || self.width == width, "a row has {width} cells, the others {}", self.width);
        self.width = width;
        self.count += 1;
    }

    /// Returns the rows, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = Vec<CellValue>> {
        let mut remaining = self.bytes.as_slice();
        (0..self.count).map(move |_| (0..self.width).map(|_| read_cell(&mut remaining)).collect())
    }

    /// Returns only these columns of the rows, by their index in ascending order.
    pub fn iter_columns(&self, indexes: &[usize]) -> impl Iterator<Item = Vec<CellValue>> {
        let mut remaining = self.bytes.as_slice();
        (0..self.count).map(move |_| {
            let mut cells = Vec::with_capacity(indexes.len());
            for index in 0..self.width {
                if indexes.contains(&index) {
                    cells.push(read_cell(&mut remaining));
                } else {
                    skip_cell(&mut remaining);
                }
            }
            cells
        })
    }
}

impl FromIterator<Vec<CellValue>> for ListRows {
    fn from_iter<I: IntoIterator<Item = Vec<CellValue>>>(rows: I) -> Self {
        let mut list = Self::default();
        rows.into_iter().for_each(|cells| list.push(cells));
        list
    }
}

fn read_cell(remaining: &mut &[u8]) -> CellValue {
    match take_array::<1>(remaining)[0] {
        NULL_TAG => CellValue::Null,
        INTEGER_TAG => CellValue::Integer(i64::from_le_bytes(take_array(remaining))),
        _ => {
            let length = usize::try_from(u64::from_le_bytes(take_array(remaining))).expect("a text is in memory");
            let (text, rest) = remaining.split_at(length);
            *remaining = rest;
            CellValue::Text(String::from_utf8(text.to_vec()).expect("`push` wrote a text"))
        }
    }
}

fn skip_cell(remaining: &mut &[u8]) {
    let length = match take_array::<1>(remaining)[0] {
        NULL_TAG => 0,
        INTEGER_TAG => size_of::<i64>(),
        _ => usize::try_from(u64::from_le_bytes(take_array(remaining))).expect("a text is in memory"),
    };
    *remaining = &remaining[length..];
}

fn take_array<const N: usize>(remaining: &mut &[u8]) -> [u8; N] {
    let (bytes, rest) = remaining.split_first_chunk().expect("`push` wrote whole cells");
    *remaining = rest;
    *bytes
}

/// All rows of one entity in another table. They replace the rows that are there, unless the list is partial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListChange {
    pub table: &'static str,
    /// Column and value that mark the rows of this list, where several fields of a body fill one table. Each partition
    /// is a register of its own, so that a body with one of the fields leaves the rows of the others.
    pub partition: Option<(&'static str, &'static str)>,
    /// The columns beside the key of the entity and the partition.
    pub columns: Vec<&'static str>,
    pub rows: ListRows,
    /// True if the body may leave out rows, which then stay. Only lists of [`VERSIONED_LISTS`] can be partial.
    ///
    /// [`VERSIONED_LISTS`]: crate::changes::catalogue::VERSIONED_LISTS
    pub is_partial: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_rows_return_the_cells_that_were_added() {
        let rows = vec![
            vec![CellValue::Null, CellValue::Integer(i64::MIN), "Müsli".into()],
            vec!["".into(), CellValue::Integer(7), CellValue::Null],
        ];
        let list: ListRows = rows.iter().cloned().collect();
        assert_eq!((list.len(), list.iter().collect::<Vec<_>>()), (2, rows));
        let expected = vec![vec![CellValue::Null, "Müsli".into()], vec!["".into(), CellValue::Null]];
        assert_eq!(list.iter_columns(&[0, 2]).collect::<Vec<_>>(), expected);
        assert!(ListRows::default().is_empty());
    }
}
