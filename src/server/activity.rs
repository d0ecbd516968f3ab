//! Records what a connection is doing, for its time limits: a stream that reports received bytes, and the state that
//! the loop of the connection reads.

use crate::server::control_frames::ControlFrameMeter;
use crate::server::rate_meter::RateMeter;
use crate::server::settings::ServerSettings;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Current activity of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionPhase {
    /// Between requests.
    Idle,
    /// The first bytes of a request arrived; its headers are incomplete.
    ReadingHeaders,
    /// At least one request is in flight; the request's own limits apply.
    HandlingRequest,
}

#[derive(Debug)]
struct ActivityState {
    phase: ConnectionPhase,
    phase_started_at: Instant,
    requests_in_flight: u32,
    completed_requests: u64,
    tracks_headers: bool,
}

/// State that a connection's stream, its requests and its loop share.
#[derive(Debug, Clone)]
pub struct ConnectionActivity(Arc<Mutex<ActivityState>>, Arc<Notify>);

impl ConnectionActivity {
    /// Returns an idle state. `tracks_headers`: the next bytes on an idle connection begin a request.
    #[must_use]
    pub fn new(tracks_headers: bool) -> Self {
        let state = ActivityState {
            phase: ConnectionPhase::Idle,
            phase_started_at: Instant::now(),
            requests_in_flight: 0,
            completed_requests: 0,
            tracks_headers,
        };
        Self(Arc::new(Mutex::new(state)), Arc::default())
    }

    /// Returns the phase and its deadline; no deadline while requests are in flight.
    #[must_use]
    pub fn deadline(&self, limits: &ServerSettings) -> (ConnectionPhase, Option<Instant>) {
        let state = self.lock();
        let deadline = match state.phase {
            ConnectionPhase::Idle => Some(state.phase_started_at + limits.idle_timeout),
            ConnectionPhase::ReadingHeaders => Some(state.phase_started_at + limits.header_timeout),
            ConnectionPhase::HandlingRequest => None,
        };
        (state.phase, deadline)
    }

    /// Counts a request as in flight until the guard is dropped.
    #[must_use]
    pub fn begin_request(&self) -> RequestGuard {
        let mut state = self.lock();
        state.requests_in_flight += 1;
        state.phase = ConnectionPhase::HandlingRequest;
        RequestGuard(self.clone())
    }

    /// Returns whether the connection may close between two requests: it completed one, and no other one has started to
    /// arrive.
    #[must_use]
    pub fn can_shut_down(&self) -> bool {
        let state = self.lock();
        match state.phase {
            ConnectionPhase::Idle => state.completed_requests > 0,
            ConnectionPhase::ReadingHeaders => false,
            ConnectionPhase::HandlingRequest => true,
        }
    }

    /// Waits until the phase changes, and with it the deadline.
    pub async fn changed(&self) {
        self.1.notified().await;
    }

    /// Returns the number of requests that have a response.
    #[must_use]
    pub fn completed_requests(&self) -> u64 {
        self.lock().completed_requests
    }

    fn record_bytes_received(&self) {
        let mut state = self.lock();
        if state.tracks_headers && state.phase == ConnectionPhase::Idle {
            state.phase = ConnectionPhase::ReadingHeaders;
            state.phase_started_at = Instant::now();
            self.1.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, ActivityState> {
        self.0.lock().expect("nothing panics while it holds the state")
    }
}

/// A request in flight.
#[derive(Debug)]
pub struct RequestGuard(ConnectionActivity);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.requests_in_flight -= 1;
        state.completed_requests += 1;
        self.0.1.notify_one();
        if state.requests_in_flight == 0 {
            state.phase = ConnectionPhase::Idle;
            state.phase_started_at = Instant::now();
        }
    }
}

/// A stream that reports received bytes to its [`ConnectionActivity`] and counts them.
#[derive(Debug)]
pub struct MonitoredStream<S> {
    stream: S,
    activity: ConnectionActivity,
    rate_meter: Option<Arc<RateMeter>>,
    control_frames: Option<ControlFrameMeter>,
    suppressed_status: Option<u16>,
}

impl<S> MonitoredStream<S> {
    /// Returns a stream that reports to `rate_meter`. `control_frames` limits the frames of an HTTP/2 connection.
    pub fn new(
        stream: S,
        activity: ConnectionActivity,
        rate_meter: Option<Arc<RateMeter>>,
        control_frames: Option<ControlFrameMeter>,
    ) -> Self {
        Self { stream, activity, rate_meter, control_frames, suppressed_status: None }
    }

    /// Returns the status of a response that hyper built for a request that it could not read.
    ///
    /// The stream does not send such a response: it has no body, and ours name the cause.
    #[must_use]
    pub fn suppressed_status(&self) -> Option<u16> {
        self.suppressed_status
    }

    /// Returns the inner stream, for a response after hyper closed the connection.
    pub fn inner_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    fn suppress_hyper_error(&mut self, bytes: &[u8]) -> bool {
        self.suppressed_status = self.suppressed_status.or_else(|| parse_hyper_error_status(bytes));
        self.suppressed_status.is_some()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MonitoredStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let new_bytes = &buffer.filled()[before..];
        if !new_bytes.is_empty() {
            self.activity.record_bytes_received();
            if let Some(meter) = &self.rate_meter {
                meter.record_bytes(new_bytes.len(), Instant::now());
            }
            if self.control_frames.as_mut().is_some_and(|meter| !meter.observe(new_bytes)) {
                return Poll::Ready(Err(io::Error::other("the client sent too many control frames")));
            }
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MonitoredStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.suppress_hyper_error(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if slices.first().is_some_and(|first| self.suppress_hyper_error(first)) {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Returns the status of an HTTP/1 4xx response without a body: hyper builds these, the daemon never does.
fn parse_hyper_error_status(bytes: &[u8]) -> Option<u16> {
    let status: u16 = std::str::from_utf8(bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).ok()?.parse().ok()?;
    if !(400..500).contains(&status) {
        return None;
    }
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n")?;
    let head = bytes[..end + 2].to_ascii_lowercase();
    head.windows(21).any(|line| line == b"\r\ncontent-length: 0\r\n").then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bodyless_4xx_response_is_hyper_error() {
        let status = |text: &str| parse_hyper_error_status(text.as_bytes());
        assert_eq!(
            status(
                "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n"
            ),
            Some(431)
        );
        assert_eq!(status("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), Some(400));
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n",
            "HTTP/1.1 400 Bad Request",
            "",
        ] {
            assert_eq!(status(other), None, "{other}");
        }
    }
}
