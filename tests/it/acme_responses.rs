//! Responses of an authority beside certificates: an earlier renewal, a failed order, a rate limit. A small server
//! sends them, because Debian 12's pebble cannot.

use crate::support::fake_authority::{FakeAuthority, NAME};
use crate::support::{Home, WAIT_MAX};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// Returns the minutes between the failure and the next attempt.
fn pause_minutes(home: &Home) -> i64 {
    let progress: Value = serde_json::from_slice(&fs::read(home.path("tls/acme/progress.json")).unwrap()).unwrap();
    let time = |key: &str| progress[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    (time("next_attempt_at") - time("failed_at") + 30).div_euclid(60)
}

const LIMITED: &str =
    r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates (5) already issued"}"#;

#[test]
fn suggested_window_renews_a_certificate_early() {
    // Let's Encrypt's response about a certificate of a lost account.
    let replaced =
        r#"{"type":"urn:ietf:params:acme:error:unauthorized","detail":"requester account did not request it"}"#;
    let authority = FakeAuthority::start(
        Some(("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z")),
        &[(403, "", replaced), (429, "retry-after: 7200\r\n", LIMITED)],
    );
    let home = authority.home();
    let daemon = home.serve();
    home.wait_for_log("the authority asks to renew the certificate now", 1);
    home.wait_for_log("too many certificates (5) already issued (urn:ietf:params:acme:error:rateLimited). The daemon keeps the current certificate", 1);
    daemon.stop();
    let orders = authority.state.lock().unwrap().orders.clone();
    assert_eq!(orders[0]["identifiers"], json!([{"type": "dns", "value": NAME}]));
    assert_eq!(orders[0]["replaces"].as_str().unwrap().matches('.').count(), 1);
    // The authority refused the order because of `replaces`; the next order has none.
    assert_eq!(orders[1].get("replaces"), None);
    assert_eq!(orders.len(), 2);
    assert_eq!(pause_minutes(&home), 120, "the pause of Retry-After");
}

/// An issued certificate counts against the limits. The next process downloads it too, instead of ordering another.
#[test]
fn failed_download_is_repeated_without_a_new_order() {
    let authority = FakeAuthority::start(None, &[]);
    authority.state.lock().unwrap().download_failures = 2;
    let home = authority.home_without_certificate();
    let daemon = home.serve();
    home.wait_for_log("/certificate answered 500", 1);
    // A busy authority has not refused the order.
    authority.state.lock().unwrap().busy = true;
    daemon.send_signal("HUP");
    home.wait_for_log("/order/1 answered 503", 1);
    daemon.send_signal("HUP");
    home.wait_for_log("/certificate answered 500", 2);
    daemon.send_signal("KILL");
    drop(daemon);
    assert!(home.path("tls/acme/pending.pem").exists());
    let daemon = home.serve();
    home.wait_for_log("is in use; it is valid until", 1);
    daemon.stop();
    let state = authority.state.lock().unwrap();
    assert_eq!((state.issued, state.orders.len()), (1, 1));
    assert!(!home.path("tls/acme/pending.pem").exists());
}

/// An order that the authority no longer knows does not prevent a new one.
#[test]
fn unknown_order_is_replaced_by_a_new_one() {
    let authority = FakeAuthority::start(None, &[]);
    authority.state.lock().unwrap().download_failures = 1;
    let home = authority.home_without_certificate();
    let daemon = home.serve();
    home.wait_for_log("/certificate answered 500", 1);
    daemon.stop();
    let pending = home.path("tls/acme/pending.pem");
    let text = fs::read_to_string(&pending).unwrap();
    fs::write(&pending, text.replace("/order/1", "/order/gone")).unwrap();
    authority.state.lock().unwrap().newest.clear();
    let daemon = home.serve();
    home.wait_for_log("is in use; it is valid until", 1);
    daemon.stop();
    assert_eq!(authority.state.lock().unwrap().orders.len(), 2);
}

/// The operator's request fails for as long as the authority's pause lasts.
#[test]
fn authoritys_pause_holds_for_every_request() {
    let authority = FakeAuthority::start(
        Some(("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z")),
        &[(429, "retry-after: 7200\r\n", LIMITED)],
    );
    let home = authority.home();
    let daemon = home.serve();
    home.wait_for_log("no certificate for", 1);
    assert!(!home.log().contains("or at once with"), "{}", home.log());
    daemon.send_signal("HUP");
    home.wait_for_log("is due, but the next attempt is at", 1);
    daemon.stop();
    let daemon = home.serve();
    daemon.stop();
    assert_eq!(authority.state.lock().unwrap().orders.len(), 1);
}

/// A number that is too large does not stop the daemon.
#[test]
fn huge_retry_after_is_limited() {
    let authority = FakeAuthority::start(
        Some(("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z")),
        &[(429, "retry-after: 18446744073709551615\r\n", LIMITED)],
    );
    authority.state.lock().unwrap().window_retry_after = "18446744073709551615".to_owned();
    let home = authority.home();
    let daemon = home.serve();
    home.wait_for_log("no certificate for", 1);
    daemon.stop();
    assert!(!home.log().contains("panicked"), "{}", home.log());
    assert_eq!(pause_minutes(&home), 7 * 24 * 60);
}

#[test]
fn future_window_is_stored_and_awaited() {
    let authority = FakeAuthority::start(Some(("2050-01-02T00:00:00Z", "2050-01-03T00:00:00Z")), &[(500, "", "")]);
    let home = authority.home();
    let daemon = home.serve();
    let start = Instant::now();
    while !home.path("tls/acme/progress.json").exists() {
        assert!(start.elapsed() < WAIT_MAX, "{}", home.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    daemon.stop();
    let progress: Value = serde_json::from_slice(&fs::read(home.path("tls/acme/progress.json")).unwrap()).unwrap();
    let at = progress["suggestion"]["at"].as_i64().unwrap();
    assert!((2_524_694_400..=2_524_780_800).contains(&at), "{progress}");
    assert!(authority.state.lock().unwrap().orders.is_empty());
}

#[test]
fn malformed_response_is_reported_and_its_retry_after_is_kept() {
    let busy = "<html>come back later</html>";
    let authority = FakeAuthority::start(None, &[(503, "retry-after: 1800\r\n", busy)]);
    let home = authority.home();
    // The certificate is for another name.
    fs::write(home.config(), fs::read_to_string(home.config()).unwrap().replace(NAME, "other.example.com")).unwrap();
    // A clock that was far ahead wrote this time; the daemon does not wait for it.
    let ahead = json!({
        "names": ["other.example.com"], "directory": format!("{}/directory", authority.url), "failures": 0,
        "next_attempt_at": "2090-01-01T00:00:00Z", "retry_after": "2090-01-01T00:00:00Z", "renewal_info_due_at": "2090-01-01T00:00:00Z"
    });
    fs::write(home.path("tls/acme/progress.json"), ahead.to_string()).unwrap();
    let daemon = home.serve();
    home.wait_for_log("order answered 503 Service Unavailable and stated no reason", 1);
    daemon.stop();
    assert_eq!(pause_minutes(&home), 30);
}
