//! Every limit on connections, headers and bodies, and what hostile clients get. After each, a good delivery is taken.

use crate::util::{Answer, Connection, Daemon, Home, PATIENCE, Request, order, shopify};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

/// A home whose daemon has these keys in `[server]`.
fn home(server: &str) -> Home {
    Home::new(&format!("[server]\nlisten = \"127.0.0.1:0\"\n{server}"))
}

fn assert_serves(daemon: &Daemon<'_>, id: &str) {
    assert_eq!(daemon.deliver(id, &order(1)).status, 200, "a good delivery is taken afterwards");
}

/// Sends `bytes` and reads an answer.
fn say(daemon: &Daemon<'_>, bytes: &[u8]) -> Answer {
    let mut connection = daemon.connect();
    connection.send(bytes).unwrap();
    connection.answer().expect("an answer")
}

/// Runs curl over HTTP/2; its status code and body.
fn curl(daemon: &Daemon<'_>, arguments: &[&str], path: &str) -> (String, String) {
    let output = Command::new("curl")
        .args(["--http2", "-k", "-sS", "-w", "\n%{http_version} %{http_code}"])
        .args(arguments)
        .arg(format!("https://{}{path}", daemon.address))
        .output()
        .expect("curl is installed");
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, code) = text.rsplit_once('\n').unwrap_or(("", &text));
    (code.to_owned(), body.to_owned())
}

#[test]
fn slow_headers_get_408_and_an_idle_connection_is_closed_without_a_word() {
    // The idle time is longer than the test may take: what ends the slow headers is their own time.
    let slow = home("header_timeout = \"200ms\"\nidle_timeout = \"24h\"");
    let daemon = slow.serve();
    let answer = say(&daemon, b"POST /api/webhooks/easypost HTTP/1.1\r\nhost: x\r\nx-slow");
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    slow.wait_for("SELECT reason FROM rejected_requests", "headers_too_slow");
    let home = home("header_timeout = \"1h\"\nidle_timeout = \"300ms\"");
    let daemon = home.serve();
    let mut idle = daemon.connect();
    assert!(idle.ends(), "nothing was asked, nothing is answered");
    let mut used = daemon.connect();
    assert_eq!(used.request(&shopify("w", &order(1))).status, 200);
    assert!(used.ends(), "idle after its request");
    assert_serves(&daemon, "after");
}

#[test]
fn a_slow_body_gets_408() {
    let home = home("body_timeout = \"200ms\"");
    let daemon = home.serve();
    let mut request = shopify("w", &order(1));
    let head = request.head();
    let answer = say(&daemon, &head);
    assert_eq!(answer.status, 408, "a body that never comes");
    request.chunk = Some(10);
    let mut begun = request.head();
    begun.extend_from_slice(b"5\r\nhello\r\n");
    assert_eq!(say(&daemon, &begun).status, 408, "a body that stops");
    assert_serves(&daemon, "after");
}

#[test]
fn headers_over_their_size_or_number_get_431() {
    let home = home("max_header_bytes = 8192\nmax_headers = 20");
    let daemon = home.serve();
    let large = shopify("w", &order(1)).with("x-large", &"x".repeat(9000));
    assert_eq!(daemon.request(&large).status, 431);
    let many = (0..30).fold(shopify("w", &order(1)), |request, n| request.with(&format!("x-{n}"), "1"));
    assert_eq!(daemon.request(&many).status, 431);
    let names: Vec<String> = (0..30).map(|n| format!("x-{n}: 1")).collect();
    let many: Vec<&str> = names.iter().flat_map(|name| ["-H", name]).collect();
    assert_eq!(curl(&daemon, &many, "/healthz").0, "2 431", "over HTTP/2 too");
    let large = format!("x-large: {}", "x".repeat(9000));
    let (code, _) = curl(&daemon, &["-H", &large], "/healthz");
    assert_eq!(code, "2 431");
    assert_serves(&daemon, "after");
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_has_come() {
    let home = home("max_body_bytes = 1000");
    let daemon = home.serve();
    let announced = Request { body: vec![b'x'; 1001], ..shopify("w", b"") };
    assert_eq!(say(&daemon, &announced.head()).status, 413, "at its announcement");
    let mut streamed = shopify("w", b"").chunked(1).head();
    streamed.extend_from_slice(format!("3e9\r\n{}\r\n", "x".repeat(1001)).as_bytes());
    assert_eq!(say(&daemon, &streamed).status, 413, "while it streams, long before its end");
    let exact = vec![b'x'; 1000];
    assert_eq!(daemon.deliver("exact", &exact).status, 200);
    // A client that sends on reads its answer, and no reset.
    let body = vec![b'x'; 4 << 20];
    assert_eq!(daemon.deliver("large", &body).status, 413);
    assert_eq!(curl(&daemon, &["--data-binary", &"x".repeat(1001)], "/api/webhooks/easypost").0, "2 413");
    home.wait_for("SELECT count(*) > 3 FROM rejected_requests WHERE reason = 'body_too_large'", "1");
    assert_serves(&daemon, "after");
}

#[test]
fn connections_over_the_limit_are_told_503() {
    for (key, name) in [("max_connections", "in all"), ("max_connections_per_address", "from one address")] {
        let home = home(&format!("{key} = 3"));
        let daemon = home.serve();
        let mut open: Vec<Connection> = (0..3).map(|_| daemon.connect()).collect();
        for (n, connection) in open.iter_mut().enumerate() {
            assert_eq!(connection.request(&shopify(&format!("w{n}"), &order(1))).status, 200);
        }
        let mut over = daemon.connect();
        let answer = over.request(&shopify("over", &order(1)));
        assert_eq!(answer.status, 503, "{name}");
        assert!(answer.header("retry-after").is_some() && answer.body.contains("too many connections"), "{answer:?}");
        assert!(over.ends());
        drop(open);
        let start = Instant::now();
        while daemon.deliver("after", &order(1)).status != 200 {
            assert!(start.elapsed() < PATIENCE, "the places are given back");
        }
    }
}

/// A request whose body stops after some bytes.
fn half_sent(daemon: &Daemon<'_>, id: &str, body: &[u8], sent: usize) -> (Connection, Request) {
    let mut connection = daemon.connect();
    let request = shopify(id, body);
    connection.send(&request.head()).unwrap();
    connection.send(&request.body[..sent]).unwrap();
    (connection, request)
}

/// Delivers until the answer is 503 with this text: what is counted elsewhere cannot be seen from here but by that.
fn until_refused(daemon: &Daemon<'_>, body: &[u8], text: &str) {
    let start = Instant::now();
    loop {
        let answer = daemon.deliver("over", body);
        if answer.status == 503 {
            assert!(answer.header("retry-after").is_some() && answer.body.contains(text), "{answer:?}");
            return;
        }
        assert!(start.elapsed() < PATIENCE);
    }
}

#[test]
fn requests_in_flight_are_bounded_in_all_and_from_one_address() {
    for (key, text) in [("max_requests", "overloaded"), ("max_requests_per_address", "from this address")] {
        let home = home(&format!("{key} = 2"));
        let daemon = home.serve();
        let mut halves = ["a", "b"].map(|id| half_sent(&daemon, id, &order(1), 10));
        until_refused(&daemon, &order(2), text);
        assert_eq!(daemon.request(&Request::new("GET", "/healthz")).status, 200, "whoever watches the box is answered");
        for (connection, request) in &mut halves {
            connection.send(&request.body[10..]).unwrap();
            assert_eq!(connection.answer().unwrap().status, 200);
        }
        assert_serves(&daemon, "after");
    }
}

#[test]
fn bodies_in_memory_are_bounded() {
    let home = home("max_body_bytes = 1048576\nmax_buffered_bytes = 1048576");
    let daemon = home.serve();
    let body = vec![b'x'; 700_000];
    // Which of two bodies is read first is the machine's affair: when the half one came second it was refused itself.
    let start = Instant::now();
    'held: loop {
        assert!(start.elapsed() < PATIENCE);
        let (mut connection, request) = half_sent(&daemon, "half", &body, 600_000);
        for _ in 0..20 {
            let answer = daemon.deliver("over", &body);
            if answer.status == 503 {
                assert!(answer.header("retry-after").is_some() && answer.body.contains("overloaded"), "{answer:?}");
                connection.send(&request.body[600_000..]).unwrap();
                assert_eq!(connection.answer().unwrap().status, 200, "the one that was there first is taken");
                break 'held;
            }
        }
    }
    assert_eq!(daemon.deliver("fits", &body).status, 200, "what was taken is given back");
}

/// A bearer that is wrong is wrong before the body: a stranger's body is not waited for.
#[test]
fn a_body_is_not_waited_for_when_the_bearer_is_wrong() {
    let home = home("");
    let daemon = home.serve();
    let request = Request { body: vec![b'x'; 100], ..Request::new("POST", "/api/keycloak/events") };
    assert_eq!(say(&daemon, &request.with("Authorization", "Bearer wrong").head()).status, 401);
}

#[test]
fn what_is_no_http_gets_its_answer_in_json_and_a_row() {
    let home = home("max_header_bytes = 8192");
    let daemon = home.serve();
    for (request, status, reason) in [
        (
            "POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            400,
            "request_malformed",
        ),
        ("POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n", 400, "request_malformed"),
        ("POST /healthz HTTP/1.1\r\nna me: x\r\n\r\n", 400, "request_malformed"),
        ("nonsense\r\n\r\n", 400, "request_malformed"),
        (&format!("GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(9000)), 431, "headers_too_large"),
    ] {
        let answer = say(&daemon, request.as_bytes());
        assert_eq!(answer.status, status, "{request}");
        assert!(answer.json()["error"].as_str().unwrap().starts_with("the request cannot be read"), "{answer:?}");
        home.wait_for(&format!("SELECT count(*) > 0 FROM rejected_requests WHERE reason = '{reason}'"), "1");
    }
    // An answer before the broken request is not touched by it.
    let mut connection = daemon.connect();
    let good = shopify("w", &order(1)).written();
    connection.send(&[good.as_slice(), b"nonsense\r\n\r\n"].concat()).unwrap();
    assert_eq!(connection.answer().unwrap().status, 200);
    assert_eq!(connection.answer().unwrap().status, 400);
}

/// What HTTP/2 asks of an answer: none to HEAD, and none before the client has stopped sending, or curl does not show it.
#[test]
fn over_http_2_every_refusal_is_seen() {
    let home = home("max_body_bytes = 1000");
    let daemon = home.serve();
    assert_eq!(curl(&daemon, &["--head"], "/healthz").0, "2 200");
    assert_eq!(curl(&daemon, &["--head"], "/nowhere").0, "2 404");
    let file = home.path("large");
    std::fs::write(&file, vec![b'x'; 3 << 20]).unwrap();
    let data = format!("@{}", file.display());
    for _ in 0..5 {
        assert_eq!(curl(&daemon, &["--data-binary", &data], "/api/webhooks/easypost").0, "2 413");
        assert_eq!(curl(&daemon, &["--data-binary", &data], "/nowhere").0, "2 404");
        assert_eq!(curl(&daemon, &["-X", "PUT", "--data-binary", &data], "/api/webhooks/easypost").0, "2 405");
    }
}

#[test]
fn clients_that_speak_no_tls_or_nothing_are_dropped() {
    let home = home("handshake_timeout = \"200ms\"");
    let daemon = home.serve();
    let mut rest = Vec::new();
    let mut silent = TcpStream::connect(daemon.address).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    silent.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "closed after the handshake's time");
    for bytes in [&b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"[..], b"\0\0\0\0", &[0x16, 3, 1, 0xff, 0xff, 1]] {
        let mut plain = TcpStream::connect(daemon.address).unwrap();
        plain.set_read_timeout(Some(PATIENCE)).unwrap();
        plain.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // A TLS alert or a reset, and then the end; never an HTTP answer in the clear.
        let _ = plain.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    assert_serves(&daemon, "after");
}

#[test]
fn broken_http_is_refused_and_the_connection_ended() {
    let home = Home::new("");
    let daemon = home.serve();
    let framing = "POST /api/webhooks/easypost HTTP/1.1\r\nhost: x\r\n";
    for (case, text) in [
        ("garbage", "\x01\x02\x03 nonsense\r\n\r\n".to_owned()),
        ("two lengths", format!("{framing}content-length: 3\r\ncontent-length: 4\r\n\r\nabc")),
        ("no length", format!("{framing}content-length: many\r\n\r\nabc")),
        ("broken chunk", format!("{framing}transfer-encoding: chunked\r\n\r\nXYZ\r\n")),
        ("unknown coding", format!("{framing}transfer-encoding: gzip\r\n\r\nabc")),
    ] {
        let mut connection = daemon.connect();
        connection.send(text.as_bytes()).unwrap();
        assert_eq!(connection.answer().map(|answer| answer.status).unwrap(), 400, "{case}");
        assert!(connection.ends(), "{case}");
    }
    // Both framings at once is how one request is smuggled into another: never taken as two requests.
    let both = format!(
        "{framing}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    );
    let mut connection = daemon.connect();
    connection.send(both.as_bytes()).unwrap();
    let answer = connection.answer().unwrap();
    assert!(matches!(answer.status, 400 | 401), "{answer:?}");
    assert!(connection.answer().is_err(), "and nothing after it");
    assert_serves(&daemon, "after");
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 1);
}

#[test]
fn a_connection_is_kept_and_pipelined_requests_are_answered_in_order() {
    let home = Home::new("");
    let daemon = home.serve();
    let mut connection = daemon.connect();
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(connection.request(&shopify(&format!("kept{n}"), &order(n + 1))).event_id());
    }
    let together: Vec<u8> = (0..20).flat_map(|n| shopify(&format!("kept{n}"), &order(n + 1)).written()).collect();
    connection.send(&together).unwrap();
    for id in ids {
        let answer = connection.answer().unwrap();
        assert_eq!((answer.event_id(), answer.duplicate()), (id, true));
    }
}

#[test]
fn http2_takes_deliveries_side_by_side() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = String::from_utf8(order(1)).unwrap();
    let headers: Vec<String> =
        shopify("h2", body.as_bytes()).headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let mut arguments: Vec<&str> = headers.iter().flat_map(|header| ["-H", header]).collect();
    arguments.extend(["--data-binary", &body]);
    let (code, answer) = curl(&daemon, &arguments, "/api/webhooks/shopify/orders/create");
    assert_eq!((code.as_str(), answer.contains("\"duplicate\":false")), ("2 200", true), "{answer}");
    // The same one twenty times on one connection, at once.
    arguments.extend(["--parallel", "--parallel-max", "20"]);
    let (codes, answers) = curl(&daemon, &arguments, "/api/webhooks/shopify/orders/create?[1-20]");
    assert_eq!(answers.matches("\"duplicate\":true").count(), 20, "{codes} {answers}");
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 1);
}

#[test]
fn clients_that_read_nothing_or_leave_early_hold_up_nobody() {
    let home = Home::new("");
    let daemon = home.serve();
    let mut deaf: Vec<Connection> = (0..10).map(|_| daemon.connect()).collect();
    for (n, connection) in deaf.iter_mut().enumerate() {
        for m in 0..20 {
            connection.send(&shopify(&format!("deaf{n}-{m}"), &order(1)).written()).unwrap();
        }
    }
    for n in 0..20 {
        let mut connection = daemon.connect();
        connection.send(&shopify(&format!("left{n}"), &order(1)).head()).unwrap();
    }
    assert_serves(&daemon, "meanwhile");
    home.wait_for("SELECT count(*) FROM webhook_events WHERE webhook_id LIKE 'deaf%'", "200");
}

#[test]
fn a_request_in_flight_is_answered_before_the_daemon_ends() {
    let home = Home::new("");
    let mut daemon = home.serve();
    let mut idle = daemon.connect();
    assert_eq!(idle.request(&shopify("w1", &order(1))).status, 200);
    let mut busy = daemon.connect();
    let request = shopify("w2", &order(2));
    busy.send(&request.head()).unwrap();
    busy.send(&request.body[..10]).unwrap();
    let start = Instant::now();
    // Until the daemon has begun to read it, the request is not in flight; an idle one answered after it shows that.
    assert_eq!(daemon.deliver("w3", &order(3)).status, 200);
    daemon.signal("TERM");
    assert!(idle.ends(), "an idle connection is closed");
    while TcpStream::connect(daemon.address).is_ok() {
        assert!(start.elapsed() < PATIENCE, "the port is closed");
    }
    busy.send(&request.body[10..]).unwrap();
    assert_eq!(busy.answer().unwrap().status, 200);
    assert!(daemon.child.wait().unwrap().success());
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 3);
    assert_eq!(
        std::fs::metadata(home.path("events.db-wal")).map_or(0, |data| data.len()),
        0,
        "the WAL was checkpointed"
    );
}
