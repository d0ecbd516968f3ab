//! A purchase order with the quantities ordered and already sent, by item.

use crate::edi::decimal;
use crate::edi::purchase_order::{EdiAddress, PurchaseOrderLine};
use crate::edi::revisions::{OrderState, OrderStatus};
use rust_decimal::Decimal;
use std::collections::HashMap;

/// Quantity of an item that an earlier document sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentQuantity {
    /// Item key as in [`OrderBalance::item_key`].
    pub item_key: String,
    pub unit: Option<String>,
    pub quantity: Decimal,
}

/// Purchase order against which outbound documents are checked.
#[derive(Debug, Clone)]
pub struct OrderBalance {
    pub state: OrderState,
    sent_by_item: HashMap<String, Vec<SentQuantity>>,
    /// Item key of each line.
    item_keys: Vec<String>,
    /// Ordered quantity of each item over all open lines; `None` if a line states no quantity.
    ordered_by_item: HashMap<String, Option<Decimal>>,
    lines_by_number: HashMap<String, Vec<usize>>,
    lines_by_item: HashMap<String, Vec<usize>>,
}

/// Order line that a document names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchedOrderLine<'o> {
    pub index: usize,
    pub line: &'o PurchaseOrderLine,
    /// Name for messages: `order PO1, line 2`.
    pub name: String,
}

impl OrderBalance {
    /// Builds the balance from an order and the quantities that earlier documents of the same kind sent.
    #[must_use]
    pub fn new(state: OrderState, sent: Vec<SentQuantity>) -> Self {
        let (mut lines_by_number, mut lines_by_item) = (HashMap::new(), HashMap::new());
        let (mut sent_by_item, mut ordered_by_item) = (HashMap::new(), HashMap::new());
        let mut item_keys = Vec::new();
        for (index, line) in state.order.lines.iter().enumerate() {
            let number = line.number.clone().unwrap_or_else(|| format!("#{}", index + 1));
            let item_key = line.item_key().unwrap_or_else(|| format!("line {}", normalize_line_number(&number)));
            if state.line_statuses[index] == OrderStatus::Open {
                let quantity = line.quantity.as_deref().and_then(decimal::parse_decimal);
                let sum: &mut Option<Decimal> = ordered_by_item.entry(item_key.clone()).or_insert(Some(Decimal::ZERO));
                *sum = sum.zip(quantity).and_then(|(sum, quantity)| sum.checked_add(quantity));
            }
            item_keys.push(item_key);
            for name in [normalize_line_number(&number), number] {
                let indices: &mut Vec<usize> = lines_by_number.entry(name).or_default();
                if !indices.contains(&index) {
                    indices.push(index);
                }
            }
            for id in &line.ids {
                let indices: &mut Vec<usize> = lines_by_item.entry(id.value.clone()).or_default();
                if indices.last() != Some(&index) {
                    indices.push(index);
                }
            }
        }
        for part in sent {
            sent_by_item.entry(part.item_key.clone()).or_insert_with(Vec::new).push(part);
        }
        Self { state, sent_by_item, item_keys, ordered_by_item, lines_by_number, lines_by_item }
    }

    /// Returns the retailer's number of a line, else `#` and its position from 1.
    #[must_use]
    pub fn line_number(&self, index: usize) -> String {
        let number = self.state.order.lines.get(index).and_then(|line| line.number.clone());
        number.unwrap_or_else(|| format!("#{}", index + 1))
    }

    /// Returns the item key of a line, which stays the same if a replacement of the order renumbers its lines.
    #[must_use]
    pub fn item_key(&self, index: usize) -> &str {
        &self.item_keys[index]
    }

    /// Returns the ordered quantity of an item, or `None` if the order does not state it.
    #[must_use]
    pub fn ordered_quantity(&self, item_key: &str) -> Option<Decimal> {
        self.ordered_by_item.get(item_key).copied().flatten()
    }

    /// Returns the quantities of an item that earlier documents sent.
    #[must_use]
    pub fn sent_quantities(&self, item_key: &str) -> &[SentQuantity] {
        self.sent_by_item.get(item_key).map_or(&[], Vec::as_slice)
    }

    /// Returns the reason why nothing can be sent for the order.
    ///
    /// With `lenient`, a cancelled order is allowed, for goods that were shipped before the cancellation.
    #[must_use]
    pub fn closed_reason(&self, lenient: bool) -> Option<String> {
        let number = &self.state.order.number;
        match self.state.status {
            OrderStatus::Cancelled if !lenient => Some(format!("the purchase order {number} was cancelled")),
            OrderStatus::Open | OrderStatus::Cancelled => None,
            OrderStatus::Waiting => {
                Some(format!("only a change to the purchase order {number} arrived, not the order itself"))
            }
        }
    }

    /// Describes the lines of the order for a message: `its lines are 5 and 6`.
    fn describe_lines(&self) -> String {
        let numbers: Vec<String> = (0..self.state.order.lines.len()).map(|index| self.line_number(index)).collect();
        match numbers.as_slice() {
            [] => "it has no lines".to_owned(),
            [number] => format!("its only line is {number}"),
            [first @ .., last] if numbers.len() <= LISTED_LINES_MAX => {
                format!("its lines are {} and {last}", first.join(", "))
            }
            [first, .., last] => format!("its {} lines are numbered {first} to {last}", numbers.len()),
        }
    }

    /// Finds the line that a document names by the retailer's line number, by any product id of the item, or by both.
    ///
    /// With `lenient`, a cancelled line is allowed.
    ///
    /// # Errors
    /// A message if no line or more than one line matches.
    pub fn find_line(
        &self,
        line: Option<&str>,
        item: Option<&str>,
        lenient: bool,
    ) -> Result<MatchedOrderLine<'_>, String> {
        let number = &self.state.order.number;
        let name = match (line, item) {
            (None, None) => return Err(format!("order {number}: an entry of lines states neither line nor item")),
            (Some(line), None) => format!("line {line}"),
            (None, Some(item)) => format!("item {item}"),
            (Some(line), Some(item)) => format!("line {line} with item {item}"),
        };
        let with_number = line.map(|line| {
            self.lines_by_number.get(line).or_else(|| self.lines_by_number.get(&normalize_line_number(line)))
        });
        let with_item = item.map(|item| self.lines_by_item.get(item));
        let mut found: Vec<usize> = match (with_number, with_item) {
            (Some(lines), None) => lines.cloned().unwrap_or_default(),
            (None, Some(items)) => items.cloned().unwrap_or_default(),
            (Some(Some(lines)), Some(Some(items))) => {
                lines.iter().filter(|index| items.contains(index)).copied().collect()
            }
            _ => Vec::new(),
        };
        if found.is_empty() {
            return Err(format!("order {number} has no {name}; {}", self.describe_lines()));
        }
        // A line number as written takes precedence over one with the same value, such as 1 over 001.
        if let Some(line) = line
            && found.iter().any(|index| self.line_number(*index) == line)
        {
            found.retain(|index| self.line_number(*index) == line);
        }
        let open = |index: &usize| self.state.line_statuses[*index] == OrderStatus::Open;
        if found.iter().any(open) {
            found.retain(open);
        } else if !lenient {
            return Err(format!("order {number}: {name} was cancelled"));
        }
        match found.as_slice() {
            [index] => {
                let name = format!("order {number}, line {}", self.line_number(*index));
                Ok(MatchedOrderLine { index: *index, line: &self.state.order.lines[*index], name })
            }
            several => {
                let numbers: Vec<String> = several.iter().map(|index| self.line_number(*index)).collect();
                let numbers = numbers.join(", ");
                Err(format!("order {number}: {name} matches several lines ({numbers}): state both line and item"))
            }
        }
    }
}

/// Most lines that a message lists.
const LISTED_LINES_MAX: usize = 20;

/// Returns `001` as `1`.
fn normalize_line_number(text: &str) -> String {
    text.parse::<u64>().map_or_else(|_| text.to_owned(), |number| number.to_string())
}

/// Returns the addresses of a document: its own, and the order's for each of these kinds that it lacks.
#[must_use]
pub fn merge_addresses(own: &[EdiAddress], order: &[EdiAddress], kinds: &[&str]) -> Vec<EdiAddress> {
    let mut merged = own.to_vec();
    for kind in kinds {
        if let (None, Some(address)) =
            (own.iter().find(|address| address.kind == *kind), order.iter().find(|address| address.kind == *kind))
        {
            merged.push(address.clone());
        }
    }
    merged
}
