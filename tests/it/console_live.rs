//! The stream of changed events for an open list.

use crate::support::console::{ConsoleClient, add_console_user};
use crate::support::{Connection, Home, Request, WAIT_MAX, order_body, send_webhook, wait_until};
use std::io::Read;
use std::time::Instant;

/// An open stream, with what it sent so far.
struct LiveStream {
    connection: Connection,
    text: String,
    has_ended: bool,
}

impl LiveStream {
    fn open(client: &ConsoleClient, path: &str) -> Self {
        let mut connection = Connection::open(client.address).unwrap();
        let request = Request::new("GET", path).with_header("cookie", &client.cookie);
        connection.send(&request.to_bytes()).unwrap();
        Self { connection, text: String::new(), has_ended: false }
    }

    /// Reads until the stream has sent a text; panics if it ends before.
    fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        while !self.text.contains(text) {
            // Signs of life keep the connection from timing out.
            assert!(start.elapsed() < WAIT_MAX, "the stream never sent {text:?}: {}", self.text);
            assert!(!self.has_ended, "the stream ended without {text:?}: {}", self.text);
            self.read_more();
        }
    }

    /// Reads to the end of the stream.
    fn wait_for_end(&mut self) {
        while !self.has_ended {
            self.read_more();
        }
    }

    fn read_more(&mut self) {
        let mut chunk = [0; 16 << 10];
        let read = self.connection.stream.read(&mut chunk).unwrap_or(0);
        self.text.push_str(&String::from_utf8_lossy(&chunk[..read]));
        // The last chunk of a body that ends.
        self.has_ended = read == 0 || self.text.ends_with("\r\n0\r\n\r\n");
    }
}

/// Returns the path of the stream of a list.
fn find_stream(page: &str) -> String {
    let start = page.find("data-stream=\"").expect("the list has a stream") + "data-stream=\"".len();
    page[start..start + page[start..].find('"').unwrap()].replace("&amp;", "&")
}

#[test]
fn stream_sends_the_rows_of_the_open_filter() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "operator");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    let page = anna.get("/events?topic=orders%2F*").body;
    // Between the page and the stream.
    let early = daemon.send_order("w-0", &order_body(1)).event_id();
    let mut stream = LiveStream::open(&anna, &find_stream(&page));
    stream.wait_for("text/event-stream");
    stream.wait_for(&format!("event: row\ndata: <tr id=\"event-{early}\">"));
    let refund = send_webhook(&daemon, "w-1", "refunds/create", br#"{"id":1}"#);
    let order = daemon.send_order("w-2", &order_body(2)).event_id();
    stream.wait_for(&format!("event: row\ndata: <tr id=\"event-{order}\">"));
    assert!(!stream.text.contains(&format!("event: row\ndata: <tr id=\"event-{refund}\">")), "{}", stream.text);
    home.wait_until_processed();
    let attack = "<script>alert(1)</script>";
    home.sql(&format!(
        "UPDATE webhook_events SET note = 'line 1' || char(10) || 'data: {attack}' WHERE id = {order}; \
         INSERT INTO webhook_event_log (event_id, at, to_status, attempt) VALUES ({order}, '', 'completed', 1)"
    ));
    stream.wait_for("\ndata: data: &lt;script&gt;");
    assert!(!stream.text.contains("<script>"), "{}", stream.text);
}

/// A row that no longer matches the filter is a `change`, so that a page which has it shows its status.
#[test]
fn stream_sends_changes_of_rows_that_leave_the_list() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "operator");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    let event = daemon.send_order("w-1", b"no JSON").event_id();
    home.wait_until_processed();
    let page = anna.get("/events?status=failed").body;
    let mut stream = LiveStream::open(&anna, &find_stream(&page));
    home.sql(&format!("UPDATE webhook_payloads SET body = CAST('{{\"id\":1}}' AS BLOB) WHERE event_id = {event}"));
    anna.post(&format!("/events/{event}/retry"), "");
    home.wait_until_processed();
    stream.wait_for(&format!("event: change\ndata: <tr id=\"event-{event}\">"));
}

#[test]
fn stream_ends_with_its_session_and_with_the_daemon() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "viewer");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    let otto = ConsoleClient::signed_in(&daemon, "anna");
    let mut of_anna = LiveStream::open(&anna, "/events/stream");
    let mut of_otto = LiveStream::open(&otto, "/events/stream");
    of_anna.wait_for(": heartbeat");
    of_otto.wait_for(": heartbeat");
    assert_eq!(otto.post("/logout", "").status, 303);
    of_otto.wait_for("event: end");
    of_otto.wait_for_end();
    assert!(!of_anna.text.contains("event: end"));
    daemon.stop();
    of_anna.wait_for_end();
    assert!(!home.log().contains("panicked"), "{}", home.log());
}

#[test]
fn number_of_streams_is_bounded() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "viewer");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    let mut streams: Vec<LiveStream> = (0..32).map(|_| LiveStream::open(&anna, "/events/stream")).collect();
    for stream in &mut streams {
        stream.wait_for(": heartbeat");
    }
    let refused = anna.get("/events/stream");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("60")));
    assert_eq!(anna.get("/events").status, 200, "the pages themselves have places");
    drop(streams.pop());
    // The place is free as soon as the daemon sees the end of the connection.
    let mut last = None;
    wait_until(
        || {
            let mut stream = LiveStream::open(&anna, "/events/stream");
            stream.wait_for("HTTP/1.1 ");
            stream.wait_for("\r\n");
            let is_open = stream.text.starts_with("HTTP/1.1 200");
            last = Some(stream);
            is_open
        },
        || home.log(),
    );
}
