//! Gets and renews a certificate from an ACME authority (RFC 8555), without an operator.
//!
//! The authority checks the names by TLS-ALPN-01 (RFC 8737) on the daemon's own port: it connects to port 443 of each
//! name and asks for the protocol `acme-tls/1`, which [`crate::tls::challenge`] answers. This needs no second port, no
//! web server and no DNS access.
//!
//! [`run_renewer`] is the entry point. `renewer` does the work that is due: `schedule` computes when, `order` gets one
//! certificate through `account` and `http`, `error` classifies failures. `progress` and `storage` survive restarts, so
//! that a daemon that restarts often does not use up the authority's limits, and never discards an issued certificate.
//! Until there is a certificate, the daemon uses a self-signed one.

pub mod account;
pub mod error;
pub mod http;
pub mod order;
pub mod progress;
pub mod renewer;
pub mod schedule;
pub mod storage;

use crate::clock::Clock;
use crate::secret::Secret;
use crate::tls::certificates::CertificateResolver;
use crate::tls::challenge::ChallengeResolver;
use crate::tls::expiry::CertificateInfo;
use anyhow::ensure;
use progress::AcmeProgress;
use renewer::CertificateRenewer;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::error;

pub use storage::{is_issued_by_authority, read_current_certificate};

/// Directory of Let's Encrypt, the default authority.
pub const LETS_ENCRYPT_DIRECTORY_URL: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Longest sleep between two checks: somebody may set the clock meanwhile.
const RENEW_CHECK_INTERVAL: Duration = Duration::from_hours(1);

/// Settings of `[tls.acme]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSettings {
    /// Names of the certificate, in lower case. Port 443 of each must lead to this daemon.
    pub names: Vec<String>,
    /// Address that the authority may write to.
    pub email: Option<String>,
    /// URL of the authority's directory (RFC 8555, 7.1.1).
    pub directory_url: String,
    /// PEM file with the roots to trust for the directory, instead of the system's: for an authority inside a company.
    pub ca_file: Option<PathBuf>,
    /// Account that exists at the authority (RFC 8555, 7.3.4): the id of its key, and the key in base64url, as the
    /// authority shows it.
    pub external_account: Option<(String, Secret)>,
    /// Directory of certificate, account and progress.
    pub state_directory: PathBuf,
}

impl AcmeSettings {
    /// Returns the path of the file with the private key and the chain. One file: they always match.
    #[must_use]
    pub fn certificate_path(&self) -> PathBuf {
        self.state_directory.join("certificate.pem")
    }

    /// Returns the names in alphabetical order, for comparison.
    fn sorted_names(&self) -> Vec<String> {
        let mut names = self.names.clone();
        names.sort();
        names
    }

    /// Checks whether a certificate is one for these names.
    ///
    /// # Errors
    /// The reason why it is not.
    pub fn check_certificate(&self, info: &CertificateInfo) -> anyhow::Result<()> {
        ensure!(!info.is_self_signed, "it is self-signed");
        for name in &self.names {
            let is_valid_for = info.names.iter().any(|own| own.eq_ignore_ascii_case(name));
            ensure!(is_valid_for, "it is not valid for {name}");
        }
        ensure!(info.not_after > info.not_before, "it expires before it becomes valid");
        Ok(())
    }
}

/// Keeps a certificate for the current settings. Runs until its task is aborted.
///
/// Each time somebody sends the settings again, changed or not, the renewer tries at once what is due.
pub async fn run_renewer(
    settings: watch::Receiver<AcmeSettings>,
    resolver: CertificateResolver,
    challenges: ChallengeResolver,
    clock: Clock,
) {
    loop {
        let mut task = JoinSet::new();
        task.spawn(renew_until_aborted(settings.clone(), resolver.clone(), challenges.clone(), clock.clone()));
        match task.join_next().await {
            Some(Err(panic)) if panic.is_panic() => {
                error!(
                    "a bug in novex-ingest stopped the certificate renewal: {panic}. The next attempt is in an hour"
                );
                tokio::time::sleep(RENEW_CHECK_INTERVAL).await;
            }
            _ => return,
        }
    }
}

async fn renew_until_aborted(
    mut current: watch::Receiver<AcmeSettings>,
    resolver: CertificateResolver,
    challenges: ChallengeResolver,
    clock: Clock,
) {
    let mut settings = current.borrow_and_update().clone();
    let mut progress = AcmeProgress::load(&settings, clock.now());
    // A start of the daemon counts as a request for what is due.
    let mut is_requested = true;
    loop {
        let renewer =
            CertificateRenewer { settings: &settings, resolver: &resolver, challenges: &challenges, clock: &clock };
        let wait = renewer.run_due_work(&mut progress, is_requested).await;
        is_requested = false;
        tokio::select! {
            () = tokio::time::sleep(wait.min(RENEW_CHECK_INTERVAL)) => {}
            changed = current.changed() => {
                if changed.is_err() {
                    return;
                }
                is_requested = true;
                let new = current.borrow_and_update().clone();
                if new != settings {
                    settings = new;
                    progress = AcmeProgress::load(&settings, clock.now());
                }
            }
        }
    }
}
