//! Values of an order that contradict each other: a number of two lines, two places to ship to, two days of one kind.

use crate::edi::order_dates::{self, join_values};
use crate::edi::part_conflicts;
use crate::edi::purchase_order::{EdiAddress, PurchaseOrder, PurchaseOrderLine};
use crate::edi::revisions::OrderStatus;
use crate::edi::revisions::line_match::normalize_line_number;
use std::collections::{BTreeMap, BTreeSet};

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
    if places.len() > 1 && !are_places_of_schedules(order, &open) {
        conflicts.push(format!("the order has several places to ship to: {}", join_values(&places)));
    }
    let ordered_on = order.ordered_on.as_deref();
    let of_dates = order_dates::list_date_conflicts(&order.dates, &[], ordered_on);
    conflicts.extend(of_dates.into_iter().map(|conflict| format!("the order {conflict}")));
    conflicts.extend(part_conflicts::list_header_conflicts(order));
    let mut goods_by_number: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, line) in &open {
        if let (Some(number), Some(goods)) = (line.number.as_deref(), line.item_key()) {
            goods_by_number.entry(normalize_line_number(number)).or_default().insert(goods);
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
        let of_dates = order_dates::list_date_conflicts(&line.dates, &order.dates, ordered_on);
        let is_rsx = order.origin.format.starts_with("rsx");
        let of_parts = part_conflicts::list_line_conflicts(line, is_rsx);
        conflicts.extend(of_dates.into_iter().chain(of_parts).map(|conflict| format!("{name} {conflict}")));
    }
    conflicts
}

/// Returns true if each open line distributes its quantity over these places, as orders for several stores do.
fn are_places_of_schedules(order: &PurchaseOrder, open: &[(usize, &PurchaseOrderLine)]) -> bool {
    let ids: BTreeSet<&str> = order
        .addresses
        .iter()
        .filter(|address| address.kind == "ST")
        .filter_map(|address| address.id.as_deref())
        .collect();
    let mut used = BTreeSet::new();
    for (_, line) in open {
        let locations: Option<Vec<&str>> = line.schedules.iter().map(|part| part.location.as_deref()).collect();
        match locations {
            Some(locations) if !locations.is_empty() => used.extend(locations),
            _ => return false,
        }
    }
    let has_ids = order.addresses.iter().all(|address| address.kind != "ST" || address.id.is_some());
    has_ids && used == ids
}
