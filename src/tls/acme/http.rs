//! HTTP client for the authority. It also keeps the status and `Retry-After` of the last response.

use crate::clock::{Clock, Timestamp};
use crate::http_client;
use crate::tls::acme::schedule::RETRY_PAUSE_MAX;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Largest response. A chain of certificates has a few KiB.
const RESPONSE_BYTES_MAX: usize = 1 << 20;

/// Status and `Retry-After` of the last response: the client library drops both on an error.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LastResponse {
    pub status: u16,
    pub retry_at: Option<Timestamp>,
}

#[derive(Clone)]
pub(crate) struct AcmeHttpClient {
    client: reqwest::Client,
    clock: Clock,
    last_response: Arc<Mutex<LastResponse>>,
}

impl AcmeHttpClient {
    pub fn new(client: reqwest::Client, clock: Clock) -> Self {
        Self { client, clock, last_response: Arc::default() }
    }

    pub fn last_response(&self) -> LastResponse {
        *self.last_response.lock().expect("nothing panics while it holds the lock")
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn set_last_response(&self, response: LastResponse) {
        *self.last_response.lock().expect("nothing panics while it holds the lock") = response;
    }

    async fn send_request(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        // A failed connection must not leave the wait of an earlier response.
        self.set_last_response(LastResponse::default());
        let (mut parts, body) = request.into_parts();
        // The client sends its own.
        parts.headers.remove(USER_AGENT);
        let Ok(body) = body.collect().await;
        let request =
            reqwest::Request::try_from(Request::from_parts(parts, body.to_bytes())).map_err(to_client_error)?;
        let url = request.url().clone();
        let unreachable = |error: reqwest::Error| {
            let fact = if error.is_timeout() {
                format!("{url} did not answer in time")
            } else {
                format!("{url} cannot be reached")
            };
            to_client_error(http_client::format_error_chain(fact, &error))
        };
        let response: Response<reqwest::Body> = self.client.execute(request).await.map_err(unreachable)?.into();
        let (mut parts, body) = response.into_parts();
        let header =
            |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let retry_at = header(RETRY_AFTER).and_then(|text| http_client::parse_retry_after(&text, self.now()));
        self.set_last_response(LastResponse { status: parts.status.as_u16(), retry_at });
        let kind = header(CONTENT_TYPE).unwrap_or_default();
        if parts.status.is_redirection() {
            let to = header(LOCATION).unwrap_or_default();
            return Err(to_client_error(format!(
                "{url} redirects to {to:?}: if that is right, set it as tls.acme.directory"
            )));
        }
        if parts.status >= StatusCode::BAD_REQUEST && !kind.contains("json") {
            return Err(to_client_error(format!("{url} answered {} and stated no reason", parts.status)));
        }
        if kind.contains("html") {
            return Err(to_client_error(format!(
                "{url} answered with an HTML page: is there a portal or a proxy in between?"
            )));
        }
        // The library adds any stated wait to the time, also one that overflows: give it a bounded one.
        parts.headers.remove(RETRY_AFTER);
        if let Some(wait) = retry_at.and_then(|at| Duration::try_from(at.duration_since(self.now())).ok()) {
            parts.headers.insert(RETRY_AFTER, wait.min(RETRY_PAUSE_MAX).as_secs().into());
        }
        let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
            to_client_error(format!("the response of {url} is incomplete: {error}"))
        };
        let bytes = Limited::new(body, RESPONSE_BYTES_MAX).collect().await.map_err(broken)?.to_bytes();
        Ok(BytesResponse { parts, body: Box::new(bytes) })
    }
}

fn to_client_error(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Other(error.into())
}

impl HttpClient for AcmeHttpClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().send_request(request))
    }
}
