//! An HTTP/1.1 client over TLS that sends exactly the bytes that a test gives it.

use super::WAIT_MAX;
use super::any_certificate::AnyCertificate;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// An HTTP request; nothing is added but `host` and the framing.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Chunk size in bytes; `None` sends a `content-length`.
    pub chunk: Option<usize>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.into(), path: path.into(), headers: Vec::new(), body: Vec::new(), chunk: None }
    }

    pub fn post(path: &str, body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..Self::new("POST", path) }
    }

    /// Sets a header; replaces one of the same name.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self = self.without_header(name);
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    pub fn chunked(mut self, size: usize) -> Self {
        self.chunk = Some(size);
        self
    }

    /// Returns the bytes of the head.
    pub fn head(&self) -> Vec<u8> {
        let mut lines = vec![format!("{} {} HTTP/1.1", self.method, self.path), "host: localhost".to_owned()];
        lines.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        lines.push(match self.chunk {
            Some(_) => "transfer-encoding: chunked".to_owned(),
            None => format!("content-length: {}", self.body.len()),
        });
        (lines.join("\r\n") + "\r\n\r\n").into_bytes()
    }

    /// Returns the bytes of head and body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        match self.chunk {
            None => bytes.extend_from_slice(&self.body),
            Some(size) => {
                for chunk in self.body.chunks(size) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        bytes
    }
}

/// An HTTP response.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?} is not JSON"))
    }

    /// Returns the event id of a 200.
    pub fn event_id(&self) -> i64 {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["event_id"].as_i64().unwrap()
    }

    /// Returns whether a 200 reports a duplicate.
    pub fn is_duplicate(&self) -> bool {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["duplicate"].as_bool().unwrap()
    }
}

/// A TLS connection on which a test sends any bytes.
pub struct Connection {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> std::io::Result<Self> {
        Self::over(TcpStream::connect(address)?)
    }

    /// Begins TLS on an open TCP connection.
    pub fn over(tcp: TcpStream) -> std::io::Result<Self> {
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(WAIT_MAX))?;
        tcp.set_write_timeout(Some(WAIT_MAX))?;
        let tls = ClientConnection::new(Arc::new(client_config(&[b"http/1.1"])), "localhost".try_into().unwrap())
            .map_err(std::io::Error::other)?;
        Ok(Self { stream: StreamOwned::new(tls, tcp), buffer: Vec::new() })
    }

    /// Completes the TLS handshake.
    pub fn complete_handshake(&mut self) -> std::io::Result<()> {
        while self.stream.conn.is_handshaking() {
            self.stream.conn.complete_io(&mut self.stream.sock)?;
        }
        Ok(())
    }

    /// Returns the daemon's certificate in DER.
    pub fn certificate(&mut self) -> Vec<u8> {
        self.complete_handshake().unwrap();
        self.stream.conn.peer_certificates().unwrap()[0].to_vec()
    }

    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends a request and reads the response. The daemon may respond and close before it has read the whole request.
    pub fn request(&mut self, request: &Request) -> Response {
        let _ = self.send(&request.to_bytes());
        self.read_response().expect("a response")
    }

    /// Reads one response, and skips `100 Continue`; fails if the connection ends first.
    pub fn read_response(&mut self) -> std::io::Result<Response> {
        loop {
            let response = self.read_any_response()?;
            if response.status != 100 {
                return Ok(response);
            }
        }
    }

    /// Sends the head of a request and waits until the daemon asks for the body. The request holds its place by then.
    pub fn send_head_and_await_continue(&mut self, request: &Request) {
        self.send(&request.clone().with_header("Expect", "100-continue").head()).unwrap();
        let response = self.read_any_response().expect("a response");
        assert_eq!(response.status, 100, "{response:?}");
    }

    fn read_any_response(&mut self) -> std::io::Result<Response> {
        let head_end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            self.fill_buffer()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_end]).into_owned();
        let mut lines = head.split("\r\n");
        let status: u16 = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> =
            lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into())).collect();
        self.buffer.drain(..head_end + 4);
        let length =
            headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
        while self.buffer.len() < length {
            self.fill_buffer()?;
        }
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        Ok(Response { status, headers, body: String::from_utf8(body).unwrap() })
    }

    /// Waits for more bytes; returns whether the daemon closed the connection instead.
    pub fn is_closed(&mut self) -> bool {
        self.fill_buffer().is_err()
    }

    fn fill_buffer(&mut self) -> std::io::Result<()> {
        let mut chunk = [0; 16 << 10];
        let read = self.stream.read(&mut chunk)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(())
    }
}

/// Returns a client configuration that accepts any certificate: other tests check the certificate.
pub fn client_config(alpn: &[&[u8]]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}
