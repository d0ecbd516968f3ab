//! A purchase order as on paper: parties with their addresses, dates, terms, lines and totals. Codes are in words, with
//! the code beside them.

use crate::edi::codes;
use crate::edi::part_descriptions::{
    PartGroup, describe_address, describe_component, list_line_facts, list_line_groups, list_order_groups,
};
use crate::edi::purchase_order::{EdiAddress, PurchaseOrderLine};
use crate::store::erp::purchase_order_views::{PurchaseOrderLineView, PurchaseOrderView};
use crate::text::replace_control_chars;
use unicode_width::UnicodeWidthStr;

/// Width of the first column of labels.
const LABEL_WIDTH: usize = 16;
/// Indentation of what belongs to a line.
const LINE_INDENT: usize = 8;
/// Narrowest paper: below it, wrapped text would be a column of words.
const WIDTH_MIN: usize = 40;

/// Returns the order as text, at most `width` columns wide except for single long words.
pub(crate) fn format_order(view: &PurchaseOrderView, width: usize) -> String {
    let mut paper = Paper { text: String::new(), width: width.max(WIDTH_MIN) };
    paper.add_header(view);
    for PartGroup { title, entries, .. } in list_order_groups(&view.document, &view.findings) {
        paper.add_title(title);
        for entry in &entries {
            paper.add_wrapped("  ", entry);
        }
    }
    for address in &view.document.addresses {
        paper.add_address(address, 0);
    }
    paper.add_lines(view);
    paper.add_totals(view);
    for (title, entries) in [("Changes", &view.changes), ("Sent", &view.sent)] {
        if !entries.is_empty() {
            paper.add_title(title);
            for entry in entries {
                paper.add_wrapped("  ", entry);
            }
        }
    }
    if !view.messages.is_empty() {
        paper.add_title("From the partner");
    }
    for message in &view.messages {
        let day = message.received_at.get(..10).unwrap_or_default();
        let facts = format!("{day} {}, {}", message.describe_kind(), message.describe_facts());
        paper.add_wrapped("  ", &format!("{facts} (event {})", message.event_id));
        for line in message.text.lines() {
            paper.add_wrapped("    ", line);
        }
    }
    paper.text
}

/// Text that is written line by line.
struct Paper {
    text: String,
    width: usize,
}

impl Paper {
    /// Adds a text that continues below itself, after `start`.
    fn add_wrapped(&mut self, start: &str, text: &str) {
        // A terminal shows it: control characters of a sender must not reach it.
        let (start, text) = (replace_control_chars(start), replace_control_chars(text));
        let mut line = start.clone();
        let mut is_empty = true;
        for word in text.split_whitespace() {
            if !is_empty && line.width() + 1 + word.width() > self.width {
                self.push_line(&line);
                line = " ".repeat(start.width());
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(word);
            is_empty = false;
        }
        self.push_line(&line);
    }

    fn push_line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn add_title(&mut self, title: &str) {
        self.push_line("");
        self.push_line(&replace_control_chars(title));
    }

    fn add_field(&mut self, label: &str, value: &str) {
        if !value.trim().is_empty() {
            self.add_wrapped(&format!("{label:<LABEL_WIDTH$} "), value);
        }
    }

    fn add_header(&mut self, view: &PurchaseOrderView) {
        self.add_wrapped("", &view.describe_title());
        for (label, value) in view.list_header_fields() {
            self.add_field(label, &value);
        }
    }

    /// Adds an address as on an envelope.
    fn add_address(&mut self, address: &EdiAddress, indent: usize) {
        let (outer, inner) = (" ".repeat(indent), " ".repeat(indent + 2));
        let text = describe_address(address);
        if indent == 0 {
            self.push_line("");
        }
        self.add_wrapped(&outer, &text.role);
        for line in text.names.iter().chain(&text.places) {
            self.add_wrapped(&inner, line);
        }
    }

    fn add_lines(&mut self, view: &PurchaseOrderView) {
        self.add_title(&format!(
            "{:>6} {:>10} {:<12} {:>12} {:>12}  {}",
            "LINE", "QUANTITY", "UNIT", "PRICE", "AMOUNT", "ITEM"
        ));
        for (index, line) in view.document.lines.iter().enumerate() {
            self.add_line((index, line), view.lines.get(index));
        }
        if view.document.lines.is_empty() {
            self.push_line("  no lines");
        }
    }

    /// Adds a line. One without a number has `#` and its position, by which `sps send` finds it.
    fn add_line(&mut self, (index, line): (usize, &PurchaseOrderLine), shown: Option<&PurchaseOrderLineView>) {
        let number = line.number.clone().unwrap_or_else(|| format!("#{}", index + 1));
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let unit = line.unit.as_deref().map(|unit| codes::UNITS.describe(unit)).unwrap_or_default();
        let amount = line.exact_amount().map(|amount| format!("{amount:.2}")).unwrap_or_default();
        let start =
            format!("{number:>6} {:>10} {unit:<12} {:>12} {amount:>12}  ", text(&line.quantity), text(&line.price));
        let state = match shown.map(|shown| shown.status.as_str()) {
            Some(status) if !["open", ""].contains(&status) => format!(" [{status}]"),
            _ => String::new(),
        };
        let description = format!("{}{state}", text(&line.description));
        if start.width() + 20 <= self.width {
            self.add_wrapped(&start, &description);
        } else {
            self.push_line(&replace_control_chars(&start));
            self.add_wrapped(&" ".repeat(LINE_INDENT), &description);
        }
        for fact in list_line_facts(line) {
            self.add_wrapped(&" ".repeat(LINE_INDENT), &fact);
        }
        if let Some(item) = shown.and_then(|shown| shown.item.as_ref()) {
            let quantity = shown.and_then(|shown| shown.item_quantity.clone()).unwrap_or_default();
            self.add_wrapped(&" ".repeat(LINE_INDENT), &format!("→ ERP item {item} {quantity}"));
        }
        self.add_line_parts(line);
    }

    fn add_line_parts(&mut self, line: &PurchaseOrderLine) {
        for part in list_line_groups(line).into_iter().flat_map(|group| group.entries) {
            self.add_wrapped(&" ".repeat(LINE_INDENT), &part);
        }
        for address in &line.addresses {
            self.add_address(address, LINE_INDENT);
        }
        for component in &line.components {
            self.add_component(component);
        }
    }

    /// Adds a part of a set or kit below its line.
    fn add_component(&mut self, component: &PurchaseOrderLine) {
        for text in describe_component(component) {
            self.add_wrapped(&" ".repeat(LINE_INDENT), &text);
        }
        self.add_line_parts(component);
    }

    /// Adds the total that the order states, and the one that its open lines add up to.
    fn add_totals(&mut self, view: &PurchaseOrderView) {
        self.push_line("");
        self.add_field("stated total", &view.describe_stated_total());
        self.add_field("computed total", &view.describe_computed_total());
    }
}
