//! Sign-in to the console through an OpenID provider that signs real tokens.

use super::support::Request;
use super::support::console::{ConsoleClient, PASSWORD, SESSION_COOKIE, add_console_user};
use super::support::fake_oidc::{FakeOidc, Signing};
use super::support::{Daemon, Home, Response};
use novex_ingest::internals::clock::Clock;
use serde_json::json;
use std::collections::HashMap;

const REFUSED: &str = "The sign-in at the provider failed, so nobody is signed in.";

/// Begins a sign-in in a new browser; returns the browser and what it takes to the provider.
fn begin(daemon: &Daemon<'_>, next: &str) -> (ConsoleClient, HashMap<String, String>) {
    let mut browser = ConsoleClient::of(daemon);
    let answer = browser.send_and_keep_cookie(Request::new("GET", &format!("/login/oidc?next={next}")));
    let location = answer.header("location").unwrap_or_else(|| panic!("{answer:?}"));
    let (address, query) = location.split_once('?').unwrap();
    assert!(answer.status == 303 && address.ends_with("/realms/acme/auth"), "{answer:?}");
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["__Host-novex-oidc=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Max-Age=600"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    let query: HashMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    assert!(
        !cookie.contains(&query["state"]) && query["state"] != query["nonce"],
        "the browser cannot guess the state"
    );
    (browser, query)
}

/// Takes the browser back to the console.
fn come_back(browser: &mut ConsoleClient, parameters: &[(&str, &str)]) -> Response {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let request =
        Request::new("GET", &format!("/login/oidc/callback?{query}")).with_header("sec-fetch-site", "cross-site");
    browser.send_and_keep_cookie(request)
}

/// Signs in with the present state of the provider.
fn sign_in(provider: &FakeOidc, daemon: &Daemon<'_>) -> (ConsoleClient, Response) {
    let (mut browser, query) = begin(daemon, "/events");
    let code = provider.authorize(&query);
    let answer = come_back(&mut browser, &[("code", &code), ("state", &query["state"]), ("iss", &provider.issuer)]);
    (browser, answer)
}

fn assert_refused(home: &Home, browser: &ConsoleClient, answer: &Response, case: &str) {
    assert!(answer.status == 401 && answer.body.contains(REFUSED), "{case}: {answer:?}");
    assert!(answer.header("set-cookie").is_none(), "{case}");
    assert_eq!(browser.get("/").status, 303, "{case}");
    assert_eq!(home.count("SELECT count(*) FROM console_sessions"), 0, "{case}");
}

#[test]
fn person_of_the_provider_signs_in_with_the_role_of_the_claim() {
    let provider = FakeOidc::start();
    let home = provider.home();
    let daemon = home.serve();
    let login = ConsoleClient::of(&daemon).get("/login?next=/events").body;
    assert!(login.contains("Sign in with Keycloak") && login.contains("action=\"/login/oidc\""), "{login}");
    let (browser, answer) = sign_in(&provider, &daemon);
    assert_eq!(answer.status, 200, "{answer:?}; {}", home.log());
    // A browser sends a Strict cookie with a request that a page of the console caused.
    assert!(answer.body.contains("http-equiv=\"refresh\" content=\"0; url=/events\""), "{answer:?}");
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with(SESSION_COOKIE) && cookie.contains("; SameSite=Strict"), "{cookie}");
    let page = browser.get("/").body;
    assert!(page.contains("oidc:greta (operator)"), "{page}");
    assert_eq!(browser.get("/settings/users").status, 403);
    let account = browser.get("/settings/account").body;
    assert!(account.contains("The provider of the sign-in manages the password"), "{account}");
    assert_eq!(home.sql("SELECT user_id IS NULL, oidc_name, oidc_role FROM console_sessions"), "1|greta|operator");
    assert_eq!(home.count("SELECT count(*) FROM console_users"), 0, "the provider's people are no users");
    assert_eq!(home.sql("SELECT username, type, result FROM system_log"), "oidc:greta|CONSOLE-LOGIN|ok");
    for (roles, shown) in [
        (json!(["novex-viewer"]), "oidc:greta (viewer)"),
        (json!(["novex-viewer", "novex-admin"]), "oidc:greta (admin)"),
    ] {
        provider.set_claims(json!({"realm_access": {"roles": roles}}));
        let page = sign_in(&provider, &daemon).0.get("/").body;
        assert!(page.contains(shown), "{shown} in {page}");
    }
    assert_eq!(provider.count_requests("/certs"), 1, "the keys are kept");
    provider.rotate_key();
    assert_eq!(sign_in(&provider, &daemon).1.status, 200, "a new key is asked for");
    assert_eq!(provider.count_requests("/certs"), 2);
    home.run_ok(&["audit", "verify"]);
}

#[test]
fn tokens_that_prove_nothing_are_refused() {
    let provider = FakeOidc::start();
    let home = provider.home();
    let daemon = home.serve();
    let past = Clock::system().now().as_second() - 120;
    for (case, claims, cause) in [
        ("wrong nonce", json!({"nonce": "other"}), "belongs to another sign-in"),
        ("no nonce", json!({"nonce": null}), "belongs to another sign-in"),
        ("wrong audience", json!({"aud": "other", "azp": "other"}), "is for another client"),
        ("asked for by another client", json!({"azp": "other"}), "is for another client"),
        ("wrong issuer", json!({"iss": "https://id.example.com"}), "is of another issuer"),
        ("expired", json!({"iat": past - 60, "exp": past}), "expired"),
        ("of the future", json!({"iat": past + 600}), "is not valid yet"),
        ("nobody", json!({"sub": null}), "names nobody"),
    ] {
        provider.set_claims(claims);
        let (browser, answer) = sign_in(&provider, &daemon);
        assert_refused(&home, &browser, &answer, case);
        assert!(home.log().contains(cause), "{case}: {}", home.log());
    }
    provider.set_claims(json!({}));
    for (signing, cause) in [
        (Signing::ForeignKey, "the signature of the ID token is wrong"),
        (Signing::Unsigned, "not signed with RS256 or ES256"),
        (Signing::PublicKeyAsSecret, "not signed with RS256 or ES256"),
    ] {
        provider.set_signing(signing);
        let (browser, answer) = sign_in(&provider, &daemon);
        assert_refused(&home, &browser, &answer, &format!("{signing:?}"));
        assert!(home.log().contains(cause), "{signing:?}: {}", home.log());
    }
    let refusals = home.sql("SELECT DISTINCT username, result, error FROM system_log");
    assert_eq!(refusals, "oidc:?|error|invalid_token");
    provider.set_signing(Signing::Right);
    assert_eq!(sign_in(&provider, &daemon).1.status, 200);
}

#[test]
fn answers_of_others_are_refused() {
    let provider = FakeOidc::start();
    let home = provider.home();
    let daemon = home.serve();
    let issuer = provider.issuer.clone();
    let refuse = |case: &str, change: &dyn Fn(&mut ConsoleClient, &mut HashMap<String, String>)| {
        let (mut browser, query) = begin(&daemon, "/");
        let mut parameters =
            HashMap::from([("state".to_owned(), query["state"].clone()), ("iss".to_owned(), issuer.clone())]);
        parameters.insert("code".to_owned(), provider.authorize(&query));
        change(&mut browser, &mut parameters);
        let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (&**name, &**value)).collect();
        let answer = come_back(&mut browser, &parameters);
        assert_refused(&home, &browser, &answer, case);
    };
    let change = |name: &'static str, value: &'static str| {
        move |_: &mut ConsoleClient, parameters: &mut HashMap<String, String>| {
            parameters.insert(name.to_owned(), value.to_owned());
        }
    };
    refuse("an unknown state", &change("state", "AAAA"));
    refuse("a code of nobody", &change("code", "code-of-nobody"));
    refuse("another provider answers", &change("iss", "https://evil.example"));
    refuse("nobody says who answers", &|_, parameters| drop(parameters.remove("iss")));
    refuse("no code", &|_, parameters| drop(parameters.remove("code")));
    refuse("no state", &|_, parameters| drop(parameters.remove("state")));
    refuse("the provider refuses", &change("error", "access_denied"));
    refuse("another browser", &|browser, _| browser.cookie.clear());
    refuse("the cookie of another sign-in", &|browser, _| browser.cookie = begin(&daemon, "/").0.cookie);

    // A state counts once, also with a fresh code.
    let (mut browser, query) = begin(&daemon, "/");
    let cookie = browser.cookie.clone();
    let code = provider.authorize(&query);
    let answer = [("code", code.as_str()), ("state", &query["state"]), ("iss", &issuer)];
    assert_eq!(come_back(&mut browser, &answer).status, 200);
    let fresh = provider.authorize(&query);
    let mut replay = ConsoleClient { address: browser.address, cookie };
    let again = come_back(&mut replay, &[("code", &fresh), ("state", &query["state"]), ("iss", &issuer)]);
    assert!(again.status == 401 && again.header("set-cookie").is_none(), "{again:?}");
}

#[test]
fn person_without_a_role_is_refused_and_reads_why() {
    let provider = FakeOidc::start();
    let home = provider.home();
    let daemon = home.serve();
    let attack = "<script>alert(1)</script>";
    for claims in [
        json!({"realm_access": {"roles": ["admin"]}, "preferred_username": attack}),
        json!({"realm_access": null, "preferred_username": attack}),
        json!({"realm_access": {"roles": {"novex-admin": true}}, "preferred_username": attack}),
    ] {
        provider.set_claims(claims);
        let (browser, answer) = sign_in(&provider, &daemon);
        assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "{answer:?}");
        assert!(
            answer.body.contains("Ask its admin for one of novex-admin, novex-operator, novex-viewer"),
            "{answer:?}"
        );
        assert!(!answer.body.contains("<script>alert"), "{answer:?}");
        assert_eq!(browser.get("/").status, 303);
    }
    assert_eq!(home.sql("SELECT DISTINCT username, error FROM system_log"), "oidc:<script>alert(1)</script>|no_role");
}

#[test]
fn name_of_the_provider_is_never_a_user() {
    let provider = FakeOidc::start();
    let home = provider.home();
    let daemon = home.serve();
    add_console_user(&home, "greta", "admin");
    let mut local = ConsoleClient::signed_in(&daemon, "greta");
    let (browser, _) = sign_in(&provider, &daemon);
    assert!(browser.get("/").body.contains("oidc:greta (operator)"));
    assert_eq!(browser.post("/settings/account/end-sessions", "").status, 303);
    assert!(local.get("/").body.contains("greta (admin)"), "the sessions of the user stay");
    assert!(ConsoleClient::of(&daemon).sign_in("oidc:greta", PASSWORD).status == 401);
    assert!(local.sign_in("greta", PASSWORD).status == 303, "users of the database still sign in");
    // Without the provider in the configuration, its people have no rights any more.
    let address = browser.address;
    daemon.stop();
    home.configure(&format!("[console]\nlisten = \"{address}\""));
    let daemon = home.serve();
    let browser = ConsoleClient { address: ConsoleClient::of(&daemon).address, cookie: browser.cookie };
    assert_eq!(browser.get("/").status, 303);
    assert_eq!(browser.get("/login/oidc").status, 404);
    assert!(!browser.get("/login").body.contains("Sign in with"));
}

#[test]
fn provider_that_is_down_or_another_stops_no_user() {
    let provider = FakeOidc::start();
    provider.state.lock().unwrap().stated_issuer = Some("https://evil.example".to_owned());
    let home = provider.home();
    let daemon = home.serve();
    add_console_user(&home, "anna", "viewer");
    let refused = ConsoleClient::of(&daemon).get("/login/oidc");
    assert!(refused.status == 401 && refused.body.contains(REFUSED), "{refused:?}");
    assert!(!refused.body.contains("evil") && !refused.body.contains("127.0.0.1"), "{refused:?}");
    assert!(home.log().contains("the provider names itself \"https://evil.example\""), "{}", home.log());
    ConsoleClient::signed_in(&daemon, "anna");
    daemon.stop();
    home.edit_config(&provider.issuer, "http://127.0.0.1:1/realms/acme");
    let daemon = home.serve();
    assert_eq!(ConsoleClient::of(&daemon).get("/login/oidc").status, 401);
    assert!(home.log().contains("nobody answers at 127.0.0.1:1"), "{}", home.log());
    ConsoleClient::signed_in(&daemon, "anna");
}
