//! Doing what is due: asking for a certificate, putting it in its place, asking the authority when to renew.

use super::account::Accounts;
use super::http::Http;
use super::progress::Progress;
use super::trouble::Trouble;
use super::{Settings, kept, order, schedule};
use crate::clock::{Clock, Timestamp, after, text};
use crate::outbound;
use crate::server::challenge::Challenges;
use crate::server::expiry::{self, Validity};
use crate::server::tls::{self, Holder};
use anyhow::{Context, ensure};
use instant_acme::CertificateIdentifier;
use std::time::Duration;
use tokio::time::timeout;
use tracing::{error, info, warn};

/// One request to the authority.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// One order from its beginning to the certificate.
const ORDER_TIMEOUT: Duration = Duration::from_mins(5);
/// How often an order is gone on with because a nonce was refused, which says nothing about it; each request is repeated by itself too.
const NONCES_MAX: u32 = 3;
/// Shortest sleep, whatever the times are.
const SHORTEST: Duration = Duration::from_millis(500);

pub(super) struct Keeper<'k> {
    pub settings: &'k Settings,
    pub holder: &'k Holder,
    pub challenges: &'k Challenges,
    pub clock: &'k Clock,
}

impl Keeper<'_> {
    /// Does what is due; gives how long there is nothing to do. `asked`: somebody wants it now.
    pub async fn step(&self, progress: &mut Progress, asked: bool) -> Duration {
        let now = self.clock.now();
        let own = kept::current(self.settings);
        let due = own.as_ref().map_or(Timestamp::MIN, |own| schedule::renewal(own, progress.suggested(self.settings)));
        let allowed = progress.allowed(now, asked, own.is_some());
        if due.max(allowed) <= now {
            self.attempt(progress, own.as_ref(), asked).await;
            return SHORTEST;
        }
        if due <= now && asked {
            let reason = progress.last_failure.as_ref().map_or("it was asked for just now", |(_, reason)| reason);
            warn!(
                "a certificate for {} is due and will be asked for at {}, not sooner: {reason}. {}",
                self.settings.names.join(", "),
                text(allowed),
                self.meanwhile()
            );
        }
        let ask_at = if own.is_some() { progress.ask_at(now) } else { Timestamp::MAX };
        if let Some(own) = own.filter(|_| ask_at <= now) {
            self.ask(progress, &own).await;
            // Which may make it due.
            return Duration::ZERO;
        }
        let until = due.max(allowed).min(ask_at).duration_since(now);
        Duration::try_from(until).unwrap_or(Duration::ZERO).max(SHORTEST)
    }

    /// What a failure means for deliveries.
    fn meanwhile(&self) -> &'static str {
        match expiry::read(&tls::Files::one(self.settings.certificate())) {
            Ok(there) if !there.is_self_signed && there.not_after > self.clock.now() => {
                "The one that is there serves on"
            }
            Ok(there) if !there.is_self_signed => "The one that is there has ended, and no provider delivers",
            _ => "Until there is one no provider delivers, unless it takes what is there",
        }
    }

    async fn attempt(&self, progress: &mut Progress, own: Option<&Validity>, asked: bool) {
        let names = self.settings.names.join(", ");
        // Written before it is tried: a process that dies on it does not try again at once. And what cannot be written could not be
        // kept either, so that nothing is asked for.
        progress.begin(self.clock.now(), asked);
        let got = if let Err(error) = progress.save(self.settings) {
            Err(Trouble::own(format!(
                "what is got could not be kept: {error:#}; it must be the service's to write, with room"
            )))
        } else {
            info!("a certificate for {names} is asked for at {}", self.settings.directory);
            let late = |_| Err(Trouble::own("it took longer than five minutes"));
            timeout(ORDER_TIMEOUT, self.obtain(own.is_some())).await.unwrap_or_else(late)
        };
        self.challenges.clear();
        match got.and_then(|pem| self.adopt(&pem)) {
            Ok(new) => {
                info!("a new certificate for {names} serves from now on, until {}", text(new.not_after));
                progress.succeeded(after(self.clock.now(), schedule::pause(&new)));
            }
            Err(trouble) => {
                let now = self.clock.now();
                let next = trouble.next(progress.failures, now, own.map(|own| own.not_after));
                progress.failed(now, &trouble.text, next);
                error!(
                    "no certificate for {names}: {}. {}. It is tried again at {}{}",
                    trouble.text,
                    self.meanwhile(),
                    text(progress.allowed(now, false, own.is_some())),
                    if progress.may_ask(now, own.is_some()) {
                        ", or at once by `systemctl reload novex-ingest`"
                    } else {
                        ""
                    }
                );
            }
        }
        self.save(progress);
    }

    /// Private key and chain, as PEM.
    async fn obtain(&self, is_renewal: bool) -> Result<String, Trouble> {
        let http = self.http().map_err(|error| Trouble::for_people(format!("{error:#}")))?;
        let accounts = Accounts { settings: self.settings, http: &http };
        let work = order::Work { settings: self.settings, http: &http, challenges: self.challenges };
        let replaces = if is_renewal { kept::identifier(self.settings) } else { None };
        let mut account = accounts.open().await?;
        let (mut nonces, mut forgotten) = (0, false);
        loop {
            match work.certificate(&account, replaces.as_ref()).await {
                Err(trouble) if trouble.is_lost_account() && !forgotten => {
                    forgotten = true;
                    accounts.forget();
                    account = accounts.open().await?;
                }
                Err(trouble) if trouble.is_stale_nonce() && nonces < NONCES_MAX => nonces += 1,
                got => return got,
            }
        }
    }

    fn http(&self) -> anyhow::Result<Http> {
        let roots = outbound::roots(self.settings.ca_file.as_deref()).context("tls.acme.ca_file")?;
        let tls = outbound::tls(roots)?.with_no_client_auth();
        Ok(Http::new(outbound::client(tls, REQUEST_TIMEOUT).build()?, self.clock.clone()))
    }

    /// Puts the new pair in its place, if it serves these names, and begins to serve it.
    fn adopt(&self, pem: &str) -> Result<Validity, Trouble> {
        let not_kept = |error: anyhow::Error| Trouble::own(format!("{error:#}"));
        let new = kept::Candidate::write(self.settings, pem).map_err(not_kept)?;
        let files = tls::Files::one(new.path.clone());
        let validity = tls::pair(&files).and_then(|_| expiry::read(&files)).and_then(|validity| {
            self.settings.fits(&validity)?;
            ensure!(validity.not_after > self.clock.now(), "it ended at {}", text(validity.not_after));
            Ok(validity)
        });
        let validity = validity.map_err(|error| {
            // It is not to be fetched again; and another of its kind is not to be had every minute.
            kept::drop_pending(self.settings);
            Trouble::for_people(format!("the certificate that the authority gave is of no use: {error:#}"))
        })?;
        new.rename().map_err(not_kept)?;
        kept::drop_pending(self.settings);
        self.holder.reload();
        Ok(validity)
    }

    /// What the authority suggests for the renewal (RFC 9773); kept until it is to be asked again.
    async fn ask(&self, progress: &mut Progress, own: &Validity) {
        let now = self.clock.now();
        // It may be that it has none; RFC 9773, 4.3.3: as if it had not been asked.
        progress.ask_at = after(now, schedule::ASK_AGAIN);
        if let Some((identifier, info, wait)) = self.suggestion().await {
            let window = &info.suggested_window;
            let seconds = (window.start.unix_timestamp(), window.end.unix_timestamp());
            progress.ask_at = after(now, wait.clamp(schedule::ASK_SOONEST, schedule::ASK_LATEST));
            if progress.suggest(&identifier.to_string(), seconds, |length| fastrand::i64(0..=length))
                && progress.suggested(self.settings).is_some_and(|at| at <= now && at < schedule::renewal(own, None))
            {
                warn!(
                    "the authority wants the certificate to be renewed now{}",
                    info.explanation_url.map_or(String::new(), |url| format!(", see {url}"))
                );
            }
        }
        self.save(progress);
    }

    async fn suggestion(&self) -> Option<(CertificateIdentifier<'static>, instant_acme::RenewalInfo, Duration)> {
        let http = self.http().ok()?;
        let identifier = kept::identifier(self.settings)?;
        let account = Accounts { settings: self.settings, http: &http }.open().await.ok()?;
        let (info, wait) = account.renewal_info(&identifier).await.ok()?;
        Some((identifier, info, wait))
    }

    fn save(&self, progress: &Progress) {
        if let Err(error) = progress.save(self.settings) {
            warn!("{error:#}: after a restart it is not known how often a certificate was asked for in vain");
        }
    }
}
