//! `/events/stream`: the rows of events that change, as Server-Sent Events, for the open list.
//!
//! One task polls the history for all streams, and ends with the last of them. A stream that missed a part of the
//! history reads it itself. The number of streams is bounded, and a stream ends with its session.

use crate::console::ConsoleState;
use crate::console::events_query::EventsQuery;
use crate::console::guard::CurrentUser;
use crate::console::pages::events::build_event_row;
use crate::console::pages::show_refusal;
use crate::store::access::sessions::find_session;
use crate::store::events::changed::{ChangedEvents, list_changed_events};
use crate::store::events::history::read_last_history_id;
use crate::store::events::records::EventFilter;
use crate::store::events::scan::EventMatcher;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use std::convert::Infallible;
use std::fmt::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

/// Most streams at once.
const STREAMS_MAX: usize = 32;
/// Interval of the looks at the history.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Most status changes of one look. A page that missed more asks its reader to open it again.
const CHANGES_MAX: u32 = 200;
/// Looks that a slow stream may be behind before it reads the history itself.
const LOOKS_KEPT: usize = 8;
/// Interval of the signs of life; each checks that the session is still valid.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// Messages that wait for a slow client. With more, the stream ends and the browser opens a new one.
const MESSAGES_MAX: usize = 16;

/// The streams of this process and the task that polls for them.
pub struct LiveRows {
    looks: Mutex<Option<broadcast::Sender<Arc<ChangedEvents>>>>,
    places: Arc<Semaphore>,
}

impl Default for LiveRows {
    fn default() -> Self {
        Self { looks: Mutex::default(), places: Arc::new(Semaphore::new(STREAMS_MAX)) }
    }
}

impl LiveRows {
    /// Returns the looks at the history from now on. Starts the task if it does not run.
    fn subscribe_looks(state: &Arc<ConsoleState>) -> broadcast::Receiver<Arc<ChangedEvents>> {
        let mut looks = state.live.looks.lock().expect("nothing panics while it holds the lock");
        if let Some(sender) = &*looks {
            return sender.subscribe();
        }
        let (sender, receiver) = broadcast::channel(LOOKS_KEPT);
        *looks = Some(sender.clone());
        tokio::spawn(poll_history(state.clone(), sender));
        receiver
    }

    /// Returns whether nobody listens; a later subscriber then starts a new task.
    fn end_without_listeners(&self, sender: &broadcast::Sender<Arc<ChangedEvents>>) -> bool {
        let mut looks = self.looks.lock().expect("nothing panics while it holds the lock");
        let is_unused = sender.receiver_count() == 0;
        if is_unused {
            *looks = None;
        }
        is_unused
    }
}

/// Looks at the history until nobody listens.
async fn poll_history(state: Arc<ConsoleState>, sender: broadcast::Sender<Arc<ChangedEvents>>) {
    let mut after = None;
    while !state.live.end_without_listeners(&sender) {
        let look = state.read(move |connection| {
            // The first look only finds the place: each stream knows what its page shows.
            let after = match after {
                Some(after) => after,
                None => read_last_history_id(connection)?,
            };
            list_changed_events(connection, after, CHANGES_MAX)
        });
        match look.await {
            Ok(look) => {
                let is_news = after != Some(look.last);
                after = Some(look.last);
                if is_news {
                    let _ = sender.send(Arc::new(look));
                }
            }
            Err(error) => debug!("the console cannot read the history for open pages, and tries again: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            () = state.wait_for_stop() => return,
        }
    }
}

/// Sends the rows of changed events until the session or the daemon ends.
pub async fn stream_events(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Response {
    let filter = match query.to_filter() {
        Ok(filter) => filter,
        Err(text) => return show_refusal(StatusCode::BAD_REQUEST, &text),
    };
    let Ok(place) = state.live.places.clone().try_acquire_owned() else {
        let text =
            format!("{STREAMS_MAX} pages show changes as they happen; this one shows them when it is opened again.");
        let refusal = show_refusal(StatusCode::SERVICE_UNAVAILABLE, &text);
        return ([(RETRY_AFTER, HeaderValue::from_static("60"))], refusal).into_response();
    };
    // A browser that opens the stream again states the last change that it received.
    let last_id = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let (messages, receiver) = mpsc::channel(MESSAGES_MAX);
    let stream =
        EventStream { looks: LiveRows::subscribe_looks(&state), state, user, filter, after: last_id.or(query.after) };
    tokio::spawn(stream.feed_client(messages));
    let body = Body::new(StreamBody { messages: receiver, _place: place });
    // A proxy must not collect the messages.
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    let kind = (CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    ([kind, unbuffered], body).into_response()
}

/// The body of a stream. It gives its place back when the connection drops it.
struct StreamBody {
    messages: mpsc::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl hyper::body::Body for StreamBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.messages.poll_recv(context).map(|message| message.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// One stream.
struct EventStream {
    state: Arc<ConsoleState>,
    user: CurrentUser,
    filter: EventFilter,
    looks: broadcast::Receiver<Arc<ChangedEvents>>,
    /// The last status change that the client has. None: it begins with the next one.
    after: Option<i64>,
}

impl EventStream {
    async fn feed_client(mut self, messages: mpsc::Sender<Bytes>) {
        let state = self.state.clone();
        let mut heartbeat = interval(HEARTBEAT_INTERVAL);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let message = tokio::select! {
                () = state.wait_for_stop() => return,
                () = messages.closed() => return,
                _ = heartbeat.tick() => {
                    if !self.is_session_valid().await {
                        let _ = messages.try_send(Bytes::from_static(b"event: end\ndata: \n\n"));
                        return;
                    }
                    ": heartbeat\n\n".to_owned()
                }
                look = self.looks.recv() => match look {
                    Ok(look) => self.write_look(&look).await,
                    // The next look begins after the last one that was received, so that the gap is read.
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                },
            };
            if !message.is_empty() && messages.try_send(message.into()).is_err() {
                return;
            }
        }
    }

    async fn is_session_valid(&self) -> bool {
        let (digest, limits) = (self.user.digest, self.state.config.console.session_limits);
        let now = self.state.store.clock.now();
        let session = self.state.read(move |connection| find_session(connection, &digest, limits, now)).await;
        // A busy database ends no session.
        session.map_or(true, |session| session.is_some())
    }

    /// Returns the messages of a look, and of the changes before it that the client misses.
    async fn write_look(&mut self, look: &ChangedEvents) -> String {
        let has = self.after.unwrap_or(look.after);
        if look.last <= has {
            self.after = Some(has);
            return String::new();
        }
        if look.after <= has {
            self.after = Some(look.last);
            return self.write_changes(look);
        }
        match self.state.read(move |connection| list_changed_events(connection, has, CHANGES_MAX)).await {
            Ok(missed) => {
                self.after = Some(missed.last);
                self.write_changes(&missed)
            }
            Err(_) => String::new(),
        }
    }

    /// Returns a message for each changed event: `row` if the list has it, else `change` for a row that it may have.
    fn write_changes(&self, look: &ChangedEvents) -> String {
        let matcher = EventMatcher::new(&self.filter);
        let mut text = String::new();
        if look.has_more {
            text.push_str("event: more\ndata: \n\n");
        }
        for event in &look.events {
            let kind = if matcher.matches_event(event) { "row" } else { "change" };
            let row = build_event_row(event, &self.user).into_string();
            let _ = write!(text, "id: {}\nevent: {kind}\n", look.last);
            for line in row.split(['\n', '\r']) {
                let _ = writeln!(text, "data: {line}");
            }
            text.push('\n');
        }
        text
    }
}
