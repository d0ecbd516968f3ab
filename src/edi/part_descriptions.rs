//! The parts of a purchase order in words: each as one line of text, with its code beside its meaning. `sps show` and
//! the console print the same lines.

use crate::edi::codes::{self, CodeList};
use crate::edi::decimal;
use crate::edi::purchase_order::{
    AllowanceCharge, CarrierDetails, EdiAddress, EdiAmount, EdiContact, EdiDate, EdiInstruction, EdiPrice,
    EdiReference, LineSchedule, OrderExtra, PaymentTerms, ProductId, PurchaseOrder, PurchaseOrderLine,
};
use crate::text::format_count;

/// Lines of text about one kind of part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartGroup {
    pub title: &'static str,
    pub entries: Vec<String>,
    /// True if the lines can name a person, a phone or an email address.
    pub is_personal: bool,
}

impl PartGroup {
    fn new(title: &'static str, entries: impl Iterator<Item = String>) -> Self {
        let is_personal = ["Contacts", "Other values"].contains(&title);
        Self { title, entries: entries.filter(|entry| !entry.trim().is_empty()).collect(), is_personal }
    }
}

/// Returns the parts of an order beside its addresses and lines, without those that it does not have.
#[must_use]
pub fn list_order_groups(order: &PurchaseOrder, findings: &[String]) -> Vec<PartGroup> {
    // The header has department and vendor number.
    let is_shown = |part: &&EdiReference| {
        [&order.department, &order.vendor].into_iter().flatten().any(|shown| Some(shown) == part.value.as_ref())
            && ["DP", "IA", "VR"].contains(&part.qualifier.as_str())
            && part.description.is_none()
            && part.address.is_none()
    };
    let references = order.references.iter().filter(|part| !is_shown(part));
    let groups = [
        PartGroup::new("Findings", findings.iter().cloned()),
        PartGroup::new("Dates", order.dates.iter().map(describe_date)),
        PartGroup::new("References", references.map(describe_reference)),
        PartGroup::new("Contacts", order.contacts.iter().map(describe_contact)),
        PartGroup::new("Terms", order.terms.iter().map(describe_terms)),
        PartGroup::new("Carrier", order.carriers.iter().map(describe_carrier)),
        PartGroup::new("Packaging and freight", order.instructions.iter().map(describe_instruction)),
        PartGroup::new("Allowances and charges", order.allowances.iter().map(describe_allowance)),
        PartGroup::new("Amounts", order.amounts.iter().map(describe_amount)),
        PartGroup::new("Notes", order.notes.iter().cloned()),
        PartGroup::new("Other values", order.extras.iter().map(describe_extra)),
    ];
    groups.into_iter().filter(|group| !group.entries.is_empty()).collect()
}

/// Returns the parts of a line or component, without those that it does not have.
#[must_use]
pub fn list_line_groups(line: &PurchaseOrderLine) -> Vec<PartGroup> {
    let groups = [
        PartGroup::new("Dates", line.dates.iter().map(describe_date)),
        PartGroup::new("References", line.references.iter().map(describe_reference)),
        PartGroup::new("Quantities", line.schedules.iter().map(describe_schedule)),
        PartGroup::new("Allowances and charges", line.allowances.iter().map(describe_allowance)),
        PartGroup::new("Packaging and freight", line.instructions.iter().map(describe_instruction)),
        PartGroup::new("Notes", line.notes.iter().map(|note| format!("note: {note}"))),
        PartGroup::new("Prices", line.prices.iter().map(describe_price)),
        PartGroup::new("Amounts", line.amounts.iter().map(describe_amount)),
        PartGroup::new("Contacts", line.contacts.iter().map(describe_contact)),
        PartGroup::new("Terms", line.terms.iter().map(describe_terms)),
        PartGroup::new("Carrier", line.carriers.iter().map(describe_carrier)),
        PartGroup::new("Other values", line.extras.iter().map(describe_extra)),
    ];
    groups.into_iter().filter(|group| !group.entries.is_empty()).collect()
}

/// Returns the lines of text below the first line of an ordered item: basis of the price, packs, product ids.
#[must_use]
pub fn list_line_facts(line: &PurchaseOrderLine) -> Vec<String> {
    let mut details = Vec::new();
    details.extend(line.currency.as_ref().map(|currency| format!("in {currency}")));
    if let Some(basis) = line.price_basis.as_deref() {
        details.push(format!("price {}", codes::PRICE_BASES.describe(basis)));
    }
    details.extend(describe_pack(line));
    let ids: Vec<String> = line.ids.iter().map(describe_product_id).collect();
    [details.join("; "), ids.join("; ")].into_iter().filter(|text| !text.is_empty()).collect()
}

/// Returns a part of a set or kit as lines of text.
#[must_use]
pub fn describe_component(component: &PurchaseOrderLine) -> Vec<String> {
    let unit = component.unit.as_deref().map(|unit| codes::UNITS.describe(unit));
    let quantity = join_words([component.quantity.as_deref(), unit.as_deref()], " ");
    let number = component.number.as_ref().map(|number| format!("component {number}"));
    let relationship = component.relationship.as_ref().map(|code| format!("relationship {code}"));
    let price = component.price.as_ref().map(|price| format!("price {price}"));
    let basis = component.price_basis.as_deref().map(|basis| codes::PRICE_BASES.describe(basis));
    let ids: Vec<String> = component.ids.iter().map(describe_product_id).collect();
    let ids = ids.join("; ");
    let parts = [
        Some(number.as_deref().unwrap_or("component")),
        Some(quantity.as_str()),
        component.description.as_deref(),
        price.as_deref(),
        basis.as_deref(),
        Some(ids.as_str()),
        relationship.as_deref(),
    ];
    std::iter::once(join_words(parts, ", ")).chain(describe_pack(component)).collect()
}

/// An address as on an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressText {
    /// Role with its code: `Ship to (ST)`.
    pub role: String,
    /// Names and street, which can be those of a person.
    pub names: Vec<String>,
    /// City with region and country, and the id of the place.
    pub places: Vec<String>,
}

/// Returns the lines of an address.
#[must_use]
pub fn describe_address(address: &EdiAddress) -> AddressText {
    let role = codes::ROLES.describe(&address.kind);
    let mut letters = role.chars();
    let role: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    let names = address.name.iter().chain(&address.more_names).chain(&address.lines).cloned().collect();
    let region = join_words([address.state.as_deref(), address.postal_code.as_deref()], " ");
    let parts = [address.city.as_deref(), Some(region.as_str()), address.country.as_deref()];
    let mut places = vec![join_words(parts, ", ")];
    if let Some(id) = &address.id {
        let issuer = address.id_qualifier.as_deref().unwrap_or("92");
        places.push(match codes::ID_ISSUERS.find(issuer) {
            Some(name) => format!("{name} {id} ({issuer})"),
            None => format!("{issuer} {id}"),
        });
    }
    places.retain(|text| !text.is_empty());
    AddressText { role, names, places }
}

/// Joins the words that are there.
fn join_words<const N: usize>(words: [Option<&str>; N], separator: &str) -> String {
    let words: Vec<&str> = words.into_iter().flatten().filter(|word| !word.is_empty()).collect();
    words.join(separator)
}

/// Returns the address that a part belongs to, for the end of its text.
fn describe_owner(address: Option<&str>) -> String {
    address.map_or_else(String::new, |address| format!(" [{address}]"))
}

/// Returns `case pack 12`, or `case pack 12 × 6 EA` if the size of an inner unit is stated; then the inner pack.
fn describe_pack(line: &PurchaseOrderLine) -> Option<String> {
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
fn describe_schedule(schedule: &LineSchedule) -> String {
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
fn describe_price(price: &EdiPrice) -> String {
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

fn describe_amount(amount: &EdiAmount) -> String {
    format!("{}: {}", codes::AMOUNTS.describe(&amount.qualifier), amount.amount)
}

/// Returns a value without a column, with its place.
fn describe_extra(extra: &OrderExtra) -> String {
    let place = join_words([extra.name.as_deref(), Some(extra.location.as_str())], ", ");
    format!("{place}: {}", extra.value)
}

fn describe_product_id(id: &ProductId) -> String {
    match codes::PRODUCT_IDS.find(&id.qualifier) {
        Some(kind) => format!("{kind} {} ({})", id.value, id.qualifier),
        None => format!("{} {}", id.qualifier, id.value),
    }
}

fn describe_date(date: &EdiDate) -> String {
    let until = date.until.as_ref().map(|until| format!("to {until}"));
    let day = join_words([date.on.as_deref(), until.as_deref(), date.time.as_deref(), date.zone.as_deref()], " ");
    format!("{}: {day}{}", codes::DATES.describe(&date.qualifier), describe_owner(date.address.as_deref()))
}

fn describe_reference(reference: &EdiReference) -> String {
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

fn describe_contact(contact: &EdiContact) -> String {
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

fn describe_terms(terms: &PaymentTerms) -> String {
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

fn describe_carrier(carrier: &CarrierDetails) -> String {
    let method = carrier.method.as_deref().map(|method| codes::TRANSPORTS.describe(method));
    let service = carrier.service.as_ref().map(|service| format!("service {service}"));
    let parts = [carrier.code.as_deref(), carrier.routing.as_deref(), method.as_deref(), service.as_deref()];
    format!("{}{}", join_words(parts, ", "), describe_owner(carrier.address.as_deref()))
}

fn describe_instruction(instruction: &EdiInstruction) -> String {
    let code = instruction.code.as_deref().map(|code| match instruction.kind.as_str() {
        "freight" => codes::FREIGHT_PAYERS.describe(code),
        _ => format!("code {code}"),
    });
    let text = join_words([instruction.description.as_deref(), code.as_deref()], ", ");
    format!("{}: {text}{}", instruction.kind, describe_owner(instruction.address.as_deref()))
}

fn describe_allowance(allowance: &AllowanceCharge) -> String {
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
