//! Every field of a body with a value is in a row, or it is named here with the reason.
//!
//! A field whose other value gives the same rows has vanished. So each value of each body is changed, one at a time.

use crate::support::SHOP;
use crate::support::odd_events::odd_events;
use crate::support::provider_events::{ProviderEvent, golden_events};
use novex_ingest::internals::changes::Change;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Fields that no row has, each with the start of its topics. `[]` is any element of an array, `*` any field.
const LEFT_OUT: &[(&str, &str)] = &[
    // The envelope: `webhook_events` has the id, the topic and the time.
    ("keycloak", "id"),
    ("keycloak", "uid"),
    ("easypost", "id"),
    ("easypost", "object"),
    ("easypost", "description"),
    ("easypost", "mode"),
    ("easypost", "created_at"),
    ("easypost", "updated_at"),
    ("easypost", "user_id"),
    ("easypost", "status"),
    ("easypost", "pending_urls.*"),
    ("easypost", "completed_urls.*"),
    // The values before the event, which an earlier event stated.
    ("easypost", "previous_attributes.*"),
    // The type of an object, which the table has, and its mode, which is one of two.
    ("easypost", "*.object"),
    ("easypost", "result.mode"),
    ("easypost", "result.tracker.*"),
    // The values that an admin wrote stay in the body, because they may be secret.
    ("keycloak", "representation"),
    // Another spelling of the id.
    ("shopify", "*.admin_graphql_api_id"),
    // Repetitions of other fields of the same body.
    ("shopify customers/", "addresses.[].customer_id"),
    ("shopify customers/", "default_address.customer_id"),
    ("shopify products/", "variants.[].product_id"),
    // The note of the event says that the merge did not happen.
    ("shopify customers/merge", "status"),
    ("shopify customers/merge", "errors.*"),
    ("shopify app/uninstalled", "myshopify_domain"),
    ("shopify shop/", "myshopify_domain"),
];

/// Returns the rows of an event without the version, which is a digest of the body.
fn plan_rows(event: &ProviderEvent) -> String {
    let Ok(mut plan) = event.plan(SHOP) else { return "refused".to_owned() };
    for change in &mut plan.changes {
        if let Change::Row(row) = change {
            row.row_version.clear();
        }
    }
    format!("{plan:?}")
}

/// Returns the path of each value that is not empty: JSON pointers.
fn list_values(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                list_values(field, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                list_values(element, &format!("{path}/{index}"), found);
            }
        }
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => found.push(path.to_owned()),
    }
}

/// Changes a value to another one of its kind.
fn change_value(value: &mut Value) {
    *value = match &*value {
        Value::Bool(value) => Value::Bool(!value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Value::from(number.wrapping_add(1)),
            None => Value::from(7),
        },
        Value::String(text) if text.parse::<f64>().is_ok() => Value::String(format!("{text}1")),
        Value::String(text) if text.get(10..11) == Some("T") && text.starts_with("20") => {
            Value::String(text.replacen("20", "19", 1))
        }
        Value::String(text) if text.starts_with("gid://") => Value::String(format!("{text}1")),
        Value::String(text) => Value::String(format!("{text}x")),
        other => other.clone(),
    };
}

/// Returns a pointer as it is written in [`LEFT_OUT`].
fn describe_path(pointer: &str) -> String {
    let steps = pointer.split('/').skip(1).map(|step| if step.parse::<u32>().is_ok() { "[]" } else { step });
    steps.collect::<Vec<_>>().join(".")
}

fn is_left_out(source: &str, topic: &str, path: &str) -> bool {
    LEFT_OUT.iter().any(|(topics, pattern)| {
        let is_topic = format!("{source} {topic}").starts_with(topics);
        is_topic
            && (*pattern == "*"
                || match (pattern.strip_suffix(".*"), pattern.strip_prefix("*.")) {
                    (Some(start), _) => {
                        path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                    }
                    (None, Some(end)) => path == end || path.ends_with(&format!(".{end}")),
                    (None, None) => path == *pattern,
                })
    })
}

/// Returns the fields whose values change no row, each with a topic.
fn find_lost_fields(events: &[ProviderEvent]) -> BTreeMap<String, String> {
    let mut lost = BTreeMap::new();
    for event in events {
        let Ok(body) = serde_json::from_slice::<Value>(&event.body) else { continue };
        let rows = plan_rows(event);
        if rows == "refused" || rows.contains("stored only") {
            continue;
        }
        let mut values = Vec::new();
        list_values(&body, "", &mut values);
        for pointer in values {
            let path = describe_path(&pointer);
            if is_left_out(&event.source, &event.topic, &path) {
                continue;
            }
            let mut changed = body.clone();
            change_value(changed.pointer_mut(&pointer).unwrap());
            let changed = ProviderEvent { body: serde_json::to_vec(&changed).unwrap(), ..event.clone() };
            if plan_rows(&changed) == rows {
                lost.insert(format!("{} {} {path}", event.source, event.topic), pointer);
            }
        }
    }
    lost
}

#[test]
fn no_field_of_a_golden_event_vanishes() {
    let events: Vec<ProviderEvent> = golden_events().into_iter().map(|(_, event)| event).collect();
    let lost = find_lost_fields(&events);
    assert!(lost.is_empty(), "{lost:#?}");
}

#[test]
fn no_field_of_an_odd_event_vanishes() {
    let lost = find_lost_fields(&odd_events());
    assert!(lost.is_empty(), "{lost:#?}");
}

fn list_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).map(|entries| entries.map(|entry| entry.unwrap().path()).collect());
    let mut files: Vec<PathBuf> = entries.unwrap_or_default();
    files.sort();
    files.into_iter().flat_map(|path| if path.is_dir() { list_files(&path) } else { vec![path] }).collect()
}

#[test]
fn no_field_of_a_sample_vanishes() {
    let Some(directory) = std::env::var_os("NOVEX_SAMPLES") else {
        println!("skipped: NOVEX_SAMPLES names no directory of real payloads");
        return;
    };
    let mut events = Vec::new();
    for source in ["shopify", "easypost", "keycloak"] {
        for path in list_files(&Path::new(&directory).join(source)) {
            let Ok(whole) = serde_json::from_slice::<Value>(&fs::read(&path).unwrap_or_default()) else { continue };
            let body = whole.get("response").filter(|_| source == "shopify").unwrap_or(&whole);
            let topic = match source {
                "shopify" => path.file_stem().unwrap().to_string_lossy().replacen("__", "/", 1),
                "easypost" => body["description"].as_str().unwrap_or("unknown").to_owned(),
                _ => body["type"].as_str().unwrap_or("unknown").to_owned(),
            };
            events.push(ProviderEvent {
                source: source.into(),
                topic,
                body: serde_json::to_vec(body).unwrap(),
                triggered_at: "2026-11-24T23:00:00Z".into(),
            });
        }
    }
    assert!(!events.is_empty());
    let lost = find_lost_fields(&events);
    assert!(lost.is_empty(), "{lost:#?}");
}
