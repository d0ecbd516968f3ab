//! What a connection is doing, for the limits on how long it may: a stream that notes when bytes come, and the state
//! that the watch over the connection reads.

use crate::config::sections::Server as Limits;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a connection is doing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Between requests.
    Idle,
    /// A request's first bytes came, its headers are not whole.
    Headers,
    /// At least one request is being answered; its own limits apply.
    Answering,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    answering: u32,
    answered: u64,
    headers_follow: bool,
}

/// Shared by a connection's stream, its requests and its watch.
#[derive(Debug, Clone)]
pub struct Activity(Arc<Mutex<State>>, Arc<Notify>);

impl Activity {
    /// Idle from now. `headers_follow`: the next bytes on an idle connection begin a request.
    #[must_use]
    pub fn new(headers_follow: bool) -> Self {
        let state = State { phase: Phase::Idle, since: Instant::now(), answering: 0, answered: 0, headers_follow };
        Self(Arc::new(Mutex::new(state)), Arc::default())
    }

    /// What it is doing, and until when it may; `None` while answering.
    #[must_use]
    pub fn deadline(&self, limits: &Limits) -> (Phase, Option<Instant>) {
        let state = self.lock();
        let deadline = match state.phase {
            Phase::Idle => Some(state.since + limits.idle_timeout),
            Phase::Headers => Some(state.since + limits.header_timeout),
            Phase::Answering => None,
        };
        (state.phase, deadline)
    }

    /// A request is being answered until the guard goes.
    #[must_use]
    pub fn answering(&self) -> Answering {
        let mut state = self.lock();
        state.answering += 1;
        state.phase = Phase::Answering;
        Answering(self.clone())
    }

    /// Whether it may be ended between two requests: it has asked before, and no further request has begun to come.
    #[must_use]
    pub fn owes_nothing(&self) -> bool {
        let state = self.lock();
        match state.phase {
            Phase::Idle => state.answered > 0,
            Phase::Headers => false,
            Phase::Answering => true,
        }
    }

    /// When it does something else than before: its deadline is another one then.
    pub async fn changed(&self) {
        self.1.notified().await;
    }

    /// Requests whose answers are made.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.lock().answered
    }

    fn bytes_came(&self) {
        let mut state = self.lock();
        if state.headers_follow && state.phase == Phase::Idle {
            state.phase = Phase::Headers;
            state.since = Instant::now();
            self.1.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it holds the state")
    }
}

/// A request in work.
#[derive(Debug)]
pub struct Answering(Activity);

impl Drop for Answering {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.answering -= 1;
        state.answered += 1;
        self.0.1.notify_one();
        if state.answering == 0 {
            state.phase = Phase::Idle;
            state.since = Instant::now();
        }
    }
}

/// A stream that tells its [`Activity`] when bytes come.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    activity: Activity,
    withheld: Option<u16>,
}

impl<S> Watched<S> {
    pub fn new(stream: S, activity: Activity) -> Self {
        Self { stream, activity, withheld: None }
    }

    /// The status of an answer that hyper made by itself, for a request that it could not read. It was not sent: it has no
    /// body, and ours say what is wrong.
    #[must_use]
    pub fn withheld(&self) -> Option<u16> {
        self.withheld
    }

    /// The stream itself, for what is said after hyper has ended.
    pub fn raw(&mut self) -> &mut S {
        &mut self.stream
    }

    fn withhold(&mut self, bytes: &[u8]) -> bool {
        self.withheld = self.withheld.or_else(|| hypers_own(bytes));
        self.withheld.is_some()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.bytes_came();
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.withhold(bytes) {
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
        if slices.first().is_some_and(|first| self.withhold(first)) {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The status of an HTTP/1 answer without a body that refuses a request: hyper makes these, we never do.
fn hypers_own(bytes: &[u8]) -> Option<u16> {
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
    fn only_an_empty_refusal_is_hypers_own() {
        let own = |text: &str| hypers_own(text.as_bytes());
        assert_eq!(
            own(
                "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n"
            ),
            Some(431)
        );
        assert_eq!(own("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), Some(400));
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n",
            "HTTP/1.1 400 Bad Request",
            "",
        ] {
            assert_eq!(own(other), None, "{other}");
        }
    }
}
