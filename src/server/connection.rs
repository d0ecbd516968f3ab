//! The life of one connection: handshake, requests, and an end that lets the client read its last answer.

use super::activity::{Activity, Phase, Watched};
use super::answer::{self, Answer};
use super::rejected::Refused;
use super::{Shared, service, tls};
use crate::providers::{Reason, Refusal};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;
use tracing::debug;

/// After its last answer a client may go on sending what it had begun, so that it reads the answer and no reset: so long.
const LINGER: Duration = Duration::from_secs(2);
/// A connection that was accepted may ask once, also while this process ends: so long. Its sender would otherwise have to come again.
const FIRST_REQUEST: Duration = Duration::from_secs(2);
/// HTTP/2: how often a silent client is asked whether it is there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// HTTP/2: how long requests in flight may take after the connection was told to end.
const GOAWAY_PATIENCE: Duration = Duration::from_secs(10);

/// Whether requests on a connection are worked, or told that there are too many connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Serve,
    Refuse,
}

type Stream = TokioIo<Watched<TlsStream<TcpStream>>>;

/// Serves a connection until it ends, is idle too long, or `stop` turns true and its requests are answered.
pub(super) async fn serve(
    tcp: TcpStream,
    from: IpAddr,
    tls: tls::Acceptor,
    mode: Mode,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let handshake = timeout(shared.limits.handshake_timeout, tls.accept(tcp));
    let stream = tokio::select! {
        stream = handshake => match stream {
            Ok(Ok(Some(stream))) => stream,
            Ok(Ok(None)) => return debug!(%from, "answered an authority's challenge"),
            Ok(Err(error)) => return debug!(%from, "no TLS: {error}"),
            Err(_late) => return debug!(%from, "the TLS handshake took too long"),
        },
        () = async {
            let _ = stop.wait_for(|stop| *stop).await;
            tokio::time::sleep(FIRST_REQUEST).await;
        } => return,
    };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    // On HTTP/2 bytes between requests are frames of the connection itself, so only idleness is watched there: the size
    // of headers is limited by h2, and the body by its own time.
    let activity = Activity::new(!http2);
    let stream = TokioIo::new(Watched::new(stream, activity.clone()));
    if http2 {
        Box::pin(serve_http2(stream, from, mode, activity, shared, stop)).await;
    } else {
        Box::pin(serve_http1(stream, from, mode, activity, shared, stop)).await;
    }
}

async fn serve_http1(
    stream: Stream,
    from: IpAddr,
    mode: Mode,
    activity: Activity,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let limits = &shared.limits;
    let (requests, shared_requests) = (activity.clone(), shared.clone());
    let service = service_fn(move |request| {
        let (activity, shared) = (requests.clone(), shared_requests.clone());
        // Boxed, because only a connection that may be moved gives its stream back below.
        Box::pin(async move {
            let _answering = activity.answering();
            Ok::<_, Infallible>(respond(request, from, mode, &shared).await)
        })
    });
    let mut connection = hyper::server::conn::http1::Builder::new()
        .max_headers(usize::try_from(limits.max_headers).unwrap_or(usize::MAX))
        .max_buf_size(usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX))
        .keep_alive(mode == Mode::Serve)
        .serve_connection(stream, service);
    let (mut told, mut stopping) = (false, None);
    let ended = loop {
        let (_, deadline) = activity.deadline(limits);
        if !told && stopping.is_some_and(|until| activity.owes_nothing() || until <= Instant::now()) {
            told = true;
            std::pin::Pin::new(&mut connection).graceful_shutdown();
        }
        tokio::select! {
            result = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break End::Of(result),
            () = activity.changed() => {}
            () = wait_until(deadline, limits.header_timeout) => match activity.deadline(limits) {
                (phase, Some(deadline)) if deadline <= Instant::now() => break End::TooSlow(phase),
                _ => {}
            },
            _ = stop.wait_for(|stop| *stop), if stopping.is_none() => stopping = Some(Instant::now() + FIRST_REQUEST),
            () = wait_until(stopping, limits.idle_timeout), if stopping.is_some() && !told => {}
        }
    };
    let mut stream = connection.into_parts().io.into_inner();
    let refusal = match &ended {
        End::Of(Ok(())) => None,
        End::Of(Err(error)) => {
            debug!(%from, "the connection ended: {error}");
            stream.withheld().map(|status| service::unreadable(status, &error.to_string()))
        }
        End::TooSlow(Phase::Headers) => {
            let detail = format!("the headers took longer than {} ms", limits.header_timeout.as_millis());
            Some(Refusal::new(Reason::HeadersTooSlow, detail))
        }
        End::TooSlow(_) => {
            debug!(%from, "closed an idle connection");
            None
        }
    };
    if let Some(refusal) = refusal {
        let headers = HeaderMap::new();
        let request = Refused { from, method: "?", path: "?", headers: &headers, body: &[] };
        shared.rejected.note(request, &refusal);
        // Past `Watched`, which would take it for hyper's.
        let _ = stream.raw().write_all(&answer::last_words(&refusal)).await;
    }
    let _ = timeout(LINGER, async {
        stream.shutdown().await?;
        let mut rest = vec![0; 16 << 10];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    })
    .await;
}

enum End {
    Of(hyper::Result<()>),
    TooSlow(Phase),
}

async fn serve_http2(
    stream: Stream,
    from: IpAddr,
    mode: Mode,
    activity: Activity,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let limits = &shared.limits;
    let (requests, shared_requests) = (activity.clone(), shared.clone());
    let service = service_fn(move |request| {
        let (activity, shared) = (requests.clone(), shared_requests.clone());
        async move {
            let _answering = activity.answering();
            Ok::<_, Infallible>(respond(request, from, mode, &shared).await)
        }
    });
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let resets = usize::try_from(limits.max_stream_resets).unwrap_or(usize::MAX);
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(small(limits.max_streams))
        .max_header_list_size(small(limits.max_header_bytes))
        .max_pending_accept_reset_streams(resets)
        .max_local_error_reset_streams(resets)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE)
        .serve_connection(stream, service);
    let mut connection = pin!(connection);
    let (mut last_call, mut stopping) = (None, None);
    loop {
        let (_, idle) = activity.deadline(limits);
        if last_call.is_none() && stopping.is_some_and(|until| activity.owes_nothing() || until <= Instant::now()) {
            connection.as_mut().graceful_shutdown();
            last_call = Some(Instant::now() + limits.shutdown_timeout.max(GOAWAY_PATIENCE));
        }
        tokio::select! {
            () = activity.changed() => {
                // Refused once is enough said: on the next connection there may be a place.
                if mode == Mode::Refuse && activity.answered() > 0 && last_call.is_none() {
                    connection.as_mut().graceful_shutdown();
                    last_call = Some(Instant::now() + GOAWAY_PATIENCE);
                }
            }
            result = connection.as_mut() => {
                if let Err(error) = result {
                    debug!(%from, "the connection ended: {error}");
                }
                return;
            }
            () = wait_until(last_call.or(idle), limits.idle_timeout) => {
                if last_call.is_some_and(|deadline| deadline <= Instant::now()) {
                    return debug!(%from, "closed: requests did not end after the connection was told to");
                }
                let idle = matches!(activity.deadline(limits), (_, Some(deadline)) if deadline <= Instant::now());
                if last_call.is_none() && idle {
                    connection.as_mut().graceful_shutdown();
                    last_call = Some(Instant::now() + GOAWAY_PATIENCE);
                }
            }
            _ = stop.wait_for(|stop| *stop), if stopping.is_none() => stopping = Some(Instant::now() + FIRST_REQUEST),
            () = wait_until(stopping, limits.idle_timeout), if stopping.is_some() && last_call.is_none() => {}
        }
    }
}

async fn respond(request: Request<Incoming>, from: IpAddr, mode: Mode, shared: &Shared) -> Answer {
    match mode {
        Mode::Serve => service::answer(request, from, shared).await,
        Mode::Refuse => answer::unavailable("too many connections"),
    }
}

/// Until `deadline`, or for `otherwise` when there is none: then the caller looks again.
async fn wait_until(deadline: Option<Instant>, otherwise: Duration) {
    sleep_until(deadline.unwrap_or_else(|| Instant::now() + otherwise)).await;
}
