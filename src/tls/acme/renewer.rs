//! Does the work that is due: gets a certificate, installs it, and asks the authority when to renew.

use crate::clock::{Clock, Timestamp, add_duration, format_timestamp};
use crate::http_client;
use crate::tls::acme::account::AccountStore;
use crate::tls::acme::error::AcmeError;
use crate::tls::acme::http::AcmeHttpClient;
use crate::tls::acme::progress::AcmeProgress;
use crate::tls::acme::{AcmeSettings, order, schedule, storage};
use crate::tls::certificates::CertificateResolver;
use crate::tls::challenge::ChallengeResolver;
use crate::tls::expiry::CertificateInfo;
use crate::tls::{certificates, expiry};
use anyhow::{Context, ensure};
use instant_acme::CertificateIdentifier;
use std::time::Duration;
use tokio::time::timeout;
use tracing::{error, info, warn};

/// Longest time of one request to the authority.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time of one order, from its start to the certificate.
const ORDER_TIMEOUT: Duration = Duration::from_mins(5);
/// Retries of an order after a refused nonce, which is no fault of the order. The library repeats each request too.
const NONCE_RETRIES_MAX: u32 = 3;
/// Shortest sleep between two checks.
const SLEEP_MIN: Duration = Duration::from_millis(500);

pub(crate) struct CertificateRenewer<'k> {
    pub settings: &'k AcmeSettings,
    pub resolver: &'k CertificateResolver,
    pub challenges: &'k ChallengeResolver,
    pub clock: &'k Clock,
}

impl CertificateRenewer<'_> {
    /// Does the work that is due. Returns how long nothing else is due. `is_requested`: somebody asked for it now.
    pub async fn run_due_work(&self, progress: &mut AcmeProgress, is_requested: bool) -> Duration {
        let now = self.clock.now();
        let own = storage::read_current_certificate(self.settings);
        let due = own.as_ref().map_or(Timestamp::MIN, |own| {
            schedule::compute_renewal_time(own, progress.suggested_renewal_at(self.settings))
        });
        let allowed = progress.earliest_attempt_at(now, is_requested, own.is_some());
        if due.max(allowed) <= now {
            self.attempt_renewal(progress, own.as_ref(), is_requested).await;
            return SLEEP_MIN;
        }
        if due <= now && is_requested {
            let reason = progress.last_failure.as_ref().map_or("an attempt was made just now", |(_, reason)| reason);
            warn!(
                "the certificate for {} is due, but the next attempt is at {}: {reason}. {}",
                self.settings.names.join(", "),
                format_timestamp(allowed),
                self.describe_impact()
            );
        }
        let info_due_at = if own.is_some() { progress.renewal_info_due_at(now) } else { Timestamp::MAX };
        if let Some(own) = own.filter(|_| info_due_at <= now) {
            self.update_renewal_info(progress, &own).await;
            // The suggestion may make a renewal due.
            return Duration::ZERO;
        }
        let until = due.max(allowed).min(info_due_at).duration_since(now);
        Duration::try_from(until).unwrap_or(Duration::ZERO).max(SLEEP_MIN)
    }

    /// Returns the consequence of a failure for events.
    fn describe_impact(&self) -> &'static str {
        match expiry::read_certificate_info(&certificates::CertificateFiles::from_single_file(
            self.settings.certificate_path(),
        )) {
            Ok(current) if !current.is_self_signed && current.not_after > self.clock.now() => {
                "The daemon keeps the current certificate"
            }
            Ok(current) if !current.is_self_signed => "The current certificate expired, and no provider delivers",
            _ => "No provider delivers before there is one, unless it accepts the current certificate",
        }
    }

    async fn attempt_renewal(&self, progress: &mut AcmeProgress, own: Option<&CertificateInfo>, is_requested: bool) {
        let names = self.settings.names.join(", ");
        // Stored before the attempt: a process that dies during it does not try again at once. If the progress cannot
        // be stored, neither can a certificate, so the daemon does not request one.
        progress.record_attempt(self.clock.now(), is_requested);
        let result = if let Err(error) = progress.save(self.settings) {
            Err(AcmeError::transient(format!(
                "the daemon could not store a certificate: {error:#}; the directory must belong to the service \
                 and have free space"
            )))
        } else {
            info!("the daemon requests a certificate for {names} from {}", self.settings.directory_url);
            let late = |_| Err(AcmeError::transient("the order took longer than five minutes"));
            timeout(ORDER_TIMEOUT, self.obtain_certificate(own.is_some())).await.unwrap_or_else(late)
        };
        self.challenges.clear();
        match result.and_then(|pem| self.install_certificate(&pem)) {
            Ok(new) => {
                info!(
                    "the new certificate for {names} is in use; it is valid until {}",
                    format_timestamp(new.not_after)
                );
                progress.record_success(add_duration(self.clock.now(), schedule::compute_renewal_pause(&new)));
            }
            Err(error) => {
                let now = self.clock.now();
                let next = error.next_attempt(progress.consecutive_failures, now, own.map(|own| own.not_after));
                progress.record_failure(now, &error.message, next);
                error!(
                    "the daemon got no certificate for {names}: {}. {}. The next attempt is at {}{}",
                    error.message,
                    self.describe_impact(),
                    format_timestamp(progress.earliest_attempt_at(now, false, own.is_some())),
                    if progress.can_attempt_now(now, own.is_some()) {
                        ", or at once with `systemctl reload novex-ingest`"
                    } else {
                        ""
                    }
                );
            }
        }
        self.save_progress(progress);
    }

    /// Returns private key and chain, as PEM.
    async fn obtain_certificate(&self, is_renewal: bool) -> Result<String, AcmeError> {
        let http = self.build_http_client().map_err(|error| AcmeError::needs_operator(format!("{error:#}")))?;
        let accounts = AccountStore { settings: self.settings, http: &http };
        let orders = order::OrderClient { settings: self.settings, http: &http, challenges: self.challenges };
        let replaces = if is_renewal { storage::read_certificate_id(self.settings) } else { None };
        let mut account = accounts.load_or_create().await?;
        let (mut nonce_retries, mut is_new_account) = (0, false);
        loop {
            match orders.obtain_certificate(&account, replaces.as_ref()).await {
                Err(error) if error.is_account_lost() && !is_new_account => {
                    is_new_account = true;
                    accounts.delete_stored();
                    account = accounts.load_or_create().await?;
                }
                Err(error) if error.is_stale_nonce() && nonce_retries < NONCE_RETRIES_MAX => nonce_retries += 1,
                result => return result,
            }
        }
    }

    fn build_http_client(&self) -> anyhow::Result<AcmeHttpClient> {
        let roots =
            http_client::load_root_certificates(self.settings.ca_file.as_deref()).context("tls.acme.ca_file")?;
        let tls = http_client::build_tls_config(roots)?.with_no_client_auth();
        Ok(AcmeHttpClient::new(http_client::http_client_builder(tls, REQUEST_TIMEOUT).build()?, self.clock.clone()))
    }

    /// Checks a new certificate, replaces the current one by it, and starts to use it.
    fn install_certificate(&self, pem: &str) -> Result<CertificateInfo, AcmeError> {
        let not_stored = |error: anyhow::Error| AcmeError::transient(format!("{error:#}"));
        let new = storage::CertificateCandidate::write(self.settings, pem).map_err(not_stored)?;
        let files = certificates::CertificateFiles::from_single_file(new.path.clone());
        let info = certificates::load_certified_key(&files)
            .and_then(|_| expiry::read_certificate_info(&files))
            .and_then(|info| {
                self.settings.check_certificate(&info)?;
                ensure!(info.not_after > self.clock.now(), "it expired at {}", format_timestamp(info.not_after));
                Ok(info)
            });
        let info = info.map_err(|error| {
            // Do not fetch it again, and do not request another unusable one every minute.
            storage::delete_pending_order(self.settings);
            AcmeError::needs_operator(format!("the certificate from the authority cannot be used: {error:#}"))
        })?;
        new.install().map_err(not_stored)?;
        storage::delete_pending_order(self.settings);
        self.resolver.reload();
        Ok(info)
    }

    /// Asks the authority when to renew (RFC 9773), and stores its suggestion until the next request.
    async fn update_renewal_info(&self, progress: &mut AcmeProgress, own: &CertificateInfo) {
        let now = self.clock.now();
        // The authority may have no suggestion: RFC 9773, 4.3.3, then treats it as absent.
        progress.renewal_info_due_at = add_duration(now, schedule::RENEWAL_INFO_INTERVAL);
        if let Some((identifier, info, wait)) = self.fetch_renewal_info().await {
            let window = &info.suggested_window;
            let seconds = (window.start.unix_timestamp(), window.end.unix_timestamp());
            progress.renewal_info_due_at =
                add_duration(now, wait.clamp(schedule::RENEWAL_INFO_INTERVAL_MIN, schedule::RENEWAL_INFO_INTERVAL_MAX));
            if progress.record_suggestion(&identifier.to_string(), seconds, |length| fastrand::i64(0..=length))
                && progress
                    .suggested_renewal_at(self.settings)
                    .is_some_and(|at| at <= now && at < schedule::compute_renewal_time(own, None))
            {
                warn!(
                    "the authority asks to renew the certificate now{}",
                    info.explanation_url.map_or(String::new(), |url| format!(", see {url}"))
                );
            }
        }
        self.save_progress(progress);
    }

    async fn fetch_renewal_info(
        &self,
    ) -> Option<(CertificateIdentifier<'static>, instant_acme::RenewalInfo, Duration)> {
        let http = self.build_http_client().ok()?;
        let identifier = storage::read_certificate_id(self.settings)?;
        let account = AccountStore { settings: self.settings, http: &http }.load_or_create().await.ok()?;
        let (info, wait) = account.renewal_info(&identifier).await.ok()?;
        Some((identifier, info, wait))
    }

    fn save_progress(&self, progress: &AcmeProgress) {
        if let Err(error) = progress.save(self.settings) {
            warn!("{error:#}. After a restart the daemon does not know its failed attempts");
        }
    }
}
