//! SIGHUP: the configuration is read again while everything goes on.
//!
//! At once: who may deliver and by which secrets, the certificate and what is asked of its authority, retention. What else differs is named, and waits for a restart,
//! which under systemd refuses no connection. A file with mistakes changes nothing.

use super::serve::doors;
use crate::acme;
use crate::config::sections::Tls;
use crate::config::{Config, Secrets};
use crate::queue::janitor::Retention;
use crate::server::Shared;
use sd_notify::NotifyState;
use tokio::sync::watch;
use tracing::{error, info, warn};

/// What can be changed without a restart.
pub(super) struct Running<'r> {
    pub shared: &'r Shared,
    /// Changes when the certificate is to be read again.
    pub certificate: &'r watch::Sender<u64>,
    /// What is asked of the certificate's authority, if one gives it: sending it again has what is due tried at once.
    pub authority: Option<&'r watch::Sender<acme::Settings>>,
    pub retention: &'r watch::Sender<Retention>,
}

/// Reads the file of `old` again; gives what holds from now on.
pub(super) fn reload(old: &Config, running: &Running<'_>) -> Option<Config> {
    // The service manager waits until it is told that it is over.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        let _ = sd_notify::notify(&[NotifyState::Reloading, now]);
    }
    running.certificate.send_modify(|count| *count += 1);
    let read = Config::load(&old.path, Secrets::Load);
    let new = match read {
        Ok(new) => {
            for warning in &new.warnings {
                warn!("{warning}");
            }
            running.shared.replace_doors(doors(&new));
            running.retention.send_replace(new.retention.clone());
            if let (Some(authority), Tls::Acme(settings)) = (running.authority, &new.tls) {
                // Where it is kept goes with the database's directory, which waits for a restart.
                let folder = if let Tls::Acme(running) = &old.tls { &running.folder } else { &settings.folder };
                authority.send_replace(acme::Settings { folder: folder.clone(), ..settings.clone() });
            }
            let waiting = waiting(old, &new);
            if waiting.is_empty() {
                info!("the configuration was read again and holds from now on");
            } else {
                warn!(
                    "the configuration was read again: shops, their secrets and the other providers', and retention hold from now on; {} differ and wait for a restart: \
                     systemctl restart novex-ingest",
                    waiting.join(", ")
                );
            }
            Some(new)
        }
        Err(mistakes) => {
            error!("the configuration has mistakes, so that everything stays as it was: {mistakes}");
            None
        }
    };
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    new
}

/// The sections that differ and need a restart.
fn waiting(old: &Config, new: &Config) -> Vec<&'static str> {
    let both_acme = matches!((&old.tls, &new.tls), (Tls::Acme(_), Tls::Acme(_)));
    // Without the bearer, which holds at once.
    let polled = |config: &Config| config.sps.clone().map(|sps| (sps.interval, sps.sources, sps.outgoing));
    let login_errors = |config: &Config| config.keycloak.as_ref().map(|keycloak| keycloak.login_errors);
    let sections = [
        ("[server]", old.server != new.server),
        ("[tls]", !both_acme && old.tls != new.tls),
        ("[store]", old.store != new.store),
        ("[worker]", old.worker != new.worker),
        ("[sps]", polled(old) != polled(new)),
        ("[[destinations]]", old.destinations != new.destinations),
        ("[log]", old.log != new.log),
        ("login_errors of [keycloak]", login_errors(old) != login_errors(new)),
    ];
    sections.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}
