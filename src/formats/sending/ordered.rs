//! A purchase order as it stands, with what was sent for it so far.

use crate::formats::history::{State, Status};
use crate::formats::purchase_order::{Address, Line};
use rust_decimal::Decimal;
use std::collections::HashMap;

/// An order, for checking what is sent for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    pub state: State,
    /// By [`Ordered::key`]: what documents of the same kind said before.
    pub sent: HashMap<String, Decimal>,
}

/// A line of an order that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position<'o> {
    pub index: usize,
    pub line: &'o Line,
    /// For people: `order PO1, line 2`.
    pub name: String,
}

impl Ordered {
    /// What tells a line from the others of its order, also after a change: the retailer's number of it, else its place.
    #[must_use]
    pub fn key(&self, index: usize) -> String {
        let number = self.state.order.lines.get(index).and_then(|line| line.number.clone());
        number.unwrap_or_else(|| format!("#{}", index + 1))
    }

    /// What was sent of a line before.
    #[must_use]
    pub fn sent_of(&self, at: &Position<'_>) -> Decimal {
        self.sent.get(&self.key(at.index)).copied().unwrap_or_default()
    }

    /// Why nothing may be sent for it.
    #[must_use]
    pub fn closed(&self) -> Option<String> {
        let number = &self.state.order.number;
        match self.state.status {
            Status::Open => None,
            Status::Cancelled => Some(format!("the purchase order {number} was cancelled")),
            Status::Waiting => Some(format!("of the purchase order {number} only a change came, not the order itself")),
        }
    }

    /// The line that a document means: by the retailer's number of it, or by any number of the goods.
    ///
    /// # Errors
    /// Why it cannot be told, in words.
    pub fn find(&self, line: Option<&str>, item: Option<&str>) -> Result<Position<'_>, String> {
        let number = &self.state.order.number;
        let lines = self.state.order.lines.iter().enumerate();
        let fits = |index: usize, candidate: &Line| {
            let same_line = line.is_none_or(|line| same(&self.key(index), line));
            let same_item = item.is_none_or(|item| candidate.ids.iter().any(|id| id.value == item));
            same_line && same_item
        };
        let called = match (line, item) {
            (None, None) => return Err(format!("order {number}: a line names neither line nor item")),
            (Some(line), None) => format!("line {line}"),
            (None, Some(item)) => format!("item {item}"),
            (Some(line), Some(item)) => format!("line {line} with item {item}"),
        };
        let mut found: Vec<(usize, &Line)> = lines.filter(|(index, candidate)| fits(*index, candidate)).collect();
        if found.is_empty() {
            return Err(format!("order {number} has no {called}"));
        }
        found.retain(|(index, _)| self.state.lines[*index] == Status::Open);
        match found.as_slice() {
            [] => Err(format!("order {number}: {called} was cancelled")),
            [(index, line)] => {
                let name = format!("order {number}, line {}", self.key(*index));
                Ok(Position { index: *index, line, name })
            }
            _ => Err(format!("order {number}: {called} fits several lines: name the line")),
        }
    }
}

/// The same line number: `1` is `001`.
fn same(one: &str, other: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    one == other || (number(one).is_some() && number(one) == number(other))
}

/// The addresses of a document: its own, and of these kinds the order's where it has none itself.
#[must_use]
pub fn addresses(own: &[Address], order: &[Address], kinds: &[&str]) -> Vec<Address> {
    let mut all = own.to_vec();
    for kind in kinds {
        if let (None, Some(address)) =
            (own.iter().find(|address| address.kind == *kind), order.iter().find(|address| address.kind == *kind))
        {
            all.push(address.clone());
        }
    }
    all
}
