//! The answer of a destination that refuses a delivery: kept, bounded, shown, and erased by a redaction.

use crate::support::destinations::{
    command_destination, home_with_destinations, http_destination, send_orders, wait_until_delivered, write_program,
};
use crate::support::fake_erp::{FakeErp, Reply};
use crate::support::{Home, Request, shopify_request};
use serde_json::Value;

/// Most characters of an answer that are kept.
const ANSWER_CHARS_MAX: usize = 2_000;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Each place in which an operator finds the answer.
fn find_answers(home: &Home) -> Vec<(&'static str, String)> {
    vec![
        ("last_error", home.sql("SELECT last_error FROM destination_deliveries WHERE event_id = 1")),
        ("log", home.sql("SELECT error FROM destination_delivery_log WHERE delivery_id = 1 ORDER BY id DESC LIMIT 1")),
        ("view", home.sql("SELECT error FROM destination_failures WHERE event_id = 1")),
        ("events show", home.run_ok(&["events", "show", "1"])),
        ("events show --json", home.run_ok(&["events", "show", "1", "--json"])),
        ("destinations show", home.run_ok(&["destinations", "show", "erp"])),
        ("destinations show --json", home.run_ok(&["destinations", "show", "erp", "--json"])),
        ("destinations list", home.run_ok(&["destinations", "list"])),
    ]
}

#[test]
fn answer_of_every_refusal_is_kept_and_shown() {
    for status in [400, 404, 409, 422, 500, 503, 429] {
        let erp = FakeErp::start(move |_, _| {
            Reply::StatusWithBody(status, "retry-after: 0\r\n".into(), b"unknown item GRANOLA-13".to_vec())
        });
        let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
        let daemon = home.serve();
        send_orders(&daemon, 1..=1);
        home.wait_for(
            "SELECT coalesce(max(last_error LIKE '%: unknown item GRANOLA-13'), 0) FROM destination_deliveries",
            "1",
        );
        if status < 429 {
            wait_until_delivered(&home);
            for (place, text) in find_answers(&home) {
                let start = format!("answered {status}");
                assert!(text.contains(&start) && text.contains(": unknown item GRANOLA-13"), "{place}: {text}");
            }
        }
        daemon.stop();
        assert!(!home.log().contains("GRANOLA-13"), "an answer can contain personal data");
    }
}

#[test]
fn answer_is_bounded_valid_text_that_controls_no_terminal() {
    let erp = FakeErp::start(|number, _| match number {
        0 => Reply::StatusWithBody(
            422,
            String::new(),
            [b"no \x1b]0;x\x07\r\nuse \xff\xfe".as_slice(), &vec![b'x'; 100_000]].concat(),
        ),
        1 => Reply::StatusWithBody(422, String::new(), "ü".repeat(5_000).into_bytes()),
        2 => Reply::StatusWithEndlessBody(422, b"half an answer".to_vec()),
        3 => {
            Reply::StatusWithBody(422, "content-type: text/plain; charset=ISO-8859-1\r\n".into(), b"M\xfcsli".to_vec())
        }
        _ => Reply::StatusWithBody(422, String::new(), Vec::new()),
    });
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
    let daemon = home.serve();
    for id in 1..=5 {
        send_orders(&daemon, id..=id);
        wait_until_delivered(&home);
    }
    let errors: Vec<String> = json(&home.run_ok(&["destinations", "show", "erp", "--json"]))["failures"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|failure| failure["error"].as_str().unwrap().to_owned())
        .collect();
    let answers: Vec<&str> =
        errors.iter().map(|error| error.split_once(": ").map_or("", |(_, answer)| answer)).collect();
    assert!(answers[0].starts_with("no \\u{1b}]0;x\\u{7}\\r\\nuse \u{fffd}\u{fffd}xxx"), "{}", answers[0]);
    assert_eq!(answers[1], format!("{}…", "ü".repeat(ANSWER_CHARS_MAX - 1)));
    assert_eq!(&answers[2..], ["half an answer", "Müsli", ""]);
    for error in &errors {
        assert!(error.starts_with("answered 422") && !error.contains(char::is_control), "{error}");
        assert!(error.chars().count() <= ANSWER_CHARS_MAX + 50, "{error}");
    }
}

/// The end of a program's standard error has the reason.
#[test]
fn end_of_standard_error_is_kept() {
    let home = home_with_destinations(|home| command_destination(&home.path("import")));
    write_program(
        &home,
        "cat > /dev/null; head -c 300000 /dev/zero | tr '\\0' y >&2; printf '\\nü: no such item\\n' >&2; exit 1",
    );
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    wait_until_delivered(&home);
    let error = home.sql("SELECT error FROM destination_failures");
    let answer = error.strip_prefix("exit status 1: …").unwrap();
    assert!(answer.ends_with("y\\nü: no such item"), "{answer}");
    assert_eq!(answer.chars().count(), ANSWER_CHARS_MAX - 1);
}

#[test]
fn redaction_erases_answers() {
    let erp = FakeErp::start(|number, _| match number {
        0 => Reply::StatusWithBody(422, String::new(), b"Ada Lovelace is blocked".to_vec()),
        _ => Reply::Status(200),
    });
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
    let daemon = home.serve();
    send_orders(&daemon, 7..=7);
    wait_until_delivered(&home);
    assert!(find_answers(&home).iter().all(|(_, text)| text.contains("Ada Lovelace is blocked")));
    let redact = r#"{"shop_domain":"acme-foods.myshopify.com","customer":{"id":99,"email":"ada@example.com","phone":"+15550142"},"orders_to_redact":[7]}"#;
    let request = shopify_request("r", redact.as_bytes()).with_header("X-Shopify-Topic", "customers/redact");
    daemon.request(&Request { path: "/api/webhooks/shopify/customers/redact".into(), ..request }).event_id();
    home.wait_for("SELECT count(*) FROM redactions", "1");
    for (place, text) in find_answers(&home) {
        assert!(!text.contains("Lovelace"), "{place}: {text}");
    }
    home.wait_for("SELECT count(*) FROM redactions WHERE scrubbed_at IS NULL", "0");
    daemon.stop();
    let file = std::fs::read(home.db()).unwrap();
    assert!(!file.windows(8).any(|bytes| bytes == b"Lovelace"), "the file has the answer");
}

/// Returns a stored time as commands print it for people: `2026-11-23 20:30:00 UTC`.
fn print_time(stored: &str) -> String {
    format!("{} UTC", stored[..19].replace('T', " "))
}

#[test]
fn last_error_has_its_time_and_ends_with_a_success() {
    let erp = FakeErp::start(|number, _| match number {
        1 => Reply::StatusWithBody(422, String::new(), b"unknown item".to_vec()),
        _ => Reply::Status(200),
    });
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
    let daemon = home.serve();
    let send = |id: u64| {
        send_orders(&daemon, id..=id);
        wait_until_delivered(&home);
        json(&home.run_ok(&["destinations", "list", "--json"]))
    };
    let first = send(1);
    assert!(first["last_error_at"].is_null() && first["recovered_at"].is_null(), "{first}");
    let failed = send(2);
    assert_eq!(failed["last_error"], "answered 422 Unprocessable Entity: unknown item");
    assert_eq!(failed["last_error_at"], home.sql("SELECT finished_at FROM destination_deliveries WHERE event_id = 2"));
    let list = home.run_ok(&["destinations", "list"]);
    let printed = print_time(failed["last_error_at"].as_str().unwrap());
    let error = list.split(&printed).last().unwrap();
    assert!(list.contains(&printed) && error.contains("): answered 422"), "{list}");
    let recovered = send(3);
    let at = home.sql("SELECT finished_at FROM destination_deliveries WHERE event_id = 3");
    assert!(recovered["last_error"].is_null() && recovered["last_error_at"].is_null(), "{recovered}");
    assert_eq!(recovered["recovered_at"], at);
    assert_eq!(send(4)["recovered_at"], at, "a further success keeps the time");
    assert!(home.run_ok(&["destinations", "list"]).contains(&format!("recovered at {}", print_time(&at))));
    assert_eq!(
        json(&home.run_ok(&["destinations", "list", "--json"]))["failed"],
        1,
        "the failed delivery still counts"
    );
}

#[test]
fn unknown_destination_is_an_error() {
    let home = home_with_destinations(|_| String::new());
    home.serve().stop();
    let output = home.run(&["destinations", "show", "epr"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no destination \"epr\""));
}
