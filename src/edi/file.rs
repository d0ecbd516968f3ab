//! Reads an EDI file of any format: its kind, the orders in it, and its faults.
//!
//! Reading never fails. Text that cannot be read becomes a fault, so that an operator sees the place.

use crate::edi::answers::EdiAnswer;
use crate::edi::encoding::decode_edi_bytes;
pub use crate::edi::fault::FaultSeverity;
use crate::edi::fault::{EdiFault, SyntaxErrorCode, WHOLE_FILE};
use crate::edi::message::EdiMessage;
use crate::edi::purchase_order::{DocumentOrigin, PurchaseOrder};
use crate::edi::x12::text::X12Text;
use crate::edi::{rsx, x12};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Namespace of RSX in XML.
const RSX_NAMESPACE: &str = "spscommerce.com/RSX";

/// Format of an EDI file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdiFormat {
    X12,
    RsxXml,
    RsxJson,
    /// None of these.
    Unknown,
}

impl EdiFormat {
    /// Returns the name that the database stores.
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

/// EDI file after reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdiFile {
    pub format: EdiFormat,
    /// Transaction set id of its documents: 850, 860, 997 …; `mixed` for several, else `unknown`.
    pub kind: String,
    /// Documents in the order of the file.
    pub documents: Vec<EdiDocument>,
    /// Faults of the file as a whole.
    pub faults: Vec<EdiFault>,
    /// Functional groups of X12, for their acknowledgements.
    pub groups: Vec<ReceivedGroup>,
    /// Answers to documents that were sent.
    pub answers: Vec<EdiAnswer>,
    /// Documents for a person, each with its index in `documents`.
    pub messages: Vec<(usize, EdiMessage)>,
}

/// One transaction set of X12, or one document of RSX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdiDocument {
    /// Transaction set id: 850, 860 …
    pub kind: String,
    /// ST02; empty in RSX.
    pub control_number: String,
    /// Purchase order; `None` for another kind of document, or if the order is rejected.
    pub order: Option<PurchaseOrder>,
    /// Partner and number of the order, also of a rejected one, as far as it states them.
    pub key: (String, String),
    pub faults: Vec<EdiFault>,
    /// Index of its group in [`EdiFile::groups`].
    pub group: Option<usize>,
}

/// Functional group of X12, as its acknowledgement needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceivedGroup {
    pub origin: DocumentOrigin,
    pub is_test: bool,
    /// GS01 as received; `control_number` is GS06.
    pub functional_id: String,
    pub control_number: String,
    /// Number of transaction sets that the sender states (GE01).
    pub stated_set_count: Option<u64>,
    pub faults: Vec<EdiFault>,
}

impl EdiDocument {
    /// Returns true if the document is an order that cannot be used.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        x12::is_order_set(&self.kind) && self.order.is_none()
    }
}

impl EdiFile {
    /// Returns the number of orders and changes that can be used.
    #[must_use]
    pub fn count_orders(&self) -> usize {
        self.documents.iter().filter(|document| document.order.is_some()).count()
    }

    /// Returns true if a part of the file is lost: it is no EDI file, one of its orders is rejected, or it is cut off.
    #[must_use]
    pub fn has_unread_part(&self) -> bool {
        let has_error = |faults: &[EdiFault]| faults.iter().any(|fault| fault.severity == FaultSeverity::Error);
        // A set that is no order has an error if the file ends inside it.
        let is_cut = |document: &EdiDocument| self.answers.is_empty() && has_error(&document.faults);
        has_error(&self.faults) || self.documents.iter().any(|document| document.is_rejected() || is_cut(document))
    }

    /// Returns all faults: of the file, of its groups and of its documents.
    pub fn all_faults(&self) -> impl Iterator<Item = &EdiFault> {
        let groups = self.groups.iter().flat_map(|group| &group.faults);
        self.faults.iter().chain(groups).chain(self.documents.iter().flat_map(|document| &document.faults))
    }
}

/// Returns the text of a file as far as it can be decoded.
#[must_use]
pub fn decode_text(bytes: &[u8]) -> Cow<'_, str> {
    decode_edi_bytes(bytes).map_or_else(|_unknown| String::from_utf8_lossy(bytes), |decoded| decoded.text)
}

/// Reads a file of any format. Never fails: unreadable text becomes a fault.
#[must_use]
pub fn read_edi_file(bytes: &[u8]) -> EdiFile {
    let decoded = match decode_edi_bytes(bytes) {
        Ok(decoded) => decoded,
        Err(reason) => return build_unreadable_file(EdiFormat::Unknown, reason),
    };
    let mut file = read_edi_text(bytes, &decoded.text);
    file.faults.extend(decoded.warning.map(|warning| build_file_fault(FaultSeverity::Warning, warning)));
    file
}

fn read_edi_text(bytes: &[u8], text: &str) -> EdiFile {
    if let Some(content) = describe_foreign_content(bytes, text.trim_start()) {
        return build_unreadable_file(EdiFormat::Unknown, format!("{content}, not X12 and not RSX"));
    }
    match text.trim_start().chars().next() {
        Some('<') => read_rsx_file(EdiFormat::RsxXml, text, rsx::tree::parse_rsx_xml(text.trim_start())),
        Some('{' | '[') => match rsx::tree::parse_rsx_json(text.as_bytes()) {
            Ok((tree, notes)) => {
                let mut file = read_rsx_file(EdiFormat::RsxJson, text, Ok(tree));
                file.faults.extend(notes.into_iter().map(|note| build_file_fault(FaultSeverity::Warning, note)));
                file
            }
            Err(error) => read_rsx_file(EdiFormat::RsxJson, text, Err(error)),
        },
        _ => read_x12_file(text),
    }
}

/// Returns the kind of a file, which becomes its topic, without reading its orders.
#[must_use]
pub fn detect_file_kind(bytes: &[u8]) -> String {
    let text = decode_text(bytes);
    let kind_of_tree = |tree: Result<rsx::RsxNode, String>| {
        tree.map_or_else(|_| "unknown".to_owned(), |tree| merge_rsx_kinds(rsx::list_rsx_kinds(&tree)))
    };
    match text.trim_start().chars().next() {
        Some('<') => kind_of_tree(rsx::tree::parse_rsx_xml(text.trim_start())),
        Some('{' | '[') => kind_of_tree(rsx::tree::parse_rsx_json(text.as_bytes()).map(|(tree, _)| tree)),
        _ => {
            let text = X12Text::prepare(&text);
            let file = x12::envelope::read_interchanges(&text);
            let sets =
                file.interchanges.iter().flat_map(|interchange| &interchange.groups).flat_map(|group| &group.sets);
            let has_ta1 = file.interchanges.iter().any(|interchange| !interchange.ta1_segments.is_empty());
            merge_kinds(sets.map(|set| set.kind.as_str()), has_ta1)
        }
    }
}

/// Returns what a file is that senders and servers deliver by mistake, by its first bytes.
fn describe_foreign_content(bytes: &[u8], text: &str) -> Option<&'static str> {
    const EBCDIC_ISA: [u8; 3] = [0xC9, 0xE2, 0xC1];
    let start: String = text.chars().take(16).collect::<String>().to_ascii_lowercase();
    match () {
        () if text.is_empty() => Some("it is empty"),
        () if start.starts_with("<!doctype html") || start.starts_with("<html") => {
            Some("it is an HTML page, such as the error page of a server")
        }
        () if bytes.starts_with(&EBCDIC_ISA) => Some("it is in EBCDIC; ask the sender for ASCII"),
        () if bytes.starts_with(b"PK\x03\x04") => Some("it is a ZIP archive"),
        () if bytes.starts_with(&[0x1F, 0x8B]) => Some("it is a gzip archive"),
        () if start.starts_with("%pdf") => Some("it is a PDF document"),
        () if start.starts_with("una:") || start.starts_with("unb+") => Some("it is EDIFACT"),
        () => None,
    }
}

fn build_file_fault(severity: FaultSeverity, message: String) -> EdiFault {
    EdiFault {
        severity,
        line: 0,
        location: WHOLE_FILE.to_owned(),
        position: 0,
        element: 0,
        code: SyntaxErrorCode::None,
        message,
    }
}

fn build_unreadable_file(format: EdiFormat, message: String) -> EdiFile {
    let fault = build_file_fault(FaultSeverity::Error, message);
    EdiFile {
        format,
        kind: "unknown".to_owned(),
        documents: Vec::new(),
        faults: vec![fault],
        groups: Vec::new(),
        answers: Vec::new(),
        messages: Vec::new(),
    }
}

fn read_rsx_file(format: EdiFormat, text: &str, tree: Result<rsx::RsxNode, String>) -> EdiFile {
    let syntax = if format == EdiFormat::RsxXml { "XML" } else { "JSON" };
    let tree = match tree {
        Ok(tree) => tree,
        Err(error) => {
            return build_unreadable_file(format, format!("it is not valid {syntax}: {error}"));
        }
    };
    let read = rsx::read_rsx_documents(&tree);
    if read.is_empty() && rsx::list_rsx_kinds(&tree).next().is_some() {
        return build_unreadable_file(format, "it contains no order".to_owned());
    }
    if read.iter().all(|document| document.kind == rsx::RsxDocumentKind::Other) {
        if !is_rsx(&tree, text) {
            return build_unreadable_file(format, format!("it is {syntax}, but no RSX document"));
        }
        let mut file = build_unreadable_file(format, rsx::UNKNOWN_KIND.to_owned());
        file.faults[0].severity = FaultSeverity::Warning;
        return file;
    }
    let kind = merge_rsx_kinds(read.iter().map(|document| document.kind));
    let to_document = |mut document: rsx::RsxDocument| {
        if let Some(order) = &mut document.order {
            format.as_str().clone_into(&mut order.origin.format);
        }
        EdiDocument {
            kind: document.kind.transaction_set_id().to_owned(),
            control_number: String::new(),
            order: document.order,
            key: document.key,
            faults: document.faults,
            group: None,
        }
    };
    EdiFile {
        format,
        kind,
        documents: read.into_iter().map(to_document).collect(),
        faults: Vec::new(),
        groups: Vec::new(),
        answers: Vec::new(),
        messages: Vec::new(),
    }
}

fn merge_rsx_kinds(kinds: impl Iterator<Item = rsx::RsxDocumentKind>) -> String {
    merge_kinds(kinds.map(rsx::RsxDocumentKind::transaction_set_id), false)
}

/// Returns true for a document of RSX, also of a kind that is not read: it has RSX's namespace, or the header of a
/// kind.
fn is_rsx(tree: &rsx::RsxNode, text: &str) -> bool {
    text.contains(RSX_NAMESPACE) || rsx::has_foreign_header(tree) || tree.children.iter().any(rsx::has_foreign_header)
}

fn read_x12_file(text: &str) -> EdiFile {
    let text = X12Text::prepare(text);
    let file = x12::envelope::read_interchanges(&text);
    if file.interchanges.is_empty() {
        let mut unreadable =
            build_unreadable_file(EdiFormat::Unknown, "it is neither X12 (it has no ISA) nor RSX".to_owned());
        unreadable.faults.extend(file.faults);
        return unreadable;
    }
    let (mut documents, mut groups, mut faults) = (Vec::new(), Vec::new(), file.faults);
    let (mut answers, mut messages) = (Vec::new(), Vec::new());
    for interchange in &file.interchanges {
        answers.extend(x12::answers::read_interchange_answers(interchange));
        faults.extend(interchange.faults.iter().cloned());
        for group in &interchange.groups {
            let origin = DocumentOrigin {
                // A group may have several kinds of sets.
                transaction_set: String::new(),
                format: EdiFormat::X12.as_str().to_owned(),
                sender: interchange.sender.clone(),
                receiver: interchange.receiver.clone(),
                interchange_version: interchange.version.clone(),
                application_sender: group.sender.clone(),
                application_receiver: group.receiver.clone(),
                version: group.version.clone(),
                sent_at: group.sent_at.clone(),
            };
            for set in &group.sets {
                answers.extend(x12::answers::read_answer_set(interchange, set));
                let message = x12::messages::read_message_set(interchange, set);
                messages.extend(message.map(|message| (documents.len(), message)));
                let (mut order, key, order_faults) = x12::order::read_x12_order(interchange, set);
                if let Some(order) = &mut order {
                    order.origin = DocumentOrigin { transaction_set: set.kind.clone(), ..origin.clone() };
                    order.extras.extend(x12::envelope_extras::list_envelope_extras(
                        interchange,
                        &group.sender,
                        &group.receiver,
                    ));
                }
                documents.push(EdiDocument {
                    kind: set.kind.clone(),
                    control_number: set.control_number.clone(),
                    order,
                    key,
                    faults: set.faults.iter().cloned().chain(order_faults).collect(),
                    group: Some(groups.len()),
                });
            }
            groups.push(ReceivedGroup {
                origin,
                is_test: interchange.is_test,
                functional_id: group.functional_id.clone(),
                control_number: group.control_number.clone(),
                stated_set_count: group.stated_set_count,
                faults: group.faults.clone(),
            });
        }
    }
    if documents.is_empty() && answers.is_empty() {
        let message = "it has no transaction set: it may be cut off".to_owned();
        faults.extend(build_unreadable_file(EdiFormat::X12, message).faults);
    }
    let kind = merge_kinds(documents.iter().map(|document| document.kind.as_str()), !answers.is_empty());
    EdiFile { format: EdiFormat::X12, kind, documents, faults, groups, answers, messages }
}

/// Returns the kind of all transaction sets, `mixed` if there are several kinds, or `TA1` for a file of TA1 segments
/// only.
fn merge_kinds<'s>(sets: impl Iterator<Item = &'s str>, has_ta1: bool) -> String {
    let kinds: BTreeSet<&str> = sets.collect();
    match kinds.iter().collect::<Vec<_>>().as_slice() {
        // The kind becomes a topic, so only a few letters and digits are accepted.
        [one] if (1..=6).contains(&one.len()) && one.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            (**one).to_owned()
        }
        [] if has_ta1 => "TA1".to_owned(),
        [] | [_] => "unknown".to_owned(),
        _ => "mixed".to_owned(),
    }
}
