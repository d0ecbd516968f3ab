//! The certificate: self-signed, reloaded, broken; protocol versions.

use crate::util::{Daemon, Home, PATIENCE, order, shopify};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Makes a pair with openssl.
fn pair(home: &Home, certificate: &str, key: &str, name: &str) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"])
        .args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=DNS:localhost"])
        .arg("-keyout")
        .arg(home.path(key))
        .arg("-out")
        .arg(home.path(certificate))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn with_files() -> Home {
    let home = Home::new("[tls]\ncertificate = \"cert.pem\"\nprivate_key = \"key.pem\"");
    pair(&home, "cert.pem", "key.pem", "first");
    home
}

fn shown(daemon: &Daemon<'_>) -> Vec<u8> {
    daemon.connect().certificate()
}

fn wait_for_another(daemon: &Daemon<'_>, than: &[u8]) -> Vec<u8> {
    let start = Instant::now();
    loop {
        let now = shown(daemon);
        if now != than {
            return now;
        }
        assert!(start.elapsed() < PATIENCE, "{}", daemon.home.log());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_self_signed_pair_is_made_once_and_its_key_is_private() {
    let home = Home::new("");
    let daemon = home.serve();
    let first = shown(&daemon);
    daemon.stop();
    assert_eq!(shown(&home.serve()), first);
    let mode = fs::metadata(home.path("tls/self-signed.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let home = Home::new("");
    let daemon = home.serve();
    let client = |version: &str| {
        let output = Command::new("openssl")
            .args(["s_client", version, "-alpn", "h2,http/1.1", "-connect", &daemon.address.to_string()])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = client(version);
        assert!(said.contains(name) && said.contains("ALPN protocol: h2"), "{said}");
    }
    assert!(client("-tls1_1").contains("Cipher is (NONE)"));
}

#[test]
fn a_renewed_pair_serves_without_dropping_a_connection() {
    let home = with_files();
    let daemon = home.serve();
    let first = shown(&daemon);
    let mut open = daemon.connect();
    assert_eq!(open.request(&shopify("w1", &order(1))).status, 200);
    // As renewal tools do it: made elsewhere, then moved into place, one after the other.
    pair(&home, "new-cert.pem", "new-key.pem", "second");
    fs::rename(home.path("new-cert.pem"), home.path("cert.pem")).unwrap();
    fs::rename(home.path("new-key.pem"), home.path("key.pem")).unwrap();
    let second = wait_for_another(&daemon, &first);
    pair(&home, "cert.pem", "key.pem", "third");
    daemon.signal("HUP");
    wait_for_another(&daemon, &second);
    assert_eq!(open.request(&shopify("w2", &order(2))).status, 200, "the old connection goes on");
}

#[test]
fn a_broken_new_pair_keeps_the_old_one_and_says_so() {
    let home = with_files();
    let daemon = home.serve();
    let first = shown(&daemon);
    let complaints = || daemon.home.log().matches("the old one stays").count();
    let break_by = |spoil: &dyn Fn(&Path)| {
        let before = complaints();
        spoil(&home.path("cert.pem"));
        daemon.signal("HUP");
        let start = Instant::now();
        while complaints() == before {
            assert!(start.elapsed() < PATIENCE, "{}", daemon.home.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(shown(&daemon), first);
    };
    break_by(&|cert| fs::write(cert, "no certificate at all").unwrap());
    break_by(&|_| pair(&home, "cert.pem", "elsewhere.pem", "not of this key"));
    break_by(&|cert| fs::remove_file(cert).unwrap());
    assert_eq!(daemon.deliver("w", &order(1)).status, 200);
}
