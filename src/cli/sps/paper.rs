//! A purchase order as on paper: parties with their addresses, dates, terms, lines and totals. Codes are in words, with
//! the code beside them.

use crate::cli::sps::paper_parts::{
    describe_allowance, describe_amount, describe_carrier, describe_contact, describe_date, describe_extra,
    describe_instruction, describe_pack, describe_price, describe_product_id, describe_reference, describe_schedule,
    describe_terms, join_words,
};
use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::document_purpose;
use crate::edi::purchase_order::{EdiAddress, EdiReference, PurchaseOrder, PurchaseOrderLine};
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
    paper.add_parts(&view.document, &view.findings);
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
        let order = &view.document;
        let release = if view.release.is_empty() { String::new() } else { format!(", release {}", view.release) };
        self.add_wrapped("", &format!("PURCHASE ORDER {}{release}: {}", view.po_number, view.status));
        if let Some(attention) = &view.attention {
            self.add_field("attention", attention);
        }
        let customer = view.customer.as_ref().map_or(String::new(), |customer| format!(", customer {customer}"));
        self.add_field("from", &format!("{}{customer}", view.partner));
        self.add_field("ordered", view.ordered_on.as_deref().unwrap_or_default());
        self.add_field(
            "type",
            &order.kind.as_deref().map(|kind| codes::ORDER_TYPES.describe(kind)).unwrap_or_default(),
        );
        if !order.purpose.is_empty() {
            self.add_field("purpose", &document_purpose::PURPOSES.describe(&order.purpose));
        }
        for (label, value) in [
            ("department", &order.department),
            ("vendor number", &order.vendor),
            ("contract", &order.contract),
            ("currency", &view.currency),
        ] {
            self.add_field(label, value.as_deref().unwrap_or_default());
        }
    }

    fn add_parts(&mut self, order: &PurchaseOrder, findings: &[String]) {
        self.add_group("Findings", findings.iter().cloned());
        self.add_group("Dates", order.dates.iter().map(describe_date));
        // Department and vendor number stand above.
        let is_shown = |part: &&EdiReference| {
            [&order.department, &order.vendor].into_iter().flatten().any(|shown| Some(shown) == part.value.as_ref())
                && ["DP", "IA", "VR"].contains(&part.qualifier.as_str())
                && part.description.is_none()
                && part.address.is_none()
        };
        let references = order.references.iter().filter(|part| !is_shown(part));
        self.add_group("References", references.map(describe_reference));
        self.add_group("Contacts", order.contacts.iter().map(describe_contact));
        self.add_group("Terms", order.terms.iter().map(describe_terms));
        self.add_group("Carrier", order.carriers.iter().map(describe_carrier));
        self.add_group("Packaging and freight", order.instructions.iter().map(describe_instruction));
        self.add_group("Allowances and charges", order.allowances.iter().map(describe_allowance));
        self.add_group("Amounts", order.amounts.iter().map(describe_amount));
        self.add_group("Notes", order.notes.iter().cloned());
        self.add_group("Other values", order.extras.iter().map(describe_extra));
    }

    fn add_group(&mut self, title: &str, entries: impl Iterator<Item = String>) {
        let entries: Vec<String> = entries.filter(|entry| !entry.trim().is_empty()).collect();
        if entries.is_empty() {
            return;
        }
        self.add_title(title);
        for entry in entries {
            self.add_wrapped("  ", &entry);
        }
    }

    /// Adds an address as on an envelope.
    fn add_address(&mut self, address: &EdiAddress, indent: usize) {
        let (outer, inner) = (" ".repeat(indent), " ".repeat(indent + 2));
        let role = codes::ROLES.describe(&address.kind);
        let mut letters = role.chars();
        let role: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
        if indent == 0 {
            self.push_line("");
        }
        self.add_wrapped(&outer, &role);
        for text in address.name.iter().chain(&address.more_names).chain(&address.lines) {
            self.add_wrapped(&inner, text);
        }
        let region = join_words([address.state.as_deref(), address.postal_code.as_deref()], " ");
        let parts = [address.city.as_deref(), Some(region.as_str()), address.country.as_deref()];
        let place = join_words(parts, ", ");
        if !place.is_empty() {
            self.add_wrapped(&inner, &place);
        }
        if let Some(id) = &address.id {
            let issuer = address.id_qualifier.as_deref().unwrap_or("92");
            let text = match codes::ID_ISSUERS.find(issuer) {
                Some(name) => format!("{name} {id} ({issuer})"),
                None => format!("{issuer} {id}"),
            };
            self.add_wrapped(&inner, &text);
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
        let mut details = Vec::new();
        details.extend(line.currency.as_ref().map(|currency| format!("in {currency}")));
        if let Some(basis) = line.price_basis.as_deref() {
            details.push(format!("price {}", codes::PRICE_BASES.describe(basis)));
        }
        if let Some(pack) = describe_pack(line) {
            details.push(pack);
        }
        if !details.is_empty() {
            self.add_wrapped(&" ".repeat(LINE_INDENT), &details.join("; "));
        }
        let ids: Vec<String> = line.ids.iter().map(describe_product_id).collect();
        if !ids.is_empty() {
            self.add_wrapped(&" ".repeat(LINE_INDENT), &ids.join("; "));
        }
        if let Some(item) = shown.and_then(|shown| shown.item.as_ref()) {
            let quantity = shown.and_then(|shown| shown.item_quantity.clone()).unwrap_or_default();
            self.add_wrapped(&" ".repeat(LINE_INDENT), &format!("→ ERP item {item} {quantity}"));
        }
        self.add_line_parts(line);
    }

    fn add_line_parts(&mut self, line: &PurchaseOrderLine) {
        let parts: Vec<String> = (line.dates.iter().map(describe_date))
            .chain(line.references.iter().map(describe_reference))
            .chain(line.schedules.iter().map(describe_schedule))
            .chain(line.allowances.iter().map(describe_allowance))
            .chain(line.instructions.iter().map(describe_instruction))
            .chain(line.notes.iter().map(|note| format!("note: {note}")))
            .chain(line.prices.iter().map(describe_price))
            .chain(line.amounts.iter().map(describe_amount))
            .chain(line.contacts.iter().map(describe_contact))
            .chain(line.terms.iter().map(describe_terms))
            .chain(line.carriers.iter().map(describe_carrier))
            .chain(line.extras.iter().map(describe_extra))
            .collect();
        for part in parts {
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
        let unit = component.unit.as_deref().map(|unit| codes::UNITS.describe(unit));
        let quantity = join_words([component.quantity.as_deref(), unit.as_deref()], " ");
        let number = component.number.as_ref().map(|number| format!("component {number}"));
        let relationship = component.relationship.as_ref().map(|code| format!("relationship {code}"));
        let price = component.price.as_ref().map(|price| format!("price {price}"));
        let basis = component.price_basis.as_deref().map(|basis| codes::PRICE_BASES.describe(basis));
        let ids: Vec<String> = component.ids.iter().map(describe_product_id).collect();
        let ids = ids.join("; ");
        let parts = [
            Some(number.as_deref().unwrap_or("component")),
            Some(quantity.as_str()),
            component.description.as_deref(),
            price.as_deref(),
            basis.as_deref(),
            Some(ids.as_str()),
            relationship.as_deref(),
        ];
        self.add_wrapped(&" ".repeat(LINE_INDENT), &join_words(parts, ", "));
        if let Some(pack) = describe_pack(component) {
            self.add_wrapped(&" ".repeat(LINE_INDENT), &pack);
        }
        self.add_line_parts(component);
    }

    /// Adds the total that the order states, and the one that its open lines add up to.
    fn add_totals(&mut self, view: &PurchaseOrderView) {
        let currency = view.currency.as_deref().unwrap_or_default();
        let stated = view.document.stated_total.as_deref();
        let computed = view.lines_total.as_deref();
        self.push_line("");
        self.add_field(
            "stated total",
            &match stated {
                Some(total) => format!("{total} {currency}"),
                None => "none".to_owned(),
            },
        );
        let number = |text: Option<&str>| text.and_then(decimal::parse_decimal);
        let difference = number(stated).zip(number(computed)).map(|(stated, computed)| stated - computed);
        let difference = match difference {
            Some(difference) if !difference.is_zero() => {
                format!("; the stated total differs by {}", difference.normalize())
            }
            _ => String::new(),
        };
        self.add_field(
            "computed total",
            &match computed {
                Some(total) => format!("{total} {currency} (quantity × price of the open lines{difference})"),
                None => describe_missing_total(view),
            },
        );
    }
}

/// Returns why there is no computed total: the first line whose amount is not certain.
fn describe_missing_total(view: &PurchaseOrderView) -> String {
    let lines = view.document.lines.iter().enumerate();
    let open = lines.filter(|(index, _)| view.lines.get(*index).is_none_or(|shown| shown.status != "cancelled"));
    let open: Vec<(usize, &PurchaseOrderLine)> = open.collect();
    let lines: Vec<&PurchaseOrderLine> = open.iter().map(|(_, line)| *line).collect();
    if let Some(obstacle) = view.document.currency_obstacle(&lines) {
        return format!("none: {obstacle}");
    }
    let mut obstacles = open.into_iter().filter_map(|(index, line)| Some((index, line, line.amount_obstacle()?)));
    match obstacles.next() {
        Some((index, line, obstacle)) => {
            let number = line.number.clone().unwrap_or_else(|| format!("#{}", index + 1));
            format!("none: the amount of line {number} is not certain, because {obstacle}")
        }
        None => "none".to_owned(),
    }
}
