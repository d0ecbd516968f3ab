//! The console: pages for people on a listener of its own, never on the public one.
//!
//! - [`listener`] accepts connections and serves them on a thread of its own, so that pages never delay an answer to a
//!   provider.
//! - [`router`] has the table of all routes with the right that each needs.
//! - [`guard`] finds the user of a request and refuses foreign forms; [`login`] signs people in and out;
//!   [`login_limits`] slows down guesses.
//! - [`layout`] is the frame of each page; [`components`] has parts that several pages share; [`pages`] has the pages;
//!   [`assets`] the style sheet and the script.
//! - [`reveals`] masks personal data until a person asks to see it.
//! - [`api`] is JSON for programs; [`metrics`] is the page for Prometheus.
//! - [`checks`] runs the checks of `doctor` from time to time.
//!
//! Pages are complete without the script. Text of others is escaped by the templates.

pub mod api;
pub mod assets;
pub mod checks;
pub mod components;
pub mod guard;
pub mod layout;
pub mod listener;
pub mod login;
pub mod login_limits;
pub mod metrics;
pub mod pages;
pub mod reveals;
pub mod router;

use crate::config::Config;
use crate::console::checks::MachineChecks;
use crate::console::login_limits::LoginLimits;
use crate::console::reveals::Reveals;
use crate::server::ServerState;
use crate::store::db::reader::Reader;
use crate::store::{Store, StoreError};
use rusqlite::Connection;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

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
    /// The public listener, for its figures and for polls.
    pub server: Arc<ServerState>,
    pub login_limits: LoginLimits,
    pub verifications: Semaphore,
    pub checks: MachineChecks,
    pub reveals: Reveals,
}

impl ConsoleState {
    /// Opens the console's own connections.
    ///
    /// # Errors
    /// If the database cannot be opened.
    pub fn new(config: Config, store: Store, server: Arc<ServerState>) -> Result<Self, StoreError> {
        Ok(Self {
            reader: Reader::open(store.path(), READERS_MAX)?,
            login_limits: LoginLimits::default(),
            verifications: Semaphore::new(VERIFICATIONS_MAX),
            checks: MachineChecks::default(),
            reveals: Reveals::default(),
            server,
            config,
            store,
        })
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
