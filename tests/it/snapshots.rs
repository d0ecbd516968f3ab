//! What people read, word for word: help texts, lists, findings, errors and log lines, so that words are reviewed as
//! code is.
//!
//! A changed text fails its test and writes the new text beside the snapshot as `*.snap.new`. `INSTA_UPDATE=always
//! tests/run --test it snapshots::` accepts all new texts.

use crate::support::destinations::{home_with_destinations, http_destination, send_orders};
use crate::support::fake_erp::{FakeErp, Reply};
use crate::support::root;
use crate::support::{Home, Request, keycloak_request, shopify_request};
use clap::CommandFactory;
use novex_ingest::cli::Cli;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// The snapshots beside those of the help texts.
const NAMES: [&str; 15] = [
    "audit_list",
    "config_check_errors",
    "destinations_list",
    "destinations_show",
    "doctor_findings",
    "events_list",
    "events_rejected",
    "events_search",
    "events_show",
    "log_of_a_run",
    "mappings_list",
    "retry_dry_run",
    "sps_show",
    "stats",
    "usage_errors",
];

/// Replaces everything that differs between two runs.
fn assert_text(name: &str, home: Option<&Home>, text: &str) {
    let directory = home.map_or("/nowhere".to_owned(), |home| home.path("").display().to_string());
    let text = text.replace(directory.trim_end_matches('/'), "HOME");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root().join("tests/it/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z?", "TIME");
    settings.add_filter(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d(\.\d+)?)? UTC", "TIME");
    settings.add_filter(r"\((now|\d+ (s|min|h|days?) ago|in \d+ (s|min|h|days?))\)", "(AGE)");
    settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT");
    settings.add_filter(r"[\w.-]+:\d{2,7}(\s|$)", "HOST:PID$1");
    settings.add_filter(r"\b[0-9a-f]{64}\b", "SHA256");
    settings.add_filter(r"HOST:PID +\d+", "HOST:PID  MS");
    // The width of a column depends on what was replaced.
    settings.add_filter(r"(\S) {2,}", "$1  ");
    settings.add_filter(r"(?m)[ \t]+$", "");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// Returns each command's words, such as `["events", "list"]`.
fn command_paths() -> Vec<Vec<String>> {
    fn collect(command: &clap::Command, path: &[String], found: &mut Vec<Vec<String>>) {
        found.push(path.to_vec());
        for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            let name = subcommand.get_name().to_owned();
            collect(subcommand, &[path, std::slice::from_ref(&name)].concat(), found);
        }
    }
    let mut found = Vec::new();
    collect(&Cli::command(), &[], &mut found);
    found
}

fn help_name(path: &[String]) -> String {
    format!("help_{}", path.join("_"))
}

#[test]
fn help_of_every_command() {
    let paths = command_paths();
    assert!(paths.len() > 50, "{} commands", paths.len());
    for path in paths {
        let output =
            Command::new(crate::support::BIN).args(&path).arg("--help").env_remove("NOVEX_CONFIG").output().unwrap();
        assert_text(&help_name(&path), None, &String::from_utf8(output.stdout).unwrap());
    }
}

/// A text that no test produces any more is removed with its snapshot.
#[test]
fn every_snapshot_is_referenced() {
    let folder = root().join("tests/it/snapshots");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = files.filter(|name| !name.ends_with(".snap.new")).collect();
    let expected = command_paths().into_iter().map(|path| help_name(&path)).chain(NAMES.map(str::to_owned));
    let expected: BTreeSet<String> = expected.map(|name| format!("{name}.snap")).collect();
    assert_eq!(files, expected);
}

/// Runs a command and returns what it prints, both streams, and its exit status.
fn run(home: &Home, arguments: &[&str]) -> String {
    let output = home.run(arguments);
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    format!("$ novex-ingest {}\n{stdout}{stderr}exit status {}\n", arguments.join(" "), output.status.code().unwrap())
}

/// One daemon with two good orders, a broken body, a failed login, a refused request, and an ERP that rejects one
/// order.
#[test]
fn lists_of_a_small_history() {
    let refusal = br#"{"error":"customer 99 is blocked"}"#;
    let erp = FakeErp::start(move |number, _| match number {
        1 => Reply::StatusWithBody(400, String::new(), refusal.to_vec()),
        _ => Reply::Status(200),
    });
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    erp.wait_for(1);
    send_orders(&daemon, 2..=2);
    home.wait_until_processed();
    daemon.send_order("w3", b"not JSON").event_id();
    home.wait_until_processed();
    daemon.request(&keycloak_request(br#"{"uid":"k1","type":"LOGIN_ERROR","time":1764000000000,"error":"invalid_user_credentials","details":{"username":"ada"}}"#));
    home.wait_until_processed();
    let forged = shopify_request("w4", b"{}").with_header("X-Shopify-Hmac-Sha256", "Zm9yZ2Vk");
    daemon.request(&Request { ..forged });
    home.wait_for("SELECT count(*) FROM rejected_requests", "1");
    home.wait_for("SELECT count(*) FROM destination_queue", "0");
    assert_text("events_list", Some(&home), &run(&home, &["events", "list"]));
    let shown = [run(&home, &["events", "show", "1"]), run(&home, &["events", "show", "3"])].concat();
    assert_text("events_show", Some(&home), &shown);
    assert_text("events_search", Some(&home), &run(&home, &["events", "search", "#2"]));
    assert_text("events_rejected", Some(&home), &run(&home, &["events", "rejected"]));
    assert_text("retry_dry_run", Some(&home), &run(&home, &["events", "retry", "--status", "failed", "--dry-run"]));
    assert_text("destinations_list", Some(&home), &run(&home, &["destinations", "list"]));
    assert_text("destinations_show", Some(&home), &run(&home, &["destinations", "show", "erp"]));
    assert_text("mappings_list", Some(&home), &run(&home, &["mappings", "list", "--unmapped"]));
    assert_text("audit_list", Some(&home), &run(&home, &["audit", "list"]));
    let stats = run(&home, &["stats"]).replace(&home.config().display().to_string(), "HOME/config.toml");
    // Sizes and rates depend on the machine.
    let stats: String = stats.chars().map(|letter| if letter.is_ascii_digit() { '9' } else { letter }).collect();
    assert_text("stats", Some(&home), &stats);
    let doctor: serde_json::Value = serde_json::from_slice(&home.run(&["doctor", "--json"]).stdout).unwrap();
    let of_this_history = ["events", "destinations", "configuration"];
    let findings = doctor["checks"].as_array().unwrap().iter();
    let findings: Vec<String> = findings
        .filter(|finding| of_this_history.iter().any(|check| finding["check"].as_str() == Some(check)))
        .map(|finding| {
            format!("{} {}: {}\n→ {}", finding["state"], finding["check"], finding["message"], finding["fix"])
        })
        .collect();
    let findings = findings.join("\n");
    assert_text("doctor_findings", Some(&home), &findings);
    daemon.stop();
    // The order of lines of different tasks varies.
    let mut lines: Vec<String> = home
        .log()
        .lines()
        .filter_map(|line| line.split_once("Z ").map(|(_, text)| text.trim().to_owned()))
        .filter(|line| !line.contains("disk") && !line.contains("slow"))
        .collect();
    lines.sort();
    lines.dedup();
    assert_text("log_of_a_run", Some(&home), &lines.join("\n"));
}

#[test]
fn errors_of_a_wrong_configuration() {
    let home = Home::new("");
    fs::write(
        home.config(),
        "[store]\npath = \"events.db\"\n[server]\nlisten = \"127.0.0.1:0\"\nmax_streams = \"many\"\nmax_body_byte = 1\n[worker]\nlease = \"5 parsecs\"\n\
         [[shopify.shops]]\ndomain = \"https://acme\"\nsecrets = [\"file:missing\"]\n[[destinations]]\nname = \"erp\"\ntype = \"http\"\n",
    )
    .unwrap();
    assert_text("config_check_errors", Some(&home), &run(&home, &["config", "check"]));
}

#[test]
fn errors_of_wrong_usage() {
    let home = Home::new("");
    let wrong: [&[&str]; 6] = [
        &["events", "show", "x"],
        &["events", "list", "--status", "lost"],
        &["events", "list", "--source", "ebay"],
        &["events", "retry"],
        &["events", "list", "--since", "yesterdayish"],
        &["destinations", "pause", "nobody"],
    ];
    let texts: Vec<String> = wrong.iter().map(|arguments| run(&home, arguments)).collect();
    assert_text("usage_errors", Some(&home), &texts.join("\n"));
}

/// The sample order of the documents, as on paper.
#[test]
fn purchase_order_on_paper() {
    let home = crate::edi_examples::home_with_sample_order();
    assert_text("sps_show", Some(&home), &run(&home, &["sps", "show", "PO1"]));
}
