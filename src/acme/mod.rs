//! A certificate from an authority that speaks ACME (RFC 8555), got and renewed without anybody.
//!
//! The names are proved by TLS-ALPN-01 (RFC 8737) on the daemon's own port: the authority connects to port 443 of each name and
//! asks for the protocol `acme-tls/1`, which [`crate::server::challenge`] answers. No second port, no web server, no DNS access.
//!
//! [`run`] is the whole of it. `keeper` does what is due: `schedule` says when, `order` gets one certificate by `account` over
//! `http`, `trouble` says what a failure means. `progress` and `kept` are what is remembered over restarts, so that a daemon that
//! starts again and again does not use up the authority's limits, and nothing that was issued is thrown away. Until there is a
//! certificate the self-signed pair of [`crate::server::tls`] serves.

mod account;
mod http;
mod keeper;
mod kept;
mod order;
pub mod progress;
pub mod schedule;
mod trouble;

use crate::clock::Clock;
use crate::secret::Secret;
use crate::server::challenge::Challenges;
use crate::server::expiry::Validity;
use crate::server::tls::Holder;
use anyhow::ensure;
use keeper::Keeper;
use progress::Progress;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::error;

pub use kept::{current, is_from};

/// Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Longest sleep: the clock may be set meanwhile.
const LOOK_EVERY: Duration = Duration::from_hours(1);

/// What `[tls.acme]` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The certificate's names, in lower case. Port 443 of each must lead to this daemon.
    pub names: Vec<String>,
    /// Where the authority may write to.
    pub email: Option<String>,
    /// The URL of the authority's directory (RFC 8555, 7.1.1).
    pub directory: String,
    /// PEM that is trusted for the directory itself, in place of the system's authorities: for one inside a company.
    pub ca_file: Option<PathBuf>,
    /// An account that exists at the authority already (RFC 8555, 7.3.4): its key's id, and the key as the authority shows it, base64url.
    pub binding: Option<(String, Secret)>,
    /// Where certificate, account and progress are kept.
    pub folder: PathBuf,
}

impl Settings {
    /// The private key and the chain, in one file: there is no moment at which they do not fit.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// The names, however they were ordered.
    fn sorted_names(&self) -> Vec<String> {
        let mut names = self.names.clone();
        names.sort();
        names
    }

    /// Whether a certificate is one for these names.
    ///
    /// # Errors
    /// Why not.
    pub fn fits(&self, validity: &Validity) -> anyhow::Result<()> {
        ensure!(!validity.is_self_signed, "it is self-signed");
        for name in &self.names {
            let is_for = validity.names.iter().any(|own| own.eq_ignore_ascii_case(name));
            ensure!(is_for, "it is not for {name}");
        }
        ensure!(validity.not_after > validity.not_before, "it ends before it begins");
        Ok(())
    }
}

/// Keeps a certificate for the settings that hold now, until it is aborted. Whenever they are sent again, changed or not, what is due
/// is tried at once.
pub async fn run(settings: watch::Receiver<Settings>, holder: Holder, challenges: Challenges, clock: Clock) {
    loop {
        let mut task = JoinSet::new();
        task.spawn(keep(settings.clone(), holder.clone(), challenges.clone(), clock.clone()));
        match task.join_next().await {
            Some(Err(fault)) if fault.is_panic() => {
                error!(
                    "a fault in novex-ingest itself while it asked for a certificate: {fault}. It goes on in an hour"
                );
                tokio::time::sleep(LOOK_EVERY).await;
            }
            _ => return,
        }
    }
}

async fn keep(mut current: watch::Receiver<Settings>, holder: Holder, challenges: Challenges, clock: Clock) {
    let mut settings = current.borrow_and_update().clone();
    let mut progress = Progress::load(&settings, clock.now());
    // Whoever starts the daemon wants what is due to be tried.
    let mut asked = true;
    loop {
        let keeper = Keeper { settings: &settings, holder: &holder, challenges: &challenges, clock: &clock };
        let wait = keeper.step(&mut progress, asked).await;
        asked = false;
        tokio::select! {
            () = tokio::time::sleep(wait.min(LOOK_EVERY)) => {}
            changed = current.changed() => {
                if changed.is_err() {
                    return;
                }
                asked = true;
                let new = current.borrow_and_update().clone();
                if new != settings {
                    settings = new;
                    progress = Progress::load(&settings, clock.now());
                }
            }
        }
    }
}
