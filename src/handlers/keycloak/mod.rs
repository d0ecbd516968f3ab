//! Keycloak's events → `system_log`.
//!
//! The shapes of Keycloak itself and of its common HTTP listeners, told apart by what they have and not by who sent them:
//! - user events have a `type` (`LOGIN`), admin events an `operationType` and a `resourceType`; Keycloak's own admin events have
//!   no `type` at all;
//! - p2-inc/keycloak-events writes `access.LOGIN` and `admin.USER-CREATE`, with who and from where inside `authDetails`;
//! - vymalo/keycloak-webhook writes `USER-CREATE` for admin events, with who and from where at the top;
//! - jessylenne/keycloak-event-listener-http writes the operation alone (`CREATE`) with a `resourcePath`;
//! - others wrap who and from where in `auth` and write the time as text.
//!
//! Whatever object it is, it is logged: an audit trail that leaves out what it does not know is none.

use crate::clock::{self, Timestamp};
use crate::formats::keycloak::event as parse;
use crate::handlers::json::{self, text};
use crate::handlers::{Done, Event, Handler, Trouble};
use crate::store::changes::{Change, Subject};
use crate::store::system_log::Entry;
use serde_json::Value;
use std::time::Duration;

/// Every event of Keycloak.
pub struct SystemLog;

impl Handler for SystemLog {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = match parse(event.body) {
            Some(body) => body,
            // Neither JSON nor the form that only looks like it: the error names the place.
            None => json::parse(event.body)?,
        };
        let entry = entry(&body, event);
        let subjects = entry.user_id.iter().map(|user| Subject::new("keycloak_user", user.as_str())).collect();
        Ok(Done { changes: vec![Change::SystemLog(Box::new(entry))], subjects, ..Done::default() })
    }
}

const OPERATIONS: [&str; 4] = ["CREATE", "UPDATE", "DELETE", "ACTION"];

fn entry(body: &Value, event: &Event<'_>) -> Entry {
    let stated = text(body, "type");
    let bare = stated.as_deref().map(|name| {
        ["access.", "admin.", "system."].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
    });
    let (operation, resource) = operation_and_resource(body, bare);
    let kind = match (bare, &operation, &resource) {
        // The operation alone is no name: USER-CREATE, as the other listeners write it.
        (None | Some("CREATE" | "UPDATE" | "DELETE" | "ACTION"), Some(operation), Some(resource)) => {
            format!("{resource}-{operation}")
        }
        (None, Some(operation), None) => operation.clone(),
        (Some(name), _, _) => name.to_owned(),
        (None, None, _) => "unknown".to_owned(),
    };
    let inside = |field: &str| ["authDetails", "auth"].iter().find_map(|place| text(body.get(*place)?, field));
    let who = |field: &str| text(body, field).or_else(|| inside(field));
    let details = body.get("details").filter(|details| details.is_object());
    let detail = |field: &str| details.and_then(|details| text(details, field));
    let error = text(body, "error");
    Entry {
        at: clock::text(happened_at(body, event)),
        result: if error.is_some() || kind.ends_with("_ERROR") { "error" } else { "ok" },
        kind: bounded(kind),
        // The name where there is one: `realmId` is a UUID in new versions. What stands in authDetails is where an admin signed in,
        // not what was changed: only where nothing else is told.
        realm: text(body, "realmName")
            .or_else(|| text(body, "realmId"))
            .or_else(|| inside("realmName"))
            .or_else(|| inside("realmId"))
            .map(bounded),
        user_id: who("userId").map(bounded),
        username: who("username").or_else(|| detail("username")).map(bounded),
        client_id: who("clientId").map(bounded),
        ip_address: who("ipAddress").map(bounded),
        session_id: who("sessionId").map(bounded),
        operation: operation.map(bounded),
        resource: resource.map(bounded),
        resource_path: text(body, "resourcePath").map(bounded),
        error: error.map(bounded),
        details: details.map(Value::to_string).map(|text| match text.len() {
            0..=DETAILS_BYTES_MAX => text,
            bytes => format!(r#"{{"left_out":"{bytes} bytes, see the event's body"}}"#),
        }),
    }
}

/// Longest text that a column of the trail takes, and longest details: a stranger may type megabytes as a user name.
const TEXT_CHARS_MAX: usize = 500;
const DETAILS_BYTES_MAX: usize = 16 << 10;

fn bounded(text: String) -> String {
    if text.chars().count() <= TEXT_CHARS_MAX {
        text
    } else {
        text.chars().take(TEXT_CHARS_MAX - 1).chain(['…']).collect()
    }
}

/// When it happened by Keycloak's clock, as far as that can be: an event does not come before it happened, and not from a time
/// before there was Keycloak. A row far in the future would keep all behind it from ever being cut.
fn happened_at(body: &Value, event: &Event<'_>) -> Timestamp {
    let latest = clock::after(event.received_at, Duration::from_hours(24));
    let earliest = Timestamp::from_second(946_684_800).unwrap_or(Timestamp::UNIX_EPOCH);
    time(body).filter(|at| (earliest..=latest).contains(at)).unwrap_or(event.received_at)
}

/// What an admin event did, and to what kind of thing.
fn operation_and_resource(body: &Value, name: Option<&str>) -> (Option<String>, Option<String>) {
    let resource = text(body, "resourceType").or_else(|| text(body, "resourceTypeAsString"));
    if let Some(operation) = text(body, "operationType") {
        return (Some(operation), resource);
    }
    let Some(name) = name else { return (None, resource) };
    if OPERATIONS.contains(&name) {
        // The path's first part is the best that is known: users/…, clients/….
        let path = text(body, "resourcePath");
        let first = path
            .as_deref()
            .and_then(|path| path.split('/').next())
            .map(|first| first.strip_suffix('s').unwrap_or(first).replace('-', "_").to_ascii_uppercase());
        return (Some(name.to_owned()), resource.or(first));
    }
    match name.rsplit_once('-') {
        Some((kind, operation)) if OPERATIONS.contains(&operation) => {
            (Some(operation.to_owned()), Some(kind.to_owned()))
        }
        _ => (None, resource),
    }
}

/// Milliseconds since 1970 in Keycloak's own events, text in some listeners'.
fn time(body: &Value) -> Option<Timestamp> {
    let written = body.get("time").or_else(|| body.get("timestamp"))?;
    match written {
        Value::Number(number) => Timestamp::from_millisecond(number.as_i64()?).ok(),
        Value::String(text) => clock::parse(text).ok().or_else(|| Timestamp::from_millisecond(text.parse().ok()?).ok()),
        _ => None,
    }
}
