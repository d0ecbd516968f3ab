//! What keeps a document from being sent, collected, so that all of it is said at once.
//!
//! What is given must fit X12 as it is: nothing is cut, since what was cut would be lost or mean something else.

use super::ordered::{Ordered, Position};
use super::{Carrier, Terms};
use crate::formats::decimal;
use crate::formats::purchase_order::Address;
use rust_decimal::Decimal;
use std::collections::HashMap;

/// The list, and what the document itself has of each goods so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<String>,
    taken: HashMap<String, Decimal>,
}

impl Problems {
    pub fn add(&mut self, text: impl Into<String>) {
        self.list.push(text.into());
    }

    pub fn end<T>(self, value: T) -> Result<T, Vec<String>> {
        if self.list.is_empty() { Ok(value) } else { Err(self.list) }
    }

    /// A number or code of ours: printable ASCII, so many characters.
    pub fn code(&mut self, what: &str, value: &str, (least, most): (usize, usize)) {
        let is_plain = |letter: char| letter.is_ascii_graphic() || letter == ' ';
        let sound = value.trim() == value && value.chars().all(|letter| is_plain(letter) && !"*~^>".contains(letter));
        if value.trim().is_empty() {
            self.add(format!("{what} is missing"));
        } else if !sound || value.len() < least || value.len() > most {
            let size = if least == most { format!("{most}") } else { format!("{least} to {most}") };
            self.add(format!(
                "{what} {value:?} cannot be sent: it must be {size} printable ASCII characters without * ~ ^ >"
            ));
        }
    }

    /// The same for one that may be left out.
    pub fn optional(&mut self, what: &str, value: Option<&String>, size: (usize, usize)) {
        if let Some(value) = value {
            self.code(what, value, size);
        }
    }

    /// Words, which may be in any letters.
    fn words(&mut self, what: &str, value: Option<&String>, most: usize) {
        let Some(value) = value else { return };
        let written = deunicode::deunicode(value);
        if written.trim().is_empty() || written.len() > most || value.chars().any(char::is_control) {
            self.add(format!("{what} {value:?} cannot be sent: it must be 1 to {most} characters"));
        }
    }

    pub fn description(&mut self, what: &str, value: Option<&String>) {
        self.words(&format!("the description of {what}"), value, 80);
    }

    pub fn day(&mut self, what: &str, value: Option<&String>) {
        let Some(value) = value else { return };
        let is_day = value.len() == 10 && value.parse::<jiff::civil::Date>().is_ok_and(|day| day.year() >= 1900);
        if !is_day {
            self.add(format!("{what} {value:?} is no day: write 2026-11-24"));
        }
    }

    pub fn time(&mut self, what: &str, value: Option<&String>) {
        let Some(value) = value else { return };
        let digits = value.split(':').all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()));
        if value.len() != 5 || !digits || value.parse::<jiff::civil::Time>().is_err() {
            self.add(format!("{what} {value:?} is no time: write 14:30"));
        }
    }

    pub fn address(&mut self, address: &Address) {
        let what = |part: &str| format!("the {part} of the address {}", address.kind);
        self.code("the kind of an address", &address.kind, (2, 3));
        if address.name.is_none() && address.id.is_none() {
            self.add(format!("the address {} has neither name nor id", address.kind));
        }
        self.words(&what("name"), address.name.as_ref(), 60);
        self.optional(&what("id"), address.id.as_ref(), (2, 80));
        self.optional(&what("id_qualifier"), address.id_qualifier.as_ref(), (1, 2));
        if address.lines.len() > 4 {
            self.add(format!("{} are more than 4", what("lines")));
        }
        for line in &address.lines {
            self.words(&what("lines"), Some(line), 55);
        }
        self.words(&what("city"), address.city.as_ref(), 30);
        self.optional(&what("state"), address.state.as_ref(), (2, 2));
        self.optional(&what("postal_code"), address.postal_code.as_ref(), (3, 15));
        self.optional(&what("country"), address.country.as_ref(), (2, 3));
    }

    /// `code_most`: how long the carrier's code may be.
    pub fn carrier(&mut self, carrier: Option<&Carrier>, code_most: usize) {
        let Some(carrier) = carrier else { return };
        if carrier.code.is_none() && carrier.routing.is_none() {
            self.add("the carrier has neither code nor routing");
        }
        self.optional("the carrier's code", carrier.code.as_ref(), (2, code_most));
        self.optional("the carrier's method", carrier.method.as_ref(), (1, 2));
        self.words("the carrier's routing", carrier.routing.as_ref(), 35);
    }

    pub fn terms(&mut self, terms: &Terms) {
        if *terms == Terms::default() {
            self.add("terms that say nothing");
        }
        self.optional("the kind of the terms", terms.kind.as_ref(), (2, 2));
        self.optional("the basis of the terms", terms.basis.as_ref(), (1, 2));
        self.day("discount_on", terms.discount_on.as_ref());
        self.day("net_on", terms.net_on.as_ref());
        for (what, value, most) in [
            ("discount_percent", &terms.discount_percent, 6),
            ("discount_days", &terms.discount_days, 3),
            ("net_days", &terms.net_days, 3),
            ("discount_amount", &terms.discount_amount, 10),
        ] {
            let Some(text) = value else { continue };
            let is_days = what.ends_with("days");
            let sound = decimal::parse(text).is_some_and(|number| {
                let digits = number.normalize().to_string().replace('.', "").len();
                number >= Decimal::ZERO && digits <= most && !(is_days && number.scale() > 0) && number.scale() <= 4
            });
            if !sound {
                self.add(format!("{what} {text:?} of the terms is no number of at most {most} digits"));
            }
        }
        self.words("the description of the terms", terms.description.as_ref(), 80);
    }

    /// So much of a line of the order: it must be positive, in the order's unit, and with all that is said of the goods not
    /// more than was ordered.
    pub fn quantity(
        &mut self,
        order: &Ordered,
        at: &Position<'_>,
        (quantity, unit): (Decimal, Option<&String>),
        lenient: bool,
    ) {
        let line = at.line;
        if quantity <= Decimal::ZERO {
            self.add(format!("{}: the quantity {quantity} is not more than 0", at.name));
        }
        if quantity.normalize().to_string().replace('.', "").len() > 10 {
            self.add(format!("{}: the quantity {quantity} has more than 10 digits", at.name));
        }
        self.optional(&format!("{}: the unit", at.name), unit, (2, 2));
        if let (Some(unit), Some(ordered)) = (unit, line.unit.as_ref())
            && unit != ordered
        {
            self.add(format!("{}: the unit is {unit}, the order's is {ordered}", at.name));
        }
        let own_unit = unit.or(line.unit.as_ref());
        if own_unit.is_none() {
            self.add(format!("{}: has no unit, and neither has the order", at.name));
        }
        if lenient {
            return;
        }
        let goods = order.goods(at.index);
        let taken = self.taken.entry(goods.to_owned()).or_default();
        let already = *taken;
        *taken += quantity;
        let Some(ordered) = order.ordered(goods) else {
            return self.add(format!("{}: the order does not say how much was ordered", at.name));
        };
        let sent = order.sent(goods);
        if let Some(other) = sent.iter().find(|part| part.unit.as_ref() != own_unit) {
            let other = other.unit.as_deref().unwrap_or("no unit");
            return self.add(format!("{}: it was sent in {other} before, and cannot be added to that", at.name));
        }
        let before = already + sent.iter().map(|part| part.quantity).sum::<Decimal>();
        if before + quantity > ordered {
            let before = if before.is_zero() { String::new() } else { format!(" and {} before", before.normalize()) };
            self.add(format!("{}: {quantity}{before}, but {ordered} was ordered", at.name));
        }
    }
}
