//! Finds the documents in an RSX tree, and the kind of a document by its content.

use crate::edi::rsx::tree::RsxNode;

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

/// Returns the kind of document by its content, because the root has no name in JSON.
#[must_use]
pub fn detect_rsx_kind(root: &RsxNode) -> RsxDocumentKind {
    let root_name = root.name.as_str();
    let Some(document) = find_documents(root).into_iter().next() else {
        return match root_name {
            "Shipments" | "Shipment" => RsxDocumentKind::Shipments,
            "Invoices" | "Invoice" => RsxDocumentKind::Invoices,
            "Orders" => RsxDocumentKind::Orders,
            "OrderChanges" => RsxDocumentKind::OrderChanges,
            _ => RsxDocumentKind::Other,
        };
    };
    let Some(header) = document.first_child(&["Header"]) else { return RsxDocumentKind::Other };
    if header.first_child(&["InvoiceHeader"]).is_some() {
        return RsxDocumentKind::Invoices;
    }
    if header.first_child(&["ShipmentHeader"]).is_some() {
        return RsxDocumentKind::Shipments;
    }
    let Some(order) = header.first_child(&["OrderHeader"]) else { return RsxDocumentKind::Other };
    let lines = find_line_items(document);
    let has = |name: &str| {
        lines
            .iter()
            .any(|line| line.first_child(&["OrderLine"]).is_some_and(|line| line.first_child(&[name]).is_some()))
    };
    let is_acknowledged = order.first_child(&["AcknowledgementDate", "AcknowledgementNumber"]).is_some()
        || lines.iter().any(|line| line.first_child(&["LineItemAcknowledgement"]).is_some());
    if is_acknowledged || ["OrderAcks", "OrderAck"].contains(&root_name) || document.name == "OrderAck" {
        RsxDocumentKind::OrderAcks
    } else if document.name == "OrderChange"
        || root_name == "OrderChanges"
        || order.first_child(&["POChangeDate", "ChangeOrderSeqNumber"]).is_some()
        || order.child_text(&["TsetPurposeCode"]).as_deref() == Some("04")
        || has("LineChangeCode")
    {
        RsxDocumentKind::OrderChanges
    } else {
        RsxDocumentKind::Orders
    }
}

pub(crate) fn find_line_items(document: &RsxNode) -> Vec<&RsxNode> {
    let parent = document.first_child(&["LineItems"]).unwrap_or(document);
    parent.children_named(&["LineItem"]).collect()
}
