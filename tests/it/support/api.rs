//! A program that uses the API with a token, and a daemon that has something for each route.

use super::console::ConsoleClient;
use super::destinations::{WORKER, directory_destination};
use super::edi_files::{interchange, order_set};
use super::openapi::ApiDescription;
use super::{Daemon, Home, Request, Response, easypost_request, keycloak_request, order_body};
use serde_json::Value;
use std::fs;

/// A program with a token.
pub struct Program {
    pub client: ConsoleClient,
    /// Value of the header `authorization`.
    pub bearer: String,
}

impl Program {
    /// Creates a token with a name and scopes.
    pub fn new(daemon: &Daemon<'_>, name: &str, scopes: &[&str]) -> Self {
        let mut arguments = vec!["tokens", "create", name];
        for scope in scopes {
            arguments.extend(["--scope", scope]);
        }
        let token = daemon.home.run_ok(&arguments);
        let bearer = format!("Bearer {}", token.lines().next().unwrap());
        Self { client: ConsoleClient::of(daemon), bearer }
    }

    /// Returns the document of the API.
    pub fn describe(&self) -> ApiDescription {
        ApiDescription::new(self.client.get("/api/v1/openapi.json").json())
    }

    pub fn send(&self, request: Request) -> Response {
        self.client.send(request.with_header("authorization", &self.bearer))
    }

    pub fn get(&self, path: &str) -> Response {
        self.send(Request::new("GET", path))
    }

    pub fn get_json(&self, path: &str) -> Value {
        let response = self.get(path);
        assert_eq!(response.status, 200, "{path}: {response:?}");
        response.json()
    }

    pub fn send_json(&self, method: &str, path: &str, body: &Value) -> Response {
        self.send(json_request(method, path, body))
    }
}

pub fn json_request(method: &str, path: &str, body: &Value) -> Request {
    let request = Request { body: body.to_string().into_bytes(), ..Request::new(method, path) };
    request.with_header("content-type", "application/json")
}

/// Creates a home with a destination and an EDI source.
pub fn home_with_everything() -> Home {
    let home = Home::new("");
    for name in ["in", "files"] {
        fs::create_dir(home.path(name)).unwrap();
    }
    home.configure(&format!(
        "{WORKER}{}[sps]\ninterval = \"0s\"\n[[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\nsettle = \"0s\"\n",
        directory_destination(&home.path("files")),
        home.path("in").display()
    ));
    home
}

const TRACKER: &[u8] = br#"{"id":"evt_1","object":"Event","mode":"production","description":"tracker.updated",
    "created_at":"2026-11-24T10:00:00Z","result":{"id":"trk_1","object":"Tracker","mode":"production",
    "tracking_code":"1Z 999-A1","carrier":"UPS","status":"in_transit","updated_at":"2026-11-24T10:00:00Z",
    "tracking_details":[{"object":"TrackingDetail","message":"Departed","status":"in_transit",
    "datetime":"2026-11-24T09:00:00Z"}]}}"#;
const LOGIN_ERROR: &[u8] = br#"{"id":"k-1","time":1795514400000,"type":"LOGIN_ERROR","realmId":"shop","clientId":"web",
    "userId":null,"ipAddress":"192.0.2.7","error":"invalid_user_credentials","details":{"username":"ada"}}"#;

/// Sends an event of each source; returns the ids of an order and of a failed event.
pub fn fill(daemon: &Daemon<'_>) -> (i64, i64) {
    let home = daemon.home;
    let order = daemon.send_order("w-1", &order_body(1001)).event_id();
    daemon.send_order("w-2", &order_body(1002)).event_id();
    let failed = daemon.send_order("w-3", b"{}").event_id();
    assert_eq!(daemon.request(&easypost_request(TRACKER)).status, 200);
    assert_eq!(daemon.request(&keycloak_request(LOGIN_ERROR)).status, 200);
    assert_eq!(daemon.request(&Request::new("GET", "/nowhere")).status, 404);
    fs::write(home.path("in/PO1.edi"), interchange("850", &[order_set("PO1", 2)])).unwrap();
    home.run_ok(&["sps", "poll"]);
    home.wait_until_processed();
    home.wait_for("SELECT count(*) FROM destination_queue", "0");
    home.wait_for("SELECT count(*) FROM rejected_requests", "1");
    home.sql(
        "INSERT INTO alerts (kind, subject, first_at, last_at, count, message) \
         VALUES ('login_errors_of_user', 'ada', '2026-11-24T10:00:00.000Z', '2026-11-24T10:00:00.000Z', 10, 'ten')",
    );
    (order, failed)
}
