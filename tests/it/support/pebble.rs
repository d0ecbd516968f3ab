//! Debian's pebble: an ACME authority and a DNS server in which every name resolves to 127.0.0.1.

use super::{Home, WAIT_MAX};
use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A running pebble; stopped on drop.
pub struct Pebble {
    directory: tempfile::TempDir,
    api: u16,
    management: u16,
    dns: u16,
    dns_management: u16,
    /// Port at which it validates names.
    pub tls: u16,
    pub children: Vec<Child>,
}

/// Returns a free port below those that the kernel assigns, so that no other process gets it before it is used.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(97)) % 12_000;
        let port = u16::try_from(20_000 + offset).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Pebble {
    /// Starts pebble; its certificates are valid for `seconds`. `extra` is appended to its configuration.
    pub fn start(seconds: u32, extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [api, management, dns, dns_management, tls] = std::array::from_fn(|_| free_port());
        let mut pebble = Self { directory, api, management, dns, dns_management, tls, children: Vec::new() };
        pebble.make_api_certificate();
        let config = format!(
            r#"{{"pebble": {{
                "listenAddress": "127.0.0.1:{api}", "managementListenAddress": "127.0.0.1:{management}",
                "certificate": {:?}, "privateKey": {:?}, "httpPort": 1, "tlsPort": {tls}, "ocspResponderURL": "",
                "externalAccountBindingRequired": false, "domainBlocklist": ["blocked-domain.example"],
                "certificateValidityPeriod": {seconds}, "retryAfter": {{"authz": 1, "order": 1}},
                "profiles": {{"default": {{"description": "the only one", "validityPeriod": {seconds}}}}} {extra}
            }}}}"#,
            pebble.path("api.pem"),
            pebble.path("api.key")
        );
        fs::write(pebble.path("pebble.json"), config).unwrap();
        pebble.launch();
        pebble
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Makes the certificate of its HTTPS API.
    fn make_api_certificate(&self) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name.push(rcgen::DnType::CommonName, "the test's authority");
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        fs::write(self.path("ca.pem"), authority.clone().self_signed(&key).unwrap().pem()).unwrap();
        let issuer = rcgen::Issuer::new(authority, key);
        let api_key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&api_key, &issuer).unwrap();
        fs::write(self.path("api.pem"), certificate.pem()).unwrap();
        fs::write(self.path("api.key"), api_key.serialize_pem()).unwrap();
    }

    pub fn launch(&mut self) {
        let log = |name: &str| fs::File::create(self.path(name)).unwrap();
        let help = Command::new("pebble-challtestsrv").arg("-h").output().expect("pebble, of Debian's package pebble");
        let help = String::from_utf8_lossy(&help.stderr).into_owned() + &*String::from_utf8_lossy(&help.stdout);
        let mut dns = Command::new("pebble-challtestsrv");
        // The flags differ between versions.
        dns.arg(if help.contains("-dnsserver") { "-dnsserver" } else { "-dns01" });
        dns.arg(format!("127.0.0.1:{}", self.dns));
        if help.contains("-doh") {
            dns.args(["-doh", ""]);
        }
        dns.args(["-management", &format!("127.0.0.1:{}", self.dns_management), "-defaultIPv4", "127.0.0.1"]);
        dns.args(["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        let dns = dns.stdout(log("dns.log")).stderr(Stdio::null()).spawn().unwrap();
        let pebble = Command::new("pebble")
            .args(["-config", &self.path("pebble.json"), "-dnsserver", &format!("127.0.0.1:{}", self.dns)])
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0")])
            .stdout(log("pebble.log"))
            .stderr(log("pebble.err"))
            .spawn()
            .unwrap();
        self.children = vec![dns, pebble];
        let start = Instant::now();
        while !self.curl(&format!("https://127.0.0.1:{}/dir", self.api), &[]).contains("newOrder")
            || !self
                .curl(
                    &format!("http://127.0.0.1:{}/clear-a", self.dns_management),
                    &["-d", r#"{"host":"x.example"}"#, "-w", "%{http_code}"],
                )
                .contains("200")
        {
            assert!(start.elapsed() < WAIT_MAX, "{}", fs::read_to_string(self.path("pebble.err")).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn stop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn curl(&self, url: &str, extra: &[&str]) -> String {
        let output = Command::new("curl").args(["-s", "--cacert", &self.path("ca.pem")]).args(extra).arg(url).output();
        String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
    }

    /// Sets the address to which a name resolves.
    pub fn set_address(&self, name: &str, address: &str) {
        let body = format!(r#"{{"host":"{name}","addresses":["{address}"]}}"#);
        self.curl(
            &format!("http://127.0.0.1:{}/clear-a", self.dns_management),
            &["-d", &format!(r#"{{"host":"{name}"}}"#)],
        );
        self.curl(&format!("http://127.0.0.1:{}/add-a", self.dns_management), &["-d", &body]);
    }

    /// Creates a home whose daemon orders a certificate here. `extra` is appended to `[tls.acme]`.
    pub fn home(&self, names: &[&str], extra: &str) -> Home {
        let home = Home::new("");
        self.configure(&home, names, extra);
        home
    }

    pub fn configure(&self, home: &Home, names: &[&str], extra: &str) {
        home.configure(&format!(
            "[server]\nlisten = \"127.0.0.1:{}\"\n[tls.acme]\nnames = {names:?}\nemail = \"ops@example.com\"\nterms_agreed = true\n\
             directory = \"https://localhost:{}/dir\"\nca_file = {:?}\n{extra}",
            self.tls,
            self.api,
            self.path("ca.pem")
        ));
    }

    /// Checks that a home's certificate chain ends at this authority; returns the first certificate as text.
    pub fn verify_chain(&self, home: &Home) -> String {
        let root = self.curl(&format!("https://127.0.0.1:{}/{}/0", self.management, "roots"), &[]);
        fs::write(self.path("root.pem"), root).unwrap();
        let file = home.path("tls/acme/certificate.pem").display().to_string();
        let arguments = ["verify", "-CAfile", &self.path("root.pem"), "-untrusted", &file, &file];
        let verify = Command::new("openssl").args(arguments).output().unwrap();
        assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stderr));
        let text = Command::new("openssl").args(["x509", "-noout", "-text", "-in", &file]).output().unwrap();
        String::from_utf8_lossy(&text.stdout).into_owned()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
    }
}
