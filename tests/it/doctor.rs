//! `doctor`: it finds what is wrong, says the mend, and finds nothing where nothing is.

use crate::util::{Home, order, sql};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// What it found: the state and text of each check of a name.
fn doctor(home: &Home) -> (i32, Value) {
    let out = home.run(&["doctor", "--json"]);
    let found: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|error| panic!("{error}: {out:?}"));
    (out.status.code().unwrap(), found["checks"].clone())
}

fn has(checks: &Value, state: &str, check: &str, said: &str) -> bool {
    checks.as_array().unwrap().iter().any(|found| {
        found["state"] == state
            && found["check"] == check
            && found["said"].as_str().unwrap().contains(said)
            && (state == "ok" || !found["mend"].as_str().unwrap().is_empty())
    })
}

fn locked(home: &Home) {
    for name in ["acme", "acme-old", "other", "easypost", "keycloak"] {
        fs::set_permissions(home.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_well_box_is_well_and_a_dead_daemon_is_told() {
    let home = Home::new("");
    locked(&home);
    let daemon = home.serve();
    home.edit("127.0.0.1:0", &daemon.address.to_string());
    home.ok(&["backup", &home.path("copy.db").display().to_string()]);
    let (code, found) = doctor(&home);
    assert_eq!(code, 0, "{found:#}");
    for check in ["configuration", "secrets", "files", "disk", "certificate", "daemon", "database", "queue", "wal"] {
        assert!(has(&found, "ok", check, ""), "{check}: {found:#}");
    }
    assert!(has(&found, "note", "certificate", "self-signed") && has(&found, "note", "backup", "there is none"));
    daemon.stop();
    let (code, found) = doctor(&home);
    assert_eq!(code, 1);
    assert!(has(&found, "wrong", "daemon", "nobody listens"), "{found:#}");
}

#[test]
fn what_is_wrong_is_found() {
    let home = Home::new("");
    let daemon = home.serve();
    for number in 1..4 {
        daemon.deliver(&format!("w{number}"), &order(number));
    }
    home.wait_until_worked();
    daemon.stop();
    home.sql(
        "UPDATE webhook_events SET status = 'failed', last_error = 'no such item' WHERE id = 1; \
         UPDATE webhook_events SET status = 'received', next_attempt_at = '2020-01-01T00:00:00.000Z', completed_at = NULL WHERE id = 2; \
         UPDATE webhook_events SET received_at = '2999-01-01T00:00:00.000Z' WHERE id = 3; \
         INSERT INTO data_requests (event_id, shop_domain, orders, requested_at, due_at) VALUES \
         (3, 'acme-foods.myshopify.com', '[]', '2026-01-01T00:00:00.000Z', '2026-01-31T00:00:00.000Z'); \
         INSERT INTO erasures (event_id, at, shop_domain, notice) VALUES \
         (3, '2026-01-01T00:00:00.000Z', 'acme-foods.myshopify.com', '{}'); \
         INSERT INTO destinations (name, paused_at) VALUES ('erp', '2026-01-01T00:00:00.000Z'); \
         INSERT INTO sps_polls (source, asked_by, worker, started_at, error) VALUES ('acme', 'schedule', 'x:1', '2026-01-01T00:00:00.000Z', 'it is away')",
    );
    let copy = home.path("backups/events-1.db");
    fs::create_dir(home.path("backups")).unwrap();
    home.ok(&["backup", &copy.display().to_string()]);
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
    let half = fs::metadata(&copy).unwrap().len() / 2;
    fs::OpenOptions::new().write(true).open(&copy).unwrap().set_len(half).unwrap();
    home.edit("[store]", "[[destinations]]\nname = \"erp\"\ntype = \"http\"\nurl = \"http://127.0.0.1:1/x\"\ntopics = [\"*\"]\n[store]\nmin_free_bytes = 1000000000000000");
    fs::set_permissions(home.db(), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, found) = doctor(&home);
    assert_eq!(code, 1);
    for (state, check, said) in [
        ("wrong", "secrets", "is open to every user"),
        ("wrong", "privacy", "asked for their data, to be answered by 2026-01-31T00:00:00.000Z: that is over"),
        ("wrong", "backup", "the newest is of no use"),
        ("wrong", "files", "events-1.db has mode 644"),
        ("note", "privacy", "what was erased at 2026-01-01T00:00:00.000Z may still stand in the file's free pages"),
        ("wrong", "disk", "nothing new is taken"),
        ("wrong", "files", "every user of this box"),
        ("wrong", "clock", "was set back"),
        ("wrong", "queue", "is due since"),
        ("note", "events", "1 events failed for good; the last one, 1: no such item"),
        ("note", "destinations", "erp is held"),
        ("wrong", "edi", "acme could not be polled: it is away"),
        ("wrong", "network", "127.0.0.1:1 cannot be reached"),
    ] {
        assert!(has(&found, state, check, said), "{check}: {said}: {found:#}");
    }
    // A certificate that ends, one that is over, none.
    let tls = home.path("tls");
    for (days, state, said) in [(5, "note", "days left"), (-2, "wrong", "-2 days left")] {
        let end = home.sql(&format!("SELECT strftime('%Y-%m-%d', 'now', '{} days')", days + 1));
        let parts: Vec<i32> = end.split('-').map(|part| part.parse().unwrap()).collect();
        let mut parameters = rcgen::CertificateParams::new(vec!["hooks.example.com".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        let small = |part: i32| u8::try_from(part).unwrap();
        parameters.not_after = rcgen::date_time_ymd(parts[0], small(parts[1]), small(parts[2]));
        let key = rcgen::KeyPair::generate().unwrap();
        fs::write(tls.join("self-signed.pem"), parameters.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(tls.join("self-signed.key"), key.serialize_pem()).unwrap();
        assert!(has(&doctor(&home).1, state, "certificate", said), "{days}: {:#}", doctor(&home).1);
    }
    fs::write(tls.join("self-signed.pem"), "nothing").unwrap();
    assert!(has(&doctor(&home).1, "wrong", "certificate", "holds no certificate"));
    // A configuration with mistakes is looked at as far as it goes; the text for people has the mend below each.
    home.edit("[store]", "[store]\nbatsh = 3");
    let text = home.run(&["doctor"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("batsh") && text.contains("→") && text.contains("database"), "{text}");
    // A file of a later version, and none at all.
    sql(&home.db(), "PRAGMA user_version = 99");
    assert!(
        has(&doctor(&home).1, "wrong", "database", "newer version")
            || doctor(&home).1.to_string().contains("newer version")
    );
}

/// systemd's socket accepts also while the service does not start: it is told, and nobody waits for ever.
#[test]
fn a_port_that_nobody_answers_on_is_told() {
    let home = Home::new("");
    home.serve().stop();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    home.edit("127.0.0.1:0", &silent.local_addr().unwrap().to_string());
    let (code, found) = doctor(&home);
    assert!(code == 1 && has(&found, "wrong", "daemon", "nobody answers"), "{found:#}");
}
