//! Deliveries of a redaction: the order to forget a person reaches a destination after everything that it is about.

use crate::support::destinations::{home_with_destinations, http_destination, send_orders, wait_until_delivered};
use crate::support::fake_erp::{FakeErp, Reply};
use crate::support::{Daemon, Request, shopify_request};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

const REDACT: &str = r#"{"shop_domain":"acme-foods.myshopify.com","customer":{"id":99,"email":"ada@example.com","phone":"+15550142"},"orders_to_redact":[7,8]}"#;
/// Each attempt's event and status, in the order in which the attempts ended.
const ATTEMPTS: &str = "SELECT d.event_id, l.to_status FROM destination_delivery_log l \
                        JOIN destination_deliveries d ON d.id = l.delivery_id ORDER BY l.id";

fn redact(daemon: &Daemon<'_>) {
    let request = shopify_request("r", REDACT.as_bytes()).with_header("X-Shopify-Topic", "customers/redact");
    daemon.request(&Request { path: "/api/webhooks/shopify/customers/redact".into(), ..request }).event_id();
}

/// The ERP answers the order only after a second request, or after a second: a redaction that overtakes is in flight
/// beside it.
#[test]
fn redaction_waits_for_redacted_events_in_flight() {
    let (sender, second_request) = mpsc::channel();
    let second_request = Mutex::new(second_request);
    let erp = FakeErp::start(move |number, _| {
        if number == 0 {
            let _ = second_request.lock().unwrap().recv_timeout(Duration::from_secs(1));
        } else {
            let _ = sender.send(());
        }
        Reply::Status(200)
    });
    let home =
        home_with_destinations(|_| http_destination("erp", &erp.url, "").replace("shopify:orders/*", "shopify:*"));
    let daemon = home.serve();
    send_orders(&daemon, 7..=7);
    erp.wait_for(1);
    redact(&daemon);
    wait_until_delivered(&home);
    assert_eq!(erp.in_flight_max(), 1);
    assert_eq!(home.sql(ATTEMPTS), "1|delivered\n2|delivered");
}

#[test]
fn redacted_event_without_answer_is_not_sent_again() {
    let erp = FakeErp::start(|number, _| if number == 0 { Reply::Hang } else { Reply::Status(200) });
    let home = home_with_destinations(|_| {
        let destination = http_destination("erp", &erp.url, "").replace("shopify:orders/*", "shopify:*");
        destination.replace("timeout = \"5s\"", "timeout = \"1s\"")
    });
    let daemon = home.serve();
    send_orders(&daemon, 7..=7);
    erp.wait_for(1);
    redact(&daemon);
    wait_until_delivered(&home);
    assert_eq!(home.sql(ATTEMPTS), "1|failed\n2|delivered");
    assert_eq!(erp.requests().len(), 2);
    let error = home.sql("SELECT last_error FROM destination_deliveries WHERE event_id = 1");
    assert_eq!(error, "the event was redacted while the delivery was in flight");
}

#[test]
fn redaction_is_sent_again_after_a_failure() {
    let erp = FakeErp::start(|number, _| Reply::Status(if number == 0 { 500 } else { 200 }));
    let home =
        home_with_destinations(|_| http_destination("erp", &erp.url, "").replace("shopify:orders/*", "shopify:*"));
    let daemon = home.serve();
    redact(&daemon);
    wait_until_delivered(&home);
    assert_eq!(home.sql(ATTEMPTS), "1|pending\n1|delivered");
}

/// A rejected redaction has no body, but its notice can be retried, and the ERP's answer is kept.
#[test]
fn rejected_redaction_can_be_retried() {
    let erp = FakeErp::start(|number, _| Reply::Status(if number == 0 { 400 } else { 200 }));
    let home =
        home_with_destinations(|_| http_destination("erp", &erp.url, "").replace("shopify:orders/*", "shopify:*"));
    let daemon = home.serve();
    redact(&daemon);
    wait_until_delivered(&home);
    let error = home.sql("SELECT last_error FROM destination_deliveries");
    assert!(error.contains("400"), "{error}");
    home.run_ok(&["events", "retry", "1"]);
    wait_until_delivered(&home);
    assert_eq!(home.sql(ATTEMPTS), "1|failed\n1|delivered");
}
