//! Messages about a faulty machine: each names the cause and the fix that works.

use crate::support::sqlite::DatabaseLock;
use crate::support::{BIN, Home, order_body};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Output};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command as the user nobody; returns None if this user may not.
fn run_as_nobody(home: &Home, arguments: &[&str]) -> Option<Output> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: this test changes its user, which needs root");
        return None;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", BIN, "--config"]).arg(home.config());
    Some(command.args(arguments).output().unwrap())
}

#[test]
fn damaged_database_is_reported_as_damaged() {
    let home = Home::new("");
    let daemon = home.serve();
    daemon.send_order("w1", &order_body(1)).event_id();
    daemon.stop();
    let half = fs::metadata(home.db()).unwrap().len() / 2;
    fs::OpenOptions::new().write(true).open(home.db()).unwrap().set_len(half).unwrap();
    let printed = stderr(&home.run(&["events", "list"]));
    assert!(printed.contains("the database file is damaged") && printed.contains("novex-ingest restore"), "{printed}");
    assert!(!printed.contains("Check that the directory"), "{printed}");
}

#[test]
fn user_without_permission_gets_the_group_and_sudo() {
    let home = Home::new("");
    home.serve().stop();
    fs::set_permissions(home.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(home.db(), fs::Permissions::from_mode(0o640)).unwrap();
    let Some(output) = run_as_nobody(&home, &["events", "list"]) else { return };
    let printed = stderr(&output);
    assert!(printed.contains("may not read") && printed.contains("usermod -aG novex-ingest USER"), "{printed}");
    // The same where the user may not even look into the directory.
    let directory = home.path("closed");
    fs::create_dir(&directory).unwrap();
    fs::rename(home.db(), directory.join("events.db")).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    home.edit_config("events.db", "closed/events.db");
    let printed = stderr(&run_as_nobody(&home, &["events", "list"]).unwrap());
    assert!(printed.contains("may not read"), "{printed}");
    // A secret that exists needs no creation.
    fs::set_permissions(home.path("acme"), fs::Permissions::from_mode(0o600)).unwrap();
    let printed = stderr(&run_as_nobody(&home, &["config", "check"]).unwrap());
    let secret = printed.lines().find(|line| line.contains("shopify.shops.secrets")).unwrap();
    assert!(secret.contains("chmod 640") && secret.contains("as root") && !secret.contains("Create it"), "{printed}");
}

#[test]
fn program_that_locks_the_database_is_named() {
    let home = Home::new("[store]\npath = \"DB\"\nbusy_timeout = \"200ms\"\n");
    let daemon = home.serve();
    home.edit_config("127.0.0.1:0", &daemon.address.to_string());
    let lock = DatabaseLock::acquire(&home);
    let output = home.run(&["doctor", "--json"]);
    lock.release();
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let daemon_finding =
        found["checks"].as_array().unwrap().iter().find(|finding| finding["check"] == "daemon").unwrap().clone();
    let fix = daemon_finding["fix"].as_str().unwrap();
    assert!(daemon_finding["state"] == "failed" && fix.contains("open in: ") && fix.contains("sqlite3 ("), "{found:#}");
}

#[test]
fn daemon_of_another_database_holds_the_port() {
    let (first, second) = (Home::new(""), Home::new(""));
    second.serve().stop();
    let daemon = first.serve();
    for home in [&first, &second] {
        home.edit_config("127.0.0.1:0", &daemon.address.to_string());
    }
    assert!(first.run_ok(&["config", "check"]).contains("serve would start"));
    let holder = format!("the novex-ingest of another database (process {})", daemon.child.id());
    for arguments in [&["config", "check"][..], &["serve"]] {
        let output = second.run(arguments);
        assert!(!output.status.success() && stderr(&output).contains(&holder), "{arguments:?}: {output:?}");
    }
    let doctor = second.run(&["doctor", "--json"]);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains(&holder), "{doctor:?}");
}

#[test]
fn each_configuration_error_is_printed_once() {
    let home = Home::new(
        "[[destinations]]\nname = \"erp\"\ntype = \"http\"\nurl = \"https://127.0.0.1:1/x\"\ntopics = [\"*\"]\n\
         secrets = [\"file:bad\"]\n",
    );
    fs::write(home.path("bad"), "!!!").unwrap();
    let printed = stderr(&home.run(&["config", "check"]));
    assert!(printed.contains("destinations.secrets") && !printed.contains("cannot be used"), "{printed}");
    // Without a configuration, doctor names the path once.
    fs::remove_file(home.config()).unwrap();
    let output = home.run(&["doctor", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let message = found["checks"][0]["message"].as_str().unwrap();
    assert_eq!(message.matches("config.toml").count(), 1, "{message}");
}

#[test]
fn expired_certificate_is_a_warning() {
    let home = Home::new("");
    home.serve().stop();
    let mut parameters = rcgen::CertificateParams::new(vec!["hooks.example.com".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    fs::write(home.path("tls/self-signed.pem"), parameters.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(home.path("tls/self-signed.key"), key.serialize_pem()).unwrap();
    let printed = home.run_ok(&["config", "check"]);
    assert!(
        printed.contains("warning: tls: the certificate") && printed.contains("expired on 2021-01-01"),
        "{printed}"
    );
}

#[test]
fn file_name_is_no_directory_for_kept_backups() {
    let home = Home::new("");
    home.serve().stop();
    let target = home.path("x.db");
    let output = home.run(&["backup", &target.display().to_string(), "--keep", "3"]);
    assert!(output.status.code() == Some(2) && stderr(&output).contains("--keep needs a directory"), "{output:?}");
    assert!(!target.exists());
}
