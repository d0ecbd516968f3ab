//! Reads an RSX order or change as a [`PurchaseOrder`].
//!
//! The reader takes each text that it understands. What is left in the tree becomes an extra of the order or its line.

use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::document_purpose::DocumentPurpose;
use crate::edi::fault::{EdiFault, FaultSeverity};
use crate::edi::order_findings;
use crate::edi::order_totals;
use crate::edi::purchase_order::{EdiReference, PurchaseOrder, PurchaseOrderLine};
use crate::edi::rsx::faults::{RsxFaultCollector, contradict_ship_date};
use crate::edi::rsx::kind::{self, RsxDocumentKind};
use crate::edi::rsx::tree::RsxNode;
use crate::edi::rsx::{lines, parts};

/// Most extras of one order; bounds the time to store it.
const EXTRAS_MAX: usize = 20_000;
/// Fields of the header that X12 states as references, with the qualifier of each.
const HEADER_REFERENCES: [(&str, &str); 3] =
    [("CustomerOrderNumber", "CO"), ("Division", "19"), ("CustomerAccountNumber", "11")];

/// One document of a tree.
#[derive(Debug)]
pub struct RsxDocument {
    pub kind: RsxDocumentKind,
    /// `None` for a document that is no order, and for an order that is rejected.
    pub order: Option<PurchaseOrder>,
    /// Partner and number of the order, also of a rejected one, as far as it states them.
    pub key: (String, String),
    pub faults: Vec<EdiFault>,
}

/// Reads each document of a tree by its own kind. A rejected order has the faults that reject it.
///
/// Only orders and changes are read. Among them, what is no document at all counts as an order that cannot be read.
#[must_use]
pub fn read_rsx_documents(root: &RsxNode) -> Vec<RsxDocument> {
    let found = kind::find_document_kinds(root);
    let is_order = |kind| matches!(kind, RsxDocumentKind::Orders | RsxDocumentKind::OrderChanges);
    let has_orders = found.iter().any(|(_, kind)| is_order(*kind));
    let mut documents: Vec<RsxDocument> = Vec::new();
    for (node, document_kind) in found {
        // The root itself stands for its documents, and there are none.
        if is_order(document_kind) && std::ptr::eq(node, root) && node.children.is_empty() {
            continue;
        }
        let is_unknown = document_kind == RsxDocumentKind::Other && !kind::has_foreign_header(node);
        if is_order(document_kind) || has_orders && is_unknown {
            documents.push(read_rsx_order(node, document_kind == RsxDocumentKind::OrderChanges));
            continue;
        }
        let mut collector = RsxFaultCollector::default();
        if document_kind == RsxDocumentKind::Other {
            collector.add_warning("Header", kind::UNKNOWN_KIND);
        }
        // Its values are not those of an order.
        node.collect_extras("");
        documents.push(RsxDocument {
            kind: document_kind,
            order: None,
            key: <(String, String)>::default(),
            faults: collector.faults,
        });
    }
    if let Some(document) = documents.iter_mut().find(|document| is_order(document.kind)) {
        // Values around the documents belong to no order.
        let mut collector =
            RsxFaultCollector { faults: std::mem::take(&mut document.faults), ..RsxFaultCollector::default() };
        for extra in root.collect_extras("").into_iter().take(STRAY_VALUES_MAX) {
            collector.add_warning(&extra.location, format!("{:?} belongs to no order: it is not stored", extra.value));
        }
        document.faults = collector.faults;
    }
    documents
}

/// Most values outside of all orders that are reported.
const STRAY_VALUES_MAX: usize = 100;

fn read_rsx_order(document: &RsxNode, is_change: bool) -> RsxDocument {
    let kind = if is_change { RsxDocumentKind::OrderChanges } else { RsxDocumentKind::Orders };
    let mut faults = RsxFaultCollector::default();
    let Some(header) = faults.find_single(document, "Header", "") else {
        faults.add_error("Header", "is missing: this is not an order");
        return RsxDocument { kind, order: None, key: <(String, String)>::default(), faults: faults.faults };
    };
    let empty = RsxNode::default();
    let order_header = faults.find_single(header, "OrderHeader", "Header").unwrap_or(&empty);
    let mut order = read_header(header, order_header, is_change, &mut faults);
    "rsx".clone_into(&mut order.origin.format);
    for (index, item) in kind::find_line_items(document).into_iter().enumerate() {
        let at = format!("LineItem {}", index + 1);
        let line = lines::read_line_item(item, &at, &mut faults);
        if let (Some(own), Some(of_order)) = (&line.currency, &order.currency)
            && own != of_order
        {
            let name = line.describe_position(index + 1);
            let finding = format!("{name}: its currency is {own}, that of the order is {of_order}");
            faults.add_warning(&format!("{at}/OrderLine/BuyersCurrency"), finding.as_str());
            faults.findings.push(finding);
        }
        order.lines.push(line);
    }
    if order.lines.is_empty() && !is_change && !DocumentPurpose::of(&order).needs_no_lines() {
        faults.add_error("LineItem", "is missing: the order has no lines");
    }
    read_summary(document, &mut order, &mut faults);
    for (at, finding) in document.find_contradictions("") {
        faults.add_order_finding(&at, finding);
    }
    // The taxes among them count towards a total.
    order.extras = document.collect_extras("");
    check_sums(document, &mut order, &mut faults);
    order.fill_numbers_from_references();
    if is_change {
        // A value that the change means to replace would stay without a word.
        let unreadable = std::mem::take(&mut faults.unreadable);
        order.findings.extend(unreadable.into_iter().map(|fact| format!("a change cannot be read in whole: {fact}")));
    }
    order.findings.splice(..0, std::mem::take(&mut faults.findings));
    order.findings.truncate(order_findings::FINDINGS_MAX);
    if limit_extras(&mut order) {
        let message =
            format!("the order has more than {EXTRAS_MAX} values without a column: only its file has the others");
        faults.add_warning("Header", message.as_str());
        order.findings.push(message);
    }
    let is_rejected = faults.faults.iter().any(|fault| fault.severity == FaultSeverity::Error);
    let key = (order.partner.clone(), order.number.clone());
    RsxDocument { kind, order: (!is_rejected).then_some(order), key, faults: faults.faults }
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
        purpose: order_header
            .take_code(&["TsetPurposeCode"], codes::PURPOSE_LENGTH)
            .map_or_else(|| if is_change { "04" } else { "00" }.to_owned(), |purpose| purpose.to_uppercase()),
        kind: order_header
            .take_code(&["PrimaryPOTypeCode"], 2)
            .or_else(|| order_header.take_code(&["PurchaseOrderTypeCode"], 2)),
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
    if let Some(finding) = contradict_ship_date(order_header, &order.dates) {
        faults.add_order_finding(PATH, finding);
    }
    for (name, qualifier) in HEADER_REFERENCES {
        if let Some(value) = text(&[name]) {
            let qualifier = qualifier.to_owned();
            order.references.push(EdiReference { qualifier, value: Some(value), ..EdiReference::default() });
        }
    }
    order
}

/// Reads the stated totals.
fn read_summary(document: &RsxNode, order: &mut PurchaseOrder, faults: &mut RsxFaultCollector) {
    if let Some(summary) = faults.find_single(document, "Summary", "") {
        order.stated_lines = summary.take_text(&["TotalLineItemNumber"]);
        order.stated_quantity = summary.take_text(&["TotalQuantity"]);
        order.stated_total = faults.take_number(summary, "Summary", "TotalAmount");
    }
}

/// Warns of stated totals that do not fit.
fn check_sums(document: &RsxNode, order: &mut PurchaseOrder, faults: &mut RsxFaultCollector) {
    for contradiction in order_findings::add_document_findings(order) {
        faults.add_warning(contradiction.sum.name(order), contradiction.message);
    }
    if order.is_change {
        return;
    }
    let header = document.first_child(&["Header"]).into_iter();
    for total in header.flat_map(|header| header.children_named(&["QuantityTotals"])) {
        if let Some(finding) = contradict_quantity_total(total, &order.lines) {
            faults.add_warning("Header/QuantityTotals", finding.as_str());
            order.findings.push(finding);
        }
    }
}

/// Returns the contradiction between a `QuantityTotals` and the lines in its unit. It may also count the lines.
fn contradict_quantity_total(total: &RsxNode, lines: &[PurchaseOrderLine]) -> Option<String> {
    let (stated, unit) = (total.child_text(&["Quantity"])?, total.child_text(&["QuantityUOM"]));
    let lines: Vec<&PurchaseOrderLine> =
        lines.iter().filter(|line| unit.is_none() || line.unit.is_none() || line.unit == unit).collect();
    let (number, sum) = (decimal::parse_decimal(&stated)?, order_totals::sum_quantities(&lines)?);
    // Without a line in its unit, nothing is certain.
    let fits = lines.is_empty()
        || number == sum
        || number == lines.len().into()
        || order_totals::is_hash_of_units(&lines, &stated);
    (!fits).then(|| {
        let sum = order_totals::format_number(sum);
        format!("the quantities add up to {sum}, QuantityTotals states {stated:?}")
    })
}
