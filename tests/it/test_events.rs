//! Test events of `send` and `setup`: verified, stored and processed like any event, and without effect on tables,
//! destinations and the audit trail.

use crate::support::destinations::{directory_destination, home_with_destinations, wait_until_delivered};
use crate::support::{
    Daemon, EASYPOST_SECRET, Home, KEYCLOAK_SECRET, OLD_SECRET, OTHER_SECRET, SECRET, base64, easypost_request,
    hmac_sha256, keycloak_request, order_body, shopify_request,
};
use serde_json::Value;
use std::fs;

const MARK: &str = "X-Novex-Ingest-Test";

/// Returns the mark of a body, as docs/events.md describes it.
fn mark_body(secret: &str, body: &[u8]) -> String {
    hex::encode(hmac_sha256(secret.as_bytes(), &[b"novex-ingest test event\n", body].concat()))
}

fn send(home: &Home, daemon: &Daemon<'_>, arguments: &[&str]) -> Value {
    let to = daemon.address.to_string();
    let answer = home.run_ok(&[&["send"], arguments, &["--to", &to]].concat());
    serde_json::from_str(&answer).unwrap()
}

/// Everything that an event could write beside itself.
const EFFECTS: &str = "SELECT (SELECT count(*) FROM sales_orders), (SELECT count(*) FROM sales_order_lines), \
    (SELECT count(*) FROM unmapped_lines), (SELECT count(*) FROM customers), (SELECT count(*) FROM products), \
    (SELECT count(*) FROM refunds), (SELECT count(*) FROM shops), (SELECT count(*) FROM shipments), \
    (SELECT count(*) FROM tracking_events), (SELECT count(*) FROM easypost_objects), (SELECT count(*) FROM system_log), \
    (SELECT count(*) FROM alerts), (SELECT count(*) FROM destination_deliveries), (SELECT count(*) FROM data_requests), \
    (SELECT count(*) FROM redactions), (SELECT count(*) FROM redacted_subjects), (SELECT count(*) FROM event_counts)";

#[test]
fn test_events_change_nothing() {
    let home = home_with_destinations(|home| directory_destination(&home.path("files")));
    let daemon = home.serve();
    let mut topics = vec![
        ("shopify", "orders/create"),
        ("shopify", "orders/delete"),
        ("shopify", "customers/create"),
        ("shopify", "customers/redact"),
        ("shopify", "customers/data_request"),
        ("shopify", "customers/merge"),
        ("shopify", "shop/redact"),
        ("shopify", "app/uninstalled"),
        ("shopify", "products/update"),
        ("shopify", "refunds/create"),
        ("shopify", "carts/create"),
        ("easypost", "tracker.updated"),
        ("easypost", "batch.updated"),
        ("keycloak", "access.LOGIN"),
        ("keycloak", "admin.CLIENT-DELETE"),
    ];
    topics.extend([("keycloak", "LOGIN_ERROR"); 12]);
    for (source, topic) in &topics {
        assert_eq!(send(&home, &daemon, &[source, topic])["test"], true, "{source} {topic}");
    }
    wait_until_delivered(&home);
    assert_eq!(home.sql(EFFECTS), ["0"; 17].join("|"));
    // The mark is a signature: a reader of it could send the body again.
    let marked = "SELECT count(*) FROM webhook_payloads WHERE headers LIKE '%novex-ingest-test%'";
    assert_eq!(home.sql(marked), "0");
    let stored = home.sql("SELECT DISTINCT status, test, substr(note, 1, 11) FROM webhook_events");
    assert_eq!(stored, "completed|1|test event:");
    assert_eq!(fs::read_dir(home.path("files")).unwrap().count(), 0);
    assert_eq!(home.sql("SELECT * FROM failures"), "");
    // A real event of each source has its effect, and the test events before it take nothing from it.
    send(&home, &daemon, &["shopify", "orders/create", "--real"]);
    send(&home, &daemon, &["easypost", "--real"]);
    send(&home, &daemon, &["keycloak", "--real"]);
    wait_until_delivered(&home);
    let real = "SELECT (SELECT count(*) FROM sales_orders), (SELECT count(*) FROM shipments), \
                (SELECT count(*) FROM system_log), (SELECT count(*) FROM destination_deliveries)";
    assert_eq!(home.sql(real), "1|1|1|3");
    // Destructive topics as test events leave the real rows.
    for topic in ["orders/delete", "customers/redact", "shop/redact"] {
        send(&home, &daemon, &["shopify", topic]);
    }
    wait_until_delivered(&home);
    assert_eq!(home.sql(real), "1|1|1|3");
    assert_eq!(home.sql("SELECT deleted_at IS NULL, email FROM sales_orders"), "1|buyer@example.com");
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events WHERE redacted_at IS NOT NULL"), "0");
    home.assert_consistent();
    daemon.stop();
}

#[test]
fn only_the_secret_of_the_source_makes_a_test_event() {
    let home = Home::new("");
    let daemon = home.serve();
    let event = r#"{"id":"evt_1","description":"tracker.updated","result":{}}"#.as_bytes();
    let login = br#"{"uid":"k1","type":"LOGIN","time":1764000000000}"#;
    let order = |id: &str| shopify_request(id, &order_body(1));
    let body = order_body(1);
    // The marks that no holder of the secret made: the event is real.
    let signature = base64(&hmac_sha256(SECRET.as_bytes(), &body));
    let wrong_marks = [
        "1".to_owned(),
        String::new(),
        "true".to_owned(),
        signature.clone(),
        hex::encode(hmac_sha256(SECRET.as_bytes(), &body)),
        mark_body(SECRET, b"other bytes"),
        mark_body(OTHER_SECRET, &body),
        mark_body(EASYPOST_SECRET, &body),
    ];
    for (number, mark) in wrong_marks.iter().enumerate() {
        let answer = daemon.request(&order(&format!("w{number}")).with_header(MARK, mark));
        assert_eq!((answer.is_duplicate(), &answer.json()["test"]), (false, &Value::Null), "{mark}");
    }
    let marked = easypost_request(event).with_header(MARK, &mark_body(EASYPOST_SECRET, b"{}"));
    daemon.request(&marked).event_id();
    daemon.request(&keycloak_request(login).with_header(MARK, &mark_body(SECRET, login))).event_id();
    assert_eq!(home.count("SELECT count(*) FROM webhook_events WHERE test = 1"), 0);
    // The right marks, also under the old secret of a rotation, and with the secret that EasyPost normalizes.
    let tests = [
        order("w0").with_header(MARK, &mark_body(SECRET, &body)),
        order("t1").with_header(MARK, &mark_body(OLD_SECRET, &body)),
        easypost_request(event).with_header(MARK, &mark_body("se\u{301}cret-of-easypost", event)),
        keycloak_request(login).with_header(MARK, &mark_body(KEYCLOAK_SECRET, login)),
    ];
    for test in &tests {
        for is_duplicate in [false, true] {
            let answer = daemon.request(test);
            assert_eq!((answer.is_duplicate(), &answer.json()["test"]), (is_duplicate, &Value::Bool(true)));
        }
    }
    assert_eq!(home.count("SELECT count(*) FROM webhook_events WHERE test = 1"), 4);
    daemon.stop();
}

/// A test request proves nothing but a test: without its mark, or with the mark as a signature, nothing is stored.
#[test]
fn test_request_cannot_be_made_a_real_one() {
    let home = Home::new("");
    home.edit_config("[keycloak]", "[keycloak]\naccept = [\"bearer\", \"signature\"]");
    let daemon = home.serve();
    let (body, login) = (order_body(1), br#"{"uid":"k1","type":"LOGIN","time":1764000000000}"#);
    let event = r#"{"id":"evt_1","description":"tracker.updated","result":{}}"#.as_bytes();
    let marked = [
        (shopify_request("t", &body).without_header("X-Shopify-Hmac-Sha256"), mark_body(SECRET, &body)),
        (easypost_request(event).without_header("X-Hmac-Signature"), mark_body("se\u{301}cret-of-easypost", event)),
        (keycloak_request(login).without_header("Authorization"), mark_body(KEYCLOAK_SECRET, login)),
    ];
    for (request, mark) in marked {
        assert_eq!(daemon.request(&request.clone().with_header(MARK, &mark)).json()["test"], true);
        let base64_mark = base64(&hex::decode(&mark).unwrap());
        for stripped in [
            request.clone(),
            request.clone().with_header("X-Shopify-Hmac-Sha256", &base64_mark),
            request.clone().with_header("X-Hmac-Signature", &format!("hmac-sha256-hex={mark}")),
            request.clone().with_header("X-Keycloak-Signature", &mark),
            request.clone().with_header(MARK, &mark_body("wrong", b"{}")),
        ] {
            assert_eq!(daemon.request(&stripped).status, 401);
        }
    }
    assert_eq!(home.count("SELECT count(*) FROM webhook_events WHERE test = 0"), 0);
    // `send` itself sends no proof of a real request.
    send(&home, &daemon, &["shopify", "orders/create"]);
    let reasons = home.sql("SELECT DISTINCT reason FROM rejected_requests WHERE path LIKE '%shopify%' ORDER BY 1");
    assert_eq!(reasons, "signature_mismatch\nsignature_missing");
    daemon.stop();
}

/// A real event with the id and the bytes of a test event is neither its duplicate nor its repetition.
#[test]
fn a_test_event_takes_nothing_from_a_real_one() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = order_body(5);
    let file = home.path("body");
    fs::write(&file, &body).unwrap();
    let file = file.display().to_string();
    send(&home, &daemon, &["shopify", "orders/create", "--id", "mine", "--file", &file]);
    assert!(!daemon.send_order("mine", &body).is_duplicate());
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT order_id FROM sales_orders"), "5");
    assert_eq!(home.sql("SELECT webhook_id, same_body_as FROM webhook_events ORDER BY id"), "test:mine|\nmine|");
    let repeated = daemon.send_order("another", &body).event_id();
    let original = home.sql("SELECT id FROM webhook_events WHERE webhook_id = 'mine'");
    assert_eq!(home.sql(&format!("SELECT same_body_as FROM webhook_events WHERE id = {repeated}")), original);
    daemon.stop();
}

#[test]
fn test_events_are_shown_as_tests_and_can_be_removed() {
    let home = Home::new("");
    let daemon = home.serve();
    let broken = home.path("broken");
    fs::write(&broken, "not JSON").unwrap();
    daemon.send_order("real", &order_body(9)).event_id();
    let id = send(&home, &daemon, &["shopify", "orders/create"])["event_id"].to_string();
    send(&home, &daemon, &["shopify", "orders/create", "--file", &broken.display().to_string()]);
    home.wait_until_processed();
    let list = home.run_ok(&["events", "list"]);
    assert!(list.contains("completed (test)") && list.contains("failed (test)"), "{list}");
    let json = home.run_ok(&["events", "list", "--json"]);
    assert_eq!((json.matches("\"test\":true").count(), json.matches("\"test\":false").count()), (2, 1), "{json}");
    assert!(home.run_ok(&["events", "show", &id]).contains("completed (test)"));
    let found = home.run_ok(&["events", "search", "5820982911946154508"]);
    assert!(found.contains("completed (test)"), "{found}");
    let stats: Value = serde_json::from_str(&home.run_ok(&["stats", "--json"])).unwrap();
    assert_eq!((stats["test_events"].as_u64(), stats["last_day"]["received"].as_u64()), (Some(2), Some(1)), "{stats}");
    assert!(home.run_ok(&["stats"]).contains("2 test events are not in these figures"));
    let doctor = String::from_utf8(home.run(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("2 test events are stored"), "{doctor}");
    assert!(!doctor.contains("failed for good"), "a test that failed is no failure of the daemon: {doctor}");
    assert_eq!(home.sql("SELECT * FROM failures"), "");
    // A retry stays a test.
    home.run_ok(&["events", "retry", &id]);
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT order_id FROM sales_orders"), "9");
    assert_eq!(home.run_ok(&["events", "remove-tests"]).trim(), "removed 2 test events");
    assert_eq!(home.run_ok(&["events", "remove-tests", "--json"]).trim(), r#"{"in_process":0,"removed":0}"#);
    for table in ["webhook_events", "webhook_payloads"] {
        assert_eq!(home.count(&format!("SELECT count(*) FROM {table}")), 1, "{table}");
    }
    assert_eq!(home.count("SELECT count(DISTINCT event_id) FROM webhook_event_log"), 1);
    assert!(!home.run_ok(&["stats"]).contains("test event"));
    home.assert_consistent();
    let backup = home.path("backup").display().to_string();
    send(&home, &daemon, &["keycloak"]);
    home.run_ok(&["backup", &backup]);
    // A stored mark and body would let a reader of the database make test events.
    let exported = home.run_ok(&["events", "export"]);
    assert!(exported.contains("content-type") && !exported.contains(&MARK.to_lowercase()), "{exported}");
    daemon.stop();
}

/// A real event to a production daemon is announced, because it reaches the ERP.
#[test]
fn send_warns_before_a_real_event() {
    let home = home_with_destinations(|home| {
        let destination = |name: &str, topics: &str| {
            directory_destination(&home.path("files"))
                .replace("\"files\"\ntype", &format!("\"{name}\"\ntype"))
                .replace("[\"*\"]", topics)
        };
        destination("erp", "[\"shopify:*\"]") + &destination("scans", "[\"easypost:*\"]")
    });
    let daemon = home.serve();
    let to = daemon.address.to_string();
    for (source, effect) in [
        ("shopify", "changes the ERP tables and goes to 1 destination (erp)."),
        ("keycloak", "goes to no destination."),
    ] {
        let real = home.run(&["send", source, "--real", "--to", &to]);
        let warning = String::from_utf8_lossy(&real.stderr).into_owned();
        assert!(real.status.success() && warning.contains(effect), "{warning}");
    }
    let test = home.run(&["send", "shopify", "--to", &to]);
    assert!(test.status.success() && test.stderr.is_empty(), "{test:?}");
    daemon.stop();
}

/// An option that the source would ignore is refused, and an unknown shop is answered with the known ones.
#[test]
fn send_refuses_what_it_would_ignore() {
    let home = Home::new("");
    let body = home.path("acme").display().to_string();
    for (arguments, code, message) in [
        (&["shopify", "--shop", "third.myshopify.com"][..], 1, "third.myshopify.com is not configured"),
        (&["shopify", "--shop", "third.myshopify.com"], 1, "has acme-foods.myshopify.com, "),
        (&["easypost", "--shop", "acme-foods.myshopify.com"], 2, "--shop is for Shopify"),
        (&["keycloak", "--id", "x", "--file", &body], 2, "has its id in the body"),
        (&["sps", "850"], 2, "EDI documents cannot be sent this way"),
        (&["sps"], 1, "has no [sps]"),
    ] {
        let refused = home.run(&[&["send"], arguments].concat());
        let printed = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(code) && printed.contains(message), "{arguments:?}: {printed}");
    }
}

/// A row with the number in the body of a test event belongs to a real event.
#[test]
fn test_event_shows_no_rows_of_a_real_order() {
    let home = Home::new("");
    let daemon = home.serve();
    let file = home.path("order.json");
    fs::write(&file, order_body(9)).unwrap();
    let real = daemon.send_order("real", &order_body(9)).event_id().to_string();
    let test = send(&home, &daemon, &["shopify", "orders/create", "--file", &file.display().to_string()])["event_id"]
        .to_string();
    home.wait_until_processed();
    let show = |id: &str| serde_json::from_str::<Value>(&home.run_ok(&["events", "show", id, "--json"])).unwrap();
    assert_eq!(
        (&show(&real)["order_number"], &show(&real)["rows"][0]["table"]),
        (&"#9".into(), &"sales_orders".into())
    );
    assert_eq!((&show(&test)["order_number"], &show(&test)["rows"]), (&Value::Null, &Value::Array(Vec::new())));
    daemon.stop();
}
