//! As X12: [`invoice`] an 810, [`ship_notice`] an 856, and here what both have. Segments, their order and widths are those of
//! 004010, which 005010 keeps or widens. Source: bots-edi/bots-grammars, stedi.com/edi.

pub mod invoice;
pub mod ship_notice;

use super::invoice::Adjustment;
use super::{Carrier, Terms};
use crate::formats::decimal;
use crate::formats::purchase_order::{Address, Line};
use crate::formats::x12::write::segment;

/// `2026-11-24` as `20261124`, `14:30` as `1430`.
fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// What the order says may be longer than X12 has room for; what is given for sending fits: see `problems`.
fn text(value: Option<&String>, most: usize) -> String {
    value.map_or(String::new(), |value| deunicode::deunicode(value).chars().take(most).collect())
}

/// REF, if there is a value.
fn reference(qualifier: &str, value: Option<&String>) -> Option<Vec<String>> {
    value.map(|value| segment(["REF", qualifier, &text(Some(value), 30)]))
}

/// DTM, if there is a day.
fn day(qualifier: &str, day: Option<&String>) -> Option<Vec<String>> {
    day.map(|day| segment(["DTM", qualifier, &digits(day)]))
}

/// N1 with N3 and N4. One without a name and a number says nothing, and is left out.
fn address(address: &Address) -> Vec<Vec<String>> {
    if address.name.is_none() && address.id.is_none() {
        return Vec::new();
    }
    let kind: String = address.kind.chars().take(3).collect();
    let mut first = segment(["N1", &kind, &text(address.name.as_ref(), 60)]);
    if let Some(id) = &address.id {
        // 92 assigned by the buyer, where nothing is said.
        first.extend([address.id_qualifier.clone().unwrap_or_else(|| "92".to_owned()), text(Some(id), 80)]);
    }
    let mut said = vec![first];
    for pair in address.lines.chunks(2).take(2) {
        let mut lines = vec!["N3".to_owned()];
        lines.extend(pair.iter().map(|line| text(Some(line), 55)));
        said.push(lines);
    }
    let place = [(&address.city, 30), (&address.state, 2), (&address.postal_code, 15), (&address.country, 3)];
    if place.iter().any(|(value, _)| value.is_some()) {
        let mut n4 = vec!["N4".to_owned()];
        n4.extend(place.map(|(value, most)| text(value.as_ref(), most)));
        said.push(n4);
    }
    said
}

/// ITD.
fn terms(terms: &Terms) -> Vec<String> {
    let amount = terms.discount_amount.as_deref().and_then(decimal::parse).map(decimal::to_n2).unwrap_or_default();
    let value = |value: &Option<String>, most| text(value.as_ref(), most);
    segment([
        "ITD",
        &value(&terms.kind, 2),
        &value(&terms.basis, 2),
        &value(&terms.discount_percent, 7),
        &terms.discount_on.as_deref().map(digits).unwrap_or_default(),
        &value(&terms.discount_days, 3),
        &terms.net_on.as_deref().map(digits).unwrap_or_default(),
        &value(&terms.net_days, 3),
        &amount,
        "",
        "",
        "",
        &value(&terms.description, 80),
    ])
}

/// SAC.
fn adjustment(part: &Adjustment) -> Vec<String> {
    let amount = decimal::to_n2(part.amount);
    let (handling, description) = (text(part.handling.as_ref(), 2), text(part.description.as_ref(), 80));
    let kind = part.kind.as_str();
    segment(["SAC", kind, &part.code, "", "", &amount, "", "", "", "", "", "", &handling, "", "", &description])
}

/// CAD, or TD5: how it is shipped. Neither can be without a carrier's code or a routing.
fn carrier(id: &str, carrier: Option<&Carrier>) -> Option<Vec<String>> {
    let carrier = carrier.filter(|carrier| carrier.code.is_some() || carrier.routing.is_some())?;
    let (method, routing) = (text(carrier.method.as_ref(), 2), text(carrier.routing.as_ref(), 35));
    Some(match (id, &carrier.code) {
        ("CAD", code) => segment(["CAD", &method, "", "", &text(code.as_ref(), 4), &routing]),
        (_, Some(code)) => segment(["TD5", "B", "2", &text(Some(code), 80), &method, &routing]),
        (_, None) => segment(["TD5", "B", "", "", &method, &routing]),
    })
}

/// The numbers of the goods, qualifier and value in turn, at most so many pairs.
fn ids(line: &Line, most: usize) -> impl Iterator<Item = String> {
    let sound = line.ids.iter().filter(|id| !id.qualifier.is_empty() && !id.value.is_empty());
    sound.take(most).flat_map(|id| [id.qualifier.clone(), text(Some(&id.value), 48)])
}

/// PID, if there is a description.
fn description(line: &Line) -> Option<Vec<String>> {
    line.description.as_ref().map(|words| segment(["PID", "F", "", "", "", &text(Some(words), 80)]))
}
