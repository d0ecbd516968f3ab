//! Reads an RSX order or change as a [`PurchaseOrder`].
//!
//! The reader takes each text that it understands. What is left in the tree becomes an extra of the order or its line.

use crate::edi::fault::{EdiFault, FaultSeverity};
use crate::edi::order_findings::{self, StatedSum};
use crate::edi::purchase_order::{EdiReference, PurchaseOrder};
use crate::edi::rsx::faults::RsxFaultCollector;
use crate::edi::rsx::kind::{self, RsxDocumentKind};
use crate::edi::rsx::tree::RsxNode;
use crate::edi::rsx::{lines, parts};

/// Most extras of one order; bounds the time to store it.
const EXTRAS_MAX: usize = 20_000;
/// Fields of the header that X12 states as references, with the qualifier of each.
const HEADER_REFERENCES: [(&str, &str); 3] =
    [("CustomerOrderNumber", "CO"), ("Division", "19"), ("CustomerAccountNumber", "11")];

/// Reads each order of a tree. A rejected order is `None`, with the faults that reject it.
#[must_use]
pub fn read_rsx_orders(root: &RsxNode) -> Vec<(Option<PurchaseOrder>, Vec<EdiFault>)> {
    let is_change = root.name == "OrderChanges";
    let documents = kind::find_documents(root);
    let mut orders: Vec<_> = documents
        .into_iter()
        .map(|document| {
            read_rsx_order(document, is_change || kind::detect_rsx_kind(document) == RsxDocumentKind::OrderChanges)
        })
        .collect();
    if let Some((_, faults)) = orders.first_mut() {
        // Values around the documents belong to no order.
        let mut collector = RsxFaultCollector { faults: std::mem::take(faults), ..RsxFaultCollector::default() };
        for extra in root.collect_extras("").into_iter().take(STRAY_VALUES_MAX) {
            collector.add_warning(&extra.location, format!("{:?} belongs to no order: it is not stored", extra.value));
        }
        *faults = collector.faults;
    }
    orders
}

/// Most values outside of all orders that are reported.
const STRAY_VALUES_MAX: usize = 100;

fn read_rsx_order(document: &RsxNode, is_change: bool) -> (Option<PurchaseOrder>, Vec<EdiFault>) {
    let mut faults = RsxFaultCollector::default();
    let Some(header) = document.first_child(&["Header"]) else {
        faults.add_error("Header", "is missing: this is not an order");
        return (None, faults.faults);
    };
    let empty = RsxNode::default();
    let order_header = header.first_child(&["OrderHeader"]).unwrap_or(&empty);
    let mut order = read_header(header, order_header, is_change, &mut faults);
    for (index, item) in kind::find_line_items(document).into_iter().enumerate() {
        order.lines.push(lines::read_line_item(item, &format!("LineItem {}", index + 1), &mut faults));
    }
    if order.lines.is_empty() && !is_change && order.purpose != "01" {
        faults.add_error("LineItem", "is missing: the order has no lines");
    }
    order.findings.append(&mut faults.findings);
    read_summary(document, &mut order, &mut faults);
    order.fill_numbers_from_references();
    if limit_extras(&mut order) {
        let message =
            format!("the order has more than {EXTRAS_MAX} values without a column: only its file has the others");
        faults.add_warning("Header", message.as_str());
        order.findings.push(message);
    }
    let is_rejected = faults.faults.iter().any(|fault| fault.severity == FaultSeverity::Error);
    ((!is_rejected).then_some(order), faults.faults)
}

/// Removes the extras above the limit. Returns true if there are any.
fn limit_extras(order: &mut PurchaseOrder) -> bool {
    let mut remaining = EXTRAS_MAX;
    let mut is_over = false;
    let components_and_lines = order
        .lines
        .iter_mut()
        .flat_map(|line| line.components.iter_mut().map(|part| &mut part.extras).chain([&mut line.extras]));
    for extras in [&mut order.extras].into_iter().chain(components_and_lines) {
        is_over |= extras.len() > remaining;
        extras.truncate(remaining);
        remaining -= extras.len();
    }
    is_over
}

fn read_header(
    header: &RsxNode,
    order_header: &RsxNode,
    is_change: bool,
    faults: &mut RsxFaultCollector,
) -> PurchaseOrder {
    const PATH: &str = "Header/OrderHeader";
    let mut require_text = |name: &str| {
        order_header.take_text(&[name]).unwrap_or_else(|| {
            faults.add_error(&format!("{PATH}/{name}"), "is missing");
            String::new()
        })
    };
    let (partner, number) = (require_text("TradingPartnerId"), require_text("PurchaseOrderNumber"));
    let text = |names: &[&str]| order_header.take_text(names);
    let shared = parts::read_parts(header, "Header", faults);
    let mut order = PurchaseOrder {
        is_change,
        partner,
        number,
        release: text(&["ReleaseNumber"]).unwrap_or_default(),
        purpose: text(&["TsetPurposeCode"]).unwrap_or_else(|| if is_change { "04" } else { "00" }.to_owned()),
        kind: text(&["PrimaryPOTypeCode"]).or_else(|| text(&["PurchaseOrderTypeCode"])),
        ordered_on: faults.take_date(order_header, PATH, &["PurchaseOrderDate"]),
        sequence: text(&["ChangeOrderSeqNumber"]),
        changed_on: faults.take_date(order_header, PATH, &["POChangeDate"]),
        currency: text(&["BuyersCurrency"]).or_else(|| text(&["SellersCurrency"])),
        department: text(&["Department"]),
        vendor: text(&["Vendor"]),
        dates: shared.dates,
        references: shared.references,
        contacts: shared.contacts,
        addresses: shared.addresses,
        terms: shared.terms,
        carriers: shared.carriers,
        allowances: shared.allowances,
        instructions: shared.instructions,
        notes: shared.notes,
        amounts: shared.amounts,
        ..PurchaseOrder::default()
    };
    for (name, qualifier) in HEADER_REFERENCES {
        if let Some(value) = text(&[name]) {
            let qualifier = qualifier.to_owned();
            order.references.push(EdiReference { qualifier, value: Some(value), ..EdiReference::default() });
        }
    }
    order
}

/// Reads the stated totals, and warns if they do not fit.
fn read_summary(document: &RsxNode, order: &mut PurchaseOrder, faults: &mut RsxFaultCollector) {
    if let Some(summary) = document.first_child(&["Summary"]) {
        order.stated_lines = summary.take_text(&["TotalLineItemNumber"]);
        order.stated_quantity = summary.take_text(&["TotalQuantity"]);
        order.stated_total = faults.take_number(summary, "Summary", "TotalAmount");
    }
    order.extras = document.collect_extras("");
    let place = |sum| match sum {
        StatedSum::Lines => "Summary/TotalLineItemNumber",
        StatedSum::Quantity => "Summary/TotalQuantity",
        StatedSum::Total => "Summary/TotalAmount",
        StatedSum::LineTotal | StatedSum::TotalAtLine => "MonetaryAmounts",
    };
    for contradiction in order_findings::add_document_findings(order, place) {
        faults.add_warning(place(contradiction.sum), contradiction.message);
    }
}
