//! Finds the documents in an RSX tree, and the kind of a document by its content.

use crate::edi::rsx::tree::RsxNode;

/// Message for a kind of document that is only stored.
pub(crate) const UNKNOWN_KIND: &str = "novex-ingest does not read this kind of RSX document";

/// Kind of an RSX document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RsxDocumentKind {
    Orders,
    OrderChanges,
    OrderAcks,
    Shipments,
    Invoices,
    /// Any other document.
    Other,
}

impl RsxDocumentKind {
    /// Returns the id of the X12 transaction set for the same kind of document.
    #[must_use]
    pub fn transaction_set_id(self) -> &'static str {
        match self {
            Self::Orders => "850",
            Self::OrderChanges => "860",
            Self::OrderAcks => "855",
            Self::Shipments => "856",
            Self::Invoices => "810",
            Self::Other => "unknown",
        }
    }
}

/// Returns the documents in a tree: the root itself, or the documents inside its wrappers.
pub(crate) fn find_documents(root: &RsxNode) -> Vec<&RsxNode> {
    const WRAPPER_NAMES: [&str; 4] = ["Orders", "OrderChanges", "OrderAcks", ""];
    const DOCUMENT_NAMES: [&str; 5] = ["Order", "OrderChange", "OrderAck", "PurchaseOrder", "Document"];
    if root.first_child(&["Header"]).is_some() || DOCUMENT_NAMES.contains(&root.name.as_str()) {
        return vec![root];
    }
    // A JSON array has no name, and neither have its elements.
    let is_wrapper = WRAPPER_NAMES.contains(&root.name.as_str());
    root.children
        .iter()
        .flat_map(|child| {
            let is_named =
                DOCUMENT_NAMES.contains(&child.name.as_str()) || WRAPPER_NAMES.contains(&child.name.as_str());
            match find_documents(child) {
                inner if !inner.is_empty() => inner,
                // An element in the place of an order counts as an order that cannot be read.
                _ if is_wrapper && is_named => vec![child],
                _ => Vec::new(),
            }
        })
        .collect()
}

/// Returns each document of a tree with its kind. A root without any document counts as one, if its name states a kind.
pub(crate) fn find_document_kinds(root: &RsxNode) -> Vec<(&RsxNode, RsxDocumentKind)> {
    let documents = find_documents(root);
    if !documents.is_empty() {
        return documents.into_iter().map(|document| (document, detect_kind(document, &root.name))).collect();
    }
    let kind = match root.name.as_str() {
        "Shipments" | "Shipment" => RsxDocumentKind::Shipments,
        "Invoices" | "Invoice" => RsxDocumentKind::Invoices,
        "Orders" => RsxDocumentKind::Orders,
        "OrderChanges" => RsxDocumentKind::OrderChanges,
        _ => return Vec::new(),
    };
    vec![(root, kind)]
}

/// Returns the kind of each document in a tree.
pub fn list_rsx_kinds(root: &RsxNode) -> impl Iterator<Item = RsxDocumentKind> {
    find_document_kinds(root).into_iter().map(|(_, kind)| kind)
}

/// Returns true for a document whose header is that of a kind which is not read, such as `InventoryHeader`. SOAP and
/// error messages have a `Header` too.
pub(crate) fn has_foreign_header(document: &RsxNode) -> bool {
    let headers = document.children_named(&["Header"]);
    headers.flat_map(|header| &header.children).any(|child| child.name.ends_with("Header") && child.has_text())
}

/// Returns the kind of a document by its content, because it has no name in JSON. An element without a text states
/// nothing: senders write each field that they do not use as an empty one.
fn detect_kind(document: &RsxNode, root_name: &str) -> RsxDocumentKind {
    let Some(header) = document.first_child(&["Header"]) else { return RsxDocumentKind::Other };
    let find_stated = |name| header.children.iter().find(|child| child.name == name && child.has_text());
    if find_stated("InvoiceHeader").is_some() {
        return RsxDocumentKind::Invoices;
    }
    if find_stated("ShipmentHeader").is_some() {
        return RsxDocumentKind::Shipments;
    }
    let Some(order) = find_stated("OrderHeader") else { return RsxDocumentKind::Other };
    let lines = find_line_items(document);
    let line_states = |name: &str| lines.iter().any(|line| line.children_named(&[name]).any(RsxNode::has_text));
    let has_change_code = lines
        .iter()
        .flat_map(|line| line.children_named(&["OrderLine"]))
        .any(|details| details.child_text(&["LineChangeCode"]).is_some());
    let is_acknowledged = order.child_text(&["AcknowledgementDate", "AcknowledgementNumber"]).is_some()
        || line_states("LineItemAcknowledgement");
    if is_acknowledged || ["OrderAcks", "OrderAck"].contains(&root_name) || document.name == "OrderAck" {
        RsxDocumentKind::OrderAcks
    } else if document.name == "OrderChange"
        || root_name == "OrderChanges"
        || order.child_text(&["POChangeDate", "ChangeOrderSeqNumber"]).is_some()
        || order.child_text(&["TsetPurposeCode"]).is_some_and(|code| matches!(code.as_str(), "04" | "4"))
        || has_change_code
    {
        RsxDocumentKind::OrderChanges
    } else {
        RsxDocumentKind::Orders
    }
}

/// Returns all lines of a document: those inside of each `LineItems`, and those beside it.
pub(crate) fn find_line_items(document: &RsxNode) -> Vec<&RsxNode> {
    document
        .children
        .iter()
        .flat_map(|child| match child.name.as_str() {
            "LineItems" => child.children.as_slice(),
            _ => std::slice::from_ref(child),
        })
        .filter(|child| child.name == "LineItem")
        .collect()
}
