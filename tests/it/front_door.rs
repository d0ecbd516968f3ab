//! Clients that prove nothing cannot keep webhooks out: an honest sender, unknown before, is served during each attack.

use crate::support::strangers::{
    Http2Connection, assert_honest_sender_is_served, build_frame, connect_from, connect_tcp, send_from,
    send_part_of_body,
};
use crate::support::{Connection, Home, order_body, shopify_request, wait_until};
use std::io::Write;
use std::net::TcpStream;

/// Host of the honest sender: 127.0.0.77.
const HONEST: u8 = 77;
const HONEST_WEBHOOKS: u64 = 100;
/// Type of the PING frame (RFC 9113, section 6.7).
const PING: u8 = 6;

/// Creates a home with these keys in `[server]`.
fn home_with_limits(server: &str) -> Home {
    Home::new(&format!("[server]\nlisten = \"127.0.0.1:0\"\n{server}"))
}

#[test]
fn unfinished_bodies_of_two_addresses_keep_no_webhook_out() {
    let home = Home::new("");
    let daemon = home.serve();
    let request = shopify_request("never", &order_body(1));
    let held: Vec<Connection> =
        (2..=3).cycle().take(512).filter_map(|host| send_part_of_body(host, &daemon, &request, 1).ok()).collect();
    assert!(held.len() > 300, "{}", held.len());
    assert_honest_sender_is_served(HONEST, &daemon, HONEST_WEBHOOKS);
}

/// Opens fewer streams than the daemon allows one connection and one address, so that it refuses and closes none.
#[test]
fn http2_streams_without_a_body_keep_no_webhook_out() {
    let home = home_with_limits("max_requests = 480");
    let daemon = home.serve();
    let request = shopify_request("never", &order_body(1));
    let mut held = Vec::new();
    for host in [2, 3, 2, 3, 2, 3] {
        let mut http2 = Http2Connection::open(host, &daemon).unwrap();
        (0..80).for_each(|stream| http2.open_stream(2 * stream + 1, &request).unwrap());
        held.push(http2);
    }
    assert_honest_sender_is_served(HONEST, &daemon, HONEST_WEBHOOKS);
}

#[test]
fn body_memory_of_one_address_keeps_no_webhook_out() {
    let home = home_with_limits("max_body_bytes = 1048576\nmax_buffered_bytes = 16777216");
    let daemon = home.serve();
    let send = |size: usize| {
        let request = shopify_request("never", &vec![b'x'; size]);
        send_part_of_body(2, &daemon, &request, size - 1)
    };
    // The smaller ones take what the larger ones leave.
    let sizes = [(17, 1 << 20), (20, 1 << 16), (40, 1 << 11)];
    let held: Vec<_> = sizes.iter().flat_map(|&(count, size)| (0..count).map(move |_| size)).map(send).collect();
    for n in 1..=20 {
        let body = vec![b' '; 500_000];
        let response = send_from(HONEST, &daemon, &shopify_request(&format!("large{n}"), &body)).unwrap();
        assert_eq!(response.status, 200, "{response:?}");
    }
    assert_honest_sender_is_served(HONEST + 1, &daemon, HONEST_WEBHOOKS);
    drop(held);
}

#[test]
fn idle_tls_connections_keep_no_webhook_out() {
    let home = Home::new("");
    let daemon = home.serve();
    let held: Vec<Connection> =
        (2..=6).cycle().take(1088).filter_map(|host| connect_from(host, &daemon).ok()).collect();
    assert!(held.len() > 700, "{}", held.len());
    assert_honest_sender_is_served(HONEST, &daemon, HONEST_WEBHOOKS);
}

#[test]
fn half_handshakes_keep_no_webhook_out() {
    let home = Home::new("");
    let daemon = home.serve();
    let held: Vec<TcpStream> = (2..=7)
        .cycle()
        .take(1500)
        .filter_map(|host| {
            let mut tcp = connect_tcp(host, daemon.address).ok()?;
            // The first byte of a ClientHello.
            let _ = tcp.write_all(&[0x16]);
            Some(tcp)
        })
        .collect();
    assert_eq!(held.len(), 1500);
    assert_honest_sender_is_served(HONEST, &daemon, HONEST_WEBHOOKS);
}

/// Places that are short go from the strangers to the newer ones; trusted and known clients keep theirs.
#[test]
fn trusted_and_known_addresses_keep_their_places() {
    let home = home_with_limits("max_requests = 4\nreserved_percent = 50\ntrusted_networks = [\"127.0.0.8/31\"]");
    let daemon = home.serve();
    let request = |id: &str| shopify_request(id, &order_body(1));
    assert_eq!(send_from(HONEST, &daemon, &request("first")).unwrap().status, 200);
    let mut half_known = send_part_of_body(HONEST, &daemon, &request("known"), 10).unwrap();
    let mut half_trusted = send_part_of_body(9, &daemon, &request("trusted"), 10).unwrap();
    let mut strangers: Vec<_> =
        (20..30).map(|host| send_part_of_body(host, &daemon, &request("stranger"), 1).unwrap()).collect();
    // Only the last two can have a place; who came last depends on the machine.
    let refused = strangers.split_off(5);
    drop(refused);
    let response = strangers[0].read_response().unwrap();
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").is_some() && response.body.contains("slow"), "{response:?}");
    for connection in [&mut half_known, &mut half_trusted] {
        connection.send(&order_body(1)[10..]).unwrap();
        assert_eq!(connection.read_response().unwrap().status, 200);
    }
}

/// A stranger with a captured webhook can send its bytes again, under any id: that proves nothing.
#[test]
fn copy_of_a_webhook_proves_nothing() {
    let home = home_with_limits("max_requests = 4\nreserved_percent = 50");
    let daemon = home.serve();
    let captured = order_body(1);
    assert_eq!(send_from(HONEST, &daemon, &shopify_request("first", &captured)).unwrap().status, 200);
    let strangers: Vec<Connection> = (0..40)
        .map(|n| {
            // Two of them under the same id, which is a duplicate; the others are events of their own.
            let id = if n < 2 { "first".to_owned() } else { format!("copy{n}") };
            let host = 20 + n / 10;
            let mut connection = connect_from(host, &daemon).unwrap();
            connection.send(&shopify_request(&id, &captured).to_bytes()).unwrap();
            assert_eq!(connection.read_response().unwrap().status, 200);
            let unfinished = shopify_request("never", &captured);
            connection.send(&[&unfinished.head(), &unfinished.body[..10]].concat()).unwrap();
            connection
        })
        .collect();
    let mut known = connect_from(HONEST, &daemon).unwrap();
    for n in 0..20 {
        known.send(&shopify_request(&format!("new{n}"), &order_body(100 + n)).to_bytes()).unwrap();
        assert_eq!(known.read_response().unwrap().status, 200, "the reserve is for known addresses");
    }
    drop(strangers);
}

/// A client that sent a valid webhook keeps its share of the body memory, and no more.
#[test]
fn body_memory_of_a_known_address_keeps_no_webhook_out() {
    let home = home_with_limits(
        "max_body_bytes = 1048576\nmax_buffered_bytes = 16777216\nmax_buffered_bytes_per_address = 4194304",
    );
    let daemon = home.serve();
    let held: Vec<Connection> = (0..17)
        .map(|n| {
            let mut connection = connect_from(2, &daemon).unwrap();
            connection.send(&shopify_request(&format!("valid{n}"), &order_body(n)).to_bytes()).unwrap();
            // Once its address holds its share, the attacker gets 503 itself.
            assert!(connection.read_response().unwrap().status == 200 || n > 3);
            let large = shopify_request("never", &vec![b'x'; 1 << 20]).to_bytes();
            connection.send(&large[..large.len() - 1]).unwrap();
            connection
        })
        .collect();
    for n in 1..=20 {
        let response =
            send_from(HONEST, &daemon, &shopify_request(&format!("large{n}"), &vec![b' '; 900_000])).unwrap();
        assert_eq!(response.status, 200, "{response:?}");
    }
    drop(held);
}

/// A connection that sent a valid webhook and then nothing goes to a client that needs it.
#[test]
fn idle_connections_of_known_clients_keep_no_webhook_out() {
    let home = home_with_limits(
        "max_connections = 20\nmax_connections_per_address = 10\nidle_timeout = \"1h\"\nbody_grace = \"100ms\"\n\
         answer_timeout = \"2s\"",
    );
    let daemon = home.serve();
    let held: Vec<Connection> = (0..20)
        .map(|n| {
            let host = 2 + u8::try_from(n).unwrap() / 10;
            let mut connection = connect_from(host, &daemon).unwrap();
            connection.send(&shopify_request(&format!("valid{n}"), &order_body(n)).to_bytes()).unwrap();
            assert_eq!(connection.read_response().unwrap().status, 200);
            connection
        })
        .collect();
    let honest = shopify_request("honest", &order_body(100));
    wait_until(
        || send_from(HONEST, &daemon, &honest).is_ok_and(|response| response.status == 200),
        || "no idle connection made room".to_owned(),
    );
    drop(held);
}

#[test]
fn control_frame_flood_ends_the_connection() {
    let home = Home::new("");
    let daemon = home.serve();
    for (case, flood) in [
        ("PING", build_frame(PING, 0, 0, &[0; 8])),
        ("PRIORITY", build_frame(2, 0, 1, &[0, 0, 0, 0, 1])),
        ("SETTINGS", build_frame(4, 0, 0, &[])),
    ] {
        let mut http2 = Http2Connection::open(2, &daemon).unwrap();
        let _ = http2.send(&flood.repeat(2000));
        let received = http2.read_to_end();
        // The daemon pings a silent client. So without this PING the flood ended the connection, and not its silence.
        assert!(!received.contains(&(PING, 0)), "{case}: {} frames", received.len());
        assert!(received.len() < 400, "{case}: {} frames", received.len());
    }
    assert_honest_sender_is_served(HONEST, &daemon, 1);
}

#[test]
fn ambiguous_host_gets_400() {
    let home = Home::new("");
    let daemon = home.serve();
    for (case, hosts) in [
        ("two", "host: x\r\nhost: y\r\n"),
        ("twice", "host: x\r\nHost: x\r\n"),
        ("none", ""),
        ("list", "host: a, b\r\n"),
        ("user", "host: user:password@x\r\n"),
        ("path", "host: x/y?z\r\n"),
        ("blank", "host: a b\r\n"),
        ("port", "host: x:99999\r\n"),
        ("bytes", "host: \u{ff}\r\n"),
    ] {
        for path in ["/healthz", "/nowhere", "/api/webhooks/easypost"] {
            let mut connection = daemon.connect();
            connection.send(format!("GET {path} HTTP/1.1\r\n{hosts}\r\n").as_bytes()).unwrap();
            assert_eq!(connection.read_response().unwrap().status, 400, "{case} {path}");
        }
    }
    for (target, host, expected) in [
        ("https://x/healthz", "y", 400),
        ("https://user@x/healthz", "x", 400),
        ("https://x/healthz", "X", 200),
        ("/healthz", "[::1]:8443", 200),
        ("/healthz", "x:8443", 200),
    ] {
        let mut connection = daemon.connect();
        connection.send(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(connection.read_response().unwrap().status, expected, "{target} {host}");
    }
    home.wait_for("SELECT count(*) > 0 FROM rejected_requests WHERE reason = 'request_malformed'", "1");
    assert_honest_sender_is_served(HONEST, &daemon, 1);
}
