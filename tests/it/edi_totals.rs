//! Figures that a document states more than once: totals, sums of parts, amounts of percentages, and the totals of a
//! change.

use crate::support::edi_files::interchange;
use crate::support::order_parts::{attention, plain_line, read_rsx, read_x12, with_line_fields};
use novex_ingest::internals::edi::file;
use novex_ingest::internals::edi::purchase_order::PurchaseOrder;
use novex_ingest::internals::edi::revisions::{
    ChangeQuantities, OrderState, OrderStatus, ReceivedDocument, fold_documents,
};
use serde_json::{Value, json};

/// The total of the locations or of a date is compared with its parts, and with the line.
#[test]
fn total_quantity_of_a_schedule_fits_its_parts_and_the_line() {
    let with_schedules = |schedules: Value| {
        let mut line = plain_line();
        line["QuantitiesSchedulesLocations"] = schedules;
        attention(&read_rsx(&json!({}), &line, &Value::Null))
    };
    let places = json!([{"Location": "1", "Qty": "4"}, {"Location": "2", "Qty": "6"}]);
    for (schedules, wanted) in [
        (json!({"TotalQty": "10", "TotalQtyUOM": "CA", "LocationQuantity": places}), ""),
        (
            json!({"TotalQty": "9", "TotalQtyUOM": "CA", "LocationQuantity": places}),
            "line 1 has locations that add up to 10 CA, TotalQty states \"9\"",
        ),
        (json!([{"TotalQty": "10"}]), ""),
        (json!([{"TotalQty": "9"}]), "line 1: the quantities of the schedules add up to 9 CA, the line states 10 CA"),
        (
            json!({"TotalQty": "9", "TotalQtyUOM": "EA"}),
            "line 1: the quantities of the schedules are in EA, the line's is in CA",
        ),
        // A total beside its dates.
        (
            json!([{"TotalQty": "10"}, {"TotalQty": "4", "Dates": {"DateTimeQualifier": "002", "Date": "2026-12-01"}},
                {"TotalQty": "6", "Dates": {"DateTimeQualifier": "002", "Date": "2026-12-08"}}]),
            "",
        ),
        // On hold: another quantity.
        (json!([{"TotalQty": "9", "QuantityQualifier": "02"}]), ""),
    ] {
        assert_eq!(with_schedules(schedules.clone()), wanted, "{schedules}");
    }
}

/// The quantities of a component's locations are those of one set, or of all.
#[test]
fn quantities_of_a_component_fit_its_own() {
    let read = |sdq: &str| attention(&read_x12(&["PO1*1*10*AS*55**VN*BOX", "SLN*1**I*2*EA*10***VN*JAM", sdq]));
    assert_eq!((read("SDQ*EA*92*1*12*2*8"), read("SDQ*EA*92*1*1*2*1")), (String::new(), String::new()));
    assert_eq!(
        read("SDQ*EA*92*1*12*2*7"),
        "line 1, component 1: the quantities of the locations add up to 19 EA, the component states 2 EA"
    );
}

/// Other totals of RSX: of a line, of the quantities, and the amounts of percentages.
#[test]
fn totals_and_percentages_of_rsx_fit() {
    let attention_of = |header: Value, fields: Value| {
        attention(&read_rsx(&header, &with_line_fields(plain_line(), &fields), &Value::Null))
    };
    let charge = |amount: &str, basis: &str| {
        json!({"ChargesAllowances": {"AllowChrgIndicator": "A", "AllowChrgAmt": amount, "AllowChrgPercent": "5",
            "PercentDollarBasis": basis}})
    };
    for (header, fields, wanted) in [
        (json!({}), json!({"ExtendedItemTotal": "50"}), ""),
        (
            json!({}),
            json!({"ExtendedItemTotal": "49"}),
            "line 1: quantity times price is 50, ExtendedItemTotal or MonetaryAmounts 1 states \"49\"",
        ),
        (
            json!({"QuantityTotals": {"QuantityTotalsQualifier": "SQT", "Quantity": "10", "QuantityUOM": "CA"}}),
            json!({}),
            "",
        ),
        (
            json!({"QuantityTotals": {"QuantityTotalsQualifier": "SQT", "Quantity": "12"}}),
            json!({}),
            "the quantities add up to 10, QuantityTotals states \"12\"",
        ),
        (charge("2.5", ""), json!({}), ""),
        (charge("100", "2000"), json!({}), ""),
        (charge("85.02", "2000"), json!({}), "5 % of 2000 is 100, the amount of the allowance is 85.02"),
        (
            json!({"Taxes": {"TaxAmount": "85", "TaxPercent": "8.5", "PercentDollarBasis": "2000"}}),
            json!({}),
            "8.5 % of 2000 is 170, the amount of the tax is 85",
        ),
    ] {
        assert_eq!(attention_of(header.clone(), fields.clone()), wanted, "{header} {fields}");
    }
}

/// An amount beside its percentage fits the lines, before or after the other allowances.
#[test]
fn amount_of_an_allowance_fits_its_percentage() {
    let line = "PO1*1*100*CA*5**VN*A1";
    for (segments, wanted) in [
        (&["SAC*A*C310***2500*3*5", line][..], ""),
        (&["SAC*A*C310***2000*3*5", line], "5 % of 500 is 25, the amount of the allowance discount (C310) is 20"),
        // The second percentage is of what the first one leaves.
        (&["SAC*A*C310***2500*3*5", "SAC*A*I170***4750*3*10", line], ""),
        // Another basis, and amounts of lines that are not certain, are not compared.
        (&["SAC*A*C310***2000*Z*5", line], ""),
        (&["SAC*A*C310***2000*3*5", "PO1*1*100*CA***VN*A1"], ""),
        (&[line, "SAC*A*C310***2500*3*5"], ""),
        (
            &[line, "SAC*A*C310***2000*3*5"],
            "line 1: 5 % of 500 is 25, the amount of the allowance discount (C310) is 20",
        ),
        (&[line, "SAC*C*D240***2500***0.25*CA*100"], ""),
        (
            &[line, "SAC*C*D240***2000***0.25*CA*100"],
            "line 1: 0.25 for each of 100 is 25, the amount of the charge freight (D240) is 20",
        ),
    ] {
        assert_eq!(attention(&read_x12(segments)), wanted, "{segments:?}");
    }
}

fn receive(order: PurchaseOrder, event_id: i64) -> ReceivedDocument {
    ReceivedDocument { order, event_id, document_position: 1, received_on: "2026-11-26".to_owned() }
}

/// Reads an 860 with these segments.
fn read_change(segments: &[&str]) -> PurchaseOrder {
    let begin = "BCH*04*SA*PO1***20261124*****20261125";
    let set: Vec<String> = std::iter::once(&begin).chain(segments).map(|text| (*text).to_owned()).collect();
    let document = file::read_edi_file(interchange("860", &[set]).as_bytes());
    document.documents[0].order.clone().unwrap_or_else(|| panic!("{:?}", document.all_faults().collect::<Vec<_>>()))
}

/// Folds an order of two lines, 500 and 40, with a change.
fn fold_change(change: PurchaseOrder) -> OrderState {
    let order = read_x12(&["PO1*1*100*CA*5**VN*A1", "PO1*2*10*CA*4**VN*A2", "CTT*2", "AMT*TT*540"]);
    fold_documents(&[receive(order, 1), receive(change, 2)], ChangeQuantities::Total)
}

/// The totals of a change are those of the change or of the order after it.
#[test]
fn totals_of_a_change_fit_the_change_or_the_order() {
    let line = "POC*1*QI*120*120*CA*5**VN*A1";
    for (segments, total, wanted) in [
        (&[line, "CTT*1*120", "AMT*TT*600"][..], "540", ""),
        (&[line, "CTT*2*130", "AMT*TT*640"], "640", ""),
        (&["POC*1*QI*120*120*CA***VN*A1", "CTT*1", "AMT*TT*600"], "540", ""),
        (&[line, "CTT*1", "AMT*TT*100"], "540", "the change adds"),
        (
            &[line, "CTT*1", "AMT*TT*700"],
            "700",
            "AMT*TT states \"700\": the lines of the change add up to 600, those of the order to 640",
        ),
        (&[line, "CTT*3"], "540", "CTT01 states \"3\": the change has 1 line, the order has 2 lines"),
        (
            &[line, "CTT*1*99"],
            "540",
            "CTT02 states \"99\": the quantities of the change add up to 120, those of the order to 130",
        ),
        (&["AMT*TT*540"], "540", "the change changes nothing"),
        (&["REF*DP*7", "AMT*TT*500"], "500", "AMT*TT states \"500\": the lines of the order add up to 540"),
        (&["POC*2*DI*10*0*CA*4**VN*A2", "CTT*1", "AMT*TT*500"], "500", ""),
        (&["POC*1*PC*100*100*CA***VN*A1", "AMT*TT*7"], "7", "not applied"),
    ] {
        let state = fold_change(read_change(segments));
        let found = state.attention().unwrap_or_default();
        if wanted == "the change adds" {
            // The difference that the change makes.
            assert_eq!(found, "", "{segments:?}");
        } else {
            assert!(found.contains(wanted) && found.is_empty() == wanted.is_empty(), "{segments:?}: {found}");
        }
        assert_eq!(state.order.stated_total.as_deref(), Some(total), "{segments:?}");
    }
}

/// The same in RSX.
#[test]
fn totals_of_a_change_in_rsx_fit_the_change_or_the_order() {
    let read = |summary: Value| {
        let tree = json!({"Header": {"OrderHeader": {"TradingPartnerId": "ACMERETAIL", "PurchaseOrderNumber": "PO1",
            "POChangeDate": "2026-11-25"}}, "LineItem": [{"OrderLine": {"LineSequenceNumber": "1",
            "LineChangeCode": "QI", "OrderQty": "120", "VendorPartNumber": "A1"}}], "Summary": summary});
        let document = file::read_edi_file(tree.to_string().as_bytes());
        fold_change(document.documents[0].order.clone().unwrap()).attention().unwrap_or_default()
    };
    assert_eq!(read(json!({"TotalAmount": "640", "TotalLineItemNumber": "2"})), "");
    assert_eq!(read(json!({"TotalAmount": "600", "TotalLineItemNumber": "1"})), "");
    let found = read(json!({"TotalAmount": "641", "TotalLineItemNumber": "3"}));
    assert!(found.contains("2 changes are unclear"), "{found}");
    assert!(found.contains("Summary/TotalLineItemNumber states \"3\""), "{found}");
}

/// An order without an open line that nobody cancelled.
#[test]
fn order_whose_lines_are_all_deleted_needs_attention() {
    let both = fold_change(read_change(&["POC*1*DI*100*0*CA*5**VN*A1", "POC*2*DI*10*0*CA*4**VN*A2"]));
    assert_eq!(both.status, OrderStatus::Open);
    assert_eq!(both.attention().as_deref(), Some("every line is deleted, but the order is not cancelled"));
    let one = fold_change(read_change(&["POC*1*DI*100*0*CA*5**VN*A1"]));
    assert_eq!(one.attention(), None);
}
