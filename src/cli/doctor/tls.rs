//! The certificate, and whether the daemon answers with it.

use super::Findings;
use crate::acme::{Settings, progress::Progress, schedule};
use crate::cli::{clock, send, work};
use crate::clock::text;
use crate::config::Config;
use crate::config::sections::Tls;
use crate::server::expiry::Validity;
use crate::server::{expiry, tls};
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use std::time::Duration;

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(8);

pub(super) fn look(config: &Config, findings: &mut Findings) {
    certificate(config, findings);
    answers(config, findings);
}

fn certificate(config: &Config, findings: &mut Findings) {
    let files = tls::files(&config.tls);
    let shown = files.certificate.display();
    if !files.certificate.exists() {
        let mend = "Start the daemon once: it makes a self-signed pair; or name a certificate in [tls].";
        return findings.wrong("certificate", format!("{shown} is not there"), mend);
    }
    if let Err(error) = tls::Holder::load(&config.tls) {
        let mend = "Name a PEM file with the whole chain and its key, readable by the user novex-ingest.";
        return findings.wrong("certificate", format!("{error:#}"), mend);
    }
    let validity = match expiry::read(&files) {
        Ok(validity) => validity,
        Err(error) => return findings.wrong("certificate", format!("{error:#}"), "Put a sound one there."),
    };
    let now = clock().now();
    let days = validity.days_left(now);
    let said = format!("{shown}: {days} days left, for {}", validity.names.join(", "));
    let renew = "Renew it: when it has ended no provider delivers any more.";
    if validity.not_before > now {
        findings.wrong("certificate", format!("{shown} is not valid yet"), "Check this box's clock.");
    } else if days < 0 {
        findings.wrong("certificate", said, renew);
    } else if days <= 21 {
        findings.note("certificate", said, renew);
    } else {
        findings.well("certificate", said);
    }
    if let Tls::Acme(settings) = &config.tls {
        return acme(settings, &validity, findings);
    }
    if validity.is_self_signed {
        let mend = match config.tls {
            Tls::Files { .. } => "Put one of an authority there.",
            _ => "Name a certificate of an authority in [tls], or have one got by [tls.acme].",
        };
        findings.note("certificate", "it is self-signed: Shopify and EasyPost deliver to no such address", mend);
    } else if validity.chain == 1 {
        let mend =
            "Use the file with the whole chain (certbot: fullchain.pem): some senders need the certificates between.";
        findings.note("certificate", "its file holds no chain", mend);
    }
}

/// How it stands with the authority.
fn acme(settings: &Settings, validity: &Validity, findings: &mut Findings) {
    let progress = Progress::load(settings);
    let next = progress.next_attempt.map_or(String::new(), |at| format!("; the next attempt is at {}", text(at)));
    let mend = "Mend that, then `systemctl reload novex-ingest` tries at once.";
    match progress.last_failure {
        Some((at, reason)) if validity.is_self_signed => {
            let said = format!("there is none from {} yet. At {}: {reason}{next}", settings.directory, text(at));
            findings.wrong("acme", said, mend);
        }
        Some((at, reason)) => {
            findings.note("acme", format!("its renewal failed at {}: {reason}{next}", text(at)), mend);
        }
        None if validity.is_self_signed => {
            let mend = "Wait a minute and look again; the log says more: journalctl -u novex-ingest.";
            findings.note("acme", format!("it is being asked for at {}", settings.directory), mend);
        }
        None => findings
            .well("acme", format!("it is renewed by itself from {} on", text(schedule::renewal(validity, None)))),
    }
}

/// The daemon at its own port, by the way of a provider.
fn answers(config: &Config, findings: &mut Findings) {
    let to = send::reachable(config.server.listen);
    let request = Request::get("/healthz").header(header::HOST, "localhost").body(Full::default());
    let Ok(request) = request else { return };
    // A socket unit accepts also while its service does not start.
    let answer = work::block_on(async { tokio::time::timeout(PATIENCE, send::deliver(config, to, request)).await });
    let late = |_| anyhow::anyhow!("{to} is listened on, and nobody answers: the service does not start or hangs");
    match answer.and_then(|answer| answer.map_err(late)?) {
        Ok((StatusCode::OK, _)) => findings.well("daemon", format!("it answers on {to} and can store")),
        Ok((status, body)) => {
            findings.wrong(
                "daemon",
                format!("/healthz says {status}: {}", body.trim()),
                "The log says more: journalctl -u novex-ingest.",
            );
        }
        Err(error) => {
            let mend = "systemctl status novex-ingest.socket novex-ingest; journalctl -u novex-ingest";
            findings.wrong("daemon", format!("{error:#}"), mend);
        }
    }
}
