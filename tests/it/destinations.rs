//! Handing on: to a real HTTP server, a program and a directory that fail, hang, go away and come back.

use crate::erp::{Do, Erp};
use crate::util::{Daemon, Home, Request, base64, hmac, order, shopify};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, Socket, Type};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Fast rests and attempts: what is tested is what happens, not how long it takes.
const QUICK: &str = "breaker_failures = 2\nbreaker_rest = \"20ms\"\nbreaker_rest_max = \"40ms\"\nper_second = 1000\n";
pub const WORKER: &str = "[worker]\nbackoff_base = \"10ms\"\nbackoff_max = \"40ms\"\npoll = \"20ms\"\n";

pub fn http(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[destinations]]\nname = \"{name}\"\ntype = \"http\"\nurl = \"{url}\"\ntopics = [\"shopify:orders/*\"]\n\
         secrets = [\"file:erp\"]\ntimeout = \"5s\"\n{QUICK}{more}\n"
    )
}

pub fn directory(home_path: &std::path::Path) -> String {
    format!(
        "[[destinations]]\nname = \"files\"\ntype = \"directory\"\npath = \"{}\"\ntopics = [\"*\"]\n{QUICK}",
        home_path.display()
    )
}

pub fn command(script: &std::path::Path) -> String {
    format!(
        "[[destinations]]\nname = \"import\"\ntype = \"command\"\ncommand = [\"{}\"]\ntopics = [\"shopify:*\"]\n{QUICK}",
        script.display()
    )
}

/// A home with the ERP's secret, a directory for files, and a program that appends what it gets.
pub fn home(extra: impl FnOnce(&Home) -> String) -> Home {
    let home = Home::new("");
    fs::write(home.path("erp"), SECRET).unwrap();
    fs::create_dir(home.path("files")).unwrap();
    program(
        &home,
        "printf '%s %s %s %s\\n' \"$NOVEX_EVENT_ID\" \"$NOVEX_TOPIC\" \"$(cat | sha256sum | cut -c1-8)\" \"$HOME\" >> DIR/imported",
    );
    let extra = extra(&home);
    home.configure(&format!("{WORKER}{extra}"));
    home
}

pub fn program(home: &Home, line: &str) {
    let script = format!("#!/bin/sh\n{}\n", line.replace("DIR", &home.path("").display().to_string()));
    fs::write(home.path("import"), script).unwrap();
    fs::set_permissions(home.path("import"), fs::Permissions::from_mode(0o755)).unwrap();
}

pub fn deliver(daemon: &Daemon<'_>, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        daemon.deliver(&format!("w{id}"), &order(id)).event_id();
    }
}

/// Waits until nothing is to be worked or handed on.
pub fn settled(home: &Home) {
    home.wait_until_worked();
    home.wait_for("SELECT count(*) FROM destination_queue", "0");
}

#[test]
fn each_destination_gets_each_event_once_signed_and_byte_for_byte() {
    let erp = Erp::start(|_, _| Do::Answer(200));
    let home =
        home(|home| http("erp", &erp.url, "") + &directory(&home.path("files")) + &command(&home.path("import")));
    let daemon = home.serve();
    deliver(&daemon, 1..=20);
    daemon.request(&crate::util::keycloak(br#"{"type":"LOGIN"}"#)).event_id();
    settled(&home);
    let taken = erp.taken();
    assert_eq!(taken.len(), 20, "Keycloak's event is none of its topics");
    let key =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, SECRET.strip_prefix("whsec_").unwrap())
            .unwrap();
    for request in &taken {
        let (id, timestamp) = (request.header("webhook-id"), request.header("webhook-timestamp"));
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &request.body].concat();
        assert_eq!(request.header("webhook-signature"), format!("v1,{}", base64(&hmac(&key, &signed))));
        assert_eq!(request.header("idempotency-key"), id);
        let stored = home.sql(&format!("SELECT hex(body) FROM webhook_payloads WHERE event_id = {id}"));
        assert!(stored.eq_ignore_ascii_case(&hex::encode(&request.body)), "byte for byte");
    }
    let ids: BTreeSet<&str> = taken.iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!(ids.len(), 20);
    let mut files: Vec<String> = fs::read_dir(home.path("files"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!((files.len(), files[0].as_str()), (21, "000000000001-shopify-orders-create.json"));
    assert_eq!(fs::read(home.path("files").join(&files[4])).unwrap(), order(5));
    let imported = fs::read_to_string(home.path("imported")).unwrap();
    assert_eq!(imported.lines().count(), 20);
    assert!(
        imported.lines().all(|line| line.contains(" orders/create ") && line.ends_with(' ')),
        "nothing of the environment: {imported}"
    );
    assert_eq!(home.sql("SELECT DISTINCT status, attempts FROM destination_deliveries"), "delivered|1");
    // Worked again, it is not handed on again.
    home.ok(&["events", "retry", "1"]);
    settled(&home);
    assert_eq!(erp.taken().len(), 20);
}

/// One of three is down: the other two are completed once; it burns no attempts while it is; when it is back, what waited goes
/// out in order.
#[test]
fn a_dead_erp_holds_up_nobody_and_gets_its_backlog_in_order() {
    // Bound and not listening: nobody else gets the port, and whoever connects is refused.
    let place = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    place.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = place.local_addr().unwrap().as_socket().unwrap();
    let url = format!("http://{address}/hooks");
    let home = home(|home| {
        http("erp", &url, "concurrency = 1") + &directory(&home.path("files")) + &command(&home.path("import"))
    });
    let daemon = home.serve();
    deliver(&daemon, 1..=40);
    home.wait_until_worked();
    home.wait_for("SELECT count(*) FROM destination_deliveries WHERE status = 'delivered'", "80");
    home.wait_for("SELECT down_since IS NOT NULL FROM destinations WHERE name = 'erp'", "1");
    // Many rests and tries later nothing is lost.
    home.wait_for("SELECT failures > 8 FROM destinations WHERE name = 'erp'", "1");
    assert_eq!(home.sql("SELECT count(*) FROM destination_deliveries WHERE status = 'failed'"), "0");
    assert!(home.count("SELECT max(attempts) FROM destination_deliveries WHERE destination = 'erp'") <= 3);
    let list = home.ok(&["destinations", "list"]);
    assert!(list.contains("down since") && list.contains("files"), "{list}");
    place.listen(128).unwrap();
    let erp = Erp::start_at(place.into(), |_, _| Do::Answer(204));
    settled(&home);
    let ids: Vec<u64> = erp.taken().iter().map(|request| request.header("webhook-id").parse().unwrap()).collect();
    assert_eq!(ids, (1..=40).collect::<Vec<u64>>(), "in order, each once");
    let log = home.log();
    assert!(log.contains("counts as down") && log.contains("is back: what waited goes out in order"), "{log}");
    assert_eq!(fs::read_to_string(home.path("imported")).unwrap().lines().count(), 40, "the others had theirs once");
}

/// Fails, hangs, drops the connection after it took the body, and takes it: under one key all the while.
#[test]
fn whatever_the_erp_does_the_key_stays_the_same() {
    let erp = Erp::start(|number, _| match number {
        0 => Do::Answer(500),
        1 => Do::Drop,
        2 => Do::Answer(429),
        3 => Do::Hang,
        4 => Do::AnswerWith(503, "retry-after: 0\r\n".into()),
        _ => Do::Answer(200),
    });
    let home = home(|_| {
        http("erp", &erp.url, "")
            .replace("timeout = \"5s\"", "timeout = \"300ms\"")
            .replace("breaker_failures = 2", "breaker_failures = 100")
    });
    let daemon = home.serve();
    deliver(&daemon, 1..=1);
    settled(&home);
    let taken = erp.taken();
    assert_eq!(taken.len(), 6);
    assert!(taken.iter().all(|request| request.header("webhook-id") == "1" && request.body == order(1)));
    let attempts: Vec<&str> = taken.iter().map(|request| request.header("novex-attempt")).collect();
    assert_eq!(attempts, ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(
        home.sql("SELECT to_status, count(*) FROM destination_delivery_log GROUP BY 1"),
        "delivered|1\npending|5"
    );
}

#[test]
fn a_refusal_is_final_until_an_operator_says_otherwise() {
    let erp = Erp::start(|number, _| match number {
        0 => Do::Answer(422),
        1 => Do::AnswerWith(302, "location: http://127.0.0.1:1/\r\n".into()),
        _ => Do::Answer(200),
    });
    let home = home(|_| http("erp", &erp.url, ""));
    let daemon = home.serve();
    deliver(&daemon, 1..=1);
    settled(&home);
    deliver(&daemon, 2..=2);
    settled(&home);
    let failures =
        home.sql("SELECT event_id, destination, attempts, error FROM destination_failures ORDER BY event_id");
    assert!(
        failures.starts_with("1|erp|1|answered 422")
            && failures.contains("2|erp|1|answered 302 Found: redirects are not followed"),
        "{failures}"
    );
    home.ok(&["events", "retry", "1", "2"]);
    settled(&home);
    assert_eq!(erp.taken().len(), 4);
    assert_eq!(home.sql("SELECT DISTINCT status FROM destination_deliveries"), "delivered");
    let shown = home.ok(&["events", "show", "1"]);
    assert!(shown.contains("DESTINATION") && shown.contains("delivered"), "{shown}");
}

#[test]
fn retry_after_is_honoured() {
    let erp = Erp::start(|_, _| Do::AnswerWith(429, "Retry-After: 3600\r\n".into()));
    let home = home(|_| http("erp", &erp.url, ""));
    let daemon = home.serve();
    deliver(&daemon, 1..=1);
    erp.wait_for(1);
    home.wait_for("SELECT status, attempts FROM destination_deliveries", "pending|1");
    let hours = "SELECT round((julianday(next_attempt_at) - julianday('now')) * 24, 1) FROM destination_deliveries";
    assert_eq!(home.sql(hours), "1.0");
}

/// An erasure is handed on in numbers: the ERP must erase too, and what its body said is gone.
#[test]
fn a_redaction_is_handed_on_without_whom_it_was_about() {
    let erp = Erp::start(|_, _| Do::Answer(200));
    let home = home(|_| http("erp", &erp.url, "").replace("shopify:orders/*", "shopify:*"));
    let daemon = home.serve();
    deliver(&daemon, 7..=7);
    home.wait_until_worked();
    let redact = r#"{"shop_domain":"acme-foods.myshopify.com","customer":{"id":99,"email":"ada@example.com","phone":"+15550142"},"orders_to_redact":[7,8]}"#;
    let request = shopify("r", redact.as_bytes()).with("X-Shopify-Topic", "customers/redact");
    daemon.request(&Request { path: "/api/webhooks/shopify/customers/redact".into(), ..request }).event_id();
    settled(&home);
    let taken = erp.wait_for(2);
    assert_eq!(taken[1].header("webhook-id"), "2");
    assert_eq!(
        String::from_utf8_lossy(&taken[1].body),
        r#"{"customer":{"id":99},"orders_to_redact":[7,8],"shop_domain":"acme-foods.myshopify.com"}"#
    );
    assert_eq!(home.sql("SELECT DISTINCT status FROM destination_deliveries"), "delivered");
}

/// kill -9 between the push and its commit: the ERP sees the same key again, the tables show the order once.
#[test]
fn a_kill_between_push_and_commit_pushes_again_under_the_same_key() {
    let erp = Erp::start(|number, _| if number == 0 { Do::Hang } else { Do::Answer(200) });
    let home = home(|_| http("erp", &erp.url, ""));
    let mut daemon = home.serve();
    deliver(&daemon, 1..=1);
    erp.wait_for(1);
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    let _daemon = home.serve();
    settled(&home);
    let taken = erp.taken();
    assert_eq!(taken.len(), 2);
    assert_eq!((taken[0].header("webhook-id"), taken[1].header("webhook-id")), ("1", "1"));
    assert_eq!(taken[0].body, taken[1].body);
    assert_eq!(home.sql("SELECT count(*), (SELECT count(*) FROM sales_order_lines) FROM sales_orders"), "1|1");
    let log = home.sql("SELECT to_status, error FROM destination_delivery_log ORDER BY id");
    assert!(log.contains("died while it delivered this") && log.ends_with("delivered|"), "{log}");
}

/// One event that the ERP chokes on, every time, holds up nobody and comes to its end.
#[test]
fn a_poison_event_fails_alone() {
    let erp = Erp::start(|_, taken| Do::Answer(if taken.body == order(1) { 500 } else { 200 }));
    let home = home(|_| http("erp", &erp.url, "concurrency = 1"));
    let daemon = home.serve();
    deliver(&daemon, 1..=1);
    // By itself it makes the ERP count as down …
    home.wait_for("SELECT down_since IS NOT NULL FROM destinations", "1");
    // … which the others find out not to be so.
    deliver(&daemon, 2..=10);
    settled(&home);
    let states = "SELECT status, count(*), max(attempts) FROM destination_deliveries GROUP BY 1";
    assert_eq!(home.sql(states), "delivered|9|1\nfailed|1|8");
}

/// Nor does one that a proxy answers for, or that nobody answers: others are tried first, and it waits for as long as it takes.
#[test]
fn what_nobody_answers_for_steps_back_and_loses_no_attempts() {
    let erp = Erp::start(|_, taken| Do::Answer(if taken.body == order(1) { 503 } else { 200 }));
    let home = home(|_| http("erp", &erp.url, "concurrency = 1"));
    let daemon = home.serve();
    deliver(&daemon, 1..=1);
    home.wait_for("SELECT failures > 6 FROM destinations", "1");
    assert!(home.count("SELECT attempts FROM destination_deliveries") <= 3);
    deliver(&daemon, 2..=10);
    home.wait_for("SELECT count(*) FROM destination_deliveries WHERE status = 'delivered'", "9");
}

/// `Retry-After: 0` is no leave to burn eight attempts in a moment, and one that is longer is kept when others go through.
#[test]
fn retry_after_is_a_least_and_not_a_most() {
    let erp = Erp::start(|_, taken| match taken.body {
        ref body if *body == order(1) => Do::AnswerWith(429, "retry-after: 0\r\n".into()),
        ref body if *body == order(2) => Do::AnswerWith(429, "retry-after: 3600\r\n".into()),
        _ => Do::Answer(200),
    });
    let home = home(|_| http("erp", &erp.url, ""));
    let text = fs::read_to_string(home.config())
        .unwrap()
        .replace("\"10ms\"", "\"1h\"")
        .replace("\"40ms\"\npoll", "\"6h\"\npoll");
    fs::write(home.config(), text).unwrap();
    let daemon = home.serve();
    deliver(&daemon, 1..=5);
    home.wait_until_worked();
    home.wait_for("SELECT count(*) FROM destination_deliveries WHERE status = 'delivered'", "3");
    home.wait_for("SELECT group_concat(attempts) FROM destination_deliveries WHERE status = 'pending'", "1,1");
    let hours = "SELECT min((julianday(next_attempt_at) - julianday('now')) * 24 > 0.7) FROM destination_deliveries WHERE status = 'pending'";
    assert_eq!(home.sql(hours), "1");
}

/// A program is over when it ends, whatever child of it still holds its standard error.
#[test]
fn a_program_that_leaves_a_child_behind_has_ended() {
    let home = home(|home| command(&home.path("import")));
    program(&home, "cat > /dev/null; sleep 100 & exit 0");
    let daemon = home.serve();
    deliver(&daemon, 1..=1);
    settled(&home);
    assert_eq!(home.sql("SELECT status, attempts FROM destination_deliveries"), "delivered|1");
}

/// A delivery that a stop cuts off is given back: its attempt does not count, and it is made again.
#[test]
fn a_delivery_that_a_stop_cuts_off_is_given_back() {
    let erp = Erp::start(|number, _| if number == 0 { Do::Hang } else { Do::Answer(200) });
    let home = home(|_| http("erp", &erp.url, "").replace("timeout = \"5s\"", "timeout = \"10m\""));
    let text = fs::read_to_string(home.config()).unwrap().replace("[worker]\n", "[worker]\ngrace = \"100ms\"\n");
    fs::write(home.config(), text).unwrap();
    let daemon = home.serve();
    deliver(&daemon, 1..=1);
    erp.wait_for(1);
    daemon.stop();
    assert_eq!(home.sql("SELECT status, attempts FROM destination_deliveries"), "pending|0");
    let _daemon = home.serve();
    settled(&home);
    assert_eq!(home.sql("SELECT status, attempts FROM destination_deliveries"), "delivered|1");
}

#[test]
fn a_programs_exit_status_decides_and_its_time_is_bounded() {
    let home = home(|home| {
        command(&home.path("import")).replace("breaker_failures = 2", "breaker_failures = 100\ntimeout = \"400ms\"")
    });
    program(
        &home,
        "n=$(cat DIR/count 2>/dev/null || echo 0); echo $((n+1)) > DIR/count; echo \"try $n\" >&2; \
                    case $n in 0) exit 75;; 1) sleep 600 & sleep 600;; 2) exit 0;; *) exit 3;; esac",
    );
    let daemon = home.serve();
    deliver(&daemon, 1..=1);
    settled(&home);
    assert_eq!(home.sql("SELECT status, attempts FROM destination_deliveries"), "delivered|3");
    let errors = home.sql("SELECT error FROM destination_delivery_log WHERE error IS NOT NULL ORDER BY id");
    assert_eq!(errors, "exit status 75: try 0\nit ran longer than 400ms and was killed");
    let left = Command::new("pgrep").args(["-f", &home.path("import").display().to_string()]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "and all it had started");
    deliver(&daemon, 2..=2);
    settled(&home);
    assert_eq!(home.sql("SELECT error FROM destination_failures"), "exit status 3: try 3");
    assert!(!home.log().contains("try 3"), "what a program prints may be a customer's data");
}

/// A program has no more rights than it needs, and what it prints cannot steer a terminal.
#[test]
fn a_programs_rights_are_bounded() {
    let home = home(|home| command(&home.path("import")));
    program(
        &home,
        "cat > /dev/null; printf '%s %s %s \\033[2J' \"$(grep NoNewPrivs /proc/self/status | tr -d '\\t')\" \
         \"$(ulimit -n)\" \"$(ulimit -c)\" >&2; exit 1",
    );
    let daemon = home.serve();
    deliver(&daemon, 1..=1);
    settled(&home);
    let said = home.sql("SELECT error FROM destination_failures");
    assert_eq!(said, "exit status 1: NoNewPrivs:1 1024 0  [2J");
}

/// A destination's own authority and a certificate of ours: the other side takes nothing else, and neither do we.
#[test]
fn the_erps_own_authority_and_our_certificate() {
    let home = home(|_| String::new());
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
        home.configure(&http("erp", &format!("https://localhost:{port}/"), more));
        let output = home.run(&["destinations", "test", "erp"]);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (client, ca) = ("client_certificate = \"client.pem\"\nclient_key = \"client.key\"", "ca = \"ca.pem\"");
    let (took, said) = test(&format!("{ca}\n{client}"));
    assert!(took, "{said}");
    let (took, said) = test(client);
    assert!(!took && said.contains("UnknownIssuer"), "an authority that nobody trusts: {said}");
    let (took, said) = test(ca);
    assert!(!took && said.contains("not reached"), "no certificate of ours: {said}");
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

/// What a program says while its event is erased is not kept, nor what it said before.
#[test]
fn what_a_destination_said_goes_with_the_event() {
    let home = home(|home| command(&home.path("import")));
    program(&home, "touch DIR/begun; while [ ! -e DIR/go ]; do sleep 0.01; done; echo ada@example.com >&2; exit 1");
    let daemon = home.serve();
    let order = r#"{"id":5,"email":"ada@example.com","customer":{"id":99},"updated_at":"2026-11-23T10:00:00Z"}"#;
    daemon.request(&shopify("o", order.as_bytes())).event_id();
    while !home.path("begun").exists() {
        std::thread::yield_now();
    }
    let redact = r#"{"shop_domain":"acme-foods.myshopify.com","customer":{"id":99},"orders_to_redact":[]}"#;
    let request = shopify("r", redact.as_bytes()).with("X-Shopify-Topic", "customers/redact");
    daemon.request(&Request { path: "/api/webhooks/shopify/customers/redact".into(), ..request }).event_id();
    home.wait_until_worked();
    fs::write(home.path("go"), "").unwrap();
    home.wait_for("SELECT status FROM destination_deliveries WHERE event_id = 1", "failed");
    let said = "SELECT (SELECT last_error FROM destination_deliveries WHERE event_id = 1) || \
                (SELECT group_concat(error) FROM destination_delivery_log WHERE delivery_id = 1)";
    assert!(!home.sql(said).contains("ada@example.com") && home.sql(said).contains("erased"), "{}", home.sql(said));
}
