//! Certificates by ACME from Debian's pebble: validation on the daemon's own port, renewal, failures and later success.

use crate::support::pebble::Pebble;
use crate::support::{Daemon, Home, WAIT_MAX, order_body, shopify_request};
use novex_ingest::internals::clock::Clock;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const NAME: &str = "hooks.example.com";

/// Waits until the daemon serves another certificate than `previous`; returns it.
fn wait_for_other_certificate(daemon: &Daemon<'_>, previous: &[u8]) -> Vec<u8> {
    let start = Instant::now();
    loop {
        let now = daemon.connect().certificate();
        if now != previous {
            return now;
        }
        assert!(start.elapsed() < WAIT_MAX, "{}", daemon.home.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn read_progress(home: &Home) -> Value {
    serde_json::from_slice(&fs::read(home.path("tls/acme/progress.json")).unwrap()).unwrap()
}

/// Returns the hours from now until a time in RFC 3339.
fn hours_until(time: &Value) -> i64 {
    let at: jiff::Timestamp = time.as_str().unwrap_or_else(|| panic!("{time} is not a time")).parse().unwrap();
    (at.as_second() - Clock::system().now().as_second() + 1800).div_euclid(3600)
}

#[test]
fn certificate_is_validated_on_the_daemons_port_and_renewed_in_time() {
    let pebble = Pebble::start(20, "");
    let home = pebble.home(&["Hooks.example.com", "second.example.com"], "");
    let daemon = home.serve();
    home.wait_for_log("the new certificate for hooks.example.com, second.example.com is in use", 1);
    let first = daemon.connect().certificate();
    let printed = pebble.verify_chain(&home);
    assert!(printed.contains("DNS:hooks.example.com") && printed.contains("DNS:second.example.com"), "{printed}");
    for file in ["certificate.pem", "account.json", "progress.json"] {
        let mode = fs::metadata(home.path("tls/acme").join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(daemon.send_order("a", &order_body(1)).status, 200);
    // The renewal does not disturb an open connection.
    let mut standing = daemon.connect();
    assert_eq!(standing.request(&shopify_request("a2", &order_body(3))).status, 200);
    let second = wait_for_other_certificate(&daemon, &first);
    assert_ne!(second, first);
    assert_eq!(standing.request(&shopify_request("b", &order_body(2))).status, 200);
    assert!(home.run_ok(&["send", "shopify", "orders/create"]).contains("received"));
    assert_eq!(read_progress(&home)["failures"], 0);
    home.wait_until_processed();
}

#[test]
fn existing_certificate_is_not_ordered_again() {
    let mut pebble = Pebble::start(7_776_000, "");
    let home = pebble.home(&[NAME], "");
    let daemon = home.serve();
    home.wait_for_log("is in use; it is valid until", 1);
    let doctor = String::from_utf8_lossy(&home.run(&["doctor"]).stdout).into_owned();
    assert!(doctor.contains("the daemon renews it from 20"), "{doctor}");
    assert!(doctor.contains("this machine does not trust it"), "{doctor}");
    let shown = daemon.connect().certificate();
    daemon.stop();
    let daemon = home.serve();
    assert_eq!(daemon.connect().certificate(), shown);
    daemon.send_signal("HUP");
    home.wait_for_log("the daemon reloaded the configuration", 1);
    daemon.stop();
    assert_eq!(home.log().matches("requests a certificate for").count(), 1, "{}", home.log());

    // Another name starts an order at once. An account that the authority no longer knows does not prevent it.
    let daemon = home.serve();
    pebble.stop();
    pebble.launch();
    pebble.configure(&home, &[NAME, "other.example.com"], "");
    daemon.send_signal("HUP");
    wait_for_other_certificate(&daemon, &shown);
    assert!(pebble.verify_chain(&home).contains("DNS:other.example.com"));
    assert!(!home.log().contains("no certificate for"), "{}", home.log());
}

#[test]
fn failed_validation_is_reported_recorded_and_retried_on_request() {
    let pebble = Pebble::start(7_776_000, "");
    // No process listens there.
    pebble.set_address(NAME, "127.0.0.2");
    let home = pebble.home(&[NAME], "");
    let daemon = home.serve();
    let own = daemon.connect().certificate();
    home.wait_for_log("no certificate for hooks.example.com", 1);
    let log = home.log();
    assert!(
        log.contains("hooks.example.com: ") && log.contains("port 443 of each name must lead to this daemon"),
        "{log}"
    );
    assert!(log.contains("systemctl reload novex-ingest"), "{log}");
    let doctor = home.run(&["doctor"]);
    let printed = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        !doctor.status.success() && printed.contains("has issued no certificate for hooks.example.com"),
        "{printed}"
    );
    assert!(printed.contains("the next attempt is at") && printed.contains("tries at once"), "{printed}");
    // A restart starts no new order.
    daemon.stop();
    let written = read_progress(&home);
    assert_eq!(written["failures"], 1);
    // A start tries again. An operator's request tries again too, at most four times an hour.
    let daemon = home.serve();
    home.wait_for_log("no certificate for hooks.example.com", 2);
    assert_eq!(daemon.send_order("a", &order_body(1)).status, 200);
    assert_eq!(daemon.connect().certificate(), own);
    assert_eq!(read_progress(&home)["failures"], 1, "the pauses stay the same");
    pebble.set_address(NAME, "127.0.0.1");
    daemon.send_signal("HUP");
    wait_for_other_certificate(&daemon, &own);
    pebble.verify_chain(&home);
}

#[test]
fn starts_and_requests_stay_below_the_authoritys_limits() {
    let pebble = Pebble::start(7_776_000, "");
    pebble.set_address(NAME, "127.0.0.2");
    let home = pebble.home(&[NAME], "");
    for round in 1..=4 {
        let daemon = home.serve();
        home.wait_for_log("no certificate for hooks.example.com", round);
        daemon.stop();
    }
    let daemon = home.serve();
    home.wait_for_log("is due, but the next attempt is at", 1);
    daemon.send_signal("HUP");
    home.wait_for_log("is due, but the next attempt is at", 2);
    assert_eq!(home.log().matches("no certificate for").count(), 4);
    assert_eq!(read_progress(&home)["recent_attempts"].as_array().unwrap().len(), 4);
}

/// The daemon repairs its own files: it starts, logs the damage and orders another certificate.
#[test]
fn daemon_starts_with_a_damaged_certificate() {
    let pebble = Pebble::start(7_776_000, "");
    let home = pebble.home(&[NAME], "");
    let daemon = home.serve();
    home.wait_for_log("is in use; it is valid until", 1);
    daemon.stop();
    let file = home.path("tls/acme/certificate.pem");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..400]).unwrap();
    // The account key is damaged too.
    let account = home.path("tls/acme/account.json");
    let text = fs::read_to_string(&account).unwrap();
    fs::write(&account, text.replace("\"key_pkcs8\":\"MIG", "\"key_pkcs8\":\"AAA")).unwrap();
    let checked = home.run(&["config", "check"]);
    assert!(
        checked.status.success() && String::from_utf8_lossy(&checked.stdout).contains("self-signed"),
        "{checked:?}"
    );
    let daemon = home.serve();
    assert_eq!(daemon.send_order("a", &order_body(1)).status, 200);
    home.wait_for_log("The daemon renamed it to", 1);
    home.wait_for_log("is in use; it is valid until", 2);
    assert_eq!(fs::read(file.with_extension("broken")).unwrap(), whole[..400]);
    pebble.verify_chain(&home);
}

/// Providers do not trust the certificate of a staging authority, so a changed directory starts an order.
#[test]
fn changed_authority_starts_an_order() {
    let first = Pebble::start(7_776_000, "");
    let home = first.home(&[NAME], "");
    let daemon = home.serve();
    home.wait_for_log("is in use; it is valid until", 1);
    daemon.stop();
    let mut second = Pebble::start(7_776_000, "");
    second.tls = first.tls;
    second.stop();
    let config = fs::read_to_string(second.path("pebble.json")).unwrap();
    let ports = config.lines().map(|line| match line.find("\"tlsPort\"") {
        Some(_) => line.replace(&format!("\"tlsPort\": {}", port_in(line)), &format!("\"tlsPort\": {}", first.tls)),
        None => line.to_owned(),
    });
    fs::write(second.path("pebble.json"), ports.collect::<Vec<_>>().join("\n")).unwrap();
    second.launch();
    second.configure(&home, &[NAME], "");
    assert!(String::from_utf8_lossy(&home.run(&["doctor"]).stdout).contains("the daemon uses the previous one"));
    let _daemon = home.serve();
    home.wait_for_log("is in use; it is valid until", 2);
    second.verify_chain(&home);
}

fn port_in(line: &str) -> &str {
    let rest = line.split("\"tlsPort\": ").nth(1).unwrap();
    &rest[..rest.find(',').unwrap()]
}

/// The daemon does not order a certificate that it could not store.
#[test]
fn full_disk_prevents_an_order() {
    let pebble = Pebble::start(7_776_000, "");
    let home = pebble.home(&[NAME], "");
    let Some(disk) = crate::support::small_disk::SmallDisk::mount(home.path("tls"), "64k") else { return };
    home.serve().stop();
    home.wait_for_log("requests a certificate for", 1);
    fs::remove_file(home.path("tls/acme/progress.json")).unwrap_or(());
    fs::write(disk.path.join("filling"), vec![0; 1 << 20]).unwrap_err();
    let daemon = home.serve();
    home.wait_for_log("the daemon could not store a certificate", 1);
    assert_eq!(daemon.send_order("a", &order_body(1)).status, 200, "webhooks are still accepted");
    fs::remove_file(disk.path.join("filling")).unwrap();
    daemon.send_signal("HUP");
    home.wait_for_log("is in use; it is valid until", 1);
}

#[test]
fn attempt_during_which_the_daemon_dies_counts() {
    let mut pebble = Pebble::start(7_776_000, "");
    let home = pebble.home(&[NAME], "");
    // A stopped pebble accepts connections and sends no response.
    for child in &pebble.children {
        crate::support::send_signal(child.id(), "STOP");
    }
    let daemon = home.serve();
    home.wait_for_log("requests a certificate for", 1);
    daemon.send_signal("KILL");
    drop(daemon);
    assert_eq!(read_progress(&home)["failures"], 1);
    pebble.stop();
}

#[test]
fn forbidden_name_is_tried_daily() {
    let pebble = Pebble::start(7_776_000, "");
    let home = pebble.home(&["blocked-domain.example"], "");
    let daemon = home.serve();
    home.wait_for_log("no certificate for blocked-domain.example", 1);
    assert!(home.log().contains("forbidden by policy"), "{}", home.log());
    daemon.stop();
    assert_eq!(hours_until(&read_progress(&home)["next_attempt_at"]), 24);
}

#[test]
fn external_account_is_bound() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let binding = format!(r#", "externalAccountMACKeys": {{"kid-1": "{KEY}"}}"#);
    let pebble = Pebble::start(7_776_000, &binding);
    let config = fs::read_to_string(pebble.path("pebble.json")).unwrap();
    let required =
        config.replace("\"externalAccountBindingRequired\": false", "\"externalAccountBindingRequired\": true");
    fs::write(pebble.path("pebble.json"), required).unwrap();
    let mut pebble = pebble;
    pebble.stop();
    pebble.launch();
    let home = pebble.home(&[NAME], "");
    let daemon = home.serve();
    home.wait_for_log("no certificate for", 1);
    daemon.stop();
    fs::write(home.path("eab"), format!("{KEY}\n")).unwrap();
    pebble.configure(&home, &[NAME], "key_id = \"kid-1\"\nsecrets = [\"file:eab\"]\n");
    let daemon = home.serve();
    // The retry pause of the failure before also holds for this failure.
    daemon.send_signal("HUP");
    home.wait_for_log("is in use; it is valid until", 1);
    pebble.verify_chain(&home);
}

#[test]
fn challenge_protocol_serves_challenges_only() {
    let home = Home::new("");
    let daemon = home.serve();
    let client = |alpn: &str| {
        let address = daemon.address.to_string();
        let output = Command::new("openssl")
            .args(["s_client", "-servername", NAME, "-alpn", alpn, "-connect", &address])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(!client("acme-tls/1").contains("BEGIN CERTIFICATE"), "no challenge is open");
    assert!(client("h2,acme-tls/1").contains("ALPN protocol: h2"));
    assert!(Path::new(&home.path("tls/self-signed.pem")).exists());
    assert_eq!(daemon.send_order("a", &order_body(1)).status, 200);
}

#[test]
fn configuration_errors_are_named() {
    let home = Home::new(
        "[tls]\ncertificate = \"a.pem\"\nprivate_key = \"a.key\"\n[tls.acme]\nnames = [\"*.example.com\", \"192.0.2.1\", \"https://a.example.com\"]\n\
         email = \"nobody\"\ndirectory = \"http://acme.example.com/\"\nkey_id = \"1\"\n",
    );
    let output = home.run(&["config", "check"]);
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    for part in [
        "proves single names",
        "is an IP address",
        "is not a DNS name",
        "is not an e-mail address",
        "is not the URL of a directory",
        "has only one of key_id and secrets",
        "terms_agreed = true",
        "has no names",
        "has both files and [tls.acme]",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
}
