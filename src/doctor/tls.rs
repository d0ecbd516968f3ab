//! Checks of the certificate, and of the daemon's answer over TLS.

use crate::clock::{Clock, Timestamp, add_duration, format_timestamp};
use crate::config::Config;
use crate::daemon_client;
use crate::doctor::Findings;
use crate::doctor::database::describe_database_users;
use crate::http_client;
use crate::port_holder::{self, PortHolder};
use crate::runtime;
use crate::store::audit::alerts::AlertKind;
use crate::text::format_count;
use crate::tls::acme::progress::AcmeProgress;
use crate::tls::acme::{AcmeSettings, schedule};
use crate::tls::certificates::CertificateFiles;
use crate::tls::expiry::CertificateInfo;
use crate::tls::{TlsSettings, acme, certificates, expiry};
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};
use std::sync::Arc;
use std::time::Duration;

/// Longest time from a due renewal to its first attempt, which the daemon makes within minutes.
const RENEWAL_OVERDUE_AFTER: Duration = Duration::from_hours(2);
/// Longest wait for the daemon's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

pub(crate) fn check_tls(config: &Config, findings: &mut Findings) {
    check_certificate(config, findings);
    check_daemon_health(config, findings);
}

pub(crate) fn check_certificate(config: &Config, findings: &mut Findings) {
    let files = certificates::locate_certificate_files(&config.tls);
    let path = files.certificate.display();
    if !files.certificate.exists() {
        let fix = "Start the daemon once: it creates a self-signed pair. Or name a certificate in [tls].";
        return findings.add_failure("certificate", format!("{path} does not exist"), fix);
    }
    if let Err(error) = certificates::load_certified_key(&files) {
        let fix = if matches!(config.tls, TlsSettings::Acme(_)) {
            "systemctl restart novex-ingest sets it aside and requests a new one."
        } else {
            "Name a PEM file with the whole chain and its key, readable by the user novex-ingest."
        };
        return findings.add_failure("certificate", format!("{error:#}"), fix);
    }
    let info = match expiry::read_certificate_info(&files) {
        Ok(info) => info,
        Err(error) => {
            return findings.add_failure("certificate", format!("{error:#}"), "Replace it with a valid certificate.");
        }
    };
    if let TlsSettings::Acme(settings) = &config.tls {
        return check_acme_certificate(settings, &info, findings);
    }
    check_certificate_expiry(&files, &info, false, findings);
    if info.is_self_signed {
        let fix = match config.tls {
            TlsSettings::Files { .. } => "Replace it with a certificate of an authority.",
            _ => "Name a certificate of an authority in [tls], or request one with [tls.acme].",
        };
        findings.add_warning("certificate", "it is self-signed: Shopify and EasyPost do not send events to it", fix);
    } else {
        check_certificate_chain(&files, &info, false, findings);
    }
}

/// Checks the validity period. The daemon renews an ACME certificate (`is_acme`) itself.
fn check_certificate_expiry(files: &CertificateFiles, info: &CertificateInfo, is_acme: bool, findings: &mut Findings) {
    let now = Clock::system().now();
    let path = files.certificate.display();
    if info.not_before > now {
        let fix = "Check the clock of this machine: timedatectl";
        return findings.add_failure("certificate", format!("{path} is not valid yet"), fix);
    }
    let days = info.days_left(now);
    let names = info.names.join(", ");
    let message = if days < 0 {
        format!("{path} for {names} expired {} ago: no provider sends events", format_count(-days, "day", "days"))
    } else {
        format!("{path} for {names}: {} left", format_count(days, "day", "days"))
    };
    let fix = if is_acme {
        "The daemon renews it itself, and is late: see the check acme."
    } else {
        "Renew it: after it expires, no provider sends events."
    };
    let threshold = expiry::find_expiry_threshold(info, is_acme, now);
    if threshold.is_some() {
        let consequence = if days < 0 { "" } else { "; after that, no provider sends events" };
        findings.add_condition(
            AlertKind::CertificateExpiry,
            "",
            format!("the certificate {message}{consequence}"),
            format!("{fix} `novex-ingest doctor` has the details"),
        );
    }
    match threshold {
        None => findings.add_passed("certificate", message),
        // The daemon renews an ACME certificate long before its first threshold.
        Some(_) if days < 0 || is_acme => findings.add_failure("certificate", message, fix),
        Some(_) => findings.add_warning("certificate", message, fix),
    }
}

/// Checks that a sender can follow the chain to an authority that it trusts.
fn check_certificate_chain(files: &CertificateFiles, info: &CertificateInfo, is_acme: bool, findings: &mut Findings) {
    if info.chain_len == 1 {
        let fix = if is_acme {
            "The authority sends no chain: ask its operator."
        } else {
            "Use the file with the whole chain (certbot: fullchain.pem): some senders need the intermediates."
        };
        findings.add_warning("certificate", "its file holds no chain: some senders refuse it", fix);
    }
    let roots = http_client::load_system_roots();
    let (Ok(chain), false) = (certificates::read_certificate_chain(&files.certificate), roots.is_empty()) else {
        return;
    };
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(certificates::build_crypto_provider()))
            .build();
    let name = info.names.first().and_then(|name| ServerName::try_from(name.replace('*', "any")).ok());
    let (Ok(verifier), Some(name)) = (verifier, name) else { return };
    let now = Clock::system().now();
    let unix_time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0)));
    if let Err(error) = verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], unix_time)
        && info.days_left(now) >= 0
    {
        findings.add_warning(
            "certificate",
            format!("this machine does not trust it, and senders may not either: {error}"),
            "Check for a test authority (staging), a company's own authority, or a missing intermediate certificate.",
        );
    }
}

fn check_acme_certificate(settings: &AcmeSettings, info: &CertificateInfo, findings: &mut Findings) {
    let now = Clock::system().now();
    let files = CertificateFiles::from_single_file(settings.certificate_path());
    let progress = AcmeProgress::load(settings, now);
    let times = findings.times().clone();
    let format_at = |at: Timestamp| times.format_time_with_age(&format_timestamp(at));
    let is_issued = acme::is_issued_by_authority(settings) && settings.check_certificate(info).is_ok();
    let next_attempt = progress
        .next_attempt_at(now, is_issued)
        .map_or(String::new(), |at| format!("; the next attempt is at {}", format_at(at)));
    let fix = if progress.can_attempt_now(now, is_issued) {
        "Fix the cause; then `systemctl reload novex-ingest` tries at once."
    } else {
        "Fix the cause. The daemon does not try earlier, because the authority limits attempts."
    };
    if !is_issued {
        if !info.is_self_signed {
            check_certificate_expiry(&files, info, true, findings);
        }
        return report_missing_certificate(settings, info, &progress, &next_attempt, fix, findings);
    }
    check_certificate_expiry(&files, info, true, findings);
    check_certificate_chain(&files, info, true, findings);
    let due_at = schedule::compute_renewal_time(info, progress.suggested_renewal_at(settings));
    match progress.last_failure {
        Some((at, reason)) => {
            let message = format!("the renewal failed at {}: {reason}{next_attempt}", format_at(at));
            findings.add_warning("acme", message, fix);
        }
        None if is_renewal_overdue(due_at, now) => findings.add_failure(
            "acme",
            format!("the renewal has been due since {} without an attempt{next_attempt}", format_at(due_at)),
            "Start the daemon, or see its log: journalctl -u novex-ingest",
        ),
        None => findings.add_passed("acme", format!("the daemon renews it from {} on", format_at(due_at))),
    }
}

fn is_renewal_overdue(due_at: Timestamp, now: Timestamp) -> bool {
    add_duration(due_at, RENEWAL_OVERDUE_AFTER) < now
}

/// Reports that the authority has not issued a certificate for the configured names.
fn report_missing_certificate(
    settings: &AcmeSettings,
    current: &CertificateInfo,
    progress: &AcmeProgress,
    next_attempt: &str,
    fix: &str,
    findings: &mut Findings,
) {
    let names = settings.names.join(", ");
    let current = if current.is_self_signed {
        "the daemon uses a self-signed one, to which Shopify and EasyPost do not send events".to_owned()
    } else {
        format!("the daemon uses the previous one, for {}", current.names.join(", "))
    };
    let missing = format!("{} has issued no certificate for {names} yet; {current}", settings.directory_url);
    match &progress.last_failure {
        Some((at, reason)) => {
            let message = {
                let at = findings.format_time(&format_timestamp(*at));
                format!("{missing}. At {at}: {reason}{next_attempt}")
            };
            findings.add_failure("acme", message, fix);
        }
        None => findings.add_warning(
            "acme",
            format!("{missing}. The daemon requests it while it runs{next_attempt}"),
            "Wait a minute and check again. The log has more: journalctl -u novex-ingest",
        ),
    }
}

/// Requests /healthz at the daemon's own port, as a provider would.
fn check_daemon_health(config: &Config, findings: &mut Findings) {
    let to = daemon_client::to_local_address(config.server.listen);
    let request = Request::get("/healthz").header(header::HOST, "localhost").body(Full::default());
    let Ok(request) = request else { return };
    // A socket unit accepts connections also while its service does not start: only an answer counts.
    let answer = runtime::block_on(async {
        tokio::time::timeout(ANSWER_TIMEOUT, daemon_client::send_request(config, to, request)).await
    });
    let to_timeout_error =
        |_| anyhow::anyhow!("{to} accepts connections, but nobody answers: the service does not start or hangs");
    match answer.and_then(|answer| answer.map_err(to_timeout_error)?) {
        Ok((StatusCode::OK, _)) => findings.add_passed("daemon", format!("it answers on {to} and can store events")),
        Ok((status, body)) => findings.add_failure(
            "daemon",
            format!("/healthz answers {status}: {}", body.trim()),
            format!(
                "Close any other program that has the database open and may lock it; open in: {}. The log has more: \
                 journalctl -u novex-ingest",
                describe_database_users(&config.store.path)
            ),
        ),
        Err(error) => {
            let holder = port_holder::find_port_holder(config.server.listen, &config.store.path);
            if let Some(holder @ PortHolder::Stranger { .. }) = holder {
                findings.add_failure(
                    "daemon",
                    format!("{} is in use by {}", config.server.listen, holder.describe_program()),
                    "Stop that program, or set server.listen to another port; then start the service.",
                );
            } else {
                let fix = "systemctl status novex-ingest.socket novex-ingest; journalctl -u novex-ingest";
                findings.add_failure("daemon", format!("{error:#}"), fix);
            }
        }
    }
}
