//! Answers of partners to documents that were sent: the model, the code lists, and the state of a document.
//!
//! `x12::answers` reads them. [`state`] folds all answers to one document into its state.

pub mod codes;
pub mod state;

/// What an answer says about a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    Accepted,
    /// The partner uses the document; it must not be sent again.
    AcceptedWithErrors,
    /// Some parts are accepted, and the answer does not say which.
    Partial,
    Rejected,
    /// The answer states no verdict, or an unknown one.
    Unclear,
}

impl Verdict {
    /// Returns the name that the database stores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::AcceptedWithErrors => "accepted-with-errors",
            Self::Partial => "partial",
            Self::Rejected => "rejected",
            Self::Unclear => "unclear",
        }
    }

    /// Returns the verdict of a stored name.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        [Self::Accepted, Self::AcceptedWithErrors, Self::Partial, Self::Rejected]
            .into_iter()
            .find(|verdict| verdict.as_str() == name)
            .unwrap_or(Self::Unclear)
    }
}

/// The part of a transmission that an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnswerScope {
    Interchange,
    Group,
    Set,
    /// A part of a document, such as a line.
    Item,
}

impl AnswerScope {
    /// Returns the name that the database stores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interchange => "interchange",
            Self::Group => "group",
            Self::Set => "set",
            Self::Item => "item",
        }
    }

    /// Returns the scope of a stored name.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        [Self::Interchange, Self::Group, Self::Item]
            .into_iter()
            .find(|scope| scope.as_str() == name)
            .unwrap_or(Self::Set)
    }
}

/// One answer: an AK2 or AK9 of a 997 or 999, a TA1, or an OTI of an 824.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdiAnswer {
    /// 997, 999, TA1 or 824.
    pub kind: String,
    /// Sender of the answer (ISA06).
    pub partner: String,
    pub is_test: bool,
    pub scope: AnswerScope,
    /// Functional identifier of the answered group: IN, SH …
    pub functional_id: Option<String>,
    /// Control number of the answered interchange.
    pub interchange: Option<u64>,
    /// Control number of the answered group.
    pub group_number: Option<u64>,
    /// Control number of the answered set.
    pub set_number: Option<String>,
    /// Transaction set id of the answered document: 810, 856 …
    pub document_kind: Option<String>,
    /// Numbers of the answered document, each with its qualifier; only of an 824.
    pub references: Vec<(String, String)>,
    /// Code of the verdict as received: A, E, R, TR …
    pub code: String,
    pub verdict: Verdict,
    /// Reasons in words.
    pub reasons: Vec<String>,
}

impl EdiAnswer {
    /// Creates an answer that names nothing yet.
    #[must_use]
    pub fn new(kind: &str, partner: &str, is_test: bool, scope: AnswerScope) -> Self {
        Self {
            kind: kind.to_owned(),
            partner: partner.to_owned(),
            is_test,
            scope,
            functional_id: None,
            interchange: None,
            group_number: None,
            set_number: None,
            document_kind: None,
            references: Vec::new(),
            code: String::new(),
            verdict: Verdict::Unclear,
            reasons: Vec::new(),
        }
    }

    /// Returns what the answer names, for people: `IN group 5, set 0001`.
    #[must_use]
    pub fn describe_target(&self) -> String {
        let mut parts = Vec::new();
        if let Some(number) = self.interchange {
            parts.push(format!("interchange {number}"));
        }
        if let Some(number) = self.group_number {
            let id = self.functional_id.as_deref().unwrap_or_default();
            parts.push(format!("{id} group {number}").trim_start().to_owned());
        }
        if let Some(number) = &self.set_number {
            parts.push(format!("set {number}"));
        }
        if let Some(kind) = &self.document_kind {
            parts.push(format!("document {kind}"));
        }
        parts.extend(self.references.iter().map(|(qualifier, value)| format!("{qualifier} {value}")));
        if parts.is_empty() { "no control number and no document".to_owned() } else { parts.join(", ") }
    }
}
