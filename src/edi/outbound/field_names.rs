//! Names of the fields that a document of the ERP may have, so that a misspelt one is named with the right one.
//!
//! The names are those of the types that serde reads. [`FieldNames::of`] lets serde read a document without content
//! and notes which fields each type asks for.

use crate::text::find_similar;
use serde::de::value::Error;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;

/// Name of a Rust type, or of one of its fields.
type Name = &'static str;

/// Fields of the types of a document.
#[derive(Debug, Default)]
pub struct FieldNames {
    root: Option<Name>,
    fields: HashMap<Name, &'static [Name]>,
    /// Type of a field, by the type that has it and its name.
    types: HashMap<(Name, Name), Name>,
}

/// Field that no type has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownField {
    /// Place in the document: `lines.0.quantiy`.
    pub path: String,
    /// Most similar field of the same object.
    pub similar: Option<Name>,
}

impl FieldNames {
    /// Returns the fields of a type and of all types in it.
    #[must_use]
    pub fn of<T: DeserializeOwned>() -> Self {
        let names = RefCell::default();
        // The values that the recorder makes up may be wrong for the type; only the names count.
        let _ = T::deserialize(FieldRecorder { names: &names, field: None, outer: Vec::new() });
        names.into_inner()
    }

    /// Returns the fields of a document that its type does not have.
    #[must_use]
    pub fn find_unknown(&self, document: &Value) -> Vec<UnknownField> {
        let mut found = Vec::new();
        if let Some(root) = self.root {
            self.collect_unknown(root, document, "", &mut found);
        }
        found
    }

    fn collect_unknown(&self, owner: Name, value: &Value, path: &str, found: &mut Vec<UnknownField>) {
        let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.collect_unknown(owner, item, &join(&index.to_string()), found);
                }
            }
            Value::Object(fields) => {
                let known = self.fields.get(owner).copied().unwrap_or_default();
                for (name, value) in fields {
                    let Some(field) = known.iter().find(|field| *field == name) else {
                        let similar = find_similar(name, known.iter().copied());
                        found.push(UnknownField { path: join(name), similar });
                        continue;
                    };
                    if let Some(inner) = self.types.get(&(owner, *field)) {
                        self.collect_unknown(inner, value, &join(name), found);
                    }
                }
            }
            _ => {}
        }
    }
}

impl UnknownField {
    /// Returns the field for a message: `lines.0.quantiy (did you mean quantity?)`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self.similar {
            Some(similar) => format!("{} (did you mean {similar}?)", self.path),
            None => self.path.clone(),
        }
    }
}

/// Deserializer of a document without content, which notes the fields that a type asks for.
#[derive(Clone)]
struct FieldRecorder<'r> {
    names: &'r RefCell<FieldNames>,
    /// Type and field that it reads; `None` for the document itself.
    field: Option<(Name, Name)>,
    /// Types that contain the field, so that a type that contains itself ends.
    outer: Vec<Name>,
}

impl<'de> Deserializer<'de> for FieldRecorder<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str("0")
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(OneElement(Some(self)))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: Name,
        variants: &'static [Name],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(variants.first().copied().unwrap_or_default().into_deserializer())
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        name: Name,
        fields: &'static [Name],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut names = self.names.borrow_mut();
        names.fields.insert(name, fields);
        match self.field {
            Some(field) => names.types.insert(field, name),
            None => names.root.replace(name),
        };
        drop(names);
        if self.outer.contains(&name) {
            return Err(serde::de::Error::custom("the type contains itself"));
        }
        self.outer.push(name);
        visitor.visit_map(EachField { recorder: self, owner: name, left: fields.iter() })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct tuple tuple_struct map identifier ignored_any
    }
}

/// List with one element, or none if the element contains itself.
struct OneElement<'r>(Option<FieldRecorder<'r>>);

impl<'de> SeqAccess<'de> for OneElement<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        Ok(self.0.take().and_then(|recorder| seed.deserialize(recorder).ok()))
    }
}

/// Object with every field of a type.
struct EachField<'r> {
    recorder: FieldRecorder<'r>,
    owner: Name,
    left: std::slice::Iter<'static, Name>,
}

impl<'de> MapAccess<'de> for EachField<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(field) = self.left.next().copied() else { return Ok(None) };
        self.recorder.field = Some((self.owner, field));
        seed.deserialize(IntoDeserializer::<Error>::into_deserializer(field)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.recorder.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{FieldNames, UnknownField};
    use crate::edi::outbound::invoice::Invoice;
    use crate::edi::outbound::ship_notice::ShipNotice;
    use serde_json::json;

    fn describe(unknown: &[UnknownField]) -> Vec<String> {
        unknown.iter().map(UnknownField::describe).collect()
    }

    #[test]
    fn every_misspelt_field_is_named_with_the_right_one() {
        let invoice = json!({
            "invoice_numer": "I1", "terms": [{"net_day": "30"}], "lines": [{"line": "1"}, {"quantiy": 1, "xyz": 2}]
        });
        assert_eq!(
            describe(&FieldNames::of::<Invoice>().find_unknown(&invoice)),
            [
                "invoice_numer (did you mean invoice_number?)",
                "lines.1.quantiy (did you mean quantity?)",
                "lines.1.xyz",
                "terms.0.net_day (did you mean net_days?)"
            ]
        );
    }

    #[test]
    fn packs_in_packs_have_the_fields_of_a_pack() {
        let pack = json!({"kind": "carton", "sscc": "1", "lines": [{"lott": "L"}]});
        let notice = json!({"orders": [{"packs": [{"kind": "pallet", "packs": [pack]}]}], "weigth": {"unitt": "LB"}});
        assert_eq!(
            describe(&FieldNames::of::<ShipNotice>().find_unknown(&notice)),
            ["orders.0.packs.0.packs.0.lines.0.lott (did you mean lot?)", "weigth (did you mean weight?)"]
        );
    }
}
