//! A real mail server with STARTTLS and a password: Debian's aiosmtpd, run by `mail_server.py`.

use super::Home;
use super::pebble::free_port;
use super::wait::wait_until;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

pub const MAIL_USER: &str = "novex@example.com";
pub const MAIL_PASSWORD: &str = "mail-p\u{e4}ssword";

/// Directory and port of a mail server, which can run or not.
pub struct Mailbox {
    directory: PathBuf,
    pub port: u16,
}

/// A running mail server; stopped on drop.
pub struct MailServer(Child);

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Mailbox {
    /// Creates the certificate and the directory of the messages.
    pub fn create(home: &Home) -> Self {
        let directory = home.path("mail");
        fs::create_dir(&directory).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        fs::write(directory.join("cert.pem"), certificate.pem()).unwrap();
        fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
        fs::write(home.path("mail-password"), format!("{MAIL_PASSWORD}\n")).unwrap();
        Self { directory, port: free_port() }
    }

    /// Starts the server and waits until it accepts connections.
    pub fn start(&self) -> MailServer {
        let mut child = Command::new("/usr/bin/python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/mail_server.py"))
            .arg(self.port.to_string())
            .arg(&self.directory)
            .args([MAIL_USER, MAIL_PASSWORD])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONWARNINGS", "ignore")
            .env("PYTHONUTF8", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Debian's python3");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "python3-aiosmtpd of Debian runs: tests/setup installs it");
        MailServer(child)
    }

    /// Returns the configuration of a channel `mail`.
    pub fn channel(&self) -> String {
        format!(
            "[[alerts.channels]]\nname = \"mail\"\ntype = \"smtp\"\nhost = \"127.0.0.1\"\nport = {}\nca = \"mail/cert.pem\"\n\
             user = \"{MAIL_USER}\"\npassword = \"file:mail-password\"\nfrom = \"Novex <novex@example.com>\"\n\
             to = [\"ops@example.com\", \"Ada <ada@example.com>\"]\n",
            self.port
        )
    }

    /// Returns the messages so far, the oldest first.
    pub fn messages(&self) -> Vec<String> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(&self.directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "eml"));
        files.sort();
        files.iter().map(|file| fs::read_to_string(file).unwrap().replace("\r\n", "\n")).collect()
    }

    /// Waits until this many messages arrived in all.
    pub fn wait_for(&self, count: usize, home: &Home) -> Vec<String> {
        wait_until(|| self.messages().len() >= count, || format!("{:?}; {}", self.messages(), home.log()));
        self.messages()
    }
}
