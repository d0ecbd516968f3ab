//! A checker of answers against the schemas of an OpenAPI document.
//!
//! It is stricter than the standard: a key of an answer that its schema does not name is a fault, unless the schema
//! says that there are other keys. So an answer cannot have undocumented parts.

use serde_json::Value;
use std::collections::BTreeSet;

/// The document of the API.
pub struct ApiDescription {
    pub document: Value,
}

impl ApiDescription {
    pub fn new(document: Value) -> Self {
        Self { document }
    }

    /// Returns every operation as `get /path`.
    pub fn list_operations(&self) -> BTreeSet<String> {
        let paths = self.document["paths"].as_object().unwrap();
        let of_path = |(path, item): (&String, &Value)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(|method| format!("{method} {path}")).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of_path).collect()
    }

    /// Checks that every reference leads to a schema, and that every schema is used.
    pub fn check_references(&self) {
        let mut named = BTreeSet::new();
        collect_references(&self.document, &mut named);
        let defined = self.document["components"]["schemas"].as_object().unwrap().keys();
        let defined: BTreeSet<String> = defined.map(|name| format!("#/components/schemas/{name}")).collect();
        assert_eq!(named, defined);
    }

    /// Checks the body of an answer against the schema of its operation and status.
    pub fn check_answer(&self, method: &str, route: &str, status: u16, answer: &Value) {
        let response = &self.document["paths"][route][method]["responses"][status.to_string()];
        let schema = &response["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {route} has no schema for {status}: {response}");
        let faults = self.find_faults(schema, answer, "answer");
        assert!(faults.is_empty(), "{method} {route}: {}\n{answer}", faults.join("\n"));
    }

    /// Checks a value against the schema of a name.
    pub fn check_schema(&self, name: &str, value: &Value) {
        let faults = self.find_faults(&self.document["components"]["schemas"][name], value, name);
        assert!(faults.is_empty(), "{name}: {}\n{value}", faults.join("\n"));
    }

    fn resolve<'s>(&'s self, schema: &'s Value) -> &'s Value {
        match schema["$ref"].as_str() {
            Some(reference) => self.document.pointer(reference.trim_start_matches('#')).expect(reference),
            None => schema,
        }
    }

    /// Collects the properties of a schema, also of all parts of an `allOf`, and whether it allows others.
    fn collect_properties<'s>(&'s self, schema: &'s Value, found: &mut Vec<(&'s str, &'s Value)>) -> bool {
        let schema = self.resolve(schema);
        let own = schema["properties"].as_object();
        found.extend(own.into_iter().flatten().map(|(name, property)| (name.as_str(), property)));
        let parts = schema["allOf"].as_array().into_iter().flatten();
        let is_free = own.is_none() && schema["allOf"].is_null();
        let others = &schema["additionalProperties"];
        parts.fold(is_free || *others == true, |is_open, part| self.collect_properties(part, found) || is_open)
    }

    fn find_faults(&self, schema: &Value, value: &Value, place: &str) -> Vec<String> {
        let schema = self.resolve(schema);
        if let Some(choices) = schema["oneOf"].as_array() {
            let fitting = choices.iter().filter(|choice| self.find_faults(choice, value, place).is_empty()).count();
            return if fitting == 1 { Vec::new() } else { vec![format!("{place} fits {fitting} of the choices")] };
        }
        if !fits_type(&schema["type"], value) {
            return vec![format!("{place} is {value}, not {}", schema["type"])];
        }
        let mut faults = Vec::new();
        if let Some(items) = value.as_array() {
            assert!(schema["items"].is_object(), "{place} has no schema of its items");
            for (index, item) in items.iter().enumerate() {
                faults.extend(self.find_faults(&schema["items"], item, &format!("{place}[{index}]")));
            }
        }
        let Some(object) = value.as_object() else { return faults };
        let (mut properties, mut required) = (Vec::new(), Vec::new());
        let is_open = self.collect_properties(schema, &mut properties);
        self.collect_required(schema, &mut required);
        for (name, property) in object {
            match properties.iter().find(|(known, _)| known == name) {
                Some((_, schema)) => faults.extend(self.find_faults(schema, property, &format!("{place}.{name}"))),
                None if is_open => {}
                None => faults.push(format!("{place}.{name} is not in the document")),
            }
        }
        faults.extend(
            required
                .iter()
                .filter(|name| !object.contains_key(**name))
                .map(|name| format!("{place}.{name} is missing")),
        );
        faults
    }

    fn collect_required<'s>(&'s self, schema: &'s Value, found: &mut Vec<&'s str>) {
        let schema = self.resolve(schema);
        found.extend(schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap()));
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.collect_required(part, found);
        }
    }
}

fn fits_type(kind: &Value, value: &Value) -> bool {
    match kind {
        Value::Array(kinds) => kinds.iter().any(|kind| fits_type(kind, value)),
        Value::String(kind) => match kind.as_str() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("the type {other} is none of JSON Schema"),
        },
        // A composed schema states no type of its own.
        _ => true,
    }
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| collect_references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_references(value, found)),
        _ => {}
    }
}
