//! Lists for people and for programs: times in the zone of the machine, tables as wide as the terminal, CSV.

use crate::support::destinations::{home_with_destinations, http_destination, send_orders};
use crate::support::fake_erp::{FakeErp, Reply};
use crate::support::terminal::run_at_terminal;
use crate::support::{BIN, Home, Request, keycloak_request, shopify_request};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use unicode_width::UnicodeWidthStr;

/// The rule of New York's zone, which needs no zone data: 5 h behind UTC, 4 h in summer.
const NEW_YORK: &str = "EST5EDT,M3.2.0,M11.1.0";

/// Returns a home with one completed event that arrived on 15 January 2026 at 20:30 UTC.
fn home_with_event() -> Home {
    let home = Home::new("");
    let daemon = home.serve();
    daemon.send_order("w1", br#"{"id":1}"#).event_id();
    home.wait_until_processed();
    daemon.stop();
    home.sql("UPDATE webhook_events SET received_at = '2026-01-15T20:30:00.123Z'");
    home
}

/// Returns the output of a command in a time zone.
fn run_in_zone(home: &Home, zone: &str, arguments: &[&str]) -> String {
    let output = home.command(arguments).env("TZ", zone).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn times_are_in_the_zone_of_the_machine_with_their_age() {
    let home = home_with_event();
    for command in [&["events", "list"][..], &["events", "show", "1"], &["events", "search", "1"]] {
        let local = run_in_zone(&home, NEW_YORK, command);
        assert!(local.contains("2026-01-15 15:30:00 EST (") && local.contains(" days ago)"), "{local}");
        let utc = [command, &["--utc"]].concat();
        let utc = run_in_zone(&home, NEW_YORK, &utc);
        assert!(utc.contains("2026-01-15 20:30:00 UTC ("), "{utc}");
        let before = [&["--utc"], command].concat();
        assert!(run_in_zone(&home, NEW_YORK, &before).contains("2026-01-15 20:30:00 UTC ("));
        let json = [command, &["--json"]].concat();
        let json = run_in_zone(&home, NEW_YORK, &json);
        assert!(json.contains("\"2026-01-15T20:30:00.123Z\"") && !json.contains("EST"), "{json}");
    }
    // The history has milliseconds, and no age.
    let shown = run_in_zone(&home, NEW_YORK, &["events", "show", "1"]);
    let history = shown.lines().find(|line| line.contains("processing → completed")).unwrap();
    let zone = history.split_whitespace().nth(2).unwrap();
    assert!(["EST", "EDT"].contains(&zone), "{history}");
    assert_eq!(history.split_whitespace().nth(1).unwrap().len(), "15:30:00.123".len(), "{history}");
    // A zone that the machine does not know is UTC, and the output says so.
    let unknown = run_in_zone(&home, "Nowhere/Atlantis", &["events", "list"]);
    assert!(unknown.contains("2026-01-15 20:30:00 UTC ("), "{unknown}");
}

#[test]
fn zone_can_be_a_name_of_the_zone_data() {
    let zone_data = "/usr/share/zoneinfo/America/New_York";
    if !fs::exists(zone_data).unwrap() {
        println!("skipped: {zone_data} is missing");
        return;
    }
    let listed = run_in_zone(&home_with_event(), "America/New_York", &["events", "list"]);
    assert!(listed.contains("2026-01-15 15:30:00 EST ("), "{listed}");
}

#[test]
fn times_of_arguments_are_read_in_the_zone() {
    let home = home_with_event();
    let count = |arguments: &[&str]| {
        let arguments = [&["events", "list", "--json", "--since"], arguments].concat();
        run_in_zone(&home, NEW_YORK, &arguments).lines().count()
    };
    assert_eq!(count(&["2026-01-15 15:30"]), 1);
    assert_eq!(count(&["2026-01-15 15:31"]), 0, "15:30 in New York is 20:30 UTC");
    assert_eq!(count(&["2026-01-15 15:31", "--utc"]), 1);
    assert_eq!(count(&["2026-01-15T20:30:00Z"]), 1, "an offset counts");
    assert_eq!(count(&["2026-01-15T20:31:00Z"]), 0);
    assert_eq!(count(&["2026-01-15"]), 1);
    assert_eq!(count(&["2026-01-16"]), 0);
    for recent in ["yesterday", "today", "2 days ago", "3h"] {
        assert_eq!(count(&[recent]), 0, "{recent}");
    }
    home.sql("UPDATE webhook_events SET received_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')");
    for recent in ["yesterday", "2 days ago", "3h", "1 h"] {
        assert_eq!(count(&[recent]), 1, "{recent}");
    }
    let tomorrow = home.sql("SELECT date('now', '+2 days')");
    assert_eq!(count(&[&tomorrow]), 0);
    let wrong = home.run(&["audit", "list", "--until", "next week"]);
    assert_eq!(wrong.status.code(), Some(2));
    let error = String::from_utf8(wrong.stderr).unwrap();
    assert!(error.contains("today or yesterday, or an age such as 30m, 2h, 3d or '2 days ago'"), "{error}");
}

#[test]
fn send_waits_until_the_event_is_processed() {
    let home = Home::new("");
    let daemon = home.serve();
    let send_order = |extra: &[&str]| {
        let to = daemon.address.to_string();
        home.run(&[&["send", "shopify", "orders/create", "--real", "--wait", "--to", &to], extra].concat())
    };
    let sent = send_order(&[]);
    assert!(String::from_utf8(sent.stdout).unwrap().ends_with("event 1 is completed\n"));
    assert_eq!(home.sql("SELECT status FROM webhook_events"), "completed");
    fs::write(home.path("broken"), "no JSON").unwrap();
    let failed = send_order(&["--file", &home.path("broken").display().to_string()]);
    assert_eq!(failed.status.code(), Some(1));
    let error = String::from_utf8(failed.stderr).unwrap();
    assert!(error.contains("event 2 failed: the body cannot be read"), "{error}");
}

#[test]
fn next_attempt_is_ahead() {
    let home = home_with_event();
    home.sql(
        "UPDATE webhook_events SET status = 'received', completed_at = NULL, \
         next_attempt_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+90 minutes')",
    );
    let shown = home.run_ok(&["events", "show", "1"]);
    let next = shown.lines().find(|line| line.starts_with("next attempt at")).unwrap();
    assert!(next.ends_with("(in 1 h)"), "{next}");
}

#[test]
fn table_is_as_wide_as_the_terminal() {
    let home = home_with_event();
    let error = "the ERP of the müller gmbh 日本 gave no answer: ".repeat(8);
    home.sql(&format!("UPDATE webhook_events SET id = 123456789, status = 'failed', last_error = '{error}'"));
    let list = format!("{BIN} --config {} events list", home.config().display());
    for (columns, command) in [(110, format!("COLUMNS=110 {list}")), (80, format!("stty cols 80; exec {list}"))] {
        // The terminal of `script` has no size of its own.
        let command = if columns == 80 { format!("unset COLUMNS; {command}") } else { command };
        let (status, screen) = run_at_terminal(&command, &[] as &[&str]);
        assert!(status.success(), "{screen}");
        let lines: Vec<String> = screen.lines().map(remove_styles).collect();
        assert_eq!(lines.len(), 2, "{screen}");
        for line in &lines {
            assert!(line.width() <= columns, "{} columns of {columns}: {line}", line.width());
        }
        assert!(lines[1].starts_with("123456789  ") && lines[1].ends_with('…'), "{screen:?}");
        assert!(lines[1].contains(" days ago"), "{}", lines[1]);
    }
    let output = home.command(&["events", "list"]).env("COLUMNS", "60").output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains(error.trim_end()), "a pipe gets all of it");
}

/// Returns a line of a terminal without its colours.
fn remove_styles(line: &str) -> String {
    let mut parts = line.trim_end_matches('\r').split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
}

/// Checks that `--csv` of a list has the keys of its JSON as columns, and the same number of rows. Returns the CSV.
fn assert_csv(home: &Home, command: &[&str]) -> String {
    let json = run_in_zone(home, NEW_YORK, &[command, &["--json"]].concat());
    let csv = run_in_zone(home, NEW_YORK, &[command, &["--csv"]].concat());
    let rows: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!rows.is_empty(), "{command:?} has no row");
    let keys: BTreeSet<&str> =
        rows.iter().flat_map(|row| row.as_object().unwrap().keys()).map(String::as_str).collect();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    assert_eq!(header.iter().collect::<BTreeSet<_>>(), keys, "{command:?}");
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), rows.len(), "{command:?}");
    for (record, row) in records.iter().zip(&rows) {
        for (column, value) in header.iter().zip(record) {
            let expected = match &row[column] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert_eq!(value.trim_start_matches('\''), expected, "{command:?}: {column}");
        }
    }
    csv
}

#[test]
fn every_list_of_events_is_csv_too() {
    let erp = FakeErp::start(|_, _| Reply::StatusWithBody(400, String::new(), b"=HYPERLINK(\"x\")".to_vec()));
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
    let daemon = home.serve();
    send_orders(&daemon, 1..=2);
    daemon.request(&keycloak_request(
        br#"{"uid":"k1","type":"LOGIN_ERROR","time":1764000000000,"error":"-1+cmd","details":{"username":"=ada"}}"#,
    ));
    home.wait_until_processed();
    let forged = shopify_request("w4", b"{}").with_header("X-Shopify-Hmac-Sha256", "Zm9yZ2Vk");
    daemon.request(&Request { ..forged });
    home.wait_for("SELECT count(*) FROM rejected_requests", "1");
    home.wait_for("SELECT count(*) FROM destination_queue", "0");
    daemon.stop();
    home.sql(
        "INSERT INTO alerts (kind, subject, first_at, last_at, count, message) VALUES ('login_errors_of_user', 'ada', \
         '2026-01-15T20:30:00.000Z', '2026-01-15T20:31:00.000Z', 10, 'ten, or \"more\"');\
         INSERT INTO data_requests (event_id, shop_domain, orders, requested_at, due_at) VALUES (1, 'a.example.com', \
         '[]', '2026-01-15T20:30:00.000Z', '2026-02-14T20:30:00.000Z');\
         INSERT INTO destructive_requests (event_id, shop_domain, topic, body_hash, state, received_at) VALUES (2, \
         'a.example.com', 'shop/redact', 1, 'refused', '2026-01-15T20:30:00.000Z')",
    );
    for command in [
        &["events", "list"][..],
        &["events", "search", "#2"],
        &["events", "rejected"],
        &["destinations", "list"],
        &["privacy", "list"],
        &["audit", "alerts"],
        &["mappings", "list", "--unmapped"],
    ] {
        assert_csv(&home, command);
    }
    let trail = assert_csv(&home, &["audit", "list"]);
    assert!(trail.contains(",'=ada,") && trail.contains(",'-1+cmd,"), "a spreadsheet runs no formula: {trail}");
    home.run_ok(&["mappings", "add", "--shop", "a.example.com", "--sku", "J", "--item", "G", "--note", "@SUM(1)"]);
    let mappings = assert_csv(&home, &["mappings", "list"]);
    assert!(mappings.contains("'@SUM(1)"), "{mappings}");
    let none = home.run_ok(&["events", "list", "--status", "processing", "--csv"]);
    assert!(none.starts_with("id,received_at,") && none.lines().count() == 1, "an empty list has its header: {none}");
    assert_eq!(home.run(&["events", "list", "--csv", "--json"]).status.code(), Some(2));
}

#[test]
fn lists_of_purchase_orders_are_csv_too() {
    let home = crate::edi_examples::home_with_sample_order();
    fs::write(home.path("in/broken.edi"), "no EDI").unwrap();
    fs::write(home.path("in/odd\nname.edi"), "its name cannot be stored").unwrap();
    let answer = crate::support::answers::answer_file("997", &["AK1*IN*99", "AK9*R*1*1*0"]);
    fs::write(home.path("in/answer.edi"), answer).unwrap();
    home.run_ok(&["sps", "poll"]);
    home.run_ok(&["work", "--once"]);
    assert_csv(&home, &["sps", "list", "--attention"]);
    assert_csv(&home, &["sps", "sent"]);
    assert_csv(&home, &["sps", "unmapped"]);
}
