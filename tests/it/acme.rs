//! Certificates by ACME, from Debian's pebble: got on the daemon's own port, renewed, refused, and got after all.

use crate::util::{Daemon, Home, PATIENCE, order, shopify};
use novex_ingest::clock::Clock;
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const NAME: &str = "hooks.example.com";

/// An authority of our own, with a DNS in which every name leads to this machine.
struct Pebble {
    directory: tempfile::TempDir,
    api: u16,
    management: u16,
    dns: u16,
    control: u16,
    /// Where it looks for the names' daemon.
    tls: u16,
    children: Vec<Child>,
}

/// One that is named before it is listened on: below those that the system gives out, so that nobody takes it meanwhile.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let place = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(97)) % 12_000;
        let port = u16::try_from(20_000 + place).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Pebble {
    /// Its certificates live so many seconds.
    fn start(seconds: u32, more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [api, management, dns, control, tls] = std::array::from_fn(|_| free_port());
        let mut pebble = Self { directory, api, management, dns, control, tls, children: Vec::new() };
        pebble.make_own_certificate();
        let config = format!(
            r#"{{"pebble": {{
                "listenAddress": "127.0.0.1:{api}", "managementListenAddress": "127.0.0.1:{management}",
                "certificate": {:?}, "privateKey": {:?}, "httpPort": 1, "tlsPort": {tls}, "ocspResponderURL": "",
                "externalAccountBindingRequired": false, "domainBlocklist": ["blocked-domain.example"],
                "certificateValidityPeriod": {seconds}, "retryAfter": {{"authz": 1, "order": 1}},
                "profiles": {{"default": {{"description": "the only one", "validityPeriod": {seconds}}}}} {more}
            }}}}"#,
            pebble.path("api.pem"),
            pebble.path("api.key")
        );
        fs::write(pebble.path("pebble.json"), config).unwrap();
        pebble.launch();
        pebble
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// For its own HTTPS.
    fn make_own_certificate(&self) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name.push(rcgen::DnType::CommonName, "the test's authority");
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        fs::write(self.path("ca.pem"), authority.clone().self_signed(&key).unwrap().pem()).unwrap();
        let issuer = rcgen::Issuer::new(authority, key);
        let own = rcgen::KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap();
        fs::write(self.path("api.pem"), certificate.pem()).unwrap();
        fs::write(self.path("api.key"), own.serialize_pem()).unwrap();
    }

    fn launch(&mut self) {
        let log = |name: &str| fs::File::create(self.path(name)).unwrap();
        let help = Command::new("pebble-challtestsrv").arg("-h").output().expect("pebble, of Debian's package pebble");
        let help = String::from_utf8_lossy(&help.stderr).into_owned() + &String::from_utf8_lossy(&help.stdout);
        let mut names = Command::new("pebble-challtestsrv");
        // Its flags differ from version to version.
        names.arg(if help.contains("-dnsserver") { "-dnsserver" } else { "-dns01" });
        names.arg(format!("127.0.0.1:{}", self.dns));
        if help.contains("-doh") {
            names.args(["-doh", ""]);
        }
        names.args(["-management", &format!("127.0.0.1:{}", self.control), "-defaultIPv4", "127.0.0.1"]);
        names.args(["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        let names = names.stdout(log("names.log")).stderr(Stdio::null()).spawn().unwrap();
        let pebble = Command::new("pebble")
            .args(["-config", &self.path("pebble.json"), "-dnsserver", &format!("127.0.0.1:{}", self.dns)])
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0")])
            .stdout(log("pebble.log"))
            .stderr(log("pebble.err"))
            .spawn()
            .unwrap();
        self.children = vec![names, pebble];
        let start = Instant::now();
        while !self.curl(&format!("https://127.0.0.1:{}/dir", self.api), &[]).contains("newOrder")
            || !self
                .curl(
                    &format!("http://127.0.0.1:{}/clear-a", self.control),
                    &["-d", r#"{"host":"x.example"}"#, "-w", "%{http_code}"],
                )
                .contains("200")
        {
            assert!(start.elapsed() < PATIENCE, "{}", fs::read_to_string(self.path("pebble.err")).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn stop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn curl(&self, url: &str, more: &[&str]) -> String {
        let output = Command::new("curl").args(["-s", "--cacert", &self.path("ca.pem")]).args(more).arg(url).output();
        String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
    }

    /// Says where a name leads.
    fn lead(&self, name: &str, address: &str) {
        let body = format!(r#"{{"host":"{name}","addresses":["{address}"]}}"#);
        self.curl(&format!("http://127.0.0.1:{}/clear-a", self.control), &["-d", &format!(r#"{{"host":"{name}"}}"#)]);
        self.curl(&format!("http://127.0.0.1:{}/add-a", self.control), &["-d", &body]);
    }

    /// A daemon's home that gets its certificate here.
    fn home(&self, names: &[&str], more: &str) -> Home {
        let home = Home::new("");
        self.configure(&home, names, more);
        home
    }

    fn configure(&self, home: &Home, names: &[&str], more: &str) {
        home.configure(&format!(
            "[server]\nlisten = \"127.0.0.1:{}\"\n[tls.acme]\nnames = {names:?}\nemail = \"ops@example.com\"\nterms_agreed = true\n\
             directory = \"https://localhost:{}/dir\"\nca_file = {:?}\n{more}",
            self.tls,
            self.api,
            self.path("ca.pem")
        ));
    }

    /// Whether the chain that a home serves leads to this authority, and what openssl says of its first certificate.
    fn verified(&self, home: &Home) -> String {
        let root = self.curl(&format!("https://127.0.0.1:{}/{}/0", self.management, "roots"), &[]);
        fs::write(self.path("root.pem"), root).unwrap();
        let file = home.path("tls/acme/certificate.pem").display().to_string();
        let arguments = ["verify", "-CAfile", &self.path("root.pem"), "-untrusted", &file, &file];
        let verified = Command::new("openssl").args(arguments).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
        let said = Command::new("openssl").args(["x509", "-noout", "-text", "-in", &file]).output().unwrap();
        String::from_utf8_lossy(&said.stdout).into_owned()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits until the daemon serves another certificate than `than`.
fn another(daemon: &Daemon<'_>, than: &[u8]) -> Vec<u8> {
    let start = Instant::now();
    loop {
        let now = daemon.connect().certificate();
        if now != than {
            return now;
        }
        assert!(start.elapsed() < PATIENCE, "{}", daemon.home.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn progress(home: &Home) -> Value {
    serde_json::from_slice(&fs::read(home.path("tls/acme/progress.json")).unwrap()).unwrap()
}

/// Hours from now until a time that is written.
fn hours_until(time: &Value) -> i64 {
    let at: jiff::Timestamp = time.as_str().unwrap_or_else(|| panic!("{time} is no time")).parse().unwrap();
    (at.as_second() - Clock::system().now().as_second() + 1800).div_euclid(3600)
}

#[test]
fn a_certificate_is_got_on_the_daemons_own_port_and_renewed_in_time() {
    let pebble = Pebble::start(20, "");
    let home = pebble.home(&["Hooks.example.com", "second.example.com"], "");
    let daemon = home.serve();
    home.wait_for_log("a new certificate for hooks.example.com, second.example.com serves from now on", 1);
    let first = daemon.connect().certificate();
    let said = pebble.verified(&home);
    assert!(said.contains("DNS:hooks.example.com") && said.contains("DNS:second.example.com"), "{said}");
    for file in ["certificate.pem", "account.json", "progress.json"] {
        let mode = fs::metadata(home.path("tls/acme").join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(daemon.deliver("a", &order(1)).status, 200);
    // A connection that stands is not disturbed by the renewal.
    let mut standing = daemon.connect();
    assert_eq!(standing.request(&shopify("a2", &order(3))).status, 200);
    let second = another(&daemon, &first);
    assert_ne!(second, first);
    assert_eq!(standing.request(&shopify("b", &order(2))).status, 200);
    assert!(home.ok(&["send", "shopify", "orders/create"]).contains("received"));
    assert_eq!(progress(&home)["failures"], 0);
    home.wait_until_worked();
}

#[test]
fn a_certificate_that_is_there_is_not_asked_for_again() {
    let mut pebble = Pebble::start(7_776_000, "");
    let home = pebble.home(&[NAME], "");
    let daemon = home.serve();
    home.wait_for_log("serves from now on, until", 1);
    let doctor = String::from_utf8_lossy(&home.run(&["doctor"]).stdout).into_owned();
    assert!(doctor.contains("it is renewed by itself from 20"), "{doctor}");
    assert!(doctor.contains("this box does not trust it"), "{doctor}");
    let shown = daemon.connect().certificate();
    daemon.stop();
    let daemon = home.serve();
    assert_eq!(daemon.connect().certificate(), shown);
    daemon.signal("HUP");
    home.wait_for_log("the configuration was read again", 1);
    daemon.stop();
    assert_eq!(home.log().matches("is asked for at").count(), 1, "{}", home.log());

    // Another name is a reason, at once; that the authority has forgotten us meanwhile is none to stop.
    let daemon = home.serve();
    pebble.stop();
    pebble.launch();
    pebble.configure(&home, &[NAME, "other.example.com"], "");
    daemon.signal("HUP");
    another(&daemon, &shown);
    assert!(pebble.verified(&home).contains("DNS:other.example.com"));
    assert!(!home.log().contains("no certificate for"), "{}", home.log());
}

#[test]
fn a_name_that_leads_elsewhere_is_told_remembered_and_tried_again_when_somebody_says_so() {
    let pebble = Pebble::start(7_776_000, "");
    // Nobody listens there.
    pebble.lead(NAME, "127.0.0.2");
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
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        !doctor.status.success() && said.contains("there is none for hooks.example.com from https://localhost"),
        "{said}"
    );
    assert!(said.contains("the next attempt is at") && said.contains("tries at once"), "{said}");
    // A restart uses up nothing.
    daemon.stop();
    let written = progress(&home);
    assert_eq!(written["failures"], 1);
    // A start tries again, and so does whoever asks for it, four times an hour.
    let daemon = home.serve();
    home.wait_for_log("no certificate for hooks.example.com", 2);
    assert_eq!(daemon.deliver("a", &order(1)).status, 200);
    assert_eq!(daemon.connect().certificate(), own);
    assert_eq!(progress(&home)["failures"], 1, "which makes the pauses no longer");
    pebble.lead(NAME, "127.0.0.1");
    daemon.signal("HUP");
    another(&daemon, &own);
    pebble.verified(&home);
}

#[test]
fn starts_and_wishes_use_up_no_limit() {
    let pebble = Pebble::start(7_776_000, "");
    pebble.lead(NAME, "127.0.0.2");
    let home = pebble.home(&[NAME], "");
    for round in 1..=4 {
        let daemon = home.serve();
        home.wait_for_log("no certificate for hooks.example.com", round);
        daemon.stop();
    }
    let daemon = home.serve();
    home.wait_for_log("is due and will be asked for at", 1);
    daemon.signal("HUP");
    home.wait_for_log("is due and will be asked for at", 2);
    assert_eq!(home.log().matches("no certificate for").count(), 4);
    assert_eq!(progress(&home)["tried"].as_array().unwrap().len(), 4);
}

/// Its own files are the daemon's to mend: it starts, says so, and asks for another.
#[test]
fn a_certificate_that_is_damaged_does_not_keep_the_daemon_from_starting() {
    let pebble = Pebble::start(7_776_000, "");
    let home = pebble.home(&[NAME], "");
    let daemon = home.serve();
    home.wait_for_log("serves from now on, until", 1);
    daemon.stop();
    let file = home.path("tls/acme/certificate.pem");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..400]).unwrap();
    // Its account's key is damaged too.
    let account = home.path("tls/acme/account.json");
    let text = fs::read_to_string(&account).unwrap();
    fs::write(&account, text.replace("\"key_pkcs8\":\"MIG", "\"key_pkcs8\":\"AAA")).unwrap();
    let checked = home.run(&["config", "check"]);
    assert!(
        checked.status.success() && String::from_utf8_lossy(&checked.stdout).contains("self-signed"),
        "{checked:?}"
    );
    let daemon = home.serve();
    assert_eq!(daemon.deliver("a", &order(1)).status, 200);
    home.wait_for_log("It is put aside as", 1);
    home.wait_for_log("serves from now on, until", 2);
    assert_eq!(fs::read(file.with_extension("broken")).unwrap(), whole[..400]);
    pebble.verified(&home);
}

/// A trial authority's certificate is none for those who deliver: another directory is a reason to ask.
#[test]
fn another_authority_is_asked_at_once() {
    let first = Pebble::start(7_776_000, "");
    let home = first.home(&[NAME], "");
    let daemon = home.serve();
    home.wait_for_log("serves from now on, until", 1);
    daemon.stop();
    let mut second = Pebble::start(7_776_000, "");
    second.tls = first.tls;
    second.stop();
    let config = fs::read_to_string(second.path("pebble.json")).unwrap();
    let ports = config.lines().map(|line| match line.find("\"tlsPort\"") {
        Some(_) => line.replace(&format!("\"tlsPort\": {}", port_of(line)), &format!("\"tlsPort\": {}", first.tls)),
        None => line.to_owned(),
    });
    fs::write(second.path("pebble.json"), ports.collect::<Vec<_>>().join("\n")).unwrap();
    second.launch();
    second.configure(&home, &[NAME], "");
    assert!(String::from_utf8_lossy(&home.run(&["doctor"]).stdout).contains("from before"));
    let _daemon = home.serve();
    home.wait_for_log("serves from now on, until", 2);
    second.verified(&home);
}

fn port_of(line: &str) -> &str {
    let rest = line.split("\"tlsPort\": ").nth(1).unwrap();
    &rest[..rest.find(',').unwrap()]
}

/// What could not be kept is not asked for.
#[test]
fn without_room_for_it_no_certificate_is_asked_for() {
    let pebble = Pebble::start(7_776_000, "");
    let home = pebble.home(&[NAME], "");
    let Some(disk) = crate::disk::Disk::mount(home.path("tls"), "64k") else { return };
    home.serve().stop();
    home.wait_for_log("is asked for at", 1);
    fs::remove_file(home.path("tls/acme/progress.json")).unwrap_or(());
    fs::write(disk.0.join("filling"), vec![0; 1 << 20]).unwrap_err();
    let daemon = home.serve();
    home.wait_for_log("what is got could not be kept", 1);
    assert_eq!(daemon.deliver("a", &order(1)).status, 200, "deliveries go on");
    fs::remove_file(disk.0.join("filling")).unwrap();
    daemon.signal("HUP");
    home.wait_for_log("serves from now on, until", 1);
}

#[test]
fn an_attempt_that_kills_the_daemon_counts() {
    let mut pebble = Pebble::start(7_776_000, "");
    let home = pebble.home(&[NAME], "");
    // Stopped, it takes connections and answers nothing.
    for child in &pebble.children {
        crate::util::signal(child.id(), "STOP");
    }
    let daemon = home.serve();
    home.wait_for_log("is asked for at", 1);
    daemon.signal("KILL");
    drop(daemon);
    assert_eq!(progress(&home)["failures"], 1);
    pebble.stop();
}

#[test]
fn what_the_authority_forbids_is_tried_daily() {
    let pebble = Pebble::start(7_776_000, "");
    let home = pebble.home(&["blocked-domain.example"], "");
    let daemon = home.serve();
    home.wait_for_log("no certificate for blocked-domain.example", 1);
    assert!(home.log().contains("forbidden by policy"), "{}", home.log());
    daemon.stop();
    assert_eq!(hours_until(&progress(&home)["next_attempt"]), 24);
}

#[test]
fn an_account_that_exists_at_the_authority_is_bound() {
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
    // The pause of the failure before holds for this one too.
    daemon.signal("HUP");
    home.wait_for_log("serves from now on, until", 1);
    pebble.verified(&home);
}

#[test]
fn the_challenges_protocol_is_for_challenges() {
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
    assert_eq!(daemon.deliver("a", &order(1)).status, 200);
}

#[test]
fn mistakes_are_named() {
    let home = Home::new(
        "[tls]\ncertificate = \"a.pem\"\nprivate_key = \"a.key\"\n[tls.acme]\nnames = [\"*.example.com\", \"192.0.2.1\", \"https://a.example.com\"]\n\
         email = \"nobody\"\ndirectory = \"http://acme.example.com/\"\nkey_id = \"1\"\n",
    );
    let output = home.run(&["config", "check"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    for part in [
        "proves single names",
        "is an address",
        "is no name in the DNS",
        "is no e-mail address",
        "is no directory's address",
        "has only one of key_id and secrets",
        "terms_agreed = true",
        "has no names",
        "has both files and [tls.acme]",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
