//! Finds the line that a change names, by the retailer's line number and by the goods.
//!
//! Many senders number the lines again in each document. Where number and goods contradict each other, the goods
//! identify the line, and the contradiction is reported.

use crate::edi::purchase_order::{ProductId, PurchaseOrderLine};
use std::collections::HashMap;

/// Most goods that a message names of one line.
const GOODS_NAMED_MAX: usize = 3;

/// Most lines of one number, or with the same goods, that are looked at; more are never one certain line. Bounds the
/// time for orders in which all lines are alike.
const CANDIDATES_MAX: usize = 200;

/// Kinds of ids that identify goods by themselves.
const GOODS_CLASSES: [&str; 4] = ["buyer", "vendor", "gtin", "upc"];

/// Line that a change names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LineMatch {
    /// One line. A doubt is a contradiction between the line and the change.
    Found { index: usize, doubt: Option<MatchDoubt> },
    /// The reason why no line, or more than one line, fits.
    Missing(String),
}

/// Contradiction between a line and the change that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MatchDoubt {
    /// The goods identify the line, its number is another one.
    OtherNumber(String),
    /// Number and one kind of goods fit, another kind of goods does not.
    OtherGoods(String),
}

impl MatchDoubt {
    pub(super) fn as_str(&self) -> &str {
        let (Self::OtherNumber(text) | Self::OtherGoods(text)) = self;
        text
    }
}

/// Agreement of the goods of two lines.
#[derive(Debug, Clone, PartialEq, Eq)]
enum GoodsRelation {
    /// No kind of id is stated on both sides.
    NotComparable,
    Same,
    /// Some kinds are equal, others differ: text of one that differs.
    Mixed(String),
    Different,
}

/// Lines of an order by number and by goods.
pub(super) struct LineIndex {
    by_number: HashMap<String, Vec<usize>>,
    by_goods: HashMap<(String, String), Vec<usize>>,
}

impl LineIndex {
    pub(super) fn new(lines: &[PurchaseOrderLine]) -> Self {
        let mut index = Self { by_number: HashMap::new(), by_goods: HashMap::new() };
        for (position, line) in lines.iter().enumerate() {
            if let Some(number) = &line.number {
                push_candidate(index.by_number.entry(normalize_line_number(number)).or_default(), position);
            }
            for key in list_goods_keys(line) {
                push_candidate(index.by_goods.entry(key).or_default(), position);
            }
        }
        index
    }

    /// Finds the line of `lines` that `wanted` names. Of several lines that fit, the only open one is meant.
    pub(super) fn find_line(
        &self,
        lines: &[PurchaseOrderLine],
        wanted: &PurchaseOrderLine,
        is_open: &dyn Fn(usize) -> bool,
    ) -> LineMatch {
        let with_number = wanted.number.as_deref().map(|number| self.list_numbered(number));
        let with_goods = (!wanted.ids.is_empty()).then(|| self.list_with_goods(lines, wanted));
        let number = wanted.number.as_deref().unwrap_or_default();
        let goods = name_goods(wanted).unwrap_or_default();
        let found = match (with_number, with_goods) {
            (None, None) => LineMatch::Missing("it states neither a line number nor goods".to_owned()),
            (Some(numbered), None) => match choose_line(&numbered, is_open) {
                Some(index) => LineMatch::Found { index, doubt: None },
                None if numbered.is_empty() => {
                    LineMatch::Missing(format!("line {number} is not in the order; {}", describe_lines(lines)))
                }
                None => LineMatch::Missing(format!("{} lines have the number {number}", numbered.len())),
            },
            (None, Some(same)) => match choose_line(&same, is_open) {
                Some(index) => LineMatch::Found { index, doubt: None },
                None if same.is_empty() => LineMatch::Missing(format!("no line has the goods {goods}")),
                None => LineMatch::Missing(format!("{} lines have the goods {goods}", same.len())),
            },
            (Some(numbered), Some(same)) => find_by_both(lines, wanted, (&numbered, &same), is_open),
        };
        match found {
            LineMatch::Found { index, .. } => {
                self.find_foreign_goods(lines, index, wanted).map_or(found, LineMatch::Missing)
            }
            LineMatch::Missing(_) => found,
        }
    }

    /// Returns the contradiction if the wanted line also names goods that only other lines have.
    fn find_foreign_goods(
        &self,
        lines: &[PurchaseOrderLine],
        index: usize,
        wanted: &PurchaseOrderLine,
    ) -> Option<String> {
        let own = list_goods_keys(&lines[index]);
        let is_foreign = |key: &(String, String)| GOODS_CLASSES.contains(&key.0.as_str()) && !own.contains(key);
        wanted.ids.iter().find_map(|id| {
            let key = classify_id(id).filter(is_foreign)?;
            let other = self.by_goods.get(&key)?.first().copied()?;
            let (line, other) = (name_line(&lines[index], index), name_line(&lines[other], other));
            Some(format!("its ids name two lines: {} {} is {other}, the others are {line}", id.qualifier, id.value))
        })
    }

    /// Returns the first line with a number, whatever its goods are.
    pub(super) fn find_numbered_line(&self, number: &str) -> Option<usize> {
        self.by_number.get(&normalize_line_number(number))?.first().copied()
    }

    fn list_numbered(&self, number: &str) -> Vec<usize> {
        self.by_number.get(&normalize_line_number(number)).cloned().unwrap_or_default()
    }

    /// Returns the lines whose goods are the same and do not contradict.
    fn list_with_goods(&self, lines: &[PurchaseOrderLine], wanted: &PurchaseOrderLine) -> Vec<usize> {
        let mut found: Vec<usize> =
            list_goods_keys(wanted).iter().filter_map(|key| self.by_goods.get(key)).flatten().copied().collect();
        found.sort_unstable();
        found.dedup();
        found.retain(|index| relate_goods(&lines[*index], wanted) == GoodsRelation::Same);
        found
    }
}

/// Adds a line to the candidates, if it is not the last one and there is room for it.
fn push_candidate(candidates: &mut Vec<usize>, position: usize) {
    if candidates.last() != Some(&position) && candidates.len() <= CANDIDATES_MAX {
        candidates.push(position);
    }
}

fn find_by_both(
    lines: &[PurchaseOrderLine],
    wanted: &PurchaseOrderLine,
    (numbered, same): (&[usize], &[usize]),
    is_open: &dyn Fn(usize) -> bool,
) -> LineMatch {
    let number = wanted.number.as_deref().unwrap_or_default();
    let goods = name_goods(wanted).unwrap_or_default();
    let is_same = |index: &&usize| relate_goods(&lines[**index], wanted) == GoodsRelation::Same;
    let both: Vec<usize> = numbered.iter().filter(is_same).copied().collect();
    if let Some(index) = choose_line(&both, is_open) {
        return LineMatch::Found { index, doubt: None };
    }
    if !both.is_empty() {
        return LineMatch::Missing(format!("{} lines have the number {number} and the goods {goods}", both.len()));
    }
    if let Some(index) = choose_line(same, is_open) {
        let owner = name_line(&lines[index], index);
        let text = match numbered.first() {
            Some(other) => {
                let other = name_goods(&lines[*other]).unwrap_or_else(|| "without goods".to_owned());
                format!("line {number} is {other}, but the change names the goods {goods}, which are {owner}")
            }
            None => format!("line {number} is not in the order, but the goods {goods} are {owner}"),
        };
        return LineMatch::Found { index, doubt: Some(MatchDoubt::OtherNumber(text)) };
    }
    if !same.is_empty() {
        return LineMatch::Missing(format!("line {number} is not one of the {} lines with {goods}", same.len()));
    }
    let Some(index) = choose_line(numbered, is_open) else {
        return LineMatch::Missing(match numbered.len() {
            0 => format!("neither line {number} nor the goods {goods} are in the order; {}", describe_lines(lines)),
            several => format!("{several} lines have the number {number}, none has the goods {goods}"),
        });
    };
    match relate_goods(&lines[index], wanted) {
        GoodsRelation::Same | GoodsRelation::NotComparable => LineMatch::Found { index, doubt: None },
        GoodsRelation::Mixed(text) => LineMatch::Found { index, doubt: Some(MatchDoubt::OtherGoods(text)) },
        GoodsRelation::Different => {
            let own = name_goods(&lines[index]).unwrap_or_default();
            LineMatch::Missing(format!("line {number} is {own}, and no line has the goods {goods}"))
        }
    }
}

/// Returns the line if there is only one, or only one open one.
fn choose_line(found: &[usize], is_open: &dyn Fn(usize) -> bool) -> Option<usize> {
    if let [index] = found {
        return Some(*index);
    }
    let mut open = found.iter().filter(|index| is_open(**index));
    open.next().filter(|_| open.next().is_none()).copied()
}

fn relate_goods(line: &PurchaseOrderLine, wanted: &PurchaseOrderLine) -> GoodsRelation {
    let (own, stated) = (list_goods_keys(line), list_goods_keys(wanted));
    let (mut has_same, mut different) = (false, None);
    for (class, value) in &stated {
        let mut of_class = own.iter().filter(|(other, _)| other == class).peekable();
        if of_class.peek().is_none() {
            continue;
        }
        if of_class.any(|(_, other)| other == value) {
            has_same = true;
        } else if !stated.iter().any(|key| key.0 == *class && own.contains(key)) {
            let name = |line: &PurchaseOrderLine| {
                let id = line.ids.iter().find(|id| classify_id(id).is_some_and(|key| key.0 == *class));
                id.map_or_else(String::new, |id| format!("{} {}", id.qualifier, id.value))
            };
            different = Some(format!("the change states {}, the line has {}", name(wanted), name(line)));
        }
    }
    match (has_same, different) {
        (true, None) => GoodsRelation::Same,
        (true, Some(text)) => GoodsRelation::Mixed(text),
        (false, Some(_)) => GoodsRelation::Different,
        (false, None) => GoodsRelation::NotComparable,
    }
}

/// Returns the ids that identify the goods, each as its kind and its value in one form.
fn list_goods_keys(line: &PurchaseOrderLine) -> Vec<(String, String)> {
    line.ids.iter().filter_map(classify_id).collect()
}

/// Returns the kind of an id (`buyer`, `vendor`, `gtin`, `upc`, else its qualifier) and its value in one form.
///
/// Returns `None` for an attribute that many goods share: colour, size, country of origin.
fn classify_id(id: &ProductId) -> Option<(String, String)> {
    const ATTRIBUTES: [&str; 9] = ["BO", "BL", "CH", "CM", "IZ", "SZ", "VE", "DV", "PU"];
    if ATTRIBUTES.contains(&id.qualifier.as_str()) {
        return None;
    }
    let probe = PurchaseOrderLine { ids: vec![id.clone()], ..PurchaseOrderLine::default() };
    let class =
        [("buyer", probe.buyer_item()), ("vendor", probe.vendor_item()), ("gtin", probe.gtin()), ("upc", probe.upc())]
            .into_iter()
            .find_map(|(class, value)| value.map(|_| class));
    let value = id.value.trim().to_uppercase();
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    Some(match class {
        // UPC, EAN and GTIN are the same number with leading zeros.
        Some(class @ ("gtin" | "upc")) if is_number => (class.to_owned(), value.trim_start_matches('0').to_owned()),
        Some(class) => (class.to_owned(), value),
        None => (id.qualifier.clone(), value),
    })
}

/// Returns `001` as `1`.
pub(in crate::edi) fn normalize_line_number(text: &str) -> String {
    text.parse::<u64>().map_or_else(|_| text.to_owned(), |number| number.to_string())
}

/// Returns the name of a line for messages: `line 3`, or `line #3` if it has no number.
pub(super) fn name_line(line: &PurchaseOrderLine, index: usize) -> String {
    line.number.as_ref().map_or_else(|| format!("line #{}", index + 1), |number| format!("line {number}"))
}

/// Returns the first ids of a line for messages: `VP A1, UP 012345678905`.
pub(super) fn name_goods(line: &PurchaseOrderLine) -> Option<String> {
    let ids: Vec<String> =
        line.ids.iter().take(GOODS_NAMED_MAX).map(|id| format!("{} {}", id.qualifier, id.value)).collect();
    (!ids.is_empty()).then(|| ids.join(", "))
}

/// Describes the lines of an order: `it has the lines 1 to 3`.
fn describe_lines(lines: &[PurchaseOrderLine]) -> String {
    let name = |index: usize| lines[index].number.clone().unwrap_or_else(|| format!("#{}", index + 1));
    match lines.len() {
        0 => "it has no lines".to_owned(),
        1 => format!("it has only line {}", name(0)),
        count => format!("it has {count} lines, {} to {}", name(0), name(count - 1)),
    }
}
