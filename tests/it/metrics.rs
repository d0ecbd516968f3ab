//! `/metrics`, the alert rules and the dashboard: read by Prometheus' own tool, and each name in them exists.

use super::support::console::{ConsoleClient, console_address};
use super::support::destinations::{directory_destination, home_with_destinations, wait_until_delivered};
use super::support::root;
use super::support::{Daemon, Home, Request, easypost_request, order_body};
use clap::Parser;
use novex_ingest::cli::Cli;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

fn scrape(daemon: &Daemon<'_>) -> String {
    let response = ConsoleClient::of(daemon).get("/metrics");
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    response.body
}

/// Returns the value of a sample, which is 0 if there is none.
fn value_of(metrics: &str, sample: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// Returns the names after `# TYPE`; a histogram has its three.
fn list_metric_names(metrics: &str) -> BTreeSet<String> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let names = types.flat_map(|(name, kind)| match kind {
        "histogram" => ["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")).to_vec(),
        _ => vec![name.to_owned()],
    });
    names.collect()
}

/// Returns the names of metrics of this program in a query of Prometheus.
fn find_names(query: &str) -> BTreeSet<String> {
    let words = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("novex_ingest_")).map(str::to_owned).collect()
}

/// Runs `promtool` with an input; it must succeed and print no warning.
fn run_promtool(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tests/setup installs promtool");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(output.status.success(), "promtool {arguments:?}: {text}");
    text
}

#[test]
fn scrape_shows_what_the_daemon_did() {
    let home = home_with_destinations(|home| directory_destination(&home.path("files")));
    let daemon = home.serve();
    for id in 1..=3 {
        daemon.send_order(&format!("w-{id}"), &order_body(id)).event_id();
    }
    assert_eq!(daemon.request(&easypost_request(b"{}").without_header("X-Hmac-Signature")).status, 401);
    assert_eq!(daemon.request(&Request::new("GET", "/nowhere")).status, 404);
    wait_until_delivered(&home);

    let metrics = scrape(&daemon);
    for (sample, expected) in [
        ("novex_ingest_requests_total{source=\"shopify\",code=\"200\"}", 3.0),
        ("novex_ingest_requests_total{source=\"easypost\",code=\"401\"}", 1.0),
        ("novex_ingest_requests_total{source=\"unknown\",code=\"404\"}", 1.0),
        ("novex_ingest_rejections_total{reason=\"signature_missing\"}", 1.0),
        ("novex_ingest_ack_seconds_count", 3.0),
        ("novex_ingest_ack_seconds_bucket{le=\"+Inf\"}", 3.0),
        ("novex_ingest_events{source=\"shopify\",status=\"completed\"}", 3.0),
        ("novex_ingest_handler_seconds_count{source=\"shopify\"}", 3.0),
        ("novex_ingest_delivery_attempts_total{end=\"delivered\"}", 3.0),
        ("novex_ingest_delivery_seconds_count", 3.0),
        ("novex_ingest_destination_down{destination=\"files\"}", 0.0),
        ("novex_ingest_database_readable", 1.0),
        (concat!("novex_ingest_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
    ] {
        assert!((value_of(&metrics, sample) - expected).abs() < 1e-9, "{sample} is not {expected}: {metrics}");
    }
    for sample in [
        "novex_ingest_commit_batch_size_count",
        "novex_ingest_commit_seconds_count",
        "novex_ingest_wal_bytes",
        "novex_ingest_disk_free_bytes",
        "novex_ingest_database_bytes",
        "novex_ingest_certificate_expiry_seconds{listener=\"public\"}",
        "novex_ingest_certificate_expiry_seconds{listener=\"console\"}",
    ] {
        assert!(value_of(&metrics, sample) > 0.0, "{sample}: {metrics}");
    }
    assert_eq!(run_promtool(&["check", "metrics"], &metrics), "", "promtool has no complaint");
}

#[test]
fn failures_and_waiting_deliveries_are_gauges() {
    let home = home_with_destinations(|home| directory_destination(&home.path("files")));
    let daemon = home.serve();
    home.run_ok(&["destinations", "pause", "files"]);
    daemon.send_order("w-1", &order_body(1)).event_id();
    let failed = daemon.send_order("w-2", b"{}").event_id();
    home.wait_until_processed();
    home.wait_for("SELECT count(*) FROM destination_queue", "1");
    fs::create_dir(home.path("backups")).unwrap();
    home.run_ok(&["backup", &home.path("backups/").display().to_string()]);
    assert!(home.outcome(failed).starts_with("failed"), "{}", home.outcome(failed));
    let metrics = scrape(&daemon);
    for (sample, expected) in [
        ("novex_ingest_events{source=\"shopify\",status=\"failed\"}", 1.0),
        ("novex_ingest_deliveries{destination=\"files\",status=\"pending\"}", 1.0),
        ("novex_ingest_destination_paused{destination=\"files\"}", 1.0),
        ("novex_ingest_oldest_due_seconds", 0.0),
    ] {
        assert!((value_of(&metrics, sample) - expected).abs() < 1e-9, "{sample} is not {expected}: {metrics}");
    }
    assert!(metrics.contains("\nnovex_ingest_last_backup_age_seconds "), "{metrics}");
    home.run_ok(&["events", "dismiss", "--reason", "a test", &failed.to_string()]);
    let metrics = scrape(&daemon);
    assert!(metrics.contains("{source=\"shopify\",status=\"dismissed\"} 1"), "{metrics}");
}

/// Another computer needs the token; a name that no provider has makes no new label.
#[test]
fn labels_are_bounded() {
    let home = Home::new("");
    let daemon = home.serve();
    for path in ["/a", "/b", "/api/webhooks/unknown", "/api/webhooks/shopify"] {
        daemon.request(&Request::post(path, b"{}"));
    }
    daemon.request(&Request::new("GET", "/healthz"));
    let metrics = scrape(&daemon);
    let sources: BTreeSet<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("novex_ingest_requests_total{source=\"")?.split_once('"'))
        .map(|(source, _)| source)
        .collect();
    assert_eq!(sources, BTreeSet::from(["unknown"]), "{metrics}");
    assert!((value_of(&metrics, "novex_ingest_requests_total{source=\"unknown\",code=\"404\"}") - 4.0).abs() < 1e-9);
}

/// A client whose address is not loopback needs a token. The test reaches the console by an address of this machine.
#[test]
fn another_computer_needs_a_token() {
    let Some(own) = find_own_address() else {
        println!("skipped: this machine has no address beside loopback");
        return;
    };
    let home = Home::new("[console]\nlisten = \"0.0.0.0:0\"");
    let daemon = home.serve();
    let port = console_address(&daemon).port();
    let client = ConsoleClient { address: (own, port).into(), cookie: String::new() };
    let refused = client.get("/metrics");
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (401, Some("application/problem+json")),
        "{refused:?}"
    );
    let get = |scope: &str| {
        let token = home.run_ok(&["tokens", "create", "prometheus", "--scope", scope]);
        let bearer = format!("Bearer {}", token.lines().next().unwrap());
        client.send(Request::new("GET", "/metrics").with_header("authorization", &bearer)).status
    };
    assert_eq!((get("read"), get("metrics")), (403, 200));
}

/// Returns an IPv4 address of this machine that is not loopback.
fn find_own_address() -> Option<std::net::IpAddr> {
    // A socket for datagrams that sends none: the kernel only chooses the address it would use.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.10:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback())
}

#[test]
fn alert_rules_are_valid_and_alert() {
    let rules = root().join("packaging/prometheus/alerts.yml");
    run_promtool(&["check", "rules", "--lint=all", "--lint-fatal", rules.to_str().unwrap()], "");
    let cases = fs::read_to_string(root().join("tests/it/prometheus/alert_rules.yml")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cases.yml");
    fs::write(&path, cases.replace("ALERTS", rules.to_str().unwrap())).unwrap();
    run_promtool(&["test", "rules", path.to_str().unwrap()], "");
    for line in fs::read_to_string(rules).unwrap().lines() {
        let Some(fix) = line.trim().strip_prefix("fix: ") else { continue };
        let fix = fix.trim_matches('"').replace("{{ $labels.destination }}", "erp");
        assert!(!fix.starts_with("novex-ingest") || Cli::try_parse_from(fix.split(' ')).is_ok(), "{fix}");
    }
}

/// Rules, dashboard and documents ask only for metrics that exist.
#[test]
fn queries_name_metrics_that_exist() {
    let home = Home::new("");
    let daemon = home.serve();
    let names = list_metric_names(&scrape(&daemon));
    assert!(names.len() > 30, "{names:?}");
    let dashboard = fs::read_to_string(root().join("packaging/grafana/novex-ingest.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut queries: Vec<String> = targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    assert!(queries.len() > 15);
    queries.push(dashboard["templating"]["list"][1]["query"].as_str().unwrap().to_owned());
    let rules = fs::read_to_string(root().join("packaging/prometheus/alerts.yml")).unwrap();
    queries.extend(rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned));
    for query in &queries {
        for name in find_names(query) {
            assert!(names.contains(&name), "{name} does not exist: {names:?}");
        }
    }
    let asked: BTreeSet<String> = queries.iter().flat_map(|query| find_names(query)).collect();
    assert!(asked.len() > 20, "{asked:?}");
}

#[test]
fn documentation_has_every_metric() {
    let home = Home::new("");
    let daemon = home.serve();
    let metrics = scrape(&daemon);
    let names = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let names: BTreeSet<String> = names.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(find_names(&fs::read_to_string(root().join("docs/operate.md")).unwrap()), names);
}
