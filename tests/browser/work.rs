//! What a person does at the console: sees events arrive, finds a failure, retries, maps goods, prints an order.

use crate::browser::Browser;
use crate::support::console::{add_console_user, insert_failed_events};
use crate::support::edi_files::{interchange, order_set};
use crate::support::outbound_documents::{home_with_order, invoice, send_document};
use crate::support::{Daemon, Home, order_body};
use std::fs;
use std::process::Command;

fn sign_in_operator(home: &Home, daemon: &Daemon<'_>) -> Browser {
    add_console_user(home, "anna", "operator");
    let browser = Browser::open(daemon);
    browser.sign_in("anna");
    browser
}

#[test]
fn event_appears_in_an_open_list() {
    let home = Home::new("");
    let daemon = home.serve();
    let browser = sign_in_operator(&home, &daemon);
    browser.open_page("/events");
    assert_eq!(browser.count("tbody tr"), 0);
    let event = daemon.send_order("w-1", &order_body(1001)).event_id();
    browser.wait_for(&format!("tr#event-{event} .status.completed"));
    // The reader's place stays when rows arrive above it.
    browser.run_script("document.querySelector('tbody a').focus()");
    let next = daemon.send_order("w-2", &order_body(1002)).event_id();
    browser.wait_for(&format!("tr#event-{next}"));
    let focus = browser.run_script("return document.activeElement.textContent.trim()");
    assert_eq!(focus, event.to_string(), "the focus stays at the first event");
}

#[test]
fn failure_is_found_by_its_order_number_and_retried() {
    let home = Home::new("");
    let daemon = home.serve();
    let browser = sign_in_operator(&home, &daemon);
    daemon.send_order("w-1", &order_body(1001)).event_id();
    let event = daemon.send_order("w-2", &order_body(1002)).event_id();
    home.wait_until_processed();
    home.sql(&format!(
        "UPDATE webhook_events SET status = 'failed', last_error = 'the product is unknown' WHERE id = {event}"
    ));
    browser.open_page("/");
    browser.wait_for_text("1 failed");
    browser.open_page("/events");
    browser.enter("input[name=q]", "#1002");
    browser.click("form.filter button[type=submit]");
    browser.wait_for_text("the product is unknown");
    assert_eq!(browser.count("tbody tr"), 1);
    browser.click("tbody th a");
    browser.click("form[action$='/retry'] button");
    home.wait_for(&format!("SELECT status FROM webhook_events WHERE id = {event}"), "completed");
    browser.open_page(&format!("/events/{event}"));
    assert!(browser.text("h1").contains("completed"), "{}", browser.text("h1"));
}

/// The retried events stay in the queue, so that the test can count them.
#[test]
fn retry_of_all_matching_events_is_stopped_half_way() {
    const EVENTS: u32 = 60_000;
    let home = Home::new("[worker]\nin_serve = false");
    let daemon = home.serve();
    let browser = sign_in_operator(&home, &daemon);
    insert_failed_events(&home, EVENTS);
    browser.open_page("/retries/new?status=failed");
    browser.wait_for_text("10,000+ events match");
    browser.click("form[action='/retries'] button");
    browser.wait_for("form[action$='/stop'] button");
    browser.click("form[action$='/stop'] button");
    browser.wait_for("h1 .status.stopped");
    let retried = home.count("SELECT count(*) FROM webhook_events WHERE status = 'received'");
    assert!(retried < i64::from(EVENTS), "{retried} events were retried before the stop");
    browser.wait_for_text("Retry the others");
}

#[test]
fn mapping_completes_a_purchase_order() {
    let home = home_with_order(&interchange("850", &[order_set("PO1", 1)]));
    let daemon = home.serve();
    let browser = sign_in_operator(&home, &daemon);
    browser.open_page("/purchase-orders");
    browser.wait_for_text("1 line has no item");
    browser.click("tbody a");
    browser.enter("form[action='/mappings/items'] input[name=item]", "FG-7");
    browser.click("form[action='/mappings/items'] button");
    browser.wait_for_text("FG-7");
    assert_eq!(browser.count("form[action='/mappings/items']"), 0);
    assert!(home.run_ok(&["sps", "show", "PO1"]).contains("ERP item FG-7"));
    browser.open_page("/purchase-orders");
    assert!(!browser.text("main").contains("has no item"), "{}", browser.text("main"));
}

#[test]
fn purchase_order_is_printed_as_a_paper_order() {
    let home = home_with_order(&interchange("850", &[order_set("PO1", 2)]));
    let (status, output) = send_document(&home, "810", &invoice("INV7"), &[]);
    assert_eq!(status, 0, "{output}");
    let daemon = home.serve();
    let browser = sign_in_operator(&home, &daemon);
    browser.open_page("/purchase-orders");
    browser.click("tbody a");
    browser.open_page(&format!("{}/print", browser.path()));
    let pdf = home.path("order.pdf");
    fs::write(&pdf, browser.print_page()).unwrap();
    let output =
        Command::new("pdftotext").arg("-layout").arg(&pdf).arg("-").output().expect("pdftotext of poppler-utils");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["PURCHASE ORDER PO1", "Acme DC 5", "19.95", "598.5", "INV7"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("Sign out") && !text.contains("Show personal data"), "no buttons on paper: {text}");
}
