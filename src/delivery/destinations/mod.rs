//! Destinations of completed events: the ERP by HTTP, by a program, or by files in a directory, and trading partners.
//!
//! [`Destination::send`] sends an [`OutboundEvent`] once and returns a [`SendResult`]. The dispatcher decides about
//! retries, order and rate. Delivery is at least once: after a crash the same event is sent again with the same event
//! id. The destination uses that id as idempotency key.

pub mod command;
pub mod directory;
pub mod edi_upload;
pub mod http;
pub mod signing_key;

use crate::backoff::BreakerSettings;
use crate::clock::Timestamp;
use crate::delivery::payload::{EdiDescription, PayloadFormat};
use crate::delivery::rows_payload::PayloadKind;
use crate::event::{EventIdentity, EventKey, Source};
use crate::http_client::ANSWER_CHARS_MAX;
use crate::secret::Secret;
use crate::store::erp::outbound_documents::SEND_TOPIC_PREFIX;
use crate::store::leases::delivery_outcomes::Cause;
use crate::text::{escape_hidden_chars, keep_first_chars};
use crate::transfer::source::SourceSettings;
use anyhow::bail;
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wildmatch::WildMatch;

/// Most characters of a send error: the text of an answer, and what is before and after it.
const ERROR_CHARS_MAX: usize = ANSWER_CHARS_MAX + 500;

/// First part of the globs that select outbound EDI documents.
const OUTBOUND_PATTERN_PREFIX: &str = "sps:send/";

/// Event as a destination gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundEvent {
    /// The webhook id of an outbound EDI document is its file name.
    pub event: EventIdentity,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Exact bytes of the payload; a clone shares them.
    pub body: Bytes,
    /// Format of the payload.
    pub format: PayloadFormat,
    /// Facts about the EDI file of the event; None for events of other sources.
    pub edi: Option<EdiDescription>,
    /// True for the event of `destinations test`, which is not stored.
    pub is_test: bool,
}

impl OutboundEvent {
    /// Returns an event whose payload is its body.
    #[must_use]
    pub fn new(event: EventIdentity, attempt: u32, body: Vec<u8>) -> Self {
        let (format, edi) = (PayloadFormat::detect(&body), EdiDescription::of_event(&event.key, &body));
        Self { event, attempt, body: body.into(), format, edi, is_test: false }
    }

    /// Replaces the payload by the rows of the event, which are JSON.
    #[must_use]
    pub fn with_rows(self, rows: Vec<u8>) -> Self {
        Self { body: rows.into(), format: PayloadFormat::Json, ..self }
    }

    /// Returns the event of `destinations test`. No event has its number, so that no ERP takes it for one.
    #[must_use]
    pub fn test() -> Self {
        let key = EventKey {
            source: Source::Shopify,
            shop_domain: String::new(),
            topic: "test".to_owned(),
            webhook_id: "test".to_owned(),
        };
        Self { is_test: true, ..Self::new(EventIdentity { id: 0, key }, 1, br#"{"test":true}"#.to_vec()) }
    }

    /// Returns the name of the file: of an EDI file its own name, otherwise the name that a directory gets.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.edi.as_ref().map_or_else(|| directory::build_file_name(self), |edi| edi.file_name.clone())
    }

    /// Returns the source as the destination sees it.
    #[must_use]
    pub fn source_name(&self) -> &'static str {
        if self.is_test { "novex-ingest" } else { self.event.key.source.as_str() }
    }
}

/// Result of sending an event once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendResult {
    /// The destination has the event.
    Delivered,
    /// The destination is unavailable, and may take the event later; at `retry_at` if it asked for a time.
    Unavailable { error: String, cause: Cause, retry_at: Option<Timestamp> },
    /// The destination works and requests a later attempt, at `retry_at` if it named a time.
    RetryLater { error: String, retry_at: Option<Timestamp> },
    /// The destination refuses this event: no further attempt can succeed.
    Rejected { error: String },
}

/// Settings of one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationSettings {
    pub name: String,
    pub kind: DestinationKind,
    pub payload: PayloadKind,
    /// Globs over `source:topic`, in which `*` matches anything.
    pub topics: Vec<String>,
    pub timeout: Duration,
    pub max_attempts: u32,
    /// Most deliveries at the same time.
    pub concurrency: u32,
    /// Most deliveries a second, so that a backlog does not overload a destination after its recovery.
    pub rate_per_second: u32,
    pub breaker: BreakerSettings,
}

impl DestinationSettings {
    /// Returns true if the destination gets events of this source and topic.
    #[must_use]
    pub fn matches(&self, source: Source, topic: &str) -> bool {
        let patterns: Vec<WildMatch> = self.topics.iter().map(|topic| WildMatch::new(topic)).collect();
        has_subscription(&self.topics, &patterns, source, topic)
    }
}

/// Returns true if a pattern matches; `topics` are the texts of `patterns`.
///
/// Outbound documents are for trading partners. Another destination gets them only if it names them, so that a glob for
/// everything does not give the ERP its own documents back.
fn has_subscription(topics: &[String], patterns: &[WildMatch], source: Source, topic: &str) -> bool {
    let name = format!("{source}:{topic}");
    let is_outbound_document = topic.starts_with(SEND_TOPIC_PREFIX);
    topics.iter().zip(patterns).any(|(text, pattern)| {
        pattern.matches(&name) && (!is_outbound_document || text.starts_with(OUTBOUND_PATTERN_PREFIX))
    })
}

/// Kind of a destination, with its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationKind {
    /// `type = "http"`.
    Http {
        url: String,
        secrets: Vec<Secret>,
        /// Authorities to trust instead of the system's.
        ca_file: Option<PathBuf>,
        /// Certificate file and key file of the client.
        client_certificate: Option<(PathBuf, PathBuf)>,
    },
    /// `type = "command"`.
    Command { program: PathBuf, arguments: Vec<String> },
    /// `type = "directory"`.
    Directory {
        path: PathBuf,
        /// Writes a metadata file beside each file.
        has_metadata: bool,
    },
    /// `sps.outgoing`: a local directory for outbound documents, each under its own name.
    EdiDirectory { path: PathBuf },
    /// `sps.outgoing`: a directory at an EDI source.
    EdiUpload { source: Box<SourceSettings> },
}

impl DestinationKind {
    fn is_edi_outbound(&self) -> bool {
        matches!(self, Self::EdiDirectory { .. } | Self::EdiUpload { .. })
    }
}

/// Destination that is ready to send.
#[derive(Clone)]
pub struct Destination {
    pub settings: DestinationSettings,
    topics: Vec<WildMatch>,
    sender: DestinationSender,
}

#[derive(Clone)]
enum DestinationSender {
    Http(http::HttpDestination),
    Command(command::CommandDestination),
    Directory(directory::DirectoryDestination),
    EdiUpload(edi_upload::EdiUploadDestination),
}

/// All destinations, in the order of the configuration; cheap to clone.
pub type Destinations = Arc<Vec<Destination>>;

impl Destination {
    /// Builds a destination and reads its certificates.
    ///
    /// # Errors
    /// A message if a certificate or key cannot be read.
    pub fn new(settings: DestinationSettings) -> anyhow::Result<Self> {
        let sender = match &settings.kind {
            DestinationKind::Http { url, secrets, ca_file: ca, client_certificate: client } => DestinationSender::Http(
                http::HttpDestination::new(url, secrets, ca.as_deref(), client.as_ref(), settings.timeout)?,
            ),
            DestinationKind::Command { program, arguments } => DestinationSender::Command(
                command::CommandDestination::new(program.clone(), arguments.clone(), settings.timeout),
            ),
            DestinationKind::Directory { path, has_metadata } => DestinationSender::Directory(
                directory::DirectoryDestination::new(path.clone(), settings.timeout, *has_metadata),
            ),
            DestinationKind::EdiDirectory { path } => DestinationSender::Directory(
                directory::DirectoryDestination::for_edi_documents(path.clone(), settings.timeout),
            ),
            DestinationKind::EdiUpload { source } => {
                DestinationSender::EdiUpload(edi_upload::EdiUploadDestination::new((**source).clone()))
            }
        };
        let topics = settings.topics.iter().map(|topic| WildMatch::new(topic)).collect();
        Ok(Self { settings, topics, sender })
    }

    /// Returns true if the destination gets events of this source and topic.
    #[must_use]
    pub fn matches(&self, source: Source, topic: &str) -> bool {
        has_subscription(&self.settings.topics, &self.topics, source, topic)
    }

    /// Sends an event once. The signature covers `now`.
    pub async fn send(&self, outbound: &OutboundEvent, now: Timestamp) -> SendResult {
        let mut result = match &self.sender {
            DestinationSender::Http(http) => http.send(outbound, now).await,
            DestinationSender::Command(command) => command.send(outbound).await,
            DestinationSender::Directory(directory) => directory.send(outbound).await,
            DestinationSender::EdiUpload(upload) => upload.send(outbound, now).await,
        };
        if let SendResult::Unavailable { error, .. }
        | SendResult::RetryLater { error, .. }
        | SendResult::Rejected { error } = &mut result
        {
            // The words of a server or a library are in it, of any length.
            *error = keep_first_chars(&escape_hidden_chars(error), ERROR_CHARS_MAX);
        }
        result
    }

    /// Delivers a made-up event once, so that a person sees whether the destination works.
    ///
    /// # Errors
    /// What the destination answered, with the consequence for deliveries.
    pub async fn send_test_event(settings: DestinationSettings, now: Timestamp) -> anyhow::Result<()> {
        let name = settings.name.clone();
        match Self::new(settings)?.send(&OutboundEvent::test(), now).await {
            SendResult::Delivered => Ok(()),
            SendResult::Rejected { error } => {
                bail!("{name} rejected the test event: {error}. A delivery that is rejected so fails at once")
            }
            SendResult::Unavailable { error, .. } | SendResult::RetryLater { error, .. } => {
                bail!("{name} did not accept the test event: {error}. Deliveries stay queued and are attempted again")
            }
        }
    }

    /// Returns true if it is for outbound EDI documents.
    #[must_use]
    pub fn is_edi_outbound(&self) -> bool {
        self.settings.kind.is_edi_outbound()
    }

    /// Returns the kind as text: http, command, directory or outgoing.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match self.settings.kind {
            DestinationKind::Http { .. } => "http",
            DestinationKind::Command { .. } => "command",
            DestinationKind::Directory { .. } => "directory",
            DestinationKind::EdiDirectory { .. } | DestinationKind::EdiUpload { .. } => "outgoing",
        }
    }
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.settings.fmt(f)
    }
}
