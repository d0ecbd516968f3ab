//! What a purchase order is after all that was said about it.
//!
//! The order and the changes to it are put in the order of their own numbers and days, never of their arrival, and folded into one:
//! the same documents give the same order, however they came. A change that came before its order waits for it. What cannot be told
//! for sure is not guessed: it is `unclear`, and a person must look.

use super::decimal;
use super::purchase_order::{Line, PurchaseOrder};
use std::collections::HashSet;

/// A document, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub order: PurchaseOrder,
    pub event_id: i64,
    /// Which one of its file.
    pub part: i64,
}

/// How far a line or an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Open,
    Cancelled,
    /// Only changes came.
    Waiting,
}

impl Status {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Cancelled => "cancelled",
            Self::Waiting => "waiting",
        }
    }
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Applied,
    Waiting,
    Unclear,
}

impl Outcome {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Waiting => "waiting",
            Self::Unclear => "unclear",
        }
    }
}

/// One step of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub event_id: i64,
    pub sequence: Option<String>,
    pub changed_on: Option<String>,
    pub line_number: Option<String>,
    pub code: Option<String>,
    pub outcome: Outcome,
    pub said: String,
}

/// The order as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub order: PurchaseOrder,
    pub status: Status,
    /// Of each line of `order`.
    pub lines: Vec<Status>,
    pub steps: Vec<Step>,
    pub changes: usize,
    /// The event that brought the order itself.
    pub event_id: Option<i64>,
}

impl State {
    /// What a person must look at, in words.
    #[must_use]
    pub fn attention(&self) -> Option<String> {
        let unclear = self.steps.iter().filter(|step| step.outcome == Outcome::Unclear).count();
        if self.status == Status::Waiting {
            return Some("a change came, and the order it changes did not yet".to_owned());
        }
        (unclear > 0).then(|| format!("{unclear} changes are not clear: purchase_order_changes has them"))
    }

    /// Quantity times price of the open lines; `None` when one has not both, or is priced by the hundred and the like.
    #[must_use]
    pub fn total(&self) -> Option<String> {
        let open = self.order.lines.iter().zip(&self.lines).filter(|(_, status)| **status == Status::Open);
        let mut total = rust_decimal::Decimal::ZERO;
        for (line, _) in open {
            if !line.is_priced_by_unit() {
                return None;
            }
            let (quantity, price) =
                (decimal::parse(line.quantity.as_deref()?)?, decimal::parse(line.price.as_deref()?)?);
            total = total.checked_add(quantity.checked_mul(price)?)?;
        }
        Some(total.normalize().to_string())
    }
}

/// Folds what was told about one order. `delta`: the partner's QI and QD say what is added or taken, not the new total.
#[must_use]
pub fn fold(told: &[Told], delta: bool) -> State {
    let place = |told: &&Told| (told.event_id, told.part);
    // A test never changes what is meant in earnest.
    let in_earnest = told.iter().any(|told| !told.order.is_test);
    let (told, tests): (Vec<&Told>, Vec<&Told>) = told.iter().partition(|told| !(in_earnest && told.order.is_test));
    let mut originals: Vec<&Told> = told.iter().filter(|told| !told.order.is_change).copied().collect();
    // One that replaces outranks what it replaces, a copy for information is outranked by anything else.
    let rank = |told: &&Told| match told.order.purpose.as_str() {
        "05" => 2,
        "06" | "07" | "22" | "CN" => 0,
        _ => 1,
    };
    originals.sort_by_key(|told| (rank(told), place(told)));
    let mut changes: Vec<&Told> = told.iter().filter(|told| told.order.is_change).copied().collect();
    changes.sort_by_key(|told| {
        // The standard: a change without a number is the first.
        let sequence = told.order.sequence.as_deref().unwrap_or("1");
        let number = sequence.parse::<u64>().unwrap_or(u64::MAX);
        (number, sequence.to_owned(), told.order.changed_on.clone(), told.event_id, told.part)
    });
    let count = changes.len();
    let left_aside =
        tests.iter().map(|test| step(test, None, Outcome::Unclear, "is a test: it was left aside".to_owned()));
    let base = originals.iter().rev().find(|told| told.order.purpose != "01").or(originals.last());
    let Some(base) = base else {
        let mut order = PurchaseOrder::default();
        if let Some(first) = changes.first() {
            order.partner.clone_from(&first.order.partner);
            order.number.clone_from(&first.order.number);
            order.release.clone_from(&first.order.release);
            order.is_test = first.order.is_test;
        }
        let steps = changes
            .iter()
            .map(|told| step(told, None, Outcome::Waiting, "waits for the order that it changes".to_owned()))
            .chain(left_aside)
            .collect();
        return State { order, status: Status::Waiting, lines: Vec::new(), steps, changes: count, event_id: None };
    };
    let mut state = State {
        order: base.order.clone(),
        status: Status::Open,
        lines: vec![Status::Open; base.order.lines.len()],
        steps: Vec::new(),
        changes: count,
        event_id: Some(base.event_id),
    };
    let mut seen = HashSet::new();
    for change in changes {
        // The same change once more, as in a file that was sent twice under two names.
        if !seen.insert(serde_json::to_string(&change.order).unwrap_or_default()) {
            state.steps.push(step(change, None, Outcome::Applied, "is the same change once more".to_owned()));
            continue;
        }
        // An order that replaces an earlier one has what was changed before.
        if base.order.purpose == "05" && (change.event_id, change.part) < (base.event_id, base.part) {
            state.steps.push(step(
                change,
                None,
                Outcome::Applied,
                "is in the order that replaced the one it changed".to_owned(),
            ));
            continue;
        }
        state.apply(change, delta);
    }
    // Whenever it came: a cancellation is never left out.
    if let Some(last) = originals.iter().find(|told| told.order.purpose == "01") {
        state.cancel(last, "the order is cancelled");
    }
    state.steps.extend(left_aside);
    state
}

fn step(told: &Told, line: Option<&Line>, outcome: Outcome, said: String) -> Step {
    Step {
        event_id: told.event_id,
        sequence: told.order.sequence.clone(),
        changed_on: told.order.changed_on.clone(),
        line_number: line.and_then(|line| line.number.clone()),
        code: line.and_then(|line| line.change.clone()),
        outcome,
        said,
    }
}

/// Replaces those of the same kind, keeps the others.
fn replace<T: Clone>(old: &mut Vec<T>, new: &[T], kind: impl Fn(&T) -> &str) {
    old.retain(|old| !new.iter().any(|new| kind(new) == kind(old)));
    old.extend_from_slice(new);
}

impl State {
    fn cancel(&mut self, told: &Told, said: &str) {
        self.status = Status::Cancelled;
        self.lines.fill(Status::Cancelled);
        self.steps.push(step(told, None, Outcome::Applied, said.to_owned()));
    }

    fn apply(&mut self, told: &Told, delta: bool) {
        let change = &told.order;
        if change.purpose == "01" && change.lines.is_empty() {
            return self.cancel(told, "the order is cancelled");
        }
        replace(&mut self.order.dates, &change.dates, |date| &date.qualifier);
        replace(&mut self.order.references, &change.references, |reference| &reference.qualifier);
        replace(&mut self.order.addresses, &change.addresses, |address| &address.kind);
        replace(&mut self.order.contacts, &change.contacts, |contact| &contact.kind);
        replace(&mut self.order.allowances, &change.allowances, |allowance| allowance.code.as_deref().unwrap_or(""));
        if !change.terms.is_empty() {
            self.order.terms.clone_from(&change.terms);
        }
        if !change.carriers.is_empty() {
            self.order.carriers.clone_from(&change.carriers);
        }
        self.order
            .notes
            .extend(change.notes.iter().filter(|note| !self.order.notes.contains(note)).cloned().collect::<Vec<_>>());
        if change.stated_total.is_some() {
            self.order.stated_total.clone_from(&change.stated_total);
        }
        if change.lines.is_empty() {
            self.steps.push(step(told, None, Outcome::Applied, "changes the order's header".to_owned()));
        }
        let mut named: HashSet<usize> = HashSet::new();
        for line in &change.lines {
            let before = self.order.lines.len();
            let found = self.find(line);
            let (outcome, said) = self.apply_line(line, delta);
            named.extend(found.or((self.order.lines.len() > before).then_some(before)));
            self.steps.push(step(told, Some(line), outcome, said));
        }
        // Replaced by the lines: what is not among them is ordered no more.
        if change.purpose == "05" && !change.lines.is_empty() {
            for index in (0..self.lines.len()).filter(|index| !named.contains(index)) {
                self.lines[index] = Status::Cancelled;
                let mut gone =
                    step(told, None, Outcome::Applied, "deleted: it is not in what replaces the order".to_owned());
                gone.line_number.clone_from(&self.order.lines[index].number);
                self.steps.push(gone);
            }
        }
    }

    fn apply_line(&mut self, line: &Line, delta: bool) -> (Outcome, String) {
        let code = line.change.as_deref().unwrap_or("CA");
        let found = self.find(line);
        if code == "CF" {
            self.status = Status::Cancelled;
            self.lines.fill(Status::Cancelled);
            return (Outcome::Applied, "the order is cancelled".to_owned());
        }
        if code == "AI" {
            // The same addition twice is one line.
            if let Some(index) = found.filter(|_| line.number.is_some()) {
                let other = &self.order.lines[index];
                let same =
                    line.ids.is_empty() || other.ids.is_empty() || line.ids.iter().any(|id| other.ids.contains(id));
                if !same {
                    return (Outcome::Unclear, "a line of this number is there, with other goods".to_owned());
                }
                self.order.lines[index] = line.clone();
                self.lines[index] = Status::Open;
                return (Outcome::Applied, "the line is there: it was written anew".to_owned());
            }
            self.order.lines.push(line.clone());
            self.lines.push(Status::Open);
            let quantity = line.quantity.as_deref().unwrap_or("no quantity");
            return (Outcome::Applied, format!("added: {quantity} {}", line.unit.as_deref().unwrap_or("")));
        }
        let Some(index) = found else {
            return (Outcome::Unclear, "which line it changes cannot be told".to_owned());
        };
        let before = self.order.lines[index].clone();
        match code {
            "DI" => {
                self.lines[index] = Status::Cancelled;
                (Outcome::Applied, "deleted".to_owned())
            }
            "NC" | "NCH" => (Outcome::Applied, "no change".to_owned()),
            "QI" | "QD" if delta => {
                let (Some(old), Some(by)) = (
                    before.quantity.as_deref().and_then(decimal::parse),
                    line.quantity.as_deref().and_then(decimal::parse),
                ) else {
                    return (Outcome::Unclear, "there is no quantity to add to, or none to add".to_owned());
                };
                let new = if code == "QI" { old.checked_add(by) } else { old.checked_sub(by) };
                match new {
                    Some(new) if !new.is_sign_negative() => {
                        let mut line = line.clone();
                        line.quantity = Some(new.normalize().to_string());
                        self.overwrite(index, &line);
                        (Outcome::Applied, difference(&before, &self.order.lines[index]))
                    }
                    _ => (Outcome::Unclear, format!("{old} less {by} is below zero")),
                }
            }
            "RZ" => {
                self.order.lines[index] = Line { number: before.number.clone(), change: None, ..line.clone() };
                self.lines[index] = Status::Open;
                (Outcome::Applied, difference(&before, &self.order.lines[index]))
            }
            "AI" | "CA" | "MU" | "PC" | "QI" | "QD" | "PQ" | "PR" | "RQ" | "CT" | "CB" | "CD" | "RB" | "RS" | "RA"
            | "CC" | "CE" | "CG" | "CL" | "CS" | "RE" | "RM" => {
                self.overwrite(index, line);
                let now = &self.order.lines[index];
                let odd = match (
                    before.quantity.as_deref().and_then(decimal::parse),
                    now.quantity.as_deref().and_then(decimal::parse),
                ) {
                    (Some(old), Some(new)) => code == "QI" && new < old || code == "QD" && new > old,
                    _ => false,
                };
                let said = difference(&before, now);
                if odd {
                    let said = format!(
                        "{said}: {code} says the other direction; does this partner send what is added or taken? \
                                        Then: novex-ingest sps map partner PARTNER CUSTOMER --quantity delta"
                    );
                    (Outcome::Unclear, said)
                } else {
                    (Outcome::Applied, said)
                }
            }
            other => (Outcome::Unclear, format!("the code {other} is not known")),
        }
    }

    /// Which line a change means: by its number, else by the goods if just one line has them.
    fn find(&self, line: &Line) -> Option<usize> {
        let lines = &self.order.lines;
        if let Some(number) = line.number.as_deref() {
            let same = |other: &Line| {
                other.number.as_deref().is_some_and(|other| {
                    other == number
                        || matches!((other.parse::<u64>(), number.parse::<u64>()), (Ok(one), Ok(two)) if one == two)
                })
            };
            let mut fits = lines.iter().enumerate().filter(|(_, other)| same(other));
            let found = fits.next();
            if found.is_some() && fits.next().is_none() {
                return found.map(|(index, _)| index);
            }
        }
        for wanted in &line.ids {
            let mut fits = lines.iter().enumerate().filter(|(_, other)| other.ids.contains(wanted));
            if let (Some((index, other)), None) = (fits.next(), fits.next()) {
                // A number that is another line's is no accident.
                let contradicts = line.number.is_some() && other.number.is_some() && line.number != other.number;
                return (!contradicts).then_some(index);
            }
        }
        None
    }

    /// Every value that the change states.
    fn overwrite(&mut self, index: usize, change: &Line) {
        let line = &mut self.order.lines[index];
        for (old, new) in [
            (&mut line.quantity, &change.quantity),
            (&mut line.unit, &change.unit),
            (&mut line.price, &change.price),
            (&mut line.price_basis, &change.price_basis),
            (&mut line.description, &change.description),
            (&mut line.pack, &change.pack),
        ] {
            if new.is_some() {
                old.clone_from(new);
            }
        }
        replace(&mut line.ids, &change.ids, |id| &id.qualifier);
        replace(&mut line.dates, &change.dates, |date| &date.qualifier);
        replace(&mut line.references, &change.references, |reference| &reference.qualifier);
        replace(&mut line.addresses, &change.addresses, |address| &address.kind);
        replace(&mut line.allowances, &change.allowances, |allowance| allowance.code.as_deref().unwrap_or(""));
        if !change.schedules.is_empty() {
            line.schedules.clone_from(&change.schedules);
        }
        line.notes.extend(change.notes.iter().filter(|note| !line.notes.contains(note)).cloned().collect::<Vec<_>>());
    }
}

/// What is different, in words.
fn difference(before: &Line, after: &Line) -> String {
    let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let mut said = Vec::new();
    for (name, old, new) in [
        ("quantity", &before.quantity, &after.quantity),
        ("unit", &before.unit, &after.unit),
        ("price", &before.price, &after.price),
    ] {
        if old != new {
            said.push(format!("{name} {} → {}", show(old), show(new)));
        }
    }
    if before.dates != after.dates {
        said.push("dates changed".to_owned());
    }
    if before.ids != after.ids {
        said.push("goods changed".to_owned());
    }
    if said.is_empty() { "nothing that is kept here is different".to_owned() } else { said.join(", ") }
}
