//! The limits on the places of a client, by what it has proved.

use crate::server::settings::ServerSettings;
use std::time::Duration;

/// What a client has proved so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    Unproven,
    /// A valid webhook came from its address in the last hours.
    KnownAddress,
    /// A valid webhook came on its connection.
    Proven,
    /// Its address is in `server.trusted_networks`.
    Trusted,
}

/// The limits of a table.
#[derive(Debug, Clone)]
pub struct PlaceLimits {
    pub places: u64,
    pub places_per_address: u64,
    pub bytes: u64,
    /// Most bytes of an address that is not trusted.
    pub bytes_per_address: u64,
    /// Most bytes of a connection whose address is not trusted.
    pub bytes_per_connection: u64,
    /// Places and bytes that unproven clients may use.
    pub unproven_places: u64,
    pub unproven_bytes: u64,
    /// Bytes per second; a slower client lags.
    pub min_rate: u64,
    /// A client that lags by more than this loses its place first.
    pub grace: Duration,
    /// The same for a place whose client sent a valid webhook on it; `None`: it never loses the place.
    pub settled_grace: Option<Duration>,
}

impl PlaceLimits {
    /// Returns the limits of connections.
    #[must_use]
    pub fn for_connections(settings: &ServerSettings) -> Self {
        // The answer to a webhook may take this long; until then the client has nothing to send.
        let settled_grace = Some(settings.answer_timeout + settings.body_grace);
        let limits = Self::new(settings, settings.max_connections, settings.max_connections_per_address);
        Self { settled_grace, ..limits }
    }

    /// Returns the limits of requests in flight and of their bodies.
    #[must_use]
    pub fn for_requests(settings: &ServerSettings) -> Self {
        Self::new(settings, settings.max_requests, settings.max_requests_per_address)
    }

    fn new(settings: &ServerSettings, places: u64, places_per_address: u64) -> Self {
        let unproven = |total: u64| total - total / 100 * settings.reserved_percent;
        // A first body of the allowed size always fits.
        let at_least_one_body = |bytes: u64| bytes.max(settings.max_body_bytes);
        Self {
            places,
            places_per_address,
            bytes: settings.max_buffered_bytes,
            bytes_per_address: at_least_one_body(settings.max_buffered_bytes_per_address),
            bytes_per_connection: at_least_one_body(settings.max_buffered_bytes_per_connection),
            unproven_places: places - places * settings.reserved_percent / 100,
            unproven_bytes: at_least_one_body(unproven(settings.max_buffered_bytes)),
            min_rate: settings.min_body_rate.max(1),
            grace: settings.body_grace,
            settled_grace: None,
        }
    }
}
