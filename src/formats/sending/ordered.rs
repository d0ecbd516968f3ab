//! A purchase order as it stands, with what was sent for it so far.

use crate::formats::decimal;
use crate::formats::history::{State, Status};
use crate::formats::purchase_order::{Address, Line};
use rust_decimal::Decimal;
use std::collections::HashMap;

/// So much of some goods, as a document said before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentBefore {
    /// As [`Ordered::goods`] has it.
    pub goods: String,
    pub unit: Option<String>,
    pub quantity: Decimal,
}

/// An order, for checking what is sent for it.
#[derive(Debug, Clone)]
pub struct Ordered {
    pub state: State,
    sent: HashMap<String, Vec<SentBefore>>,
    /// Of each line.
    goods: Vec<String>,
    /// By goods: how much of them is ordered, on all open lines together; `None` where one of them does not say.
    wanted: HashMap<String, Option<Decimal>>,
    by_line: HashMap<String, Vec<usize>>,
    by_item: HashMap<String, Vec<usize>>,
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
    /// `sent`: what documents of the same kind said before.
    #[must_use]
    pub fn new(state: State, sent: Vec<SentBefore>) -> Self {
        let (mut by_line, mut by_item, mut by_goods) = (HashMap::new(), HashMap::new(), HashMap::new());
        let (mut goods, mut wanted) = (Vec::new(), HashMap::new());
        for (index, line) in state.order.lines.iter().enumerate() {
            let number = line.number.clone().unwrap_or_else(|| format!("#{}", index + 1));
            let own = line.goods().unwrap_or_else(|| format!("line {}", plain(&number)));
            if state.lines[index] == Status::Open {
                let quantity = line.quantity.as_deref().and_then(decimal::parse);
                let sum: &mut Option<Decimal> = wanted.entry(own.clone()).or_insert(Some(Decimal::ZERO));
                *sum = sum.zip(quantity).and_then(|(sum, quantity)| sum.checked_add(quantity));
            }
            goods.push(own);
            for name in [plain(&number), number] {
                let places: &mut Vec<usize> = by_line.entry(name).or_default();
                if !places.contains(&index) {
                    places.push(index);
                }
            }
            for id in &line.ids {
                let places: &mut Vec<usize> = by_item.entry(id.value.clone()).or_default();
                if places.last() != Some(&index) {
                    places.push(index);
                }
            }
        }
        for part in sent {
            by_goods.entry(part.goods.clone()).or_insert_with(Vec::new).push(part);
        }
        Self { state, sent: by_goods, goods, wanted, by_line, by_item }
    }

    /// The retailer's number of a line, else its place.
    #[must_use]
    pub fn number(&self, index: usize) -> String {
        let number = self.state.order.lines.get(index).and_then(|line| line.number.clone());
        number.unwrap_or_else(|| format!("#{}", index + 1))
    }

    /// What tells a line from the others by its goods, also when an order that replaces this one numbers it anew.
    #[must_use]
    pub fn goods(&self, index: usize) -> &str {
        &self.goods[index]
    }

    /// How much of these goods is ordered; `None` where it is not said.
    #[must_use]
    pub fn ordered(&self, goods: &str) -> Option<Decimal> {
        self.wanted.get(goods).copied().flatten()
    }

    /// What was sent of these goods before.
    #[must_use]
    pub fn sent(&self, goods: &str) -> &[SentBefore] {
        self.sent.get(goods).map_or(&[], Vec::as_slice)
    }

    /// Why nothing may be sent for it. `lenient`: also for what was cancelled, as what was shipped before.
    #[must_use]
    pub fn closed(&self, lenient: bool) -> Option<String> {
        let number = &self.state.order.number;
        match self.state.status {
            Status::Cancelled if !lenient => Some(format!("the purchase order {number} was cancelled")),
            Status::Open | Status::Cancelled => None,
            Status::Waiting => Some(format!("of the purchase order {number} only a change came, not the order itself")),
        }
    }

    /// The line that a document means: by the retailer's number of it, or by any number of the goods. `lenient`: also one
    /// that was cancelled.
    ///
    /// # Errors
    /// Why it cannot be told, in words.
    pub fn find(&self, line: Option<&str>, item: Option<&str>, lenient: bool) -> Result<Position<'_>, String> {
        let number = &self.state.order.number;
        let called = match (line, item) {
            (None, None) => return Err(format!("order {number}: a line names neither line nor item")),
            (Some(line), None) => format!("line {line}"),
            (None, Some(item)) => format!("item {item}"),
            (Some(line), Some(item)) => format!("line {line} with item {item}"),
        };
        let of_line = line.map(|line| self.by_line.get(line).or_else(|| self.by_line.get(&plain(line))));
        let of_item = item.map(|item| self.by_item.get(item));
        let mut found: Vec<usize> = match (of_line, of_item) {
            (Some(lines), None) => lines.cloned().unwrap_or_default(),
            (None, Some(items)) => items.cloned().unwrap_or_default(),
            (Some(Some(lines)), Some(Some(items))) => {
                lines.iter().filter(|index| items.contains(index)).copied().collect()
            }
            _ => Vec::new(),
        };
        if found.is_empty() {
            return Err(format!("order {number} has no {called}"));
        }
        // A number as it is written before one that only has the same value.
        if let Some(line) = line
            && found.iter().any(|index| self.number(*index) == line)
        {
            found.retain(|index| self.number(*index) == line);
        }
        let open = |index: &usize| self.state.lines[*index] == Status::Open;
        if found.iter().any(open) {
            found.retain(open);
        } else if !lenient {
            return Err(format!("order {number}: {called} was cancelled"));
        }
        match found.as_slice() {
            [index] => {
                let name = format!("order {number}, line {}", self.number(*index));
                Ok(Position { index: *index, line: &self.state.order.lines[*index], name })
            }
            _ => Err(format!("order {number}: {called} fits several lines: name line and item")),
        }
    }
}

/// `001` as `1`.
fn plain(text: &str) -> String {
    text.parse::<u64>().map_or_else(|_| text.to_owned(), |number| number.to_string())
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
