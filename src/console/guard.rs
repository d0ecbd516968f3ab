//! Finds the user of each request, refuses those without the right, and refuses forms of other sites.

use crate::access::token::{TokenDigest, digest_token};
use crate::access::{Role, TokenScope};
use crate::console::api::problem::{build_problem, build_store_problem};
use crate::console::form_parts::{FormPart, parse_form_parts};
use crate::console::listener::ClientAddress;
use crate::console::router::{FORM_BYTES_MAX, RouteAccess};
use crate::console::{ConsoleState, pages};
use crate::store::access::Actor;
use crate::store::access::sessions::{ConsoleSession, find_session};
use crate::store::access::tokens::find_token;
use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// Name of the cookie. A browser accepts `__Host-` only with Secure, with Path=/ and without Domain.
pub const SESSION_COOKIE: &str = "__Host-novex-session";
/// Name of the field with the token of a form.
pub const CSRF_FIELD: &str = "csrf";

/// No other source than the console itself, no inline script or style, no frame.
const SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                               connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The user of a request.
#[derive(Debug, Clone)]
pub struct CurrentUser {
    pub session: ConsoleSession,
    pub digest: TokenDigest,
    pub address: ClientAddress,
}

impl CurrentUser {
    /// Returns the user for the audit trail.
    #[must_use]
    pub fn to_actor(&self) -> Actor {
        Actor { name: self.session.user.clone(), address: Some(self.address.0.to_string()) }
    }

    /// Returns whether the user has at least this role.
    #[must_use]
    pub fn has_role(&self, role: Role) -> bool {
        self.session.role >= role
    }
}

/// Lets a request pass if its user has the right, and if a change comes from a page of the console.
pub async fn check_request(
    State((state, access)): State<(Arc<ConsoleState>, RouteAccess)>,
    Extension(address): Extension<ClientAddress>,
    mut request: Request,
    next: Next,
) -> Response {
    if let RouteAccess::Program(scope) = access {
        return match check_token(&state, request.headers(), scope).await {
            Ok(()) => next.run(request).await,
            Err(refusal) => refusal,
        };
    }
    let is_change = *request.method() != Method::GET && *request.method() != Method::HEAD;
    if is_change && !is_same_origin(request.headers()) {
        return pages::show_refusal(StatusCode::FORBIDDEN, "The request came from another site, so nothing was done.");
    }
    let RouteAccess::User(role) = access else { return next.run(request).await };
    let user = match find_user(&state, request.headers(), address).await {
        Ok(Some(user)) => user,
        Ok(None) => return redirect_to_login(&request),
        Err(error) => return pages::show_store_error(&error),
    };
    if !user.has_role(role) {
        let text = format!("This needs the role {}; ask an admin for it. Nothing was done.", role.as_str());
        return pages::show_refusal(StatusCode::FORBIDDEN, &text);
    }
    if is_change {
        request = match check_form_token(request, &user.session.csrf_token).await {
            Ok(request) => request,
            Err(refusal) => return refusal,
        };
    }
    state.store.touch_session(user.digest, &user.session);
    request.extensions_mut().insert(user);
    next.run(request).await
}

/// Checks the token of a program. A cookie proves nothing here, so that no page of another site can use the API.
async fn check_token(state: &Arc<ConsoleState>, headers: &HeaderMap, scope: TokenScope) -> Result<(), Response> {
    let refuse = |text: &str| build_problem(StatusCode::UNAUTHORIZED, text);
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = header.and_then(|value| value.strip_prefix("Bearer ")) else {
        return Err(refuse("send the header Authorization: Bearer TOKEN"));
    };
    let digest = digest_token(token.trim());
    match state.read(move |connection| find_token(connection, &digest)).await {
        Ok(Some(token)) if token.scopes.contains(&scope) => {
            state.store.record_token_use(&token);
            Ok(())
        }
        Ok(Some(_)) => {
            let text = format!("the token needs the scope {}", scope.as_str());
            Err(build_problem(StatusCode::FORBIDDEN, &text))
        }
        Ok(None) => Err(refuse("the token is unknown or revoked")),
        Err(error) => Err(build_store_problem(&error)),
    }
}

/// Returns the user whose session the cookie names.
async fn find_user(
    state: &Arc<ConsoleState>,
    headers: &HeaderMap,
    address: ClientAddress,
) -> Result<Option<CurrentUser>, crate::store::StoreError> {
    let Some(token) = read_session_cookie(headers) else { return Ok(None) };
    let digest = digest_token(token);
    let (limits, now) = (state.config.console.session_limits, state.store.clock.now());
    let session = state.read(move |connection| find_session(connection, &digest, limits, now)).await?;
    // Without the provider in the configuration, its people have no rights.
    let session = session.filter(|session| session.oidc_subject.is_none() || state.oidc.is_some());
    Ok(session.map(|session| CurrentUser { session, digest, address }))
}

/// Returns the token in the cookie of the session.
#[must_use]
pub fn read_session_cookie(headers: &HeaderMap) -> Option<&str> {
    read_cookie(headers, SESSION_COOKIE)
}

/// Requests with which a browser sends a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieSite {
    /// Those that a page of the console causes.
    Strict,
    /// Also a link or redirect of another site, such as the one that the OIDC provider sends.
    Lax,
}

/// Returns a cookie for `Set-Cookie`. `lifetime` zero deletes it.
#[must_use]
pub fn build_cookie(name: &str, value: &str, site: CookieSite, lifetime: Duration) -> String {
    format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite={site:?}; Max-Age={}", lifetime.as_secs())
}

/// Returns the value of a cookie.
#[must_use]
pub fn read_cookie<'h>(headers: &'h HeaderMap, cookie: &str) -> Option<&'h str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == cookie).map(|(_, value)| value)
}

/// Returns whether a request comes from a page of this console. Every browser of the last years sends one of the two
/// headers with a form.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    match (text(ORIGIN), text(HOST)) {
        (Some(origin), Some(host)) => origin.strip_prefix("https://") == Some(host),
        _ => false,
    }
}

/// Checks the token of a form and returns the request with its body.
async fn check_form_token(request: Request, expected: &str) -> Result<Request, Response> {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, FORM_BYTES_MAX).await else {
        let text = format!("The form has more than {} KiB, so nothing was done.", FORM_BYTES_MAX >> 10);
        return Err(pages::show_refusal(StatusCode::PAYLOAD_TOO_LARGE, &text));
    };
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = match parse_form_parts(content_type, &body) {
        Some(parts) => find_part_value(&parts, CSRF_FIELD),
        None => find_form_value(&body, CSRF_FIELD),
    };
    let token = token.unwrap_or_default();
    if !bool::from(token.as_bytes().ct_eq(expected.as_bytes())) {
        let text = "The form is of an earlier session, so nothing was done. Open the page again and repeat it.";
        return Err(pages::show_refusal(StatusCode::FORBIDDEN, text));
    }
    Ok(Request::from_parts(head, Body::from(body)))
}

/// Returns the value of a field of a form (`application/x-www-form-urlencoded`).
fn find_form_value(body: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(body).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Returns the value of a part of a form with a file.
fn find_part_value(parts: &[FormPart<'_>], name: &str) -> Option<String> {
    let part = parts.iter().find(|part| part.name == name)?;
    Some(String::from_utf8_lossy(part.content).into_owned())
}

fn redirect_to_login(request: &Request) -> Response {
    if *request.method() != Method::GET {
        let text = "Your session is over, so nothing was done. Sign in and repeat it.";
        return pages::show_refusal(StatusCode::UNAUTHORIZED, text);
    }
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", target).finish();
    (StatusCode::SEE_OTHER, [(LOCATION, format!("/login?{query}"))]).into_response()
}

/// Adds the headers that keep a browser from obeying text of others.
pub async fn add_security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(SECURITY_POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    // Pages hold business data: no cache keeps them after the sign-out.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let parse = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(parse).collect()
    }

    #[test]
    fn forms_of_other_sites_are_recognized() {
        for (is_same, pairs) in [
            (true, &[("sec-fetch-site", "same-origin")][..]),
            (false, &[("sec-fetch-site", "same-site")]),
            (false, &[("sec-fetch-site", "cross-site"), ("origin", "https://box:8444"), ("host", "box:8444")]),
            (false, &[("sec-fetch-site", "none")]),
            (true, &[("origin", "https://box:8444"), ("host", "box:8444")]),
            (false, &[("origin", "http://box:8444"), ("host", "box:8444")]),
            (false, &[("origin", "https://box:8443"), ("host", "box:8444")]),
            (false, &[("origin", "null"), ("host", "box:8444")]),
            (false, &[("host", "box:8444")]),
        ] {
            assert_eq!(is_same_origin(&headers(pairs)), is_same, "{pairs:?}");
        }
    }

    #[test]
    fn session_cookie_is_found_among_others() {
        let found = headers(&[("cookie", "a=b; __Host-novex-session=xyz; c=d")]);
        assert_eq!(read_session_cookie(&found), Some("xyz"));
        assert_eq!(read_session_cookie(&headers(&[("cookie", "x__Host-novex-session=xyz")])), None);
    }

    #[test]
    fn form_values_are_decoded() {
        assert_eq!(find_form_value(b"a=1&csrf=x%2By+z&b=2", "csrf").as_deref(), Some("x+y z"));
        assert_eq!(find_form_value(b"\xff", "csrf"), None);
    }
}
