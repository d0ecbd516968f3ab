//! Reload on SIGHUP: reads the configuration again while all parts run.
//!
//! These changes apply at once: shops and their secrets, the other providers, the certificate, the settings for its
//! ACME authority, and retention. For other changes the log names the sections, and a restart applies them. Under
//! systemd a restart refuses no connection. A configuration with errors changes nothing.

use crate::app::build::build_authenticators;
use crate::config::{Config, SecretLoading};
use crate::queue::retention::RetentionSettings;
use crate::server::ServerState;
use crate::tls::{TlsSettings, acme};
use sd_notify::NotifyState;
use tokio::sync::watch;
use tracing::{error, info, warn};

/// Handles through which a reload changes the running parts.
pub(crate) struct ReloadTargets<'r> {
    pub server: &'r ServerState,
    /// Changes when the certificate must be read again.
    pub certificate_reloads: &'r watch::Sender<u64>,
    /// Settings for the ACME authority, if there is one. A new value makes the renewer try at once.
    pub acme_settings: Option<&'r watch::Sender<acme::AcmeSettings>>,
    pub retention: &'r watch::Sender<RetentionSettings>,
}

/// Reads the configuration file again and applies it. Returns the new configuration, or None if it has errors.
pub(crate) fn reload_config(old: &Config, targets: &ReloadTargets<'_>) -> Option<Config> {
    // The service manager waits for the notification Ready below.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        let _ = sd_notify::notify(&[NotifyState::Reloading, now]);
    }
    targets.certificate_reloads.send_modify(|count| *count += 1);
    let new = match Config::load(&old.path, SecretLoading::All) {
        Ok(new) => {
            for warning in &new.warnings {
                warn!("{warning}");
            }
            targets.server.replace_authenticators(build_authenticators(&new));
            targets.retention.send_replace(new.retention.clone());
            if let (Some(acme_settings), TlsSettings::Acme(settings)) = (targets.acme_settings, &new.tls) {
                // The state directory depends on the directory of the database, which only a restart changes.
                let state_directory = if let TlsSettings::Acme(running) = &old.tls {
                    running.state_directory.clone()
                } else {
                    settings.state_directory.clone()
                };
                acme_settings.send_replace(acme::AcmeSettings { state_directory, ..settings.clone() });
            }
            let sections = find_sections_needing_restart(old, &new);
            if sections.is_empty() {
                info!("the daemon reloaded the configuration; all changes apply now");
            } else {
                warn!(
                    "the daemon reloaded the configuration; shops, the secrets of all providers and retention apply \
                     now, but changes in {} need a restart: systemctl restart novex-ingest",
                    sections.join(", ")
                );
            }
            Some(new)
        }
        Err(errors) => {
            error!("the configuration has errors; the daemon continues with the previous one: {errors}");
            None
        }
    };
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    new
}

/// Returns the changed sections that need a restart.
fn find_sections_needing_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let both_acme = matches!((&old.tls, &new.tls), (TlsSettings::Acme(_), TlsSettings::Acme(_)));
    // Without the secrets of poll requests, which apply at once.
    let polling = |config: &Config| config.sps.clone().map(|sps| (sps.interval, sps.sources, sps.outbound));
    let login_errors = |config: &Config| config.keycloak.as_ref().map(|keycloak| keycloak.login_errors);
    let sections = [
        ("[server]", old.server != new.server),
        ("[tls]", !both_acme && old.tls != new.tls),
        ("[store]", old.store != new.store),
        ("[worker]", old.worker != new.worker),
        ("[sps]", polling(old) != polling(new)),
        ("[[destinations]]", old.destinations != new.destinations),
        ("[console]", old.console != new.console),
        ("[privacy]", old.privacy != new.privacy),
        ("[log]", old.log != new.log),
        ("keycloak.login_errors", login_errors(old) != login_errors(new)),
    ];
    sections.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}
