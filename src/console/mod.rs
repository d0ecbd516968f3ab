//! The console: pages for people on a listener of its own, never on the public one.
//!
//! - [`listener`] accepts connections and serves them on a thread of its own, so that pages never delay an answer to a
//!   provider.
//! - [`router`] has the table of all routes with the right that each needs.
//! - [`guard`] finds the user of a request and refuses foreign forms; [`login`] signs people in and out;
//!   [`login_limits`] slows down guesses. [`second_step`] asks for one-time codes, and [`oidc`] signs people in through
//!   Keycloak; [`pending`] has the steps between.
//! - [`layout`] is the frame of each page; [`components`] has parts that several pages share; [`pages`] has the pages;
//!   [`assets`] the style sheet and the script.
//! - [`paths`] builds the addresses of pages; [`form_parts`] reads forms with a file.
//! - [`events_query`] is the filter of events in an address; [`bulk_retry`] retries all events that match one, and
//!   [`live`] sends their changes to open pages; [`body_view`] shows the bytes of an event.
//! - [`reveals`] masks personal data until a person asks to see it.
//! - [`api`] is JSON for programs.
//! - [`checks`] runs the checks of `doctor` from time to time; [`background`] has other work that takes minutes.
//!
//! Pages are complete without the script. Text of others is escaped by the templates.

pub mod api;
pub mod assets;
pub mod background;
pub mod body_view;
pub mod bulk_retry;
pub mod checks;
pub mod components;
pub mod events_query;
pub mod form_parts;
pub mod guard;
pub mod layout;
pub mod listener;
pub mod live;
pub mod login;
pub mod login_limits;
pub mod oidc;
pub mod pages;
pub mod paths;
pub mod pending;
pub mod reveals;
pub mod router;
pub mod second_step;

use crate::access::totp::TotpKey;
use crate::config::Config;
use crate::console::background::{AuditCheck, BackupRun};
use crate::console::checks::MachineChecks;
use crate::console::live::LiveRows;
use crate::console::login_limits::LoginLimits;
use crate::console::oidc::provider::OidcProvider;
use crate::console::pages::settings::totp::NEW_KEY_LIFETIME;
use crate::console::pending::PendingSteps;
use crate::console::reveals::Reveals;
use crate::console::second_step::{PasswordProof, STEP_LIFETIME};
use crate::store::db::reader::Reader;
use crate::store::{Store, StoreError};
use rusqlite::Connection;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// Most read-only connections of the console: its pages never take one from the daemon.
const READERS_MAX: u32 = 2;
/// Longest time of one query.
const QUERY_TIME_MAX: Duration = Duration::from_secs(2);
/// Most passwords that are verified at once: each takes 19 MiB.
const VERIFICATIONS_MAX: usize = 1;

/// What all requests of the console share.
pub struct ConsoleState {
    pub config: Config,
    pub store: Store,
    /// The console's own connections.
    pub reader: Reader,
    pub login_limits: LoginLimits,
    pub verifications: Semaphore,
    pub checks: MachineChecks,
    pub reveals: Reveals,
    /// People whose password was right and who must enter a code.
    pub second_steps: PendingSteps<PasswordProof>,
    /// Keys of one-time codes that their users have not proved yet, by session.
    pub new_totp_keys: PendingSteps<TotpKey>,
    /// The OpenID provider; None: the users of the database sign in, nobody else.
    pub oidc: Option<OidcProvider>,
    pub audit_check: AuditCheck,
    pub backup_run: BackupRun,
    pub live: LiveRows,
    /// The place of the one bulk retry of this process.
    pub bulk_retry_place: Arc<Semaphore>,
    /// Turns true when the daemon stops: streams and bulk retries end then.
    pub stop: watch::Sender<bool>,
}

impl ConsoleState {
    /// Opens the console's own connections.
    ///
    /// # Errors
    /// If the database cannot be opened.
    pub fn new(config: Config, store: Store) -> Result<Self, StoreError> {
        let oidc = config.console.oidc.clone().and_then(|settings| {
            OidcProvider::new(settings)
                .inspect_err(|error| tracing::error!("nobody can sign in through [console.oidc]: {error:#}"))
                .ok()
        });
        Ok(Self {
            reader: Reader::open(store.path(), READERS_MAX)?,
            login_limits: LoginLimits::default(),
            verifications: Semaphore::new(VERIFICATIONS_MAX),
            checks: MachineChecks::default(),
            reveals: Reveals::default(),
            second_steps: PendingSteps::new(STEP_LIFETIME),
            new_totp_keys: PendingSteps::new(NEW_KEY_LIFETIME),
            oidc,
            audit_check: AuditCheck::default(),
            backup_run: BackupRun::default(),
            live: LiveRows::default(),
            bulk_retry_place: Arc::new(Semaphore::new(1)),
            stop: watch::Sender::new(false),
            config,
            store,
        })
    }

    /// Waits until the daemon stops.
    pub async fn wait_for_stop(&self) {
        drop(self.stop.subscribe().wait_for(|stop| *stop).await);
    }

    /// Runs a query on a thread for blocking work, for at most [`QUERY_TIME_MAX`].
    ///
    /// # Errors
    /// Those of the query; [`StoreError::QueryTooSlow`] if it took too long.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = self.reader.clone();
        let task = tokio::task::spawn_blocking(move || reader.read_within(QUERY_TIME_MAX, query));
        task.await.unwrap_or(Err(StoreError::ShuttingDown))
    }
}
