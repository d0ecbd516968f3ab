//! Puts the parts that a change states (dates, references, addresses …) into the lists of an order or a line.
//!
//! A part replaces those of its own kind. If the order has several of the kind and the change states fewer, a part
//! replaces the one that it names; if it names none of them, all stay and a person must look at them.

use crate::edi::codes;
use crate::edi::purchase_order::{
    AllowanceCharge, EdiAddress, EdiAmount, EdiContact, EdiDate, EdiReference, OrderExtra, ProductId, PurchaseOrderLine,
};
use std::collections::HashMap;

/// Most comparisons of parts of one kind; of more parts no two are the same.
const COMPARISONS_MAX: usize = 250_000;

/// Part of an order or a line of which there are several.
pub(super) trait ListedPart: Clone + PartialEq {
    /// Returns the kind of the part: its code, and what else keeps it apart from another one with this code.
    fn kind(&self) -> (&str, Option<&str>);

    /// Returns the name of the kind for a message.
    fn name_kind(&self) -> String;

    /// Returns true if both parts of one kind name the same thing.
    fn is_about_same(&self, other: &Self) -> bool {
        self == other
    }

    /// Returns the part with the values of an earlier version that it does not state.
    fn complete_from(self, _earlier: &Self) -> Self {
        self
    }
}

impl ListedPart for EdiDate {
    fn kind(&self) -> (&str, Option<&str>) {
        (&self.qualifier, self.address.as_deref())
    }

    fn name_kind(&self) -> String {
        codes::DATES.describe(&self.qualifier)
    }
}

impl ListedPart for EdiReference {
    fn kind(&self) -> (&str, Option<&str>) {
        (&self.qualifier, self.address.as_deref())
    }

    fn name_kind(&self) -> String {
        codes::REFERENCES.describe(&self.qualifier)
    }

    fn is_about_same(&self, other: &Self) -> bool {
        self.value.is_some() && self.value == other.value
    }

    fn complete_from(self, earlier: &Self) -> Self {
        Self { description: self.description.or_else(|| earlier.description.clone()), ..self }
    }
}

impl ListedPart for EdiAddress {
    fn kind(&self) -> (&str, Option<&str>) {
        (&self.kind, None)
    }

    fn name_kind(&self) -> String {
        codes::ROLES.describe(&self.kind)
    }

    fn is_about_same(&self, other: &Self) -> bool {
        let has_same_issuer =
            self.id_qualifier.is_none() || other.id_qualifier.is_none() || self.id_qualifier == other.id_qualifier;
        match (&self.id, &other.id) {
            (Some(own), Some(id)) => own == id && has_same_issuer,
            _ => self.name.is_some() && self.name == other.name,
        }
    }

    fn complete_from(self, earlier: &Self) -> Self {
        let earlier = earlier.clone();
        let place = [&self.city, &self.state, &self.postal_code, &self.country];
        let has_place = !self.lines.is_empty() || place.into_iter().any(Option::is_some);
        let own = self.clone();
        // A new street never stands beside the city of an old one.
        let place = if has_place { self } else { earlier.clone() };
        Self {
            kind: own.kind,
            id_qualifier: own.id_qualifier.or(earlier.id_qualifier),
            id: own.id.or(earlier.id),
            name: own.name.or(earlier.name),
            more_names: if own.more_names.is_empty() { earlier.more_names } else { own.more_names },
            ..place
        }
    }
}

impl ListedPart for EdiContact {
    fn kind(&self) -> (&str, Option<&str>) {
        (&self.kind, self.address.as_deref())
    }

    fn name_kind(&self) -> String {
        codes::CONTACTS.describe(&self.kind)
    }

    fn is_about_same(&self, other: &Self) -> bool {
        self.name.is_some() && self.name == other.name
    }

    fn complete_from(self, earlier: &Self) -> Self {
        let earlier = earlier.clone();
        Self {
            phone: self.phone.or(earlier.phone),
            fax: self.fax.or(earlier.fax),
            email: self.email.or(earlier.email),
            others: if self.others.is_empty() { earlier.others } else { self.others },
            ..self
        }
    }
}

impl ListedPart for AllowanceCharge {
    fn kind(&self) -> (&str, Option<&str>) {
        (self.code.as_deref().unwrap_or_default(), Some(&self.kind))
    }

    fn name_kind(&self) -> String {
        codes::ALLOWANCES.describe(self.code.as_deref().unwrap_or("allowances or charges without a code"))
    }
}

impl ListedPart for EdiAmount {
    fn kind(&self) -> (&str, Option<&str>) {
        (&self.qualifier, None)
    }

    fn name_kind(&self) -> String {
        codes::AMOUNTS.describe(&self.qualifier)
    }
}

impl ListedPart for ProductId {
    fn kind(&self) -> (&str, Option<&str>) {
        (&self.qualifier, None)
    }

    fn name_kind(&self) -> String {
        codes::PRODUCT_IDS.describe(&self.qualifier)
    }
}

impl ListedPart for OrderExtra {
    fn kind(&self) -> (&str, Option<&str>) {
        (&self.location, self.name.as_deref())
    }

    fn name_kind(&self) -> String {
        self.location.clone()
    }
}

/// Component of a set or kit.
impl ListedPart for PurchaseOrderLine {
    fn kind(&self) -> (&str, Option<&str>) {
        ("", None)
    }

    fn name_kind(&self) -> String {
        "component".to_owned()
    }

    fn is_about_same(&self, other: &Self) -> bool {
        if self.ids.is_empty() || other.ids.is_empty() {
            self.number.is_some() && self.number == other.number
        } else {
            self.ids.iter().all(|id| other.ids.contains(id))
        }
    }
}

/// Replaces the parts that have the kind of a new one, and keeps the others. Returns what is not certain.
pub(super) fn replace_parts<T: ListedPart>(parts: &mut Vec<T>, new: &[T]) -> Vec<String> {
    if new.is_empty() {
        return Vec::new();
    }
    let old = std::mem::take(parts);
    let mut by_kind: HashMap<_, (Vec<&T>, Vec<&T>)> = HashMap::new();
    for part in new {
        by_kind.entry(part.kind()).or_default().1.push(part);
    }
    for part in &old {
        match by_kind.get_mut(&part.kind()) {
            Some((earlier, _)) => earlier.push(part),
            None => parts.push(part.clone()),
        }
    }
    let mut doubts = Vec::new();
    for part in new {
        if let Some((earlier, stated)) = by_kind.remove(&part.kind()) {
            let (merged, doubt) = merge_kind(&earlier, &stated);
            parts.extend(merged);
            doubts.extend(doubt);
        }
    }
    doubts
}

/// Merges the parts of one kind with those that a change states. Returns what is not certain.
fn merge_kind<T: ListedPart>(earlier: &[&T], stated: &[&T]) -> (Vec<T>, Option<String>) {
    let is_compared = earlier.len().saturating_mul(stated.len()) <= COMPARISONS_MAX;
    let find_same = |part: &T| earlier.iter().position(|old| is_compared && part.is_about_same(old));
    let complete = |part: &T, same: Option<usize>| match same {
        Some(same) => part.clone().complete_from(earlier[same]),
        None => part.clone(),
    };
    if earlier.len() < 2 || stated.len() >= earlier.len() {
        return (stated.iter().map(|part| complete(part, find_same(part))).collect(), None);
    }
    let mut merged: Vec<T> = earlier.iter().map(|part| (*part).clone()).collect();
    for part in stated {
        let same = find_same(part);
        let completed = complete(part, same);
        match same {
            Some(same) => merged[same] = completed,
            None => merged.push(completed),
        }
    }
    let doubt = (merged.len() > earlier.len()).then(|| {
        let (count, kind) = (earlier.len(), stated[0].name_kind());
        format!("{kind} has {count} values, and it is not certain which one the change replaces: all stay")
    });
    (merged, doubt)
}
