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
use crate::handlers::keycloak_fields::{
    ACTOR_OF_ADMIN_EVENT, ACTOR_OF_USER_EVENT, FieldReader, collect_details, states_value,
};
use crate::handlers::{Event, Handler, HandlerError, Plan, json};
use crate::keycloak_event::{TIME_FIELDS, parse_event_time, parse_keycloak_event};
use crate::lenient_json::JsonValue;
use std::collections::BTreeSet;
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
        let bodies = body.as_array().filter(|events| !events.is_empty()).unwrap_or(std::slice::from_ref(&body));
        let is_list = body.as_array().is_some();
        let (entries, times): (Vec<AuditEntry>, Vec<TimeReading>) =
            bodies.iter().map(|body| build_audit_entry(body, event, is_list)).unzip();
        let subjects: BTreeSet<&String> = entries.iter().filter_map(|entry| entry.user_id.as_ref()).collect();
        let subjects = subjects.into_iter().map(|user| Subject::new("keycloak_user", user.as_str())).collect();
        let mut plan = Plan { changes: vec![Change::AuditEntries(entries)], subjects, ..Plan::default() };
        if times.contains(&TimeReading::Unreadable) {
            plan.add_note(
                "the time of the event cannot be read: `at` is the time of receipt, and `details` has the text",
            );
        }
        for note in notes {
            plan.add_note(&note);
        }
        Ok(plan)
    }
}

const ADMIN_OPERATIONS: [&str; 4] = ["CREATE", "UPDATE", "DELETE", "ACTION"];

/// Builds the row of one event. A list keeps the ids of its events in the details, because the list has its own id.
fn build_audit_entry(body: &JsonValue, event: &Event<'_>, is_in_list: bool) -> (AuditEntry, TimeReading) {
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
    let mut reader = FieldReader::new(body);
    // In an admin event, `authDetails` is who acted. A user beside it is whom the action was about.
    let containers = if operation.is_some() { ACTOR_OF_ADMIN_EVENT } else { ACTOR_OF_USER_EVENT };
    let realm = REALM_PLACES.iter().find_map(|place| reader.read(*place));
    reader.take_equal(&REALM_PLACES, realm.as_deref());
    let mut take_actor = |field: &'static str| reader.take_first(&containers.map(|container| (container, field)));
    let user_id = take_actor("userId");
    let stated_name = take_actor("username");
    let client_id = take_actor("clientId");
    let ip_address = take_actor("ipAddress");
    let session_id = take_actor("sessionId");
    let details = body.get("details").filter(|details| details.is_object());
    let username = stated_name.or_else(|| details.and_then(|details| read_text(details, "username")));
    let resource_path = reader.take_first(&[("", "resourcePath")]);
    let error = body.get("error").filter(|error| states_error(error)).map(|error| match read_text(body, "error") {
        Some(text) => text,
        None => error.to_string(),
    });
    let (at, reading) = resolve_event_time(body, event);
    let taken = [("type", &stated_type), ("operationType", &operation)];
    let resources = [("resourceType", &resource), ("resourceTypeAsString", &resource)];
    for (field, value) in taken.into_iter().chain(resources) {
        reader.take_equal(&[("", field)], value.as_deref());
    }
    reader.take_if("error", |_| true);
    reader.take_if("representation", |_| true);
    reader.take_if("id", |_| !is_in_list);
    reader.take_if("uid", |_| !is_in_list);
    reader.take_if("details", JsonValue::is_object);
    let is_in_path = |id: &JsonValue| match (id.as_str(), &resource_path) {
        (Some(id), Some(path)) => path.split('/').any(|part| part == id),
        _ => false,
    };
    reader.take_if("resourceId", is_in_path);
    for field in TIME_FIELDS {
        reader.take_if(field, |value| read_time_value(value) == Some(at) && reading == TimeReading::Stated);
    }
    let entry = AuditEntry {
        at: clock::format_timestamp(at),
        result: if error.is_some() || kind.ends_with("_ERROR") { "error" } else { "ok" },
        kind: truncate_text(kind),
        realm: realm.map(truncate_text),
        user_id: user_id.map(truncate_text),
        username: username.map(truncate_text),
        client_id: client_id.map(truncate_text),
        ip_address: ip_address.map(truncate_text),
        session_id: session_id.map(truncate_text),
        operation: operation.map(truncate_text),
        resource: resource.map(truncate_text),
        resource_path: resource_path.map(truncate_text),
        error: error.map(truncate_text),
        details: collect_details(body, &reader).map(|details| details.to_string()).map(|text| match text.len() {
            0..=DETAILS_BYTES_MAX => text,
            bytes => format!(r#"{{"left_out":"{bytes} bytes, see the event's body"}}"#),
        }),
    };
    (entry, reading)
}

/// Places of the realm, in the order of preference. The name is preferred, because `realmId` is a UUID in new versions.
/// `authDetails` has the realm in which an admin signed in and not the changed one, so it comes last.
const REALM_PLACES: [(&str, &str); 6] = [
    ("", "realmName"),
    ("", "realmId"),
    ("authDetails", "realmName"),
    ("auth", "realmName"),
    ("authDetails", "realmId"),
    ("auth", "realmId"),
];

/// Returns true for an error of any shape: `false`, and an object or list without content, are none.
fn states_error(error: &JsonValue) -> bool {
    match error {
        JsonValue::Null | JsonValue::Bool(false) => false,
        JsonValue::Text(text) => !text.is_empty(),
        JsonValue::Array(elements) => !elements.is_empty(),
        JsonValue::Object(object) => !object.is_empty(),
        JsonValue::Bool(true) | JsonValue::Number(_) => true,
    }
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

/// What the time of an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TimeReading {
    Stated,
    /// The event states none.
    Absent,
    /// The event states a time that is none, or an implausible one.
    Unreadable,
}

/// Returns the time of the event by Keycloak's clock, or its time of receipt if Keycloak's time is implausible.
///
/// A time more than a day after receipt, or before the year 2000, is implausible. A row far in the future would keep
/// all later rows from ever being truncated.
fn resolve_event_time(body: &JsonValue, event: &Event<'_>) -> (Timestamp, TimeReading) {
    let latest = clock::add_duration(event.received_at, Duration::from_hours(24));
    let stated: Vec<&JsonValue> =
        TIME_FIELDS.iter().filter_map(|field| body.get(field)).filter(|at| states_value(at)).collect();
    let found = stated.iter().find_map(|value| read_time_value(value).filter(|at| *at <= latest));
    match (found, stated.is_empty()) {
        (Some(at), _) => (at, TimeReading::Stated),
        (None, true) => (event.received_at, TimeReading::Absent),
        (None, false) => (event.received_at, TimeReading::Unreadable),
    }
}

fn read_time_value(value: &JsonValue) -> Option<Timestamp> {
    match value {
        JsonValue::Text(text) => parse_event_time(text),
        JsonValue::Number(number) => parse_event_time(&number.to_string()),
        _ => None,
    }
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
        let entry = read_entry(body);
        (entry.kind, entry.operation, entry.resource)
    }

    fn read_entry(body: &str) -> AuditEntry {
        read_entry_and_note(body).0
    }

    fn read_entry_and_note(body: &str) -> (AuditEntry, Option<String>) {
        let key = EventKey {
            source: Source::Keycloak,
            shop_domain: String::new(),
            topic: String::new(),
            webhook_id: "1".into(),
        };
        let identity = EventIdentity { id: 1, key };
        let event = Event {
            identity: &identity,
            received_at: Timestamp::from_second(1_000_000_000).unwrap(),
            triggered_at: None,
            body_hash: 0,
            body: body.as_bytes(),
            is_events_preview: false,
            body_notes: None,
        };
        let mut plan = KeycloakEventHandler.plan(&event).unwrap();
        match plan.changes.pop() {
            Some(Change::AuditEntries(mut entries)) => (entries.remove(0), plan.note),
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
            assert_eq!(read_entry(body).details.as_deref(), expected, "{body}");
        }
    }

    /// Checks who acted, whom it was about, and what a second field states.
    #[test]
    fn every_value_is_in_a_column_or_in_the_details() {
        let admin = r#""operationType": "DELETE", "resourceType": "USER""#;
        for (body, user, result, details) in [
            (format!(r#"{{{admin}, "resourceId": "v"}}"#), None, "ok", Some(r#"{"other_fields":{"resourceId":"v"}}"#)),
            (format!(r#"{{{admin}, "resourceId": "v", "resourcePath": "users/v"}}"#), None, "ok", None),
            (
                format!(r#"{{{admin}, "userId": "target", "authDetails": {{"userId": "admin", "ipAddress": "::1"}}}}"#),
                Some("admin"),
                "ok",
                Some(r#"{"other_fields":{"userId":"target"}}"#),
            ),
            (
                format!(r#"{{{admin}, "realmId": "acme", "authDetails": {{"realmId": "master", "userId": "a"}}}}"#),
                Some("a"),
                "ok",
                Some(r#"{"other_fields":{"authDetails":{"realmId":"master"}}}"#),
            ),
            (
                r#"{"type": "LOGIN", "userId": "u", "realmId": "9f", "realmName": "acme"}"#.to_owned(),
                Some("u"),
                "ok",
                Some(r#"{"other_fields":{"realmId":"9f"}}"#),
            ),
            (
                r#"{"type": "LOGIN", "username": "a", "authDetails": {"username": "b"}, "auth": {"username": "a"}}"#
                    .to_owned(),
                None,
                "ok",
                Some(r#"{"other_fields":{"authDetails":{"username":"b"}}}"#),
            ),
            (
                r#"{"type": "LOGIN", "x": 1, "details": {"other_fields": "own"}}"#.to_owned(),
                None,
                "ok",
                Some(r#"{"other_fields":"own","other_fields_2":{"x":1}}"#),
            ),
            (r#"{"type": "LOGIN", "error": {"code": "E"}}"#.to_owned(), None, "error", None),
            (r#"{"type": "LOGIN", "error": ["E"]}"#.to_owned(), None, "error", None),
            (r#"{"type": "LOGIN", "error": true}"#.to_owned(), None, "error", None),
            (r#"{"type": "LOGIN", "error": {}}"#.to_owned(), None, "ok", None),
            (r#"{"type": "LOGIN", "error": false}"#.to_owned(), None, "ok", None),
        ] {
            let entry = read_entry(&body);
            assert_eq!((entry.user_id.as_deref(), entry.result), (user, result), "{body}");
            assert_eq!(entry.details.as_deref(), details, "{body}");
        }
        let entry = read_entry(r#"{"type": "LOGIN", "error": {"code": "E"}}"#);
        assert_eq!(entry.error.as_deref(), Some(r#"{"code":"E"}"#));
    }

    #[test]
    fn time_that_cannot_be_read_is_noted_and_kept() {
        for (body, note, details) in [
            (r#"{"type": "LOGIN"}"#, false, None),
            (r#"{"type": "LOGIN", "time": null, "timestamp": ""}"#, false, None),
            (r#"{"type": "LOGIN", "time": 946684800000}"#, false, None),
            (r#"{"type": "LOGIN", "time": "10:77"}"#, true, Some(r#"{"other_fields":{"time":"10:77"}}"#)),
            (r#"{"type": "LOGIN", "time": 12}"#, true, Some(r#"{"other_fields":{"time":12}}"#)),
            (
                r#"{"type": "LOGIN", "time": 946684800000, "timestamp": "2000-01-02T00:00:00Z"}"#,
                false,
                Some(r#"{"other_fields":{"timestamp":"2000-01-02T00:00:00Z"}}"#),
            ),
        ] {
            let (entry, found) = read_entry_and_note(body);
            assert_eq!(found.is_some(), note, "{body}: {found:?}");
            assert_eq!(entry.details.as_deref(), details, "{body}");
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
