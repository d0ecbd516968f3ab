//! The public listener: TCP, TLS, HTTP, and every limit on them.
//!
//! - [`listener`] accepts, counts connections and drains them at the end; [`connection`] is the life of one.
//! - [`service`] is one request, from its route to its answer; its module doc lists the routes.
//! - [`by_address`] counts what each address has, so that one host cannot take everybody's places.
//! - [`body`] reads a body within its limits; [`answer`] writes every answer there is.
//! - [`tls`] holds the certificate and reads it again; [`health`] and [`rejected`] are what their names say.
//!
//! Every limit is a field of [`crate::config::sections::Server`]. Over a limit the answer is fast and nothing grows.

pub mod activity;
pub mod answer;
pub mod body;
pub mod by_address;
pub mod challenge;
pub mod connection;
pub mod expiry;
pub mod health;
pub mod listener;
pub mod rejected;
pub mod service;
pub mod tls;

use crate::config::sections::Server as Limits;
use crate::providers::Providers;
use crate::providers::sps::Asking;
use crate::sps::schedule::Request;
use crate::store::Store;
use std::sync::{Arc, RwLock};
use tokio::sync::{Semaphore, mpsc};

/// Who may come in, and by which secrets.
pub struct Doors {
    pub providers: Providers,
    /// Of `POST /api/sps/poll`; `None`: nobody may ask from outside.
    pub asking: Option<Asking>,
}

/// What every connection and request shares.
pub struct Shared {
    pub limits: Limits,
    /// Replaced as a whole when the configuration is read again.
    doors: RwLock<Arc<Doors>>,
    pub store: Store,
    /// `worker.max_attempts`, written with each event.
    pub max_attempts: u32,
    pub health: health::Health,
    pub rejected: rejected::Recorder,
    /// Who makes polls; `None`: EDI is not configured.
    pub polls: Option<mpsc::Sender<Request>>,
    /// A permit a request in flight.
    pub requests: Arc<Semaphore>,
    pub requests_by_address: by_address::ByAddress,
    /// A permit a KiB of body in memory.
    pub buffers: Arc<Semaphore>,
}

impl Shared {
    /// Who may deliver and ask, as of now.
    #[must_use]
    pub fn doors(&self) -> Arc<Doors> {
        self.doors.read().expect("nothing panics while it holds them").clone()
    }

    /// From the next request on these are asked; requests in flight keep theirs.
    pub fn replace_doors(&self, doors: Doors) {
        *self.doors.write().expect("nothing panics while it holds them") = Arc::new(doors);
    }

    #[must_use]
    pub fn new(
        limits: Limits,
        doors: Doors,
        store: Store,
        max_attempts: u32,
        polls: Option<mpsc::Sender<Request>>,
    ) -> Self {
        let permits = |number: u64| {
            Arc::new(Semaphore::new(usize::try_from(number).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)))
        };
        Self {
            requests: permits(limits.max_requests),
            requests_by_address: by_address::ByAddress::new(limits.max_requests_per_address),
            buffers: permits(limits.max_buffered_bytes / body::PERMIT_BYTES),
            health: health::Health::new(store.clone(), limits.answer_timeout),
            rejected: rejected::Recorder::new(store.clone()),
            limits,
            doors: RwLock::new(Arc::new(doors)),
            store,
            max_attempts,
            polls,
        }
    }
}
