//! An RSX order or change as a purchase order.

use super::tree::Node;
use crate::formats::decimal;
use crate::formats::fault::{Code, Fault, Severity};
use crate::formats::purchase_order::{
    Address, Allowance, Carrier, Contact, Date, Line, ProductId, PurchaseOrder, Reference, Schedule, Terms,
};

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Orders,
    OrderChanges,
    OrderAcks,
    Shipments,
    Invoices,
    /// Anything else of SPS's.
    Other,
}

impl Kind {
    /// The X12 set that says the same.
    #[must_use]
    pub fn set(self) -> &'static str {
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

/// The documents in a tree: the root itself, or what its wrappers hold.
fn documents(root: &Node) -> Vec<&Node> {
    const WRAPPERS: [&str; 4] = ["Orders", "OrderChanges", "OrderAcks", ""];
    const INNER: [&str; 5] = ["Order", "OrderChange", "OrderAck", "PurchaseOrder", "Document"];
    if root.child(&["Header"]).is_some() || INNER.contains(&root.name.as_str()) {
        return vec![root];
    }
    // An array of JSON has no name, and neither have its elements.
    let is_wrapper = WRAPPERS.contains(&root.name.as_str());
    root.children
        .iter()
        .flat_map(|child| {
            let named = INNER.contains(&child.name.as_str()) || WRAPPERS.contains(&child.name.as_str());
            match documents(child) {
                inner if !inner.is_empty() => inner,
                // Something stands where an order should: it is one that cannot be read.
                _ if is_wrapper && named => vec![child],
                _ => Vec::new(),
            }
        })
        .collect()
}

/// What a document says it is, by its content: JSON has no root's name.
#[must_use]
pub fn kind(root: &Node) -> Kind {
    let named = root.name.as_str();
    let Some(document) = documents(root).into_iter().next() else {
        return match named {
            "Shipments" | "Shipment" => Kind::Shipments,
            "Invoices" | "Invoice" => Kind::Invoices,
            "Orders" => Kind::Orders,
            "OrderChanges" => Kind::OrderChanges,
            _ => Kind::Other,
        };
    };
    let Some(header) = document.child(&["Header"]) else { return Kind::Other };
    if header.child(&["InvoiceHeader"]).is_some() {
        return Kind::Invoices;
    }
    if header.child(&["ShipmentHeader"]).is_some() {
        return Kind::Shipments;
    }
    let Some(order) = header.child(&["OrderHeader"]) else { return Kind::Other };
    let lines = lines(document);
    let has = |name: &str| {
        lines.iter().any(|line| line.child(&["OrderLine"]).is_some_and(|line| line.child(&[name]).is_some()))
    };
    let acknowledged = order.child(&["AcknowledgementDate", "AcknowledgementNumber"]).is_some()
        || lines.iter().any(|line| line.child(&["LineItemAcknowledgement"]).is_some());
    if acknowledged || ["OrderAcks", "OrderAck"].contains(&named) || document.name == "OrderAck" {
        Kind::OrderAcks
    } else if document.name == "OrderChange"
        || named == "OrderChanges"
        || order.child(&["POChangeDate", "ChangeOrderSeqNumber"]).is_some()
        || order.text_of(&["TsetPurposeCode"]).as_deref() == Some("04")
        || has("LineChangeCode")
    {
        Kind::OrderChanges
    } else {
        Kind::Orders
    }
}

fn lines(document: &Node) -> Vec<&Node> {
    let holder = document.child(&["LineItems"]).unwrap_or(document);
    holder.all(&["LineItem"]).collect()
}

/// Reads every order of a tree; one that cannot be taken is `None`, and a fault says why.
#[must_use]
pub fn read(root: &Node) -> Vec<(Option<PurchaseOrder>, Vec<Fault>)> {
    let named = root.name == "OrderChanges";
    documents(root)
        .into_iter()
        .map(|document| document_of(document, named || kind(document) == Kind::OrderChanges))
        .collect()
}

fn document_of(document: &Node, is_change: bool) -> (Option<PurchaseOrder>, Vec<Fault>) {
    let mut reader = Faults(Vec::new());
    let Some(header) = document.child(&["Header"]) else {
        reader.error("Header", "is missing: this is no order");
        return (None, reader.0);
    };
    let empty = Node::default();
    let named = header.child(&["OrderHeader"]).unwrap_or(&empty);
    let mut must = |name: &str| {
        named.text_of(&[name]).unwrap_or_else(|| {
            reader.error(&format!("Header/OrderHeader/{name}"), "is missing");
            String::new()
        })
    };
    let (partner, number) = (must("TradingPartnerId"), must("PurchaseOrderNumber"));
    let text = |names: &[&str]| named.text_of(names);
    let mut order = PurchaseOrder {
        is_change,
        partner,
        number,
        release: text(&["ReleaseNumber"]).unwrap_or_default(),
        purpose: text(&["TsetPurposeCode"]).unwrap_or_else(|| if is_change { "04" } else { "00" }.to_owned()),
        kind: text(&["PrimaryPOTypeCode", "PurchaseOrderTypeCode"]),
        ordered_on: reader.day("Header/OrderHeader/PurchaseOrderDate", text(&["PurchaseOrderDate"])),
        sequence: text(&["ChangeOrderSeqNumber"]),
        changed_on: reader.day("Header/OrderHeader/POChangeDate", text(&["POChangeDate"])),
        currency: text(&["BuyersCurrency", "SellersCurrency"]),
        department: text(&["Department"]),
        vendor: text(&["Vendor"]),
        contract: None,
        is_test: false,
        dates: dates(header, "Header", &mut reader),
        references: references(header),
        contacts: header.all(&["Contacts", "Contact"]).map(contact).collect(),
        addresses: header.all(&["Address"]).map(address).collect(),
        terms: header.all(&["PaymentTerms"]).map(terms).collect(),
        carriers: header.all(&["CarrierInformation"]).map(carrier).collect(),
        allowances: allowances(header, "Header", &mut reader),
        notes: notes(header),
        ..PurchaseOrder::default()
    };
    for (index, item) in lines(document).into_iter().enumerate() {
        order.lines.push(line(item, &format!("LineItem {}", index + 1), &mut reader));
    }
    if order.lines.is_empty() && !is_change && order.purpose != "01" {
        reader.error("LineItem", "is missing: an order without lines");
    }
    if let Some(summary) = document.child(&["Summary"]) {
        order.stated_lines = summary.text_of(&["TotalLineItemNumber"]);
        order.stated_total = reader.number("Summary/TotalAmount", summary.text_of(&["TotalAmount"]), false);
    }
    let counted = order.lines.len();
    if let Some(stated) = order.stated_lines.as_deref().filter(|stated| decimal::parse(stated) != Some(counted.into()))
    {
        reader.warn("Summary/TotalLineItemNumber", format!("says {stated:?}, there are {counted} lines"));
    }
    let refused = reader.0.iter().any(|fault| fault.severity == Severity::Error);
    ((!refused).then_some(order), reader.0)
}

struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, severity: Severity, at: &str, text: String) {
        self.0.push(Fault { severity, line: 0, at: at.to_owned(), position: 0, element: 0, code: Code::None, text });
    }

    fn error(&mut self, at: &str, text: impl Into<String>) {
        self.add(Severity::Error, at, text.into());
    }

    fn warn(&mut self, at: &str, text: impl Into<String>) {
        self.add(Severity::Warning, at, text.into());
    }

    /// A number; `must`: what is none keeps the order from being taken.
    fn number(&mut self, at: &str, text: Option<String>, must: bool) -> Option<String> {
        let text = text?;
        let number = decimal::normal(&text);
        if number.is_none() {
            let severity = if must { Severity::Error } else { Severity::Warning };
            self.add(severity, at, format!("{text:?} is no number"));
        }
        number
    }

    fn day(&mut self, at: &str, text: Option<String>) -> Option<String> {
        let text = text?;
        // Some write a time behind the day.
        let day = text.get(..10).and_then(|day| jiff::civil::Date::strptime("%Y-%m-%d", day).ok());
        if day.is_none() {
            self.warn(at, format!("{text:?} is no day"));
        }
        day.map(|day| day.to_string())
    }
}

fn line(item: &Node, at: &str, reader: &mut Faults) -> Line {
    let empty = Node::default();
    let order_line = item.child(&["OrderLine"]).unwrap_or(&empty);
    let text = |names: &[&str]| order_line.text_of(names);
    let mut line = Line {
        number: text(&["LineSequenceNumber"]),
        change: text(&["LineChangeCode"]),
        quantity: reader.number(&format!("{at}/OrderQty"), text(&["OrderQty"]), true),
        unit: text(&["OrderQtyUOM"]),
        price: reader.number(&format!("{at}/PurchasePrice"), text(&["PurchasePrice"]), true),
        price_basis: text(&["PurchasePriceBasis"]),
        pack: item.all(&["PhysicalDetails"]).find_map(|details| details.text_of(&["PackValue"])),
        dates: dates(item, at, reader),
        references: references(item),
        addresses: item.all(&["Address"]).map(address).collect(),
        allowances: allowances(item, at, reader),
        notes: notes(item),
        ..Line::default()
    };
    // The names of RSX's own elements, as X12 qualifies them.
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
    for id in order_line.all(&["ProductID"]) {
        if let (Some(qualifier), Some(value)) = (id.text_of(&["PartNumberQual"]), id.text_of(&["PartNumber"])) {
            line.ids.push(ProductId { qualifier, value });
        }
    }
    let described: Vec<String> =
        item.all(&["ProductOrItemDescription"]).filter_map(|part| part.text_of(&["ProductDescription"])).collect();
    line.description = (!described.is_empty()).then(|| described.join(", "));
    for part in item.all(&["QuantitiesSchedulesLocations"]) {
        let unit = part.text_of(&["TotalQtyUOM"]);
        let date = part.all(&["Dates", "Date"]).next();
        let on = date.and_then(|date| reader.day(at, date.text_of(&["Date", "Date1"])));
        let date_qualifier = date.and_then(|date| date.text_of(&["DateTimeQualifier", "DateTimeQualifier1"]));
        let schedule = |location, quantity| Schedule {
            location,
            quantity,
            unit: unit.clone(),
            date_qualifier: date_qualifier.clone(),
            on: on.clone(),
        };
        let places: Vec<&Node> = part.all(&["LocationQuantity"]).collect();
        for place in &places {
            let quantity = reader.number(&format!("{at}/LocationQuantity"), place.text_of(&["Qty"]), false);
            line.schedules.extend(quantity.map(|quantity| schedule(place.text_of(&["Location"]), quantity)));
        }
        if places.is_empty() {
            let quantity = reader.number(&format!("{at}/TotalQty"), part.text_of(&["TotalQty"]), false);
            line.schedules.extend(quantity.map(|quantity| schedule(None, quantity)));
        }
    }
    line
}

fn dates(node: &Node, at: &str, reader: &mut Faults) -> Vec<Date> {
    node.all(&["Dates", "Date"])
        .map(|date| Date {
            qualifier: date.text_of(&["DateTimeQualifier", "DateTimeQualifier1"]).unwrap_or_default(),
            on: reader.day(&format!("{at}/Dates"), date.text_of(&["Date", "Date1"])),
            until: None,
            time: date.text_of(&["Time", "Time1"]),
        })
        .collect()
}

fn references(node: &Node) -> Vec<Reference> {
    node.all(&["References", "Reference"])
        .map(|reference| Reference {
            qualifier: reference.text_of(&["ReferenceQual"]).unwrap_or_default(),
            value: reference.text_of(&["ReferenceID"]),
            description: reference.text_of(&["Description"]),
        })
        .collect()
}

fn notes(node: &Node) -> Vec<String> {
    node.all(&["Notes"]).filter_map(|note| note.text_of(&["Note", "NoteInformationField"])).collect()
}

fn contact(node: &Node) -> Contact {
    Contact {
        kind: node.text_of(&["ContactTypeCode"]).unwrap_or_default(),
        name: node.text_of(&["ContactName"]),
        phone: node.text_of(&["PrimaryPhone"]),
        fax: node.text_of(&["PrimaryFax"]),
        email: node.text_of(&["PrimaryEmail"]),
    }
}

fn address(node: &Node) -> Address {
    const LINES: [&str; 6] =
        ["AddressAlternateName", "AddressAlternateName2", "Address1", "Address2", "Address3", "Address4"];
    Address {
        kind: node.text_of(&["AddressTypeCode"]).unwrap_or_default(),
        id_qualifier: node.text_of(&["LocationCodeQualifier"]),
        id: node.text_of(&["AddressLocationNumber"]),
        name: node.text_of(&["AddressName"]),
        lines: LINES.iter().filter_map(|name| node.text_of(&[name])).collect(),
        city: node.text_of(&["City"]),
        state: node.text_of(&["State"]),
        postal_code: node.text_of(&["PostalCode"]),
        country: node.text_of(&["Country"]),
    }
}

fn terms(node: &Node) -> Terms {
    let number = |name: &str| node.text_of(&[name]).and_then(|text| decimal::normal(&text));
    Terms {
        kind: node.text_of(&["TermsType"]),
        basis: node.text_of(&["TermsBasisDateCode"]),
        discount_on: node.text_of(&["TermsDiscountDate"]),
        net_on: node.text_of(&["TermsNetDueDate"]),
        discount_percent: number("TermsDiscountPercentage"),
        discount_days: number("TermsDiscountDueDays"),
        net_days: number("TermsNetDueDays"),
        discount_amount: number("TermsDiscountAmount"),
        description: node.text_of(&["TermsDescription"]),
    }
}

fn carrier(node: &Node) -> Carrier {
    Carrier {
        code: node.text_of(&["CarrierAlphaCode"]),
        method: node.text_of(&["CarrierTransMethodCode"]),
        routing: node.text_of(&["CarrierRouting"]),
        service: node.child(&["ServiceLevelCodes"]).and_then(|codes| codes.text_of(&["ServiceLevelCode"])),
    }
}

fn allowances(node: &Node, at: &str, reader: &mut Faults) -> Vec<Allowance> {
    node.all(&["ChargesAllowances"])
        .map(|part| Allowance {
            kind: part.text_of(&["AllowChrgIndicator"]).unwrap_or_default(),
            code: part.text_of(&["AllowChrgCode"]),
            // Real decimals, unlike X12's.
            amount: reader.number(&format!("{at}/AllowChrgAmt"), part.text_of(&["AllowChrgAmt"]), false),
            percent: part.text_of(&["AllowChrgPercent"]).and_then(|text| decimal::normal(&text)),
            rate: part.text_of(&["AllowChrgRate"]).and_then(|text| decimal::normal(&text)),
            handling: part.text_of(&["AllowChrgHandlingCode"]),
            description: part.text_of(&["AllowChrgHandlingDescription"]),
        })
        .collect()
}
