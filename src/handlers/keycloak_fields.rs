//! The fields of Keycloak's events: which of them a column has. All others are details, because an audit trail must not
//! lose what an event states.

use crate::handlers::json::read_text;
use crate::lenient_json::{JsonObject, JsonValue};
use std::rc::Rc;

/// Objects of an admin event that may have who acted, in the order of preference. The empty name is the event
/// itself.
pub(super) const ACTOR_OF_ADMIN_EVENT: [&str; 3] = ["authDetails", "auth", ""];
/// The same of a user event.
pub(super) const ACTOR_OF_USER_EVENT: [&str; 3] = ["", "authDetails", "auth"];

/// Reads the fields of an event and remembers those whose value a column has, so that no other field is lost.
pub(super) struct FieldReader<'b> {
    body: &'b JsonValue,
    /// Container and field; the container is empty for a field of the event itself.
    taken: Vec<(&'static str, &'static str)>,
}

impl<'b> FieldReader<'b> {
    pub(super) fn new(body: &'b JsonValue) -> Self {
        Self { body, taken: Vec::new() }
    }

    /// Returns the text of a field; the container is empty for a field of the event itself.
    pub(super) fn read(&self, (container, field): (&str, &str)) -> Option<String> {
        let holder = if container.is_empty() { self.body } else { self.body.get(container)? };
        read_text(holder, field)
    }

    /// Returns the first value, and takes each of the fields that repeats it.
    pub(super) fn take_first(&mut self, places: &[(&'static str, &'static str)]) -> Option<String> {
        let value = places.iter().find_map(|place| self.read(*place));
        self.take_equal(places, value.as_deref());
        value
    }

    /// Takes each of the fields that has this value.
    pub(super) fn take_equal(&mut self, places: &[(&'static str, &'static str)], value: Option<&str>) {
        let is_equal =
            |place: &&(&'static str, &'static str)| value.is_some() && self.read(**place).as_deref() == value;
        let equal: Vec<_> = places.iter().filter(is_equal).copied().collect();
        self.taken.extend(equal);
    }

    /// Takes a field of the event itself if its value is one that a column has.
    pub(super) fn take_if(&mut self, field: &'static str, is_taken: impl Fn(&JsonValue) -> bool) {
        if self.body.get(field).is_some_and(is_taken) {
            self.taken.push(("", field));
        }
    }

    /// Returns the fields that no column has, without those that state nothing.
    fn list_others(&self) -> JsonObject {
        let fields = self.body.as_object().into_iter().flat_map(JsonObject::iter);
        fields
            .filter(|(name, value)| states_value(value) && !self.taken.contains(&("", *name)))
            .filter_map(|(name, value)| Some((Rc::from(name), self.remove_taken(name, value)?)))
            .collect()
    }

    /// Returns a value without the fields inside that a column has; `None` if nothing is left.
    fn remove_taken(&self, container: &str, value: &JsonValue) -> Option<JsonValue> {
        let Some(object) = value.as_object().filter(|_| ACTOR_OF_USER_EVENT.contains(&container)) else {
            return Some(value.clone());
        };
        let is_left = |(name, inner): &(&str, &JsonValue)| {
            states_value(inner)
                && !self.taken.contains(&(container, *name))
                && (self.read(("", *name)).is_none() || self.read(("", *name)) != read_text(value, name))
        };
        let left: JsonObject =
            object.iter().filter(is_left).map(|(name, inner)| (Rc::from(name), inner.clone())).collect();
        (!left.is_empty()).then_some(JsonValue::Object(left))
    }
}

/// Returns the details of an event, with the fields that no column takes in `other_fields`. Listeners add their own.
pub(super) fn collect_details(body: &JsonValue, reader: &FieldReader<'_>) -> Option<JsonValue> {
    let own = body.get("details").and_then(JsonValue::as_object);
    let others = match body {
        JsonValue::Object(_) => reader.list_others(),
        JsonValue::Null => std::iter::empty::<(Rc<str>, JsonValue)>().collect(),
        // A list may hold anything.
        other => [(Rc::from("body"), other.clone())].into_iter().collect(),
    };
    if others.is_empty() {
        return own.and(body.get("details")).cloned();
    }
    // The event may have a detail of this name.
    let is_free = |name: &String| own.is_none_or(|own| !own.contains_key(name));
    let mut names =
        std::iter::once("other_fields".to_owned()).chain((2..).map(|count| format!("other_fields_{count}")));
    let name = names.find(is_free).unwrap_or_default();
    let own = own.into_iter().flat_map(JsonObject::iter).map(|(name, value)| (Rc::from(name), value.clone()));
    Some(JsonValue::Object(own.chain([(name.into(), JsonValue::Object(others))]).collect()))
}

/// Returns true for a value that is not empty.
pub(super) fn states_value(value: &JsonValue) -> bool {
    !value.is_null() && value.as_str() != Some("")
}
