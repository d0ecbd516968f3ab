//! One tree of names, texts and children, from XML or JSON.
//!
//! Depth and number of elements are limited, so that a hostile file cannot use all memory. A reader takes the texts
//! that it understands; [`RsxNode::collect_extras`] returns the others, so that no value can vanish.

use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::purchase_order::OrderExtra;
use crate::lenient_json::{JsonValue, LenientJson, describe_repeated_names, parse_repeated_lenient_json};
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use std::cell::Cell;
use std::collections::HashMap;

/// Deepest nesting, in levels.
const DEPTH_MAX: usize = 64;
/// Most elements of one file; bounds memory.
const NODES_MAX: usize = 1_000_000;

/// Element with its text and its children.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RsxNode {
    /// Name without namespace.
    pub name: String,
    /// Text, trimmed.
    pub text: String,
    pub children: Vec<RsxNode>,
    /// True after a reader took the text.
    is_taken: Cell<bool>,
}

impl RsxNode {
    /// Returns the first child with the first of these names that occurs.
    #[must_use]
    pub fn first_child(&self, names: &[&str]) -> Option<&Self> {
        names.iter().find_map(|name| self.children.iter().find(|child| child.name == *name))
    }

    /// Returns all children with these names, in the order of the file.
    pub fn children_named<'n>(&'n self, names: &'n [&'n str]) -> impl Iterator<Item = &'n Self> {
        self.children.iter().filter(move |child| names.contains(&child.name.as_str()))
    }

    /// Takes the text of the first child with one of these names and a text.
    pub fn take_text(&self, names: &[&str]) -> Option<String> {
        self.take_parsed(names, |text| Some(text.to_owned()))
    }

    /// Takes a code as [`take_text`](Self::take_text) does, with the leading zeros that a number in JSON lacks.
    pub fn take_code(&self, names: &[&str], length: usize) -> Option<String> {
        self.take_text(names).map(|code| codes::restore_leading_zeros(&code, length))
    }

    /// Takes the text of the first child with one of these names and a text, if it can be parsed. Any other text stays,
    /// and becomes an extra.
    pub fn take_parsed<T>(&self, names: &[&str], parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let child = self.children_named(names).find(|child| !child.text.is_empty())?;
        let value = parse(&child.text)?;
        child.is_taken.set(true);
        Some(value)
    }

    /// Returns the texts that no reader took, each with its path below `path`, and takes them.
    pub fn collect_extras(&self, path: &str) -> Vec<OrderExtra> {
        let mut extras = Vec::new();
        self.append_extras(path, &mut extras);
        extras
    }

    fn append_extras(&self, path: &str, extras: &mut Vec<OrderExtra>) {
        if !self.text.is_empty() && !self.is_taken.replace(true) {
            extras.push(OrderExtra { location: path.to_owned(), name: None, value: self.text.clone() });
        }
        let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
        for child in &self.children {
            counts.entry(&child.name).or_default().0 += 1;
        }
        for child in &self.children {
            let mut location = if path.is_empty() { child.name.clone() } else { format!("{path}/{}", child.name) };
            if let Some((total, seen)) = counts.get_mut(child.name.as_str())
                && *total > 1
            {
                *seen += 1;
                location = format!("{location} {seen}");
            }
            child.append_extras(&location, extras);
        }
    }

    /// Returns true if the element or anything inside of it has a text.
    #[must_use]
    pub fn has_text(&self) -> bool {
        !self.text.is_empty() || self.children.iter().any(Self::has_text)
    }

    /// Returns the elements that state another value than the one of the same name that a reader took: the path below
    /// `path`, and a finding with both values.
    pub fn find_contradictions(&self, path: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        self.append_contradictions(path, &mut found);
        found
    }

    fn append_contradictions(&self, path: &str, found: &mut Vec<(String, String)>) {
        let mut taken: HashMap<&str, &str> = HashMap::new();
        for child in self.children.iter().filter(|child| child.is_taken.get()) {
            taken.entry(&child.name).or_insert(&child.text);
        }
        for child in &self.children {
            let location = if path.is_empty() { child.name.clone() } else { format!("{path}/{}", child.name) };
            let is_open = !child.text.is_empty() && !child.is_taken.get();
            if let Some(value) = taken.get(child.name.as_str()).filter(|_| is_open)
                && !is_same_value(value, &child.text)
            {
                let message = format!("states {:?} and {:?}: the first one is taken", *value, child.text);
                found.push((location.clone(), message));
            }
            child.append_contradictions(&location, found);
        }
    }

    /// Returns the text of the first child with one of these names and a text.
    #[must_use]
    pub fn child_text(&self, names: &[&str]) -> Option<String> {
        self.children_named(names).map(|child| child.text.as_str()).find(|text| !text.is_empty()).map(str::to_owned)
    }
}

/// Returns true for equal texts, and for texts of one number.
fn is_same_value(one: &str, other: &str) -> bool {
    let number = decimal::parse_decimal(one);
    one == other || number.is_some() && number == decimal::parse_decimal(other)
}

/// Reads XML. A document type and entities other than XML's own five are errors; an error names its line.
pub fn parse_rsx_xml(text: &str) -> Result<RsxNode, String> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<RsxNode> = vec![RsxNode::default()];
    let mut count = 0;
    loop {
        let offset = reader.buffer_position();
        let line =
            || text.get(..usize::try_from(offset).unwrap_or(0)).map_or(0, |before| before.matches('\n').count() + 1);
        let event = reader.read_event().map_err(|error| format!("line {}: {error}", line()))?;
        match event {
            Event::Start(start) => {
                count += 1;
                if open.len() > DEPTH_MAX || count > NODES_MAX {
                    return Err(format!("line {}: more than {DEPTH_MAX} levels or {NODES_MAX} elements", line()));
                }
                open.push(build_node(&start));
            }
            Event::Empty(empty) => {
                count += 1;
                if count > NODES_MAX {
                    return Err(format!("line {}: more than {NODES_MAX} elements", line()));
                }
                if let Some(parent) = open.last_mut() {
                    parent.children.push(build_node(&empty));
                }
            }
            Event::End(_) => {
                let Some(mut node) = open.pop() else { continue };
                node.text = String::from(node.text.trim());
                match open.last_mut() {
                    Some(parent) => parent.children.push(node),
                    None => return Err(format!("line {}: an end tag without a start tag", line())),
                }
            }
            Event::Text(part) => append_text(&mut open, &part),
            Event::CData(part) => append_text(&mut open, &part),
            Event::GeneralRef(reference) => {
                let char = match reference.resolve_char_ref() {
                    Ok(Some(char)) => Ok(char),
                    Ok(None) => resolve_xml_entity(&reference),
                    Err(error) => Err(error.to_string()),
                };
                let char = char.map_err(|error| format!("line {}: {error}", line()))?;
                if let Some(node) = open.last_mut() {
                    node.text.push(char);
                }
            }
            Event::DocType(_) => return Err(format!("line {}: a document type is not allowed", line())),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    match (open.len(), open.pop()) {
        (1, Some(root)) if root.children.len() == 1 => Ok(root.children.into_iter().next().unwrap_or_default()),
        (1, Some(root)) => Err(format!("{} root elements instead of one", root.children.len())),
        (_, last) => {
            let name = last.map_or(String::new(), |node| node.name);
            Err(format!("the file ends inside <{name}>: it is truncated"))
        }
    }
}

/// Builds an element without its text. An attribute with a value becomes a child; namespaces are none.
fn build_node(start: &BytesStart<'_>) -> RsxNode {
    let mut node = RsxNode { name: start.local_name().as_ref().to_owned(), ..RsxNode::default() };
    for attribute in start.attributes().flatten() {
        let name = attribute.key.as_ref();
        let is_of_syntax = ["xmlns", "xsi:", "xml:"].iter().any(|prefix| name.starts_with(prefix));
        let text = attribute.normalized_value(XmlVersion::Implicit1_0).unwrap_or_default().trim().to_owned();
        if !is_of_syntax && !text.is_empty() {
            node.children.push(RsxNode { name: format!("@{name}"), text, ..RsxNode::default() });
        }
    }
    node
}

/// Adds text to the innermost open element.
fn append_text(open: &mut [RsxNode], text: &str) {
    if let Some(node) = open.last_mut() {
        node.text.push_str(text);
    }
}

/// Returns the character for one of XML's own five entities.
fn resolve_xml_entity(name: &str) -> Result<char, String> {
    match name {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        other => Err(format!("the entity &{other}; is not one of XML's own")),
    }
}

/// Reads JSON, and returns notes about the repairs that it needed and about repeated keys. Keys
/// are element names; an array is the element repeated.
pub fn parse_rsx_json(body: &[u8]) -> Result<(RsxNode, Vec<String>), String> {
    // Checked before parsing, because the memory grows with the number of elements.
    if body.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() > NODES_MAX {
        return Err(format!("more than {NODES_MAX} elements"));
    }
    let LenientJson { value, repairs, repeated_names } =
        parse_repeated_lenient_json(body).map_err(|error| error.to_string())?;
    let repeated = describe_repeated_names(&repeated_names, "each value is read");
    let notes = repairs.map(|repairs| repairs.to_string()).into_iter().chain(repeated).collect();
    let mut root = RsxNode::default();
    let mut remaining = NODES_MAX;
    append_json_value(&mut root, "", &value, &mut remaining)?;
    // The object is itself an order, or it contains orders under a name.
    let root = match root.children.len() {
        1 => root.children.remove(0),
        _ => root,
    };
    Ok((root, notes))
}

fn append_json_value(parent: &mut RsxNode, name: &str, value: &JsonValue, remaining: &mut usize) -> Result<(), String> {
    *remaining = remaining.checked_sub(1).ok_or_else(|| format!("more than {NODES_MAX} elements"))?;
    let mut node = RsxNode { name: name.to_owned(), ..RsxNode::default() };
    match value {
        JsonValue::Array(items) => {
            return items.iter().try_for_each(|item| append_json_value(parent, name, item, remaining));
        }
        JsonValue::Object(map) => {
            map.iter().try_for_each(|(name, value)| append_json_value(&mut node, name, value, remaining))?;
        }
        JsonValue::Null => return Ok(()),
        JsonValue::Text(text) => text.trim().clone_into(&mut node.text),
        JsonValue::Number(number) => node.text = decimal::expand_exponent(&number.to_string()),
        other @ JsonValue::Bool(_) => node.text = other.to_string(),
    }
    parent.children.push(node);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_and_json_build_the_same_tree() {
        let xml = parse_rsx_xml("<r:A xmlns:r='x'><B>1 &amp; 2</B><B/><C><D>&#65;<![CDATA[<]]></D></C></r:A>").unwrap();
        assert_eq!(xml.name, "A");
        assert_eq!(xml.child_text(&["B"]).as_deref(), Some("1 & 2"));
        assert_eq!(xml.first_child(&["C"]).unwrap().child_text(&["D"]).as_deref(), Some("A<"));
        let (json, notes) = parse_rsx_json(br#"{"B":["1 & 2",{"X":5.0}],"C":{"D":"A<"},"N":null,"E":1.5e2}"#).unwrap();
        assert!(notes.is_empty(), "{notes:?}");
        assert_eq!(json.children_named(&["B"]).count(), 2);
        assert_eq!(json.child_text(&["E"]).as_deref(), Some("150"));
        assert_eq!(json.first_child(&["C"]).unwrap().child_text(&["D"]).as_deref(), Some("A<"));
    }

    #[test]
    fn unsafe_or_malformed_input_is_rejected_with_line() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>";
        assert_eq!(parse_rsx_xml(bomb), Err("line 1: a document type is not allowed".to_owned()));
        assert!(parse_rsx_xml("<a>\n&b;</a>").unwrap_err().starts_with("line 2: the entity &b;"));
        assert!(parse_rsx_xml("<a><b>").unwrap_err().contains("ends inside <b>"));
        assert!(parse_rsx_xml(&"<a>".repeat(100)).unwrap_err().contains("more than 64 levels"));
        assert!(parse_rsx_xml("<a></b>").is_err() && parse_rsx_xml("").is_err() && parse_rsx_xml("x").is_err());
        assert!(parse_rsx_json(b"{\n1}").unwrap_err().contains("line 2"));
    }
}
