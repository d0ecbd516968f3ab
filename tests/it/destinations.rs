//! Deliveries to an HTTP server, a program and a directory that fail, hang, go down and recover.

use crate::support::destinations::{
    SECRET, command_destination, directory_destination, home_with_destinations, http_destination, send_orders,
    wait_until_delivered, write_program,
};
use crate::support::fake_erp::{FakeErp, Reply};
use crate::support::{Home, Request, base64, hmac_sha256, order_body, shopify_request, wait_until};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, Socket, Type};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;

#[test]
fn each_destination_gets_each_event_once_signed_and_unchanged() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let home = home_with_destinations(|home| {
        http_destination("erp", &erp.url, "")
            + &directory_destination(&home.path("files"))
            + &command_destination(&home.path("import"))
    });
    let daemon = home.serve();
    send_orders(&daemon, 1..=20);
    daemon.request(&crate::support::keycloak_request(br#"{"type":"LOGIN"}"#)).event_id();
    wait_until_delivered(&home);
    let requests = erp.requests();
    assert_eq!(requests.len(), 20, "Keycloak's event does not match its topics");
    let key =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, SECRET.strip_prefix("whsec_").unwrap())
            .unwrap();
    for request in &requests {
        let (id, timestamp) = (request.header("webhook-id"), request.header("webhook-timestamp"));
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &request.body].concat();
        assert_eq!(request.header("webhook-signature"), format!("v1,{}", base64(&hmac_sha256(&key, &signed))));
        assert_eq!(request.header("idempotency-key"), id);
        let stored = home.sql(&format!("SELECT hex(body) FROM webhook_payloads WHERE event_id = {id}"));
        assert!(stored.eq_ignore_ascii_case(&hex::encode(&request.body)), "the body is unchanged");
    }
    let ids: BTreeSet<&str> = requests.iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!(ids.len(), 20);
    let mut files: Vec<String> = fs::read_dir(home.path("files"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!((files.len(), files[0].as_str()), (21, "000000000001-shopify-orders-create.json"));
    assert_eq!(fs::read(home.path("files").join(&files[4])).unwrap(), order_body(5));
    let imported = fs::read_to_string(home.path("imported")).unwrap();
    assert_eq!(imported.lines().count(), 20);
    assert!(
        imported.lines().all(|line| line.contains(" orders/create ") && line.ends_with(' ')),
        "the program gets no environment of the daemon: {imported}"
    );
    assert_eq!(home.sql("SELECT DISTINCT status, attempts FROM destination_deliveries"), "delivered|1");
    // A retried event is not delivered again.
    home.run_ok(&["events", "retry", "1"]);
    wait_until_delivered(&home);
    assert_eq!(erp.requests().len(), 20);
}

/// One of three destinations is down: the other two get each event once. The outage uses up no attempts. After it, the
/// queued deliveries go in order.
/// A receiver could take an empty signature header for a broken signature.
#[test]
fn delivery_without_secrets_has_no_signature_header() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let home =
        home_with_destinations(|_| http_destination("erp", &erp.url, "").replace("secrets = [\"file:erp\"]\n", ""));
    let warned = home.run_ok(&["config", "check"]);
    assert!(warned.contains("destination `erp` has no secrets"), "{warned}");
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    let requests = erp.wait_for(1);
    assert!(requests[0].headers.iter().all(|(name, _)| name != "webhook-signature"), "{requests:?}");
    assert_eq!(requests[0].header("webhook-id"), "1");
    daemon.stop();
}

#[test]
fn down_destination_blocks_no_other_and_gets_its_queue_in_order() {
    // Bound and not listening: no other process gets the port, and connections are refused.
    let place = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    place.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = place.local_addr().unwrap().as_socket().unwrap();
    let url = format!("http://{address}/hooks");
    let home = home_with_destinations(|home| {
        http_destination("erp", &url, "concurrency = 1")
            + &directory_destination(&home.path("files"))
            + &command_destination(&home.path("import"))
    });
    let daemon = home.serve();
    send_orders(&daemon, 1..=40);
    home.wait_until_processed();
    home.wait_for("SELECT count(*) FROM destination_deliveries WHERE status = 'delivered'", "80");
    home.wait_for("SELECT down_since IS NOT NULL FROM destinations WHERE name = 'erp'", "1");
    // Many probes later no delivery is lost.
    home.wait_for("SELECT consecutive_failures > 8 FROM destinations WHERE name = 'erp'", "1");
    assert_eq!(home.sql("SELECT count(*) FROM destination_deliveries WHERE status = 'failed'"), "0");
    assert!(home.count("SELECT max(attempts) FROM destination_deliveries WHERE destination = 'erp'") <= 3);
    let list = home.run_ok(&["destinations", "list"]);
    assert!(list.contains("down since") && list.contains("files"), "{list}");
    place.listen(128).unwrap();
    let erp = FakeErp::start_at(place.into(), |_, _| Reply::Status(204));
    wait_until_delivered(&home);
    let ids: Vec<u64> = erp.requests().iter().map(|request| request.header("webhook-id").parse().unwrap()).collect();
    assert_eq!(ids, (1..=40).collect::<Vec<u64>>(), "in order and once each");
    let log = home.log();
    assert!(
        log.contains("destination `erp` is down") && log.contains("destination `erp` recovered; delivering"),
        "{log}"
    );
    assert_eq!(
        fs::read_to_string(home.path("imported")).unwrap().lines().count(),
        40,
        "the other destinations got each event once"
    );
}

/// The ERP fails, hangs, drops the connection after the body, and accepts: each attempt has the same key.
#[test]
fn idempotency_key_is_equal_for_all_attempts() {
    let erp = FakeErp::start(|number, _| match number {
        0 => Reply::Status(500),
        1 => Reply::Drop,
        2 => Reply::Status(429),
        3 => Reply::Hang,
        4 => Reply::StatusWithHeaders(503, "retry-after: 0\r\n".into()),
        _ => Reply::Status(200),
    });
    let home = home_with_destinations(|_| {
        http_destination("erp", &erp.url, "")
            .replace("timeout = \"5s\"", "timeout = \"300ms\"")
            .replace("breaker_failures = 2", "breaker_failures = 100")
    });
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    wait_until_delivered(&home);
    let requests = erp.requests();
    assert_eq!(requests.len(), 6);
    assert!(requests.iter().all(|request| request.header("webhook-id") == "1" && request.body == order_body(1)));
    let attempts: Vec<&str> = requests.iter().map(|request| request.header("novex-attempt")).collect();
    assert_eq!(attempts, ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(
        home.sql("SELECT to_status, count(*) FROM destination_delivery_log GROUP BY 1"),
        "delivered|1\npending|5"
    );
}

#[test]
fn rejected_delivery_fails_until_an_operator_retries_it() {
    let erp = FakeErp::start(|number, _| match number {
        0 => Reply::Status(422),
        1 => Reply::StatusWithHeaders(302, "location: http://127.0.0.1:1/\r\n".into()),
        _ => Reply::Status(200),
    });
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    wait_until_delivered(&home);
    send_orders(&daemon, 2..=2);
    wait_until_delivered(&home);
    let failures =
        home.sql("SELECT event_id, destination, attempts, error FROM destination_failures ORDER BY event_id");
    assert!(
        failures.starts_with("1|erp|1|answered 422")
            && failures.contains("2|erp|1|answered 302 Found: redirects are not followed"),
        "{failures}"
    );
    home.run_ok(&["events", "retry", "1", "2"]);
    wait_until_delivered(&home);
    assert_eq!(erp.requests().len(), 4);
    assert_eq!(home.sql("SELECT DISTINCT status FROM destination_deliveries"), "delivered");
    let shown = home.run_ok(&["events", "show", "1"]);
    assert!(shown.contains("DESTINATION") && shown.contains("delivered"), "{shown}");
}

#[test]
fn retry_after_is_honoured() {
    let erp = FakeErp::start(|_, _| Reply::StatusWithHeaders(429, "Retry-After: 3600\r\n".into()));
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    erp.wait_for(1);
    home.wait_for("SELECT status, attempts FROM destination_deliveries", "pending|1");
    let hours = "SELECT round((julianday(next_attempt_at) - julianday('now')) * 24, 1) FROM destination_deliveries";
    assert_eq!(home.sql(hours), "1.0");
}

/// A redaction is delivered as numbers, because the ERP must redact too; the body's personal data is removed.
#[test]
fn redaction_is_delivered_without_personal_data() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let home =
        home_with_destinations(|_| http_destination("erp", &erp.url, "").replace("shopify:orders/*", "shopify:*"));
    let daemon = home.serve();
    send_orders(&daemon, 7..=7);
    wait_until_delivered(&home);
    let redact = r#"{"shop_domain":"acme-foods.myshopify.com","customer":{"id":99,"email":"ada@example.com","phone":"+15550142"},"orders_to_redact":[7,8]}"#;
    let request = shopify_request("r", redact.as_bytes()).with_header("X-Shopify-Topic", "customers/redact");
    daemon.request(&Request { path: "/api/webhooks/shopify/customers/redact".into(), ..request }).event_id();
    wait_until_delivered(&home);
    let requests = erp.wait_for(2);
    assert_eq!(requests[1].header("webhook-id"), "2");
    assert_eq!(
        String::from_utf8_lossy(&requests[1].body),
        r#"{"customer":{"id":99},"orders_to_redact":[7,8],"shop_domain":"acme-foods.myshopify.com"}"#
    );
    assert_eq!(home.sql("SELECT DISTINCT status FROM destination_deliveries"), "delivered");
}

/// kill -9 between the push and its commit: the ERP gets the same key again, and the tables have the order once.
#[test]
fn kill_before_commit_repeats_the_push_with_the_same_key() {
    let erp = FakeErp::start(|number, _| if number == 0 { Reply::Hang } else { Reply::Status(200) });
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
    let mut daemon = home.serve();
    send_orders(&daemon, 1..=1);
    erp.wait_for(1);
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    let _daemon = home.serve();
    wait_until_delivered(&home);
    let requests = erp.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[0].header("webhook-id"), requests[1].header("webhook-id")), ("1", "1"));
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(home.sql("SELECT count(*), (SELECT count(*) FROM sales_order_lines) FROM sales_orders"), "1|1");
    let log = home.sql("SELECT to_status, error FROM destination_delivery_log ORDER BY id");
    assert!(log.contains("died while it made this delivery") && log.ends_with("delivered|"), "{log}");
}

/// An event on which the ERP always fails does not block the others, and ends as failed.
#[test]
fn event_that_always_fails_blocks_no_other() {
    let erp = FakeErp::start(|_, requests| Reply::Status(if requests.body == order_body(1) { 500 } else { 200 }));
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, "concurrency = 1"));
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    // Alone, it makes the destination count as down …
    home.wait_for("SELECT down_since IS NOT NULL FROM destinations", "1");
    // … until the other deliveries succeed.
    send_orders(&daemon, 2..=10);
    wait_until_delivered(&home);
    let states = "SELECT status, count(*), max(attempts) FROM destination_deliveries GROUP BY 1";
    assert_eq!(home.sql(states), "delivered|9|1\nfailed|1|8");
}

/// Nor does an event for which a proxy responds, or no server: other deliveries go first, and it waits as long as
/// needed.
#[test]
fn unanswered_event_waits_without_using_attempts() {
    let erp = FakeErp::start(|_, requests| Reply::Status(if requests.body == order_body(1) { 503 } else { 200 }));
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, "concurrency = 1"));
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    home.wait_for("SELECT consecutive_failures > 6 FROM destinations", "1");
    assert!(home.count("SELECT attempts FROM destination_deliveries") <= 3);
    send_orders(&daemon, 2..=10);
    home.wait_for("SELECT count(*) FROM destination_deliveries WHERE status = 'delivered'", "9");
}

/// `Retry-After: 0` does not use up eight attempts in a moment. A longer one holds also while other deliveries succeed.
#[test]
fn retry_after_is_a_minimum() {
    let erp = FakeErp::start(|_, requests| match requests.body {
        ref body if *body == order_body(1) => Reply::StatusWithHeaders(429, "retry-after: 0\r\n".into()),
        ref body if *body == order_body(2) => Reply::StatusWithHeaders(429, "retry-after: 3600\r\n".into()),
        _ => Reply::Status(200),
    });
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
    let text = fs::read_to_string(home.config())
        .unwrap()
        .replace("\"10ms\"", "\"1h\"")
        .replace("\"40ms\"\npoll", "\"6h\"\npoll");
    fs::write(home.config(), text).unwrap();
    let daemon = home.serve();
    send_orders(&daemon, 1..=5);
    home.wait_until_processed();
    home.wait_for("SELECT count(*) FROM destination_deliveries WHERE status = 'delivered'", "3");
    home.wait_for("SELECT group_concat(attempts) FROM destination_deliveries WHERE status = 'pending'", "1,1");
    let hours = "SELECT min((julianday(next_attempt_at) - julianday('now')) * 24 > 0.7) FROM destination_deliveries WHERE status = 'pending'";
    assert_eq!(home.sql(hours), "1");
}

/// A program has ended when its process ends, also if a child still has its standard error open.
#[test]
fn program_with_a_surviving_child_has_ended() {
    let home = home_with_destinations(|home| command_destination(&home.path("import")));
    write_program(&home, "cat > /dev/null; sleep 100 & exit 0");
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    wait_until_delivered(&home);
    assert_eq!(home.sql("SELECT status, attempts FROM destination_deliveries"), "delivered|1");
}

/// A stop interrupts a delivery: its attempt does not count, and it is sent again.
#[test]
fn interrupted_delivery_is_released() {
    let erp = FakeErp::start(|number, _| if number == 0 { Reply::Hang } else { Reply::Status(200) });
    let home = home_with_destinations(|_| {
        http_destination("erp", &erp.url, "").replace("timeout = \"5s\"", "timeout = \"10m\"")
    });
    let text = fs::read_to_string(home.config()).unwrap().replace("[worker]\n", "[worker]\ngrace = \"100ms\"\n");
    fs::write(home.config(), text).unwrap();
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    erp.wait_for(1);
    daemon.stop();
    assert_eq!(home.sql("SELECT status, attempts FROM destination_deliveries"), "pending|0");
    let _daemon = home.serve();
    wait_until_delivered(&home);
    assert_eq!(home.sql("SELECT status, attempts FROM destination_deliveries"), "delivered|1");
}

#[test]
fn exit_status_decides_and_timeout_limits_a_program() {
    let home = home_with_destinations(|home| {
        command_destination(&home.path("import"))
            .replace("breaker_failures = 2", "breaker_failures = 100\ntimeout = \"400ms\"")
    });
    write_program(
        &home,
        "n=$(cat DIR/count 2>/dev/null || echo 0); echo $((n+1)) > DIR/count; echo \"try $n\" >&2; \
                    case $n in 0) exit 75;; 1) sleep 600 & sleep 600;; 2) exit 0;; *) exit 3;; esac",
    );
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    wait_until_delivered(&home);
    assert_eq!(home.sql("SELECT status, attempts FROM destination_deliveries"), "delivered|3");
    let errors = home.sql("SELECT error FROM destination_delivery_log WHERE error IS NOT NULL ORDER BY id");
    assert_eq!(errors, "exit status 75: try 0\nit ran longer than 400ms and was killed");
    let left = Command::new("pgrep").args(["-f", &home.path("import").display().to_string()]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "and all its children");
    send_orders(&daemon, 2..=2);
    wait_until_delivered(&home);
    assert_eq!(home.sql("SELECT error FROM destination_failures"), "exit status 3: try 3");
    assert!(!home.log().contains("try 3"), "a program's output can contain personal data");
}

/// A program gets only the rights that it needs, and its output cannot control a terminal.
#[test]
fn program_gets_limited_rights() {
    let home = home_with_destinations(|home| command_destination(&home.path("import")));
    write_program(
        &home,
        "cat > /dev/null; printf '%s %s %s \\033[2J' \"$(grep NoNewPrivs /proc/self/status | tr -d '\\t')\" \
         \"$(ulimit -n)\" \"$(ulimit -c)\" >&2; exit 1",
    );
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    wait_until_delivered(&home);
    let printed = home.sql("SELECT error FROM destination_failures");
    assert_eq!(printed, "exit status 1: NoNewPrivs:1 1024 0 \\u{1b}[2J");
}

/// A destination with a private authority and a client certificate: each side accepts nothing else.
#[test]
fn private_authority_and_client_certificate_are_verified() {
    let home = home_with_destinations(|_| String::new());
    let shell = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2 \
        -addext basicConstraints=critical,CA:TRUE && for n in server client; do \
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $n.key -out $n.csr -subj /CN=$n && \
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > ext && \
        openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out $n.pem; done";
    let made = Command::new("sh").args(["-c", shell]).current_dir(home.path("")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(tls_that_asks_for_a_certificate(&home));
    std::thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), tcp);
            let mut bytes = [0; 4096];
            if tls.read(&mut bytes).is_ok_and(|read| read > 0) {
                let _ = tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    });
    let test = |more: &str| {
        home.configure(&http_destination("erp", &format!("https://localhost:{port}/"), more));
        let output = home.run(&["destinations", "test", "erp"]);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (client, ca) = ("client_certificate = \"client.pem\"\nclient_key = \"client.key\"", "ca = \"ca.pem\"");
    let (is_accepted, printed) = test(&format!("{ca}\n{client}"));
    assert!(is_accepted, "{printed}");
    let (is_accepted, printed) = test(client);
    assert!(!is_accepted && printed.contains("UnknownIssuer"), "an untrusted authority: {printed}");
    let (is_accepted, printed) = test(ca);
    assert!(!is_accepted && printed.contains("not reached"), "no client certificate: {printed}");
}

fn tls_that_asks_for_a_certificate(home: &Home) -> ServerConfig {
    let certificates = |name: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(home.path(name)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificates("ca.pem").remove(0)).unwrap();
    let asks = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(asks)
        .with_single_cert(certificates("server.pem"), PrivateKeyDer::from_pem_file(home.path("server.key")).unwrap())
        .unwrap()
}

/// The output of a program is not stored if its event is redacted meanwhile, and earlier output is removed.
#[test]
fn destinations_response_is_removed_with_its_event() {
    let home = home_with_destinations(|home| command_destination(&home.path("import")));
    write_program(
        &home,
        "touch DIR/begun; while [ ! -e DIR/go ]; do sleep 0.01; done; echo ada@example.com >&2; exit 1",
    );
    let daemon = home.serve();
    let order = r#"{"id":5,"email":"ada@example.com","customer":{"id":99},"updated_at":"2026-11-23T10:00:00Z"}"#;
    daemon.request(&shopify_request("o", order.as_bytes())).event_id();
    wait_until(|| home.path("begun").exists(), || home.log());
    let redact = r#"{"shop_domain":"acme-foods.myshopify.com","customer":{"id":99},"orders_to_redact":[]}"#;
    let request = shopify_request("r", redact.as_bytes()).with_header("X-Shopify-Topic", "customers/redact");
    daemon.request(&Request { path: "/api/webhooks/shopify/customers/redact".into(), ..request }).event_id();
    home.wait_until_processed();
    fs::write(home.path("go"), "").unwrap();
    home.wait_for("SELECT status FROM destination_deliveries WHERE event_id = 1", "failed");
    let printed = "SELECT (SELECT last_error FROM destination_deliveries WHERE event_id = 1) || \
                (SELECT group_concat(error) FROM destination_delivery_log WHERE delivery_id = 1)";
    assert!(
        !home.sql(printed).contains("ada@example.com") && home.sql(printed).contains("redacted"),
        "{}",
        home.sql(printed)
    );
}
