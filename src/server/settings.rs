//! Address and limits of the public listener.

use crate::server::reputation::Network;
use std::net::SocketAddr;
use std::time::Duration;

/// Address and limits of the public listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    pub listen: SocketAddr,
    /// Largest body of a webhook request. The daemon refuses a larger one while it streams in.
    pub max_body_bytes: u64,
    /// Most bytes of body in memory, of all requests together.
    pub max_buffered_bytes: u64,
    /// Most bytes of body in memory of one address, or one connection, outside of `trusted_networks`.
    pub max_buffered_bytes_per_address: u64,
    pub max_buffered_bytes_per_connection: u64,
    pub max_connections: u64,
    pub max_connections_per_address: u64,
    /// Most requests in flight.
    pub max_requests: u64,
    pub max_requests_per_address: u64,
    /// Percent of connections, requests and body memory that are only for addresses and connections that have sent
    /// valid webhooks.
    pub reserved_percent: u64,
    /// Networks that count as having sent valid webhooks.
    pub trusted_networks: Vec<Network>,
    pub max_header_bytes: u64,
    pub max_headers: u64,
    /// HTTP/2: most requests in flight on one connection.
    pub max_streams: u64,
    /// HTTP/2: unanswered streams that a client may reset before the daemon closes the connection.
    pub max_stream_resets: u64,
    pub handshake_timeout: Duration,
    /// From the first byte of a request to the end of its headers.
    pub header_timeout: Duration,
    /// From the end of the headers to the end of the body.
    pub body_timeout: Duration,
    /// Bytes per second; under pressure, a slower sender loses its place.
    pub min_body_rate: u64,
    /// How far a sender may be behind `min_body_rate`.
    pub body_grace: Duration,
    /// Longest time that a connection may be open without a request.
    pub idle_timeout: Duration,
    /// From the last byte of a body to the response: Shopify waits 5 s in all.
    pub answer_timeout: Duration,
    /// Longest time that requests in flight may take at shutdown.
    pub shutdown_timeout: Duration,
}
