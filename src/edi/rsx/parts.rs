//! Reads the parts that the header of an RSX order, its lines and their components share.

use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::order_percentages;
use crate::edi::purchase_order::{
    AllowanceCharge, CarrierDetails, EdiAddress, EdiAmount, EdiContact, EdiDate, EdiInstruction, EdiReference,
    PaymentTerms,
};
use crate::edi::rsx::faults::{RsxFaultCollector, split_time_zone};
use crate::edi::rsx::tree::RsxNode;

/// Parts of an order, a line or a component. A part inside an address names that address.
#[derive(Debug, Default)]
pub(crate) struct RsxParts {
    pub dates: Vec<EdiDate>,
    pub references: Vec<EdiReference>,
    pub contacts: Vec<EdiContact>,
    pub addresses: Vec<EdiAddress>,
    pub terms: Vec<PaymentTerms>,
    pub carriers: Vec<CarrierDetails>,
    pub allowances: Vec<AllowanceCharge>,
    pub instructions: Vec<EdiInstruction>,
    pub notes: Vec<String>,
    pub amounts: Vec<EdiAmount>,
}

/// Reads the parts of the header, a line or a component. `at` is its path for faults.
pub(crate) fn read_parts(node: &RsxNode, at: &str, faults: &mut RsxFaultCollector) -> RsxParts {
    let mut parts = RsxParts {
        terms: node.children_named(&["PaymentTerms"]).map(|part| read_payment_terms(part, at, faults)).collect(),
        carriers: node.children_named(&["CarrierInformation"]).map(read_carrier).collect(),
        allowances: read_allowances(node, at, faults),
        instructions: node.children_named(&["FOBRelatedInstruction"]).filter_map(read_freight).collect(),
        notes: (node.children_named(&["Notes"]))
            .filter_map(|note| note.take_text(&["Note", "NoteInformationField"]))
            .collect(),
        amounts: read_amounts(node, at, faults),
        ..RsxParts::default()
    };
    append_nested_parts(&mut parts, node, at, None, faults);
    for tax in node.children_named(&["Taxes"]) {
        check_tax(tax, at, faults);
    }
    for address in node.children_named(&["Address"]) {
        let read = read_address(address);
        let (label, at) = (read.label(), format!("{at}/Address"));
        parts.addresses.push(read);
        append_nested_parts(&mut parts, address, &at, Some(&label), faults);
    }
    parts
}

/// Reads dates, references and contacts, which an address has too.
fn append_nested_parts(
    parts: &mut RsxParts,
    node: &RsxNode,
    at: &str,
    address: Option<&str>,
    faults: &mut RsxFaultCollector,
) {
    let address = address.map(str::to_owned);
    for date in node.children_named(&["Dates", "Date"]).filter(|date| !date.children.is_empty()) {
        parts.dates.push(EdiDate { address: address.clone(), ..read_date(date, at, faults) });
    }
    for reference in node.children_named(&["References", "Reference"]) {
        parts.references.push(EdiReference {
            qualifier: reference.take_code(&["ReferenceQual"], 2).unwrap_or_default(),
            value: reference.take_text(&["ReferenceID"]),
            description: reference.take_text(&["Description"]),
            address: address.clone(),
        });
    }
    for contact in node.children_named(&["Contacts", "Contact"]) {
        parts.contacts.push(EdiContact { address: address.clone(), ..read_contact(contact) });
    }
}

fn read_date(date: &RsxNode, at: &str, faults: &mut RsxFaultCollector) -> EdiDate {
    let (time, zone) = date.take_text(&["Time", "Time1"]).map_or((None, None), |text| {
        let (time, zone) = split_time_zone(&text);
        (Some(time), zone)
    });
    EdiDate {
        qualifier: date
            .take_code(&["DateTimeQualifier", "DateTimeQualifier1"], codes::DATE_QUALIFIER_LENGTH)
            .unwrap_or_default(),
        on: faults.take_date(date, &format!("{at}/Dates"), &["Date", "Date1"]),
        time,
        zone,
        ..EdiDate::default()
    }
}

fn read_freight(fob: &RsxNode) -> Option<EdiInstruction> {
    let instruction = EdiInstruction {
        kind: "freight".to_owned(),
        code: fob.take_text(&["FOBPayCode"]),
        description: fob.take_text(&["FOBLocationDescription"]).or_else(|| fob.take_text(&["Description"])),
        address: None,
    };
    (instruction.code.is_some() || instruction.description.is_some()).then_some(instruction)
}

fn read_contact(node: &RsxNode) -> EdiContact {
    let mut contact = EdiContact {
        kind: node.take_text(&["ContactTypeCode"]).unwrap_or_default(),
        name: node.take_text(&["ContactName"]),
        phone: node.take_text(&["PrimaryPhone"]),
        fax: node.take_text(&["PrimaryFax"]),
        email: node.take_text(&["PrimaryEmail"]),
        ..EdiContact::default()
    };
    for number in node.children_named(&["AdditionalContactDetails"]) {
        if let Some(value) = number.take_text(&["ContactID"]) {
            contact.add_number(number.take_text(&["ContactQual"]).unwrap_or_default(), value);
        }
    }
    contact
}

fn read_address(node: &RsxNode) -> EdiAddress {
    let list_texts = |names: &[&str]| names.iter().filter_map(|name| node.take_text(&[name])).collect();
    EdiAddress {
        kind: node.take_code(&["AddressTypeCode"], 2).unwrap_or_default(),
        id_qualifier: node.take_text(&["LocationCodeQualifier"]),
        id: node.take_text(&["AddressLocationNumber"]),
        name: node.take_text(&["AddressName"]),
        more_names: list_texts(&["AddressAlternateName", "AddressAlternateName2"]),
        lines: list_texts(&["Address1", "Address2", "Address3", "Address4"]),
        city: node.take_text(&["City"]),
        state: node.take_text(&["State"]),
        postal_code: node.take_text(&["PostalCode"]),
        country: node.take_text(&["Country"]),
    }
}

fn read_payment_terms(node: &RsxNode, at: &str, faults: &mut RsxFaultCollector) -> PaymentTerms {
    let at = format!("{at}/PaymentTerms");
    PaymentTerms {
        kind: node.take_code(&["TermsType"], 2),
        basis: node.take_text(&["TermsBasisDateCode"]),
        discount_on: faults.take_date(node, &at, &["TermsDiscountDate"]),
        net_on: faults.take_date(node, &at, &["TermsNetDueDate"]),
        discount_percent: faults.take_number(node, &at, "TermsDiscountPercentage"),
        discount_days: faults.take_number(node, &at, "TermsDiscountDueDays"),
        net_days: faults.take_number(node, &at, "TermsNetDueDays"),
        discount_amount: faults.take_number(node, &at, "TermsDiscountAmount"),
        description: node.take_text(&["TermsDescription"]),
    }
}

fn read_carrier(node: &RsxNode) -> CarrierDetails {
    CarrierDetails {
        code: node.take_text(&["CarrierAlphaCode"]),
        method: node.take_text(&["CarrierTransMethodCode"]),
        routing: node.take_text(&["CarrierRouting"]),
        service: node.first_child(&["ServiceLevelCodes"]).and_then(|codes| codes.take_text(&["ServiceLevelCode"])),
        address: None,
    }
}

fn read_allowances(node: &RsxNode, at: &str, faults: &mut RsxFaultCollector) -> Vec<AllowanceCharge> {
    let at = format!("{at}/ChargesAllowances");
    node.children_named(&["ChargesAllowances"])
        .map(|part| AllowanceCharge {
            kind: part.take_text(&["AllowChrgIndicator"]).unwrap_or_default(),
            code: part.take_text(&["AllowChrgCode"]),
            // RSX writes the decimal point; X12 implies it.
            amount: faults.take_number(part, &at, "AllowChrgAmt"),
            percent_basis: part.take_text(&["AllowChrgPercentQual"]),
            percent: faults.take_number(part, &at, "AllowChrgPercent"),
            basis_amount: faults.take_number(part, &at, "PercentDollarBasis"),
            rate: faults.take_number(part, &at, "AllowChrgRate"),
            quantity: faults.take_number(part, &at, "AllowChrgQty"),
            unit: part.take_text(&["AllowChrgQtyUOM"]),
            handling: part.take_code(&["AllowChrgHandlingCode"], 2),
            description: part.take_text(&["AllowChrgHandlingDescription"]),
        })
        .collect()
}

/// Compares the amount of a tax with its percentage; its values stay extras.
fn check_tax(tax: &RsxNode, at: &str, faults: &mut RsxFaultCollector) {
    let texts = ["TaxAmount", "TaxPercent", "PercentDollarBasis"].map(|name| tax.child_text(&[name]));
    if let [Some(amount), Some(percent), Some(basis)] = texts
        && let Some(finding) = order_percentages::contradict_tax(&amount, &percent, &basis)
    {
        faults.add_warning(&format!("{at}/Taxes"), finding.as_str());
        faults.findings.push(finding);
    }
}

fn read_amounts(node: &RsxNode, at: &str, faults: &mut RsxFaultCollector) -> Vec<EdiAmount> {
    let at = format!("{at}/MonetaryAmounts");
    node.children_named(&["MonetaryAmounts"])
        .filter_map(|part| {
            let amount = part.take_parsed(&["MonetaryAmount"], decimal::normalize_decimal);
            if amount.is_none() {
                faults.take_number(part, &at, "MonetaryAmount");
            }
            Some(EdiAmount { amount: amount?, qualifier: part.take_text(&["MonetaryAmountCode"]).unwrap_or_default() })
        })
        .collect()
}
