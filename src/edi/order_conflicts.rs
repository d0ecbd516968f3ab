//! Values of an order that contradict each other: a number of two lines, two places to ship to, two days of one kind.

use crate::edi::codes;
use crate::edi::purchase_order::{EdiAddress, EdiDate, PurchaseOrder, PurchaseOrderLine};
use crate::edi::revisions::OrderStatus;
use std::collections::{BTreeMap, BTreeSet};

/// Dates of which an order or a line has one: cancel after, deliver, ship, and not before or after them.
const SINGLE_DATES: [&str; 7] = ["001", "002", "010", "037", "038", "063", "064"];
/// Most values that one conflict names.
const VALUES_MAX: usize = 5;

/// Returns the conflicts of an order and its open lines.
pub(crate) fn list_order_conflicts(order: &PurchaseOrder, line_statuses: &[OrderStatus]) -> Vec<String> {
    let open: Vec<(usize, &PurchaseOrderLine)> = order
        .lines
        .iter()
        .zip(line_statuses)
        .enumerate()
        .filter(|(_, (_, status))| **status == OrderStatus::Open)
        .map(|(index, (line, _))| (index, line))
        .collect();
    let mut conflicts = Vec::new();
    let places: BTreeSet<String> =
        order.addresses.iter().filter(|address| address.kind == "ST").map(EdiAddress::label).collect();
    if places.len() > 1 {
        conflicts.push(format!("the order has several places to ship to: {}", join_values(&places)));
    }
    conflicts.extend(list_date_conflicts(&order.dates).into_iter().map(|conflict| format!("the order {conflict}")));
    let mut goods_by_number: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (_, line) in &open {
        if let (Some(number), Some(goods)) = (line.number.as_deref(), line.item_key()) {
            goods_by_number.entry(number).or_default().insert(goods);
        }
    }
    for (number, goods) in goods_by_number.into_iter().filter(|(_, goods)| goods.len() > 1) {
        conflicts.push(format!("several lines have the number {number}: {}", join_values(&goods)));
    }
    // Each line is compared with the first one of its number and goods, so that the time does not grow with the square.
    let mut firsts = BTreeMap::new();
    for (index, line) in &open {
        let (_, first, count) = firsts.entry((line.number.as_deref(), line.item_key())).or_insert((*index, *line, 0));
        *count += usize::from(*first == *line);
    }
    for (index, line, count) in firsts.into_values().filter(|(.., count)| *count > 1) {
        let name = line.describe_position(index + 1);
        conflicts.push(format!("{name} is stated {count} times with the same values"));
    }
    for (index, line) in open {
        let name = line.describe_position(index + 1);
        conflicts.extend(list_date_conflicts(&line.dates).into_iter().map(|conflict| format!("{name} {conflict}")));
    }
    conflicts
}

/// Returns the kinds of date that state several days, of the same address or of none.
fn list_date_conflicts(dates: &[EdiDate]) -> Vec<String> {
    let mut days: BTreeMap<(&str, Option<&str>), BTreeSet<String>> = BTreeMap::new();
    let is_single = |date: &&EdiDate| date.until.is_none() && SINGLE_DATES.contains(&date.qualifier.as_str());
    for date in dates.iter().filter(is_single) {
        let key = (date.qualifier.as_str(), date.address.as_deref());
        days.entry(key).or_default().extend(date.on.clone());
    }
    let several = days.into_iter().filter(|(_, days)| days.len() > 1);
    let describe = |((qualifier, _), days): ((&str, Option<&str>), BTreeSet<String>)| {
        format!("states {} as {}", codes::DATES.describe(qualifier), join_values(&days))
    };
    several.map(describe).collect()
}

fn join_values(values: &BTreeSet<String>) -> String {
    let named: Vec<&str> = values.iter().take(VALUES_MAX).map(String::as_str).collect();
    let rest = if values.len() > VALUES_MAX { " and others" } else { "" };
    format!("{}{rest}", named.join(" and "))
}
