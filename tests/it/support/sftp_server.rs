//! A real OpenSSH server that allows SFTP only.

use super::Home;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An sshd that runs as the user of the tests and accepts the key `id`; stopped on drop.
pub struct SftpServer {
    pub child: Child,
    pub port: u16,
    directory: tempfile::TempDir,
}

impl SftpServer {
    /// Starts the server; `sftp_flags` are flags of `internal-sftp`.
    pub fn start(sftp_flags: &str) -> Self {
        Self::launch(sftp_flags, &[]).expect("a server")
    }

    /// Starts a server that accepts root's password `right`. A mount that only the server sees replaces `/etc/shadow`.
    /// Returns `None`, and prints why, where mounting is not allowed.
    pub fn with_password() -> Option<Self> {
        let shadow = tempfile::NamedTempFile::new_in("/tmp").unwrap();
        let hash = Command::new("perl").args(["-e", r#"print crypt("right", "\$6\$saltsalt\$")"#]).output().unwrap();
        fs::write(
            shadow.path(),
            format!("root:{}:20000::::::\nsshd:*:20000::::::\n", String::from_utf8_lossy(&hash.stdout)),
        )
        .unwrap();
        let script = format!("mount --bind {} /etc/shadow && exec \"$@\"", shadow.path().display());
        let server = Self::launch("", &["unshare", "-m", "sh", "-c", &script, "sh"]);
        if server.is_none() {
            println!("skipped: this test mounts a file over /etc/shadow, which needs root");
        }
        server
    }

    fn launch(sftp_flags: &str, wrapper: &[&str]) -> Option<Self> {
        let directory = tempfile::Builder::new().prefix("sshd").tempdir_in("/tmp").unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        for key in ["host", "id", "other"] {
            let status = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]).status();
            assert!(status.expect("ssh-keygen, of Debian's openssh-client").success());
        }
        fs::copy(at("id.pub"), at("authorized_keys")).unwrap();
        fs::create_dir(at("in")).unwrap();
        // sshd as root needs this directory for its unprivileged child.
        let _ = fs::create_dir_all("/run/sshd");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nUsePAM no\nUseDNS no\nStrictModes no\nPermitRootLogin yes\n\
             AuthorizedKeysFile {}\nPasswordAuthentication {}\nMaxStartups 100\nSubsystem sftp internal-sftp\nForceCommand internal-sftp {sftp_flags}\n",
            at("host"),
            at("authorized_keys"),
            if wrapper.is_empty() { "no" } else { "yes" }
        );
        fs::write(at("config"), config).unwrap();
        let log = fs::File::create(at("log")).unwrap();
        let config = at("config");
        let command = [wrapper, &["/usr/sbin/sshd", "-D", "-e", "-f", &config]].concat();
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sshd, of Debian's openssh-server");
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if !wrapper.is_empty() && child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{}", fs::read_to_string(at("log")).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { child, port, directory })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns a public key in the form of `host_key`.
    pub fn host_key(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap().split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// Writes a file into the polled directory.
    pub fn put(&self, name: &str, text: &str) {
        fs::write(self.path("in").join(name), text).unwrap();
    }

    /// Creates a home whose only source is this server at `port`. `extra` is appended to the source.
    pub fn home(&self, port: u16, key: &str, host_key: &str, extra: &str) -> Home {
        let home = Home::new("");
        fs::copy(self.path(key), home.path("key")).unwrap();
        let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        home.configure(&format!(
            "[worker]\nin_serve = false\nbackoff_base = \"10ms\"\nbackoff_max = \"40ms\"\n[sps]\ninterval = \"0s\"\n[[sps.sources]]\nname = \"acme\"\n\
             url = \"sftp://{}@127.0.0.1:{port}{}\"\nsecrets = [\"file:key\"]\nhost_key = \"{host_key}\"\nsettle = \"0s\"\n{extra}\n",
            user.trim(),
            self.path("in").display()
        ));
        home.serve().stop();
        home
    }
}

impl Drop for SftpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
