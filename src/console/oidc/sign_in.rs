//! Sends the browser to the provider, and takes it back with a code.

use crate::access::id_token::find_claim_texts;
use crate::access::token::{SecretToken, digest_token};
use crate::console::guard::{CookieSite, build_cookie, read_cookie};
use crate::console::listener::ClientAddress;
use crate::console::login::begin_session;
use crate::console::oidc::provider::{BegunSignIn, OidcProvider, ProviderAddresses};
use crate::console::{ConsoleState, pages};
use crate::store::access::Actor;
use crate::store::access::sessions::{OIDC_NAME_PREFIX, OidcIdentity};
use crate::text::{escape_hidden_chars, keep_first_chars};
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// Cookie that binds the answer of the provider to the browser that began.
const BROWSER_COOKIE: &str = "__Host-novex-oidc";
/// Lifetime of this cookie.
const COOKIE_LIFETIME: Duration = Duration::from_mins(10);
/// Most characters of a person's name or id at the provider.
const NAME_CHARS_MAX: usize = 128;
/// Says nothing about the cause: the log has it.
const FAILED_TEXT: &str = "The sign-in at the provider failed, so nobody is signed in. Begin again; if it fails again, \
                           the log of the daemon has the cause.";

/// Where to go after the sign-in.
#[derive(Deserialize)]
pub struct BeginQuery {
    #[serde(default)]
    next: String,
}

/// What the provider adds to the address of the redirect.
#[derive(Deserialize)]
pub struct CallbackQuery {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    /// Who answers (RFC 9207).
    iss: Option<String>,
}

/// Why a sign-in was refused: the text for the log, the code for the audit trail, and the text for the person.
struct SignInRefusal {
    /// Name of the person, if a valid token states it.
    user: String,
    code: &'static str,
    cause: String,
    text: String,
}

impl SignInRefusal {
    fn new(code: &'static str, cause: impl Into<String>) -> Self {
        Self { user: format!("{OIDC_NAME_PREFIX}?"), code, cause: cause.into(), text: FAILED_TEXT.to_owned() }
    }
}

/// Sends the browser to the provider.
pub async fn begin_oidc_sign_in(
    State(state): State<Arc<ConsoleState>>,
    Extension(from): Extension<ClientAddress>,
    Query(query): Query<BeginQuery>,
) -> Response {
    let Some(provider) = &state.oidc else { return pages::show_missing_page().await };
    let addresses = match provider.find_addresses().await {
        Ok(addresses) => addresses,
        Err(error) => {
            tracing::warn!("nobody can sign in through {}: {error:#}", provider.settings.name);
            return pages::show_login_refusal(StatusCode::UNAUTHORIZED, FAILED_TEXT);
        }
    };
    let tokens: Result<Vec<SecretToken>, _> = (0..4).map(|_| SecretToken::generate("")).collect();
    let Ok([state_token, nonce, verifier, browser]) = tokens
        .map(<[SecretToken; 4]>::try_from)
        .and_then(|tokens| tokens.map_err(|_| std::io::Error::other("four tokens were made")))
    else {
        return pages::show_refusal(StatusCode::SERVICE_UNAVAILABLE, "The system returned no random bytes.");
    };
    let Ok(mut url) = reqwest::Url::parse(&addresses.authorization_endpoint) else {
        return pages::show_login_refusal(StatusCode::UNAUTHORIZED, FAILED_TEXT);
    };
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose().as_bytes()));
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("scope", "openid profile email")
        .append_pair("client_id", &provider.settings.client_id)
        .append_pair("redirect_uri", &provider.settings.redirect_uri)
        .append_pair("state", state_token.expose())
        .append_pair("nonce", nonce.expose())
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    let begun = BegunSignIn {
        nonce: nonce.expose().to_owned(),
        code_verifier: verifier.expose().to_owned(),
        next: query.next,
        browser: browser.expose().to_owned(),
    };
    provider.sign_ins.begin(state_token.digest(), begun, from.0, state.store.clock.now());
    let cookie = build_cookie(BROWSER_COOKIE, browser.expose(), CookieSite::Lax, COOKIE_LIFETIME);
    (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, url.to_string())]).into_response()
}

/// Takes the browser back from the provider: checks that it is the one that began, and begins a session.
pub async fn end_oidc_sign_in(
    State(state): State<Arc<ConsoleState>>,
    Extension(from): Extension<ClientAddress>,
    headers: HeaderMap,
    Query(query): Query<CallbackQuery>,
) -> Response {
    let Some(provider) = &state.oidc else { return pages::show_missing_page().await };
    let address = Some(from.0.to_string());
    match identify_person(&state, provider, &headers, query).await {
        Ok((person, next)) => {
            let actor = Actor { name: person.user(), address };
            begin_session(&state, actor, Some(person), &headers, &next).await
        }
        Err(refusal) => {
            tracing::warn!("a sign-in through {} was refused: {}", provider.settings.name, refusal.cause);
            let actor = Actor { name: refusal.user, address };
            if let Err(error) = state.store.record_refused_login(actor, refusal.code).await {
                return pages::show_store_error(&error);
            }
            pages::show_login_refusal(StatusCode::UNAUTHORIZED, &refusal.text)
        }
    }
}

async fn identify_person(
    state: &ConsoleState,
    provider: &OidcProvider,
    headers: &HeaderMap,
    query: CallbackQuery,
) -> Result<(OidcIdentity, String), SignInRefusal> {
    let now = state.store.clock.now();
    // Each state counts once, whatever comes after it.
    let begun = query.state.as_deref().and_then(|state| provider.sign_ins.take(&digest_token(state), now));
    let Some(begun) = begun.map(|step| step.value) else {
        return Err(SignInRefusal::new("invalid_state", "its state is unknown, was used before, or is too old"));
    };
    let browser = read_cookie(headers, BROWSER_COOKIE).unwrap_or_default();
    if !bool::from(browser.as_bytes().ct_eq(begun.browser.as_bytes())) {
        return Err(SignInRefusal::new("invalid_state", "another browser began it"));
    }
    let addresses =
        provider.find_addresses().await.map_err(|error| SignInRefusal::new("provider_error", format!("{error:#}")))?;
    check_answering_provider(provider, &addresses, query.iss.as_deref())?;
    if let Some(error) = query.error {
        let cause = format!("the provider answers {}", escape_hidden_chars(&keep_first_chars(&error, 64)));
        return Err(SignInRefusal::new("provider_refused", cause));
    }
    let Some(code) = query.code else { return Err(SignInRefusal::new("provider_error", "it has no code")) };
    let token = provider
        .redeem_code(&addresses, &code, &begun.code_verifier)
        .await
        .map_err(|error| SignInRefusal::new("provider_error", format!("{error:#}")))?;
    let claims = provider
        .verify_token(&addresses, &token, &begun.nonce, now)
        .await
        .map_err(|error| SignInRefusal::new("invalid_token", format!("{error:#}")))?;
    Ok((read_identity(provider, &claims)?, begun.next))
}

/// Checks that the answer is of the configured provider, so that no other one can slip in its code (RFC 9207).
fn check_answering_provider(
    provider: &OidcProvider,
    addresses: &ProviderAddresses,
    issuer: Option<&str>,
) -> Result<(), SignInRefusal> {
    let is_right = match issuer {
        Some(issuer) => issuer == provider.settings.issuer,
        None => !addresses.authorization_response_iss_parameter_supported,
    };
    if is_right { Ok(()) } else { Err(SignInRefusal::new("invalid_issuer", "the answer is of another provider")) }
}

fn read_identity(provider: &OidcProvider, claims: &Value) -> Result<OidcIdentity, SignInRefusal> {
    let subject = claims["sub"].as_str().unwrap_or_default();
    let names = [&claims["preferred_username"], &claims["email"]].into_iter().filter_map(Value::as_str);
    let name = names.chain([subject]).find(|name| !name.trim().is_empty()).unwrap_or_default();
    let clean = |text: &str| escape_hidden_chars(&keep_first_chars(text.trim(), NAME_CHARS_MAX));
    let name = clean(name);
    let roles = find_claim_texts(claims, &provider.settings.role_claim);
    let Some(role) = provider.settings.find_role(&roles) else {
        let wanted: Vec<&str> = provider.settings.roles.iter().map(|(_, name)| name.as_str()).collect();
        return Err(SignInRefusal {
            user: format!("{OIDC_NAME_PREFIX}{name}"),
            code: "no_role",
            cause: format!(
                "the ID token has none of the roles {} at {}",
                wanted.join(", "),
                provider.settings.role_claim
            ),
            text: format!(
                "The provider knows you, but you have no role for this console. Ask its admin for one of {}.",
                wanted.join(", ")
            ),
        });
    };
    Ok(OidcIdentity { subject: subject.to_owned(), name, role })
}
