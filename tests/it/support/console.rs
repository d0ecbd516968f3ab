//! A browser without a window: it signs in to the console of a daemon, keeps the cookie, and sends forms as pages do.

use super::{Connection, Daemon, Home, Request, Response, SHOP};
use std::io::Write;
use std::net::SocketAddr;
use std::process::Stdio;

/// Password of each user that [`add_console_user`] adds.
pub const PASSWORD: &str = "four unrelated words";
/// Cookie of the session.
pub const SESSION_COOKIE: &str = "__Host-novex-session";

/// Adds a user by the command.
pub fn add_console_user(home: &Home, name: &str, role: &str) {
    run_with_password(home, &["users", "add", name, "--role", role, "--password-stdin"], PASSWORD);
}

/// Runs a command that reads a password from standard input and must succeed.
pub fn run_with_password(home: &Home, arguments: &[&str], password: &str) {
    let mut child = home.command(arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Returns the address of a daemon's console, when it is ready.
pub fn console_address(daemon: &Daemon<'_>) -> SocketAddr {
    const READY: &str = "the console is ready: https://";
    daemon.home.wait_for_log(READY, 1);
    let log = daemon.home.log();
    let rest = &log[log.rfind(READY).unwrap() + READY.len()..];
    rest[..rest.find('/').unwrap()].parse().unwrap()
}

/// A client of a console.
pub struct ConsoleClient {
    pub address: SocketAddr,
    /// `name=value` of the session, after the sign-in.
    pub cookie: String,
}

impl ConsoleClient {
    /// Returns a client that has not signed in.
    pub fn of(daemon: &Daemon<'_>) -> Self {
        Self { address: console_address(daemon), cookie: String::new() }
    }

    /// Returns a client that signed in as a user with [`PASSWORD`].
    pub fn signed_in(daemon: &Daemon<'_>, name: &str) -> Self {
        let mut client = Self::of(daemon);
        let response = client.sign_in(name, PASSWORD);
        assert_eq!(response.status, 303, "{response:?}");
        client
    }

    /// Sends the form of the sign-in and keeps the cookie of the answer.
    pub fn sign_in(&mut self, name: &str, password: &str) -> Response {
        let encode = |text: &str| text.replace('%', "%25").replace('&', "%26").replace('+', "%2B").replace(' ', "+");
        let body = format!("name={}&password={}", encode(name), encode(password));
        self.send_and_keep_cookie(form_request("/login", &body))
    }

    /// Sends a request and keeps the cookie of the answer, in place of the one before.
    pub fn send_and_keep_cookie(&mut self, request: Request) -> Response {
        let response = self.send(request);
        if let Some(cookie) = response.header("set-cookie") {
            cookie.split(';').next().unwrap().clone_into(&mut self.cookie);
        }
        response
    }

    /// Opens a page.
    pub fn get(&self, path: &str) -> Response {
        self.send(Request::new("GET", path))
    }

    /// Sends a form with the token of the page `/`.
    pub fn post(&self, path: &str, fields: &str) -> Response {
        let token = self.csrf_token();
        self.send(form_request(path, &format!("csrf={token}&{fields}")))
    }

    /// Returns the token that the forms of this session have.
    pub fn csrf_token(&self) -> String {
        let page = self.get("/").body;
        let start = page.find("name=\"csrf\" value=\"").expect("the page has a form") + "name=\"csrf\" value=\"".len();
        page[start..start + page[start..].find('"').unwrap()].to_owned()
    }

    /// Sends a request with the cookie.
    pub fn send(&self, request: Request) -> Response {
        let request = if self.cookie.is_empty() { request } else { request.with_header("cookie", &self.cookie) };
        Connection::open(self.address).expect("the console accepts").request(&request)
    }
}

/// Returns a form as a page of the console sends it.
pub fn form_request(path: &str, body: &str) -> Request {
    Request::post(path, body.as_bytes())
        .with_header("content-type", "application/x-www-form-urlencoded")
        .with_header("sec-fetch-site", "same-origin")
}

/// Returns fields as the body of a form.
pub fn encode_form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Text that a browser would run if a page did not escape it.
pub const ATTACK: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";

/// Checks that a page has [`ATTACK`] as text, and nothing of it as markup.
pub fn assert_escaped(path: &str, page: &Response) {
    assert_eq!(page.status, 200, "{path}: {page:?}");
    assert!(!page.body.contains("<script>alert") && !page.body.contains("<img"), "{path}: {}", page.body);
    assert!(page.body.contains("&lt;script&gt;alert(1)"), "{path} shows the text: {}", page.body);
}

/// Follows the links to the next page, and returns each page.
pub fn follow_pages(client: &ConsoleClient, first: &str) -> Vec<String> {
    let (mut pages, mut path) = (Vec::new(), first.to_owned());
    loop {
        let page = client.get(&path);
        assert_eq!(page.status, 200, "{path}: {page:?}");
        let next = page.body.find("<a rel=\"next\" href=\"").map(|start| start + "<a rel=\"next\" href=\"".len());
        let next =
            next.map(|start| page.body[start..start + page.body[start..].find('"').unwrap()].replace("&amp;", "&"));
        pages.push(page.body);
        let Some(next) = next else { return pages };
        assert!(pages.len() < 100, "the pages of {first} have an end");
        path = next;
    }
}

/// Inserts failed events with a body and the errors `order N has no line N`, as if they had arrived now.
pub fn insert_failed_events(home: &Home, count: u32) {
    home.sql(&format!(
        "PRAGMA foreign_keys = ON; BEGIN; \
         CREATE TEMP TABLE numbers AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         SELECT i + (SELECT coalesce(max(id), 0) FROM webhook_events) AS id FROM n; \
         INSERT INTO webhook_events (id, source, shop_domain, topic, webhook_id, status, attempts, received_at, \
         completed_at, last_error) SELECT id, 'shopify', '{SHOP}', 'orders/create', 'inserted-' || id, 'failed', 8, \
         strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), \
         'order ' || id || ' has no line ' || id FROM numbers; \
         INSERT INTO webhook_payloads SELECT id, '{{}}', CAST('{{\"id\":' || id || '}}' AS BLOB) FROM numbers; COMMIT;"
    ));
}
