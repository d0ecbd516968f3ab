//! Documents that contradict themselves, and correct ones that look like it: dates, sums, ids, parts, envelopes.

use crate::support::edi_files::interchange;
use crate::support::order_parts::{attention, plain_line, read_rsx, read_x12, with_line_fields};
use novex_ingest::internals::edi::file;
use novex_ingest::internals::edi::purchase_order::PurchaseOrder;
use serde_json::{Value, json};

const LINE: &str = "PO1*1*10*CA*5**VN*A1";

fn check(cases: &[(&[&str], &str)]) {
    for (segments, wanted) in cases {
        assert_eq!(attention(&read_x12(segments)), *wanted, "{segments:?}");
    }
}

fn read_grocery(segments: &[&str]) -> PurchaseOrder {
    let set: Vec<String> =
        std::iter::once(&"G50*N*20261124*PO1").chain(segments).map(|text| (*text).to_owned()).collect();
    file::read_edi_file(interchange("875", &[set]).as_bytes()).documents.remove(0).order.unwrap()
}

#[test]
fn impossible_dates_need_attention() {
    check(&[
        (
            &["DTM*037*20261210", "DTM*038*20261201", LINE],
            "the order states ship not before (037) as 2026-12-10, and ship not later than (038) as 2026-12-01",
        ),
        (&["DTM*037*20261201", "DTM*038*20261201", "DTM*001*20261205", LINE], ""),
        (
            &["DTM*063*20261201", LINE, "DTM*064*20261210"],
            "line 1 states deliver not before (064) as 2026-12-10, and deliver not after (063) as 2026-12-01",
        ),
        (
            &["DTM*118****RD8*20261210-20261201", LINE],
            "the order states pickup requested (118) as a period from 2026-12-10 until 2026-12-01, which ends before it \
             begins",
        ),
        (
            &["DTM*001*20251101", LINE],
            "the order states cancel after (001) as 2025-11-01, long before the order of 2026-11-24",
        ),
        (&["DTM*002*20261120", "DTM*037*20200101", LINE], ""),
        (
            &["DTM*002*20261201***D8*20261215", LINE],
            "delivery requested (002) is 2026-12-01 in DTM02 and 2026-12-15 in DTM06",
        ),
        (&["DTM*002*20261201***D8*20261201", LINE], ""),
    ]);
    let grocery = |dates: &[&str]| {
        let segments = [dates, &["G68*10*CA*5*001234567890", "G76*10*CA******5000"]].concat();
        attention(&read_grocery(&segments))
    };
    assert_eq!(
        grocery(&["G62*02*20261201", "G62*02*20261207"]),
        "the order states delivery requested (02) as 2026-12-01 and 2026-12-07"
    );
    assert!(grocery(&["G62*37*20261210", "G62*38*20261201"]).starts_with("the order states ship not before (37)"));
    assert_eq!(grocery(&["G62*37*20261201", "G62*38*20261210"]), "");
    let mut line = with_line_fields(plain_line(), &json!({"ShipDate": "2026-12-03"}));
    line["Dates"] = json!({"DateTimeQualifier": "010", "Date": "2026-12-15"});
    let found = attention(&read_rsx(&json!({}), &line, &Value::Null));
    assert_eq!(found, "line 1 states ShipDate 2026-12-03 and the date 010 2026-12-15");
}

/// An allowance that is not invoiced is in no total, and a tax explains a total only by its amount.
#[test]
fn allowances_beside_the_invoice_and_taxes_fit_their_totals() {
    let off = "SAC*A*C310***300*******02";
    check(&[
        (&[off, "SAC*A*I170***200*******01", LINE, "CTT*1", "AMT*TT*47"], ""),
        // The code one element early.
        (&["SAC*A*C310***300******02", "SAC*A*I170***200******01", LINE, "CTT*1", "AMT*TT*47"], ""),
        (&[off, "SAC*C*D240***900*******05", LINE, "CTT*1", "AMT*TT*47"], ""),
        (&[off, "SAC*A*I170***200*******01", LINE, "CTT*1", "AMT*TT*45"], ""),
        (&[LINE, "SAC*A*C310***300*******02", "SAC*A*I170***200*******01", "CTT*1", "AMT*TT*47"], ""),
        (
            &[off, "SAC*A*I170***200*******01", LINE, "CTT*1", "AMT*TT*48"],
            "the lines add up to 50 (47 with allowances and charges), AMT*TT states \"48\"",
        ),
        (&["TXI*ST*4*8*****50", LINE, "CTT*1", "AMT*TT*54"], ""),
        (&["TXI*ST*4*8*****50", LINE, "CTT*1", "AMT*TT*999"], "the lines add up to 50, AMT*TT states \"999\""),
        (&["TXI*ST**8", LINE, "CTT*1", "AMT*TT*54"], ""),
        (&["TXI*ST**8", LINE, "CTT*1", "AMT*TT*99"], "the lines add up to 50, AMT*TT states \"99\""),
        (&[LINE, "TXI*ST*4", "CTT*1", "AMT*TT*54"], ""),
    ]);
    let total = |taxes: Value, total: &str| {
        attention(&read_rsx(&json!({"Taxes": taxes}), &plain_line(), &json!({"TotalAmount": total})))
    };
    let two = json!([{"TaxAmount": "4"}, {"TaxAmount": "1"}]);
    assert_eq!((total(json!({"TaxAmount": "4"}), "54"), total(two.clone(), "55")), (String::new(), String::new()));
    assert_eq!(total(two, "56"), "the lines add up to 50, Summary/TotalAmount states \"56\"");
}

#[test]
fn every_stated_total_fits_the_lines() {
    let free = "PO1*2*1*CA***VN*A2";
    check(&[
        (&["PO1*1*1.5*LB*10**VN*A1", "PO1*2*2.25*LB*4**VN*A2", "CTT*2*240"], ""),
        (&["PO1*1*1.5*LB*10**VN*A1", "PO1*2*2.25*LB*4**VN*A2", "CTT*2*375"], ""),
        (
            &["PO1*1*1.5*LB*10**VN*A1", "PO1*2*2.25*LB*4**VN*A2", "CTT*2*241"],
            "the quantities add up to 3.75, CTT02 states \"241\"",
        ),
        (&[LINE, "PO1*2*5*CA*5**VN*A2", "CTT*2*150"], "the quantities add up to 15, CTT02 states \"150\""),
        (&[LINE, free, "CTT*2", "AMT*TT*70"], ""),
        (
            &[LINE, free, "CTT*2", "AMT*TT*49"],
            "the lines with a certain amount alone add up to 50, AMT*TT states \"49\"",
        ),
        (&[LINE, "CTT*1", "AMT*TT*99", "AMT*TT*50"], "the lines add up to 50, AMT*TT states \"99\""),
        (
            &[LINE, "CTT*1", "CTT*7*99"],
            "a second CTT states 7 in CTT01, the first one 1; a second CTT states 99 in CTT02, the first one no value",
        ),
        (&[LINE, "CTT*1", "AMT*GV*99"], "the lines add up to 50, AMT*GV states \"99\""),
        (&[LINE, "AMT*LI*77", "CTT*1"], "line 1: quantity times price is 50, AMT*LI states \"77\""),
        (&[LINE, "AMT*LI*5", "CTT*1", "AMT*GV*50"], ""),
        (
            &["ITD*01*3*2**10**30*99900", LINE, "CTT*1"],
            "2 % of 50 is 1, the amount of the discount of the terms is 999",
        ),
        (&["ITD*01*3*2**10**30*100", LINE, "CTT*1"], ""),
    ]);
    let order = |header: Value, summary: Value| attention(&read_rsx(&header, &plain_line(), &summary));
    let amounts = |amount: &str| json!({"MonetaryAmounts": {"MonetaryAmountCode": "TT", "MonetaryAmount": amount}});
    assert_eq!(order(amounts("50"), Value::Null), "");
    assert!(order(amounts("99"), Value::Null).contains("the lines add up to 50"));
    assert!(
        order(json!({}), json!({"TotalAmount": "50", "TotalSalesAmount": "99"})).contains("TotalSalesAmount states")
    );
    let grocery = read_grocery(&["G68*10*CA*5*001234567890", "G72*10*02***1*10*CA*99900", "G76*10*CA******5000"]);
    assert!(attention(&grocery).contains("1 for each of 10 is 10, the amount of the allowance or charge"));
}

#[test]
fn parts_that_contradict_each_other_need_attention() {
    check(&[
        (&["PO1*1*10*CA*5**BP*B1*BP*B9"], "line 1 states several values of the buyer's part (BP): B1 and B9"),
        (&["PO1*1*10*CA*5**UP*012345678905*UP*12345678905"], ""),
        (&[LINE, "LIN**VN*A9"], "line 1 states several values of the vendor's item (VN): A1 and A9"),
        (
            &["FOB*CC", "FOB*PP", LINE],
            "the order states several payers of the freight: freight collect (CC) and freight prepaid by the seller (PP)",
        ),
        (
            &["N1*ST*DC 5*92*1", "N4*COLUMBUS*OH*43217", "N1*ST*DC 5*92*1", "N4*MIAMI*FL*33101", LINE],
            "the order states DC 5, COLUMBUS, OH and DC 5, MIAMI, FL for ship to (ST) 1",
        ),
        (&["N1*ST*DC 5*92*1", "N1*ST*DC 5*92*1", "N4*MIAMI*FL*33101", LINE], ""),
        (&["N1*ST*A*92*1", "N1*ST*B*92*2", LINE, "SDQ*CA*92*1*4*2*6"], ""),
        (
            &["N1*ST*A*92*1", "N1*ST*B*92*2", LINE, "SDQ*CA*92*1*10"],
            "the order has several places to ship to: ST 1 and ST 2",
        ),
        (&["REF*DP*10", "N1*ST*A*92*1", "REF*DP*12", LINE], "the department is 10, and ST 1 states the department 12"),
        (&[LINE, "SLN*1**I*-2*EA****VN*JAM"], "line 1 has the component 1 with the quantity -2"),
        (&[LINE, "SLN*1**I******VN*JAM"], "line 1 has the component 1 without a quantity"),
        (&["SAC*A*ZZZZ***-3000", LINE], "the order states an allowance ZZZZ of -30"),
        (&["SAC*A*ZZZZ****3*500", LINE], "the order states an allowance ZZZZ of 500 %"),
        (
            &["ITD*01*3*2**60**30", LINE],
            "the order states terms with a discount for 60 days, and the whole amount in 30 days",
        ),
        (
            &["ITD*01*3*2*20261231**20261201", LINE],
            "the order states terms with a discount until 2026-12-31, and the whole amount on 2026-12-01",
        ),
        (&[LINE, "PO4*6*12*OZ***********24"], ""),
    ]);
}

/// Values of the envelope are kept, a password is not repeated, and another sender of the group is no fault.
#[test]
fn envelope_values_are_extras() {
    let text = interchange("850", &[vec!["BEG*00*SA*PO1**20261124".to_owned(), LINE.to_owned()]]);
    let text = text.replace("ISA*00*          *00*          *", "ISA*03*APPDATA123*01*SECRET9   *");
    let text = text.replace("*ACMERETAIL*NOVEX*2026", "*ACMEDEPT7*NOVEX*2026");
    let order = file::read_edi_file(text.as_bytes()).documents.remove(0).order.unwrap();
    let extras: Vec<_> = order.extras.iter().map(|extra| (extra.location.as_str(), extra.value.as_str())).collect();
    let wanted = [("ISA02", "APPDATA123"), ("ISA04", "7 characters, which only the file has"), ("GS02", "ACMEDEPT7")];
    assert_eq!((extras.as_slice(), attention(&order)), (&wanted[..], String::new()));
}
