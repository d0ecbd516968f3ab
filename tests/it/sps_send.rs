//! Outbound invoices and ship notices: a document that fits its order is written in the order's format and queued once;
//! others are refused.

use crate::support::Home;
use crate::support::edi_files::{change_set, interchange, order_set};
use crate::support::outbound_documents::{home_with_order, invoice, receive_file, send_document, ship_notice};
use novex_ingest::internals::edi::rsx::tree;
use serde_json::{Value, json};
use std::fs;

fn sent_text(home: &Home, name: &str) -> String {
    fs::read_to_string(home.path("out").join(name)).unwrap_or_else(|error| {
        let there: Vec<_> = fs::read_dir(home.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        panic!("{name}: {error}; there are {there:?}")
    })
}

#[test]
fn invoice_is_checked_written_and_sent_once() {
    let home = home_with_order(&interchange("850", &[order_set("PO1", 2)]));
    let (code, printed) = send_document(&home, "810", &invoice("INV-1"), &["--check"]);
    assert!(code == 0 && printed.contains("TDS*29100~"), "{printed}");
    assert_eq!(home.sql("SELECT count(*) FROM edi_sent"), "0", "--check sends nothing");
    let (code, printed) = send_document(&home, "810", &invoice("INV-1"), &[]);
    assert_eq!((code, printed.contains("is queued: 810-ACMERETAIL-INV-1")), (0, true), "{printed}");
    home.run_ok(&["work", "--once"]);
    let name = home.sql("SELECT file_name FROM edi_sent");
    let text = sent_text(&home, &name);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("*ZZ*NOVEX          *ZZ*ACMERETAIL     *"), "{text}");
    assert!(lines[1].starts_with("GS*IN*NOVEX*ACMERETAIL*"), "{text}");
    assert_eq!(
        &lines[2..lines.len() - 2],
        [
            "ST*810*0001~",
            "BIG*20261125*INV-1*20261124*PO1***DR~",
            "REF*DP*019~",
            "REF*BM*BOL-1~",
            "N1*RI*Muller & Sohne~",
            "N3*Dock 1~",
            "N4*Columbus*OH*43217~",
            "N1*ST*Acme DC 5*92*0005~",
            "DTM*011*20261124~",
            "IT1*1*10*CA*19.95**BP*B1*VN*V1*UK*10614141000011~",
            "PID*F****Jam 1~",
            "IT1*2*5*CA*19.95**BP*B2*VN*V2*UK*10614141000012~",
            "PID*F****Jam 2~",
            "TDS*29100~",
            "TXI*ST*1~",
            "CAD*M***RBTC~",
            "SAC*A*C310***925*******02~",
            "ISS*15*CA~",
            "CTT*2~",
            "SE*20*0001~",
        ]
    );
    // A repetition is recognised, other content under the same number is refused, and the remaining quantity can be
    // invoiced.
    assert!(send_document(&home, "810", &invoice("INV-1"), &[]).1.contains("was sent before"));
    let mut other = invoice("INV-1");
    other["invoice_date"] = json!("2026-11-26");
    assert!(send_document(&home, "810", &other, &[]).1.contains("give it a number of its own"));
    let (code, printed) = send_document(&home, "810", &invoice("INV-2"), &[]);
    assert!(
        code == 1 && printed.contains("order PO1, line 1: 10 were ordered and 10 already invoiced; this adds 10 more"),
        "{printed}"
    );
    let rest = json!({
        "invoice_number": "INV-3", "invoice_date": "2026-11-25", "purchase_order": "PO1", "lines": [{"line": "002", "quantity": 15}], "total": "299.25"
    });
    assert_eq!(send_document(&home, "810", &rest, &[]).0, 0);
    home.run_ok(&["work", "--once"]);
    assert_eq!(
        home.sql("SELECT DISTINCT last FROM edi_control_numbers"),
        "3",
        "997, 810, 810: no number repeated or skipped"
    );
    let paper = home.run_ok(&["sps", "show", "PO1"]);
    assert!(paper.contains("invoice INV-1 of 291, sps-outgoing: delivered"), "{paper}");
}

#[test]
fn mismatch_is_refused_with_the_difference() {
    let home = home_with_order(&interchange("850", &[order_set("PO1", 2)]));
    let with = |path: &[&str], value: Value| {
        let mut document = invoice("INV-1");
        let mut place = &mut document;
        for part in path {
            place = match part.parse::<usize>() {
                Ok(index) => &mut place[index],
                Err(_) => &mut place[*part],
            };
        }
        *place = value;
        document
    };
    for (document, wanted) in [
        (with(&["total"], json!(290.99)), "and taxes (1.00) add up to 291.00 (0.01 too little)"),
        (with(&["lines", "0", "price"], json!("20")), "line 1: the price is 20, but the order has 19.95"),
        (with(&["lines", "0", "unit"], json!("EA")), "line 1: the unit is EA, but the order has CA"),
        (with(&["lines", "0", "line"], json!("9")), "order PO1 has no line 9; its lines are 1 and 2"),
        (with(&["lines", "0", "amount"], json!(199)), "the amount is 199, but 10 times 19.95 is 199.5"),
        (with(&["lines", "0", "quantity"], json!(0)), "the quantity 0 must be more than 0"),
        (with(&["lines", "0", "quantity"], json!("1e99")), "is not a decimal number"),
        (with(&["lines", "1", "quantity"], json!(21)), "20 were ordered, but 21 invoiced"),
        (with(&["invoice_number"], json!("A*B")), "cannot be sent"),
        (with(&["invoice_date"], json!("25.11.2026")), "is not a date"),
        (with(&["purchase_order"], json!("PO9")), "there is no purchase order PO9"),
        (with(&["partner"], json!("OTHER")), "there is no purchase order PO1"),
        (with(&["totl"], json!(1)), "unknown fields: totl"),
        (with(&["addresses", "0", "street"], json!("x")), "unknown fields: addresses.0.street"),
        (with(&["allowances", "0", "amount"], json!(-9.25)), "C310: the amount must be more than 0"),
        (with(&["lines"], json!([])), "it has no lines"),
    ] {
        let (code, printed) = send_document(&home, "810", &document, &[]);
        assert!(code == 1 && printed.contains(wanted), "{wanted}: {printed}");
    }
    // `--force` overrides a price, never a wrong total.
    let dear = json!({
        "invoice_number": "INV-8", "invoice_date": "2026-11-25", "purchase_order": "PO1",
        "lines": [{"line": "1", "quantity": 11, "price": 20}], "total": "220"
    });
    assert_eq!(send_document(&home, "810", &dear, &[]).0, 1);
    assert_eq!(send_document(&home, "810", &dear, &["--force"]).0, 0);
    let mut wrong = dear.clone();
    wrong["invoice_number"] = json!("INV-9");
    wrong["total"] = json!(221);
    assert!(send_document(&home, "810", &wrong, &["--force"]).1.contains("(1.00 too much)"));
    // Removed lines and cancelled orders are neither shipped nor invoiced.
    receive_file(&home, &interchange("860", &[change_set("PO1", "1", &["POC*2*DI*0**CA"])]));
    assert!(send_document(&home, "856", &ship_notice("SH-1"), &[]).1.contains("line 2 was cancelled"));
    receive_file(&home, &interchange("860", &[vec!["BCH*01*SA*PO1***20261124".to_owned()]]));
    assert!(send_document(&home, "856", &ship_notice("SH-1"), &[]).1.contains("the purchase order PO1 was cancelled"));
    assert_eq!(home.sql("SELECT group_concat(number) FROM edi_sent"), "INV-8");
    // Without an outgoing directory no document is accepted.
    home.configure("[sps]\n");
    assert!(send_document(&home, "810", &dear, &[]).1.contains("no document can reach the partner"));
}

#[test]
fn ship_notice_has_its_hierarchy() {
    let home = home_with_order(&interchange("850", &[order_set("PO1", 2)]));
    let (code, printed) = send_document(&home, "856", &ship_notice("SH-1"), &[]);
    assert_eq!(code, 0, "{printed}");
    home.run_ok(&["work", "--once"]);
    let text = sent_text(&home, &home.sql("SELECT file_name FROM edi_sent"));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].starts_with("GS*SH*NOVEX*ACMERETAIL*"), "{text}");
    assert!(lines[3].starts_with("BSN*00*SH-1*20") && lines[3].ends_with("*0001~"), "{text}");
    let expected = "HL*1**S~ TD1*PLT*1****G*61.5*LB~ TD1*CTN*2~ TD5*B*2*RBTC*M~ REF*CN*P-77~ DTM*011*20261124*1430~ N1*ST*Acme DC 5*92*0005~ \
                    HL*2*1*O~ PRF*PO1***20261124~ TD1*PLT*1~ TD1*CTN*2~ REF*DP*019~ HL*3*2*T~ MAN*GM*00008627140000045018~ HL*4*3*P~ MAN*GM*00008627140000045025~ \
                    HL*5*4*I~ LIN*1*BP*B1*VN*V1*UK*10614141000011~ SN1*1*4*CA**10*CA~ PID*F****Jam 1~ REF*LT*L-9~ DTM*036*20270601~ \
                    HL*6*4*I~ LIN*2*BP*B2*VN*V2*UK*10614141000012~ SN1*2*20*CA**20*CA~ PID*F****Jam 2~ HL*7*2*P~ MAN*CP*1Z999~ \
                    HL*8*7*I~ LIN*1*BP*B1*VN*V1*UK*10614141000011~ SN1*1*6*CA**10*CA~ PID*F****Jam 1~ CTT*8~ SE*36*0001~";
    assert_eq!(lines[4..lines.len() - 2].join(" "), expected);
    assert_eq!(home.sql("SELECT line, quantity FROM edi_sent_lines ORDER BY ordinal"), "1|4\n2|20\n1|6");
    for (change, wanted) in [
        (
            json!({"sscc": "008627140000045018", "lines": [{"line": "1", "quantity": 1}], "kind": "carton"}),
            "on two packs",
        ),
        (
            json!({"sscc": "008627140000045019", "lines": [{"line": "1", "quantity": 1}], "kind": "carton"}),
            "check digit is wrong",
        ),
        (json!({"lines": [{"line": "1", "quantity": 1}], "kind": "carton"}), "neither sscc nor tracking"),
        (json!({"sscc": "157035381410375177", "kind": "pallet"}), "a pallet of order PO1 is empty"),
        (
            json!({"tracking": "1Z1", "kind": "carton", "packs": [{"tracking": "1Z2", "kind": "carton"}]}),
            "a carton contains no packs",
        ),
    ] {
        let mut document = ship_notice("SH-2");
        document["orders"][0]["packs"].as_array_mut().unwrap().push(change);
        let (code, printed) = send_document(&home, "856", &document, &["--check"]);
        assert!(code == 1 && printed.contains(wanted), "{wanted}: {printed}");
    }
}

/// An RSX order is answered in RSX, with the elements of SPS's own samples.
#[test]
fn rsx_order_is_answered_in_rsx() {
    let line = |number: &str, quantity: u32| {
        json!({"OrderLine": {"LineSequenceNumber": number, "BuyerPartNumber": format!("B{number}"), "VendorPartNumber": format!("V{number}"),
               "GTIN": "10614141000011", "OrderQty": quantity, "OrderQtyUOM": "CA", "PurchasePrice": 19.95}})
    };
    let order = json!({
        "Header": {"OrderHeader": {"TradingPartnerId": "ACMERETAIL", "PurchaseOrderNumber": "PO1", "PurchaseOrderDate": "2026-11-24",
                                   "Vendor": "VEND1", "Department": "019"},
                   "Address": [{"AddressTypeCode": "ST", "AddressName": "Acme <DC> 5", "AddressLocationNumber": "0005", "LocationCodeQualifier": "92"}]},
        "LineItem": [line("1", 10), line("2", 20)]
    });
    let home = home_with_order(&order.to_string());
    for (kind, document) in [("810", invoice("INV-1")), ("856", ship_notice("SH-1"))] {
        let (code, printed) = send_document(&home, kind, &document, &[]);
        assert_eq!(code, 0, "{printed}");
    }
    home.run_ok(&["work", "--once"]);
    let names = home.sql("SELECT group_concat(file_name, ' ') FROM (SELECT file_name FROM edi_sent ORDER BY kind)");
    let (invoice_name, shipment_name) = names.split_once(' ').unwrap();
    assert!(invoice_name.starts_with("IN-ACMERETAIL-INV-1") && invoice_name.contains(".json"), "{names}");
    let written: Value = serde_json::from_str(&sent_text(&home, invoice_name)).unwrap();
    assert_eq!(written["Header"]["InvoiceHeader"]["TradingPartnerId"], "ACMERETAIL");
    assert_eq!(written["LineItem"][1]["InvoiceLine"]["InvoiceQty"].to_string(), "5");
    assert_eq!(written["LineItem"][1]["InvoiceLine"]["ExtendedItemTotal"].to_string(), "99.75");
    assert_eq!(
        written["Summary"],
        json!({"TotalAmount": 291, "TotalSalesAmount": 299.25, "TotalAllowancesAmount": 9.25, "TotalLineItemNumber": 2})
    );
    let notice: Value = serde_json::from_str(&sent_text(&home, shipment_name)).unwrap();
    let pallet = &notice["OrderLevel"][0]["PackLevel"][0];
    assert_eq!(pallet["Pack"], json!({"PackLevelType": "T", "ShippingSerialID": "00008627140000045018"}));
    assert_eq!(
        pallet["PackLevel"][0]["ItemLevel"][0]["References"][0],
        json!({"ReferenceQual": "LT", "ReferenceID": "L-9"})
    );
    assert_eq!(notice["Summary"], json!({"TotalOrders": 1, "TotalLineItemNumber": 3}));
    // SPS's own samples have every written element at the same place.
    if let Some(folder) = std::env::var_os("NOVEX_SAMPLES") {
        let folder = std::path::Path::new(&folder).join("sps-rsx-json");
        let sample =
            |name: &str| fs::read_to_string(folder.join(name)).unwrap().trim_start_matches('\u{feff}').to_owned();
        for (written, name) in [(&written, "v777-Invoices-sample.json"), (&notice, "v777-Shipments-sample.json")] {
            let known = name_paths(&serde_json::from_str(&sample(name)).unwrap());
            // Cartons on a pallet are packs in a pack.
            let flat = |path: &String| path.replace("/PackLevel/PackLevel", "/PackLevel");
            let strange: Vec<String> =
                name_paths(written).iter().map(flat).filter(|path| !known.contains(path)).collect();
            assert_eq!(strange, Vec::<String>::new(), "{name}");
        }
    }
    // In XML if the order is XML.
    let xml = format!(
        "<Orders xmlns='http://www.spscommerce.com/RSX'><Order><Header><OrderHeader><TradingPartnerId>XMLRETAIL</TradingPartnerId>\
         <PurchaseOrderNumber>PO2</PurchaseOrderNumber></OrderHeader></Header>{}</Order></Orders>",
        "<LineItem><OrderLine><LineSequenceNumber>1</LineSequenceNumber><OrderQty>3</OrderQty><OrderQtyUOM>EA</OrderQtyUOM>\
         <PurchasePrice>2</PurchasePrice></OrderLine></LineItem>"
    );
    receive_file(&home, &xml);
    let small = json!({"invoice_number": "X1", "invoice_date": "2026-11-25", "purchase_order": "PO2", "lines": [{"line": 1.to_string(), "quantity": 3}], "total": 6});
    let (code, printed) = send_document(&home, "810", &small, &["--check"]);
    assert_eq!(code, 0, "{printed}");
    let read = tree::parse_rsx_xml(&printed).unwrap();
    assert_eq!(read.name, "Invoices");
    assert_eq!(read.children[0].first_child(&["Summary"]).unwrap().child_text(&["TotalAmount"]).as_deref(), Some("6"));
}

/// Returns every path of names, without the indexes of lists.
fn name_paths(value: &Value) -> std::collections::BTreeSet<String> {
    let mut found = std::collections::BTreeSet::new();
    let mut open = vec![(String::new(), value)];
    while let Some((path, value)) = open.pop() {
        match value {
            Value::Object(fields) => open.extend(fields.iter().map(|(name, value)| (format!("{path}/{name}"), value))),
            Value::Array(items) => open.extend(items.iter().map(|item| (path.clone(), item))),
            _ => {
                found.insert(path);
            }
        }
    }
    found
}

/// The documents of docs/edi.md can be sent.
#[test]
fn documented_documents_can_be_sent() {
    let home = home_with_order(&interchange("850", &[order_set("PO1", 2)]));
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/edi.md")).unwrap();
    let documents: Vec<Value> = page
        .split("```json\n")
        .skip(1)
        .filter_map(|rest| serde_json::from_str(rest.split("```").next().unwrap()).ok())
        .collect();
    for (kind, name) in [("810", "invoice_number"), ("856", "shipment_number")] {
        let document = documents.iter().find(|document| document.get(name).is_some()).unwrap();
        let (code, printed) = send_document(&home, kind, document, &[]);
        assert_eq!(code, 0, "{printed}");
    }
}
