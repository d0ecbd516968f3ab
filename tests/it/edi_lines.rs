//! What makes a line unclear, in X12 and in RSX: prices for a quantity, values out of place, repeated lines,
//! currencies, and totals that senders state in their own ways.

use crate::support::order_parts::{attention, fold, plain_line, read_rsx, read_x12, with_line_fields};
use serde_json::{Value, json};

const LINE: &str = "PO1*1*50*CA*10**VN*A1";

/// The quantity and the multiplier of a price count. What they mean is taken only if it is certain.
#[test]
fn price_for_a_quantity_is_not_taken_for_one_unit() {
    let rsx = |quantity: &str, prices: Value| {
        let fields = json!({"PurchasePrice": null, "OrderQty": quantity});
        let mut line = with_line_fields(plain_line(), &fields);
        line["PriceInformation"] = prices;
        read_rsx(&json!({}), &line, &Value::Null)
    };
    let row = |price: &str, quantity: &str| json!({"PriceTypeIDCode": "UCP", "UnitPrice": price, "Quantity": quantity, "QuantityUOM": "CA"});
    let discounted =
        json!([{"PriceTypeIDCode": "UCP", "UnitPrice": "10", "PriceMultiplierQual": "DIS", "PriceMultiplier": "0.9"}]);
    for (order, price, total, finding) in [
        (read_x12(&["PO1*1*200*CA***VN*A1", "CTP**UCP*50*100*CA"]), None, None, "states the price 50"),
        (rsx("200", json!([row("50", "100")])), None, None, "states the price 50"),
        (read_x12(&["PO1*1*150*CA***VN*A1", "CTP**UCP*10*1*CA", "CTP**UCP*9*100*CA"]), Some("9"), Some("1350"), ""),
        (rsx("150", json!([row("10", "1"), row("9", "100")])), Some("9"), Some("1350"), ""),
        (read_x12(&["PO1*1*10*CA***VN*A1", "CTP**UCP*10*1*CA*DIS*.9"]), Some("9"), Some("90"), ""),
        (rsx("150", discounted), Some("9"), Some("1350"), ""),
        (
            read_x12(&["PO1*1*10*CA***VN*A1", "CTP**UCP*10*1*CA*CSD*.9"]),
            None,
            None,
            "states the price 10 (unit cost price (UCP)) with the multiplier 0.9 (CSD): the price is not taken",
        ),
    ] {
        let state = fold(&order);
        let (found, attention) = (order.lines[0].price.as_deref(), attention(&order));
        assert_eq!((found, state.open_lines_total().as_deref()), (price, total), "{attention}");
        assert!(attention.contains(finding) && attention.is_empty() == finding.is_empty(), "{attention}");
    }
}

/// An element that is left out without its separator moves all that follow.
#[test]
fn values_out_of_place_are_read_from_where_they_are() {
    let order = read_x12(&["PO1*1*10*5**VN*A1"]);
    let line = &order.lines[0];
    assert_eq!((line.unit.as_deref(), line.price.as_deref(), line.vendor_item()), (None, Some("5"), Some("A1")));
    assert_eq!((line.price_basis.as_deref(), attention(&order).as_str()), (None, "line 1 has no unit"));
    // A number may be a unit: nothing is out of place here.
    let odd = read_x12(&["PO1*1*10*01*5**VN*A1"]);
    assert_eq!((odd.lines[0].unit.as_deref(), attention(&odd)), (Some("01"), String::new()));
    // A short id without the basis before it.
    let short = read_x12(&["PO1*1*10*CA*5*VN*A1"]);
    assert_eq!((short.lines[0].vendor_item(), short.lines[0].price_basis.as_deref()), (Some("A1"), None));
    let kit = read_x12(&[LINE, "SLN*1**I*2*EA***VN*JAM", "SLN*2**I*2*EA****VN*B1"]);
    let items: Vec<_> = kit.lines[0].components.iter().map(|part| (part.vendor_item(), part.unit.as_deref())).collect();
    assert_eq!(items, [(Some("JAM"), Some("EA")), (Some("B1"), Some("EA"))]);
    let further = read_x12(&["PO1*1*10*CA*5", "LIN*VN*A1*UP*012345678905"]);
    assert_eq!((further.lines[0].vendor_item(), further.lines[0].upc()), (Some("A1"), Some("012345678905")));
}

/// Quantities and prices that no order means, and lines that are there twice.
#[test]
fn lines_that_no_order_means_need_attention() {
    let second = "PO1*2*20*CA*5**VN*B2";
    for (segments, wanted) in [
        (&["PO1*1*0*CA*10**VN*A1"][..], "line 1 has the quantity 0"),
        (&["PO1*1*-5*CA*10**VN*A1"], "line 1 has the quantity -5"),
        (&["PO1*1*5*CA*-10**VN*A1"], "line 1 has the price -10"),
        (&["PO1*1*5*CA*0**VN*A1"], ""),
        (&["PO1*1*5**10**VN*A1"], "line 1 has no unit"),
        (&[LINE, LINE], "line 1 is stated 2 times with the same values"),
        (&[LINE, "PO1*1*20*CA*5**VN*B2"], "several lines have the number 1: vendor A1 and vendor B2"),
        (&["PO1**5*CA*10**VN*A1", "PO1**5*CA*10**VN*A1"], "line #1 is stated 2 times with the same values"),
        (&["PO1**5*CA*10**VN*A1", "PO1**6*CA*10**VN*A1"], ""),
        (&[LINE, "SDQ*CA*92*1*60*2*-10"], "line 1: a quantity of the locations is -10"),
        (&[LINE, "PO4*12", "SDQ*EA*92*1*240*2*360"], ""),
        (
            &[LINE, "PO4*12", "SDQ*EA*92*1*240*2*240"],
            "line 1: the quantities of the locations are in EA, the line's is in CA",
        ),
        (&[LINE, "AMT*TT*500", second], ""),
        (&[LINE, "AMT*TT*499", second], "line 1: quantity times price is 500, AMT*TT states \"499\""),
        (&[LINE, second, "AMT*TT*600"], ""),
        (&[LINE, second, "AMT*TT*599"], "line 2: quantity times price is 100, AMT*TT states \"599\""),
        (&[LINE, "SAC*A*C310***2500", "AMT*1*475", "CTT*1"], ""),
        (&["SAC*A*C310******2*CA*50*02", LINE, second, "CTT*2", "AMT*TT*500"], ""),
        (&[LINE, "SAC*A*C310******0.25*CA*50", second, "CTT*2", "AMT*TT*587.50"], ""),
        (&[LINE, "TXI*GS*25", "CTT*1", "AMT*TT*525"], ""),
        (&[LINE, "CUR*BY*USD"], ""),
        (&["CUR*BY*USD", LINE, "CUR*BY*CAD", second], "line 1: its currency is CAD, that of the order is USD"),
    ] {
        assert_eq!(attention(&read_x12(segments)), wanted, "{segments:?}");
    }
}

#[test]
fn totals_are_in_one_currency_and_in_cents() {
    let header = json!({"OrderHeader": {"BuyersCurrency": "USD"}});
    let read = |fields: &Value| read_rsx(&header, &with_line_fields(plain_line(), fields), &Value::Null);
    let own = read(&json!({"BuyersCurrency": "CAD"}));
    assert_eq!(fold(&own).open_lines_total(), None);
    assert_eq!(attention(&own), "line 1: its currency is CAD, that of the order is USD");
    let same = read(&json!({"BuyersCurrency": "USD"}));
    assert_eq!((fold(&same).open_lines_total().as_deref(), attention(&same)), (Some("50"), String::new()));
    let dozens = read_x12(&["PO1*1*50*EA*10*DZ*VN*A1"]);
    assert_eq!(fold(&dozens).open_lines_total().as_deref(), Some("41.67"));
}

/// A field of the header and a reference of the order that name two vendors.
#[test]
fn fields_and_references_that_differ_need_attention() {
    let read = |vendor: &str, reference: &str| {
        let header = json!({"OrderHeader": {"Vendor": vendor},
            "References": [{"ReferenceQual": "IA", "ReferenceID": reference}]});
        read_rsx(&header, &plain_line(), &Value::Null)
    };
    assert_eq!(attention(&read("V1", "V1")), "");
    assert_eq!(attention(&read("V1", "V2")), "the vendor is V1, and the reference IA states V2");
}
