//! One request, from its route to its answer.
//!
//! | route | |
//! |---|---|
//! | `POST /api/webhooks/shopify/{topic}` | a delivery; the topic may hold slashes |
//! | `POST /api/webhooks/easypost` | a delivery |
//! | `POST /api/keycloak/events` | a delivery |
//! | `POST /api/sps/poll` | polls the EDI sources now |
//! | `GET /healthz` | 200 while events can be stored |
//!
//! A delivery's way: a place among the requests in flight, the route, the headers' limits, the body within its limits,
//! the provider's verification, the store; the answer waits for the commit.

use super::Shared;
use super::answer::{self, Answer};
use super::body::{self, NoBody};
use super::rejected::Refused;
use crate::providers::sps::Asking;
use crate::providers::{Endpoint, Providers, Reason, Refusal};
use crate::sps::schedule;
use crate::store::StoreError;
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request, Version};
use percent_encoding::percent_decode_str;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{debug, warn};

const SHOPIFY: &str = "/api/webhooks/shopify/";

enum Route {
    Deliver(Endpoint),
    Sps,
    Health,
    Unknown,
}

impl Route {
    fn of(path: &str) -> Self {
        match path {
            "/healthz" => Self::Health,
            "/api/webhooks/easypost" | "/api/webhooks/easypost/" => Self::Deliver(Endpoint::EasyPost),
            // vymalo/keycloak-webhook posts to its base address with a slash behind it.
            "/api/keycloak/events" | "/api/keycloak/events/" => Self::Deliver(Endpoint::Keycloak),
            "/api/sps/poll" => Self::Sps,
            _ => match path.strip_prefix(SHOPIFY).map(|topic| percent_decode_str(topic).decode_utf8()) {
                Some(Ok(topic)) if !topic.trim_matches('/').is_empty() => {
                    // A slash too many in the address that was entered is no other topic.
                    let parts: Vec<&str> = topic.split('/').filter(|part| !part.is_empty()).collect();
                    Self::Deliver(Endpoint::Shopify { topic: parts.join("/") })
                }
                _ => Self::Unknown,
            },
        }
    }

    fn allow(&self) -> &'static str {
        match self {
            Self::Health => "GET, HEAD",
            _ => "POST",
        }
    }

    fn allows(&self, method: &Method) -> bool {
        match self {
            Self::Health => method == Method::GET || method == Method::HEAD,
            _ => method == Method::POST,
        }
    }
}

/// Answers one request of `from`.
pub async fn answer(request: Request<Incoming>, from: IpAddr, shared: &Shared) -> Answer {
    let (head, mut incoming) = request.into_parts();
    let answer = route(&head, &mut incoming, from, shared).await;
    if head.version == Version::HTTP_2 && !incoming.is_end_stream() {
        // A client that is still sending reads an answer before its end as a broken stream: curl 7.88 does. HTTP/1 has the
        // connection's lingering for it.
        let _ = timeout(LINGER, async { while incoming.frame().await.is_some_and(|frame| frame.is_ok()) {} }).await;
    }
    if head.method == Method::HEAD { answer::without_body(answer) } else { answer }
}

/// How long a refused request on HTTP/2 may go on sending.
const LINGER: Duration = Duration::from_secs(2);

/// Why hyper could not read a request; `status` is what it would have answered.
#[must_use]
pub fn unreadable(status: u16, error: &str) -> Refusal {
    let reason = if status == 431 || status == 414 { Reason::HeadersTooLarge } else { Reason::RequestMalformed };
    Refusal::new(reason, format!("the request cannot be read: {error}"))
}

async fn route(head: &Parts, incoming: &mut Incoming, from: IpAddr, shared: &Shared) -> Answer {
    let refuse = |refusal: Refusal, body: &[u8]| {
        note(head, from, body, &refusal, shared);
        answer::refused(&refusal)
    };
    let route = Route::of(head.uri.path());
    // HTTP/1 has been refused by hyper with the same limit; HTTP/2 has a limit of its own on size alone.
    if head.headers.len() as u64 > shared.limits.max_headers {
        return refuse(Refusal::new(Reason::HeadersTooLarge, "too many headers"), &[]);
    }
    if matches!(route, Route::Health) && route.allows(&head.method) {
        // Before the places: whoever watches the box must see it while it is busy, and its probe is shared.
        return health(shared).await;
    }
    let Ok(_place) = shared.requests.try_acquire() else { return answer::unavailable("overloaded") };
    let Some(_share) = shared.requests_by_address.enter(from) else {
        return answer::unavailable("too many requests at once from this address");
    };
    if matches!(route, Route::Unknown) {
        return refuse(Refusal::new(Reason::UnknownPath, "no such path"), &[]);
    }
    if !route.allows(&head.method) {
        let refusal = Refusal::new(Reason::WrongMethod, format!("{} is not allowed here", head.method));
        note(head, from, &[], &refusal, shared);
        return answer::not_allowed(&refusal, route.allow());
    }
    // The same for the whole request, also when they are replaced meanwhile.
    let doors = shared.doors();
    match (route, &doors.asking, &shared.polls) {
        (Route::Deliver(endpoint), ..) if doors.providers.configured(&endpoint) => {
            deliver(&endpoint, &doors.providers, (head, incoming, from), shared).await
        }
        (Route::Sps, Some(asking), Some(polls)) => poll(head, from, (asking, polls), shared).await,
        (Route::Deliver(_) | Route::Sps, ..) => {
            refuse(Refusal::new(Reason::NotConfigured, "no secrets are configured"), &[])
        }
        (Route::Unknown | Route::Health, ..) => unreachable!("answered above"),
    }
}

async fn deliver(
    endpoint: &Endpoint,
    providers: &Providers,
    (head, incoming, from): (&Parts, &mut Incoming, IpAddr),
    shared: &Shared,
) -> Answer {
    if let Err(refusal) = providers.precheck(endpoint, &head.headers) {
        note(head, from, &[], &refusal, shared);
        return answer::refused(&refusal);
    }
    let body = match body::read(incoming, shared).await {
        Ok(body) => body,
        Err(NoBody::NoMemory) => return answer::unavailable("overloaded"),
        Err(NoBody::Refused(refusal, read)) => {
            note(head, from, &read, &refusal, shared);
            return answer::refused(&refusal);
        }
    };
    let now = shared.store.clock.now();
    let delivery = match providers.verify(endpoint, &head.headers, &body.bytes, now) {
        Ok(delivery) => delivery,
        Err(refusal) => {
            note(head, from, &body.bytes, &refusal, shared);
            return answer::refused(&refusal);
        }
    };
    // The share of the memory goes with the body: it is given back when the writer is done with it, not when the sender is.
    let stored = match shared.store.receive(delivery, shared.max_attempts, body.share) {
        Ok(pending) => timeout(shared.limits.answer_timeout, pending.committed()).await.unwrap_or_else(|_late| {
            // Dropped: the writer leaves it out if it has not begun it. If it has, the sender's retry is a duplicate.
            Err(StoreError::Busy { waited: shared.limits.answer_timeout })
        }),
        Err(error) => Err(error),
    };
    match stored {
        Ok(receipt) => {
            debug!(event = receipt.event_id, duplicate = receipt.duplicate, %from, "stored");
            answer::received(receipt)
        }
        Err(reason @ (StoreError::Overloaded | StoreError::ShuttingDown)) => answer::not_stored(&reason),
        Err(reason) => {
            warn!(%from, path = head.uri.path(), "a delivery was answered 503: {reason}");
            answer::not_stored(&reason)
        }
    }
}

/// How long a poll is waited for; it goes on without anybody waiting.
const POLL_WAIT: Duration = Duration::from_mins(1);

async fn poll(
    head: &Parts,
    from: IpAddr,
    (asking, polls): (&Asking, &mpsc::Sender<schedule::Request>),
    shared: &Shared,
) -> Answer {
    if let Err(refusal) = asking.check(&head.headers) {
        note(head, from, &[], &refusal, shared);
        return answer::refused(&refusal);
    }
    let (answer, polled) = oneshot::channel();
    if polls.try_send(answer).is_err() {
        return answer::unavailable("polls are running already");
    }
    match timeout(POLL_WAIT, polled).await {
        Ok(Ok(polls)) => answer::polled(&polls),
        Ok(Err(_stopping)) => answer::unavailable("shutting down"),
        Err(_late) => answer::polling(),
    }
}

async fn health(shared: &Shared) -> Answer {
    match shared.health.check().await {
        Ok(()) => answer::healthy(),
        Err(reason) => answer::not_stored(&reason),
    }
}

fn note(head: &Parts, from: IpAddr, body: &[u8], refusal: &Refusal, shared: &Shared) {
    let (method, path) = (head.method.as_str(), head.uri.path());
    shared.rejected.note(Refused { from, method, path, headers: &head.headers, body }, refusal);
}
