//! Reads the segments of an order, each into its part of the model. Element positions are the same in 4010 and 5010.

use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::purchase_order::{
    AllowanceCharge, CarrierDetails, EdiAddress, EdiAmount, EdiContact, EdiDate, EdiInstruction, EdiPrice,
    EdiReference, LineSchedule, PaymentTerms, ProductId,
};
use crate::edi::x12::cursor::SegmentCursor;
use crate::edi::x12::tokenizer::trim_fillers;

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

/// Parses `1330` as `13:30`, `133059` as `13:30:59` and `13305925` as `13:30:59.25`.
pub(crate) fn parse_x12_time(text: &str) -> Option<String> {
    let text = trim_fillers(text);
    let is_number = matches!(text.len(), 4 | 6 | 7 | 8) && text.chars().all(|letter| letter.is_ascii_digit());
    if !is_number || text[..2] > *"23" || text[2..4] > *"59" {
        return None;
    }
    let time = format!("{}:{}", &text[..2], &text[2..4]);
    match (text.get(4..6), text.get(6..)) {
        (Some(seconds), _) if seconds > "59" => None,
        (Some(seconds), Some("" | "0" | "00") | None) => Some(format!("{time}:{seconds}")),
        (Some(seconds), Some(hundredths)) => Some(format!("{time}:{seconds}.{hundredths}")),
        (None, _) => Some(time),
    }
}

/// Parses `20261124` or `202611241330`, with the time as `13:30`.
fn parse_date_time(text: &str) -> Option<(String, Option<String>)> {
    let text = trim_fillers(text);
    if text.len() < 12 {
        return Some((parse_x12_date(text)?, None));
    }
    let (day, time) = text.split_at_checked(8)?;
    Some((parse_x12_date(day)?, Some(parse_x12_time(time)?)))
}

/// Parses a period of two dates: `20261124-20261130`.
fn parse_period(text: &str) -> Option<(String, String)> {
    let (from, until) = text.split_once('-')?;
    Some((parse_x12_date(from)?, parse_x12_date(until)?))
}

/// Reads a DTM. A period (RD8) has two dates.
pub(crate) fn read_dtm(cursor: &mut SegmentCursor<'_, '_>) -> EdiDate {
    let mut date = EdiDate {
        qualifier: cursor.take(1).unwrap_or_default(),
        on: cursor.take_parsed(2, parse_x12_date),
        time: cursor.take_parsed(3, parse_x12_time),
        zone: cursor.take(4),
        ..EdiDate::default()
    };
    match cursor.peek(5) {
        "RD8" => {
            if let Some((from, until)) = cursor.take_parsed(6, |text| parse_period(text).filter(|_| date.on.is_none()))
            {
                (date.on, date.until) = (Some(from), Some(until));
                cursor.take(5);
            }
        }
        "D8" | "DT" | "D6" if date.on.is_none() => {
            if let Some((day, time)) = cursor.take_parsed(6, parse_date_time) {
                date.on = Some(day);
                date.time = time.or(date.time);
                cursor.take(5);
            }
        }
        _ => {}
    }
    date
}

/// Returns the contradiction between the two forms in which a DTM can state its day, or the form that cannot be read.
pub(crate) fn contradict_dtm(cursor: &SegmentCursor<'_, '_>, date: &EdiDate) -> Option<String> {
    let (format, text) = (cursor.peek(5), cursor.peek(6));
    if !cursor.is_left(6) || !matches!(format, "D8" | "DT" | "D6" | "RD8") {
        return None;
    }
    let period =
        if format == "RD8" { parse_period(text) } else { parse_date_time(text).map(|(day, _)| (day.clone(), day)) };
    let Some((from, until)) = period else {
        return Some(format!("DTM06 is {text:?}, which cannot be read as {format}"));
    };
    let day = date.on.as_ref()?;
    let is_same = from <= *day && *day <= until;
    let kind = codes::DATES.describe(&date.qualifier);
    (!is_same).then(|| format!("{kind} is {day} in DTM02 and {from} in DTM06"))
}

/// Reads a REF or N9.
pub(crate) fn read_ref(cursor: &mut SegmentCursor<'_, '_>) -> EdiReference {
    EdiReference {
        qualifier: cursor.take(1).unwrap_or_default(),
        value: cursor.take(2),
        description: cursor.take(3),
        address: None,
    }
}

/// Reads a PER with its numbers.
pub(crate) fn read_per(cursor: &mut SegmentCursor<'_, '_>) -> EdiContact {
    let mut contact =
        EdiContact { kind: cursor.take(1).unwrap_or_default(), name: cursor.take(2), ..EdiContact::default() };
    for position in [3, 5, 7] {
        read_contact_number(&mut contact, cursor, position);
    }
    contact
}

/// Reads the kind and the number at `position`. A kind without a number, and a number without a kind, stay extras.
pub(crate) fn read_contact_number(contact: &mut EdiContact, cursor: &mut SegmentCursor<'_, '_>, position: usize) {
    if cursor.peek(position).is_empty() || cursor.peek(position + 1).is_empty() {
        return;
    }
    if let (Some(qualifier), Some(value)) = (cursor.take(position), cursor.take(position + 1)) {
        contact.add_number(qualifier, value);
    }
}

/// Reads an N1; N2, N3 and N4 follow it.
pub(crate) fn read_n1(cursor: &mut SegmentCursor<'_, '_>) -> EdiAddress {
    EdiAddress {
        kind: cursor.take(1).unwrap_or_default(),
        name: cursor.take(2),
        id_qualifier: cursor.take(3),
        id: cursor.take(4),
        ..EdiAddress::default()
    }
}

/// Adds an N2, further names, or an N3, the street, to an address.
pub(crate) fn read_address_lines(address: &mut EdiAddress, cursor: &mut SegmentCursor<'_, '_>) {
    let texts = if cursor.id == "N2" { &mut address.more_names } else { &mut address.lines };
    texts.extend([1, 2].into_iter().filter_map(|position| cursor.take(position)));
}

/// Adds an N4 to an address. Returns false for a second N4, which changes nothing.
pub(crate) fn read_n4(address: &mut EdiAddress, cursor: &mut SegmentCursor<'_, '_>) -> bool {
    let parts = [&address.city, &address.state, &address.postal_code, &address.country];
    if parts.into_iter().any(Option::is_some) {
        return false;
    }
    address.city = cursor.take(1);
    address.state = cursor.take(2);
    address.postal_code = cursor.take(3);
    address.country = cursor.take(4);
    true
}

/// Reads an ITD.
pub(crate) fn read_itd(cursor: &mut SegmentCursor<'_, '_>) -> PaymentTerms {
    PaymentTerms {
        kind: cursor.take(1),
        basis: cursor.take(2),
        discount_percent: cursor.take_parsed(3, decimal::normalize_decimal),
        discount_on: cursor.take_parsed(4, parse_x12_date),
        discount_days: cursor.take(5),
        net_on: cursor.take_parsed(6, parse_x12_date),
        net_days: cursor.take(7),
        discount_amount: cursor.take_parsed(8, decimal::parse_n2).map(|(amount, _)| amount),
        description: cursor.take(12),
    }
}

/// Reads a TD5.
pub(crate) fn read_td5(cursor: &mut SegmentCursor<'_, '_>) -> CarrierDetails {
    let code = cursor.take(3);
    if code.is_some() {
        // The code is a SCAC.
        cursor.take_implied(2, &["2"]);
    }
    CarrierDetails { code, method: cursor.take(4), routing: cursor.take(5), service: cursor.take(12), address: None }
}

/// Reads a PKG, TD4 or FOB. Returns None if it states nothing.
pub(crate) fn read_instruction(cursor: &mut SegmentCursor<'_, '_>) -> Option<EdiInstruction> {
    let (kind, codes, description): (_, &[usize], _) = match cursor.id.as_str() {
        "PKG" => ("packaging", &[4, 2], 5),
        "TD4" => ("handling", &[1, 3], 4),
        _ => ("freight", &[1], 3),
    };
    let instruction = EdiInstruction {
        kind: kind.to_owned(),
        code: codes.iter().find_map(|element| cursor.take(*element)),
        description: cursor.take(description),
        address: None,
    };
    if cursor.id == "PKG" && instruction.description.is_some() {
        // The description is free text.
        cursor.take_implied(1, &["F"]);
    }
    (instruction.code.is_some() || instruction.description.is_some()).then_some(instruction)
}

/// Reads the size of an inner unit in a PO4 or G70: `340 GR`.
pub(crate) fn read_pack_size(cursor: &mut SegmentCursor<'_, '_>, element: usize) -> Option<String> {
    let size = cursor.take_parsed(element, decimal::normalize_decimal)?;
    Some(cursor.take(element + 1).map_or(size.clone(), |unit| format!("{size} {unit}")))
}

/// Takes the method of handling (331) from SAC11, where some senders write it.
///
/// SAC11 is the end of a range of quantities that begins in SAC10. Without SAC10, a code there is no quantity.
fn take_early_handling(cursor: &mut SegmentCursor<'_, '_>) -> Option<String> {
    let is_alone = cursor.peek(10).is_empty();
    cursor.take_parsed(11, |text| {
        let is_code = text.len() == 2 && text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        (is_alone && is_code).then(|| text.to_owned())
    })
}

/// Reads a SAC. The second value is true if the amount has a decimal point, which N2 does not allow.
pub(crate) fn read_sac(cursor: &mut SegmentCursor<'_, '_>) -> (AllowanceCharge, bool) {
    let amount = cursor.take_parsed(5, decimal::parse_n2);
    let has_point = amount.as_ref().is_some_and(|(_, has_point)| *has_point);
    let allowance = AllowanceCharge {
        kind: cursor.take(1).unwrap_or_default(),
        code: cursor.take(2),
        amount: amount.map(|(amount, _)| amount),
        percent_basis: cursor.take(6),
        percent: cursor.take_parsed(7, decimal::normalize_decimal),
        basis_amount: None,
        rate: cursor.take_parsed(8, decimal::normalize_decimal),
        unit: cursor.take(9),
        quantity: cursor.take_parsed(10, decimal::normalize_decimal),
        handling: cursor.take(12).or_else(|| take_early_handling(cursor)),
        description: cursor.take(15),
    };
    (allowance, has_point)
}

/// Reads an AMT.
pub(crate) fn read_amt(cursor: &mut SegmentCursor<'_, '_>) -> Option<EdiAmount> {
    let amount = cursor.take_parsed(2, decimal::normalize_decimal)?;
    Some(EdiAmount { qualifier: cursor.take(1).unwrap_or_default(), amount })
}

/// Reads a CTP. Returns None without a readable price.
pub(crate) fn read_ctp(cursor: &mut SegmentCursor<'_, '_>) -> Option<EdiPrice> {
    let price = cursor.take_parsed(3, decimal::normalize_decimal)?;
    let multiplier = cursor.take_parsed(7, decimal::normalize_decimal);
    Some(EdiPrice {
        multiplier_kind: multiplier.as_ref().and_then(|_| cursor.take(6)),
        multiplier,
        class: cursor.take(1),
        kind: cursor.take(2),
        price,
        quantity: cursor.take_parsed(4, decimal::normalize_decimal),
        unit: cursor.take_parsed(5, parse_unit),
        basis: cursor.take(9),
    })
}

/// Parses a unit of measure, which may be a composite element without further components.
pub(crate) fn parse_unit(text: &str) -> Option<String> {
    let unit: String = text.chars().take_while(char::is_ascii_alphanumeric).collect();
    let rest = &text[unit.len()..];
    (!unit.is_empty() && !rest.contains(|letter: char| letter.is_alphanumeric())).then_some(unit)
}

/// Reads an SDQ: up to ten locations with their quantities. A pair that cannot be read stays an extra.
pub(crate) fn read_sdq(cursor: &mut SegmentCursor<'_, '_>) -> Vec<LineSchedule> {
    let pairs = (3..=21).step_by(2);
    let mut read_pair = |position: usize| {
        if cursor.peek(position).is_empty() {
            return None;
        }
        Some(LineSchedule {
            quantity: cursor.take_parsed(position + 1, decimal::normalize_decimal)?,
            location: cursor.take(position),
            unit: cursor.take(1),
            location_qualifier: cursor.take(2),
            ..LineSchedule::default()
        })
    };
    pairs.filter_map(&mut read_pair).collect()
}

/// Reads a SCH: a quantity for a date.
pub(crate) fn read_sch(cursor: &mut SegmentCursor<'_, '_>) -> Option<LineSchedule> {
    Some(LineSchedule {
        quantity: cursor.take_parsed(1, decimal::normalize_decimal)?,
        unit: cursor.take(2),
        location: cursor.take(4),
        date_qualifier: cursor.take(5),
        on: cursor.take_parsed(6, parse_x12_date),
        ..LineSchedule::default()
    })
}

/// Reads a QTY of a line: a quantity of a kind, such as 21 ordered.
pub(crate) fn read_qty(cursor: &mut SegmentCursor<'_, '_>) -> Option<LineSchedule> {
    Some(LineSchedule {
        quantity: cursor.take_parsed(2, decimal::normalize_decimal)?,
        kind: cursor.take(1),
        unit: cursor.take_parsed(3, parse_unit),
        ..LineSchedule::default()
    })
}

/// Reads the pairs of qualifier and product id in PO1, POC, LIN …, from position `first` on. Pairs in the middle may be
/// missing. A value without a qualifier is kept; a qualifier without a value stays an extra.
pub(crate) fn read_product_ids(cursor: &mut SegmentCursor<'_, '_>, first: usize) -> Vec<ProductId> {
    (first..=cursor.segment.len())
        .step_by(2)
        .filter_map(|position| {
            let value = cursor.take(position + 1)?;
            Some(ProductId { qualifier: cursor.take(position).unwrap_or_default(), value })
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
        assert_eq!(parse_x12_time("13305925").as_deref(), Some("13:30:59.25"));
        assert_eq!(parse_x12_time("13305900").as_deref(), Some("13:30:59"));
        assert_eq!(parse_x12_time("2530"), None);
    }
}
