//! Limits on connections, headers and bodies, and the responses to hostile clients. After each, a valid webhook is
//! accepted.

use crate::support::{Connection, Daemon, Home, Request, Response, WAIT_MAX, order_body, shopify_request};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

/// Creates a home with these keys in `[server]`.
fn home_with_limits(server: &str) -> Home {
    Home::new(&format!("[server]\nlisten = \"127.0.0.1:0\"\n{server}"))
}

fn assert_serves(daemon: &Daemon<'_>, id: &str) {
    assert_eq!(daemon.send_order(id, &order_body(1)).status, 200, "a valid webhook is accepted afterwards");
}

/// Sends `bytes` and reads a response.
fn send_bytes(daemon: &Daemon<'_>, bytes: &[u8]) -> Response {
    let mut connection = daemon.connect();
    connection.send(bytes).unwrap();
    connection.read_response().expect("a response")
}

/// Runs curl over HTTP/2; returns the status code and the body.
fn curl_http2(daemon: &Daemon<'_>, arguments: &[&str], path: &str) -> (String, String) {
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
fn slow_headers_get_408_and_idle_connections_are_closed() {
    // The idle timeout is longer than the test, so only the header timeout can end the connection.
    let slow = home_with_limits("header_timeout = \"200ms\"\nidle_timeout = \"24h\"");
    let daemon = slow.serve();
    let response = send_bytes(&daemon, b"POST /api/webhooks/easypost HTTP/1.1\r\nhost: x\r\nx-slow");
    assert_eq!((response.status, response.header("connection")), (408, Some("close")));
    slow.wait_for("SELECT reason FROM rejected_requests", "headers_too_slow");
    let home = home_with_limits("header_timeout = \"1h\"\nidle_timeout = \"300ms\"");
    let daemon = home.serve();
    let mut idle = daemon.connect();
    assert!(idle.is_closed(), "an idle connection gets no response");
    let mut used = daemon.connect();
    assert_eq!(used.request(&shopify_request("w", &order_body(1))).status, 200);
    assert!(used.is_closed(), "the connection is idle after its request");
    assert_serves(&daemon, "after");
}

#[test]
fn slow_body_gets_408() {
    let home = home_with_limits("body_timeout = \"200ms\"");
    let daemon = home.serve();
    let mut request = shopify_request("w", &order_body(1));
    let head = request.head();
    let response = send_bytes(&daemon, &head);
    assert_eq!(response.status, 408, "a body that never arrives");
    request.chunk = Some(10);
    let mut started = request.head();
    started.extend_from_slice(b"5\r\nhello\r\n");
    assert_eq!(send_bytes(&daemon, &started).status, 408, "a body that stops");
    assert_serves(&daemon, "after");
}

#[test]
fn too_large_or_too_many_headers_get_431() {
    let home = home_with_limits("max_header_bytes = 8192\nmax_headers = 20");
    let daemon = home.serve();
    let large = shopify_request("w", &order_body(1)).with_header("x-large", &"x".repeat(9000));
    assert_eq!(daemon.request(&large).status, 431);
    let many =
        (0..30).fold(shopify_request("w", &order_body(1)), |request, n| request.with_header(&format!("x-{n}"), "1"));
    assert_eq!(daemon.request(&many).status, 431);
    let names: Vec<String> = (0..30).map(|n| format!("x-{n}: 1")).collect();
    let many: Vec<&str> = names.iter().flat_map(|name| ["-H", name]).collect();
    assert_eq!(curl_http2(&daemon, &many, "/healthz").0, "2 431", "over HTTP/2 too");
    let large = format!("x-large: {}", "x".repeat(9000));
    let (code, _) = curl_http2(&daemon, &["-H", &large], "/healthz");
    assert_eq!(code, "2 431");
    assert_serves(&daemon, "after");
}

#[test]
fn too_large_body_is_refused_while_it_streams() {
    let home = home_with_limits("max_body_bytes = 1000");
    let daemon = home.serve();
    let announced = Request { body: vec![b'x'; 1001], ..shopify_request("w", b"") };
    assert_eq!(send_bytes(&daemon, &announced.head()).status, 413, "the content-length alone is refused");
    let mut streamed = shopify_request("w", b"").chunked(1).head();
    streamed.extend_from_slice(format!("3e9\r\n{}\r\n", "x".repeat(1001)).as_bytes());
    assert_eq!(send_bytes(&daemon, &streamed).status, 413, "the body is refused while it streams");
    let exact = vec![b'x'; 1000];
    assert_eq!(daemon.send_order("exact", &exact).status, 200);
    // A client that continues to send reads its response instead of a reset.
    let body = vec![b'x'; 4 << 20];
    assert_eq!(daemon.send_order("large", &body).status, 413);
    assert_eq!(curl_http2(&daemon, &["--data-binary", &"x".repeat(1001)], "/api/webhooks/easypost").0, "2 413");
    home.wait_for("SELECT count(*) > 3 FROM rejected_requests WHERE reason = 'body_too_large'", "1");
    assert_serves(&daemon, "after");
}

#[test]
fn connections_over_the_limit_get_503() {
    for (key, name) in [("max_connections", "in all"), ("max_connections_per_address", "from one address")] {
        let home = home_with_limits(&format!("{key} = 3"));
        let daemon = home.serve();
        let mut open: Vec<Connection> = (0..3).map(|_| daemon.connect()).collect();
        for (n, connection) in (1..).zip(&mut open) {
            assert_eq!(connection.request(&shopify_request(&format!("w{n}"), &order_body(n))).status, 200);
        }
        let mut over = daemon.connect();
        let response = over.request(&shopify_request("over", &order_body(1)));
        assert_eq!(response.status, 503, "{name}");
        assert!(
            response.header("retry-after").is_some() && response.body.contains("too many connections"),
            "{response:?}"
        );
        assert!(over.is_closed());
        drop(open);
        let start = Instant::now();
        while daemon.send_order("after", &order_body(1)).status != 200 {
            assert!(start.elapsed() < WAIT_MAX, "closed connections free their places");
        }
    }
}

/// Sends a request whose body stops after some bytes.
fn send_half(daemon: &Daemon<'_>, id: &str, body: &[u8], sent: usize) -> (Connection, Request) {
    let mut connection = daemon.connect();
    let request = shopify_request(id, body);
    connection.send_head_and_await_continue(&request);
    connection.send(&request.body[..sent]).unwrap();
    (connection, request)
}

#[test]
fn requests_in_flight_are_limited_in_total_and_by_address() {
    for (key, text) in [("max_requests", "overloaded"), ("max_requests_per_address", "from this address")] {
        let home = home_with_limits(&format!("{key} = 2"));
        let daemon = home.serve();
        // An address that proved itself does not lose its places.
        assert_serves(&daemon, "before");
        let mut half_requests = ["a", "b"].map(|id| send_half(&daemon, id, &order_body(1), 10));
        let refused = daemon.send_order("over", &order_body(2));
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.header("retry-after").is_some() && refused.body.contains(text), "{refused:?}");
        assert_eq!(daemon.request(&Request::new("GET", "/healthz")).status, 200, "health checks are answered");
        for (connection, request) in &mut half_requests {
            connection.send(&request.body[10..]).unwrap();
            assert_eq!(connection.read_response().unwrap().status, 200);
        }
        assert_serves(&daemon, "after");
    }
}

#[test]
fn bodies_in_memory_are_limited() {
    let home = home_with_limits("max_body_bytes = 1048576\nmax_buffered_bytes = 1048576");
    let daemon = home.serve();
    // An address that proved itself does not lose its memory.
    assert_serves(&daemon, "before");
    let body = vec![b'x'; 700_000];
    // The machine decides which of two bodies is read first. Both are refused if each holds a part when they meet.
    let start = Instant::now();
    'held: loop {
        assert!(start.elapsed() < WAIT_MAX);
        let (mut connection, request) = send_half(&daemon, "half", &body, 600_000);
        for _ in 0..20 {
            let response = daemon.send_order("over", &body);
            if response.status == 503 {
                assert!(
                    response.header("retry-after").is_some() && response.body.contains("overloaded"),
                    "{response:?}"
                );
                // The send fails if the daemon refused the half body and closed its connection.
                if connection.send(&request.body[600_000..]).is_err() {
                    continue 'held;
                }
                match connection.read_response().map(|response| response.status) {
                    Ok(200) => break 'held,
                    Ok(503) | Err(_) => continue 'held,
                    other => panic!("the earlier body is accepted or refused for lack of memory, not {other:?}"),
                }
            }
        }
    }
    assert_eq!(daemon.send_order("fits", &body).status, 200, "the memory is free again");
}

/// A wrong bearer token is refused before the body, so the daemon does not wait for the body.
#[test]
fn wrong_bearer_is_refused_before_the_body() {
    let home = home_with_limits("");
    let daemon = home.serve();
    let request = Request { body: vec![b'x'; 100], ..Request::new("POST", "/api/keycloak/events") };
    assert_eq!(send_bytes(&daemon, &request.with_header("Authorization", "Bearer wrong").head()).status, 401);
}

#[test]
fn malformed_requests_get_json_and_a_rejection_row() {
    let home = home_with_limits("max_header_bytes = 8192");
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
        let response = send_bytes(&daemon, request.as_bytes());
        assert_eq!(response.status, status, "{request}");
        assert!(response.json()["error"].as_str().unwrap().starts_with("the request cannot be read"), "{response:?}");
        home.wait_for(&format!("SELECT count(*) > 0 FROM rejected_requests WHERE reason = '{reason}'"), "1");
    }
    // A response before the broken request is complete.
    let mut connection = daemon.connect();
    let good = shopify_request("w", &order_body(1)).to_bytes();
    connection.send(&[good.as_slice(), b"nonsense\r\n\r\n"].concat()).unwrap();
    assert_eq!(connection.read_response().unwrap().status, 200);
    assert_eq!(connection.read_response().unwrap().status, 400);
}

/// The rules of HTTP/2: no body for HEAD, and no response before the client stops sending, because curl would not show
/// it.
#[test]
fn http2_clients_see_every_refusal() {
    let home = home_with_limits("max_body_bytes = 1000");
    let daemon = home.serve();
    assert_eq!(curl_http2(&daemon, &["--head"], "/healthz").0, "2 200");
    assert_eq!(curl_http2(&daemon, &["--head"], "/nowhere").0, "2 404");
    let file = home.path("large");
    std::fs::write(&file, vec![b'x'; 3 << 20]).unwrap();
    let data = format!("@{}", file.display());
    for _ in 0..5 {
        assert_eq!(curl_http2(&daemon, &["--data-binary", &data], "/api/webhooks/easypost").0, "2 413");
        assert_eq!(curl_http2(&daemon, &["--data-binary", &data], "/nowhere").0, "2 404");
        assert_eq!(curl_http2(&daemon, &["-X", "PUT", "--data-binary", &data], "/api/webhooks/easypost").0, "2 405");
    }
}

#[test]
fn foreign_protocols_and_silent_clients_are_dropped() {
    let home = home_with_limits("handshake_timeout = \"200ms\"");
    let daemon = home.serve();
    let mut rest = Vec::new();
    let mut silent = TcpStream::connect(daemon.address).unwrap();
    silent.set_read_timeout(Some(WAIT_MAX)).unwrap();
    silent.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "closed after the handshake timeout");
    for bytes in [&b"get /healthz HTTP/1.1\r\nhost: x\r\n\r\n"[..], b"\0\0\0\0", &[0x16, 3, 1, 0xff, 0xff, 1]] {
        let mut plain = TcpStream::connect(daemon.address).unwrap();
        plain.set_read_timeout(Some(WAIT_MAX)).unwrap();
        plain.write_all(bytes).unwrap();
        let mut response = Vec::new();
        // A TLS alert or a reset, then the end; never a response in plain text.
        let _ = plain.read_to_end(&mut response);
        assert!(!response.starts_with(b"HTTP"), "{response:?}");
    }
    assert_serves(&daemon, "after");
}

#[test]
fn malformed_http_closes_the_connection() {
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
        assert_eq!(connection.read_response().map(|response| response.status).unwrap(), 400, "{case}");
        assert!(connection.is_closed(), "{case}");
    }
    // Both framings at once smuggle one request into another: the daemon never reads two requests.
    let both = format!(
        "{framing}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    );
    let mut connection = daemon.connect();
    connection.send(both.as_bytes()).unwrap();
    let response = connection.read_response().unwrap();
    assert!(matches!(response.status, 400 | 401), "{response:?}");
    assert!(connection.read_response().is_err(), "no second response");
    assert_serves(&daemon, "after");
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let home = Home::new("");
    let daemon = home.serve();
    let mut connection = daemon.connect();
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(connection.request(&shopify_request(&format!("kept{n}"), &order_body(n + 1))).event_id());
    }
    let together: Vec<u8> =
        (0..20).flat_map(|n| shopify_request(&format!("kept{n}"), &order_body(n + 1)).to_bytes()).collect();
    connection.send(&together).unwrap();
    for id in ids {
        let response = connection.read_response().unwrap();
        assert_eq!((response.event_id(), response.is_duplicate()), (id, true));
    }
}

#[test]
fn http2_accepts_concurrent_webhooks() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = String::from_utf8(order_body(1)).unwrap();
    let headers: Vec<String> =
        shopify_request("h2", body.as_bytes()).headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let mut arguments: Vec<&str> = headers.iter().flat_map(|header| ["-H", header]).collect();
    arguments.extend(["--data-binary", &body]);
    let (code, response) = curl_http2(&daemon, &arguments, "/api/webhooks/shopify/orders/create");
    assert_eq!((code.as_str(), response.contains("\"duplicate\":false")), ("2 200", true), "{response}");
    // The same request twenty times on one connection, all at once.
    arguments.extend(["--parallel", "--parallel-max", "20"]);
    let (codes, responses) = curl_http2(&daemon, &arguments, "/api/webhooks/shopify/orders/create?[1-20]");
    assert_eq!(responses.matches("\"duplicate\":true").count(), 20, "{codes} {responses}");
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 1);
}

#[test]
fn clients_that_stop_reading_block_no_other() {
    let home = Home::new("");
    let daemon = home.serve();
    let mut deaf: Vec<Connection> = (0..10).map(|_| daemon.connect()).collect();
    for (n, connection) in deaf.iter_mut().enumerate() {
        for m in 0..20 {
            connection.send(&shopify_request(&format!("deaf{n}-{m}"), &order_body(1)).to_bytes()).unwrap();
        }
    }
    for n in 0..20 {
        let mut connection = daemon.connect();
        connection.send(&shopify_request(&format!("left{n}"), &order_body(1)).head()).unwrap();
    }
    assert_serves(&daemon, "meanwhile");
    home.wait_for("SELECT count(*) FROM webhook_events WHERE webhook_id LIKE 'deaf%'", "200");
}

#[test]
fn request_in_flight_is_answered_before_the_daemon_exits() {
    let home = Home::new("");
    let mut daemon = home.serve();
    let mut idle = daemon.connect();
    assert_eq!(idle.request(&shopify_request("w1", &order_body(1))).status, 200);
    let mut busy = daemon.connect();
    let request = shopify_request("w2", &order_body(2));
    busy.send(&request.head()).unwrap();
    busy.send(&request.body[..10]).unwrap();
    let start = Instant::now();
    // The request is in flight only when the daemon begins to read it. A response to a later request shows that.
    assert_eq!(daemon.send_order("w3", &order_body(3)).status, 200);
    daemon.send_signal("TERM");
    assert!(idle.is_closed(), "an idle connection is closed");
    while TcpStream::connect(daemon.address).is_ok() {
        assert!(start.elapsed() < WAIT_MAX, "the port is closed");
    }
    busy.send(&request.body[10..]).unwrap();
    assert_eq!(busy.read_response().unwrap().status, 200);
    assert!(daemon.child.wait().unwrap().success());
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 3);
    assert_eq!(
        std::fs::metadata(home.path("events.db-wal")).map_or(0, |data| data.len()),
        0,
        "the WAL was checkpointed"
    );
}
