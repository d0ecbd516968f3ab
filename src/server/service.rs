//! One request, from its route to its answer.
//!
//! | route | |
//! |---|---|
//! | `POST /api/webhooks/shopify/{topic}` | a delivery; the topic may hold slashes |
//! | `POST /api/webhooks/easypost` | a delivery |
//! | `POST /api/keycloak/events` | a delivery |
//! | `POST /api/sps/poll` | 503 until EDI is configured |
//! | `GET /healthz` | 200 while events can be stored |
//!
//! A delivery's way: a place among the requests in flight, the route, the headers' limits, the body within its limits,
//! the provider's verification, the store; the answer waits for the commit.

use super::Shared;
use super::answer::{self, Answer};
use super::body::{self, NoBody};
use super::rejected::Refused;
use crate::providers::{Endpoint, Reason, Refusal};
use crate::store::StoreError;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request};
use percent_encoding::percent_decode_str;
use std::net::IpAddr;
use tokio::time::timeout;
use tracing::{debug, error, warn};

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
            "/api/webhooks/easypost" => Self::Deliver(Endpoint::EasyPost),
            "/api/keycloak/events" => Self::Deliver(Endpoint::Keycloak),
            "/api/sps/poll" => Self::Sps,
            _ => match path.strip_prefix(SHOPIFY).map(|topic| percent_decode_str(topic).decode_utf8()) {
                Some(Ok(topic)) if !topic.is_empty() => {
                    Self::Deliver(Endpoint::Shopify { topic: topic.trim_end_matches('/').to_owned() })
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
    let Ok(_place) = shared.requests.try_acquire() else { return answer::unavailable("overloaded") };
    let (head, incoming) = request.into_parts();
    let refuse = |refusal: Refusal, body: &[u8]| {
        note(&head, from, body, &refusal, shared);
        answer::refused(&refusal)
    };
    let route = Route::of(head.uri.path());
    if matches!(route, Route::Unknown) {
        return refuse(Refusal::new(Reason::UnknownPath, "no such path"), &[]);
    }
    if !route.allows(&head.method) {
        let refusal = Refusal::new(Reason::WrongMethod, format!("{} is not allowed here", head.method));
        note(&head, from, &[], &refusal, shared);
        return answer::not_allowed(&refusal, route.allow());
    }
    // HTTP/1 has been refused by hyper with the same limit; HTTP/2 has a limit of its own on size alone.
    if head.headers.len() as u64 > shared.limits.max_headers {
        return refuse(Refusal::new(Reason::HeadersTooLarge, "too many headers"), &[]);
    }
    match route {
        Route::Health => health(shared).await,
        Route::Deliver(endpoint) if shared.providers.configured(&endpoint) => {
            deliver(&endpoint, &head, incoming, from, shared).await
        }
        Route::Deliver(_) | Route::Sps => refuse(Refusal::new(Reason::NotConfigured, "no secrets are configured"), &[]),
        Route::Unknown => unreachable!("answered above"),
    }
}

async fn deliver(endpoint: &Endpoint, head: &Parts, incoming: Incoming, from: IpAddr, shared: &Shared) -> Answer {
    let body = match body::read(incoming, shared).await {
        Ok(body) => body,
        Err(NoBody::NoMemory) => return answer::unavailable("overloaded"),
        Err(NoBody::Refused(refusal, read)) => {
            note(head, from, &read, &refusal, shared);
            return answer::refused(&refusal);
        }
    };
    let now = shared.store.clock.now();
    let delivery = match shared.providers.verify(endpoint, &head.headers, &body.bytes, now) {
        Ok(delivery) => delivery,
        Err(refusal) => {
            note(head, from, &body.bytes, &refusal, shared);
            return answer::refused(&refusal);
        }
    };
    let stored = match shared.store.receive(delivery, shared.max_attempts) {
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

async fn health(shared: &Shared) -> Answer {
    match shared.health.check().await {
        Ok(()) => answer::healthy(),
        Err(reason) => {
            error!("/healthz says 503: {reason}");
            answer::not_stored(&reason)
        }
    }
}

fn note(head: &Parts, from: IpAddr, body: &[u8], refusal: &Refusal, shared: &Shared) {
    let (method, path) = (head.method.as_str(), head.uri.path());
    shared.rejected.note(Refused { from, method, path, headers: &head.headers, body }, refusal);
}
