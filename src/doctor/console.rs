//! Checks of the console: its certificate, its port, and who may sign in. The console receives no events, so nothing
//! here is a failure of the daemon.

use crate::clock::Clock;
use crate::config::Config;
use crate::daemon_client::to_local_address;
use crate::doctor::Findings;
use crate::store::access::users::{ConsoleUser, list_users};
use crate::store::db::reader::Reader;
use crate::text::format_count;
use crate::tls::certificates;
use crate::tls::expiry::{find_expiry_threshold, read_certificate_info};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for a connection to this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) fn check_console(config: &Config, findings: &mut Findings) {
    if !config.console.is_enabled {
        return;
    }
    check_console_port(config, findings);
    check_console_certificate(config, findings);
    check_console_users(config, findings);
}

/// Checks that the console listens while the daemon does.
fn check_console_port(config: &Config, findings: &mut Findings) {
    let is_open = |address| TcpStream::connect_timeout(&to_local_address(address), CONNECT_TIMEOUT).is_ok();
    let listen = config.console.listen;
    // Port 0 is another port after each start.
    if listen.port() != 0 && is_open(config.server.listen) && !is_open(listen) {
        findings.add_warning(
            "console",
            format!("nobody answers on {listen}, so nobody can open the console; events are received as usual"),
            "The log has the reason: journalctl -u novex-ingest. Set [console] listen to a free port.",
        );
    }
}

fn check_console_certificate(config: &Config, findings: &mut Findings) {
    let files = certificates::locate_certificate_files(&config.console.tls);
    // The daemon creates a missing self-signed one at its start.
    if !files.certificate.exists() {
        return;
    }
    let path = files.certificate.display();
    let fix = "Name a valid certificate and its key in [console].";
    let info = match certificates::load_certified_key(&files).and_then(|_| read_certificate_info(&files)) {
        Ok(info) => info,
        Err(error) => return findings.add_warning("console", format!("{error:#}: nobody can open the console"), fix),
    };
    let now = Clock::system().now();
    if find_expiry_threshold(&info, false, now).is_some() {
        let days = info.days_left(now);
        let left =
            if days < 0 { "expired".to_owned() } else { format!("has {} left", format_count(days, "day", "days")) };
        findings.add_warning("console", format!("its certificate {path} {left}"), fix);
    }
    if info.is_self_signed && !config.console.listen.ip().is_loopback() {
        findings.add_warning(
            "console",
            format!(
                "it serves other computers on {} with a self-signed certificate: a browser there cannot prove that it \
                 reaches this machine, and a password can get into wrong hands",
                config.console.listen
            ),
            "Name a certificate that the browsers trust in [console], or listen on 127.0.0.1 and use an SSH tunnel.",
        );
    }
}

fn check_console_users(config: &Config, findings: &mut Findings) {
    // Other checks report a database that cannot be read.
    let Ok(users) = Reader::open(&config.store.path, 1).and_then(|reader| reader.read(list_users)) else { return };
    if users.is_empty() && config.console.oidc.is_none() {
        return findings.add_info(
            "console",
            "nobody can sign in yet",
            "`novex-ingest users add NAME --role admin` adds the first user.",
        );
    }
    let has_password_only = |user: &&ConsoleUser| user.password_hash.is_some() && user.totp_confirmed_at.is_none();
    let count = users.iter().filter(has_password_only).count();
    if count > 0 && !config.console.listen.ip().is_loopback() {
        findings.add_warning(
            "console",
            format!(
                "it serves other computers, and {} without one-time codes: a password alone opens it",
                if count == 1 { "1 user signs in".to_owned() } else { format!("{count} users sign in") }
            ),
            "Each user sets up codes under Settings, My account.",
        );
    }
}
