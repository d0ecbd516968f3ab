//! `https://api.spscommerce.com/transactions/v5/data/out`: SPS Commerce's transactions API.
//!
//! Authentication is `OAuth2` client credentials. The token is cached until shortly before it expires, because SPS
//! limits how often it issues one. A listing has pages. Only links to the same host are followed, so that no other host
//! receives the token. Sources: SPS's public API pages and ShipStream/spscommerce-php-sdk.

use crate::http_client;
use crate::transfer::source::SpsApiSettings;
use crate::transfer::{RemoteFile, TransferError};
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Time before its expiry at which a token is no longer used.
const TOKEN_MARGIN: Duration = Duration::from_mins(1);
/// Most pages of one listing.
const PAGES_MAX: usize = 1_000;
/// Largest listing or token response, in bytes.
const RESPONSE_BYTES_MAX: u64 = 16 << 20;
/// Wait after a 429 without `Retry-After`.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_mins(1);
/// Longest wait that a `Retry-After` can request.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(6);

/// Access token and the time until which it is used.
pub type CachedToken = Option<(String, Instant)>;

/// Client of the transactions API for one account.
pub struct SpsApiClient {
    client: Client,
    settings: SpsApiSettings,
    base: Url,
}

impl SpsApiClient {
    pub(crate) fn open(settings: &SpsApiSettings, timeout: Duration) -> Result<Self, TransferError> {
        let to_error = |error: String| TransferError::Source(error);
        let tls = http_client::build_tls_config(http_client::load_system_roots())
            .map_err(|error| to_error(error.to_string()))?;
        let client = http_client::http_client_builder(tls.with_no_client_auth(), timeout)
            .build()
            .map_err(|error| to_error(error.to_string()))?;
        let base = Url::parse(&format!("{}/", settings.url.trim_end_matches('/')))
            .map_err(|error| to_error(error.to_string()))?;
        Ok(Self { client, settings: settings.clone(), base })
    }

    /// Returns an access token: the cached one, or a new one with `must_renew`.
    async fn access_token(&self, must_renew: bool) -> Result<String, TransferError> {
        let mut cached = self.settings.token.lock().await;
        if let Some((token, valid_until)) = cached.as_ref()
            && !must_renew
            && *valid_until > Instant::now()
        {
            return Ok(token.clone());
        }
        *cached = None;
        let secret =
            self.settings.secrets.first().map(|secret| String::from_utf8_lossy(secret.expose()).trim().to_owned());
        let body = json!({
            "grant_type": "client_credentials", "client_id": self.settings.client_id, "client_secret": secret,
            "audience": self.settings.audience,
        });
        let request = self.client.post(&self.settings.token_url).header("content-type", "application/json");
        let response = request.body(body.to_string()).send().await.map_err(|error| to_transfer_error(&error))?;
        let status = response.status();
        if !status.is_success() {
            let retry_after = parse_retry_after(&response);
            let error = format!("{} issues no token: {status}", self.settings.token_url);
            let error = http_client::describe_refusal(error, response).await;
            return Err(match status {
                StatusCode::TOO_MANY_REQUESTS => TransferError::RetryLater(error, retry_after),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
                    TransferError::Source(format!("{error}; check client_id, the secret and audience"))
                }
                _ => TransferError::Source(error),
            });
        }
        let response: Value = serde_json::from_slice(&read_body_limited(response, RESPONSE_BYTES_MAX).await?)
            .map_err(|error| TransferError::Source(format!("the token response is not JSON: {error}")))?;
        let token = response["access_token"].as_str().filter(|token| !token.is_empty());
        let token =
            token.ok_or_else(|| TransferError::Source("the token response has no access_token".to_owned()))?.to_owned();
        let lifetime = Duration::from_secs(response["expires_in"].as_u64().unwrap_or(300)).saturating_sub(TOKEN_MARGIN);
        *cached = Some((token.clone(), Instant::now() + lifetime));
        Ok(token)
    }

    /// Sends a request. If the token is refused, it is renewed once. With `is_for_file`, an error concerns only that
    /// file.
    async fn send_request(&self, method: Method, url: Url, is_for_file: bool) -> Result<Response, TransferError> {
        self.send_request_with_body(method, url, None, is_for_file).await
    }

    /// Sends a request with the body of an upload. SPS accepts only `application/octet-stream`.
    async fn send_request_with_body(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
        is_for_file: bool,
    ) -> Result<Response, TransferError> {
        for must_renew in [false, true] {
            let token = self.access_token(must_renew).await?;
            let mut request = self.client.request(method.clone(), url.clone()).bearer_auth(token);
            if let Some(body) = &body {
                request = request.header("content-type", "application/octet-stream").body(body.clone());
            }
            let response = request.send().await.map_err(|error| to_transfer_error(&error))?;
            let status = response.status();
            match status {
                _ if status.is_success() => return Ok(response),
                StatusCode::UNAUTHORIZED if !must_renew => continue,
                StatusCode::NOT_FOUND => return Err(TransferError::NotFound),
                _ => {}
            }
            let retry_after = parse_retry_after(&response);
            let error = http_client::describe_refusal(format!("it answered {status}"), response).await;
            return Err(match status {
                StatusCode::TOO_MANY_REQUESTS => TransferError::RetryLater(error, retry_after),
                _ if is_for_file && status != StatusCode::UNAUTHORIZED => TransferError::File(error),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    TransferError::Source(format!("{error}; the account does not have this permission"))
                }
                _ if status.is_server_error() => TransferError::Source(error),
                _ => TransferError::File(error),
            });
        }
        Err(TransferError::Source("it refuses a token that was just issued".to_owned()))
    }

    fn file_url(&self, name: &str) -> Result<Url, TransferError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| TransferError::Source("the address has no path".to_owned()))?
            .pop_if_empty()
            .push(name);
        Ok(url)
    }

    pub(crate) async fn list(&self) -> Result<Vec<RemoteFile>, TransferError> {
        let mut next = self.base.clone();
        next.set_query(Some("limit=1000"));
        let mut files = Vec::new();
        for _ in 0..PAGES_MAX {
            let body = match self.send_request(Method::GET, next, false).await {
                // SPS answers 404 while an account has no files yet.
                Err(TransferError::NotFound) if files.is_empty() => return Ok(files),
                Err(TransferError::NotFound | TransferError::File(_)) => {
                    return Err(TransferError::Source("a page of the listing no longer exists".to_owned()));
                }
                other => read_body_limited(other?, RESPONSE_BYTES_MAX).await?,
            };
            let page: Value = serde_json::from_slice(&body)
                .map_err(|error| TransferError::Source(format!("the listing is not JSON: {error}")))?;
            for entry in page["results"].as_array().into_iter().flatten() {
                if entry["type"].as_str() == Some("file")
                    && let Some(name) = entry["path"].as_str().and_then(|path| path.rsplit('/').next())
                {
                    files.push(RemoteFile { name: name.to_owned(), size: None, modified: None, identity: None });
                }
            }
            let Some(link) = page["paging"]["next"]["url"].as_str() else { return Ok(files) };
            next = Url::parse(link).map_err(|error| {
                TransferError::Source(format!("the address of the next page is not valid: {error}"))
            })?;
            if next.origin() != self.base.origin() {
                return Err(TransferError::Source(
                    "the next page is at another host, which must not receive the token".to_owned(),
                ));
            }
        }
        Err(TransferError::Source(format!("the listing has more than {PAGES_MAX} pages")))
    }

    pub(crate) async fn read(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, TransferError> {
        read_body_limited(self.send_request(Method::GET, self.file_url(name)?, true).await?, bytes_max).await
    }

    /// Uploads a document. A repeated upload replaces the file, so it does no harm.
    pub(crate) async fn upload(&self, name: &str, bytes: &[u8]) -> Result<(), TransferError> {
        let body = Some(bytes.to_vec());
        match self.send_request_with_body(Method::POST, self.file_url(name)?, body, true).await {
            Ok(_) => Ok(()),
            Err(TransferError::NotFound) => Err(TransferError::Source(format!("there is no directory {}", self.base))),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<(), TransferError> {
        self.send_request(Method::DELETE, self.file_url(name)?, true).await.map(drop)
    }
}

/// Reads a body of at most `bytes_max` bytes. A body that ends before its stated length is an error.
async fn read_body_limited(mut response: Response, bytes_max: u64) -> Result<Vec<u8>, TransferError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| to_transfer_error(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() as u64 > bytes_max {
            return Err(TransferError::File(format!("it has more than {bytes_max} bytes (sps.max_file_bytes)")));
        }
    }
    Ok(body)
}

fn to_transfer_error(error: &reqwest::Error) -> TransferError {
    TransferError::Source(http_client::describe_request_error(&error.to_string(), error))
}

/// Returns the wait of a `Retry-After` in seconds.
fn parse_retry_after(response: &Response) -> Duration {
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    seconds.map_or(RETRY_AFTER_DEFAULT, Duration::from_secs).min(RETRY_AFTER_MAX)
}
