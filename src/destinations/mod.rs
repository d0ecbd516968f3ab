//! Where events are handed on to: the ERP, by HTTP, by a program, or by files in a directory.
//!
//! A destination takes a [`Parcel`] and says what became of it; when to try again, in which order and how fast is decided by
//! `queue::courier`. Handing on is at least once: after a crash the same parcel comes again, under the same event id, which is
//! the key by which the other side takes it once.

pub mod command;
pub mod directory;
pub mod http;
pub mod upload;

use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::sps::Source;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wildmatch::WildMatch;

/// An event as it is handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    pub event_id: i64,
    pub source: String,
    pub shop_domain: String,
    pub topic: String,
    /// The provider's id of the event; of what goes out, the file's name.
    pub webhook_id: String,
    /// From 1.
    pub attempt: u32,
    /// The bytes as they came.
    pub body: Vec<u8>,
}

/// What became of a parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The other side has it.
    Delivered,
    /// It could not be reached, or is in trouble itself: it may take the parcel later. `at`: when it asked for it. `reached`: it
    /// had the parcel in its hands and choked on it, so that the trouble may be the parcel's own.
    /// `connected`: there was somebody at all; if not, it is not the parcel's doing.
    Unreachable { error: String, at: Option<Timestamp>, reached: bool, connected: bool },
    /// It asked to come again, and is in no trouble.
    Later { error: String, at: Option<Timestamp> },
    /// It refused this parcel: no further attempt can help.
    Refused { error: String },
}

/// A destination as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub name: String,
    pub kind: Kind,
    /// Globs over `source:topic`; * stands for anything.
    pub topics: Vec<String>,
    pub timeout: Duration,
    pub max_attempts: u32,
    /// Parcels on their way at once.
    pub concurrency: u32,
    /// Most parcels a second, so that a backlog does not knock over what has just come back.
    pub per_second: u32,
    pub breaker: Breaker,
}

/// When a destination counts as down, and how long it is left alone then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// So many failures one after another.
    pub failures: u32,
    /// The first rest; it doubles each time the one parcel that is tried after it fails too.
    pub rest: Duration,
    pub rest_max: Duration,
}

/// How it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Http {
        url: String,
        secrets: Vec<Secret>,
        ca: Option<PathBuf>,
        client: Option<(PathBuf, PathBuf)>,
    },
    Command {
        program: PathBuf,
        arguments: Vec<String>,
    },
    Directory {
        path: PathBuf,
    },
    /// `sps.outgoing`: EDI documents that this box made, each under its own name.
    Outgoing {
        path: PathBuf,
    },
    /// The same, in a directory at a source.
    Upload {
        source: Box<Source>,
    },
}

/// A destination, ready.
#[derive(Clone)]
pub struct Destination {
    pub settings: Settings,
    topics: Vec<WildMatch>,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Http(http::Http),
    Command(command::Command),
    Directory(directory::Directory),
    Upload(upload::Upload),
}

/// All destinations, in the order of the configuration. Cheap to clone.
pub type Destinations = Arc<Vec<Destination>>;

impl Destination {
    /// Reads its certificates and makes its client.
    ///
    /// # Errors
    /// When a file of it cannot be read.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let way = match &settings.kind {
            Kind::Http { url, secrets, ca, client } => {
                Way::Http(http::Http::new(url, secrets, ca.as_deref(), client.as_ref(), settings.timeout)?)
            }
            Kind::Command { program, arguments } => {
                Way::Command(command::Command::new(program.clone(), arguments.clone(), settings.timeout))
            }
            Kind::Directory { path } => Way::Directory(directory::Directory::new(path.clone(), settings.timeout)),
            Kind::Outgoing { path } => {
                Way::Directory(directory::Directory::of_outgoing(path.clone(), settings.timeout))
            }
            Kind::Upload { source } => Way::Upload(upload::Upload::new((**source).clone())),
        };
        let topics = settings.topics.iter().map(|topic| WildMatch::new(topic)).collect();
        Ok(Self { settings, topics, way })
    }

    /// Whether events of this source and topic go here.
    #[must_use]
    pub fn takes(&self, source: &str, topic: &str) -> bool {
        // What goes out to trading partners is no news for the ERP, whatever its globs take.
        if topic.starts_with("send/") != self.is_outgoing() {
            return false;
        }
        let name = format!("{source}:{topic}");
        self.topics.iter().any(|pattern| pattern.matches(&name))
    }

    /// Hands a parcel over; `now` is signed with it.
    pub async fn deliver(&self, parcel: &Parcel, now: Timestamp) -> Fate {
        match &self.way {
            Way::Http(http) => http.deliver(parcel, now).await,
            Way::Command(command) => command.deliver(parcel).await,
            Way::Directory(directory) => directory.deliver(parcel).await,
            Way::Upload(upload) => upload.deliver(parcel, now).await,
        }
    }

    /// Whether EDI documents go out by it.
    #[must_use]
    pub fn is_outgoing(&self) -> bool {
        matches!(self.settings.kind, Kind::Outgoing { .. } | Kind::Upload { .. })
    }

    /// http, command, directory or outgoing.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.settings.kind {
            Kind::Http { .. } => "http",
            Kind::Command { .. } => "command",
            Kind::Directory { .. } => "directory",
            Kind::Outgoing { .. } | Kind::Upload { .. } => "outgoing",
        }
    }
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.settings.fmt(f)
    }
}
