//! `https://api.spscommerce.com/transactions/v5/data/out`: SPS Commerce's transactions API.
//!
//! `OAuth2` client credentials; the token is kept until shortly before it ends, because SPS limits how often one is given. A listing
//! has pages; only links to the same host are followed, so that the token goes nowhere else. Sources: SPS's public API pages and
//! ShipStream/spscommerce-php-sdk.

use super::{RemoteFile, Trouble};
use crate::outbound;
use crate::sps::Api;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// A token is given up so long before it ends.
const TOKEN_MARGIN: Duration = Duration::from_mins(1);
/// Most pages of one listing.
const PAGES_MAX: usize = 1_000;
/// Largest listing or token that is read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// The wait where a 429 names none.
const REST: Duration = Duration::from_mins(1);
/// Longest wait that a `Retry-After` may ask for.
const REST_MAX: Duration = Duration::from_hours(6);

/// A token and when it is given up.
pub type Token = Option<(String, Instant)>;

/// The API of one account.
pub struct Session {
    client: Client,
    settings: Api,
    base: Url,
}

impl Session {
    pub(super) fn open(settings: &Api, timeout: Duration) -> Result<Self, Trouble> {
        let trouble = |error: String| Trouble::Source(error);
        let tls = outbound::tls(outbound::system_roots()).map_err(|error| trouble(error.to_string()))?;
        let client =
            outbound::client(tls.with_no_client_auth(), timeout).build().map_err(|error| trouble(error.to_string()))?;
        let base = Url::parse(&format!("{}/", settings.url.trim_end_matches('/')))
            .map_err(|error| trouble(error.to_string()))?;
        Ok(Self { client, settings: settings.clone(), base })
    }

    /// A token, a kept one unless `anew`.
    async fn token(&self, anew: bool) -> Result<String, Trouble> {
        let mut kept = self.settings.token.lock().await;
        if let Some((token, until)) = kept.as_ref()
            && !anew
            && *until > Instant::now()
        {
            return Ok(token.clone());
        }
        *kept = None;
        let secret =
            self.settings.secrets.first().map(|secret| String::from_utf8_lossy(secret.expose()).trim().to_owned());
        let body = json!({
            "grant_type": "client_credentials", "client_id": self.settings.client_id, "client_secret": secret,
            "audience": self.settings.audience,
        });
        let request = self.client.post(&self.settings.token_url).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        if !status.is_success() {
            let what = format!("{} gives no token: {status}", self.settings.token_url);
            return Err(match status {
                StatusCode::TOO_MANY_REQUESTS => Trouble::Later(what, wait(&answer)),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
                    Trouble::Source(format!("{what}; check client_id, the secret and audience"))
                }
                _ => Trouble::Source(what),
            });
        }
        let answer: Value = serde_json::from_slice(&bytes(answer, ANSWER_BYTES_MAX).await?)
            .map_err(|error| Trouble::Source(format!("the token's answer is no JSON: {error}")))?;
        let token = answer["access_token"].as_str().filter(|token| !token.is_empty());
        let token =
            token.ok_or_else(|| Trouble::Source("the token's answer has no access_token".to_owned()))?.to_owned();
        let lasts = Duration::from_secs(answer["expires_in"].as_u64().unwrap_or(300)).saturating_sub(TOKEN_MARGIN);
        *kept = Some((token.clone(), Instant::now() + lasts));
        Ok(token)
    }

    /// One request; a token that is refused is asked for once more.
    /// `of_file`: what goes wrong is that file's own.
    async fn call(&self, method: Method, url: Url, of_file: bool) -> Result<Response, Trouble> {
        self.request(method, url, None, of_file).await
    }

    /// `body`: of an upload; SPS takes no other type than bytes.
    async fn request(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
        of_file: bool,
    ) -> Result<Response, Trouble> {
        for anew in [false, true] {
            let token = self.token(anew).await?;
            let mut request = self.client.request(method.clone(), url.clone()).bearer_auth(token);
            if let Some(body) = &body {
                request = request.header("content-type", "application/octet-stream").body(body.clone());
            }
            let answer = request.send().await.map_err(|error| unreachable(&error))?;
            let status = answer.status();
            match status {
                _ if status.is_success() => return Ok(answer),
                StatusCode::UNAUTHORIZED if !anew => {}
                StatusCode::NOT_FOUND => return Err(Trouble::Gone),
                StatusCode::TOO_MANY_REQUESTS => {
                    return Err(Trouble::Later(format!("it asks to come later ({status})"), wait(&answer)));
                }
                _ if of_file && status != StatusCode::UNAUTHORIZED => {
                    return Err(Trouble::File(format!("it answered {status}")));
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    return Err(Trouble::Source(format!("it answered {status}: this account may not do that")));
                }
                _ if status.is_server_error() => return Err(Trouble::Source(format!("it answered {status}"))),
                _ => return Err(Trouble::File(format!("it answered {status}"))),
            }
        }
        Err(Trouble::Source("it refuses tokens that it has just given".to_owned()))
    }

    fn at(&self, name: &str) -> Result<Url, Trouble> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Trouble::Source("the address has no path".to_owned()))?
            .pop_if_empty()
            .push(name);
        Ok(url)
    }

    pub(super) async fn list(&self) -> Result<Vec<RemoteFile>, Trouble> {
        let mut next = self.base.clone();
        next.set_query(Some("limit=1000"));
        let mut files = Vec::new();
        for _ in 0..PAGES_MAX {
            let answer = match self.call(Method::GET, next, false).await {
                // SPS answers so while an account has nothing yet.
                Err(Trouble::Gone) if files.is_empty() => return Ok(files),
                Err(Trouble::Gone | Trouble::File(_)) => {
                    return Err(Trouble::Source("a page of the listing is gone".to_owned()));
                }
                other => bytes(other?, ANSWER_BYTES_MAX).await?,
            };
            let page: Value = serde_json::from_slice(&answer)
                .map_err(|error| Trouble::Source(format!("the listing is no JSON: {error}")))?;
            for entry in page["results"].as_array().into_iter().flatten() {
                if entry["type"].as_str() == Some("file")
                    && let Some(name) = entry["path"].as_str().and_then(|path| path.rsplit('/').next())
                {
                    files.push(RemoteFile { name: name.to_owned(), size: None, modified: None, identity: None });
                }
            }
            let Some(link) = page["paging"]["next"]["url"].as_str() else { return Ok(files) };
            next = Url::parse(link)
                .map_err(|error| Trouble::Source(format!("the next page's address is none: {error}")))?;
            if next.origin() != self.base.origin() {
                return Err(Trouble::Source(
                    "the next page is at another host: the token is not sent there".to_owned(),
                ));
            }
        }
        Err(Trouble::Source(format!("the listing has more than {PAGES_MAX} pages")))
    }

    pub(super) async fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Trouble> {
        bytes(self.call(Method::GET, self.at(name)?, true).await?, limit).await
    }

    /// The same name again replaces what was there: a repeated upload does no harm.
    pub(super) async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
        let sent = Some(bytes.to_vec());
        match self.request(Method::POST, self.at(name)?, sent, true).await {
            Ok(_) => Ok(()),
            Err(Trouble::Gone) => Err(Trouble::Source(format!("there is no directory {}", self.base))),
            Err(trouble) => Err(trouble),
        }
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), Trouble> {
        self.call(Method::DELETE, self.at(name)?, true).await.map(drop)
    }
}

/// Reads an answer up to `limit`; one that ends before its stated length is an error.
async fn bytes(mut answer: Response, limit: u64) -> Result<Vec<u8>, Trouble> {
    let mut all = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(&error))? {
        all.extend_from_slice(&chunk);
        if all.len() as u64 > limit {
            return Err(Trouble::File(format!("it has more than {limit} bytes (sps.max_file_bytes)")));
        }
    }
    Ok(all)
}

fn unreachable(error: &reqwest::Error) -> Trouble {
    Trouble::Source(outbound::chain(error.to_string(), error))
}

/// What a `Retry-After` in seconds asks for.
fn wait(answer: &Response) -> Duration {
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    seconds.map_or(REST, Duration::from_secs).min(REST_MAX)
}
