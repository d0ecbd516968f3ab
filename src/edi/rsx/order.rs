//! Reads an RSX order or change as a [`PurchaseOrder`].

use crate::edi::decimal;
use crate::edi::fault::{EdiFault, FaultSeverity, SyntaxErrorCode};
use crate::edi::purchase_order::{
    AllowanceCharge, CarrierDetails, EdiAddress, EdiContact, EdiDate, EdiInstruction, EdiReference, LineSchedule,
    PaymentTerms, ProductId, PurchaseOrder, PurchaseOrderLine,
};
use crate::edi::rsx::tree::RsxNode;
use crate::text::format_count;

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
fn find_documents(root: &RsxNode) -> Vec<&RsxNode> {
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

fn find_line_items(document: &RsxNode) -> Vec<&RsxNode> {
    let parent = document.first_child(&["LineItems"]).unwrap_or(document);
    parent.children_named(&["LineItem"]).collect()
}

/// Reads each order of a tree. A rejected order is `None`, with the faults that reject it.
#[must_use]
pub fn read_rsx_orders(root: &RsxNode) -> Vec<(Option<PurchaseOrder>, Vec<EdiFault>)> {
    let is_change = root.name == "OrderChanges";
    find_documents(root)
        .into_iter()
        .map(|document| {
            read_rsx_order(document, is_change || detect_rsx_kind(document) == RsxDocumentKind::OrderChanges)
        })
        .collect()
}

fn read_rsx_order(document: &RsxNode, is_change: bool) -> (Option<PurchaseOrder>, Vec<EdiFault>) {
    let mut reader = RsxFaultCollector(Vec::new());
    let Some(header) = document.first_child(&["Header"]) else {
        reader.add_error("Header", "is missing: this is not an order");
        return (None, reader.0);
    };
    let empty = RsxNode::default();
    let order_header = header.first_child(&["OrderHeader"]).unwrap_or(&empty);
    let mut require_text = |name: &str| {
        order_header.child_text(&[name]).unwrap_or_else(|| {
            reader.add_error(&format!("Header/OrderHeader/{name}"), "is missing");
            String::new()
        })
    };
    let (partner, number) = (require_text("TradingPartnerId"), require_text("PurchaseOrderNumber"));
    let text = |names: &[&str]| order_header.child_text(names);
    let mut order = PurchaseOrder {
        is_change,
        partner,
        number,
        release: text(&["ReleaseNumber"]).unwrap_or_default(),
        purpose: text(&["TsetPurposeCode"]).unwrap_or_else(|| if is_change { "04" } else { "00" }.to_owned()),
        kind: text(&["PrimaryPOTypeCode", "PurchaseOrderTypeCode"]),
        ordered_on: reader.parse_date("Header/OrderHeader/PurchaseOrderDate", text(&["PurchaseOrderDate"])),
        sequence: text(&["ChangeOrderSeqNumber"]),
        changed_on: reader.parse_date("Header/OrderHeader/POChangeDate", text(&["POChangeDate"])),
        currency: text(&["BuyersCurrency", "SellersCurrency"]),
        department: text(&["Department"]),
        vendor: text(&["Vendor"]),
        contract: None,
        is_test: false,
        dates: read_dates(header, "Header", &mut reader),
        references: read_references(header),
        contacts: header.children_named(&["Contacts", "Contact"]).map(read_contact).collect(),
        addresses: header.children_named(&["Address"]).map(read_address).collect(),
        terms: header.children_named(&["PaymentTerms"]).map(read_payment_terms).collect(),
        carriers: header.children_named(&["CarrierInformation"]).map(read_carrier).collect(),
        allowances: read_allowances(header, "Header", &mut reader),
        instructions: read_freight(header),
        notes: read_notes(header),
        ..PurchaseOrder::default()
    };
    for (index, item) in find_line_items(document).into_iter().enumerate() {
        order.lines.push(read_line_item(item, &format!("LineItem {}", index + 1), &mut reader));
    }
    if order.lines.is_empty() && !is_change && order.purpose != "01" {
        reader.add_error("LineItem", "is missing: the order has no lines");
    }
    read_summary(document, &mut order, &mut reader);
    let is_rejected = reader.0.iter().any(|fault| fault.severity == FaultSeverity::Error);
    ((!is_rejected).then_some(order), reader.0)
}

/// Reads the stated totals, and warns if the number of lines differs.
fn read_summary(document: &RsxNode, order: &mut PurchaseOrder, reader: &mut RsxFaultCollector) {
    if let Some(summary) = document.first_child(&["Summary"]) {
        order.stated_lines = summary.child_text(&["TotalLineItemNumber"]);
        order.stated_total = reader.parse_number("Summary/TotalAmount", summary.child_text(&["TotalAmount"]), false);
    }
    let counted = order.lines.len();
    if let Some(stated) =
        order.stated_lines.as_deref().filter(|stated| decimal::parse_decimal(stated) != Some(counted.into()))
    {
        let lines = format_count(counted, "line", "lines");
        reader.add_warning("Summary/TotalLineItemNumber", format!("is {stated:?}, but the order has {lines}"));
    }
}

struct RsxFaultCollector(Vec<EdiFault>);

impl RsxFaultCollector {
    fn add_fault(&mut self, severity: FaultSeverity, location: &str, message: String) {
        self.0.push(EdiFault {
            severity,
            line: 0,
            location: location.to_owned(),
            position: 0,
            element: 0,
            code: SyntaxErrorCode::None,
            message,
        });
    }

    fn add_error(&mut self, location: &str, message: impl Into<String>) {
        self.add_fault(FaultSeverity::Error, location, message.into());
    }

    fn add_warning(&mut self, location: &str, message: impl Into<String>) {
        self.add_fault(FaultSeverity::Warning, location, message.into());
    }

    /// Returns the text as a number. With `required`, a text that is not a number rejects the order.
    fn parse_number(&mut self, location: &str, text: Option<String>, required: bool) -> Option<String> {
        let text = text?;
        let number = decimal::normalize_decimal(&text);
        if number.is_none() {
            let severity = if required { FaultSeverity::Error } else { FaultSeverity::Warning };
            self.add_fault(severity, location, format!("{text:?} is not a number"));
        }
        number
    }

    fn parse_date(&mut self, location: &str, text: Option<String>) -> Option<String> {
        let text = text?;
        // Some senders add a time to the date.
        let day = text.get(..10).and_then(|day| jiff::civil::Date::strptime("%Y-%m-%d", day).ok());
        if day.is_none() {
            self.add_warning(location, format!("{text:?} is not a date"));
        }
        day.map(|day| day.to_string())
    }
}

fn read_line_item(item: &RsxNode, at: &str, reader: &mut RsxFaultCollector) -> PurchaseOrderLine {
    let empty = RsxNode::default();
    let order_line = item.first_child(&["OrderLine"]).unwrap_or(&empty);
    let text = |names: &[&str]| order_line.child_text(names);
    let mut line = PurchaseOrderLine {
        number: text(&["LineSequenceNumber"]),
        change: text(&["LineChangeCode"]),
        quantity: reader.parse_number(&format!("{at}/OrderQty"), text(&["OrderQty"]), true),
        quantity_before: reader.parse_number(&format!("{at}/PreviousOrderQty"), text(&["PreviousOrderQty"]), false),
        quantity_difference: reader.parse_number(&format!("{at}/VarianceQty"), text(&["VarianceQty"]), false),
        unit: text(&["OrderQtyUOM"]),
        price: reader.parse_number(&format!("{at}/PurchasePrice"), text(&["PurchasePrice"]), true),
        price_basis: text(&["PurchasePriceBasis"]),
        pack: item.children_named(&["PhysicalDetails"]).find_map(|details| details.child_text(&["PackValue"])),
        pack_size: item.children_named(&["PhysicalDetails"]).find_map(read_pack_size),
        dates: read_dates(item, at, reader),
        references: read_references(item),
        addresses: item.children_named(&["Address"]).map(read_address).collect(),
        allowances: read_allowances(item, at, reader),
        instructions: read_freight(item),
        notes: read_notes(item),
        ..PurchaseOrderLine::default()
    };
    // RSX's own elements, with the qualifier that X12 uses for each.
    for (name, qualifier) in [
        ("BuyerPartNumber", "BP"),
        ("VendorPartNumber", "VN"),
        ("ConsumerPackageCode", "UP"),
        ("EAN", "EN"),
        ("GTIN", "UK"),
        ("UPCCaseCode", "UA"),
        ("InternationalStandardBookNumber", "IB"),
    ] {
        if let Some(value) = text(&[name]) {
            line.ids.push(ProductId { qualifier: qualifier.to_owned(), value });
        }
    }
    for id in order_line.children_named(&["ProductID"]) {
        if let (Some(qualifier), Some(value)) = (id.child_text(&["PartNumberQual"]), id.child_text(&["PartNumber"])) {
            line.ids.push(ProductId { qualifier, value });
        }
    }
    let described: Vec<String> = item
        .children_named(&["ProductOrItemDescription"])
        .filter_map(|part| part.child_text(&["ProductDescription"]))
        .collect();
    line.description = (!described.is_empty()).then(|| described.join(", "));
    for part in item.children_named(&["QuantitiesSchedulesLocations"]) {
        read_schedules(part, at, &mut line, reader);
    }
    line
}

/// Reads the parts of a line's quantity by place or date.
fn read_schedules(part: &RsxNode, at: &str, line: &mut PurchaseOrderLine, reader: &mut RsxFaultCollector) {
    let unit = part.child_text(&["TotalQtyUOM"]);
    let date = part.children_named(&["Dates", "Date"]).next();
    let on = date.and_then(|date| reader.parse_date(at, date.child_text(&["Date", "Date1"])));
    let date_qualifier = date.and_then(|date| date.child_text(&["DateTimeQualifier", "DateTimeQualifier1"]));
    let schedule = |location, quantity| LineSchedule {
        location,
        quantity,
        unit: unit.clone(),
        date_qualifier: date_qualifier.clone(),
        on: on.clone(),
    };
    let places: Vec<&RsxNode> = part.children_named(&["LocationQuantity"]).collect();
    for place in &places {
        let quantity = reader.parse_number(&format!("{at}/LocationQuantity"), place.child_text(&["Qty"]), false);
        line.schedules.extend(quantity.map(|quantity| schedule(place.child_text(&["Location"]), quantity)));
    }
    if places.is_empty() {
        let quantity = reader.parse_number(&format!("{at}/TotalQty"), part.child_text(&["TotalQty"]), false);
        line.schedules.extend(quantity.map(|quantity| schedule(None, quantity)));
    }
}

fn read_dates(node: &RsxNode, at: &str, reader: &mut RsxFaultCollector) -> Vec<EdiDate> {
    node.children_named(&["Dates", "Date"])
        .map(|date| EdiDate {
            qualifier: date.child_text(&["DateTimeQualifier", "DateTimeQualifier1"]).unwrap_or_default(),
            on: reader.parse_date(&format!("{at}/Dates"), date.child_text(&["Date", "Date1"])),
            until: None,
            time: date.child_text(&["Time", "Time1"]),
        })
        .collect()
}

fn read_references(node: &RsxNode) -> Vec<EdiReference> {
    node.children_named(&["References", "Reference"])
        .map(|reference| EdiReference {
            qualifier: reference.child_text(&["ReferenceQual"]).unwrap_or_default(),
            value: reference.child_text(&["ReferenceID"]),
            description: reference.child_text(&["Description"]),
        })
        .collect()
}

fn read_freight(node: &RsxNode) -> Vec<EdiInstruction> {
    node.children_named(&["FOBRelatedInstruction"])
        .map(|fob| EdiInstruction {
            kind: "freight".to_owned(),
            code: fob.child_text(&["FOBPayCode"]),
            description: fob.child_text(&["FOBLocationDescription", "Description"]),
        })
        .filter(|fob| fob.code.is_some() || fob.description.is_some())
        .collect()
}

/// Reads the size of an inner unit: `340 GR`.
fn read_pack_size(details: &RsxNode) -> Option<String> {
    let size = decimal::normalize_decimal(&details.child_text(&["PackSize"])?)?;
    Some(details.child_text(&["PackUOM"]).map_or(size.clone(), |unit| format!("{size} {unit}")))
}

fn read_notes(node: &RsxNode) -> Vec<String> {
    node.children_named(&["Notes"]).filter_map(|note| note.child_text(&["Note", "NoteInformationField"])).collect()
}

fn read_contact(node: &RsxNode) -> EdiContact {
    EdiContact {
        kind: node.child_text(&["ContactTypeCode"]).unwrap_or_default(),
        name: node.child_text(&["ContactName"]),
        phone: node.child_text(&["PrimaryPhone"]),
        fax: node.child_text(&["PrimaryFax"]),
        email: node.child_text(&["PrimaryEmail"]),
    }
}

fn read_address(node: &RsxNode) -> EdiAddress {
    const ADDRESS_LINE_NAMES: [&str; 6] =
        ["AddressAlternateName", "AddressAlternateName2", "Address1", "Address2", "Address3", "Address4"];
    EdiAddress {
        kind: node.child_text(&["AddressTypeCode"]).unwrap_or_default(),
        id_qualifier: node.child_text(&["LocationCodeQualifier"]),
        id: node.child_text(&["AddressLocationNumber"]),
        name: node.child_text(&["AddressName"]),
        lines: ADDRESS_LINE_NAMES.iter().filter_map(|name| node.child_text(&[name])).collect(),
        city: node.child_text(&["City"]),
        state: node.child_text(&["State"]),
        postal_code: node.child_text(&["PostalCode"]),
        country: node.child_text(&["Country"]),
    }
}

fn read_payment_terms(node: &RsxNode) -> PaymentTerms {
    let number = |name: &str| node.child_text(&[name]).and_then(|text| decimal::normalize_decimal(&text));
    PaymentTerms {
        kind: node.child_text(&["TermsType"]),
        basis: node.child_text(&["TermsBasisDateCode"]),
        discount_on: node.child_text(&["TermsDiscountDate"]),
        net_on: node.child_text(&["TermsNetDueDate"]),
        discount_percent: number("TermsDiscountPercentage"),
        discount_days: number("TermsDiscountDueDays"),
        net_days: number("TermsNetDueDays"),
        discount_amount: number("TermsDiscountAmount"),
        description: node.child_text(&["TermsDescription"]),
    }
}

fn read_carrier(node: &RsxNode) -> CarrierDetails {
    CarrierDetails {
        code: node.child_text(&["CarrierAlphaCode"]),
        method: node.child_text(&["CarrierTransMethodCode"]),
        routing: node.child_text(&["CarrierRouting"]),
        service: node.first_child(&["ServiceLevelCodes"]).and_then(|codes| codes.child_text(&["ServiceLevelCode"])),
    }
}

fn read_allowances(node: &RsxNode, at: &str, reader: &mut RsxFaultCollector) -> Vec<AllowanceCharge> {
    node.children_named(&["ChargesAllowances"])
        .map(|part| AllowanceCharge {
            kind: part.child_text(&["AllowChrgIndicator"]).unwrap_or_default(),
            code: part.child_text(&["AllowChrgCode"]),
            // RSX writes the decimal point; X12 implies it.
            amount: reader.parse_number(&format!("{at}/AllowChrgAmt"), part.child_text(&["AllowChrgAmt"]), false),
            percent: part.child_text(&["AllowChrgPercent"]).and_then(|text| decimal::normalize_decimal(&text)),
            rate: part.child_text(&["AllowChrgRate"]).and_then(|text| decimal::normalize_decimal(&text)),
            handling: part.child_text(&["AllowChrgHandlingCode"]),
            description: part.child_text(&["AllowChrgHandlingDescription"]),
        })
        .collect()
}
