//! The certificate: self-signed, reloaded, broken; protocol versions.

use crate::support::{Daemon, Home, WAIT_MAX, order_body, shopify_request, wait_until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Makes a certificate and its key with openssl.
fn make_certificate(home: &Home, certificate: &str, key: &str, name: &str) {
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

fn home_with_certificate() -> Home {
    let home = Home::new("[tls]\ncertificate = \"cert.pem\"\nprivate_key = \"key.pem\"");
    make_certificate(&home, "cert.pem", "key.pem", "first");
    home
}

fn served_certificate(daemon: &Daemon<'_>) -> Vec<u8> {
    daemon.connect().certificate()
}

fn wait_for_another(daemon: &Daemon<'_>, than: &[u8]) -> Vec<u8> {
    let start = Instant::now();
    loop {
        let now = served_certificate(daemon);
        if now != than {
            return now;
        }
        assert!(start.elapsed() < WAIT_MAX, "{}", daemon.home.log());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn self_signed_certificate_is_made_once_with_a_private_key() {
    let home = Home::new("");
    let daemon = home.serve();
    let first = served_certificate(&daemon);
    daemon.stop();
    assert_eq!(served_certificate(&home.serve()), first);
    let mode = fs::metadata(home.path("tls/self-signed.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn self_signed_certificate_states_its_use_and_is_trusted_by_curl() {
    let home = Home::new("");
    let daemon = home.serve();
    let certificate = home.path("tls/self-signed.pem");
    let openssl = Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(&certificate).output().unwrap();
    let text = String::from_utf8_lossy(&openssl.stdout).into_owned();
    for part in ["CA:FALSE", "Digital Signature", "TLS Web Server Authentication", "Subject Key Identifier"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let url = format!("https://localhost:{}/healthz", daemon.address.port());
    let curl =
        Command::new("curl").args(["--silent", "--fail", "--cacert"]).arg(&certificate).arg(url).output().unwrap();
    assert!(curl.status.success() && curl.stdout.starts_with(b"{"), "{curl:?}");
}

#[test]
fn plain_http_is_answered_in_words_and_recorded() {
    let home = Home::new("");
    let daemon = home.serve();
    let url = format!("http://{}/healthz", daemon.address);
    for args in [&["--http1.1"][..], &["--data-binary", "@/proc/self/exe"]] {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--include", "--max-time", "20"]).args(args).arg(&url);
        let printed = String::from_utf8_lossy(&curl.output().unwrap().stdout).into_owned();
        assert!(printed.contains("400 Bad Request") && printed.contains("use an address with https://"), "{printed}");
    }
    wait_until(|| home.run_ok(&["events", "rejected"]).contains("plain HTTP"), || home.log());
    assert_eq!(daemon.send_order("w", &order_body(1)).status, 200);
}

#[test]
fn tls_1_2_and_1_3_are_accepted_and_older_refused() {
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
        let printed = client(version);
        assert!(printed.contains(name) && printed.contains("ALPN protocol: h2"), "{printed}");
    }
    assert!(client("-tls1_1").contains("Cipher is (NONE)"));
}

#[test]
fn renewed_certificate_drops_no_connection() {
    let home = home_with_certificate();
    let daemon = home.serve();
    let first = served_certificate(&daemon);
    let mut open = daemon.connect();
    assert_eq!(open.request(&shopify_request("w1", &order_body(1))).status, 200);
    // Renewal tools make the files elsewhere and move them into place, one after the other.
    make_certificate(&home, "new-cert.pem", "new-key.pem", "second");
    fs::rename(home.path("new-cert.pem"), home.path("cert.pem")).unwrap();
    fs::rename(home.path("new-key.pem"), home.path("key.pem")).unwrap();
    let second = wait_for_another(&daemon, &first);
    make_certificate(&home, "cert.pem", "key.pem", "third");
    daemon.send_signal("HUP");
    wait_for_another(&daemon, &second);
    assert_eq!(open.request(&shopify_request("w2", &order_body(2))).status, 200, "the old connection stays open");
}

#[test]
fn broken_certificate_keeps_the_old_one_and_is_reported() {
    let home = home_with_certificate();
    let daemon = home.serve();
    let first = served_certificate(&daemon);
    let complaints = || daemon.home.log().matches("the daemon keeps the old one").count();
    let break_by = |spoil: &dyn Fn(&Path)| {
        let before = complaints();
        spoil(&home.path("cert.pem"));
        daemon.send_signal("HUP");
        let start = Instant::now();
        while complaints() == before {
            assert!(start.elapsed() < WAIT_MAX, "{}", daemon.home.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(served_certificate(&daemon), first);
    };
    break_by(&|cert| fs::write(cert, "no certificate at all").unwrap());
    break_by(&|_| make_certificate(&home, "cert.pem", "elsewhere.pem", "not of this key"));
    break_by(&|cert| fs::remove_file(cert).unwrap());
    assert_eq!(daemon.send_order("w", &order_body(1)).status, 200);
}
