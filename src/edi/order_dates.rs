//! Dates of an order or a line that contradict each other: two days of one kind, a window that ends before it begins,
//! a day long before the order.

use crate::edi::codes;
use crate::edi::purchase_order::EdiDate;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

/// Most days between a day on which goods are wanted and the later day of the order; an order is often confirmed late.
const DAYS_BEFORE_ORDER_MAX: i32 = 7;
/// Most values that one conflict names.
const VALUES_MAX: usize = 5;

/// Most addresses of one list whose dates are compared; bounds the time.
const ADDRESSES_MAX: usize = 100;

/// Meaning of a date for shipment or delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DateRole {
    CancelAfter,
    Ship,
    ShipFrom,
    ShipUntil,
    Deliver,
    DeliverFrom,
    DeliverUntil,
}

/// Dates of which an order or a line has one: DTM01 (374) with three digits, G6201 (432) with two.
const SINGLE_DATES: [(&str, DateRole); 14] = [
    ("001", DateRole::CancelAfter),
    ("01", DateRole::CancelAfter),
    ("002", DateRole::Deliver),
    ("02", DateRole::Deliver),
    ("010", DateRole::Ship),
    ("10", DateRole::Ship),
    ("037", DateRole::ShipFrom),
    ("37", DateRole::ShipFrom),
    ("038", DateRole::ShipUntil),
    ("38", DateRole::ShipUntil),
    ("063", DateRole::DeliverUntil),
    ("54", DateRole::DeliverUntil),
    ("064", DateRole::DeliverFrom),
    ("53", DateRole::DeliverFrom),
];

/// Pairs of dates of which the first one must not be after the second one.
const SEQUENCES: [(DateRole, DateRole); 11] = [
    (DateRole::ShipFrom, DateRole::ShipUntil),
    (DateRole::ShipFrom, DateRole::Ship),
    (DateRole::Ship, DateRole::ShipUntil),
    (DateRole::DeliverFrom, DateRole::DeliverUntil),
    (DateRole::DeliverFrom, DateRole::Deliver),
    (DateRole::Deliver, DateRole::DeliverUntil),
    (DateRole::ShipFrom, DateRole::DeliverUntil),
    (DateRole::Ship, DateRole::DeliverUntil),
    (DateRole::Ship, DateRole::Deliver),
    (DateRole::ShipFrom, DateRole::CancelAfter),
    (DateRole::Ship, DateRole::CancelAfter),
];

fn find_role(qualifier: &str) -> Option<DateRole> {
    SINGLE_DATES.iter().find(|(known, _)| *known == qualifier).map(|(_, role)| *role)
}

/// Returns the conflicts between dates. Dates of a line are compared with those of the order, too: `inherited`.
pub(crate) fn list_date_conflicts(dates: &[EdiDate], inherited: &[EdiDate], ordered_on: Option<&str>) -> Vec<String> {
    let mut conflicts = list_double_days(dates);
    for date in dates {
        if let (Some(on), Some(until)) = (&date.on, &date.until)
            && until < on
        {
            let kind = codes::DATES.describe(&date.qualifier);
            conflicts.push(format!("states {kind} as a period from {on} until {until}, which ends before it begins"));
        }
    }
    conflicts.extend(list_impossible_sequences(dates, inherited));
    let of_order = ordered_on.and_then(|day| day.parse::<Date>().ok());
    for date in dates {
        let role = find_role(&date.qualifier);
        // A lower limit in the past limits nothing.
        let is_wanted = role.is_some_and(|role| !matches!(role, DateRole::ShipFrom | DateRole::DeliverFrom));
        let last = date.until.as_ref().or(date.on.as_ref()).filter(|_| is_wanted);
        let days = of_order
            .zip(last.and_then(|day| day.parse::<Date>().ok()))
            .and_then(|(order, day)| day.until(order).ok().map(|span| span.get_days()));
        if let (Some(days), Some(last)) = (days, last)
            && days > DAYS_BEFORE_ORDER_MAX
        {
            let kind = codes::DATES.describe(&date.qualifier);
            let ordered_on = ordered_on.unwrap_or_default();
            conflicts.push(format!("states {kind} as {last}, long before the order of {ordered_on}"));
        }
    }
    conflicts
}

/// Returns the kinds of date that state several days, of the same address or of none.
fn list_double_days(dates: &[EdiDate]) -> Vec<String> {
    let mut days: BTreeMap<(&str, Option<&str>), BTreeSet<String>> = BTreeMap::new();
    let is_single = |date: &&EdiDate| date.until.is_none() && find_role(&date.qualifier).is_some();
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

/// Returns the pairs of dates that cannot both hold, of which at least one is no inherited date.
fn list_impossible_sequences(dates: &[EdiDate], inherited: &[EdiDate]) -> Vec<String> {
    let find = |dates: &[EdiDate], role: DateRole, address: Option<&str>| {
        let mut found = dates.iter().filter(|date| {
            find_role(&date.qualifier) == Some(role) && date.address.as_deref() == address && date.on.is_some()
        });
        found.next().cloned()
    };
    let addresses: BTreeSet<Option<&str>> = dates.iter().map(|date| date.address.as_deref()).collect();
    let mut conflicts = Vec::new();
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        for (first, second) in SEQUENCES {
            let (own_first, own_second) = (find(dates, first, address), find(dates, second, address));
            if own_first.is_none() && own_second.is_none() {
                continue;
            }
            let of_order = |role| find(inherited, role, address).or_else(|| find(inherited, role, None));
            let (first, second) = (own_first.or_else(|| of_order(first)), own_second.or_else(|| of_order(second)));
            let (Some(first), Some(second)) = (first, second) else { continue };
            // A period can begin late and end early.
            let last = second.until.as_ref().or(second.on.as_ref());
            if let (Some(begin), Some(end)) = (&first.on, last)
                && begin > end
            {
                let kinds = (codes::DATES.describe(&first.qualifier), codes::DATES.describe(&second.qualifier));
                conflicts.push(format!("states {} as {begin}, and {} as {end}", kinds.0, kinds.1));
            }
        }
    }
    conflicts
}

/// Joins values for a message; of many it names some.
pub(crate) fn join_values(values: &BTreeSet<String>) -> String {
    let named: Vec<&str> = values.iter().take(VALUES_MAX).map(String::as_str).collect();
    let rest = if values.len() > VALUES_MAX { " and others" } else { "" };
    format!("{}{rest}", named.join(" and "))
}
