//! What a connection is doing, for the limits on how long it may: a stream that notes when bytes come, and the state
//! that the watch over the connection reads.

use crate::config::sections::Server as Limits;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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
    headers_follow: bool,
}

/// Shared by a connection's stream, its requests and its watch.
#[derive(Debug, Clone)]
pub struct Activity(Arc<Mutex<State>>);

impl Activity {
    /// Idle from now. `headers_follow`: the next bytes on an idle connection begin a request.
    #[must_use]
    pub fn new(headers_follow: bool) -> Self {
        let state = State { phase: Phase::Idle, since: Instant::now(), answering: 0, headers_follow };
        Self(Arc::new(Mutex::new(state)))
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

    fn bytes_came(&self) {
        let mut state = self.lock();
        if state.headers_follow && state.phase == Phase::Idle {
            state.phase = Phase::Headers;
            state.since = Instant::now();
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
}

impl<S> Watched<S> {
    pub fn new(stream: S, activity: Activity) -> Self {
        Self { stream, activity }
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
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
