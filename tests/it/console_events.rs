//! The console's pages of events and of rejected requests: filters, pages, groups, single events, and what operators
//! do with them.

use crate::support::console::{ConsoleClient, add_console_user, insert_failed_events};
use crate::support::destinations::{home_with_destinations, http_destination, send_orders, wait_until_delivered};
use crate::support::edi_files::{interchange, order_set};
use crate::support::fake_erp::{FakeErp, Reply};
use crate::support::{Daemon, Home, Request, order_body, shopify_request};

/// Text that acts in a browser if a page does not escape it.
const ATTACK: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";

/// Returns a signed-in operator.
fn sign_in_operator(home: &Home, daemon: &Daemon<'_>) -> ConsoleClient {
    add_console_user(home, "anna", "operator");
    ConsoleClient::signed_in(daemon, "anna")
}

/// Returns the ids of the events in a list, in its order.
fn list_ids(page: &str) -> Vec<i64> {
    page.split("<tr id=\"event-").skip(1).map(|row| row[..row.find('"').unwrap()].parse().unwrap()).collect()
}

/// Returns the target of a link by its text.
fn find_link(page: &str, text: &str) -> String {
    let end = page.find(&format!(">{text}</a>")).unwrap_or_else(|| panic!("no link {text:?} in {page}"));
    let start = page[..end].rfind("href=\"").unwrap() + 6;
    let target = &page[start..];
    target[..target.find('"').unwrap()].replace("&amp;", "&")
}

#[test]
fn pages_stay_while_events_arrive() {
    let home = Home::new("[worker]\nin_serve = false");
    let daemon = home.serve();
    let anna = sign_in_operator(&home, &daemon);
    insert_failed_events(&home, 120);
    let first = anna.get("/events?status=failed").body;
    assert_eq!(list_ids(&first), (71..=120).rev().collect::<Vec<_>>());
    let next = find_link(&first, "Older events");
    assert!(next.contains("status=failed"), "{next}");
    insert_failed_events(&home, 60);
    assert_eq!(list_ids(&anna.get(&next).body), (21..=70).rev().collect::<Vec<_>>());
    let last = anna.get(&find_link(&anna.get(&next).body, "Older events")).body;
    assert_eq!(list_ids(&last), (1..=20).rev().collect::<Vec<_>>());
    assert!(!last.contains("Older events"), "{last}");
}

#[test]
fn filter_of_the_address_selects_events() {
    let home = Home::new("[worker]\nin_serve = false");
    let daemon = home.serve();
    let anna = sign_in_operator(&home, &daemon);
    insert_failed_events(&home, 10);
    home.sql(
        "UPDATE webhook_events SET received_at = '2026-01-01T10:0' || id || ':00.000Z' WHERE id <= 3; \
         UPDATE webhook_events SET topic = 'refunds/create' WHERE id = 3; \
         UPDATE webhook_events SET source = 'easypost', shop_domain = '' WHERE id = 4; \
         UPDATE webhook_events SET status = 'completed', last_error = NULL WHERE id = 5; \
         UPDATE webhook_events SET last_error = 'Disk is FULL, 50%' WHERE id = 6",
    );
    for (query, ids) in [
        ("topic=refunds%2F*", &[3][..]),
        ("source=easypost", &[4]),
        ("status=completed", &[5]),
        ("error=disk+*+50%25", &[6]),
        ("until=2026-01-02", &[3, 2, 1]),
        ("since=2026-01-01+10:02&until=2026-01-01+10:03&status=failed", &[2]),
        ("since=2026-01-02&status=failed&error=line+7", &[7]),
        ("status=dismissed", &[]),
    ] {
        assert_eq!(list_ids(&anna.get(&format!("/events?{query}")).body), ids, "{query}");
    }
    for wrong in ["status=lost", "source=ebay", "since=soon"] {
        assert_eq!(anna.get(&format!("/events?{wrong}")).status, 400, "{wrong}");
        assert_eq!(anna.get(&format!("/retries/new?{wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn equal_errors_are_one_line_that_leads_to_its_events() {
    let home = Home::new("[worker]\nin_serve = false");
    let daemon = home.serve();
    let anna = sign_in_operator(&home, &daemon);
    insert_failed_events(&home, 30);
    home.sql("UPDATE webhook_events SET last_error = 'the disk is full' WHERE id > 25");
    let groups = anna.get("/events?group=error").body;
    let link = find_link(&groups, "order * has no line *");
    assert_eq!(list_ids(&anna.get(&link).body), (1..=25).rev().collect::<Vec<_>>());
    assert_eq!(list_ids(&anna.get(&find_link(&groups, "the disk is full")).body), [30, 29, 28, 27, 26]);
    let narrowed = anna.get("/events?group=error&error=disk").body;
    assert!(narrowed.contains("the disk is full") && !narrowed.contains("has no line"), "{narrowed}");
}

#[test]
fn chosen_events_are_retried() {
    let home = Home::new("[worker]\nin_serve = false");
    let daemon = home.serve();
    let anna = sign_in_operator(&home, &daemon);
    insert_failed_events(&home, 5);
    home.sql("DELETE FROM webhook_payloads WHERE event_id = 3");
    assert_eq!(anna.post("/events/retry", "status=failed").status, 400, "no box was ticked");
    let answer = anna.post("/events/retry", "status=failed&id=2&id=3&id=5");
    let target = answer.header("location").unwrap();
    assert_eq!(target, "/events?status=failed&chosen=3&retried=2");
    let page = anna.get(target).body;
    assert!(page.contains("2 of 3 chosen events are retried.") && list_ids(&page) == [4, 3, 1], "{page}");
    assert_eq!(home.sql("SELECT group_concat(id) FROM webhook_events WHERE status = 'received'"), "2,5");
    let audit = "SELECT username, resource_path FROM system_log WHERE type = 'EVENT-RETRY'";
    assert_eq!(home.sql(audit), "anna|2 events, from events/5 to events/2");
}

#[test]
fn page_of_an_event_has_everything_and_masks_persons() {
    let home = Home::new("");
    let daemon = home.serve();
    let anna = sign_in_operator(&home, &daemon);
    let body = String::from_utf8(order_body(1001)).unwrap().replace(
        "\"currency\"",
        "\"customer\":{\"id\":5,\"first_name\":\"Ada\",\"last_name\":\"Lovelace\"},\"currency\"",
    );
    let request = shopify_request("w-1", body.as_bytes()).with_header("x-note", "for Ada");
    let event = daemon.request(&request).event_id();
    home.wait_until_processed();
    let path = format!("/events/{event}");
    let masked = anna.get(&path).body;
    for text in ["Trail", "sales_orders", "#1001", "x-note", "10.00 USD"] {
        assert!(masked.contains(text), "{text} in {masked}");
    }
    for secret in ["Lovelace", "for Ada", "JAM-6"] {
        assert!(!masked.contains(secret), "{secret} in {masked}");
    }
    assert_eq!(anna.get(&format!("{path}/body")).status, 403, "the download is masked too");
    assert_eq!(home.count("SELECT count(*) FROM system_log WHERE type = 'PERSONAL-DATA-VIEW'"), 0);

    assert_eq!(anna.post("/reveal", &format!("path={path}")).status, 303);
    let revealed = anna.get(&path).body;
    for text in ["Lovelace", "for Ada", "<code>&quot;JAM-6&quot;</code>", "<summary><span class=\"key\">line_items"] {
        assert!(revealed.contains(text), "{text} in {revealed}");
    }
    let download = anna.get(&format!("{path}/body"));
    assert_eq!((download.status, download.body.as_str()), (200, body.as_str()));
    let disposition = format!("attachment; filename=\"event-{event}.json\"");
    assert_eq!(download.header("content-disposition"), Some(disposition.as_str()));
    assert_eq!(download.header("content-type"), Some("application/octet-stream"));
    assert_eq!(download.header("x-content-type-options"), Some("nosniff"));
    let audit = "SELECT username, resource_path FROM system_log WHERE type = 'PERSONAL-DATA-VIEW'";
    assert_eq!(home.sql(audit), format!("anna|{path}"));
}

#[test]
fn failed_event_is_dismissed_with_a_reason() {
    let home = Home::new("");
    let daemon = home.serve();
    let anna = sign_in_operator(&home, &daemon);
    let event = daemon.send_order("w-1", b"no JSON").event_id();
    home.wait_until_processed();
    let path = format!("/events/{event}");
    assert!(anna.get(&path).body.contains("Dismiss"));
    assert_eq!(anna.post(&format!("{path}/dismiss"), "reason=+").status, 400);
    assert_eq!(anna.post(&format!("{path}/dismiss"), "reason=a+test").status, 303);
    let columns = "SELECT status, dismissed_by, dismissed_reason FROM webhook_events";
    assert_eq!(home.sql(columns), "failed|anna|a test");
    let page = anna.get(&path).body;
    assert!(page.contains("a test") && !page.contains("name=\"reason\""), "{page}");
    assert_eq!(anna.post(&format!("{path}/dismiss"), "reason=again").status, 409);
    assert_eq!(
        home.sql("SELECT username, resource_path FROM system_log WHERE type = 'EVENT-DISMISS'"),
        "anna|events/1"
    );
}

#[test]
fn delivered_event_is_sent_to_one_destination_again() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let other = FakeErp::start(|_, _| Reply::Status(200));
    let home =
        home_with_destinations(|_| http_destination("erp", &erp.url, "") + &http_destination("other", &other.url, ""));
    let daemon = home.serve();
    let anna = sign_in_operator(&home, &daemon);
    send_orders(&daemon, 1..=1);
    wait_until_delivered(&home);
    assert!(anna.get("/events/1").body.contains("Send again"));
    assert_eq!(anna.post("/events/1/resend", "destination=nobody").status, 400);
    assert_eq!(anna.post("/events/1/resend", "destination=erp").status, 303);
    wait_until_delivered(&home);
    let ids: Vec<String> = erp.requests().iter().map(|request| request.header("webhook-id").to_owned()).collect();
    assert!(ids.len() == 2 && ids[0] == ids[1], "the destination gets it twice under one id: {ids:?}");
    assert_eq!(other.requests().len(), 1, "the other destination gets it once");
    assert_eq!(home.sql("SELECT status FROM webhook_events"), "completed");
    let audit = "SELECT username, resource_path FROM system_log WHERE type = 'EVENT-RESEND'";
    assert_eq!(home.sql(audit), "anna|events/1/destinations/erp");
    assert_eq!(home.count("SELECT count(*) FROM destination_deliveries WHERE status = 'delivered'"), 2);
    let printed = home.run_ok(&["events", "resend", "1", "--destination", "erp"]);
    assert_eq!(printed, "event 1 is due at erp\n");
    assert_eq!(erp.wait_for(3).len(), 3, "the command does the same");
    wait_until_delivered(&home);
    home.sql("DELETE FROM webhook_payloads");
    assert_eq!(anna.post("/events/1/resend", "destination=erp").status, 409, "the body is gone");
    assert!(!home.run(&["events", "resend", "1", "--destination", "erp"]).status.success());
    assert!(!home.run(&["events", "resend", "1", "--destination", "nobody"]).status.success());
}

#[test]
fn rejected_requests_are_listed_with_what_to_check() {
    let home = Home::new("");
    let daemon = home.serve();
    let anna = sign_in_operator(&home, &daemon);
    let wrong = shopify_request("w-1", &order_body(1)).with_header("X-Shopify-Hmac-Sha256", "AAAA");
    assert_eq!(daemon.request(&wrong).status, 401);
    assert_eq!(daemon.request(&Request::post("/api/webhooks/easypost", b"{}")).status, 401);
    assert_eq!(daemon.request(&Request::post("/%3Cscript%3Ealert(1)", b"")).status, 404);
    home.wait_for("SELECT count(*) FROM rejected_requests", "3");
    let page = anna.get("/rejections").body;
    for text in [
        "/api/webhooks/shopify/orders/create",
        "127.0.0.1",
        "signature_missing",
        "EasyPost: set a secret",
        "unknown_path",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
    assert!(!page.contains("<script>alert"), "{page}");
    let easypost = anna.get("/rejections?source=easypost").body;
    assert!(
        easypost.contains("<code>POST /api/webhooks/easypost")
            && !easypost.contains("<code>POST /api/webhooks/shopify")
    );
    let unknown = anna.get("/rejections?reason=unknown_path").body;
    assert!(!unknown.contains("<code>POST /api/webhooks"), "{unknown}");
    assert_eq!(anna.get("/rejections?source=ebay").status, 400);
    home.sql(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60) INSERT INTO rejected_requests \
         (at, remote_addr, method, path, http_status, reason, header_names, body_bytes) \
         SELECT '2026-01-01T00:00:00.000Z', '192.0.2.1', 'POST', '/row/' || i, 404, 'unknown_path', '', 0 FROM n",
    );
    let next = find_link(&anna.get("/rejections?reason=unknown_path").body, "Older requests");
    let older = anna.get(&next).body;
    assert!(older.contains("/row/10<") && !older.contains("/row/11<") && older.contains("/%3Cscript"), "{older}");
}

#[test]
fn no_page_of_events_obeys_text_of_others() {
    let home = Home::new("[worker]\nin_serve = false");
    let daemon = home.serve();
    let anna = sign_in_operator(&home, &daemon);
    insert_failed_events(&home, 4);
    let quoted = ATTACK.replace('\'', "''");
    let edi = interchange("850", &[order_set(ATTACK, 1)]).replace('\'', "''");
    home.sql(&format!(
        "UPDATE webhook_events SET topic = '{quoted}', shop_domain = '{quoted}', webhook_id = id || '{quoted}', \
         last_error = '{quoted}', locked_by = NULL; \
         UPDATE webhook_events SET source = 'sps', topic = '850' WHERE id = 2; \
         UPDATE webhook_payloads SET headers = json_object('file-name', '{quoted}', '{quoted}', 'x'); \
         UPDATE webhook_payloads SET body = CAST('{edi}' AS BLOB) WHERE event_id = 2; \
         UPDATE webhook_payloads SET body = CAST('<Order><Line>{quoted}</Line></Order>' AS BLOB) WHERE event_id = 3; \
         UPDATE webhook_payloads SET body = CAST(json_object('{quoted}', '{quoted}') AS BLOB) WHERE event_id = 4; \
         UPDATE webhook_events SET status = 'completed', last_error = NULL WHERE id = 4; \
         INSERT INTO sales_orders (shop_domain, order_id, name, row_version, event_id) VALUES ('{quoted}', 7, '{quoted}', '', 4); \
         INSERT INTO event_subjects VALUES ('order', '7', '{quoted}', 4)"
    ));
    let encoded = "%3Cscript%3Ealert(1)%3C/script%3E%22'%3E%3Cimg%20src=x%20onerror=alert(2)%3E";
    let mut pages = vec!["/events".to_owned(), "/events?group=error".to_owned()];
    for field in ["topic", "error", "q", "group"] {
        pages.push(format!("/events?{field}={encoded}"));
        pages.push(format!("/retries/new?{field}={encoded}"));
    }
    pages.push(format!("/events?since={encoded}"));
    pages.push(format!("/rejections?reason={encoded}"));
    for id in 1..=4 {
        assert_eq!(anna.post("/reveal", &format!("path=/events/{id}")).status, 303);
        pages.push(format!("/events/{id}"));
    }
    for path in &pages {
        let page = anna.get(path).body;
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{path}: {page}");
    }
    let shown = |id: i64, text: &str| {
        let page = anna.get(&format!("/events/{id}")).body;
        assert!(page.contains(text), "{text} in {page}");
    };
    shown(1, "file-name");
    shown(2, "BEG*00*SA*&lt;script&gt;");
    shown(3, "&lt;Line&gt;");
    shown(4, "<strong>&lt;script&gt;");
    let started = anna.post("/retries", &format!("topic={encoded}"));
    let page = anna.get(started.header("location").unwrap()).body;
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>alert"), "{page}");
}
