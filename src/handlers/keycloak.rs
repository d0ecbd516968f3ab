//! Keycloak's events, written to the audit trail `system_log`.
//!
//! The handler reads the shapes of Keycloak itself and of its common HTTP listeners. It recognises them by their fields
//! and not by their sender:
//! - user events have a `type` (`LOGIN`), admin events an `operationType` and a `resourceType`; Keycloak's own admin
//!   events have no `type`;
//! - p2-inc/keycloak-events writes `access.LOGIN` and `admin.USER-CREATE`, with user and address inside `authDetails`;
//! - vymalo/keycloak-webhook writes `USER-CREATE` for admin events, with user and address at the top level;
//! - jessylenne/keycloak-event-listener-http writes only the operation (`CREATE`) with a `resourcePath`, so the type of
//!   the resource is not known: `users/7/role-mappings/realm` is about a role and not about a user;
//! - others wrap user and address in `auth` and write the time as text.
//!
//! Each object is logged, also one of an unknown shape: an audit trail must not have gaps.

use crate::changes::Change;
use crate::changes::audit::AuditEntry;
use crate::clock;
use crate::clock::Timestamp;
use crate::event::Subject;
use crate::handlers::json::read_text;
use crate::handlers::{Event, Handler, HandlerError, Plan, json};
use crate::keycloak_event::{TIME_FIELDS, parse_event_time, parse_keycloak_event};
use crate::lenient_json::{JsonObject, JsonValue};
use std::rc::Rc;
use std::time::Duration;

/// Handles each event of Keycloak. Topics: all topics of the source `keycloak`. Writes `system_log`.
pub struct KeycloakEventHandler;

impl Handler for KeycloakEventHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let (body, notes) = match parse_keycloak_event(event.body) {
            Some(read) => {
                let notes = json::list_body_notes(&read);
                (read.value, notes)
            }
            // The body is neither JSON nor the listener's form. Parsing it again as JSON gives the place of the error.
            None => (json::parse_body(event.body)?, Vec::new()),
        };
        let entry = build_audit_entry(&body, event);
        let subjects = entry.user_id.iter().map(|user| Subject::new("keycloak_user", user.as_str())).collect();
        let mut plan = Plan { changes: vec![Change::AuditEntry(Box::new(entry))], subjects, ..Plan::default() };
        for note in notes {
            plan.add_note(&note);
        }
        Ok(plan)
    }
}

const ADMIN_OPERATIONS: [&str; 4] = ["CREATE", "UPDATE", "DELETE", "ACTION"];

fn build_audit_entry(body: &JsonValue, event: &Event<'_>) -> AuditEntry {
    let stated_type = read_text(body, "type");
    let bare_type = stated_type.as_deref().map(|name| {
        ["access.", "admin.", "system."].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
    });
    let (operation, resource) = find_operation_and_resource(body, bare_type);
    let kind = match (bare_type, &operation, &resource) {
        // An operation alone is not a type. The other listeners write USER-CREATE.
        (None | Some("CREATE" | "UPDATE" | "DELETE" | "ACTION"), Some(operation), Some(resource)) => {
            format!("{resource}-{operation}")
        }
        (None, Some(operation), None) => operation.clone(),
        (Some(name), _, _) => name.to_owned(),
        (None, None, _) => "unknown".to_owned(),
    };
    let read_auth = |field: &str| ["authDetails", "auth"].iter().find_map(|name| read_text(body.get(name)?, field));
    let read_actor = |field: &str| read_text(body, field).or_else(|| read_auth(field));
    let details = body.get("details").filter(|details| details.is_object());
    let read_detail = |field: &str| details.and_then(|details| read_text(details, field));
    let error = read_text(body, "error");
    AuditEntry {
        at: clock::format_timestamp(resolve_event_time(body, event)),
        result: if error.is_some() || kind.ends_with("_ERROR") { "error" } else { "ok" },
        kind: truncate_text(kind),
        // The name is preferred, because `realmId` is a UUID in new versions. `authDetails` has the realm in which an
        // admin signed in and not the changed one, so it comes last.
        realm: read_text(body, "realmName")
            .or_else(|| read_text(body, "realmId"))
            .or_else(|| read_auth("realmName"))
            .or_else(|| read_auth("realmId"))
            .map(truncate_text),
        user_id: read_actor("userId").map(truncate_text),
        username: read_actor("username").or_else(|| read_detail("username")).map(truncate_text),
        client_id: read_actor("clientId").map(truncate_text),
        ip_address: read_actor("ipAddress").map(truncate_text),
        session_id: read_actor("sessionId").map(truncate_text),
        operation: operation.map(truncate_text),
        resource: resource.map(truncate_text),
        resource_path: read_text(body, "resourcePath").map(truncate_text),
        error: error.map(truncate_text),
        details: collect_details(body).map(|details| details.to_string()).map(|text| match text.len() {
            0..=DETAILS_BYTES_MAX => text,
            bytes => format!(r#"{{"left_out":"{bytes} bytes, see the event's body"}}"#),
        }),
    }
}

/// Fields that columns have, that identify the event, or that only its body keeps: what an admin wrote may be secret.
const READ_FIELDS: [&str; 26] = [
    "type",
    "id",
    "uid",
    "eventId",
    "source",
    "@class",
    "time",
    "timestamp",
    "realmId",
    "realmName",
    "clientId",
    "userId",
    "username",
    "ipAddress",
    "sessionId",
    "operationType",
    "resourceType",
    "resourceTypeAsString",
    "resourceId",
    "resourcePath",
    "error",
    "details",
    "authDetails",
    "auth",
    "representation",
    "representationIncluded",
];

/// Returns the details of an event, with the fields that no column takes in `other_fields`. Listeners add their own.
fn collect_details(body: &JsonValue) -> Option<JsonValue> {
    let details = body.get("details").filter(|details| !details.is_null());
    let own = details.and_then(JsonValue::as_object);
    let is_unread = |(name, value): &(&str, &JsonValue)| {
        !value.is_null() && (!READ_FIELDS.contains(name) || (*name == "details" && own.is_none()))
    };
    let copy = |(name, value): (&str, &JsonValue)| (Rc::from(name), value.clone());
    let others: JsonObject =
        body.as_object().into_iter().flat_map(JsonObject::iter).filter(is_unread).map(copy).collect();
    if others.is_empty() {
        return own.and(details).cloned();
    }
    let own = own.into_iter().flat_map(JsonObject::iter).map(copy);
    Some(JsonValue::Object(own.chain([("other_fields".into(), JsonValue::Object(others))]).collect()))
}

/// Longest text in a column of the trail, in characters. Anybody can type megabytes as a user name.
const TEXT_CHARS_MAX: usize = 500;
/// Longest details in the trail, in bytes.
const DETAILS_BYTES_MAX: usize = 16 << 10;

fn truncate_text(text: String) -> String {
    if text.chars().count() <= TEXT_CHARS_MAX {
        text
    } else {
        text.chars().take(TEXT_CHARS_MAX - 1).chain(['…']).collect()
    }
}

/// Returns the time of the event by Keycloak's clock, or its time of receipt if Keycloak's time is implausible.
///
/// A time more than a day after receipt, or before the year 2000, is implausible. A row far in the future would keep
/// all later rows from ever being truncated.
fn resolve_event_time(body: &JsonValue, event: &Event<'_>) -> Timestamp {
    let latest = clock::add_duration(event.received_at, Duration::from_hours(24));
    let stated = TIME_FIELDS.iter().find_map(|field| parse_event_time(&read_text(body, field)?));
    stated.filter(|at| *at <= latest).unwrap_or(event.received_at)
}

/// Returns the operation of an admin event and the type of its resource, as far as the event states them.
///
/// The path never decides the type: one path may belong to several types, and Keycloak adds new ones
/// (`org.keycloak.events.admin.ResourceType`).
fn find_operation_and_resource(body: &JsonValue, name: Option<&str>) -> (Option<String>, Option<String>) {
    let resource = read_text(body, "resourceType").or_else(|| read_text(body, "resourceTypeAsString"));
    if let Some(operation) = read_text(body, "operationType") {
        return (Some(operation), resource);
    }
    let Some(name) = name else { return (None, resource) };
    if ADMIN_OPERATIONS.contains(&name) {
        return (Some(name.to_owned()), resource);
    }
    match name.rsplit_once('-') {
        Some((kind, operation)) if ADMIN_OPERATIONS.contains(&operation) => {
            (Some(operation.to_owned()), Some(kind.to_owned()))
        }
        _ => (None, resource),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventIdentity, EventKey, Source};

    /// Returns type, operation and resource of the entry of an event.
    fn read_kind(body: &str) -> (String, Option<String>, Option<String>) {
        let key = EventKey {
            source: Source::Keycloak,
            shop_domain: String::new(),
            topic: String::new(),
            webhook_id: "1".into(),
        };
        let identity = EventIdentity { id: 1, key };
        let event = Event {
            identity: &identity,
            received_at: Timestamp::UNIX_EPOCH,
            triggered_at: None,
            body_hash: 0,
            body: body.as_bytes(),
            is_events_preview: false,
            body_notes: None,
        };
        match KeycloakEventHandler.plan(&event).unwrap().changes.pop() {
            Some(Change::AuditEntry(entry)) => (entry.kind, entry.operation, entry.resource),
            other => panic!("{other:?}"),
        }
    }

    /// Paths whose first word is not the thing that the admin changed.
    const PATHS: [&str; 22] = [
        "users/u1/role-mappings/realm",
        "users/u1/role-mappings/clients/c1",
        "users/u1/groups/g1",
        "users/u1/credentials/k1",
        "users/u1/sessions",
        "users/u1/logout",
        "users/u1/reset-password",
        "users/u1/federated-identity/google",
        "users/u1/execute-actions-email",
        "users",
        "clients/c1/roles/r1",
        "clients/c1/roles/r1/composites",
        "clients/c1/scope-mappings/realm",
        "clients/c1/default-client-scopes/s1",
        "clients/c1/protocol-mappers/models/m1",
        "client-scopes/s1/protocol-mappers/models/m1",
        "groups/g1/role-mappings/realm",
        "groups/g1/children",
        "roles-by-id/r1/composites",
        "authentication/required-actions/VERIFY_EMAIL",
        "sessions/s1",
        "",
    ];

    #[test]
    fn path_of_an_admin_event_is_never_its_resource() {
        for (path, operation) in PATHS.into_iter().zip(ADMIN_OPERATIONS.into_iter().cycle()) {
            let form = format!("{{'type': '{operation}', 'realmId': 'acme', 'resourcePath': '{path}'}}");
            let form = percent_encoding::percent_encode(form.as_bytes(), percent_encoding::NON_ALPHANUMERIC);
            for body in [
                format!("json={form}"),
                format!(r#"{{"type": "{operation}", "resourcePath": "{path}"}}"#),
                format!(r#"{{"type": "admin.{operation}", "resourcePath": "{path}"}}"#),
                format!(r#"{{"operationType": "{operation}", "resourcePath": "{path}"}}"#),
            ] {
                assert_eq!(read_kind(&body), (operation.to_owned(), Some(operation.to_owned()), None), "{body}");
            }
        }
    }

    #[test]
    fn fields_of_a_listeners_own_are_details() {
        for (body, expected) in [
            (r#"{"type": "LOGIN", "details": {"username": "a"}}"#, Some(r#"{"username":"a"}"#)),
            (r#"{"type": "LOGIN", "details": null, "representation": "secret"}"#, None),
            (
                r#"{"type": "LOGIN", "details": {"username": "a"}, "organizationId": "o", "country": null}"#,
                Some(r#"{"other_fields":{"organizationId":"o"},"username":"a"}"#),
            ),
            (r#"{"type": "LOGIN", "details": "text"}"#, Some(r#"{"other_fields":{"details":"text"}}"#)),
        ] {
            let details = collect_details(&body.parse().unwrap()).map(|details| details.to_string());
            assert_eq!(details.as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn stated_resource_is_kept_exactly() {
        for resource in ["REALM_ROLE_MAPPING", "GROUP_MEMBERSHIP", "CLIENT_SCOPE", "CLIENT_ROLE_MAPPING", "CUSTOM"] {
            let path = "users/u1/groups/g1";
            for body in [
                format!(r#"{{"operationType": "DELETE", "resourceType": "{resource}", "resourcePath": "{path}"}}"#),
                format!(r#"{{"operationType": "DELETE", "resourceTypeAsString": "{resource}"}}"#),
                format!(r#"{{"type": "DELETE", "resourceType": "{resource}", "resourcePath": "{path}"}}"#),
                format!(r#"{{"type": "{resource}-DELETE", "resourcePath": "{path}"}}"#),
                format!(r#"{{"type": "admin.{resource}-DELETE", "resourcePath": "{path}"}}"#),
            ] {
                let expected = (format!("{resource}-DELETE"), Some("DELETE".to_owned()), Some(resource.to_owned()));
                assert_eq!(read_kind(&body), expected, "{body}");
            }
        }
    }
}
