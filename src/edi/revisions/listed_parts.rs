//! Puts the parts that a change states (dates, references, addresses …) into the lists of an order or a line.
//!
//! A part replaces those of its own kind. If the order has several of the kind and the change states fewer, a part
//! replaces the one that it names; if it names none of them, all stay and a person must look at them.

use crate::edi::codes;
use crate::edi::purchase_order::{
    AllowanceCharge, CarrierDetails, EdiAddress, EdiAmount, EdiContact, EdiDate, EdiReference, OrderExtra,
    PaymentTerms, ProductId, PurchaseOrderLine,
};
use crate::edi::revisions::line_match::name_goods;
use crate::edi::revisions::overwrite::overwrite_line;
use std::collections::{HashMap, HashSet};

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

    /// Returns the main value of the part for a message; None if the part states none that can be read.
    fn main_value(&self) -> Option<String>;
}

impl ListedPart for EdiDate {
    fn kind(&self) -> (&str, Option<&str>) {
        (&self.qualifier, self.address.as_deref())
    }

    fn name_kind(&self) -> String {
        codes::DATES.describe(&self.qualifier)
    }

    fn main_value(&self) -> Option<String> {
        self.on.clone()
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
        Self {
            value: self.value.or_else(|| earlier.value.clone()),
            description: self.description.or_else(|| earlier.description.clone()),
            ..self
        }
    }

    fn main_value(&self) -> Option<String> {
        self.value.clone()
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

    fn main_value(&self) -> Option<String> {
        let place = [&self.id, &self.name, &self.city, &self.state, &self.postal_code, &self.country];
        place.into_iter().flatten().chain(&self.lines).next().cloned()
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

    fn main_value(&self) -> Option<String> {
        let numbers = self.others.iter().map(|number| &number.value);
        [&self.name, &self.phone, &self.fax, &self.email].into_iter().flatten().chain(numbers).next().cloned()
    }
}

impl ListedPart for AllowanceCharge {
    fn kind(&self) -> (&str, Option<&str>) {
        (self.code.as_deref().unwrap_or_default(), Some(&self.kind))
    }

    fn name_kind(&self) -> String {
        codes::ALLOWANCES.describe(self.code.as_deref().unwrap_or("allowances or charges without a code"))
    }

    fn main_value(&self) -> Option<String> {
        self.describe_value()
    }
}

impl ListedPart for EdiAmount {
    fn kind(&self) -> (&str, Option<&str>) {
        (&self.qualifier, None)
    }

    fn name_kind(&self) -> String {
        codes::AMOUNTS.describe(&self.qualifier)
    }

    fn main_value(&self) -> Option<String> {
        Some(self.amount.clone())
    }
}

impl ListedPart for ProductId {
    fn kind(&self) -> (&str, Option<&str>) {
        (&self.qualifier, None)
    }

    fn name_kind(&self) -> String {
        codes::PRODUCT_IDS.describe(&self.qualifier)
    }

    fn main_value(&self) -> Option<String> {
        Some(self.value.clone())
    }
}

impl ListedPart for OrderExtra {
    fn kind(&self) -> (&str, Option<&str>) {
        (&self.location, self.name.as_deref())
    }

    fn name_kind(&self) -> String {
        self.location.clone()
    }

    fn main_value(&self) -> Option<String> {
        Some(self.value.clone())
    }
}

impl ListedPart for PaymentTerms {
    fn kind(&self) -> (&str, Option<&str>) {
        ("", None)
    }

    fn name_kind(&self) -> String {
        "terms".to_owned()
    }

    fn main_value(&self) -> Option<String> {
        let days = [(&self.net_days, "net ", " days"), (&self.discount_percent, "", " %")];
        let texts = [&self.net_on, &self.discount_on, &self.discount_days, &self.discount_amount, &self.description];
        let days =
            days.into_iter().find_map(|(days, before, after)| Some(format!("{before}{}{after}", days.as_ref()?)));
        days.or_else(|| texts.into_iter().flatten().next().cloned())
    }
}

impl ListedPart for CarrierDetails {
    fn kind(&self) -> (&str, Option<&str>) {
        ("", self.address.as_deref())
    }

    fn name_kind(&self) -> String {
        "carrier".to_owned()
    }

    fn main_value(&self) -> Option<String> {
        [&self.code, &self.routing, &self.method, &self.service].into_iter().flatten().next().cloned()
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

    fn complete_from(self, earlier: &Self) -> Self {
        let mut completed = earlier.clone();
        overwrite_line(&mut completed, &self);
        completed.number = self.number.or(completed.number);
        completed
    }

    fn main_value(&self) -> Option<String> {
        name_goods(self).or_else(|| self.quantity.clone())
    }
}

/// Replaces the parts that have the kind of a new one, and keeps the others. Returns what is not certain.
pub(super) fn replace_parts<T: ListedPart>(parts: &mut Vec<T>, stated: &[T]) -> Vec<String> {
    let (new, mut doubts) = drop_empty_parts(parts, stated);
    if new.is_empty() {
        return doubts;
    }
    let old = std::mem::take(parts);
    let mut by_kind: HashMap<_, (Vec<&T>, Vec<&T>)> = HashMap::new();
    for part in &new {
        by_kind.entry(part.kind()).or_default().1.push(part);
    }
    for part in &old {
        match by_kind.get_mut(&part.kind()) {
            Some((earlier, _)) => earlier.push(part),
            None => parts.push(part.clone()),
        }
    }
    for part in &new {
        if let Some((earlier, stated)) = by_kind.remove(&part.kind()) {
            let (merged, doubt) = merge_kind(&earlier, &stated);
            parts.extend(merged);
            doubts.extend(doubt);
        }
    }
    doubts
}

/// Replaces the whole list, if the change states one. Returns what is not certain.
pub(super) fn replace_list<T: ListedPart>(parts: &mut Vec<T>, stated: &[T]) -> Vec<String> {
    let (new, doubts) = drop_empty_parts(parts, stated);
    if !new.is_empty() {
        *parts = new;
    }
    doubts
}

/// Keeps the values of an earlier version for which a new version has only empty parts. Returns what is not certain.
pub(super) fn keep_values<T: ListedPart>(parts: &mut Vec<T>, earlier: &[T]) -> Vec<String> {
    let (new, doubts) = drop_empty_parts(earlier, parts);
    if !doubts.is_empty() {
        let empty: HashSet<_> = parts.iter().filter(|part| part.main_value().is_none()).map(ListedPart::kind).collect();
        let mut kept: Vec<T> = earlier.iter().filter(|part| empty.contains(&part.kind())).cloned().collect();
        replace_parts(&mut kept, &new);
        *parts = kept;
    }
    doubts
}

/// Returns the parts of a change without those that state no value, although the order has one of their kind: an empty
/// part, or one that cannot be read, deletes nothing. The second list names each value that stays.
fn drop_empty_parts<T: ListedPart>(earlier: &[T], stated: &[T]) -> (Vec<T>, Vec<String>) {
    let mut values: HashMap<_, Vec<(&T, String)>> = HashMap::new();
    for part in earlier {
        if let Some(value) = part.main_value() {
            values.entry(part.kind()).or_default().push((part, value));
        }
    }
    let mut counts: HashMap<_, usize> = HashMap::new();
    for part in stated {
        *counts.entry(part.kind()).or_default() += 1;
    }
    let (mut new, mut doubts) = (Vec::new(), Vec::new());
    for part in stated {
        let own = values.get(&part.kind()).filter(|_| part.main_value().is_none());
        let Some(own) = own else {
            new.push(part.clone());
            continue;
        };
        let is_only = counts.get(&part.kind()) == Some(&1);
        if let ([(only, _)], true) = (own.as_slice(), is_only) {
            let completed = part.clone().complete_from(only);
            new.extend((completed.main_value().is_some() && completed != **only).then_some(completed));
        }
        let kind = part.name_kind();
        let (verb, value) = match own.as_slice() {
            [(_, value)] => ("stays", value.clone()),
            several => ("stay", format!("{} values", several.len())),
        };
        doubts.push(format!("the change states {kind} without a value that can be read: {value} {verb}"));
    }
    (new, doubts)
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
