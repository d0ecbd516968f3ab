//! The provider: its addresses, its keys, and the exchange of a code for an ID token.

use crate::access::id_token::{IdTokenError, KeySet, TokenExpectation, verify_id_token};
use crate::clock::Timestamp;
use crate::config::oidc::{OidcSettings, is_secure_url};
use crate::console::pending::PendingSteps;
use crate::http_client;
use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Longest time of one request to the provider.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Age at which the addresses are asked for again.
const ADDRESSES_AGE_MAX: Duration = Duration::from_hours(1);
/// Age at which a provider that did not answer is asked again: strangers must not make the daemon wait each time.
const FAILURE_AGE_MAX: Duration = Duration::from_secs(5);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// Longest time that a person spends at the provider.
const SIGN_IN_LIFETIME: Duration = Duration::from_mins(10);

/// A sign-in for which the browser is at the provider.
#[derive(Debug, Clone)]
pub struct BegunSignIn {
    pub nonce: String,
    /// Text that only this process knows; the provider has its digest (RFC 7636).
    pub code_verifier: String,
    pub next: String,
    /// Value of the cookie of the browser that began.
    pub browser: String,
}

/// The provider with what is known about it.
pub struct OidcProvider {
    pub settings: OidcSettings,
    pub sign_ins: PendingSteps<BegunSignIn>,
    client: Client,
    /// Time and result of the last question for the addresses.
    addresses: Mutex<Option<(Instant, Result<ProviderAddresses, String>)>>,
    keys: Mutex<KeySet>,
}

/// The metadata of a provider (OpenID Connect Discovery 1.0, section 3).
#[derive(Debug, Clone, Deserialize)]
pub struct ProviderAddresses {
    issuer: String,
    pub authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    /// The provider names itself in its redirects (RFC 9207).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
}

impl OidcProvider {
    /// Builds the client. Asks nothing yet, so that the daemon starts without the provider.
    ///
    /// # Errors
    /// If the file of the authority cannot be read.
    pub fn new(settings: OidcSettings) -> anyhow::Result<Self> {
        let roots = http_client::load_root_certificates(settings.ca_file.as_deref())?;
        let tls = http_client::build_tls_config(roots)?.with_no_client_auth();
        let client = http_client::http_client_builder(tls, REQUEST_TIMEOUT).build()?;
        let sign_ins = PendingSteps::new(SIGN_IN_LIFETIME);
        Ok(Self { settings, sign_ins, client, addresses: Mutex::default(), keys: Mutex::default() })
    }

    /// Returns the addresses of the provider, which change rarely.
    pub async fn find_addresses(&self) -> anyhow::Result<ProviderAddresses> {
        let mut known = self.addresses.lock().await;
        let is_fresh = |(at, result): &&(Instant, Result<_, String>)| {
            at.elapsed() < if result.is_ok() { ADDRESSES_AGE_MAX } else { FAILURE_AGE_MAX }
        };
        if let Some((_, result)) = known.as_ref().filter(is_fresh) {
            return result.clone().map_err(anyhow::Error::msg);
        }
        let result = self.ask_for_addresses().await;
        let kept = result.as_ref().map(Clone::clone).map_err(|error| format!("{error:#}"));
        *known = Some((Instant::now(), kept));
        result
    }

    async fn ask_for_addresses(&self) -> anyhow::Result<ProviderAddresses> {
        let url = format!("{}/.well-known/openid-configuration", self.settings.issuer.trim_end_matches('/'));
        let addresses: ProviderAddresses = self.fetch_json(self.client.get(&url)).await.context(url)?;
        if addresses.issuer != self.settings.issuer {
            bail!(
                "the provider names itself {:?}, and [console.oidc] issuer is {:?}: write it exactly so",
                addresses.issuer,
                self.settings.issuer
            );
        }
        let urls = [&addresses.authorization_endpoint, &addresses.token_endpoint, &addresses.jwks_uri];
        if let Some(url) = urls.into_iter().find(|url| !is_secure_url(url)) {
            bail!("the provider names the address {url:?}, which is not https://");
        }
        Ok(addresses)
    }

    /// Exchanges a code for an ID token.
    pub async fn redeem_code(
        &self,
        addresses: &ProviderAddresses,
        code: &str,
        code_verifier: &str,
    ) -> anyhow::Result<String> {
        let settings = &self.settings;
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &settings.redirect_uri)
            .append_pair("code_verifier", code_verifier)
            .finish();
        let secret = settings.client_secret.as_ref().context("[console.oidc] has no secret")?;
        // Both parts are encoded as form values first (RFC 6749, section 2.3.1).
        let encode = |bytes: &[u8]| form_urlencoded::byte_serialize(bytes).collect::<String>();
        let pair = format!("{}:{}", encode(settings.client_id.as_bytes()), encode(secret.expose()));
        let request = self
            .client
            .post(&addresses.token_endpoint)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(pair)))
            .body(body);
        let answer: TokenAnswer = self.fetch_json(request).await.context("the provider gives no token")?;
        Ok(answer.id_token)
    }

    /// Checks an ID token and returns its claims. An unknown key makes it ask for the keys again, because the provider
    /// replaces them from time to time.
    pub async fn verify_token(
        &self,
        addresses: &ProviderAddresses,
        token: &str,
        nonce: &str,
        now: Timestamp,
    ) -> anyhow::Result<Value> {
        let settings = &self.settings;
        let expected = TokenExpectation { issuer: &settings.issuer, client_id: &settings.client_id, nonce, now };
        let mut keys = self.keys.lock().await;
        match verify_id_token(token, &keys, expected) {
            Err(IdTokenError::UnknownKey) => {}
            result => return Ok(result?),
        }
        let answer = self.fetch(self.client.get(&addresses.jwks_uri)).await.context("the provider gives no keys")?;
        *keys = KeySet::parse(&answer).context("the provider's keys are no JSON Web Key Set")?;
        Ok(verify_id_token(token, &keys, expected)?)
    }

    async fn fetch_json<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        // The answer can hold tokens, so no error quotes it.
        serde_json::from_slice(&self.fetch(request).await?).ok().context("the answer is not the expected JSON")
    }

    async fn fetch(&self, request: RequestBuilder) -> anyhow::Result<Vec<u8>> {
        let mut response = request
            .header(ACCEPT, "application/json")
            .send()
            .await
            .map_err(|error| anyhow::anyhow!(http_client::describe_request_error("the request failed", &error)))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.context("the answer breaks off")? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                bail!("the answer has more than {} KiB", ANSWER_BYTES_MAX >> 10);
            }
            body.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            // `error` is a code of RFC 6749, section 5.2: invalid_client, invalid_grant.
            let code = serde_json::from_slice::<Value>(&body).ok();
            let code = code.as_ref().and_then(|body| body["error"].as_str()).unwrap_or("no code");
            bail!(
                "the answer is {status}, {}",
                crate::text::escape_hidden_chars(&crate::text::keep_first_chars(code, 64))
            );
        }
        Ok(body)
    }
}
