//! The public listener: TCP, TLS, HTTP, and every limit on them.
//!
//! - [`listener`] accepts connections, counts them and drains them at shutdown; [`connection`] serves one.
//! - [`activity`] records what a connection is doing, for its time limits.
//! - [`request`] answers one request; its module doc lists the routes.
//! - [`places`] shares connections, requests and body memory between clients; [`reputation`] knows the addresses that
//!   delivered valid webhooks.
//! - [`control_frames`] limits the frames of HTTP/2 that carry no request.
//! - [`body`] reads a body within its limits; [`response`] builds every response.
//! - [`secret_uses`] records when each secret last proved an event.
//! - [`health`] checks by a write whether events can be stored; [`rejections`] records refused requests.
//!
//! Every limit is a field of [`ServerSettings`]. Over a limit the daemon answers fast, and nothing grows.

pub mod activity;
pub mod body;
pub mod connection;
pub mod control_frames;
pub mod health;
pub mod listener;
pub mod place_limits;
pub mod places;
pub mod rate_meter;
pub mod rejections;
pub mod reputation;
pub mod request;
pub mod response;
pub mod secret_uses;
pub mod settings;

use crate::edi_poll::schedule::PollRequest;
use crate::providers::WebhookVerifiers;
use crate::providers::edi::PollAuth;
use crate::server::place_limits::PlaceLimits;
use crate::server::places::Places;
use crate::server::reputation::Reputation;
use crate::server::settings::ServerSettings;
use crate::store::Store;
use std::sync::{Arc, RwLock};
use tokio::sync::mpsc;

/// Checks for webhook and poll requests.
pub struct Authenticators {
    pub providers: WebhookVerifiers,
    /// Check for `POST /api/sps/poll`; `None`: the daemon refuses poll requests.
    pub poll_auth: Option<PollAuth>,
}

/// State that all connections and requests share.
pub struct ServerState {
    pub limits: ServerSettings,
    /// A reload replaces it as a whole.
    authenticators: RwLock<Arc<Authenticators>>,
    pub store: Store,
    /// `worker.max_attempts`, stored with each event.
    pub max_attempts: u32,
    pub health: health::HealthProbe,
    pub rejections: rejections::RejectionRecorder,
    pub secret_uses: secret_uses::SecretUseRecorder,
    /// Requests to the poller; `None`: EDI is not configured.
    pub poll_requests: Option<mpsc::Sender<PollRequest>>,
    pub connections: Places,
    /// The requests in flight, with the memory of their bodies.
    pub requests: Places,
    pub reputation: Reputation,
}

impl ServerState {
    /// Returns the authenticators that are valid now.
    #[must_use]
    pub fn authenticators(&self) -> Arc<Authenticators> {
        self.authenticators.read().expect("nothing panics while it holds the lock").clone()
    }

    /// Replaces the authenticators for new requests; requests in flight keep theirs.
    pub fn replace_authenticators(&self, authenticators: Authenticators) {
        *self.authenticators.write().expect("nothing panics while it holds the lock") = Arc::new(authenticators);
    }

    #[must_use]
    pub fn new(
        limits: ServerSettings,
        authenticators: Authenticators,
        store: Store,
        max_attempts: u32,
        poll_requests: Option<mpsc::Sender<PollRequest>>,
    ) -> Self {
        Self {
            connections: Places::new("connections", PlaceLimits::for_connections(&limits)),
            requests: Places::new("requests", PlaceLimits::for_requests(&limits)),
            reputation: Reputation::new(limits.trusted_networks.clone()),
            health: health::HealthProbe::new(store.clone(), limits.answer_timeout),
            rejections: rejections::RejectionRecorder::new(store.clone()),
            secret_uses: secret_uses::SecretUseRecorder::default(),
            limits,
            authenticators: RwLock::new(Arc::new(authenticators)),
            store,
            max_attempts,
            poll_requests,
        }
    }
}
