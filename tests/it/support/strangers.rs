//! Clients on other loopback addresses, and the attacks that they run against the front door.

use super::client::client_config;
use super::{Connection, Daemon, Request, Response, WAIT_MAX, order_body, shopify_request};
use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;

/// Returns 127.0.0.`host`.
pub fn loopback(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, host)
}

/// Opens a TCP connection from 127.0.0.`host`.
pub fn connect_tcp(host: u8, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((loopback(host), 0)).into())?;
    socket.connect(&to.into())?;
    let tcp = TcpStream::from(socket);
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(WAIT_MAX))?;
    tcp.set_write_timeout(Some(WAIT_MAX))?;
    Ok(tcp)
}

/// Opens an HTTP/1.1 connection from 127.0.0.`host`.
pub fn connect_from(host: u8, daemon: &Daemon<'_>) -> std::io::Result<Connection> {
    let mut connection = Connection::over(connect_tcp(host, daemon.address)?)?;
    connection.complete_handshake()?;
    Ok(connection)
}

/// Sends a request on a new connection from 127.0.0.`host`.
pub fn send_from(host: u8, daemon: &Daemon<'_>, request: &Request) -> std::io::Result<Response> {
    let mut connection = connect_from(host, daemon)?;
    let _ = connection.send(&request.to_bytes());
    connection.read_response()
}

/// Sends signed webhooks from 127.0.0.`host`, each on a new connection. Each must be stored.
pub fn assert_honest_sender_is_served(host: u8, daemon: &Daemon<'_>, webhooks: u64) {
    for n in 1..=webhooks {
        let request = shopify_request(&format!("honest-{host}-{n}"), &order_body(n));
        let response = send_from(host, daemon, &request);
        assert!(response.as_ref().is_ok_and(|response| response.status == 200), "webhook {n}: {response:?}");
    }
    let query = format!("SELECT count(*) FROM webhook_events WHERE webhook_id LIKE 'honest-{host}-%'");
    assert_eq!(daemon.home.count(&query), i64::try_from(webhooks).unwrap());
}

/// Sends the head of a webhook and `sent` bytes of its body from 127.0.0.`host`, and nothing more.
pub fn send_part_of_body(host: u8, daemon: &Daemon<'_>, request: &Request, sent: usize) -> std::io::Result<Connection> {
    let mut connection = connect_from(host, daemon)?;
    connection.send(&[&request.head(), &request.body[..sent]].concat())?;
    Ok(connection)
}

/// An HTTP/2 connection on which a test sends any frames.
pub struct Http2Connection {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Http2Connection {
    /// Opens a connection from 127.0.0.`host` and sends the preface and empty SETTINGS (RFC 9113, section 3.4).
    pub fn open(host: u8, daemon: &Daemon<'_>) -> std::io::Result<Self> {
        let tls = ClientConnection::new(Arc::new(client_config(&[b"h2"])), "localhost".try_into().unwrap())
            .map_err(std::io::Error::other)?;
        let stream = StreamOwned::new(tls, connect_tcp(host, daemon.address)?);
        let mut connection = Self { stream };
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        connection.send(&build_frame(4, 0, 0, &[]))?;
        Ok(connection)
    }

    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Begins a request on `stream_id` and leaves its body open.
    pub fn open_stream(&mut self, stream_id: u32, request: &Request) -> std::io::Result<()> {
        const END_HEADERS: u8 = 4;
        let pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", &request.path)];
        let headers = request.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
        let all = pseudo.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).chain(headers);
        // Literal fields without indexing (RFC 7541, section 6.2.2); each text is shorter than 127 bytes.
        let block: Vec<u8> = all
            .flat_map(|(name, value)| {
                let length = |text: &str| u8::try_from(text.len()).unwrap();
                [&[0, length(&name)], name.as_bytes(), &[length(&value)], value.as_bytes()].concat()
            })
            .collect();
        self.send(&build_frame(1, END_HEADERS, stream_id, &block))
    }

    /// Reads until the daemon ends the connection; returns the type and flags of each frame.
    pub fn read_to_end(&mut self) -> Vec<(u8, u8)> {
        let mut bytes = Vec::new();
        if let Err(error) = self.stream.read_to_end(&mut bytes) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the daemon did not end the connection");
        }
        let (mut frames, mut rest) = (Vec::new(), bytes.as_slice());
        while let [high, middle, low, kind, flags, ..] = *rest {
            frames.push((kind, flags));
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            rest = rest.get(9 + length..).unwrap_or_default();
        }
        frames
    }
}

/// Returns an HTTP/2 frame (RFC 9113, section 4.1).
pub fn build_frame(kind: u8, flags: u8, stream_id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream_id.to_be_bytes(), payload].concat()
}
