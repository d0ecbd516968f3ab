//! Values that a change code allows to differ, and the values of a line of a change that contradict them.
//!
//! A value that the order does not have yet is an addition and contradicts nothing. Notes, contacts, product ids and
//! stated amounts have rules of their own, and are not compared.

use crate::edi::purchase_order::{AllowanceCharge, PurchaseOrder, PurchaseOrderLine};
use crate::edi::revisions::listed_parts::ListedPart;
use crate::edi::revisions::{difference, overwrite};
use ValueKind::{Dates, Others, Price, Quantity, Unit};
use std::collections::HashSet;

/// Most comparisons of parts of one list; longer lists are compared as a whole.
const COMPARISONS_MAX: usize = 250_000;

/// Kind of a value of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueKind {
    Quantity,
    /// The price with its basis and its currency.
    Price,
    /// The unit, and the packs that are counted in it.
    Unit,
    Dates,
    /// Description, places, references, terms, carriers, allowances and schedules.
    Others,
}

/// Kinds of value that a change code allows to differ.
#[derive(Debug, Clone, Copy)]
pub(super) struct AllowedValues(&'static [ValueKind]);

/// A deletion changes no value.
pub(super) const NOTHING: AllowedValues = AllowedValues(&[]);

impl AllowedValues {
    /// Returns the values that may differ, or `None` for a code that sets no values or is not known.
    pub(super) fn of_code(code: &str) -> Option<Self> {
        Some(Self(match code {
            "CA" | "MU" | "RZ" | "RE" | "RM" | "CL" | "CS" => &[Quantity, Price, Unit, Dates, Others],
            "QI" | "QD" => &[Quantity],
            "RQ" => &[Quantity, Dates],
            "PC" | "PR" => &[Price, Dates],
            "PQ" => &[Quantity, Price],
            "CT" | "CB" | "CC" | "CD" | "CE" | "CG" | "RA" | "RB" | "RS" => &[Dates, Others],
            _ => return None,
        }))
    }

    fn allows(self, kind: ValueKind) -> bool {
        self.0.contains(&kind)
    }

    fn allows_everything(self) -> bool {
        [Quantity, Price, Unit, Dates, Others].into_iter().all(|kind| self.allows(kind))
    }
}

/// Returns the problem if the line states a value that differs from the order and that its code does not change.
pub(super) fn find_forbidden_value(
    order: &PurchaseOrder,
    own: &PurchaseOrderLine,
    (line, code): (&PurchaseOrderLine, &str),
    allowed: AllowedValues,
) -> Option<String> {
    for (name, is_allowed, stated, has) in [
        ("quantity", allowed.allows(Quantity), &line.quantity, &own.quantity),
        ("price", allowed.allows(Price), &line.price, &own.price),
        ("unit", allowed.allows(Unit), &line.unit, &own.unit),
        ("pack", allowed.allows(Unit), &line.pack, &own.pack),
        ("inner pack", allowed.allows(Unit), &line.inner_pack, &own.inner_pack),
    ] {
        if let (false, Some(stated), Some(has)) = (is_allowed, stated, has)
            && stated != has
        {
            return Some(format!("{code} does not change the {name}: expected {has}, found {stated}"));
        }
    }
    if allowed.allows_everything() {
        return None;
    }
    let before = inherit_header(order, own, line);
    let mut after = before.clone();
    overwrite::overwrite_line(&mut after, line);
    settle_values(&before, &mut after, allowed);
    settle_lists(&before, &mut after, allowed);
    let differences = difference::list_line_differences(&before, &after);
    let stated = difference::join_differences(&differences);
    (!differences.is_empty()).then(|| format!("{code} does not change other values, but the line states {stated}"))
}

/// Returns the line with the currency, dates and places of the order that it does not state itself and a change does.
fn inherit_header(order: &PurchaseOrder, own: &PurchaseOrderLine, change: &PurchaseOrderLine) -> PurchaseOrderLine {
    let mut line = own.clone();
    line.currency = line.currency.or_else(|| order.currency.clone());
    line.dates.extend(select_inherited(&order.dates, &own.dates, &change.dates));
    line.addresses.extend(select_inherited(&order.addresses, &own.addresses, &change.addresses));
    line
}

/// Returns the parts of the header whose kind the change of a line states, and the line does not.
fn select_inherited<T: ListedPart>(of_order: &[T], own: &[T], change: &[T]) -> Vec<T> {
    let own: HashSet<_> = own.iter().map(ListedPart::kind).collect();
    let stated: HashSet<_> = change.iter().map(ListedPart::kind).filter(|kind| !own.contains(kind)).collect();
    if stated.is_empty() {
        Vec::new()
    } else {
        of_order.iter().filter(|part| stated.contains(&part.kind())).cloned().collect()
    }
}

/// Gives `after` the values of `before` that may differ, or that the line only adds.
fn settle_values(before: &PurchaseOrderLine, after: &mut PurchaseOrderLine, allowed: AllowedValues) {
    // Other rules decide about these.
    after.quantity.clone_from(&before.quantity);
    after.relationship.clone_from(&before.relationship);
    after.ids.clone_from(&before.ids);
    after.prices.clone_from(&before.prices);
    after.instructions.clone_from(&before.instructions);
    after.notes.clone_from(&before.notes);
    after.contacts.clone_from(&before.contacts);
    after.amounts.clone_from(&before.amounts);
    after.extras.clone_from(&before.extras);
    // A basis that gives the same amount is no other one.
    let is_same_price = before.price.is_none() || before.units_per_price() == after.units_per_price();
    if allowed.allows(Price) || (before.price_basis.is_none() && is_same_price) {
        after.price_basis.clone_from(&before.price_basis);
    }
    let is_same_text = is_same_description(before.description.as_deref(), after.description.as_deref());
    for (is_settled, old, new) in [
        (allowed.allows(Price), &before.price, &mut after.price),
        (allowed.allows(Price), &before.currency, &mut after.currency),
        (allowed.allows(Unit), &before.unit, &mut after.unit),
        (allowed.allows(Unit), &before.pack, &mut after.pack),
        (allowed.allows(Unit), &before.inner_pack, &mut after.inner_pack),
        (allowed.allows(Unit), &before.pack_size, &mut after.pack_size),
        (allowed.allows(Others) || is_same_text, &before.description, &mut after.description),
    ] {
        if is_settled || old.is_none() {
            new.clone_from(old);
        }
    }
}

/// Gives `after` the parts of `before` that may differ, or that the line only adds.
fn settle_lists(before: &PurchaseOrderLine, after: &mut PurchaseOrderLine, allowed: AllowedValues) {
    let is_same = |one: &Option<String>, two: &Option<String>| one.is_none() || two.is_none() || one == two;
    let has_same_basis = |own: &AllowanceCharge, other: &AllowanceCharge| {
        is_same(&own.percent, &other.percent) && is_same(&own.rate, &other.rate)
    };
    settle_parts(&before.dates, &mut after.dates, allowed.allows(Dates), |own, other| own == other);
    settle_parts(&before.references, &mut after.references, allowed.allows(Others), |own, other| own == other);
    settle_parts(&before.terms, &mut after.terms, allowed.allows(Others), |own, other| own == other);
    settle_parts(&before.carriers, &mut after.carriers, allowed.allows(Others), |own, other| own == other);
    // The same place may have another wording.
    settle_parts(&before.addresses, &mut after.addresses, allowed.allows(Others), ListedPart::is_about_same);
    // The amount of an allowance follows from the quantity and the price.
    settle_parts(
        &before.allowances,
        &mut after.allowances,
        allowed.allows(Others) || allowed.allows(Price),
        has_same_basis,
    );
    let is_same_component = |own: &PurchaseOrderLine, other: &PurchaseOrderLine| {
        own.is_about_same(other)
            && is_same(&own.quantity, &other.quantity)
            && is_same(&own.unit, &other.unit)
            && (allowed.allows(Price) || is_same(&own.price, &other.price))
    };
    settle_parts(&before.components, &mut after.components, false, is_same_component);
    if allowed.allows(Quantity) || allowed.allows(Others) || before.schedules.is_empty() {
        after.schedules.clone_from(&before.schedules);
    }
}

/// Gives `after` the parts of `before`: all if they may differ, else those that are settled. Parts of a kind that
/// `before` does not have are left out.
fn settle_parts<T: ListedPart>(
    before: &[T],
    after: &mut Vec<T>,
    is_allowed: bool,
    is_settled: impl Fn(&T, &T) -> bool,
) {
    if is_allowed {
        *after = before.to_vec();
        return;
    }
    if before.len().saturating_mul(after.len()) > COMPARISONS_MAX {
        return;
    }
    after.retain(|part| before.iter().any(|own| own.kind() == part.kind()));
    for part in after {
        let same = before.iter().find(|own| own.kind() == part.kind() && is_settled(own, part));
        if let Some(own) = same {
            *part = own.clone();
        }
    }
}

/// Returns true for two descriptions of which one contains the other, apart from case and punctuation.
fn is_same_description(one: Option<&str>, other: Option<&str>) -> bool {
    let letters = |text: Option<&str>| -> String {
        text.unwrap_or_default().to_lowercase().chars().filter(|letter| letter.is_alphanumeric()).collect()
    };
    let (one, other) = (letters(one), letters(other));
    one.contains(&other) || other.contains(&one)
}
