//! The certificate, and whether the daemon answers with it.

use super::Findings;
use crate::acme::{self, Settings, progress::Progress, schedule};
use crate::cli::{clock, send, work};
use crate::clock::{after, text};
use crate::config::Config;
use crate::config::sections::Tls;
use crate::outbound;
use crate::server::expiry::Validity;
use crate::server::tls::Files;
use crate::server::{expiry, tls};
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};
use std::sync::Arc;
use std::time::Duration;

/// A renewal that is due is begun within minutes.
const OVERDUE: Duration = Duration::from_hours(2);
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
    if let Err(error) = tls::pair(&files) {
        if matches!(config.tls, Tls::Acme(_)) {
            let mend = "systemctl restart novex-ingest puts it aside and asks for another.";
            return findings.wrong("certificate", format!("{error:#}"), mend);
        }
        let mend = "Name a PEM file with the whole chain and its key, readable by the user novex-ingest.";
        return findings.wrong("certificate", format!("{error:#}"), mend);
    }
    let validity = match expiry::read(&files) {
        Ok(validity) => validity,
        Err(error) => return findings.wrong("certificate", format!("{error:#}"), "Put a sound one there."),
    };
    if let Tls::Acme(settings) = &config.tls {
        return acme(settings, &validity, findings);
    }
    lifetime(&files, &validity, false, findings);
    if validity.is_self_signed {
        let mend = match config.tls {
            Tls::Files { .. } => "Put one of an authority there.",
            _ => "Name a certificate of an authority in [tls], or have one got by [tls.acme].",
        };
        findings.note("certificate", "it is self-signed: Shopify and EasyPost deliver to no such address", mend);
    } else {
        chain(&files, &validity, false, findings);
    }
}

/// Whether it is valid, and for how long.
fn lifetime(files: &Files, validity: &Validity, is_kept: bool, findings: &mut Findings) {
    let now = clock().now();
    let shown = files.certificate.display();
    let days = validity.days_left(now);
    let said = format!("{shown}: {days} days left, for {}", validity.names.join(", "));
    let renew = if is_kept {
        "The daemon renews it by itself, and that is late: see below."
    } else {
        "Renew it: when it has ended no provider delivers any more."
    };
    if validity.not_before > now {
        return findings.wrong("certificate", format!("{shown} is not valid yet"), "Check this box's clock.");
    }
    match expiry::warned(validity, is_kept, now) {
        None => findings.well("certificate", said),
        // One that the daemon keeps should never come so far.
        Some(_) if days < 0 || is_kept => findings.wrong("certificate", said, renew),
        Some(_) => findings.note("certificate", said, renew),
    }
}

/// Whether those who deliver can follow it to an authority that they trust.
fn chain(files: &Files, validity: &Validity, is_kept: bool, findings: &mut Findings) {
    if validity.chain == 1 {
        let mend =
            "Use the file with the whole chain (certbot: fullchain.pem): some senders need the certificates between.";
        let mend = if is_kept { "The authority gives none: ask its operator." } else { mend };
        findings.note("certificate", "its file holds no chain", mend);
    }
    let roots = outbound::system_roots();
    let (Ok(chain), false) = (tls::certificates(&files.certificate), roots.is_empty()) else { return };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(tls::provider())).build();
    let name = validity.names.first().and_then(|name| ServerName::try_from(name.replace('*', "any")).ok());
    let (Ok(verifier), Some(name)) = (verifier, name) else { return };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(clock().now().as_second()).unwrap_or(0)));
    if let Err(error) = verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now)
        && validity.days_left(clock().now()) >= 0
    {
        findings.note(
            "certificate",
            format!("this box does not trust it, and so may those who deliver: {error}"),
            "Is it a trial authority's (staging), a company's own, or is a certificate between missing in the file?",
        );
    }
}

/// How it stands with the authority.
fn acme(settings: &Settings, validity: &Validity, findings: &mut Findings) {
    let now = clock().now();
    let files = Files::one(settings.certificate());
    let progress = Progress::load(settings, now);
    let names = settings.names.join(", ");
    let has = acme::is_from(settings) && settings.fits(validity).is_ok();
    let next = progress.next(now, has).map_or(String::new(), |at| format!("; the next attempt is at {}", text(at)));
    let mend = if progress.may_ask(now, has) {
        "Mend that, then `systemctl reload novex-ingest` tries at once."
    } else {
        "Mend that; it is not tried sooner, because the authority counts attempts."
    };
    if !has {
        if !validity.is_self_signed {
            lifetime(&files, validity, true, findings);
        }
        let there = if validity.is_self_signed {
            "a self-signed one serves, and Shopify and EasyPost deliver to no such address".to_owned()
        } else {
            format!("one for {} serves, from before", validity.names.join(", "))
        };
        return match progress.last_failure {
            Some((at, reason)) => {
                let said = format!(
                    "there is none for {names} from {} yet, {there}. At {}: {reason}{next}",
                    settings.directory,
                    text(at)
                );
                findings.wrong("acme", said, mend);
            }
            None => findings.note(
                "acme",
                format!(
                    "there is none for {names} from {} yet, {there}; it is asked for while the daemon runs{next}",
                    settings.directory
                ),
                "Wait a minute and look again; the log says more: journalctl -u novex-ingest.",
            ),
        };
    }
    lifetime(&files, validity, true, findings);
    chain(&files, validity, true, findings);
    let due = schedule::renewal(validity, progress.suggested(settings));
    match progress.last_failure {
        Some((at, reason)) => {
            findings.note("acme", format!("its renewal failed at {}: {reason}{next}", text(at)), mend);
        }
        None if after(due, OVERDUE) < now => findings.wrong(
            "acme",
            format!("its renewal is due since {}, and nobody has asked for it{next}", text(due)),
            "Is the daemon running? journalctl -u novex-ingest",
        ),
        None => findings.well("acme", format!("it is renewed by itself from {} on", text(due))),
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
