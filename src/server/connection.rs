//! Serves one connection: handshake, requests, and an end that lets the client read its last response.

use crate::providers::{Rejection, RejectionReason};
use crate::server::activity::{ConnectionActivity, ConnectionPhase, MonitoredStream};
use crate::server::control_frames::ControlFrameMeter;
use crate::server::place_limits::Standing;
use crate::server::places::{Applicant, Place};
use crate::server::rejections::RequestSummary;
use crate::server::reputation::to_network_prefix;
use crate::server::response::HttpResponse;
use crate::server::settings::ServerSettings;
use crate::server::{ServerState, request, response};
use crate::tls::certificates::{AcceptedClient, TlsAcceptor};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;
use tracing::debug;

/// Longest time that a client may go on sending after its last response: a reset would discard the response.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for the first request of an accepted connection during shutdown: without it the sender would have to
/// retry.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// HTTP/2: interval of pings to a silent client.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// HTTP/2: longest wait for the answer to a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2: longest time that requests in flight may take after a GOAWAY.
const GOAWAY_TIMEOUT: Duration = Duration::from_secs(10);

/// The client of a connection.
pub struct Peer {
    pub from: IpAddr,
    /// Its place among the connections; `None`: there are too many, and each request gets a 503.
    pub place: Option<Place>,
}

impl Peer {
    /// Returns this client as one that asks for the place of a request.
    #[must_use]
    pub fn as_applicant(&self, shared: &ServerState) -> Applicant {
        let is_settled = self.place.as_ref().is_some_and(Place::is_settled);
        let of_connection = if is_settled { Standing::Proven } else { Standing::Unproven };
        let standing = of_connection.max(shared.reputation.find_standing(self.from));
        let connection = self.place.as_ref().map_or(u64::MAX, Place::id);
        Applicant { address: to_network_prefix(self.from), connection, standing }
    }

    /// Records that this client sent a valid request that nobody sent before.
    pub fn record_proof(&self, shared: &ServerState) {
        if let Some(place) = &self.place {
            place.settle();
        }
        shared.reputation.record_proof(self.from);
    }

    fn is_rejected(&self) -> bool {
        self.place.is_none()
    }
}

type ConnectionStream = TokioIo<MonitoredStream<TlsStream<TcpStream>>>;

/// Serves a connection until it ends, is idle too long, or `stop` turns true and its requests have responses.
pub(crate) async fn serve_connection(
    tcp: TcpStream,
    peer: Arc<Peer>,
    tls: TlsAcceptor,
    shared: Arc<ServerState>,
    mut stop: watch::Receiver<bool>,
) {
    let from = peer.from;
    let handshake = timeout(shared.limits.handshake_timeout, tls.accept(tcp));
    let stream = tokio::select! {
        stream = handshake => match stream {
            Ok(Ok(AcceptedClient::Tls(stream))) => *stream,
            Ok(Ok(AcceptedClient::PlainHttp(tcp))) => return reject_plain_http(tcp, from, &shared).await,
            Ok(Ok(AcceptedClient::AcmeChallenge)) => return debug!(%from, "answered an ACME challenge"),
            Ok(Err(error)) => return debug!(%from, "the TLS handshake failed: {error}"),
            Err(_late) => return debug!(%from, "the TLS handshake took too long"),
        },
        () = async {
            let _ = stop.wait_for(|stop| *stop).await;
            tokio::time::sleep(FIRST_REQUEST_TIMEOUT).await;
        } => return,
    };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    // On HTTP/2 the bytes between requests are frames of the connection itself, so the daemon watches only idleness
    // there: h2 limits the size of headers, and the body has its own timeout.
    let activity = ConnectionActivity::new(!is_http2);
    let control_frames = is_http2.then(|| ControlFrameMeter::new(shared.limits.max_stream_resets));
    let meter = peer.place.as_ref().map(Place::meter);
    let stream = TokioIo::new(MonitoredStream::new(stream, activity.clone(), meter, control_frames));
    if is_http2 {
        Box::pin(serve_http2(stream, peer, activity, shared, stop)).await;
    } else {
        Box::pin(serve_http1(stream, peer, activity, shared, stop)).await;
    }
}

async fn serve_http1(
    stream: ConnectionStream,
    peer: Arc<Peer>,
    activity: ConnectionActivity,
    shared: Arc<ServerState>,
    mut stop: watch::Receiver<bool>,
) {
    let (limits, from) = (&shared.limits, peer.from);
    let (requests, shared_requests, request_peer) = (activity.clone(), shared.clone(), peer.clone());
    let service = service_fn(move |request| {
        let (activity, shared, peer) = (requests.clone(), shared_requests.clone(), request_peer.clone());
        // Boxed: hyper gives back the stream only of a connection that is Unpin, see below.
        Box::pin(async move {
            let _guard = activity.begin_request();
            Ok::<_, Infallible>(respond_to_request(request, &peer, &shared).await)
        })
    });
    let mut connection = http1_builder(limits, &peer).serve_connection(stream, service);
    let (mut is_closing, mut stop_deadline) = (false, None);
    let end = loop {
        let (_, deadline) = activity.deadline(limits);
        if !is_closing && stop_deadline.is_some_and(|until| activity.can_shut_down() || until <= Instant::now()) {
            is_closing = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        tokio::select! {
            result = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ConnectionEnd::Closed(result),
            () = activity.changed() => {}
            () = wait_until_deadline(deadline, limits.header_timeout) => match activity.deadline(limits) {
                (phase, Some(deadline)) if deadline <= Instant::now() => break ConnectionEnd::TimedOut(phase),
                _ => {}
            },
            _ = stop.wait_for(|stop| *stop), if stop_deadline.is_none() => {
                stop_deadline = Some(Instant::now() + FIRST_REQUEST_TIMEOUT);
            }
            () = wait_until_deadline(stop_deadline, limits.idle_timeout),
                if stop_deadline.is_some() && !is_closing => {}
        }
    };
    let mut stream = connection.into_parts().io.into_inner();
    if let Some(rejection) = rejection_at_end(&end, stream.suppressed_status(), from, limits) {
        // Not through `MonitoredStream`, which would suppress it as one of hyper's.
        send_rejection(stream.inner_mut(), from, &rejection, &shared).await;
    }
    close_and_linger(stream).await;
}

/// Answers a client that speaks HTTP without TLS, so that its log names the mistake.
async fn reject_plain_http(mut tcp: TcpStream, from: IpAddr, shared: &ServerState) {
    let detail = "the request is plain HTTP, and this port speaks HTTPS: use an address with https://";
    send_rejection(&mut tcp, from, &Rejection::new(RejectionReason::RequestMalformed, detail), shared).await;
    close_and_linger(tcp).await;
}

/// Records the rejection of a request that hyper did not read, and sends it.
async fn send_rejection(
    stream: &mut (impl AsyncWrite + Unpin),
    from: IpAddr,
    rejection: &Rejection,
    shared: &ServerState,
) {
    let headers = HeaderMap::new();
    let request = RequestSummary { from, method: "?", path: "?", headers: &headers, body: &[] };
    shared.rejections.record(request, rejection);
    shared.store.metrics.count_request(None, rejection.reason.http_status());
    let _ = timeout(LINGER_TIMEOUT, stream.write_all(&response::raw_error_response(rejection))).await;
}

/// Closes the daemon's side of a connection, and reads until the client closes its own.
async fn close_and_linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = timeout(LINGER_TIMEOUT, async {
        stream.shutdown().await?;
        let mut discarded = vec![0; 16 << 10];
        while stream.read(&mut discarded).await? > 0 {}
        std::io::Result::Ok(())
    })
    .await;
}

fn http1_builder(limits: &ServerSettings, peer: &Peer) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .max_headers(usize::try_from(limits.max_headers).unwrap_or(usize::MAX))
        .max_buf_size(usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX))
        .keep_alive(!peer.is_rejected());
    builder
}

enum ConnectionEnd {
    Closed(hyper::Result<()>),
    TimedOut(ConnectionPhase),
}

/// Returns the rejection to send at the end of an HTTP/1 connection: for unreadable or slow headers.
fn rejection_at_end(
    end: &ConnectionEnd,
    suppressed_status: Option<u16>,
    from: IpAddr,
    limits: &ServerSettings,
) -> Option<Rejection> {
    match end {
        ConnectionEnd::Closed(Ok(())) => None,
        ConnectionEnd::Closed(Err(error)) => {
            debug!(%from, "the connection ended: {error}");
            suppressed_status.map(|status| request::classify_unreadable_request(status, &error.to_string()))
        }
        ConnectionEnd::TimedOut(ConnectionPhase::ReadingHeaders) => {
            let detail = format!("the headers took longer than {} ms", limits.header_timeout.as_millis());
            Some(Rejection::new(RejectionReason::HeadersTooSlow, detail))
        }
        ConnectionEnd::TimedOut(_) => {
            debug!(%from, "closed an idle connection");
            None
        }
    }
}

async fn serve_http2(
    stream: ConnectionStream,
    peer: Arc<Peer>,
    activity: ConnectionActivity,
    shared: Arc<ServerState>,
    mut stop: watch::Receiver<bool>,
) {
    let (limits, from) = (&shared.limits, peer.from);
    let (requests, shared_requests, request_peer) = (activity.clone(), shared.clone(), peer.clone());
    let service = service_fn(move |request| {
        let (activity, shared, peer) = (requests.clone(), shared_requests.clone(), request_peer.clone());
        async move {
            let _guard = activity.begin_request();
            Ok::<_, Infallible>(respond_to_request(request, &peer, &shared).await)
        }
    });
    let mut connection = pin!(http2_builder(limits).serve_connection(stream, service));
    let (mut close_deadline, mut stop_deadline) = (None, None);
    loop {
        let (_, idle_deadline) = activity.deadline(limits);
        if close_deadline.is_none()
            && stop_deadline.is_some_and(|until| activity.can_shut_down() || until <= Instant::now())
        {
            connection.as_mut().graceful_shutdown();
            close_deadline = Some(Instant::now() + limits.shutdown_timeout.max(GOAWAY_TIMEOUT));
        }
        tokio::select! {
            () = activity.changed() => {
                // One 503 is enough for this connection: the next one may get a permit.
                if peer.is_rejected() && activity.completed_requests() > 0 && close_deadline.is_none() {
                    connection.as_mut().graceful_shutdown();
                    close_deadline = Some(Instant::now() + GOAWAY_TIMEOUT);
                }
            }
            result = connection.as_mut() => {
                if let Err(error) = result {
                    debug!(%from, "the connection ended: {error}");
                }
                return;
            }
            () = wait_until_deadline(close_deadline.or(idle_deadline), limits.idle_timeout) => {
                if close_deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                    return debug!(%from, "closed a connection: its requests did not end after the GOAWAY");
                }
                let is_idle = matches!(activity.deadline(limits), (_, Some(deadline)) if deadline <= Instant::now());
                if close_deadline.is_none() && is_idle {
                    connection.as_mut().graceful_shutdown();
                    close_deadline = Some(Instant::now() + GOAWAY_TIMEOUT);
                }
            }
            _ = stop.wait_for(|stop| *stop), if stop_deadline.is_none() => {
                stop_deadline = Some(Instant::now() + FIRST_REQUEST_TIMEOUT);
            }
            () = wait_until_deadline(stop_deadline, limits.idle_timeout),
                if stop_deadline.is_some() && close_deadline.is_none() => {}
        }
    }
}

fn http2_builder(limits: &ServerSettings) -> http2::Builder<TokioExecutor> {
    let saturate = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let resets = usize::try_from(limits.max_stream_resets).unwrap_or(usize::MAX);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(saturate(limits.max_streams))
        .max_header_list_size(saturate(limits.max_header_bytes))
        .max_pending_accept_reset_streams(resets)
        .max_local_error_reset_streams(resets)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

async fn respond_to_request(request: Request<Incoming>, peer: &Peer, shared: &ServerState) -> HttpResponse {
    if peer.is_rejected() {
        shared.store.metrics.count_request(None, StatusCode::SERVICE_UNAVAILABLE.as_u16());
        return response::unavailable_response("too many connections");
    }
    request::handle_request(request, peer, shared).await
}

/// Waits until `deadline`, or for `fallback` if there is none: then the caller checks again.
async fn wait_until_deadline(deadline: Option<Instant>, fallback: Duration) {
    sleep_until(deadline.unwrap_or_else(|| Instant::now() + fallback)).await;
}
