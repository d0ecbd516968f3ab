//! HTTP to the authority: the daemon's own client, and what an answer said besides its body.

use super::schedule::PAUSE_MAX;
use crate::clock::{Clock, Timestamp};
use crate::outbound;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A chain of certificates is a few KiB; more than this is no ACME server's answer.
const MAX_ANSWER: usize = 1 << 20;

/// The last answer's status and when to come again: the client library keeps neither of an error.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Said {
    pub status: u16,
    pub retry_at: Option<Timestamp>,
}

#[derive(Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    clock: Clock,
    said: Arc<Mutex<Said>>,
}

impl Http {
    pub fn new(client: reqwest::Client, clock: Clock) -> Self {
        Self { client, clock, said: Arc::default() }
    }

    pub fn said(&self) -> Said {
        *self.said.lock().expect("nothing panics while it holds it")
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn note(&self, said: Said) {
        *self.said.lock().expect("nothing panics while it holds it") = said;
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        // A connection that fails must not leave an older answer's wait.
        self.note(Said::default());
        let (mut parts, body) = request.into_parts();
        // The client's own says who asks.
        parts.headers.remove(USER_AGENT);
        let Ok(body) = body.collect().await;
        let request = reqwest::Request::try_from(Request::from_parts(parts, body.to_bytes())).map_err(other)?;
        let url = request.url().clone();
        let unreachable = |error: reqwest::Error| {
            let what = if error.is_timeout() { "no answer in time from" } else { "not reached:" };
            other(outbound::chain(format!("{what} {url}"), &error))
        };
        let response: Response<reqwest::Body> = self.client.execute(request).await.map_err(unreachable)?.into();
        let (mut parts, body) = response.into_parts();
        let header =
            |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let retry_at = header(RETRY_AFTER).and_then(|text| outbound::retry_after(&text, self.now()));
        self.note(Said { status: parts.status.as_u16(), retry_at });
        let kind = header(CONTENT_TYPE).unwrap_or_default();
        if parts.status.is_redirection() {
            let to = header(LOCATION).unwrap_or_default();
            return Err(other(format!("{url} leads on to {to:?}: if that is right, enter it as tls.acme.directory")));
        }
        if parts.status >= StatusCode::BAD_REQUEST && !kind.contains("json") {
            return Err(other(format!("{url} answered {} and no reason", parts.status)));
        }
        if kind.contains("html") {
            return Err(other(format!("{url} answered with a page for people: is there a portal or a proxy between?")));
        }
        // The library adds what it says to the time, whatever it says.
        parts.headers.remove(RETRY_AFTER);
        if let Some(wait) = retry_at.and_then(|at| Duration::try_from(at.duration_since(self.now())).ok()) {
            parts.headers.insert(RETRY_AFTER, wait.min(PAUSE_MAX).as_secs().into());
        }
        let broken =
            |error: Box<dyn std::error::Error + Send + Sync>| other(format!("the answer of {url} broke off: {error}"));
        let bytes = Limited::new(body, MAX_ANSWER).collect().await.map_err(broken)?.to_bytes();
        Ok(BytesResponse { parts, body: Box::new(bytes) })
    }
}

fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Other(error.into())
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().send(request))
    }
}
