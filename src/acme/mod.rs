//! A certificate from an authority that speaks ACME (RFC 8555), got and renewed without anybody.
//!
//! The names are proved by TLS-ALPN-01 (RFC 8737) on the daemon's own port: the authority connects to port 443 of each name and
//! asks for the protocol `acme-tls/1`, which [`crate::server::challenge`] answers. No second port, no web server, no DNS access.
//!
//! [`run`] is the whole of it: [`schedule`] says when, [`order`] gets one certificate by [`account`] over [`http`], [`progress`]
//! remembers failures over restarts, so that a daemon that starts again and again does not use up the authority's limits.
//! Until there is a certificate the self-signed pair of [`crate::server::tls`] serves.

mod account;
mod http;
mod order;
pub mod progress;
pub mod schedule;
mod trouble;

use crate::clock::{Clock, Timestamp, after, text};
use crate::outbound;
use crate::secret::Secret;
use crate::server::challenge::Challenges;
use crate::server::expiry::{self, Validity};
use crate::server::tls::{self, Holder};
use account::Accounts;
use anyhow::Context;
use http::Http;
use instant_acme::CertificateIdentifier;
use progress::Progress;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{error, info, warn};
use trouble::Trouble;

/// Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// How often an order begins anew because a nonce was refused, which says nothing about it; each request is repeated by itself too.
const NONCES_MAX: u32 = 3;
/// One request to the authority.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// One order from its beginning to the certificate.
const ORDER_TIMEOUT: Duration = Duration::from_mins(5);
/// Shortest sleep, whatever the times are.
const SHORTEST: Duration = Duration::from_millis(500);
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
}

/// Keeps a certificate for `settings`, until it is aborted. `hangup`: tries at once, however long it wanted to wait.
pub async fn run(
    settings: Settings,
    holder: Holder,
    challenges: Challenges,
    clock: Clock,
    mut hangup: watch::Receiver<u64>,
) {
    let mut progress = Progress::load(&settings);
    loop {
        let wait = match Keeper::new(&settings, &holder, &challenges, &clock) {
            Ok(keeper) => keeper.step(&mut progress).await,
            Err(error) => {
                error!("no certificate can be asked for: {error:#}. The one that is there serves on");
                LOOK_EVERY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait.min(LOOK_EVERY)) => {}
            changed = hangup.changed() => {
                if changed.is_err() {
                    return;
                }
                progress.next_attempt = None;
            }
        }
    }
}

struct Keeper<'k> {
    settings: &'k Settings,
    holder: &'k Holder,
    challenges: &'k Challenges,
    clock: &'k Clock,
    http: Http,
}

impl<'k> Keeper<'k> {
    fn new(
        settings: &'k Settings,
        holder: &'k Holder,
        challenges: &'k Challenges,
        clock: &'k Clock,
    ) -> anyhow::Result<Self> {
        let roots = match &settings.ca_file {
            None => outbound::system_roots(),
            Some(file) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add_parsable_certificates(tls::certificates(file)?);
                roots
            }
        };
        let tls = outbound::tls(roots)?.with_no_client_auth();
        let http = Http::new(outbound::client(tls, REQUEST_TIMEOUT).build()?, clock.clone());
        Ok(Self { settings, holder, challenges, clock, http })
    }

    /// Does what is due; gives how long there is nothing to do.
    async fn step(&self, progress: &mut Progress) -> Duration {
        let now = self.clock.now();
        let own = self.own();
        let due = own.as_ref().map_or(Timestamp::MIN, |own| schedule::renewal(own, progress.suggested(self.settings)));
        let next = due.max(progress.not_before(now));
        if next <= now {
            self.attempt(progress, own.is_some()).await;
            return SHORTEST;
        }
        let ask_at = if own.is_some() { progress.ask_at(now) } else { Timestamp::MAX };
        if let Some(own) = own.filter(|_| ask_at <= now) {
            self.ask(progress, &own).await;
            // Which may make it due.
            return Duration::ZERO;
        }
        let until = next.min(ask_at).duration_since(now);
        Duration::try_from(until).unwrap_or(Duration::ZERO).max(SHORTEST)
    }

    /// The certificate that was got, if it is for these names; `None` when there is none yet.
    fn own(&self) -> Option<Validity> {
        let own = expiry::read(&tls::Files::one(self.settings.certificate())).ok()?;
        let is_for_all = self.settings.names.iter().all(|name| own.names.contains(name));
        (!own.is_self_signed && is_for_all).then_some(own)
    }

    async fn attempt(&self, progress: &mut Progress, is_renewal: bool) {
        let names = self.settings.names.join(", ");
        // Written before it is tried: a process that dies on it does not try again at once.
        progress.begin(self.clock.now());
        self.save(progress);
        info!("a certificate for {names} is asked for at {}", self.settings.directory);
        let replaces = if is_renewal { self.identifier() } else { None };
        let got = match timeout(ORDER_TIMEOUT, self.obtain(replaces)).await {
            Ok(got) => got,
            Err(_late) => Err(Trouble::own("it took longer than five minutes")),
        };
        self.challenges.clear();
        match got.and_then(|pem| self.adopt(&pem).map_err(|error| Trouble::own(format!("{error:#}")))) {
            Ok(()) => {
                let own = self.own();
                let until = own.as_ref().map_or_else(String::new, |own| format!(", until {}", text(own.not_after)));
                info!("a new certificate for {names} serves from now on{until}");
                progress.succeeded(own.map(|own| after(self.clock.now(), schedule::pause(&own))));
            }
            Err(trouble) => {
                let now = self.clock.now();
                let at = trouble.next(progress.failures, now);
                error!(
                    "no certificate for {names}: {}. The one that is there serves on. It is tried again at {}, or at once by \
                     `systemctl reload novex-ingest`",
                    trouble.text,
                    text(at)
                );
                progress.failed(now, trouble.text, at);
            }
        }
        self.save(progress);
    }

    /// Private key and chain, as PEM.
    async fn obtain(&self, replaces: Option<CertificateIdentifier<'static>>) -> Result<String, Trouble> {
        let accounts = Accounts { settings: self.settings, http: &self.http };
        let work = order::Work { settings: self.settings, http: &self.http, challenges: self.challenges };
        let mut account = accounts.open().await?;
        let mut replaces = replaces;
        let mut nonces = 0;
        loop {
            match work.certificate(&account, replaces.as_ref()).await {
                Err(trouble) if trouble.is_lost_account() && accounts.forget() => account = accounts.open().await?,
                Err(trouble) if trouble.is_stale_nonce() && nonces < NONCES_MAX => nonces += 1,
                Err(trouble) if replaces.is_some() && trouble.may_be_for_replacing() => replaces = None,
                got => return got,
            }
        }
    }

    /// Puts the new pair in its place, if it serves these names, and begins to serve it.
    fn adopt(&self, pem: &str) -> anyhow::Result<()> {
        let file = self.settings.certificate();
        let new = file.with_extension("new");
        tls::write_whole(&new, pem.as_bytes(), 0o600)?;
        let files = tls::Files::one(new.clone());
        tls::pair(&files).context("the authority's answer is of no use")?;
        let validity = expiry::read(&files)?;
        for name in &self.settings.names {
            anyhow::ensure!(validity.names.contains(name), "the authority's certificate is not for {name}");
        }
        std::fs::rename(&new, &file).with_context(|| format!("{} cannot be written", file.display()))?;
        self.holder.reload();
        Ok(())
    }

    /// What the authority suggests for the renewal (RFC 9773); kept until it is to be asked again.
    async fn ask(&self, progress: &mut Progress, own: &Validity) {
        let now = self.clock.now();
        let accounts = Accounts { settings: self.settings, http: &self.http };
        let (Some(identifier), Ok(account)) = (self.identifier(), accounts.open().await) else {
            progress.ask_at = after(now, schedule::ASK_AGAIN);
            return self.save(progress);
        };
        progress.ask_at = match account.renewal_info(&identifier).await {
            Ok((info, wait)) => {
                let window = &info.suggested_window;
                let seconds = (window.start.unix_timestamp(), window.end.unix_timestamp());
                if progress.suggest(&identifier.to_string(), seconds, |length| fastrand::i64(0..=length))
                    && schedule::renewal(own, progress.suggested(self.settings)) <= now
                {
                    warn!(
                        "the authority wants the certificate to be renewed now{}",
                        info.explanation_url.map_or(String::new(), |url| format!(", see {url}"))
                    );
                }
                after(now, wait.clamp(schedule::ASK_SOONEST, schedule::ASK_LATEST))
            }
            // It may be that it has none; RFC 9773, 4.3.3: as if it had not been asked.
            Err(_) => after(now, schedule::ASK_AGAIN),
        };
        self.save(progress);
    }

    fn identifier(&self) -> Option<CertificateIdentifier<'static>> {
        identifier(&self.settings.certificate())
    }

    fn save(&self, progress: &Progress) {
        if let Err(error) = progress.save(self.settings) {
            warn!("{error:#}: after a restart it is not known how often a certificate was asked for in vain");
        }
    }
}

/// By what the authority knows a certificate (RFC 9773, 4.1).
fn identifier(file: &Path) -> Option<CertificateIdentifier<'static>> {
    let chain = tls::certificates(file).ok()?;
    CertificateIdentifier::try_from(chain.first()?).ok().map(CertificateIdentifier::into_owned)
}
