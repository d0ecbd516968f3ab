//! A running daemon, and signals to processes.

use super::{Connection, Home, Request, Response, shopify_request};
use std::net::SocketAddr;
use std::process::{Child, Command};

/// A running daemon; killed on drop.
pub struct Daemon<'h> {
    pub address: SocketAddr,
    pub child: Child,
    pub home: &'h Home,
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon<'_> {
    pub fn send_signal(&self, name: &str) {
        send_signal(self.child.id(), name);
    }

    /// Sends SIGTERM and waits; the daemon must exit with status 0.
    pub fn stop(mut self) {
        self.send_signal("TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.home.log());
    }

    /// Opens a connection, HTTP/1.1 over TLS.
    pub fn connect(&self) -> Connection {
        Connection::open(self.address).expect("the daemon accepts")
    }

    /// Sends a request on a new connection.
    pub fn request(&self, request: &Request) -> Response {
        self.connect().request(request)
    }

    /// Sends `body` as a signed `orders/create` of [`super::SHOP`].
    pub fn send_order(&self, webhook_id: &str, body: &[u8]) -> Response {
        self.request(&shopify_request(webhook_id, body))
    }
}

/// Sends a signal, such as `TERM`, to a process.
pub fn send_signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success(), "kill -{name} {pid}");
}
