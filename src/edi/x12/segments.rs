//! Reads the segments of an order, each into its part of the model. Element positions are the same in 4010 and 5010.

use crate::edi::decimal;
use crate::edi::purchase_order::{
    AllowanceCharge, CarrierDetails, EdiAddress, EdiContact, EdiDate, EdiInstruction, EdiReference, LineSchedule,
    PaymentTerms, ProductId,
};
use crate::edi::x12::tokenizer::{X12Segment, trim_fillers};

/// Parses `20261124` as `2026-11-24`. Versions before 4010 write `261124`; years below 70 belong to the 2000s.
pub(crate) fn parse_x12_date(text: &str) -> Option<String> {
    let text = trim_fillers(text);
    if !text.chars().all(|letter| letter.is_ascii_digit()) {
        return None;
    }
    let eight_digits = match text.len() {
        8 => text.to_owned(),
        6 if text[..2].parse::<u8>().ok()? < 70 => format!("20{text}"),
        6 => format!("19{text}"),
        _ => return None,
    };
    let date = jiff::civil::Date::strptime("%Y%m%d", &eight_digits).ok()?;
    Some(date.to_string())
}

/// Parses `1330` as `13:30` and `133059` as `13:30:59`; hundredths are ignored.
pub(crate) fn parse_x12_time(text: &str) -> Option<String> {
    let text = trim_fillers(text);
    let is_number = text.len() >= 4 && text.chars().all(|letter| letter.is_ascii_digit());
    if !is_number || text[..2] > *"23" || text[2..4] > *"59" {
        return None;
    }
    match text.get(4..6) {
        Some(seconds) if seconds <= "59" => Some(format!("{}:{}:{seconds}", &text[..2], &text[2..4])),
        Some(_) => None,
        None => Some(format!("{}:{}", &text[..2], &text[2..4])),
    }
}

/// Reads a DTM. A period (RD8) has two dates.
pub(crate) fn read_dtm(segment: &X12Segment<'_>) -> EdiDate {
    let mut date = EdiDate {
        qualifier: segment.non_empty_element(1).unwrap_or_default(),
        on: parse_x12_date(segment.element(2)),
        until: None,
        time: parse_x12_time(segment.element(3)),
    };
    match segment.element(5) {
        "RD8" => {
            if let Some((from, until)) = segment.element(6).split_once('-') {
                date.on = parse_x12_date(from).or(date.on);
                date.until = parse_x12_date(until);
            }
        }
        "D8" => date.on = date.on.or_else(|| parse_x12_date(segment.element(6))),
        _ => {}
    }
    date
}

/// Reads a REF or N9.
pub(crate) fn read_ref(segment: &X12Segment<'_>) -> EdiReference {
    EdiReference {
        qualifier: segment.non_empty_element(1).unwrap_or_default(),
        value: segment.non_empty_element(2),
        description: segment.non_empty_element(3),
    }
}

/// Reads a PER.
pub(crate) fn read_per(segment: &X12Segment<'_>) -> EdiContact {
    let mut contact = EdiContact {
        kind: segment.non_empty_element(1).unwrap_or_default(),
        name: segment.non_empty_element(2),
        ..EdiContact::default()
    };
    for position in [3, 5, 7] {
        let value = segment.non_empty_element(position + 1);
        match segment.element(position) {
            "TE" => contact.phone = value,
            "FX" => contact.fax = value,
            "EM" => contact.email = value,
            _ => {}
        }
    }
    contact
}

/// Reads an N1; N2, N3 and N4 follow it.
pub(crate) fn read_n1(segment: &X12Segment<'_>) -> EdiAddress {
    EdiAddress {
        kind: segment.non_empty_element(1).unwrap_or_default(),
        name: segment.non_empty_element(2),
        id_qualifier: segment.non_empty_element(3),
        id: segment.non_empty_element(4),
        ..EdiAddress::default()
    }
}

/// Adds an N2, N3 or N4 to an address. Returns false for any other segment.
pub(crate) fn extend_address(address: &mut EdiAddress, segment: &X12Segment<'_>) -> bool {
    match segment.id.to_ascii_uppercase().as_str() {
        "N2" | "N3" => {
            address.lines.extend([1, 2].into_iter().filter_map(|position| segment.non_empty_element(position)));
        }
        "N4" => {
            address.city = segment.non_empty_element(1);
            address.state = segment.non_empty_element(2);
            address.postal_code = segment.non_empty_element(3);
            address.country = segment.non_empty_element(4);
        }
        _ => return false,
    }
    true
}

/// Reads an ITD.
pub(crate) fn read_itd(segment: &X12Segment<'_>) -> PaymentTerms {
    PaymentTerms {
        kind: segment.non_empty_element(1),
        basis: segment.non_empty_element(2),
        discount_percent: decimal::normalize_decimal(segment.element(3)),
        discount_on: parse_x12_date(segment.element(4)),
        discount_days: segment.non_empty_element(5),
        net_on: parse_x12_date(segment.element(6)),
        net_days: segment.non_empty_element(7),
        discount_amount: decimal::parse_n2(segment.element(8)).map(|(amount, _)| amount),
        description: segment.non_empty_element(12),
    }
}

/// Reads a TD5.
pub(crate) fn read_td5(segment: &X12Segment<'_>) -> CarrierDetails {
    CarrierDetails {
        code: segment.non_empty_element(3),
        method: segment.non_empty_element(4),
        routing: segment.non_empty_element(5),
        service: segment.non_empty_element(12),
    }
}

/// Reads a PKG, TD4 or FOB. Returns None if it states nothing.
pub(crate) fn read_instruction(segment: &X12Segment<'_>) -> Option<EdiInstruction> {
    let (kind, code, description) = match segment.id.to_ascii_uppercase().as_str() {
        "PKG" => ("packaging", segment.non_empty_element(4).or_else(|| segment.non_empty_element(2)), 5),
        "TD4" => ("handling", segment.non_empty_element(1).or_else(|| segment.non_empty_element(3)), 4),
        _ => ("freight", segment.non_empty_element(1), 3),
    };
    let instruction =
        EdiInstruction { kind: kind.to_owned(), code, description: segment.non_empty_element(description) };
    (instruction.code.is_some() || instruction.description.is_some()).then_some(instruction)
}

/// Reads the size of an inner unit in a PO4: `340 GR`.
pub(crate) fn read_pack_size(segment: &X12Segment<'_>) -> Option<String> {
    let size = decimal::normalize_decimal(segment.element(2))?;
    Some(segment.non_empty_element(3).map_or(size.clone(), |unit| format!("{size} {unit}")))
}

/// Reads a SAC. The second value is true if the amount has a decimal point, which N2 does not allow.
pub(crate) fn read_sac(segment: &X12Segment<'_>) -> (AllowanceCharge, bool) {
    let amount = decimal::parse_n2(segment.element(5));
    let has_point = amount.as_ref().is_some_and(|(_, has_point)| *has_point);
    let allowance = AllowanceCharge {
        kind: segment.non_empty_element(1).unwrap_or_default(),
        code: segment.non_empty_element(2),
        amount: amount.map(|(amount, _)| amount),
        percent: decimal::normalize_decimal(segment.element(7)),
        rate: decimal::normalize_decimal(segment.element(8)),
        handling: segment.non_empty_element(12),
        description: segment.non_empty_element(15),
    };
    (allowance, has_point)
}

/// Reads an SDQ: up to ten locations with their quantities.
pub(crate) fn read_sdq(segment: &X12Segment<'_>) -> Vec<LineSchedule> {
    (3..=21)
        .step_by(2)
        .filter_map(|position| {
            Some(LineSchedule {
                location: Some(segment.non_empty_element(position)?),
                quantity: decimal::normalize_decimal(segment.element(position + 1))?,
                unit: segment.non_empty_element(1),
                ..LineSchedule::default()
            })
        })
        .collect()
}

/// Reads a SCH: a quantity for a date.
pub(crate) fn read_sch(segment: &X12Segment<'_>) -> Option<LineSchedule> {
    Some(LineSchedule {
        location: segment.non_empty_element(4),
        quantity: decimal::normalize_decimal(segment.element(1))?,
        unit: segment.non_empty_element(2),
        date_qualifier: segment.non_empty_element(5),
        on: parse_x12_date(segment.element(6)),
    })
}

/// Reads the pairs of qualifier and product id in PO1, POC, LIN …, from position `first` on. Pairs in the middle may be
/// missing.
pub(crate) fn read_product_ids(segment: &X12Segment<'_>, first: usize) -> Vec<ProductId> {
    (first..=segment.len())
        .step_by(2)
        .filter_map(|position| {
            Some(ProductId {
                qualifier: segment.non_empty_element(position)?,
                value: segment.non_empty_element(position + 1)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_parsed() {
        assert_eq!(parse_x12_date("20261124").as_deref(), Some("2026-11-24"));
        assert_eq!(parse_x12_date("010510").as_deref(), Some("2001-05-10"));
        assert_eq!(parse_x12_date("990510").as_deref(), Some("1999-05-10"));
        assert_eq!(parse_x12_date("20261131"), None);
        assert_eq!(parse_x12_date("2026-1-1"), None);
        assert_eq!(parse_x12_time("1330").as_deref(), Some("13:30"));
        assert_eq!(parse_x12_time("13305999").as_deref(), Some("13:30:59"));
        assert_eq!(parse_x12_time("2530"), None);
    }
}
