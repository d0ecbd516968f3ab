//! The parts of a purchase order in words: each as one line of text, with its code beside its meaning.

use crate::edi::codes::{self, CodeList};
use crate::edi::decimal;
use crate::edi::purchase_order::{
    AllowanceCharge, CarrierDetails, EdiAmount, EdiContact, EdiDate, EdiInstruction, EdiPrice, EdiReference,
    LineSchedule, OrderExtra, PaymentTerms, ProductId, PurchaseOrderLine,
};
use crate::text::format_count;

/// Joins the words that are there.
pub(crate) fn join_words<const N: usize>(words: [Option<&str>; N], separator: &str) -> String {
    let words: Vec<&str> = words.into_iter().flatten().filter(|word| !word.is_empty()).collect();
    words.join(separator)
}

/// Returns the address that a part belongs to, for the end of its text.
fn describe_owner(address: Option<&str>) -> String {
    address.map_or_else(String::new, |address| format!(" [{address}]"))
}

/// Returns `case pack 12`, or `case pack 12 × 6 EA` if the size of an inner unit is stated; then the inner pack.
pub(crate) fn describe_pack(line: &PurchaseOrderLine) -> Option<String> {
    let pack = match (&line.pack, &line.pack_size) {
        (Some(pack), Some(size)) => Some(format!("case pack {pack} × {size}")),
        (Some(pack), None) => Some(format!("case pack {pack}")),
        (None, Some(size)) => Some(format!("size {size}")),
        (None, None) => None,
    };
    let inner = line.inner_pack.as_ref().map(|inner| format!("inner pack {inner}"));
    let packs = join_words([pack.as_deref(), inner.as_deref()], ", ");
    (!packs.is_empty()).then_some(packs)
}

/// Returns a part of a line's quantity for a place or a date.
pub(crate) fn describe_schedule(schedule: &LineSchedule) -> String {
    let unit = schedule.unit.as_deref().map(|unit| codes::UNITS.describe(unit));
    let quantity = join_words([Some(schedule.quantity.as_str()), unit.as_deref()], " ");
    let place = schedule.location.as_ref().map(|location| format!("for {location}"));
    let date = schedule.on.as_ref().map(|on| {
        let meaning = schedule.date_qualifier.as_deref().map(|code| codes::DATES.describe(code));
        join_words([meaning.as_deref(), Some(on.as_str())], " ")
    });
    join_words([Some(quantity.as_str()), place.as_deref(), date.as_deref()], ", ")
}

/// Returns a price that is stated apart from the line.
pub(crate) fn describe_price(price: &EdiPrice) -> String {
    let kind = price.kind.as_deref().map(|kind| codes::PRICES.describe(kind));
    let basis = price.basis.as_deref().map(|basis| codes::PRICE_BASES.describe(basis));
    let quantity = join_words([price.quantity.as_deref(), price.unit.as_deref()], " ");
    let quantity = (!quantity.is_empty()).then(|| format!("for {quantity}"));
    let class = price.class.as_ref().map(|class| format!("class of trade {class}"));
    let multiplier = price.multiplier.as_ref().map(|multiplier| {
        let kind = price.multiplier_kind.as_ref().map_or_else(String::new, |kind| format!(" ({kind})"));
        format!("multiplier {multiplier}{kind}")
    });
    let parts =
        [Some(price.price.as_str()), basis.as_deref(), quantity.as_deref(), multiplier.as_deref(), class.as_deref()];
    format!("{}: {}", kind.as_deref().unwrap_or("price"), join_words(parts, ", "))
}

pub(crate) fn describe_amount(amount: &EdiAmount) -> String {
    format!("{}: {}", codes::AMOUNTS.describe(&amount.qualifier), amount.amount)
}

/// Returns a value without a column, with its place.
pub(crate) fn describe_extra(extra: &OrderExtra) -> String {
    let place = join_words([extra.name.as_deref(), Some(extra.location.as_str())], ", ");
    format!("{place}: {}", extra.value)
}

pub(crate) fn describe_product_id(id: &ProductId) -> String {
    match codes::PRODUCT_IDS.find(&id.qualifier) {
        Some(kind) => format!("{kind} {} ({})", id.value, id.qualifier),
        None => format!("{} {}", id.qualifier, id.value),
    }
}

pub(crate) fn describe_date(date: &EdiDate) -> String {
    let until = date.until.as_ref().map(|until| format!("to {until}"));
    let day = join_words([date.on.as_deref(), until.as_deref(), date.time.as_deref(), date.zone.as_deref()], " ");
    format!("{}: {day}{}", codes::DATES.describe(&date.qualifier), describe_owner(date.address.as_deref()))
}

pub(crate) fn describe_reference(reference: &EdiReference) -> String {
    let value = join_words([reference.value.as_deref(), reference.description.as_deref()], " ");
    let owner = describe_owner(reference.address.as_deref());
    format!("{}: {value}{owner}", codes::REFERENCES.describe(&reference.qualifier))
}

/// Kinds of a number: PER03 (365).
const CONTACT_NUMBERS: CodeList = CodeList::new(&[
    ("AP", "alternate phone"),
    ("CP", "mobile phone"),
    ("EM", "email"),
    ("EX", "extension"),
    ("FX", "fax"),
    ("HP", "home phone"),
    ("TE", "phone"),
    ("UR", "web address"),
    ("WP", "work phone"),
]);

pub(crate) fn describe_contact(contact: &EdiContact) -> String {
    let fax = contact.fax.as_ref().map(|fax| format!("fax {fax}"));
    let others: Vec<String> = contact
        .others
        .iter()
        .map(|number| format!("{} {}", CONTACT_NUMBERS.describe(&number.qualifier), number.value).trim().to_owned())
        .collect();
    let others = (!others.is_empty()).then(|| others.join(", "));
    let (name, phone, email) = (contact.name.as_deref(), contact.phone.as_deref(), contact.email.as_deref());
    let parts = [name, phone, fax.as_deref(), email, others.as_deref()];
    let owner = describe_owner(contact.address.as_deref());
    format!("{}: {}{owner}", codes::CONTACTS.describe(&contact.kind), join_words(parts, ", "))
}

/// Returns a number of days of the sender with its noun.
fn count_days(days: &str) -> String {
    decimal::parse_decimal(days).map_or_else(|| format!("{days} days"), |number| format_count(number, "day", "days"))
}

pub(crate) fn describe_terms(terms: &PaymentTerms) -> String {
    let basis = terms.basis.as_deref().map(|basis| format!("from {}", codes::TERMS_BASES.describe(basis)));
    let discount = terms.discount_percent.as_ref().map(|percent| {
        let days = terms.discount_days.as_ref().map(|days| format!("within {}", count_days(days)));
        let day = terms.discount_on.as_ref().map(|day| format!("until {day}"));
        join_words([Some(format!("{percent} %").as_str()), days.as_deref(), day.as_deref()], " ")
    });
    let amount = terms.discount_amount.as_ref().map(|amount| format!("discount {amount}"));
    let net_days = terms.net_days.as_ref().map(|days| format!("net {}", count_days(days)));
    let net_on = terms.net_on.as_ref().map(|day| format!("net by {day}"));
    let kind = terms.kind.as_deref().map(|kind| codes::TERMS.describe(kind));
    let parts = [
        terms.description.as_deref(),
        discount.as_deref(),
        amount.as_deref(),
        net_days.as_deref(),
        net_on.as_deref(),
        basis.as_deref(),
        kind.as_deref(),
    ];
    join_words(parts, ", ")
}

pub(crate) fn describe_carrier(carrier: &CarrierDetails) -> String {
    let method = carrier.method.as_deref().map(|method| codes::TRANSPORTS.describe(method));
    let service = carrier.service.as_ref().map(|service| format!("service {service}"));
    let parts = [carrier.code.as_deref(), carrier.routing.as_deref(), method.as_deref(), service.as_deref()];
    format!("{}{}", join_words(parts, ", "), describe_owner(carrier.address.as_deref()))
}

pub(crate) fn describe_instruction(instruction: &EdiInstruction) -> String {
    let code = instruction.code.as_deref().map(|code| match instruction.kind.as_str() {
        "freight" => codes::FREIGHT_PAYERS.describe(code),
        _ => format!("code {code}"),
    });
    let text = join_words([instruction.description.as_deref(), code.as_deref()], ", ");
    format!("{}: {text}{}", instruction.kind, describe_owner(instruction.address.as_deref()))
}

pub(crate) fn describe_allowance(allowance: &AllowanceCharge) -> String {
    let kind = match allowance.kind.as_str() {
        "A" => "allowance (A)",
        "C" => "charge (C)",
        "N" => "no allowance or charge (N)",
        other => other,
    };
    let code = allowance.code.as_deref().map(|code| codes::ALLOWANCES.describe(code));
    let percent = allowance.percent.as_ref().map(|percent| format!("{percent} %"));
    let basis = allowance.percent_basis.as_ref().map(|basis| format!("basis of the percentage {basis}"));
    let rate = allowance.rate.as_ref().map(|rate| format!("{rate} per unit"));
    let quantity = join_words([allowance.quantity.as_deref(), allowance.unit.as_deref()], " ");
    let quantity = (!quantity.is_empty()).then(|| format!("for {quantity}"));
    let handling = allowance.handling.as_deref().map(|handling| codes::HANDLINGS.describe(handling));
    let parts = [
        code.as_deref(),
        allowance.amount.as_deref(),
        percent.as_deref(),
        basis.as_deref(),
        rate.as_deref(),
        quantity.as_deref(),
        handling.as_deref(),
        allowance.description.as_deref(),
    ];
    format!("{kind}: {}", join_words(parts, ", "))
}
