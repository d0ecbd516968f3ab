//! The segments that make up an order, each to its part of the model. Element places are the same in 4010 and 5010.

use super::tokens::{Segment, trimmed};
use crate::formats::decimal;
use crate::formats::purchase_order::{
    Address, Allowance, Carrier, Contact, Date, ProductId, Reference, Schedule, Terms,
};

/// `20261124` as `2026-11-24`; before 4010 `261124`, whose century is ours below 70. `None` for what is no day.
pub(super) fn day(text: &str) -> Option<String> {
    let text = trimmed(text);
    if !text.chars().all(|letter| letter.is_ascii_digit()) {
        return None;
    }
    let whole = match text.len() {
        8 => text.to_owned(),
        6 if text[..2].parse::<u8>().ok()? < 70 => format!("20{text}"),
        6 => format!("19{text}"),
        _ => return None,
    };
    let date = jiff::civil::Date::strptime("%Y%m%d", &whole).ok()?;
    Some(date.to_string())
}

/// `1330` as `13:30`, `133059` as `13:30:59`; hundredths are left aside.
pub(super) fn time(text: &str) -> Option<String> {
    let text = trimmed(text);
    let digits = text.len() >= 4 && text.chars().all(|letter| letter.is_ascii_digit());
    if !digits || text[..2] > *"23" || text[2..4] > *"59" {
        return None;
    }
    match text.get(4..6) {
        Some(seconds) if seconds <= "59" => Some(format!("{}:{}:{seconds}", &text[..2], &text[2..4])),
        Some(_) => None,
        None => Some(format!("{}:{}", &text[..2], &text[2..4])),
    }
}

/// DTM. A period (RD8) has two days.
pub(super) fn date(segment: &Segment<'_>) -> Date {
    let mut date = Date {
        qualifier: segment.some(1).unwrap_or_default(),
        on: day(segment.get(2)),
        until: None,
        time: time(segment.get(3)),
    };
    match segment.get(5) {
        "RD8" => {
            if let Some((from, until)) = segment.get(6).split_once('-') {
                date.on = day(from).or(date.on);
                date.until = day(until);
            }
        }
        "D8" => date.on = date.on.or_else(|| day(segment.get(6))),
        _ => {}
    }
    date
}

/// REF, and N9.
pub(super) fn reference(segment: &Segment<'_>) -> Reference {
    Reference { qualifier: segment.some(1).unwrap_or_default(), value: segment.some(2), description: segment.some(3) }
}

/// PER.
pub(super) fn contact(segment: &Segment<'_>) -> Contact {
    let mut contact =
        Contact { kind: segment.some(1).unwrap_or_default(), name: segment.some(2), ..Contact::default() };
    for place in [3, 5, 7] {
        let value = segment.some(place + 1);
        match segment.get(place) {
            "TE" => contact.phone = value,
            "FX" => contact.fax = value,
            "EM" => contact.email = value,
            _ => {}
        }
    }
    contact
}

/// N1; N2, N3 and N4 follow.
pub(super) fn address(segment: &Segment<'_>) -> Address {
    Address {
        kind: segment.some(1).unwrap_or_default(),
        name: segment.some(2),
        id_qualifier: segment.some(3),
        id: segment.some(4),
        ..Address::default()
    }
}

/// N2, N3, N4: more of an address. False for another segment.
pub(super) fn more_of_address(address: &mut Address, segment: &Segment<'_>) -> bool {
    match segment.id.to_ascii_uppercase().as_str() {
        "N2" | "N3" => address.lines.extend([1, 2].into_iter().filter_map(|place| segment.some(place))),
        "N4" => {
            address.city = segment.some(1);
            address.state = segment.some(2);
            address.postal_code = segment.some(3);
            address.country = segment.some(4);
        }
        _ => return false,
    }
    true
}

/// ITD.
pub(super) fn terms(segment: &Segment<'_>) -> Terms {
    Terms {
        kind: segment.some(1),
        basis: segment.some(2),
        discount_percent: decimal::normal(segment.get(3)),
        discount_on: day(segment.get(4)),
        discount_days: segment.some(5),
        net_on: day(segment.get(6)),
        net_days: segment.some(7),
        discount_amount: decimal::from_n2(segment.get(8)).map(|(amount, _)| amount),
        description: segment.some(12),
    }
}

/// TD5.
pub(super) fn carrier(segment: &Segment<'_>) -> Carrier {
    Carrier { code: segment.some(3), method: segment.some(4), routing: segment.some(5), service: segment.some(12) }
}

/// SAC, and whether its amount had a point that it should not have.
pub(super) fn allowance(segment: &Segment<'_>) -> (Allowance, bool) {
    let amount = decimal::from_n2(segment.get(5));
    let pointed = amount.as_ref().is_some_and(|(_, pointed)| *pointed);
    let allowance = Allowance {
        kind: segment.some(1).unwrap_or_default(),
        code: segment.some(2),
        amount: amount.map(|(amount, _)| amount),
        percent: decimal::normal(segment.get(7)),
        rate: decimal::normal(segment.get(8)),
        handling: segment.some(12),
        description: segment.some(15),
    };
    (allowance, pointed)
}

/// SDQ: up to ten places with their quantities.
pub(super) fn places(segment: &Segment<'_>) -> Vec<Schedule> {
    (3..=21)
        .step_by(2)
        .filter_map(|place| {
            Some(Schedule {
                location: Some(segment.some(place)?),
                quantity: decimal::normal(segment.get(place + 1))?,
                unit: segment.some(1),
                ..Schedule::default()
            })
        })
        .collect()
}

/// SCH: a quantity by a day.
pub(super) fn schedule(segment: &Segment<'_>) -> Option<Schedule> {
    Some(Schedule {
        location: segment.some(4),
        quantity: decimal::normal(segment.get(1))?,
        unit: segment.some(2),
        date_qualifier: segment.some(5),
        on: day(segment.get(6)),
    })
}

/// The ten pairs of PO1, POC, LIN …, from the first one's place. Pairs may be missing in the middle.
pub(super) fn product_ids(segment: &Segment<'_>, first: usize) -> Vec<ProductId> {
    (first..=segment.len())
        .step_by(2)
        .filter_map(|place| Some(ProductId { qualifier: segment.some(place)?, value: segment.some(place + 1)? }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times() {
        assert_eq!(day("20261124").as_deref(), Some("2026-11-24"));
        assert_eq!(day("010510").as_deref(), Some("2001-05-10"));
        assert_eq!(day("990510").as_deref(), Some("1999-05-10"));
        assert_eq!(day("20261131"), None);
        assert_eq!(day("2026-1-1"), None);
        assert_eq!(time("1330").as_deref(), Some("13:30"));
        assert_eq!(time("13305999").as_deref(), Some("13:30:59"));
        assert_eq!(time("2530"), None);
    }
}
