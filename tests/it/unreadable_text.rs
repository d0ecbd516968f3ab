//! JSON whose text cannot be read everywhere: the event completes with a note, and its bytes stay as they are.

use crate::support::{Daemon, Home, Request, easypost_request, keycloak_request, order_body, shopify_request};
use std::fs;

/// Defects as (name, what replaces `MARK` in the body, bytes before the body, part of the note).
const DEFECTS: [(&str, &[u8], &[u8], &str); 7] = [
    ("byte order mark", b"", b"\xef\xbb\xbf", "a byte order mark of UTF-8 is left out"),
    ("lone surrogate", b"\\ud800", b"", "1 unreadable character became U+FFFD, at line 1, column "),
    ("two low surrogates", b"\\udc00\\udc01", b"", "2 unreadable characters became U+FFFD, the first at line 1"),
    ("invalid UTF-8", b"\xff", b"", "1 unreadable character became U+FFFD"),
    ("truncated UTF-8", b"\xe2\x82", b"\xef\xbb\xbf", "UTF-8 is left out; 1 unreadable character became U+FFFD"),
    ("NUL", b"\\u0000", b"", "1 unreadable character became U+FFFD"),
    ("raw line end", b"\n", b"", "1 control character is not escaped"),
];

/// Returns the body with a defect in place of `MARK`, and the text that is read there.
fn damage(body: &str, (_, defect, before, _): (&str, &[u8], &[u8], &str)) -> (Vec<u8>, String) {
    let (start, end) = body.split_once("MARK").unwrap();
    let bytes = [before, start.as_bytes(), defect, end.as_bytes()].concat();
    let read = match defect {
        b"" => String::new(),
        b"\n" => "\n".to_owned(),
        b"\\udc00\\udc01" => "\u{fffd}\u{fffd}".to_owned(),
        _ => "\u{fffd}".to_owned(),
    };
    (bytes, read)
}

/// Sends a request; returns the id of its completed event, after a check of the note and of the stored bytes.
fn receive_damaged(daemon: &Daemon<'_>, home: &Home, request: &Request, note: &str) -> i64 {
    let response = daemon.request(request);
    assert_eq!(response.status, 200, "{response:?}");
    let event = response.json()["event_id"].as_i64().unwrap();
    home.wait_until_processed();
    let state = home.sql(&format!("SELECT status, last_error IS NULL, note FROM webhook_events WHERE id = {event}"));
    assert!(state.starts_with("completed|1|the body was read with repairs: ") && state.contains(note), "{state}");
    let stored = home.sql(&format!("SELECT hex(body) FROM webhook_payloads WHERE event_id = {event}"));
    assert_eq!(stored, hex::encode_upper(&request.body), "the stored bytes are those that arrived");
    event
}

#[test]
fn unreadable_text_in_an_order_is_replaced() {
    let home = Home::new("");
    let daemon = home.serve();
    for (index, defect) in DEFECTS.into_iter().enumerate() {
        let body = format!(
            r##"{{"id":{index},"name":"#AMARKB","currency":"USD","total_price":"89999999999999.990","line_items":[{{"id":9223372036854775807,"sku":"JAM-6","quantity":2,"price":5.10}}]}}"##
        );
        let (bytes, read) = damage(&body, defect);
        let request = shopify_request(defect.0, &bytes);
        receive_damaged(&daemon, &home, &request, defect.3);
        assert_eq!(
            home.sql(&format!(
                "SELECT hex(name), total, line_id, price FROM sales_orders JOIN sales_order_lines USING (shop_domain, order_id) WHERE order_id = {index}"
            )),
            format!("{}|89999999999999.990|9223372036854775807|5.10", hex::encode_upper(format!("#A{read}B"))),
            "{}",
            defect.0
        );
    }
    // A topic without a handler keeps its note, and its subjects are found.
    let (bytes, _) = damage(r#"{"order_id":4711,"x":"MARK"}"#, DEFECTS[1]);
    let request = Request {
        path: "/api/webhooks/shopify/new/topic".to_owned(),
        ..shopify_request("new", &bytes).with_header("X-Shopify-Topic", "new/topic")
    };
    assert_eq!(daemon.request(&request).status, 200);
    home.wait_until_processed();
    let stored = "SELECT kind, key FROM event_subjects JOIN webhook_events e ON e.id = event_id \
                  WHERE note LIKE 'stored only: %; the body was read with repairs: %'";
    assert_eq!(home.sql(stored), "order|4711");
    daemon.stop();
}

#[test]
fn unreadable_text_in_a_tracker_keeps_id_and_topic() {
    let home = Home::new("");
    let daemon = home.serve();
    for (index, defect) in DEFECTS.into_iter().enumerate() {
        let body = format!(
            r#"{{"object":"Event","id":"evt_{index}","description":"tracker.updated","mode":"production","result":{{"id":"trk_{index}","object":"Tracker","signed_by":"AMARKB"}}}}"#
        );
        let (bytes, read) = damage(&body, defect);
        let event = receive_damaged(&daemon, &home, &easypost_request(&bytes), defect.3);
        assert_eq!(
            home.sql(&format!("SELECT topic, webhook_id FROM webhook_events WHERE id = {event}")),
            format!("tracker.updated|evt_{index}")
        );
        assert_eq!(
            home.sql(&format!("SELECT hex(signed_by) FROM shipments WHERE tracker_id = 'trk_{index}'")),
            hex::encode_upper(format!("A{read}B")),
            "{}",
            defect.0
        );
    }
    // The last of two equal keys counts, also where the daemon reads id and topic before it stores the event.
    let body = br#"{"id":"evt_a","id":"evt_b","description":"x","description":"tracker.updated","result":{"id":"trk_d","object":"Tracker"}}"#;
    assert_eq!(daemon.request(&easypost_request(body)).status, 200);
    assert_eq!(home.sql("SELECT topic FROM webhook_events WHERE webhook_id = 'evt_b'"), "tracker.updated");
    // Two ids that cannot be read are two events.
    for id in ["evt_\\ud800", "evt_\\udc00"] {
        let body = format!(r#"{{"id":"{id}","description":"tracker.updated","result":{{"id":"trk_{id}"}}}}"#);
        assert!(!daemon.request(&easypost_request(body.as_bytes())).is_duplicate());
    }
    assert_eq!(home.count("SELECT count(*) FROM webhook_events WHERE webhook_id LIKE 'sha256:%'"), 2);
    daemon.stop();
}

#[test]
fn unreadable_text_in_a_keycloak_event_leaves_no_gap() {
    let home = Home::new("");
    let daemon = home.serve();
    let json = r#"{"uid":"UID","type":"LOGIN_ERROR","time":1764000000000,"details":{"username":"AMARKB"}}"#;
    let loose = "{'type': 'LOGIN_ERROR', 'realmId': 'UID', 'details': {'username': 'AMARKB', }}";
    let mut rows = 0;
    for (index, defect) in DEFECTS.into_iter().enumerate() {
        for (kind, text) in [("json", json), ("form", json), ("loose", loose)] {
            // A control character in the listener's form is not a defect, and it has no escapes.
            if kind == "loose" && (defect.1.starts_with(b"\\") || defect.1 == b"\n") {
                continue;
            }
            let uid = format!("{kind}-{index}");
            let (text, read) = damage(&text.replace("UID", &uid), defect);
            let body = match kind {
                "json" => text,
                _ => format!("json={}", percent_encode(&text)).into_bytes(),
            };
            let event = receive_damaged(&daemon, &home, &keycloak_request(&body), defect.3);
            let name = hex::encode_upper(format!("A{read}B"));
            rows += 1;
            assert_eq!(
                home.sql(&format!("SELECT type, hex(username) FROM system_log WHERE event_id = {event}")),
                format!("LOGIN_ERROR|{name}"),
                "{} in {kind}",
                defect.0
            );
            let identity =
                home.sql(&format!("SELECT topic, webhook_id = '{uid}' FROM webhook_events WHERE id = {event}"));
            assert_eq!(identity, format!("LOGIN_ERROR|{}", u8::from(kind != "loose")));
        }
    }
    assert_eq!(home.count("SELECT count(*) FROM system_log"), rows);
    home.run_ok(&["audit", "verify"]);
    daemon.stop();
}

fn percent_encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| ["%".to_owned(), format!("{byte:02X}")]).collect()
}

/// An EDI file is decoded as a whole: bytes that are no UTF-8 are Windows-1252, and a byte order mark is no fault.
fn expect_of_file(
    (_, bytes, before, fault): (&str, &[u8], &[u8], &'static str),
) -> (&'static str, Option<&'static str>) {
    match (bytes, before) {
        (b"", _) => ("", None),
        (b"\xff", _) => ("ÿ", Some("no UTF-8: the file is read as Windows-1252")),
        (b"\xe2\x82", _) => ("â‚", Some("states UTF-8, but a byte in line 1 is none")),
        (b"\n", _) => ("", Some(fault)),
        (b"\\udc00\\udc01", _) => ("\u{fffd}\u{fffd}", Some(fault)),
        _ => ("\u{fffd}", Some(fault)),
    }
}

/// One of two values of a key counts. The note names the key, and not the values, which may be personal data.
#[test]
fn repeated_keys_are_in_the_note() {
    let home = Home::new("");
    let daemon = home.serve();
    let note = "the body states 1 key twice with different values: \"id\"; the last value counts";
    let receive = |request: &Request| {
        let event = daemon.request(request).event_id();
        home.wait_until_processed();
        home.sql(&format!("SELECT status, coalesce(note, '') FROM webhook_events WHERE id = {event}"))
    };
    let twice = r##"{"id":1,"name":"#A","line_items":[{"id":1,"id":2,"sku":"JAM-6","quantity":2,"price":"5.10"}]}"##;
    let keycloak = r#"{"type":"LOGIN","id":"1","id":"2"}"#;
    let form = format!("json={}", percent_encode(keycloak.as_bytes()));
    // The key is found in a body of any size, and also if no handler reads the body.
    let large = twice.replacen('{', &format!(r#"{{"note":"{}","#, "x".repeat(1 << 20)), 1);
    let unhandled =
        shopify_request("cart", br#"{"id":1,"id":2,"token":"t"}"#).with_header("X-Shopify-Topic", "carts/create");
    let unhandled = Request { path: "/api/webhooks/shopify/carts/create".to_owned(), ..unhandled };
    for (index, request) in [
        shopify_request("twice", twice.as_bytes()),
        shopify_request("large", large.as_bytes()),
        unhandled,
        keycloak_request(keycloak.as_bytes()),
        keycloak_request(form.as_bytes()),
    ]
    .iter()
    .enumerate()
    {
        let state = receive(request);
        assert!(state.starts_with("completed|") && state.contains(note), "{index}: {state}");
    }
    let same = twice.replace(r#""id":1,"id":2"#, r#""id":2,"id":2"#);
    assert!(!receive(&shopify_request("same", same.as_bytes())).contains("twice"));
    daemon.stop();
}

#[test]
fn unreadable_text_in_an_rsx_file_is_a_warning() {
    let home = Home::new("");
    fs::create_dir(home.path("in")).unwrap();
    home.configure(&format!(
        "[sps]\ninterval = \"0s\"\n[[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\nsettle = \"0s\"\n",
        home.path("in").display()
    ));
    let daemon = home.serve();
    for (index, defect) in DEFECTS.into_iter().enumerate() {
        let body = format!(
            r#"{{"Header":{{"OrderHeader":{{"TradingPartnerId":"ACME","PurchaseOrderNumber":"PO{index}","TsetPurposeCode":"00"}},"Address":[{{"AddressTypeCode":"ST","AddressName":"AMARKB"}}]}},"LineItem":[{{"OrderLine":{{"LineSequenceNumber":"1","OrderQty":2,"OrderQtyUOM":"CA","VendorPartNumber":"JAM-6"}}}}]}}"#
        );
        let (bytes, _) = damage(&body, defect);
        let (read, fault) = expect_of_file(defect);
        fs::write(home.path(&format!("in/{index}.json")), &bytes).unwrap();
        home.run_ok(&["sps", "poll"]);
        home.wait_until_processed();
        let event = format!("WHERE webhook_id LIKE '{index}.json %'");
        let state = home.sql(&format!("SELECT topic, status, note FROM webhook_events {event}"));
        assert!(state.starts_with("850|completed|") && state.contains(fault.unwrap_or("")), "{}: {state}", defect.0);
        let faults = "SELECT severity, message FROM edi_faults f JOIN webhook_events e ON e.id = f.event_id";
        let faults = home.sql(&format!("{faults} {event}"));
        match fault {
            None => assert_eq!(faults, "", "{}", defect.0),
            Some(fault) => assert!(faults.starts_with("warning|") && faults.contains(fault), "{}: {faults}", defect.0),
        }
        let stored = home
            .sql(&format!("SELECT hex(body) FROM webhook_payloads p JOIN webhook_events e ON e.id = event_id {event}"));
        assert_eq!(stored, hex::encode_upper(&bytes));
        let paper = home.run_ok(&["sps", "show", &format!("PO{index}")]);
        assert!(read.is_empty() || paper.contains(&format!("A{read}B")), "{}: {paper}", defect.0);
    }
    daemon.stop();
}

#[test]
fn text_after_the_json_fails_with_its_place_and_loses_nothing() {
    let home = Home::new("");
    let daemon = home.serve();
    for (id, tail) in [("more", &b"\n{\"id\":2}"[..]), ("garbage", b" x"), ("nul", b"\0")] {
        let body = [&order_body(1)[..], tail].concat();
        assert_eq!(daemon.request(&shopify_request(id, &body)).status, 200);
        home.wait_until_processed();
        let error = home.sql(&format!("SELECT status, last_error FROM webhook_events WHERE webhook_id = '{id}'"));
        assert!(error.starts_with("failed|the body cannot be read: other text follows the JSON at line "), "{error}");
    }
    let body = br#"{"id":"evt_1","description":"tracker.updated"} {}"#;
    assert_eq!(daemon.request(&easypost_request(body)).status, 200);
    home.wait_until_processed();
    let state = "SELECT topic, status, webhook_id LIKE 'sha256:%' FROM webhook_events WHERE source = 'easypost'";
    assert_eq!(home.sql(state), "unknown|failed|1");
    assert_eq!(home.count("SELECT count(*) FROM sales_orders"), 0);
    daemon.stop();
}

/// UTF-16 is read too: signature and digest are of the bytes that arrived.
#[test]
fn utf16_with_a_byte_order_mark_is_read() {
    let home = Home::new("");
    let daemon = home.serve();
    let text = format!("\u{feff}{}", String::from_utf8(order_body(5)).unwrap());
    let body: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let request = shopify_request("w", &body);
    receive_damaged(&daemon, &home, &request, "a byte order mark of UTF-16 is left out");
    assert_eq!(home.sql("SELECT name, total FROM sales_orders"), "#5|10.00");
    daemon.stop();
}
