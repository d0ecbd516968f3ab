//! The operator's daily tools: mappings, search, tail, retries of many.

use crate::util::{Daemon, Home, Request, SHOP, easypost, order, shopify};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

fn fixture(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/it/golden/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn send(daemon: &Daemon<'_>, topic: &str) {
    let body = fixture(&format!("shopify.{}", topic.replace('/', "-")));
    let request = shopify(topic, &body).with("X-Shopify-Topic", topic);
    daemon.request(&Request { path: format!("/api/webhooks/shopify/{topic}"), ..request }).event_id();
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn mappings_are_added_imported_exported_and_complete_what_waits() {
    let home = Home::new("");
    let daemon = home.serve();
    send(&daemon, "orders/create");
    home.wait_until_worked();
    let unmapped = home.ok(&["mappings", "list", "--unmapped", "--json"]);
    assert!(json_lines(&unmapped).iter().any(|line| line["sku"] == "GRANOLA-12" && line["orders"] == 1), "{unmapped}");
    let said = home.ok(&["mappings", "add", "--shop", SHOP, "--sku", "GRANOLA-12", "--item", "G-1", "--factor", "12"]);
    assert!(said.starts_with("1 mapped; 1 lines of orders completed, 1 still wait"), "{said}");
    assert_eq!(home.sql("SELECT item, item_quantity FROM sales_order_lines WHERE sku = 'GRANOLA-12'"), "G-1|24");
    // Wrong calls are wrong before anything is written.
    for wrong in [
        &["mappings", "add", "--shop", SHOP, "--item", "x"][..],
        &["mappings", "add", "--shop", SHOP, "--sku", "a", "--variant", "1", "--item", "x"],
        &["mappings", "add", "--shop", SHOP, "--sku", "a", "--item", "x", "--factor", "0"],
    ] {
        assert_eq!(home.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let exported = home.ok(&["mappings", "export"]);
    assert_eq!(exported, format!("shop_domain,variant_id,sku,item,factor,note\n{SHOP},,GRANOLA-12,G-1,12,\n"));

    let file = home.path("m.csv");
    let path = file.display().to_string();
    fs::write(
        &file,
        format!("\u{feff}shop_domain,variant_id,sku,item,factor\n{SHOP},,JAM,J,\n{SHOP},4.32E+16,,G,1\n,,A,B,1\n{SHOP},,C,,x\n"),
    )
    .unwrap();
    let output = home.run(&["mappings", "import", &path]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for expected in [
        ":3: the variant_id \"4.32E+16\" is no whole number",
        ":4: the shop must be",
        ":5: the item is missing; the factor \"x\"",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    assert_eq!(home.sql("SELECT count(*) FROM shopify_product_mappings"), "1", "nothing of a wrong file is imported");
    fs::write(
        &file,
        format!("item,sku,shop_domain,variant_id\nG-12,,{SHOP},43212345678901234\nG-2,GRANOLA-12,{SHOP},\n"),
    )
    .unwrap();
    assert_eq!(home.ok(&["mappings", "import", "--dry-run", &path]), "2 lines are right and would be mapped\n");
    assert_eq!(home.sql("SELECT count(*) FROM shopify_product_mappings"), "1");
    home.ok(&["mappings", "import", &path]);
    assert_eq!(
        home.sql("SELECT item FROM sales_order_lines WHERE sku = 'GRANOLA-12'"),
        "G-12",
        "the variant's goes first"
    );
    home.ok(&["mappings", "remove", "--shop", SHOP, "--variant", "43212345678901234"]);
    assert_eq!(home.sql("SELECT item, item_quantity FROM sales_order_lines WHERE sku = 'GRANOLA-12'"), "G-2|2");
    assert_eq!(home.run(&["mappings", "remove", "--shop", SHOP, "--sku", "none"]).status.code(), Some(1));
}

#[test]
fn events_are_found_by_what_people_have_in_hand() {
    let home = Home::new("");
    let daemon = home.serve();
    for topic in ["orders/create", "fulfillments/create", "refunds/create", "customers/update", "products/update"] {
        send(&daemon, topic);
    }
    daemon.request(&easypost(&fixture("easypost.tracker.updated"))).event_id();
    daemon.deliver("other", &order(77));
    home.wait_until_worked();
    let topics = |word: &str| -> Vec<String> {
        let mut found: Vec<String> = json_lines(&home.ok(&["events", "search", word, "--json"]))
            .iter()
            .map(|hit| hit["topic"].as_str().unwrap().to_owned())
            .collect();
        found.sort();
        found
    };
    let of_order = ["fulfillments/create", "orders/create", "refunds/create"];
    for word in ["#1001", "1001", "5820982911946154508"] {
        assert_eq!(topics(word), of_order, "{word}");
    }
    for word in ["ADA@example.com", "example"] {
        assert_eq!(
            topics(word),
            ["customers/update", "fulfillments/create", "orders/create", "refunds/create"],
            "{word}"
        );
    }
    assert_eq!(
        topics("1z999aa10123456784"),
        ["fulfillments/create", "orders/create", "refunds/create", "tracker.updated"]
    );
    assert_eq!(topics("GRANOLA-12"), of_order);
    assert_eq!(topics("7889812345678901234"), ["products/update"]);
    assert_eq!(topics("#77"), ["orders/create"]);
    assert_eq!(home.ok(&["events", "search", "nobody@example.com"]), "No event is about that.\n");
    assert_eq!(home.ok(&["events", "search", "#1001", "--limit", "1", "--json"]).lines().count(), 1);
}

/// No way of a search walks through a table.
#[test]
fn a_search_reads_indexes_only() {
    let home = Home::new("");
    home.serve().stop();
    let source = fs::read_to_string(format!("{}/src/store/search.rs", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let ways = &source[source.find("const WAYS").unwrap()..source.find("];").unwrap()];
    let mut looked = 0;
    for query in ways.split('"').filter(|text| text.starts_with("SELECT")) {
        let query = query.replace("\\\n", " ").replace("?1", "'x'").replace("?2", "10");
        let plan = home.sql(&format!("EXPLAIN QUERY PLAN {query}"));
        assert!(!plan.contains("SCAN ") || plan.contains("SCAN CONSTANT ROW"), "{query}\n{plan}");
        looked += 1;
    }
    assert_eq!(looked, 10);
}

#[test]
fn tail_shows_steps_as_they_are_made() {
    let home = Home::new("");
    let daemon = home.serve();
    daemon.deliver("before", &order(1));
    home.wait_until_worked();
    let mut tail = home
        .command(&["events", "tail", "--topic", "orders/*", "--limit", "3", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    // It begins with what comes after it began, which nobody can see from here: something is sent until it shows a step.
    let sender = std::thread::spawn({
        let address = daemon.address;
        move || {
            for id in 0.. {
                let mut connection = crate::util::Connection::open(address).unwrap();
                connection.request(&shopify(&format!("w{id}"), &order(2)));
                if id > 500 {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    });
    let steps: Vec<Value> = (0..3).map(|_| serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap()).collect();
    assert!(tail.wait().unwrap().success());
    assert!(
        steps.iter().all(|step| step["topic"] == "orders/create" && step["event_id"].as_i64() > Some(1)),
        "{steps:?}"
    );
    drop(sender);
}

#[test]
fn many_are_retried_by_filter_and_an_interrupted_retry_goes_on() {
    let home = Home::new("");
    let daemon = home.serve();
    for id in 1..=30 {
        daemon.deliver(&format!("w{id}"), b"no json");
    }
    home.wait_until_worked();
    assert_eq!(home.sql("SELECT count(*) FROM failures"), "30");
    let error = home.sql("SELECT DISTINCT error FROM failures");
    assert!(error.contains("it is not JSON at line 1, column 2"), "the place of the error: {error}");
    let would = home.ok(&["events", "retry", "--status", "failed", "--dry-run"]);
    assert_eq!((would.lines().count(), would.lines().next()), (30, Some("event 30 would be due now")));
    assert_eq!(home.sql("SELECT count(*) FROM webhook_event_log WHERE error = 'retried by hand'"), "0");
    daemon.stop();
    assert_eq!(home.ok(&["events", "retry", "--topic", "orders/*", "--limit", "10", "--json"]).lines().count(), 10);
    assert_eq!(home.sql("SELECT min(id), max(id) FROM webhook_events WHERE status = 'received'"), "21|30");
    let went_on = home.ok(&["events", "retry", "--topic", "orders/*", "--before", "21", "--json"]);
    assert_eq!((went_on.lines().count(), home.sql("SELECT count(*) FROM failures").as_str()), (20, "0"));
}
