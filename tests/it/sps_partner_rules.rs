//! Facts that a partner requires, its form of labels, and references, dates and trailers that the ERP states.

use crate::support::Home;
use crate::support::edi_files::{interchange, order_set};
use crate::support::order_documents::{DocumentSpec, LineSpec};
use crate::support::outbound_documents::{
    home_with_order, invoice, invoice_with_more_facts, receive_file, send_document, ship_notice,
    ship_notice_with_more_facts,
};
use crate::support::root;
use serde_json::{Value, json};
use std::fs;

/// Returns a home with the order PO1 and the settings of a partner.
fn home_with_partner(order: &str, partner: &str) -> Home {
    let home = home_with_order(order);
    add_partner(&home, partner);
    home
}

fn add_partner(home: &Home, partner: &str) {
    let text = fs::read_to_string(home.config()).unwrap();
    fs::write(home.config(), format!("{text}\n[[sps.partners]]\n{partner}\n")).unwrap();
}

fn x12_order() -> String {
    interchange("850", &[order_set("PO1", 2)])
}

/// Returns an order in RSX with the lines of `x12_order`.
fn rsx_order(format: &str) -> String {
    let line = |number, quantity| LineSpec { number, quantity, price: "19.95", goods: "B2", ..LineSpec::default() };
    let lines = vec![LineSpec { goods: "B1", ..line("1", "10") }, line("2", "20")];
    DocumentSpec { purpose: "00", ordered_on: "2026-11-24", lines, ..DocumentSpec::default() }.write(format)
}

/// All facts that are missing are named in one message, with the lines and packs that lack them.
#[test]
fn all_missing_facts_are_named_at_once() {
    let partner = "id = \"ACMERETAIL\"\n\
        invoice_requires = [\"bill_of_lading\", \"terms\", \"addresses.RI\", \"addresses.ST.city\", \"references.MR\"]\n\
        ship_notice_requires = [\"bill_of_lading\", \"trailer.seals\", \"carrier.code\", \"addresses.SF\", \"weight\", \
        \"lines.lot\", \"packs.sscc\", \"references.DP\", \"dates.067\"]";
    let home = home_with_partner(&x12_order(), partner);
    for flag in ["--check", "--force"] {
        let (code, printed) = send_document(&home, "810", &invoice("I1"), &[flag]);
        let missing = "ACMERETAIL requires facts that the invoice does not state (invoice_requires in sps.partners): \
                       terms, addresses.ST.city, references.MR";
        assert!(code == 1 && printed.contains(missing), "{printed}");
        let (code, printed) = send_document(&home, "856", &ship_notice("S1"), &[flag]);
        let missing = "ACMERETAIL requires facts that the ship notice does not state (ship_notice_requires in \
                       sps.partners): bill_of_lading, trailer.seals, addresses.SF, lines.lot (order PO1, line 2; \
                       order PO1, line 1), packs.sscc (carton 1Z999), dates.067";
        assert!(code == 1 && printed.contains(missing), "{printed}");
    }
    assert_eq!(home.sql("SELECT count(*) FROM edi_sent"), "0");
    let mut complete = invoice("I1");
    complete["terms"] = json!([{"kind": "01", "net_days": "30"}]);
    complete["references"] = json!([{"qualifier": "MR", "value": "0073"}]);
    let address = json!({"kind": "ST", "name": "Acme DC 5", "city": "Columbus"});
    complete["addresses"].as_array_mut().unwrap().push(address);
    let (code, printed) = send_document(&home, "810", &complete, &[]);
    assert!(code == 0, "{printed}");
    let mut other = invoice("I2");
    other["purchase_order"] = json!("PO2");
    receive_file(&home, &interchange("850", &[order_set("PO2", 2)]).replace("ACMERETAIL", "OTHER     "));
    let (code, printed) = send_document(&home, "810", &other, &["--check"]);
    assert_eq!(code, 0, "the rules are for one partner: {printed}");
}

#[test]
fn label_has_the_digits_that_the_partner_wants() {
    for (setting, prefix) in [("", "00"), ("sscc_digits = 20", "00"), ("sscc_digits = 18", "")] {
        let home = home_with_partner(&x12_order(), &format!("id = \"ACMERETAIL\"\n{setting}"));
        let (code, printed) = send_document(&home, "856", &ship_notice("S1"), &["--check"]);
        assert!(code == 0 && printed.contains(&format!("MAN*GM*{prefix}008627140000045018~")), "{printed}");
    }
    for format in ["rsx-json", "rsx-xml"] {
        let home = home_with_partner(&rsx_order(format), "id = \"ACMERETAIL\"\nsscc_digits = 18");
        let printed = send_document(&home, "856", &ship_notice("S1"), &["--check"]).1;
        let label = if format == "rsx-xml" { ">008627140000045018<" } else { "\"008627140000045018\"" };
        assert!(printed.contains(label), "{printed}");
    }
}

#[test]
fn references_dates_and_trailer_reach_the_partner_in_x12() {
    let mut set = order_set("PO1", 2);
    set.insert(1, "REF*MR*0073".to_owned());
    set.insert(2, "FOB*CC".to_owned());
    let home = home_with_order(&interchange("850", &[set]));
    let (invoice, mut notice) = (invoice_with_more_facts("I1"), ship_notice_with_more_facts("S1"));
    let (code, printed) = send_document(&home, "810", &invoice, &["--check"]);
    let expected = ["REF*MR*0073~", "REF*CR*R-1*Dock~", "DTM*067*20261201*0830~", "FOB*CC~"];
    assert!(code == 0 && expected.iter().all(|segment| printed.contains(segment)), "{printed}");
    let (code, printed) = send_document(&home, "856", &notice, &["--check"]);
    let shipment = "TD3*TL*RBTC*53123******SEAL1~\nREF*SN*SEAL2~\nREF*CN*P-77~\nREF*SI*R-1*Dock~\n\
                    DTM*011*20261124*1430~\nDTM*067*20261201~\nFOB*PP~\n";
    let item = "REF*BT*B-7~\nDTM*094*20261001~\n";
    let expected = [shipment, "REF*MR*0073~\nREF*IV*R-1*Dock~\nDTM*118*20261123~\n", item];
    assert!(code == 0 && expected.iter().all(|segment| printed.contains(segment)), "{printed}");
    notice["orders"][0]["references"] = json!([{"qualifier": "MR", "value": "0099"}]);
    let printed = send_document(&home, "856", &notice, &["--check"]).1;
    assert!(printed.contains("REF*MR*0099~") && !printed.contains("REF*MR*0073~"), "{printed}");
}

#[test]
fn references_dates_and_trailer_reach_the_partner_in_rsx() {
    let home = home_with_order(&rsx_order("rsx-json"));
    let (invoice, notice) = (invoice_with_more_facts("I1"), ship_notice_with_more_facts("S1"));
    let parse = |(code, text): (i32, String)| {
        assert_eq!(code, 0, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let read = parse(send_document(&home, "810", &invoice, &["--check"]));
    let reference =
        |qualifier: &str| json!([{"ReferenceQual": qualifier, "ReferenceID": "R-1", "Description": "Dock"}]);
    assert_eq!(read["Header"]["References"], reference("CR"));
    let dates = json!([{"DateTimeQualifier": "067", "Date": "2026-12-01", "Time": "08:30:00"}]);
    assert_eq!(read["Header"]["Dates"], dates);
    let read = parse(send_document(&home, "856", &notice, &["--check"]));
    assert_eq!(read["Header"]["References"], reference("SI"));
    assert_eq!(read["Header"]["Dates"], json!([{"DateTimeQualifier": "067", "Date": "2026-12-01"}]));
    let carrier = &read["Header"]["CarrierInformation"][0];
    assert_eq!(carrier["CarrierEquipmentNumber"], "53123");
    assert_eq!(carrier["SealNumbers"], json!([{"SealNumber": "SEAL1"}, {"SealNumber": "SEAL2"}]));
    assert_eq!(read["Header"]["FOBRelatedInstruction"], json!([{"FOBPayCode": "PP"}]));
    let order = &read["OrderLevel"][0];
    assert_eq!(order["References"], reference("IV"));
    assert_eq!(order["Dates"], json!([{"DateTimeQualifier": "118", "Date": "2026-11-23"}]));
    let item = &order["PackLevel"][1]["ItemLevel"][0];
    assert_eq!(item["References"], json!([{"ReferenceQual": "BT", "ReferenceID": "B-7"}]));
    assert_eq!(item["Dates"], json!([{"DateTimeQualifier": "094", "Date": "2026-10-01"}]));
}

#[test]
fn reference_with_a_field_of_its_own_is_refused() {
    let home = home_with_order(&x12_order());
    let check = |field: &str, value: Value| {
        let mut notice = ship_notice("S1");
        notice[field] = value;
        send_document(&home, "856", &notice, &["--check"]).1
    };
    for (field, value, message) in [
        ("references", json!([{"qualifier": "BM", "value": "1"}]), "BM has a field of its own: state bill_of_lading"),
        ("dates", json!([{"qualifier": "017", "on": "2026-12-01"}]), "017 has a field of its own: state delivery_on"),
        ("dates", json!([{"qualifier": "067", "on": "1.12.26"}]), "dates: 067 \"1.12.26\" is not a date"),
        ("references", json!([{"qualifier": "SI", "value": "a*b"}]), "references: SI \"a*b\" cannot be sent"),
        ("trailer", json!({"number": "12345678901"}), "the trailer's number"),
    ] {
        assert!(check(field, value).contains(message), "{message}");
    }
    let many: Vec<Value> =
        (10..22).map(|qualifier| json!({"qualifier": qualifier.to_string(), "value": "1"})).collect();
    let mut invoice = invoice("I1");
    invoice["references"] = json!(many);
    let printed = send_document(&home, "810", &invoice, &["--check"]).1;
    assert!(printed.contains("an X12 invoice has room for 12 references"), "{printed}");
}

/// The second name of a party stays a name, in both formats, and is no line of its street.
#[test]
fn second_name_of_an_address_stays_a_name() {
    let mut set = order_set("PO1", 2);
    set.insert(4, "N2*Receiving office*Gate B".to_owned());
    set.insert(5, "N3*100 Dock Rd*Door 5".to_owned());
    let home = home_with_order(&interchange("850", &[set]));
    let printed = send_document(&home, "856", &ship_notice("S1"), &["--check"]).1;
    let address = "N1*ST*Acme DC 5*92*0005~\nN2*Receiving office*Gate B~\nN3*100 Dock Rd*Door 5~\n";
    assert!(printed.contains(address), "{printed}");
    assert!(home.run_ok(&["sps", "show", "PO1"]).contains("Receiving office\n"));
    let address = json!({
        "AddressTypeCode": "ST", "AddressName": "Acme", "AddressAlternateName": "DC 123", "Address1": "333 S 7th Street"
    });
    let mut order: Value = serde_json::from_str(&rsx_order("rsx-json")).unwrap();
    order["Header"]["Address"] = json!([address]);
    let home = home_with_order(&order.to_string());
    let printed = send_document(&home, "810", &invoice("I1"), &["--check"]).1;
    let read: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
    assert_eq!(read["Header"]["Address"][1], address);
}

/// Each misspelt field is named with the field that is meant, all in one message.
#[test]
fn misspelt_fields_are_named_with_the_right_ones() {
    let home = home_with_order(&x12_order());
    let mut document = invoice("I1");
    for (right, wrong) in [("invoice_number", "invoice_numer"), ("bill_of_lading", "bill_of_ladding")] {
        let value = document.as_object_mut().unwrap().remove(right).unwrap();
        document[wrong] = value;
    }
    document["lines"][1]["lot_no"] = json!("L-1");
    document["lines"][0]["quantiy"] = json!(1);
    let (code, printed) = send_document(&home, "810", &document, &["--check"]);
    let fields = "unknown fields: bill_of_ladding (did you mean bill_of_lading?), invoice_numer (did you mean \
                  invoice_number?), lines.0.quantiy (did you mean quantity?), lines.1.lot_no";
    assert!(code == 1 && printed.contains(fields) && !printed.contains("missing field"), "{printed}");
    document.as_object_mut().unwrap().remove("total");
    let printed = send_document(&home, "810", &document, &["--check"]).1;
    assert!(printed.contains("unknown fields: "), "{printed}");
}

#[test]
fn settings_of_a_partner_are_checked() {
    let home = home_with_partner(&x12_order(), "sscc_digits = 19\ninvoice_requires = [\"bill_of_ladding\"]");
    add_partner(&home, "id = \"A\"");
    add_partner(&home, "id = \"A\"\nship_notice_requires = [\"lot\"]");
    let output = home.run(&["config", "check"]);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    for message in [
        "sps.partners: has no id",
        "has sscc_digits = 19",
        "sps.partners.invoice_requires: \"bill_of_ladding\" is no fact",
        "Did you mean \"bill_of_lading\"?",
        "sps.partners.id: \"A\" appears twice",
        "\"lot\" is no fact",
    ] {
        assert!(text.contains(message), "{message}: {text}");
    }
}

/// The settings that docs/edi-partners.md proposes can be read.
#[test]
fn documented_settings_are_valid() {
    let page = fs::read_to_string(root().join("docs/edi-partners.md")).unwrap().replace('\n', " ");
    let settings: Vec<&str> = page.split('`').filter(|code| code.contains("_requires = [")).collect();
    assert_eq!(settings.len(), 8, "two documents of four partners: {settings:?}");
    let home = home_with_order(&x12_order());
    for (index, setting) in settings.into_iter().enumerate() {
        add_partner(&home, &format!("id = \"P{index}\"\n{setting}"));
    }
    let output = home.run(&["config", "check"]);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!text.contains("sps.partners"), "{text}");
}
