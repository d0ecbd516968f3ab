//! Alerts: a condition gives one message at each channel and one at its end, over crashes and servers that are down.

use crate::support::console::{ConsoleClient, add_console_user};
use crate::support::destinations::{SECRET as SIGNING_SECRET, WORKER};
use crate::support::fake_erp::{FakeErp, Reply};
use crate::support::mail_server::{MAIL_PASSWORD, Mailbox};
use crate::support::{Daemon, Home, order_body, wait_until};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Short times: the tests check the results, not the durations.
const QUICK: &str = "[alerts]\ncheck_interval = \"100ms\"\nmessage_interval = \"0s\"\n";
/// A body that no handler can read, with an address that no message may have.
const BAD_BODY: &[u8] = b"no JSON of ada@example.com";

/// Returns the configuration of a channel `chat`.
fn webhook_channel(url: &str) -> String {
    format!("[[alerts.channels]]\nname = \"chat\"\ntype = \"webhook\"\nurl = \"{url}\"\nsecrets = [\"file:chat\"]\n")
}

/// Writes a program that appends each message to `notes`, and returns the configuration of its channel.
fn command_channel(home: &Home) -> String {
    let script = format!("#!/bin/sh\n{{ cat; echo; }} >> {}\n", home.path("notes").display());
    fs::write(home.path("notify"), script).unwrap();
    fs::set_permissions(home.path("notify"), fs::Permissions::from_mode(0o755)).unwrap();
    format!(
        "[[alerts.channels]]\nname = \"program\"\ntype = \"command\"\ncommand = [\"{}\"]\n",
        home.path("notify").display()
    )
}

/// Returns the messages that the program got.
fn read_notes(home: &Home) -> Vec<Value> {
    let text = fs::read_to_string(home.path("notes")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn wait_for_notes(home: &Home, count: usize) -> Vec<Value> {
    wait_until(|| read_notes(home).len() >= count, || format!("{:?}; {}", read_notes(home), home.log()));
    read_notes(home)
}

/// Returns `state kind subject` of each alert in a message.
fn list_reported(message: &Value) -> Vec<String> {
    let text = |alert: &Value, key: &str| alert[key].as_str().unwrap().to_owned();
    let alerts = message["alerts"].as_array().unwrap().iter();
    alerts.map(|alert| ["state", "kind", "subject"].map(|key| text(alert, key)).join(" ").trim().to_owned()).collect()
}

/// Sends an event that fails for good.
fn fail_event(daemon: &Daemon<'_>, id: &str) -> i64 {
    daemon.send_order(id, BAD_BODY).event_id()
}

#[test]
fn failed_event_gives_one_message_at_each_channel_and_one_at_its_end() {
    let home = Home::new("");
    fs::write(home.path("chat"), SIGNING_SECRET).unwrap();
    let (mailbox, chat) = (Mailbox::create(&home), FakeErp::start(|_, _| Reply::Status(204)));
    let _server = mailbox.start();
    let channels = format!("{}{}{}", mailbox.channel(), webhook_channel(&chat.url), command_channel(&home));
    home.configure(&format!("{WORKER}{QUICK}{channels}"));
    let daemon = home.serve();
    let event = fail_event(&daemon, "w1");
    // A second failure belongs to the alert that is open.
    wait_for_notes(&home, 1);
    fail_event(&daemon, "w2");
    home.wait_until_processed();

    let mail = mailbox.wait_for(1, &home).remove(0);
    let fact = format!("1 event failed for good; the last one is event {event}");
    assert!(mail.contains(&format!("] {fact}")) && mail.contains("Auto-Submitted: auto-generated"), "{mail}");
    assert!(mail.contains("X-Envelope-To: ops@example.com, ada@example.com\n"), "{mail}");
    let text = mail.replace("=\n", "");
    assert!(text.contains("OPEN since 20") && text.contains("Fix: `novex-ingest --config"), "{mail}");
    let requests = chat.wait_for(1);
    let message: Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(list_reported(&message), ["opened failed_events"]);
    assert!(requests[0].header("webhook-signature").starts_with("v1,"), "{:?}", requests[0]);
    assert!(!message.to_string().contains("no JSON") && !message.to_string().contains("ada@"), "{message}");
    assert_eq!(read_notes(&home)[0], message);

    home.run_ok(&["events", "dismiss", "--status", "failed", "--reason", "a test"]);
    let notes = wait_for_notes(&home, 2);
    assert_eq!(list_reported(&notes[1]), ["recovered failed_events"]);
    let mails = mailbox.wait_for(2, &home);
    assert!(mails[1].contains("] over: "), "{}", mails[1]);
    chat.wait_for(2);
    daemon.stop();
    assert_eq!((notes.len(), mails.len(), chat.requests().len()), (2, 2, 2), "exactly one message for each change");
    home.assert_consistent();
    let listed = home.run_ok(&["alerts", "list", "--all", "--json"]);
    let row: Value = serde_json::from_str(&listed).unwrap();
    assert!(row["kind"] == "failed_events" && row["recovered_at"].is_string(), "{listed}");
    assert_eq!(home.run_ok(&["alerts", "list"]), "No open alerts; --all lists those that are over.\n");
}

/// Kill -9 after the alert opened, and a mail server that is down for a while: the message arrives, and once.
#[test]
fn message_waits_for_the_mail_server_and_arrives_once() {
    let home = Home::new("");
    let mailbox = Mailbox::create(&home);
    home.configure(&format!("{WORKER}{QUICK}{}", mailbox.channel()));
    let mut daemon = home.serve();
    fail_event(&daemon, "w1");
    let refused = "SELECT count(*) FROM destination_deliveries WHERE destination = 'alert:mail' AND status <> 'delivered' \
                   AND last_error LIKE 'nobody answers at 127.0.0.1:%'";
    home.wait_for(refused, "1");
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    drop(daemon);

    let daemon = home.serve();
    let _server = mailbox.start();
    mailbox.wait_for(1, &home);
    home.wait_for("SELECT count(*) FROM destination_deliveries WHERE status = 'delivered'", "1");
    home.run_ok(&["events", "dismiss", "1", "--reason", "a test"]);
    let mails = mailbox.wait_for(2, &home);
    daemon.stop();
    let has_end: Vec<bool> = mails.iter().map(|mail| mail.contains("] over: ")).collect();
    assert_eq!(has_end, [false, true], "{mails:?}");
}

/// The messages need no worker, so that they also go out when all handlers are stuck.
#[test]
fn message_goes_out_while_nothing_is_processed() {
    let home = Home::new("");
    let channel = command_channel(&home);
    home.configure(&format!("[worker]\nin_serve = false\n{QUICK}overdue_after = \"1s\"\n{channel}"));
    let daemon = home.serve();
    daemon.send_order("w1", &order_body(1)).event_id();
    let notes = wait_for_notes(&home, 1);
    assert_eq!(list_reported(&notes[0]), ["opened overdue_event"]);
    assert!(notes[0]["text"].as_str().unwrap().contains("an event has been due for"), "{}", notes[0]);
    home.run_ok(&["work", "--once"]);
    assert_eq!(list_reported(&wait_for_notes(&home, 2)[1]), ["recovered overdue_event"]);
    daemon.stop();
}

/// A shop that sent four events each hour for five weeks, and none for a day.
#[test]
fn silent_source_is_reported_until_it_sends_again() {
    let home = Home::new("");
    home.serve().stop();
    home.sql(
        "WITH RECURSIVE ago (hours) AS (SELECT 24 UNION ALL SELECT hours + 1 FROM ago WHERE hours < 36 * 24) \
         INSERT INTO event_counts_by_hour (hour, source, received) \
         SELECT strftime('%Y-%m-%dT%H', 'now', '-' || hours || ' hours'), 'shopify', 4 FROM ago",
    );
    let channel = command_channel(&home);
    home.configure(&format!("{WORKER}{QUICK}{channel}"));
    let daemon = home.serve();
    let notes = wait_for_notes(&home, 1);
    assert_eq!(list_reported(&notes[0]), ["opened source_silent shopify"]);
    assert!(notes[0]["subject"].as_str().unwrap().contains("shopify has sent nothing for"), "{}", notes[0]);
    daemon.send_order("w1", &order_body(1)).event_id();
    assert_eq!(list_reported(&wait_for_notes(&home, 2)[1]), ["recovered source_silent shopify"]);
    daemon.stop();
}

#[test]
fn test_message_reports_the_real_result() {
    let home = Home::new("");
    let none = home.run(&["alerts", "test"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("has no [[alerts.channels]]"), "{none:?}");
    let mailbox = Mailbox::create(&home);
    home.configure(&mailbox.channel());
    let test = |channel: &str| {
        let output = home.run(&["alerts", "test", channel]);
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, printed) = test("mail");
    assert!(code == Some(1) && printed.contains("nobody answers at 127.0.0.1:"), "{printed}");
    let _server = mailbox.start();
    fs::write(home.path("mail-password"), "another").unwrap();
    let (code, printed) = test("mail");
    assert!(code == Some(1) && printed.contains("refused the user \"novex@example.com\" or the password"), "{printed}");
    assert!(!printed.contains("another") && mailbox.messages().is_empty(), "{printed}");
    fs::write(home.path("mail-password"), MAIL_PASSWORD).unwrap();
    assert_eq!(test("mail"), (Some(0), "mail: the message was accepted; see whether it arrived.\n".to_owned()));
    assert!(mailbox.messages()[0].contains("this is a test message"));
    let (code, printed) = test("pager");
    assert!(code == Some(1) && printed.contains("configured: mail"), "{printed}");
    // Without the authority, the certificate proves nothing.
    home.edit_config("ca = \"mail/cert.pem\"\n", "");
    let (code, printed) = test("mail");
    assert!(
        code == Some(1) && printed.contains("no message could be sent") && printed.contains("ertificate"),
        "{printed}"
    );
}

#[test]
fn console_shows_alerts_and_dismisses_one() {
    let home = Home::new("");
    let channel = command_channel(&home);
    home.configure(&format!("{WORKER}{QUICK}{channel}"));
    let daemon = home.serve();
    add_console_user(&home, "anna", "operator");
    add_console_user(&home, "vera", "viewer");
    let (anna, vera) = (ConsoleClient::signed_in(&daemon, "anna"), ConsoleClient::signed_in(&daemon, "vera"));
    assert!(anna.get("/alerts").body.contains("No alert is open."));
    fail_event(&daemon, "w1");
    wait_for_notes(&home, 1);
    home.wait_for("SELECT count(*) FROM destination_deliveries WHERE status = 'delivered'", "1");
    let page = vera.get("/alerts").body;
    assert!(page.contains("failed_events") && page.contains("1 event failed for good"), "{page}");
    assert!(page.contains("program") && page.contains("delivered"), "where the message went: {page}");
    assert!(!page.contains("/dismiss"), "a viewer only reads: {page}");
    assert_eq!(vera.post("/alerts/1/dismiss", "reason=x").status, 403);
    assert_eq!(anna.post("/alerts/1/dismiss", "reason=+").status, 400);
    assert_eq!(anna.post("/alerts/1/dismiss", "reason=known+%3Cb%3E").status, 303);
    assert_eq!(anna.post("/alerts/1/dismiss", "reason=again").status, 404);
    let page = anna.get("/alerts").body;
    assert!(page.contains("No alert is open.") && page.contains("dismissed by anna"), "{page}");
    assert!(page.contains("known &lt;b&gt;") && !page.contains("known <b>"), "{page}");
    assert_eq!(home.sql("SELECT username, resource_path FROM system_log WHERE operation = 'DISMISS'"), "anna|alerts/1");
    // The event still fails, and nobody hears of it again. Another condition is another alert.
    home.run_ok(&["events", "dismiss", "1", "--reason", "a test"]);
    home.wait_for("SELECT count(*) FROM alerts WHERE recovered_at IS NULL", "0");
    fail_event(&daemon, "w2");
    assert_eq!(list_reported(&wait_for_notes(&home, 2)[1]), ["opened failed_events"]);
    daemon.stop();
}

/// The errors of all channels, each with its line.
#[test]
fn wrong_channels_are_reported() {
    let home = Home::new("");
    let channel = |more: &str| format!("[[alerts.channels]]\n{more}\n");
    let smtp = "type = \"smtp\"\nhost = \"smtp.example.com\"\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\n";
    home.configure(
        &[
            "[alerts]\nignore = [\"disk\"]\nconsole_url = \"box\"\n".to_owned(),
            channel(&format!("name = \"a\"\n{smtp}tls = \"none\"")),
            channel(&format!("name = \"a\"\n{smtp}user = \"x\"")),
            channel(&format!("name = \"b c\"\n{}", smtp.replace("b@example.com", "nobody"))),
            channel("name = \"d\"\ntype = \"pager\""),
            channel("name = \"e\"\ntype = \"command\"\ncommand = [\"notify\"]"),
            channel("type = \"webhook\"\nurl = \"chat\""),
        ]
        .concat(),
    );
    let output = home.run(&["config", "check"]);
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    for expected in [
        "\"disk\" is not a condition",
        "is not the address of a console",
        "would send the password and the messages in clear text",
        "\"a\" appears twice",
        "has only one of user and password",
        "alerts.channels.name: is not a name",
        "\"nobody\" is not an e-mail address",
        "\"pager\" is not a type of channel",
        "is not an absolute path",
        "has no name",
        "is not a URL",
    ] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
}
