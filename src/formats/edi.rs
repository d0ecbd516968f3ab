//! Any EDI file, whatever it is written in: what it is, the orders in it, and what is wrong with it.

pub use super::fault::Severity;
use super::fault::{Code, Fault};
use super::purchase_order::{Origin, PurchaseOrder};
use super::{rsx, x12};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// What a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    X12,
    RsxXml,
    RsxJson,
    /// None of them.
    Unknown,
}

impl Dialect {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X12 => "x12",
            Self::RsxXml => "rsx-xml",
            Self::RsxJson => "rsx-json",
            Self::Unknown => "unknown",
        }
    }
}

/// A file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub dialect: Dialect,
    /// X12's number of what it is: 850, 860, 997 …; `mixed` for several, `unknown` if it cannot be told.
    pub kind: String,
    /// In the order of the file.
    pub parts: Vec<Part>,
    /// Of the file as a whole.
    pub faults: Vec<Fault>,
    /// The groups of X12, to be acknowledged.
    pub groups: Vec<GroupOf>,
}

/// One set of X12, or one order of RSX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// 850, 860 …
    pub kind: String,
    /// ST02; empty in RSX.
    pub control: String,
    /// `None`: it is no order, or one that cannot be taken.
    pub order: Option<PurchaseOrder>,
    pub faults: Vec<Fault>,
    /// Place of its group among [`Document::groups`].
    pub group: Option<usize>,
}

/// A group of X12, for its acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupOf {
    pub origin: Origin,
    pub is_test: bool,
    /// GS01 and 06 as received.
    pub functional_id: String,
    pub control: String,
    /// GE01.
    pub stated_sets: Option<u64>,
    pub faults: Vec<Fault>,
}

impl Part {
    /// It can be taken: as an order, or as something that is only kept.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        x12::order::is_order(&self.kind) && self.order.is_none()
    }
}

impl Document {
    /// All faults: the file's, its groups', its parts'.
    pub fn all_faults(&self) -> impl Iterator<Item = &Fault> {
        let groups = self.groups.iter().flat_map(|group| &group.faults);
        self.faults.iter().chain(groups).chain(self.parts.iter().flat_map(|part| &part.faults))
    }
}

/// Bytes as text: UTF-8, UTF-16 with its mark, else Latin-1, in which every byte is a letter.
#[must_use]
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    let wide = |rest: &[u8], from: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = rest.chunks_exact(2).map(|pair| from([pair[0], pair[1]])).collect();
        Cow::Owned(String::from_utf16_lossy(&units))
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text.trim_start_matches('\u{feff}')),
            Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
        },
    }
}

/// Reads any file. It never fails: what cannot be read is a fault.
#[must_use]
pub fn read(bytes: &[u8]) -> Document {
    let text = text(bytes);
    match text.trim_start().chars().next() {
        Some('<') => of_tree(Dialect::RsxXml, rsx::tree::from_xml(text.trim_start())),
        Some('{' | '[') => of_tree(Dialect::RsxJson, rsx::tree::from_json(text.trim_start())),
        _ => of_x12(&text),
    }
}

/// What a file is, without reading the orders in it: for its topic.
#[must_use]
pub fn kind(bytes: &[u8]) -> String {
    let text = text(bytes);
    let of_tree = |tree: Result<rsx::Node, String>| tree.map_or("unknown", |tree| rsx::kind(&tree).set()).to_owned();
    match text.trim_start().chars().next() {
        Some('<') => of_tree(rsx::tree::from_xml(text.trim_start())),
        Some('{' | '[') => of_tree(rsx::tree::from_json(text.trim_start())),
        _ => {
            let file = x12::envelope::read(&text);
            let sets =
                file.interchanges.iter().flat_map(|interchange| &interchange.groups).flat_map(|group| &group.sets);
            kind_of(sets.map(|set| set.kind.as_str()))
        }
    }
}

fn unreadable(dialect: Dialect, text: String) -> Document {
    let fault = Fault {
        severity: Severity::Error,
        line: 0,
        at: "the file".to_owned(),
        position: 0,
        element: 0,
        code: Code::None,
        text,
    };
    Document { dialect, kind: "unknown".to_owned(), parts: Vec::new(), faults: vec![fault], groups: Vec::new() }
}

fn of_tree(dialect: Dialect, tree: Result<rsx::Node, String>) -> Document {
    let tree = match tree {
        Ok(tree) => tree,
        Err(error) => {
            let form = if dialect == Dialect::RsxXml { "XML" } else { "JSON" };
            return unreadable(dialect, format!("it is no sound {form}: {error}"));
        }
    };
    let kind = rsx::kind(&tree);
    let is_order = matches!(kind, rsx::Kind::Orders | rsx::Kind::OrderChanges);
    let mut parts = Vec::new();
    if is_order {
        for (mut order, faults) in rsx::read(&tree) {
            if let Some(order) = &mut order {
                dialect.as_str().clone_into(&mut order.origin.dialect);
            }
            let own = order.as_ref().map_or(kind.set(), |order| if order.is_change { "860" } else { "850" });
            parts.push(Part { kind: own.to_owned(), control: String::new(), order, faults, group: None });
        }
        if parts.is_empty() {
            return unreadable(dialect, "there is no order in it".to_owned());
        }
    } else if kind == rsx::Kind::Other {
        let mut document = unreadable(dialect, "it is nothing of SPS's that is known here".to_owned());
        document.faults[0].severity = Severity::Warning;
        return document;
    } else {
        let part =
            Part { kind: kind.set().to_owned(), control: String::new(), order: None, faults: Vec::new(), group: None };
        parts.push(part);
    }
    Document { dialect, kind: kind.set().to_owned(), parts, faults: Vec::new(), groups: Vec::new() }
}

fn of_x12(text: &str) -> Document {
    let file = x12::envelope::read(text);
    if file.interchanges.is_empty() {
        let mut document = unreadable(Dialect::Unknown, "it is neither X12 (it has no ISA) nor RSX".to_owned());
        document.faults.extend(file.faults);
        return document;
    }
    let (mut parts, mut groups, mut faults) = (Vec::new(), Vec::new(), file.faults);
    for interchange in &file.interchanges {
        faults.extend(interchange.faults.iter().cloned());
        for group in &interchange.groups {
            let origin = Origin {
                dialect: Dialect::X12.as_str().to_owned(),
                sender: interchange.sender.clone(),
                receiver: interchange.receiver.clone(),
                interchange_version: interchange.version.clone(),
                application_sender: group.sender.clone(),
                application_receiver: group.receiver.clone(),
                version: group.version.clone(),
            };
            for set in &group.sets {
                let (mut order, found) = if x12::order::is_order(&set.kind) {
                    x12::order::read(interchange, set)
                } else {
                    (None, Vec::new())
                };
                if let Some(order) = &mut order {
                    order.origin = origin.clone();
                }
                parts.push(Part {
                    kind: set.kind.clone(),
                    control: set.control.clone(),
                    order,
                    faults: set.faults.iter().cloned().chain(found).collect(),
                    group: Some(groups.len()),
                });
            }
            groups.push(GroupOf {
                origin,
                is_test: interchange.is_test,
                functional_id: group.functional_id.clone(),
                control: group.control.clone(),
                stated_sets: group.stated_sets,
                faults: group.faults.clone(),
            });
        }
    }
    let kind = kind_of(parts.iter().map(|part| part.kind.as_str()));
    Document { dialect: Dialect::X12, kind, parts, faults, groups }
}

/// The one kind of all sets, `mixed` for several.
fn kind_of<'s>(sets: impl Iterator<Item = &'s str>) -> String {
    let kinds: BTreeSet<&str> = sets.collect();
    match kinds.iter().collect::<Vec<_>>().as_slice() {
        // Short letters and digits only: it becomes a topic.
        [one] if (1..=6).contains(&one.len()) && one.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            (**one).to_owned()
        }
        [] | [_] => "unknown".to_owned(),
        _ => "mixed".to_owned(),
    }
}
