//! Values of an order that contradict each other, and values that belong to one of several meanings.

use crate::support::order_parts::{attention, plain_line, read_rsx, read_x12, with_line_fields};
use serde_json::{Value, json};

const LINE: &str = "PO1*1*10*CA*5**VN*A1";

fn check(cases: &[(&[&str], &str)]) {
    for (segments, wanted) in cases {
        assert_eq!(attention(&read_x12(segments)), *wanted, "{segments:?}");
    }
}

#[test]
fn conflicts_of_an_order_need_attention() {
    check(&[
        (&["N1*ST*One*92*1", "N1*ST*Two*92*2", LINE], "the order has several places to ship to: ST 1 and ST 2"),
        (&["N1*ST*One*92*1", "N1*BT*Two*92*2", LINE], ""),
        (
            &["DTM*002*20261201", "DTM*002*20261205", LINE],
            "the order states delivery requested (002) as 2026-12-01 and 2026-12-05",
        ),
        (&["DTM*002*20261201", "DTM*010*20261130", "DTM*002*20261201", LINE], ""),
        (
            &[LINE, "DTM*063*20261201", "DTM*063*20261205"],
            "line 1 states deliver not after (063) as 2026-12-01 and 2026-12-05",
        ),
        (&[LINE, "PO1*1*5*CA*5**VN*A2"], "several lines have the number 1: vendor A1 and vendor A2"),
        (&[LINE, "PO1*001*5*CA*5**VN*A2"], "several lines have the number 1: vendor A1 and vendor A2"),
        (&[LINE, "PO1*1*5*CA*5**VN*A1"], ""),
        (&["PO1*1*-5*CA*5**VN*A1"], "line 1 has the quantity -5"),
        (&["PO1*1*0*CA*5**VN*A1"], "line 1 has the quantity 0"),
        (&["PO1*1*1*CA*-5**VN*A1"], "line 1 has the price -5"),
        (&["CUR*BY*USD", LINE, "CUR*SE*CAD"], "line 1: its currency is CAD, that of the order is USD"),
        (&["CUR*BY*USD", "CUR*BY*CAD", LINE], "the order states the currencies USD and CAD"),
        (&[LINE, "AMT*TT*99"], "line 1: quantity times price is 50, AMT*TT states \"99\""),
        (&[LINE, "PO1*2*1*CA*5**VN*A2", "AMT*TT*55"], ""),
        (&["TXI*ST*8.5*8.5*****100", LINE], ""),
        (&["TXI*ST*9.5*8.5*****100", LINE], "8.5 % of 100 is 8.5, the amount of the tax is 9.5"),
    ]);
    let header = json!({"OrderHeader": {"BuyersCurrency": "USD"}});
    let line = with_line_fields(plain_line(), &json!({"BuyersCurrency": "CAD"}));
    let found = attention(&read_rsx(&header, &line, &Value::Null));
    assert_eq!(found, "line 1: its currency is CAD, that of the order is USD");
}

/// The buyer's currency is the order's, wherever it is.
#[test]
fn currency_of_another_party_is_not_the_orders() {
    let order = read_x12(&["CUR*SE*CAD", "CUR*BY*USD", LINE]);
    assert_eq!((order.currency.as_deref(), attention(&order)), (Some("USD"), String::new()));
    let extras: Vec<_> = order.extras.iter().map(|extra| (extra.location.as_str(), extra.value.as_str())).collect();
    assert_eq!(extras, [("CUR01", "SE"), ("CUR02", "CAD")]);
    assert_eq!(read_x12(&["CUR*SE*CAD", LINE]).currency.as_deref(), Some("CAD"), "the only one that is stated");
}

/// Tiers and multipliers of a price.
#[test]
fn price_of_another_quantity_is_not_the_lines() {
    let price = |segments: &[&str]| {
        let order = read_x12(segments);
        (order.lines[0].price.clone().unwrap_or_default(), attention(&order))
    };
    let found = |price: &str, attention: &str| (price.to_owned(), attention.to_owned());
    let (low, high) = ("CTP**UCP*4.50*100*CA", "CTP**UCP*5*1*CA");
    assert_eq!(price(&["PO1*1*10*CA***VN*A1", low, high]), found("5", ""));
    assert_eq!(price(&["PO1*1*100*CA***VN*A1", high, low]), found("4.5", ""));
    assert_eq!(price(&["PO1*1*10*CA*5**VN*A1", low]), found("5", ""));
    assert_eq!(
        price(&["PO1*1*10*CA***VN*A1", low]),
        found(
            "",
            "line 1 states the price 4.5 (unit cost price (UCP)) for 100 CA, and not whether it is for each of them: the price is not taken"
        )
    );
    assert_eq!(price(&["PO1*1*10*CA***VN*A1", "CTP**UCP*5***DIS*.9"]), found("4.5", ""));
    let multiplied =
        "line 1 states the price 5 (unit cost price (UCP)) with the multiplier 0.9: the price is not taken";
    let mut line = with_line_fields(plain_line(), &json!({"PurchasePrice": null}));
    line["PriceInformation"] = json!({"PriceTypeIDCode": "UCP", "UnitPrice": "5", "PriceMultiplier": "0.9"});
    assert_eq!(attention(&read_rsx(&json!({}), &line, &Value::Null)), multiplied);
}

/// Quantities below a line: of locations and dates together, of kinds, and of the addresses below the line.
#[test]
fn quantities_below_a_line_are_compared() {
    check(&[
        (&[LINE, "SCH*4*CA*ST*0012*002*20261201", "SCH*6*CA***002*20261208"], ""),
        (&[LINE, "QTY*21*10*CA"], ""),
        (&[LINE, "QTY*21*12*CA"], "line 1: the quantities of the schedules add up to 12 CA, the line states 10 CA"),
        (&[LINE, "QTY*38*12*CA"], ""),
        (&[LINE, "N1*ST*One*92*1", "QTY*21*4*CA", "N1*ST*Two*92*2", "QTY*21*6*CA"], ""),
        (
            &[LINE, "N1*ST*One*92*1", "SCH*4*CA***002*20261201", "N1*ST*Two*92*2", "SCH*5*CA***002*20261201"],
            "line 1: the quantities of the locations add up to 9 CA, the line states 10 CA",
        ),
    ]);
    let order = read_x12(&[LINE, "N1*ST*One*92*1", "QTY*21*10*CA"]);
    let schedule = &order.lines[0].schedules[0];
    assert_eq!((schedule.location.as_deref(), schedule.location_qualifier.as_deref()), (Some("1"), Some("92")));
}

/// An extra names the address that it belongs to, and no address that ended before it.
#[test]
fn extra_behind_an_address_does_not_name_it() {
    let order = read_x12(&[LINE, "SLN*1**I*2*EA****VN*J1", "N1*MF*Maker*92*77", "SLN*2*1*I*2*EA****VN*J2"]);
    assert_eq!(order.lines[0].components[1].extras[0].name.as_deref(), Some("component 2"));
    let order = read_x12(&["N1*ST*One*92*1", "N9*L1*GEN**20261124", LINE]);
    assert_eq!(order.extras[0].name.as_deref(), Some("reference L1"));
}
