//! Rows that one body states twice under one key. The store keeps one of them, so the event's note names the others.

use crate::changes::Change;
use crate::changes::catalogue::ALL_TABLES;
use crate::changes::rows::{CellValue, ListChange, RowChange};
use crate::handlers::Plan;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Lists whose key is the place, each with the id of its elements. The store keeps both rows of a repeated id.
const NUMBERED_LISTS: [(&str, &str); 3] =
    [("refund_lines", "refund_line_id"), ("sales_order_shipping_lines", "line_id"), ("refund_parts", "part_id")];

/// Most keys of one list that a note names.
const KEYS_MAX: usize = 5;

/// Returns a note for each list, and for each entity, that the plan states twice under one key.
#[must_use]
pub fn describe_repeated_rows(plan: &Plan) -> Vec<String> {
    let rows = || {
        plan.changes.iter().filter_map(|change| match change {
            Change::Row(row) => Some(row),
            _ => None,
        })
    };
    let lists = rows().flat_map(|row| &row.lists).filter_map(describe_repeated_elements);
    let mut first: HashMap<(&str, String), &RowChange> = HashMap::new();
    let mut notes = Vec::new();
    for row in rows() {
        let key = (row.table.name, describe_cells(row.table.key, &row.key));
        match first.get(&key) {
            Some(earlier) if contradicts(earlier, row) => notes.push(format!(
                "the body states two different rows of {} with {}: the last one counts",
                row.table.name, key.1
            )),
            Some(_) => {}
            None => {
                first.insert(key, row);
            }
        }
    }
    notes.extend(lists);
    notes
}

/// Returns true if both rows state a column or list with different values.
fn contradicts(one: &RowChange, other: &RowChange) -> bool {
    one.columns.iter().any(|(name, cell)| other.columns.iter().any(|(same, value)| same == name && value != cell))
        || one.lists.iter().any(|list| {
            other.lists.iter().any(|same| same.register_name() == list.register_name() && same.rows != list.rows)
        })
}

fn describe_repeated_elements(list: &ListChange) -> Option<String> {
    let own = ALL_TABLES.iter().find(|table| table.name == list.table)?.key;
    let numbered = NUMBERED_LISTS.iter().find(|(table, _)| *table == list.table).map(|(_, id)| *id);
    let key: Vec<usize> = match numbered {
        Some(id) => list.columns.iter().position(|column| *column == id).into_iter().collect(),
        None => (0..list.columns.len()).filter(|index| own.contains(&list.columns[*index])).collect(),
    };
    if key.is_empty() || list.rows.len() < 2 {
        return None;
    }
    // Digests take less memory than the cells: an order can have half a million lines.
    let digest = |cells: &[CellValue]| {
        let mut hasher = DefaultHasher::new();
        cells.hash(&mut hasher);
        hasher.finish()
    };
    let mut digests: Vec<u64> = list.rows.iter_columns(&key).map(|cells| digest(&cells)).collect();
    digests.sort_unstable();
    if digests.windows(2).all(|pair| pair[0] != pair[1]) {
        return None;
    }
    let mut places: HashMap<String, Vec<usize>> = HashMap::new();
    let names: Vec<&str> = key.iter().map(|index| list.columns[*index]).collect();
    for (index, cells) in list.rows.iter_columns(&key).enumerate() {
        let found = digests.partition_point(|other| *other < digest(&cells));
        let is_repeated = digests.get(found) == digests.get(found + 1) && found + 1 < digests.len();
        if is_repeated && !cells.contains(&CellValue::Null) {
            places.entry(describe_cells(&names, &cells)).or_default().push(index + 1);
        }
    }
    let mut repeated: Vec<(String, Vec<usize>)> = places.into_iter().filter(|(_, places)| places.len() > 1).collect();
    repeated.sort_by(|one, other| one.1.cmp(&other.1));
    let count = repeated.len();
    let described: Vec<String> =
        repeated.into_iter().take(KEYS_MAX).map(|(key, at)| format!("{key} {}", join(&at))).collect();
    let more = if count > KEYS_MAX { format!(" and {} more", count - KEYS_MAX) } else { String::new() };
    let effect = if numbered.is_some() { "each counts" } else { "the last one counts" };
    (count > 0)
        .then(|| format!("the body repeats elements of {}, {}{more}: {effect}", list.table, described.join("; ")))
}

fn join(places: &[usize]) -> String {
    let places: Vec<String> = places.iter().map(usize::to_string).collect();
    format!("at the places {}", places.join(" and "))
}

/// Returns `column value` of each cell.
fn describe_cells(names: &[&str], cells: &[CellValue]) -> String {
    let describe = |(name, cell): (&&str, &CellValue)| match cell {
        CellValue::Null => format!("{name} -"),
        CellValue::Integer(number) => format!("{name} {number}"),
        CellValue::Text(text) => format!("{name} {text}"),
    };
    // The shop is that of the event.
    let is_own = |(name, _): &(&&str, &CellValue)| **name != "shop_domain";
    names.iter().zip(cells).filter(is_own).map(describe).collect::<Vec<_>>().join(" ")
}
