//! Checks of outbound documents. The checker collects all errors, so that the ERP gets them at once.
//!
//! Each value must fit X12 unchanged. Nothing is truncated, because a truncated value is lost or means something else.

use crate::edi::decimal;
use crate::edi::outbound::more_facts::{self, OutboundContact, OutboundDate, OutboundReference, OutboundTrailer};
use crate::edi::outbound::order_balance::{MatchedOrderLine, OrderBalance};
use crate::edi::outbound::partner_rules::{FactKind, PartnerRules, StatedFacts};
use crate::edi::outbound::{OutboundCarrier, OutboundWeight, PaymentTerms};
use crate::edi::purchase_order::EdiAddress;
use rust_decimal::Decimal;
use std::collections::{BTreeSet, HashMap};

/// Errors of a document, and the quantity of each item that it sends so far.
#[derive(Debug)]
pub(crate) struct DocumentChecker {
    /// Participle for messages: `invoiced` or `shipped`.
    participle: &'static str,
    errors: Vec<String>,
    quantities_by_item: HashMap<String, Decimal>,
}

impl DocumentChecker {
    /// Creates a checker without errors. `participle` is what the document does with a quantity: `invoiced` or
    /// `shipped`.
    pub fn new(participle: &'static str) -> Self {
        Self { participle, errors: Vec::new(), quantities_by_item: HashMap::new() }
    }

    pub fn add_error(&mut self, message: impl Into<String>) {
        self.errors.push(message.into());
    }

    /// Returns the value, or all errors.
    pub fn finish<T>(self, value: T) -> Result<T, Vec<String>> {
        if self.errors.is_empty() { Ok(value) } else { Err(self.errors) }
    }

    /// Checks a number or code of the ERP: printable ASCII, `length_min` to `length_max` characters.
    pub fn check_code(&mut self, name: &str, value: &str, (length_min, length_max): (usize, usize)) {
        let is_allowed = |char: char| (char.is_ascii_graphic() || char == ' ') && !"*~^>".contains(char);
        let is_valid = value.trim() == value && value.chars().all(is_allowed);
        if value.trim().is_empty() {
            self.add_error(format!("{name} is missing"));
        } else if !is_valid || value.len() < length_min || value.len() > length_max {
            let size = if length_min == length_max {
                format!("{length_max}")
            } else {
                format!("{length_min} to {length_max}")
            };
            self.add_error(format!(
                "{name} {value:?} cannot be sent: it must have {size} printable ASCII characters without * ~ ^ >"
            ));
        }
    }

    /// Checks a number or code that may be left out.
    pub fn check_optional_code(&mut self, name: &str, value: Option<&String>, length: (usize, usize)) {
        if let Some(value) = value {
            self.check_code(name, value, length);
        }
    }

    /// Checks free text, which may have any characters and is transliterated.
    fn check_text(&mut self, name: &str, value: Option<&String>, length_max: usize) {
        let Some(value) = value else { return };
        let ascii = deunicode::deunicode(value);
        if ascii.trim().is_empty() || ascii.len() > length_max || value.chars().any(char::is_control) {
            self.add_error(format!("{name} {value:?} cannot be sent: it must have 1 to {length_max} characters"));
        }
    }

    pub fn check_description(&mut self, of: &str, value: Option<&String>) {
        self.check_text(&format!("the description of {of}"), value, 80);
    }

    pub fn check_date(&mut self, name: &str, value: Option<&String>) {
        let Some(value) = value else { return };
        let is_date = value.len() == 10 && value.parse::<jiff::civil::Date>().is_ok_and(|date| date.year() >= 1900);
        if !is_date {
            self.add_error(format!("{name} {value:?} is not a date such as 2026-11-24"));
        }
    }

    pub fn check_time(&mut self, name: &str, value: Option<&String>) {
        let Some(value) = value else { return };
        let is_numeric = value.split(':').all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()));
        if value.len() != 5 || !is_numeric || value.parse::<jiff::civil::Time>().is_err() {
            self.add_error(format!("{name} {value:?} is not a time such as 14:30"));
        }
    }

    pub fn check_address(&mut self, address: &EdiAddress) {
        let name_of = |part: &str| format!("the {part} of the address {}", address.kind);
        self.check_code("the kind of an address", &address.kind, (2, 3));
        if address.name.is_none() && address.id.is_none() {
            self.add_error(format!("the address {} has neither name nor id", address.kind));
        }
        self.check_text(&name_of("name"), address.name.as_ref(), 60);
        self.check_optional_code(&name_of("id"), address.id.as_ref(), (2, 80));
        self.check_optional_code(&name_of("id_qualifier"), address.id_qualifier.as_ref(), (1, 2));
        if address.more_names.len() > 2 {
            self.add_error(format!("{}: at most 2 are allowed", name_of("more_names")));
        }
        for name in &address.more_names {
            self.check_text(&name_of("more_names"), Some(name), 60);
        }
        if address.lines.len() > 4 {
            self.add_error(format!("{}: at most 4 are allowed", name_of("lines")));
        }
        for line in &address.lines {
            self.check_text(&name_of("lines"), Some(line), 55);
        }
        self.check_text(&name_of("city"), address.city.as_ref(), 30);
        self.check_optional_code(&name_of("state"), address.state.as_ref(), (2, 2));
        self.check_optional_code(&name_of("postal_code"), address.postal_code.as_ref(), (3, 15));
        self.check_optional_code(&name_of("country"), address.country.as_ref(), (2, 3));
    }

    /// Checks the carrier, whose code has at most `code_length_max` characters.
    pub fn check_carrier(&mut self, carrier: Option<&OutboundCarrier>, code_length_max: usize) {
        let Some(carrier) = carrier else { return };
        if carrier.code.is_none() && carrier.routing.is_none() {
            self.add_error("the carrier has neither code nor routing");
        }
        self.check_optional_code("the carrier's code", carrier.code.as_ref(), (2, code_length_max));
        self.check_optional_code("the carrier's method", carrier.method.as_ref(), (1, 2));
        self.check_text("the carrier's routing", carrier.routing.as_ref(), 35);
    }

    /// Checks the trailer and its seals.
    pub fn check_trailer(&mut self, trailer: Option<&OutboundTrailer>) {
        let Some(trailer) = trailer else { return };
        self.check_code("the trailer's number", &trailer.number, (1, 10));
        self.check_optional_code("the trailer's initial", trailer.initial.as_ref(), (1, 4));
        for seal in &trailer.seals {
            self.check_code("the trailer's seal", seal, (2, 15));
        }
    }

    /// Checks the contacts of a document.
    pub fn check_contacts(&mut self, contacts: &[OutboundContact]) {
        for contact in contacts {
            let name_of = |part: &str| format!("the {part} of the contact {}", contact.kind);
            self.check_code("the kind of a contact", &contact.kind, (2, 2));
            self.check_text(&name_of("name"), contact.name.as_ref(), more_facts::CONTACT_NAME_CHARS_MAX);
            let numbers = [("phone", &contact.phone), ("fax", &contact.fax), ("email", &contact.email)];
            for (part, value) in numbers {
                self.check_optional_code(&name_of(part), value.as_ref(), (1, more_facts::CONTACT_NUMBER_CHARS_MAX));
            }
            if contact.name.is_none() && contact.numbers().next().is_none() {
                self.add_error(format!("the contact {} has neither a name nor a number", contact.kind));
            }
        }
        if contacts.len() > more_facts::CONTACTS_MAX {
            self.add_error(format!("contacts: at most {} are allowed", more_facts::CONTACTS_MAX));
        }
    }

    /// Checks the notes of a document.
    pub fn check_notes(&mut self, notes: &[String]) {
        for note in notes {
            self.check_text("the note", Some(note), more_facts::NOTE_CHARS_MAX);
        }
        if notes.len() > more_facts::NOTES_MAX {
            self.add_error(format!("notes: at most {} are allowed", more_facts::NOTES_MAX));
        }
    }

    /// Checks references. `named` lists the qualifiers that have a field of their own, with its name.
    pub fn check_references(&mut self, list: &str, references: &[OutboundReference], named: &[(&str, &str)]) {
        let mut qualifiers = BTreeSet::new();
        for part in references {
            let name = format!("{list}: {}", part.qualifier);
            self.check_code(&format!("{list}: the qualifier"), &part.qualifier, (2, 3));
            self.check_code(&name, &part.value, (1, 30));
            self.check_text(&format!("{name}: the description"), part.description.as_ref(), 80);
            self.check_own_field(&name, &part.qualifier, named);
            if !qualifiers.insert((&part.qualifier, &part.value)) {
                self.add_error(format!("{name} {:?} is listed twice", part.value));
            }
        }
    }

    /// Checks dates. `named` lists the qualifiers that have a field of their own, with its name.
    pub fn check_dates(&mut self, list: &str, dates: &[OutboundDate], named: &[(&str, &str)]) {
        for part in dates {
            let name = format!("{list}: {}", part.qualifier);
            self.check_code(&format!("{list}: the qualifier"), &part.qualifier, (3, 3));
            self.check_date(&name, Some(&part.on));
            self.check_time(&name, part.time.as_ref());
            self.check_own_field(&name, &part.qualifier, named);
        }
        // A DTM segment occurs ten times, and each kind of date that has a field may be there too.
        let dates_max = 10 - named.len();
        if dates.len() > dates_max {
            self.add_error(format!("{list}: at most {dates_max} are allowed"));
        }
    }

    fn check_own_field(&mut self, name: &str, qualifier: &str, named: &[(&str, &str)]) {
        if let Some((_, field)) = named.iter().find(|(own, _)| *own == qualifier) {
            self.add_error(format!("{name} has a field of its own: state {field}"));
        }
    }

    /// Checks that the document states the facts that the partner requires, and names all that are missing at once.
    pub fn check_required_facts(&mut self, partner: &str, kind: FactKind, rules: &PartnerRules, facts: &StatedFacts) {
        let missing = facts.list_missing(rules.required_facts(kind));
        if !missing.is_empty() {
            let (document, key) = match kind {
                FactKind::Invoice => ("invoice", "invoice_requires"),
                FactKind::ShipNotice => ("ship notice", "ship_notice_requires"),
            };
            self.add_error(format!(
                "{partner} requires facts that the {document} does not state ({key} in sps.partners): {}",
                missing.join(", ")
            ));
        }
    }

    /// Checks a weight, which must be over 0. `name` is its name in messages.
    pub fn check_weight(&mut self, name: &str, weight: Option<&OutboundWeight>) {
        let Some(weight) = weight else { return };
        self.check_code(&format!("the unit of {name}"), &weight.unit, (2, 2));
        if weight.value <= Decimal::ZERO || weight.value.normalize().to_string().replace('.', "").len() > 10 {
            self.add_error(format!(
                "{name} {} cannot be sent: it must be over 0, with at most 10 digits",
                weight.value
            ));
        }
    }

    pub fn check_terms(&mut self, terms: &PaymentTerms) {
        if *terms == PaymentTerms::default() {
            self.add_error("an entry of terms is empty");
        }
        self.check_optional_code("the kind of the terms", terms.kind.as_ref(), (2, 2));
        self.check_optional_code("the basis of the terms", terms.basis.as_ref(), (1, 2));
        self.check_date("discount_on", terms.discount_on.as_ref());
        self.check_date("net_on", terms.net_on.as_ref());
        for (name, value, digits_max) in [
            ("discount_percent", &terms.discount_percent, 6),
            ("discount_days", &terms.discount_days, 3),
            ("net_days", &terms.net_days, 3),
            ("discount_amount", &terms.discount_amount, 10),
        ] {
            let Some(text) = value else { continue };
            let is_days = name.ends_with("days");
            let is_valid = decimal::parse_decimal(text).is_some_and(|number| {
                let digits = number.normalize().to_string().replace('.', "").len();
                number >= Decimal::ZERO
                    && digits <= digits_max
                    && !(is_days && number.scale() > 0)
                    && number.scale() <= 4
            });
            if !is_valid {
                self.add_error(format!("{name} {text:?} of the terms is not a number of at most {digits_max} digits"));
            }
        }
        self.check_text("the description of the terms", terms.description.as_ref(), 80);
    }

    /// Checks the quantity that a document sends of an order line.
    ///
    /// The quantity must be positive and in the order's unit. Unless `lenient`, the document and all earlier ones
    /// together must not send more of the item than was ordered.
    pub fn check_quantity(
        &mut self,
        order: &OrderBalance,
        at: &MatchedOrderLine<'_>,
        (quantity, unit): (Decimal, Option<&String>),
        lenient: bool,
    ) {
        let line = at.line;
        if quantity <= Decimal::ZERO {
            self.add_error(format!("{}: the quantity {quantity} must be more than 0", at.name));
        }
        if quantity.normalize().to_string().replace('.', "").len() > 10 {
            self.add_error(format!("{}: the quantity {quantity} has more than 10 digits", at.name));
        }
        self.check_optional_code(&format!("{}: the unit", at.name), unit, (2, 2));
        if let (Some(unit), Some(ordered)) = (unit, line.unit.as_ref())
            && unit != ordered
        {
            self.add_error(format!("{}: the unit is {unit}, but the order has {ordered}", at.name));
        }
        let own_unit = unit.or(line.unit.as_ref());
        match own_unit {
            None => self.add_error(format!("{}: neither the line nor the order states a unit", at.name)),
            Some(own) if unit.is_none() && own.chars().count() != 2 => self.add_error(format!(
                "{}: the unit of the order, {own}, is no code of two characters, so that no answer can state it: ask \
                 the partner for a change",
                at.name
            )),
            Some(_) => {}
        }
        if !lenient {
            self.check_balance(order, at, quantity, own_unit);
        }
    }

    /// Checks that not more of an item is sent than was ordered, over all documents of this kind.
    fn check_balance(
        &mut self,
        order: &OrderBalance,
        at: &MatchedOrderLine<'_>,
        quantity: Decimal,
        unit: Option<&String>,
    ) {
        let item_key = order.item_key(at.index);
        let in_document = self.quantities_by_item.entry(item_key.to_owned()).or_default();
        let in_document_before = *in_document;
        *in_document += quantity;
        let Some(ordered) = order.ordered_quantity(item_key) else {
            return self.add_error(format!("{}: the order does not state the ordered quantity", at.name));
        };
        let sent = order.sent_quantities(item_key);
        if let Some(other) = sent.iter().find(|part| part.unit.as_ref() != unit) {
            let other = other.unit.as_deref().unwrap_or("no unit");
            return self.add_error(format!("{}: an earlier document used the unit {other}", at.name));
        }
        let before = in_document_before + sent.iter().map(|part| part.quantity).sum::<Decimal>();
        if before + quantity > ordered {
            let (before, ordered) = (before.normalize(), ordered.normalize());
            let (verb, done) = (if ordered == Decimal::ONE { "was" } else { "were" }, self.participle);
            self.add_error(if before.is_zero() {
                format!("{}: {ordered} {verb} ordered, but {quantity} {done}", at.name)
            } else {
                format!("{}: {ordered} {verb} ordered and {before} already {done}; this adds {quantity} more", at.name)
            });
        }
    }
}
