//! What a destination gets beside the bytes: media type, extension, document type, partner, file name and shop.

use crate::support::answers::answer_file;
use crate::support::destinations::{
    command_destination, directory_destination, home_with_destinations, http_destination, wait_until_delivered,
    write_program,
};
use crate::support::edi_files::{interchange, order_set};
use crate::support::fake_erp::{FakeErp, ReceivedRequest, Reply};
use crate::support::outbound_documents::{invoice, send_document};
use crate::support::{Home, SHOP, easypost_request, keycloak_request, order_body, shopify_request};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

const RSX_JSON: &str = r#"{"Header":{"OrderHeader":{"TradingPartnerId":"RSXJSON","PurchaseOrderNumber":"J1",
    "TsetPurposeCode":"00","PurchaseOrderDate":"2026-11-24"}},
    "LineItem":[{"OrderLine":{"LineSequenceNumber":"1","BuyerPartNumber":"B1","OrderQty":1,"OrderQtyUOM":"EA"}}]}"#;

fn rsx_xml() -> String {
    "<?xml version=\"1.0\"?>\n<Orders><Order><Header><OrderHeader><TradingPartnerId>RSXML</TradingPartnerId>\
     <PurchaseOrderNumber>X1</PurchaseOrderNumber><TsetPurposeCode>00</TsetPurposeCode>\
     <PurchaseOrderDate>2026-11-24</PurchaseOrderDate></OrderHeader></Header><LineItem><OrderLine>\
     <LineSequenceNumber>1</LineSequenceNumber><BuyerPartNumber>B1</BuyerPartNumber><OrderQty>1</OrderQty>\
     <OrderQtyUOM>EA</OrderQtyUOM></OrderLine></LineItem></Order></Orders>"
        .to_owned()
}

/// Returns a home whose three destinations get everything, outbound documents too, and that polls the directory `in`.
fn home_with_every_destination(erp: &FakeErp) -> Home {
    let topics = "topics = [\"*\", \"sps:send/*\"]";
    let home = home_with_destinations(|home| {
        let all = http_destination("erp", &erp.url, "")
            + &directory_destination(&home.path("files")).replace("type =", "metadata = true\ntype =")
            + &command_destination(&home.path("import"));
        for name in ["in", "out"] {
            fs::create_dir(home.path(name)).unwrap();
        }
        let source = format!(
            "[sps]\ninterval = \"0s\"\noutgoing = \"out\"\n[[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\nsettle = \"0s\"\n",
            home.path("in").display()
        );
        source
            + &all
                .replace("topics = [\"shopify:orders/*\"]", topics)
                .replace("topics = [\"shopify:*\"]", topics)
                .replace("topics = [\"*\"]", topics)
    });
    write_program(
        &home,
        "env > DIR/variables-$NOVEX_EVENT_ID.new && mv DIR/variables-$NOVEX_EVENT_ID.new DIR/variables-$NOVEX_EVENT_ID",
    );
    home
}

fn read_variables(home: &Home, event: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(home.path(&format!("variables-{event}"))).unwrap();
    text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
}

struct Expected {
    body: String,
    file: &'static str,
    media_type: &'static str,
    document_type: &'static str,
    partner: &'static str,
    file_name: &'static str,
    shop_domain: String,
}

fn check_delivery(home: &Home, requests: &[ReceivedRequest], expected: &Expected) {
    let event = expected.file[..12].trim_start_matches('0').to_owned();
    let request = requests.iter().find(|request| request.header("webhook-id") == event).unwrap();
    assert_eq!(String::from_utf8_lossy(&request.body), expected.body);
    assert_eq!(fs::read_to_string(home.path("files").join(expected.file)).unwrap(), expected.body);
    let metadata = home.path("files").join(format!("{}.meta.json", expected.file.rsplit_once('.').unwrap().0));
    let metadata: Value = serde_json::from_slice(&fs::read(metadata).unwrap()).unwrap();
    let variables = read_variables(home, &event);
    for (header, variable, key, value) in [
        ("webhook-id", "NOVEX_EVENT_ID", "event_id", event.as_str()),
        ("content-type", "NOVEX_CONTENT_TYPE", "content_type", expected.media_type),
        ("novex-file-name", "NOVEX_FILE_NAME", "file_name", expected.file_name),
        ("novex-document-type", "NOVEX_DOCUMENT_TYPE", "document_type", expected.document_type),
        ("novex-partner", "NOVEX_PARTNER", "partner", expected.partner),
        ("novex-shop-domain", "NOVEX_SHOP_DOMAIN", "shop_domain", expected.shop_domain.as_str()),
    ] {
        let in_file = match &metadata[key] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let all = [request.header(header), variables[variable].as_str(), in_file.as_str()];
        assert_eq!(all, [value; 3], "{header} of {}", expected.file);
    }
    assert_eq!(metadata["file"], expected.file);
    for (header, variable, key) in [("novex-source", "NOVEX_SOURCE", "source"), ("novex-topic", "NOVEX_TOPIC", "topic")]
    {
        assert_eq!([request.header(header), variables[variable].as_str()], [metadata[key].as_str().unwrap(); 2]);
    }
}

#[test]
fn every_destination_gets_type_partner_file_name_and_shop() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let home = home_with_every_destination(&erp);
    let daemon = home.serve();
    let directory = home.path("in").display().to_string();
    let mut all = Vec::new();
    let mut expect =
        |file, media_type, [document_type, partner, file_name]: [&'static str; 3], body: &str, shop: &str| {
            let (body, shop_domain) = (body.to_owned(), shop.to_owned());
            all.push(Expected { body, file, media_type, document_type, partner, file_name, shop_domain });
        };

    let order = String::from_utf8(order_body(1)).unwrap();
    daemon.request(&shopify_request("w1", order.as_bytes())).event_id();
    let name = "000000000001-shopify-orders-create.json";
    expect(name, "application/json", ["", "", name], &order, SHOP);

    let tracker = r#"{"id":"evt_1","description":"tracker.updated"}"#;
    daemon.request(&easypost_request(tracker.as_bytes())).event_id();
    let name = "000000000002-easypost-tracker.updated.json";
    expect(name, "application/json", ["", "", name], tracker, "");

    let login = r#"{"id":"k1","type":"LOGIN","time":1795725000000,"realmId":"food"}"#;
    daemon.request(&keycloak_request(login.as_bytes())).event_id();
    let name = "000000000003-keycloak-LOGIN.json";
    expect(name, "application/json", ["", "", name], login, "");
    wait_until_delivered(&home);

    let purchase_order = interchange("850", &[order_set("PO1", 2)]);
    let acknowledgement = interchange("997", &[vec!["AK1*IN*1".to_owned(), "AK9*A*1*1*1".to_owned()]]);
    for (file_name, file, media_type, document_type, partner, text) in [
        ("RSX 1.json", "000000000004-sps-850.json", "application/json", "850", "RSXJSON", RSX_JSON.to_owned()),
        ("rsx.xml", "000000000005-sps-850.xml", "application/xml", "850", "RSXML", rsx_xml()),
        ("ack.x12", "000000000006-sps-997.edi", "application/edi-x12", "997", "ACMERETAIL", acknowledgement),
        ("PO1.edi", "000000000007-sps-850.edi", "application/edi-x12", "850", "ACMERETAIL", purchase_order),
    ] {
        fs::write(home.path("in").join(file_name), &text).unwrap();
        home.run_ok(&["sps", "poll"]);
        wait_until_delivered(&home);
        expect(file, media_type, [document_type, partner, file_name], &text, &directory);
    }

    let requests = erp.requests();
    for expected in &all {
        check_delivery(&home, &requests, expected);
    }
}

/// Media types follow the bytes, whatever the name of the file is. Only the header has a name of other letters encoded.
#[test]
fn answers_and_names_of_other_letters_reach_every_destination() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let home = home_with_every_destination(&erp);
    let _daemon = home.serve();
    let files = [
        ("Größe 5%.txt", answer_file("997", &["AK1*IN*1", "AK9*A*1*1*1"]), "application/edi-x12", "997", "edi"),
        ("ta1.xml", answer_file("", &["TA1*000000001*261124*1200*A*000"]), "application/edi-x12", "TA1", "edi"),
        ("注文.json", rsx_xml(), "application/xml", "850", "xml"),
        ("rsx.edi", RSX_JSON.to_owned(), "application/json", "850", "json"),
    ];
    for (number, (name, text, media_type, document_type, extension)) in (1..).zip(files) {
        fs::write(home.path("in").join(name), &text).unwrap();
        home.run_ok(&["sps", "poll"]);
        wait_until_delivered(&home);
        let requests = erp.requests();
        let request = requests.iter().find(|request| request.header("webhook-id") == number.to_string()).unwrap();
        let encoded = request.header("novex-file-name");
        assert!(encoded.is_ascii(), "{encoded}");
        assert_eq!(percent_encoding::percent_decode_str(encoded).decode_utf8().unwrap(), name);
        assert_eq!(
            (request.header("content-type"), request.header("novex-document-type")),
            (media_type, document_type)
        );
        let variables = read_variables(&home, &number.to_string());
        assert_eq!(
            (variables["NOVEX_FILE_NAME"].as_str(), variables["NOVEX_CONTENT_TYPE"].as_str()),
            (name, media_type)
        );
        let file = format!("{number:012}-sps-{document_type}.{extension}");
        assert_eq!(fs::read_to_string(home.path("files").join(file)).unwrap(), text);
    }
}

#[test]
fn destination_gets_outbound_documents_only_if_it_names_them() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let home = home_with_every_destination(&erp);
    let daemon = home.serve();
    fs::write(home.path("in/PO1.edi"), interchange("850", &[order_set("PO1", 2)])).unwrap();
    home.run_ok(&["sps", "poll"]);
    wait_until_delivered(&home);
    assert_eq!(send_document(&home, "810", &invoice("INV-1"), &[]).0, 0);
    wait_until_delivered(&home);
    let requests = erp.requests();
    for kind in ["997", "810"] {
        let request = requests.iter().find(|request| request.header("novex-topic") == format!("send/{kind}")).unwrap();
        assert_eq!(request.header("content-type"), "application/edi-x12");
        assert_eq!((request.header("novex-document-type"), request.header("novex-partner")), (kind, "ACMERETAIL"));
        let sent = fs::read(home.path("out").join(request.header("novex-file-name"))).unwrap();
        assert_eq!(sent, request.body, "the partner gets the same document");
        let copy = format!("{:0>12}-sps-send-{kind}.edi", request.header("webhook-id"));
        assert_eq!(fs::read(home.path("files").join(copy)).unwrap(), sent);
    }
    drop(daemon);

    let other = home_with_every_destination(&erp);
    let text = fs::read_to_string(other.config()).unwrap();
    fs::write(other.config(), text.replace(", \"sps:send/*\"", "")).unwrap();
    let _daemon = other.serve();
    fs::write(other.path("in/PO1.edi"), interchange("850", &[order_set("PO1", 2)])).unwrap();
    other.run_ok(&["sps", "poll"]);
    wait_until_delivered(&other);
    assert_eq!(
        other.sql("SELECT topic, group_concat(destination) FROM destination_deliveries d JOIN webhook_events e ON e.id = d.event_id GROUP BY 1 ORDER BY 1"),
        "850|erp,files,import\nsend/997|sps-outgoing"
    );
}
