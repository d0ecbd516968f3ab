//! XML and JSON as one tree of names, texts and children.

use crate::formats::decimal;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 64;
/// Most elements of one file: bounds memory.
const NODES_MAX: usize = 1_000_000;

/// An element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Without its namespace.
    pub name: String,
    /// Trimmed.
    pub text: String,
    pub children: Vec<Node>,
}

impl Node {
    /// The first child of one of these names.
    #[must_use]
    pub fn child(&self, names: &[&str]) -> Option<&Self> {
        names.iter().find_map(|name| self.children.iter().find(|child| child.name == *name))
    }

    /// All children of these names, in the order of the file.
    pub fn all<'n>(&'n self, names: &'n [&'n str]) -> impl Iterator<Item = &'n Self> {
        self.children.iter().filter(move |child| names.contains(&child.name.as_str()))
    }

    /// The text of the first child that has one.
    #[must_use]
    pub fn text_of(&self, names: &[&str]) -> Option<String> {
        self.all(names).map(|child| child.text.as_str()).find(|text| !text.is_empty()).map(str::to_owned)
    }
}

/// Reads XML. There is no document type and no entity but XML's own five.
///
/// # Errors
/// What is wrong, with its place in bytes, in words.
pub fn from_xml(text: &str) -> Result<Node, String> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Node> = vec![Node::default()];
    let mut count = 0;
    loop {
        let at = reader.buffer_position();
        let line = || text.get(..usize::try_from(at).unwrap_or(0)).map_or(0, |before| before.matches('\n').count() + 1);
        let event = reader.read_event().map_err(|error| format!("line {}: {error}", line()))?;
        match event {
            Event::Start(start) => {
                count += 1;
                if open.len() > DEPTH_MAX || count > NODES_MAX {
                    return Err(format!("line {}: more than {DEPTH_MAX} levels or {NODES_MAX} elements", line()));
                }
                let name = start.local_name().as_ref().to_owned();
                open.push(Node { name, ..Node::default() });
            }
            Event::Empty(empty) => {
                count += 1;
                if count > NODES_MAX {
                    return Err(format!("line {}: more than {NODES_MAX} elements", line()));
                }
                let name = empty.local_name().as_ref().to_owned();
                if let Some(parent) = open.last_mut() {
                    parent.children.push(Node { name, ..Node::default() });
                }
            }
            Event::End(_) => {
                let Some(mut node) = open.pop() else { continue };
                node.text = String::from(node.text.trim());
                match open.last_mut() {
                    Some(parent) => parent.children.push(node),
                    None => return Err(format!("line {}: an end without a beginning", line())),
                }
            }
            Event::Text(part) => {
                if let Some(node) = open.last_mut() {
                    node.text.push_str(&part);
                }
            }
            Event::CData(part) => {
                if let Some(node) = open.last_mut() {
                    node.text.push_str(&part);
                }
            }
            Event::GeneralRef(reference) => {
                let letter = match reference.resolve_char_ref() {
                    Ok(Some(letter)) => letter,
                    Ok(None) => match &*reference {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        "apos" => '\'',
                        other => return Err(format!("line {}: the entity &{other}; is not XML's own", line())),
                    },
                    Err(error) => return Err(format!("line {}: {error}", line())),
                };
                if let Some(node) = open.last_mut() {
                    node.text.push(letter);
                }
            }
            Event::DocType(_) => return Err(format!("line {}: a document type is not taken", line())),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    match (open.len(), open.pop()) {
        (1, Some(root)) if root.children.len() == 1 => Ok(root.children.into_iter().next().unwrap_or_default()),
        (1, Some(root)) => Err(format!("{} elements at the top instead of one", root.children.len())),
        (_, last) => {
            let name = last.map_or(String::new(), |node| node.name);
            Err(format!("the file ends within <{name}>: it was cut off"))
        }
    }
}

/// Reads JSON, whose keys are the elements' names: an array is the element repeated.
///
/// # Errors
/// Where it is no JSON.
pub fn from_json(text: &str) -> Result<Node, String> {
    // Before it is read: what it takes in memory grows with its elements.
    if text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() > NODES_MAX {
        return Err(format!("more than {NODES_MAX} elements"));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut root = Node::default();
    let mut left = NODES_MAX;
    add(&mut root, "", &value, &mut left)?;
    // The object itself is an order, or it holds them under a name.
    Ok(match root.children.len() {
        1 => root.children.remove(0),
        _ => root,
    })
}

fn add(parent: &mut Node, name: &str, value: &Value, left: &mut usize) -> Result<(), String> {
    *left = left.checked_sub(1).ok_or_else(|| format!("more than {NODES_MAX} elements"))?;
    let mut node = Node { name: name.to_owned(), ..Node::default() };
    match value {
        Value::Array(items) => return items.iter().try_for_each(|item| add(parent, name, item, left)),
        Value::Object(map) => map.iter().try_for_each(|(name, value)| add(&mut node, name, value, left))?,
        Value::Null => return Ok(()),
        Value::String(text) => text.trim().clone_into(&mut node.text),
        Value::Number(number) => node.text = decimal::plain(&number.to_string()),
        other @ Value::Bool(_) => node.text = other.to_string(),
    }
    parent.children.push(node);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_make_one_tree() {
        let xml = from_xml("<r:A xmlns:r='x'><B>1 &amp; 2</B><B/><C><D>&#65;<![CDATA[<]]></D></C></r:A>").unwrap();
        assert_eq!(xml.name, "A");
        assert_eq!(xml.text_of(&["B"]).as_deref(), Some("1 & 2"));
        assert_eq!(xml.child(&["C"]).unwrap().text_of(&["D"]).as_deref(), Some("A<"));
        let json = from_json(r#"{"B":["1 & 2",{"X":5.0}],"C":{"D":"A<"},"N":null,"E":1.5e2}"#).unwrap();
        assert_eq!(json.all(&["B"]).count(), 2);
        assert_eq!(json.text_of(&["E"]).as_deref(), Some("150"));
        assert_eq!(json.child(&["C"]).unwrap().text_of(&["D"]).as_deref(), Some("A<"));
    }

    #[test]
    fn what_is_dangerous_or_broken_is_refused_with_its_place() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>";
        assert_eq!(from_xml(bomb), Err("line 1: a document type is not taken".to_owned()));
        assert!(from_xml("<a>\n&b;</a>").unwrap_err().starts_with("line 2: the entity &b;"));
        assert!(from_xml("<a><b>").unwrap_err().contains("ends within <b>"));
        assert!(from_xml(&"<a>".repeat(100)).unwrap_err().contains("more than 64 levels"));
        assert!(from_xml("<a></b>").is_err() && from_xml("").is_err() && from_xml("x").is_err());
        assert!(from_json("{\n1}").unwrap_err().contains("line 2"));
    }
}
