//! `doctor`: it finds each fault and suggests the fix; it finds none on a healthy machine.

use crate::support::{BIN, Home, order_body, sql};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Returns the exit status and the findings.
pub fn run_doctor(home: &Home) -> (i32, Value) {
    let out = home.run(&["doctor", "--json"]);
    let found: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|error| panic!("{error}: {out:?}"));
    (out.status.code().unwrap(), found["checks"].clone())
}

pub fn has_finding(checks: &Value, state: &str, check: &str, printed: &str) -> bool {
    checks.as_array().unwrap().iter().any(|found| {
        found["state"] == state
            && found["check"] == check
            && found["message"].as_str().unwrap().contains(printed)
            && (state == "ok" || !found["fix"].as_str().unwrap().is_empty())
    })
}

/// Runs each command of the program in the fixes as a shell does: none is wrong usage.
pub fn run_all_fixes(home: &Home, checks: &Value) -> Vec<String> {
    let directory = std::path::Path::new(BIN).parent().unwrap().display().to_string();
    let path = format!("{directory}:{}", std::env::var("PATH").unwrap());
    let mut ran = Vec::new();
    for found in checks.as_array().unwrap() {
        let fix = found["fix"].as_str().unwrap();
        for command in fix.split('`').skip(1).step_by(2).map(|command| command.trim_start_matches("sudo ")) {
            // `serve` does not end, and doctor itself is running.
            let is_own = command.starts_with("novex-ingest ");
            if !is_own || command.ends_with(" serve") || command.ends_with(" doctor") {
                continue;
            }
            assert!(command.contains(&format!("--config {}", home.config().display())), "{command}");
            let output = Command::new("sh").arg("-c").arg(command).env("PATH", &path).output().unwrap();
            assert!(!matches!(output.status.code(), Some(2 | 127) | None), "{command}: {output:?}");
            ran.push(command.to_owned());
        }
    }
    ran
}

/// Closes the secrets to other users, which doctor would report.
pub fn close_secrets(home: &Home) {
    for name in ["acme", "acme-old", "other", "easypost", "keycloak"] {
        fs::set_permissions(home.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn healthy_machine_passes_and_stopped_daemon_is_reported() {
    let home = Home::new("");
    close_secrets(&home);
    let daemon = home.serve();
    home.edit_config("127.0.0.1:0", &daemon.address.to_string());
    home.run_ok(&["backup", &home.path("copy.db").display().to_string()]);
    let (code, found) = run_doctor(&home);
    assert_eq!(code, 0, "{found:#}");
    for check in ["configuration", "secrets", "files", "certificate", "daemon", "database", "queue", "wal"] {
        assert!(has_finding(&found, "ok", check, ""), "{check}: {found:#}");
    }
    // The disk of this machine may be almost full.
    assert!(has_finding(&found, "ok", "disk", "free") || has_finding(&found, "warning", "disk", "free"), "{found:#}");
    assert!(
        has_finding(&found, "warning", "certificate", "self-signed")
            && has_finding(&found, "warning", "backup", "there is none")
    );
    daemon.stop();
    let (code, found) = run_doctor(&home);
    assert_eq!(code, 1);
    assert!(has_finding(&found, "failed", "daemon", "nobody listens"), "{found:#}");
}

#[test]
fn each_fault_is_found() {
    let home = Home::new("");
    let daemon = home.serve();
    for number in 1..4 {
        daemon.send_order(&format!("w{number}"), &order_body(number));
    }
    home.wait_until_processed();
    daemon.stop();
    home.sql(
        "UPDATE webhook_events SET status = 'failed', last_error = 'no such item' WHERE id = 1; \
         UPDATE webhook_events SET status = 'received', next_attempt_at = '2020-01-01T00:00:00.000Z', completed_at = NULL WHERE id = 2; \
         UPDATE webhook_events SET received_at = '2999-01-01T00:00:00.000Z' WHERE id = 3; \
         INSERT INTO data_requests (event_id, shop_domain, orders, requested_at, due_at) VALUES \
         (3, 'acme-foods.myshopify.com', '[]', '2026-01-01T00:00:00.000Z', '2026-01-31T00:00:00.000Z'); \
         INSERT INTO redactions (event_id, at, shop_domain, notice) VALUES \
         (3, '2026-01-01T00:00:00.000Z', 'acme-foods.myshopify.com', '{}'); \
         INSERT INTO alerts (kind, subject, first_at, last_at, count, message) VALUES ('login_errors_of_user', 'otto', \
         strftime('%Y-%m-%dT%H:%M:%S.000Z', 'now', '-2 days'), strftime('%Y-%m-%dT%H:%M:%S.000Z', 'now', '-2 days'), 10, 'older'), \
         ('login_errors_of_user', 'ada', strftime('%Y-%m-%dT%H:%M:%S.000Z', 'now', '-1 days'), strftime('%Y-%m-%dT%H:%M:%S.000Z', 'now', '-1 days'), \
         10, 'ten failed logins'), \
         ('login_errors_of_user', 'bob', '2020-01-01T00:00:00.000Z', '2020-01-01T00:00:00.000Z', 10, 'old'); \
         INSERT INTO destinations (name, paused_at) VALUES ('erp', '2026-01-01T00:00:00.000Z'); \
         INSERT INTO sps_polls (source, requested_by, worker, started_at, error) VALUES ('acme', 'schedule', 'x:1', '2026-01-01T00:00:00.000Z', 'it is away')",
    );
    let copy = home.path("backups/events-1.db");
    fs::create_dir(home.path("backups")).unwrap();
    home.run_ok(&["backup", &copy.display().to_string()]);
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
    let half = fs::metadata(&copy).unwrap().len() / 2;
    fs::OpenOptions::new().write(true).open(&copy).unwrap().set_len(half).unwrap();
    home.edit_config("[store]", "[[destinations]]\nname = \"erp\"\ntype = \"http\"\nurl = \"http://127.0.0.1:1/x\"\ntopics = [\"*\"]\n[store]\nmin_free_bytes = 1000000000000000");
    home.edit_config(
        "[store]",
        "[sps]\n[[sps.sources]]\nname = \"acme\"\nurl = \"file:///\"\nafter = \"leave\"\n[store]",
    );
    fs::set_permissions(home.db(), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, found) = run_doctor(&home);
    assert_eq!(code, 1);
    run_all_fixes(&home, &found);
    for (state, check, printed) in [
        ("failed", "secrets", "every user of this machine can open"),
        ("failed", "privacy", "their data is overdue: it was due by 2026-01-31T00:00:00.000Z"),
        ("failed", "backup", "the newest backup cannot be restored"),
        ("failed", "files", "events-1.db has mode 644"),
        ("warning", "privacy", "data redacted at 2026-01-01T00:00:00.000Z may still be in free pages"),
        ("failed", "disk", "new events are refused (503)"),
        ("failed", "files", "every user of this machine"),
        ("failed", "clock", "was set back"),
        ("failed", "queue", "has been due for"),
        ("warning", "events", "1 event failed for good; the last one is event 1: no such item"),
        ("warning", "destinations", "erp is paused"),
        ("failed", "edi", "the last poll of acme failed: it is away"),
        ("failed", "network", "destination erp cannot be reached: nobody answers at 127.0.0.1:1"),
        ("warning", "alerts", "login alert of the last seven days: ten failed logins; and 1 other alert"),
    ] {
        assert!(has_finding(&found, state, check, printed), "{check}: {printed}: {found:#}");
    }
    // Certificates: expiring, expired, missing.
    let tls = home.path("tls");
    for (days, state, printed) in [(5, "warning", "days left"), (-2, "failed", "expired 2 days ago")] {
        let end = home.sql(&format!("SELECT strftime('%Y-%m-%d', 'now', '{} days')", days + 1));
        let parts: Vec<i32> = end.split('-').map(|part| part.parse().unwrap()).collect();
        let mut parameters = rcgen::CertificateParams::new(vec!["hooks.example.com".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        let small = |part: i32| u8::try_from(part).unwrap();
        parameters.not_after = rcgen::date_time_ymd(parts[0], small(parts[1]), small(parts[2]));
        let key = rcgen::KeyPair::generate().unwrap();
        fs::write(tls.join("self-signed.pem"), parameters.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(tls.join("self-signed.key"), key.serialize_pem()).unwrap();
        assert!(has_finding(&run_doctor(&home).1, state, "certificate", printed), "{days}: {:#}", run_doctor(&home).1);
    }
    fs::write(tls.join("self-signed.pem"), "nothing").unwrap();
    assert!(has_finding(&run_doctor(&home).1, "failed", "certificate", "contains no certificate"));
    // doctor reads a configuration with errors as far as possible. The text for people shows the fix below each
    // finding.
    home.edit_config("[store]", "[store]\nbatsh = 3");
    let text = home.run(&["doctor"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("batsh") && text.contains("→") && text.contains("database"), "{text}");
    // A schema of a later version, and no database.
    sql(&home.db(), "PRAGMA user_version = 99");
    assert!(
        has_finding(&run_doctor(&home).1, "failed", "database", "newer version")
            || run_doctor(&home).1.to_string().contains("newer version")
    );
}

/// doctor names a program that holds the port, and does not wait for ever for its answer.
#[test]
fn silent_port_is_reported() {
    let home = Home::new("");
    home.serve().stop();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    home.edit_config("127.0.0.1:0", &silent.local_addr().unwrap().to_string());
    let (code, found) = run_doctor(&home);
    assert!(code == 1 && has_finding(&found, "failed", "daemon", "is in use by"), "{found:#}");
}

/// Problems come first, after one line about the whole. The orders that wait are counted, and the findings of the
/// network name the destination.
#[test]
fn problems_are_printed_first_with_a_summary() {
    let home = Home::new(
        "[[destinations]]\nname = \"erp\"\ntype = \"http\"\nurl = \"http://127.0.0.1:1/x\"\ntopics = [\"*\"]\n",
    );
    close_secrets(&home);
    let daemon = home.serve();
    home.edit_config("127.0.0.1:0", &daemon.address.to_string());
    for number in 1..4 {
        daemon.send_order(&format!("w{number}"), &order_body(number));
    }
    home.wait_until_processed();
    home.run_ok(&["backup", &home.path("backups").display().to_string()]);
    let output = home.run(&["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let first = text.lines().next().unwrap();
    assert!(first.starts_with("1 problem: destination erp cannot be reached; 3 orders wait"), "{text}");
    let states: Vec<&str> =
        text.lines().skip(2).filter_map(|line| line.split(' ').next()).filter(|word| !word.is_empty()).collect();
    let rank = |state: &&str| ["failed", "warning", "info", "ok"].iter().position(|known| known == state).unwrap();
    assert!(states.len() > 5 && states.is_sorted_by_key(rank), "{text}");
    let (_, found) = run_doctor(&home);
    assert!(has_finding(&found, "failed", "network", "destination erp cannot be reached: nobody answers"), "{found:#}");
    daemon.stop();
}

/// A command names the configuration once, for people as for programs.
#[test]
fn text_has_the_commands_of_the_json() {
    let home = Home::new("");
    home.serve().stop();
    let text = String::from_utf8(home.run(&["doctor"]).stdout).unwrap();
    let (_, found) = run_doctor(&home);
    let fixes: Vec<&str> = found.as_array().unwrap().iter().filter_map(|finding| finding["fix"].as_str()).collect();
    let command = format!("`novex-ingest --config {} backup ", home.config().display());
    assert!(fixes.iter().any(|fix| fix.contains(&command)), "{fixes:?}");
    for fix in fixes.into_iter().filter(|fix| !fix.is_empty()) {
        assert!(text.contains(&format!("→ {fix}\n")), "{fix} is not in\n{text}");
    }
}

/// What is left of a removed source or destination is no problem, and one command ends it.
#[test]
fn removed_source_and_destination_can_be_forgotten() {
    let home = Home::new("");
    let daemon = home.serve();
    daemon.send_order("w1", &order_body(1));
    daemon.send_order("w2", &order_body(2));
    home.wait_until_processed();
    daemon.stop();
    home.sql(
        "INSERT INTO destinations (name, paused_at) VALUES ('old-erp', '2026-01-01T00:00:00.000Z'); \
         INSERT INTO destination_deliveries (event_id, destination, ordering_key, status, max_attempts, created_at, \
         finished_at) VALUES (1, 'old-erp', '', 'failed', 8, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z'); \
         INSERT INTO destination_deliveries (event_id, destination, ordering_key, status, max_attempts, created_at, \
         next_attempt_at) VALUES (2, 'old-erp', '', 'pending', 8, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z'); \
         INSERT INTO sps_sources (name, last_error) VALUES ('old acme', 'it is away'); \
         INSERT INTO sps_polls (source, requested_by, worker, started_at, error) VALUES \
         ('old acme', 'schedule', 'x:1', '2026-01-01T00:00:00.000Z', 'it is away')",
    );
    let (_, found) = run_doctor(&home);
    for (state, check, printed) in [
        ("info", "destinations", "1 delivery to old-erp failed; it is not in the configuration"),
        ("warning", "destinations", "1 delivery waits for destination old-erp, which is not in the configuration"),
        ("info", "edi", "the last poll of old acme failed; it is not in the configuration"),
    ] {
        assert!(has_finding(&found, state, check, printed), "{printed}: {found:#}");
    }
    let ran = run_all_fixes(&home, &found);
    assert!(ran.iter().any(|command| command.ends_with("sps forget 'old acme'")), "{ran:?}");
    let (_, found) = run_doctor(&home);
    assert!(!found.to_string().contains("old-erp") && !found.to_string().contains("old acme"), "{found:#}");
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 2, "the events stay");
    // A name that the configuration has is not forgotten.
    home.edit_config(
        "[store]",
        "[[destinations]]\nname = \"erp\"\ntype = \"http\"\nurl = \"http://127.0.0.1:1/x\"\ntopics = [\"*\"]\n[store]",
    );
    let refused = home.run(&["destinations", "forget", "erp"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("remove it there first"), "{refused:?}");
}

/// A directory that a destination or a source needs is checked, also the one of the nightly backup.
#[test]
fn unusable_directories_are_found() {
    let home = Home::new("");
    home.serve().stop();
    let path = |name: &str| home.path(name).display().to_string();
    home.configure(&format!(
        "[[destinations]]\nname = \"erp\"\ntype = \"directory\"\npath = {:?}\ntopics = [\"*\"]\n\
         [sps]\noutgoing = {:?}\n[[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\n",
        path("nowhere"),
        path("log"),
        path("in")
    ));
    fs::create_dir(home.path("in")).unwrap();
    home.run_ok(&["backup", &path("copy.db")]);
    fs::rename(home.path("copy.db"), home.path("backups")).unwrap();
    let (_, found) = run_doctor(&home);
    for (check, printed) in [
        ("directories", "nowhere of destination erp does not exist; its events wait"),
        ("directories", "log of destination sps-outgoing is not a directory"),
        ("backup", "backups is a file, and backups need a directory there; every nightly backup fails"),
    ] {
        assert!(has_finding(&found, "failed", check, printed), "{printed}: {found:#}");
    }
    assert!(!found.to_string().contains("EDI source acme"), "{found:#}");
    // The fix as printed: the file becomes a backup, and the directory has a new one.
    let backup = found.as_array().unwrap().iter().find(|finding| finding["check"] == "backup").unwrap();
    for command in backup["fix"].as_str().unwrap().split('`').skip(1).step_by(2) {
        let command = command.replace("novex-ingest ", &format!("{BIN} "));
        let output = Command::new("sh").arg("-c").arg(&command).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    }
    assert!(home.path("backups.db").is_file() && fs::read_dir(home.path("backups")).unwrap().count() == 1);
    // A directory that the service's user cannot write to. Root can write everywhere.
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(home.path("in"), fs::Permissions::from_mode(0o550)).unwrap();
        let (_, found) = run_doctor(&home);
        fs::set_permissions(home.path("in"), fs::Permissions::from_mode(0o750)).unwrap();
        assert!(has_finding(&found, "failed", "directories", "cannot write to"), "{found:#}");
    }
}
