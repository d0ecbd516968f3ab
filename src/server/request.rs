//! Answers one request.
//!
//! | route | |
//! |---|---|
//! | `POST /api/webhooks/shopify/{topic}` | a webhook; the topic may contain slashes |
//! | `POST /api/webhooks/easypost` | a webhook |
//! | `POST /api/keycloak/events` | a webhook |
//! | `POST /api/sps/poll` | polls the EDI sources now |
//! | `GET /healthz` | 200 while events can be stored |
//!
//! A webhook request passes these steps: a place among the requests in flight, the route, the limits on headers, the
//! body within its limits, the provider's check, the store. The response waits for the commit.

use crate::edi_poll::schedule::PollRequest;
use crate::event::Source;
use crate::providers::edi::PollAuth;
use crate::providers::{Rejection, RejectionReason, WebhookEndpoint, WebhookVerifiers};
use crate::server::body::BodyError;
use crate::server::connection::Peer;
use crate::server::places::{Place, Shortage};
use crate::server::rejections::RequestSummary;
use crate::server::response::HttpResponse;
use crate::server::secret_uses::SecretUseRecorder;
use crate::server::{ServerState, body, response};
use crate::store::StoreError;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, Request, StatusCode, Version};
use percent_encoding::percent_decode_str;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

const SHOPIFY_PATH_PREFIX: &str = "/api/webhooks/shopify/";
const EASYPOST_PATH: &str = "/api/webhooks/easypost";
const KEYCLOAK_PATH: &str = "/api/keycloak/events";
/// HTTP/2: longest time that a client may go on sending a request that already has its response.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for a poll. The poll goes on without a waiting client.
const POLL_WAIT_TIMEOUT: Duration = Duration::from_mins(1);

enum RequestRoute {
    Webhook(WebhookEndpoint),
    SpsPoll,
    Health,
    Unknown,
}

impl RequestRoute {
    fn from_path(path: &str) -> Self {
        match path {
            "/healthz" => Self::Health,
            "/api/webhooks/easypost" | "/api/webhooks/easypost/" => Self::Webhook(WebhookEndpoint::EasyPost),
            // vymalo/keycloak-webhook posts to its base address with a slash at the end.
            "/api/keycloak/events" | "/api/keycloak/events/" => Self::Webhook(WebhookEndpoint::Keycloak),
            "/api/sps/poll" => Self::SpsPoll,
            _ => match path.strip_prefix(SHOPIFY_PATH_PREFIX).map(|topic| percent_decode_str(topic).decode_utf8()) {
                Some(Ok(topic)) if !topic.trim_matches('/').is_empty() => {
                    // An extra slash in the configured address does not make another topic.
                    let parts: Vec<&str> = topic.split('/').filter(|part| !part.is_empty()).collect();
                    Self::Webhook(WebhookEndpoint::Shopify { topic: parts.join("/") })
                }
                _ => Self::Unknown,
            },
        }
    }

    fn allowed_methods(&self) -> &'static str {
        match self {
            Self::Health => "GET, HEAD",
            _ => "POST",
        }
    }

    fn allows_method(&self, method: &Method) -> bool {
        match self {
            Self::Health => method == Method::GET || method == Method::HEAD,
            _ => method == Method::POST,
        }
    }
}

/// Answers a request of the client `peer`.
pub async fn handle_request(request: Request<Incoming>, peer: &Peer, shared: &ServerState) -> HttpResponse {
    let (head, mut incoming) = request.into_parts();
    let started_at = Instant::now();
    let response = route_request(&head, &mut incoming, peer, shared).await;
    record_answer(head.uri.path(), response.status(), started_at, shared);
    if head.version == Version::HTTP_2 && !incoming.is_end_stream() {
        // A client that still sends treats an early response as a broken stream: curl 7.88 does. On HTTP/1 the
        // connection lingers instead.
        let _ =
            timeout(LINGER_TIMEOUT, async { while incoming.frame().await.is_some_and(|frame| frame.is_ok()) {} }).await;
    }
    if head.method == Method::HEAD { response::strip_body(response) } else { response }
}

/// Counts an answer, and the time until a webhook was acknowledged. Monitoring asks `/healthz` all the time, so that
/// its answers do not count.
fn record_answer(path: &str, status: StatusCode, started_at: Instant, shared: &ServerState) {
    let metrics = &shared.store.metrics;
    let source = match path {
        "/healthz" => return,
        "/api/sps/poll" => return metrics.count_request(Some(Source::Sps), status.as_u16()),
        path if path.starts_with(SHOPIFY_PATH_PREFIX) => Some(Source::Shopify),
        path if path.starts_with(EASYPOST_PATH) => Some(Source::EasyPost),
        path if path.starts_with(KEYCLOAK_PATH) => Some(Source::Keycloak),
        _ => None,
    };
    metrics.count_request(source, status.as_u16());
    if source.is_some() && status == StatusCode::OK {
        metrics.ack_seconds.record_duration(started_at.elapsed());
    }
}

/// Returns the rejection of a request that hyper could not read; `status` is the status of hyper's own response.
#[must_use]
pub fn classify_unreadable_request(status: u16, error: &str) -> Rejection {
    let reason = if status == 431 || status == 414 {
        RejectionReason::HeadersTooLarge
    } else {
        RejectionReason::RequestMalformed
    };
    Rejection::new(reason, format!("the request cannot be read: {error}"))
}

async fn route_request(head: &Parts, incoming: &mut Incoming, peer: &Peer, shared: &ServerState) -> HttpResponse {
    let from = peer.from;
    let reject = |rejection: Rejection| {
        record_rejection(head, from, &[], &rejection, shared);
        response::rejection_response(&rejection)
    };
    let route = RequestRoute::from_path(head.uri.path());
    // On HTTP/1 hyper has the same limit. On HTTP/2 the library limits only the size.
    if head.headers.len() as u64 > shared.limits.max_headers {
        return reject(Rejection::new(RejectionReason::HeadersTooLarge, "too many headers"));
    }
    if let Err(rejection) = check_host(head) {
        return reject(rejection);
    }
    if matches!(route, RequestRoute::Health) && route.allows_method(&head.method) {
        // Before it takes a place: monitoring must see a busy machine, and all callers share one probe.
        return check_health(shared).await;
    }
    let place = match shared.requests.admit(peer.as_applicant(shared)) {
        Ok(place) => place,
        Err(Shortage::OfAddress(_)) => {
            return response::unavailable_response("too many requests at once from this address");
        }
        Err(_) => return response::unavailable_response("overloaded"),
    };
    if matches!(route, RequestRoute::Unknown) {
        return reject(Rejection::new(RejectionReason::UnknownPath, "no such path"));
    }
    if !route.allows_method(&head.method) {
        let rejection = Rejection::new(RejectionReason::WrongMethod, format!("{} is not allowed here", head.method));
        record_rejection(head, from, &[], &rejection, shared);
        return response::method_not_allowed_response(&rejection, route.allowed_methods());
    }
    // The same authenticators for the whole request, also if a reload replaces them meanwhile.
    let authenticators = shared.authenticators();
    match (route, &authenticators.poll_auth, &shared.poll_requests) {
        (RequestRoute::Webhook(endpoint), ..) if authenticators.providers.is_configured(&endpoint) => {
            receive_webhook(&endpoint, &authenticators.providers, (head, incoming), (peer, &place), shared).await
        }
        (RequestRoute::SpsPoll, Some(auth), Some(poll_requests)) => {
            request_poll(head, (peer, &place), (auth, poll_requests), shared).await
        }
        (RequestRoute::Webhook(_) | RequestRoute::SpsPoll, ..) => {
            reject(Rejection::new(RejectionReason::NotConfigured, "no secrets are configured"))
        }
        (RequestRoute::Unknown | RequestRoute::Health, ..) => unreachable!("answered above"),
    }
}

/// Checks `Host` and the authority of the request target (RFC 9112, section 3.2; RFC 9113, section 8.3.1).
///
/// Several names, none, or a name that two programs read in two ways are how one request passes for another.
fn check_host(head: &Parts) -> Result<(), Rejection> {
    let reject = |detail| Err(Rejection::new(RejectionReason::RequestMalformed, detail));
    let mut hosts = head.headers.get_all(HOST).iter();
    let (host, target) = (hosts.next(), head.uri.authority());
    if hosts.next().is_some() {
        return reject("the request has several Host headers");
    }
    if host.is_none() && (head.version == Version::HTTP_11 || (head.version == Version::HTTP_2 && target.is_none())) {
        return reject("the request has no Host header");
    }
    let host = match host.map(|host| Authority::try_from(host.as_bytes())) {
        Some(Err(_)) if host.is_some_and(|host| !host.is_empty()) => return reject("the Host header is no host name"),
        Some(Ok(host)) => Some(host),
        Some(Err(_)) | None => None,
    };
    if [host.as_ref(), target].into_iter().flatten().any(|name| !is_host_and_port(name)) {
        return reject("the Host header is no host name");
    }
    match (host, target) {
        (Some(host), Some(target)) if host != *target => reject("the Host header and the request target differ"),
        _ => Ok(()),
    }
}

/// Returns whether an authority is a host with or without a port: no user name, no port above 65535.
fn is_host_and_port(authority: &Authority) -> bool {
    let text = authority.as_str();
    let port = text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map(|(_, port)| port);
    !text.contains('@') && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

async fn receive_webhook(
    endpoint: &WebhookEndpoint,
    providers: &WebhookVerifiers,
    (head, incoming): (&Parts, &mut Incoming),
    (peer, place): (&Peer, &Place),
    shared: &ServerState,
) -> HttpResponse {
    let from = peer.from;
    let reject = |rejection: &Rejection, body: &[u8]| {
        record_rejection(head, from, body, rejection, shared);
        response::rejection_response(rejection)
    };
    if let Err(rejection) = providers.check_headers(endpoint, &head.headers) {
        return reject(&rejection, &[]);
    }
    let body = match body::read_body(incoming, place, shared).await {
        Ok(body) => body,
        Err(BodyError::BufferFull) => return response::unavailable_response("overloaded"),
        Err(BodyError::Evicted) => return response::unavailable_response("overloaded, and this request was slow"),
        Err(BodyError::Rejected(rejection, read)) => return reject(&rejection, &read),
    };
    let now = shared.store.clock.now();
    let webhook = match providers.verify(endpoint, &head.headers, &body, now) {
        Ok(webhook) => webhook,
        Err(rejection) => return reject(&rejection, &body),
    };
    place.settle();
    let secret = SecretUseRecorder::identify_secret(&webhook);
    // The memory goes with the body: the writer releases it, not the end of the request.
    let held_bytes = place.detach_bytes(body.len() as u64);
    let stored = match shared.store.receive(webhook, shared.max_attempts, held_bytes) {
        Ok(pending) => timeout(shared.limits.answer_timeout, pending.committed()).await.unwrap_or_else(|_late| {
            // The writer skips a dropped job unless it has started it. If it has, the sender's retry is a duplicate.
            Err(StoreError::Busy { waited: shared.limits.answer_timeout })
        }),
        Err(error) => Err(error),
    };
    match stored {
        Ok(receipt) => {
            debug!(event = receipt.event_id, duplicate = receipt.is_duplicate(), %from, "stored");
            if receipt.is_first_arrival() {
                peer.record_proof(shared);
                // A repetition does not show that the provider still has the secret.
                if let Some(secret) = secret {
                    shared.secret_uses.record(secret, now, &shared.store);
                }
            }
            response::received_response(receipt)
        }
        Err(reason @ (StoreError::Overloaded | StoreError::ShuttingDown)) => response::store_error_response(&reason),
        Err(reason) => {
            warn!(
                %from,
                path = head.uri.path(),
                "the daemon answered a webhook with 503, its sender will retry: {reason}"
            );
            response::store_error_response(&reason)
        }
    }
}

async fn request_poll(
    head: &Parts,
    (peer, place): (&Peer, &Place),
    (auth, poll_requests): (&PollAuth, &mpsc::Sender<PollRequest>),
    shared: &ServerState,
) -> HttpResponse {
    if let Err(rejection) = auth.check(&head.headers) {
        record_rejection(head, peer.from, &[], &rejection, shared);
        return response::rejection_response(&rejection);
    }
    place.settle();
    peer.record_proof(shared);
    let (reply, polled) = oneshot::channel();
    if poll_requests.try_send(reply).is_err() {
        return response::unavailable_response("polls are running already");
    }
    match timeout(POLL_WAIT_TIMEOUT, polled).await {
        Ok(Ok(polls)) => response::poll_finished_response(&polls),
        Ok(Err(_stopping)) => response::unavailable_response("shutting down"),
        Err(_late) => response::poll_running_response(),
    }
}

async fn check_health(shared: &ServerState) -> HttpResponse {
    match shared.health.check().await {
        Ok(()) => response::healthy_response(),
        Err(reason) => response::store_error_response(&reason),
    }
}

fn record_rejection(head: &Parts, from: IpAddr, body: &[u8], rejection: &Rejection, shared: &ServerState) {
    let (method, path) = (head.method.as_str(), head.uri.path());
    shared.rejections.record(RequestSummary { from, method, path, headers: &head.headers, body }, rejection);
}
