//! Ways into the console: one-time codes, sessions, own passwords, guesses, and attacks on the sign-in.

use super::support::console::{
    ConsoleClient, PASSWORD, SESSION_COOKIE, add_console_user, console_address, form_request, run_with_password,
};
use super::support::{Connection, Home, Request, Response};
use novex_ingest::internals::clock::Clock;
use novex_ingest::internals::console::{RouteAccess, list_routes};
use totp_rs::{Builder, Secret};

const NEW_PASSWORD: &str = "other words entirely";

/// Returns the code of a key, `steps` steps from now. The daemon accepts the codes of one step around.
fn code_of(base32: &str, steps: i64) -> String {
    let secret = Secret::try_from_base32(base32).unwrap();
    let totp = Builder::new().with_secret(secret.as_bytes()).build().unwrap();
    let second = Clock::system().now().as_second() + 30 * steps;
    totp.generate(second.try_into().unwrap()).to_string()
}

/// Sets up codes for a signed-in user; returns the key.
fn set_up_codes(client: &ConsoleClient) -> String {
    assert_eq!(client.post("/settings/totp", &format!("password={}", PASSWORD.replace(' ', "+"))).status, 303);
    let page = client.get("/settings/totp").body;
    let start = page.find("Key: <code>").expect("the key is shown") + "Key: <code>".len();
    let key = page[start..start + page[start..].find('<').unwrap()].replace(' ', "");
    assert!(page.contains(&format!("otpauth://totp/novex-ingest:anna?secret={key}")), "{page}");
    let wrong = client.post("/settings/totp/confirm", "code=000000").body;
    assert!(wrong.contains("The code is wrong."), "{wrong}");
    let right = client.post("/settings/totp/confirm", &format!("code={}", code_of(&key, 0))).body;
    assert!(right.contains("From now on, each sign-in needs a code."), "{right}");
    key
}

fn enter_code(client: &mut ConsoleClient, code: &str) -> Response {
    client.send_and_keep_cookie(form_request("/login/code", &format!("code={code}")))
}

#[test]
fn user_with_codes_needs_password_and_code() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "admin");
    let (anna, other) = (ConsoleClient::signed_in(&daemon, "anna"), ConsoleClient::signed_in(&daemon, "anna"));
    let key = set_up_codes(&anna);
    assert_eq!((anna.get("/").status, other.get("/").status), (200, 303), "the other session ended");
    let dump = home.sql("SELECT totp_confirmed_at IS NOT NULL, length(totp_secret) FROM console_users");
    assert_eq!(dump, "1|20");
    assert!(!anna.get("/settings/totp").body.contains(&key), "the key is shown until the first code");

    let mut client = ConsoleClient::of(&daemon);
    let first = client.sign_in("anna", PASSWORD);
    assert_eq!((first.status, first.header("location")), (303, Some("/login/code")), "{first:?}");
    let cookie = first.header("set-cookie").unwrap().to_owned();
    assert!(!cookie.contains(SESSION_COOKIE) && cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    assert_eq!(client.get("/").status, 303, "the password alone is no sign-in");
    assert!(client.get("/login/code").body.contains("Code of your app"));
    let used = enter_code(&mut client, &code_of(&key, 0));
    assert!(used.status == 401 && used.body.contains("or it was used before"), "{used:?}");
    let next = code_of(&key, 1);
    let right = enter_code(&mut client, &next);
    assert_eq!((right.status, right.header("location")), (303, Some("/")), "{right:?}");
    assert_eq!(client.get("/").status, 200);
    assert_eq!(
        enter_code(&mut ConsoleClient { address: client.address, cookie }, &next).status,
        400,
        "the step is over"
    );

    let mut again = ConsoleClient::of(&daemon);
    again.sign_in("anna", PASSWORD);
    assert_eq!(enter_code(&mut again, &next).status, 401, "a code counts once");
    let stranger = enter_code(&mut ConsoleClient::of(&daemon), &next);
    assert!(stranger.status == 400 && stranger.header("set-cookie").is_none(), "a code alone is nothing: {stranger:?}");
    let rows = home.sql("SELECT type, result, coalesce(error, '') FROM system_log WHERE type <> 'CONSOLE-USER-ADD'");
    let expected = "CONSOLE-LOGIN|ok|\nCONSOLE-LOGIN|ok|\nCONSOLE-USER-TOTP-ADD|ok|\nCONSOLE-LOGIN|error|invalid_code\n\
                    CONSOLE-LOGIN|ok|\nCONSOLE-LOGIN|error|invalid_code";
    assert_eq!(rows, expected);

    let listed = home.run_ok(&["users", "list", "--json"]);
    assert!(listed.contains("\"totp_confirmed_at\":\"2") && !listed.contains(&key), "{listed}");
    assert_eq!(home.run(&["users", "totp", "anna"]).status.code(), Some(2));
    home.run_ok(&["users", "totp", "anna", "--reset"]);
    assert_eq!(home.run(&["users", "totp", "anna", "--reset"]).status.code(), Some(1), "there are none any more");
    assert_eq!(client.get("/").status, 303, "the sessions ended");
    assert_eq!(enter_code(&mut again, &code_of(&key, 1)).status, 400, "the begun sign-in ended too");
    assert_eq!(ConsoleClient::signed_in(&daemon, "anna").get("/").status, 200);
    home.run_ok(&["audit", "verify"]);
}

#[test]
fn codes_are_not_guessed() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "viewer");
    let key = set_up_codes(&ConsoleClient::signed_in(&daemon, "anna"));
    let mut client = ConsoleClient::of(&daemon);
    let statuses: Vec<u16> = (0..6)
        .map(|_| {
            // A right password forgives no wrong code.
            client.sign_in("anna", PASSWORD);
            enter_code(&mut client, "000000").status
        })
        .collect();
    assert_eq!(statuses[..5], [401; 5], "{statuses:?}");
    let blocked = client.sign_in("anna", PASSWORD);
    assert!(blocked.status == 429 && blocked.header("retry-after").is_some(), "{blocked:?}");
    assert_ne!(enter_code(&mut client, &code_of(&key, 1)).status, 303);
}

#[test]
fn new_password_ends_a_begun_sign_in() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "viewer");
    let key = set_up_codes(&ConsoleClient::signed_in(&daemon, "anna"));
    let mut client = ConsoleClient::of(&daemon);
    client.sign_in("anna", PASSWORD);
    run_with_password(&home, &["users", "password", "anna", "--password-stdin"], NEW_PASSWORD);
    assert_eq!(enter_code(&mut client, &code_of(&key, 1)).status, 400);
    client.sign_in("anna", NEW_PASSWORD);
    assert_eq!(enter_code(&mut client, &code_of(&key, 1)).status, 303);
    let removed = client.post("/settings/totp/remove", "password=wrong+words+here").body;
    assert!(removed.contains("The present password is wrong."), "{removed}");
    let removed = client.post("/settings/totp/remove", &format!("password={}", NEW_PASSWORD.replace(' ', "+"))).body;
    assert!(removed.contains("The codes are removed"), "{removed}");
    assert_eq!(ConsoleClient::of(&daemon).sign_in("anna", NEW_PASSWORD).header("location"), Some("/"));
}

#[test]
fn user_changes_the_own_password_and_ends_other_sessions() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "viewer");
    add_console_user(&home, "otto", "viewer");
    let otto = ConsoleClient::signed_in(&daemon, "otto");
    let (anna, second) = (ConsoleClient::signed_in(&daemon, "anna"), ConsoleClient::signed_in(&daemon, "anna"));
    let page = anna.get("/settings/account").body;
    assert_eq!((page.matches("127.0.0.1").count(), page.matches("(this one)").count()), (2, 1), "{page}");
    assert_eq!(anna.post("/settings/account/end-sessions", "").status, 303);
    assert_eq!((anna.get("/").status, second.get("/").status, otto.get("/").status), (200, 303, 200));

    let other = ConsoleClient::signed_in(&daemon, "anna");
    let encode = |text: &str| text.replace(' ', "+");
    let change = |current: &str, new: &str, repeated: &str| {
        let fields = format!("current={}&new={}&repeated={}", encode(current), encode(new), encode(repeated));
        anna.post("/settings/account/password", &fields).body
    };
    assert!(change("wrong words here", NEW_PASSWORD, NEW_PASSWORD).contains("The present password is wrong."));
    assert!(change(PASSWORD, NEW_PASSWORD, "something else here").contains("The two new passwords differ."));
    assert!(change(PASSWORD, "short", "short").contains("at least 12"));
    assert_eq!(other.get("/").status, 200, "nothing was changed");
    assert!(change(PASSWORD, NEW_PASSWORD, NEW_PASSWORD).contains("Your other sessions ended."));
    assert_eq!((anna.get("/").status, other.get("/").status, otto.get("/").status), (200, 303, 200));
    assert_eq!(ConsoleClient::of(&daemon).sign_in("anna", PASSWORD).status, 401);
    assert_eq!(ConsoleClient::of(&daemon).sign_in("anna", NEW_PASSWORD).status, 303);
    let rows = home.sql("SELECT type, result FROM system_log WHERE username = 'anna' AND type NOT LIKE '%LOGIN'");
    let expected = "CONSOLE-LOGOUT-OTHERS|ok\nCONSOLE-USER-PASSWORD-CHECK|error\nCONSOLE-USER-PASSWORD|ok";
    assert_eq!(rows, expected);
    // A stolen session does not find the password by trying.
    let tries: Vec<String> = (0..6).map(|_| change("wrong words here", PASSWORD, PASSWORD)).collect();
    assert!(tries[5].contains("Too many wrong passwords"), "{}", tries[5]);
}

/// The attacker's cookie never becomes a session, neither before nor after the victim's sign-in.
#[test]
fn planted_cookie_is_never_a_session() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "viewer");
    let planted = format!("{SESSION_COOKIE}=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let mut victim = ConsoleClient { address: console_address(&daemon), cookie: planted.clone() };
    assert_eq!(victim.get("/").status, 303);
    let answer = victim.sign_in("anna", PASSWORD);
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict", "; Max-Age=604800"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    let attacker = ConsoleClient { address: victim.address, cookie: planted.clone() };
    assert_eq!((victim.get("/").status, attacker.get("/").status), (200, 303));
    // A second cookie of the same name wins nothing: the attacker's comes first or last.
    for cookies in [format!("{planted}; {}", victim.cookie), format!("{}; {planted}", victim.cookie)] {
        let both = ConsoleClient { address: victim.address, cookie: cookies };
        assert!([200, 303].contains(&both.get("/").status));
    }
    let before = victim.cookie.clone();
    victim.sign_in("anna", PASSWORD);
    assert_ne!(victim.cookie, before, "each sign-in has a new token");
    assert_eq!(ConsoleClient { address: victim.address, cookie: before }.get("/").status, 303);
}

/// Returns the answers to guesses of a name, without the name.
fn guess(name: &str) -> Vec<String> {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "viewer");
    let mut client = ConsoleClient::of(&daemon);
    let answers = (0..7).map(|_| {
        let answer = client.sign_in(name, "wrong words here");
        let names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
        format!("{} {names:?} {}", answer.status, answer.body.replace(name, "NAME"))
    });
    answers.collect()
}

#[test]
fn guesses_of_a_user_and_of_nobody_get_the_same_answers() {
    let (known, unknown) = (guess("anna"), guess("nobody"));
    assert!(known[0].starts_with("401") && known[6].starts_with("429"), "{known:?}");
    assert_eq!(known, unknown);
}

#[test]
fn name_of_nobody_costs_as_much_as_a_users() {
    let home = Home::new("[log]\nlevel = \"debug\"");
    let daemon = home.serve();
    add_console_user(&home, "anna", "viewer");
    let mut client = ConsoleClient::of(&daemon);
    let count = || home.log().matches("Argon2id compares a password").count();
    let long = "x".repeat(2000);
    for (name, password, runs) in [
        ("anna", "wrong words here", 1),
        ("nobody", "wrong words here", 1),
        ("anna", "", 1),
        ("nobody", "", 1),
        // Nobody buys time of the processor with a long text.
        ("nobody", &long, 0),
        ("otto", &long, 0),
    ] {
        let before = count();
        client.sign_in(name, password);
        assert_eq!(count() - before, runs, "{name}, {} bytes", password.len());
    }
}

/// Every route that changes something refuses forms without the token of the session, and forms of other sites.
#[test]
fn every_action_needs_the_token_of_its_session_and_the_consoles_origin() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "admin");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    let token = anna.csrf_token();
    let state = "SELECT * FROM console_users; SELECT count(*) FROM console_sessions; SELECT * FROM api_tokens; \
                 SELECT * FROM destinations; SELECT id, type FROM system_log";
    let before = home.sql(state);
    let mut actions = 0;
    for route in list_routes().into_iter().filter(|route| route.method == "POST") {
        let fill = |part: &str| if part.starts_with('{') { "1".to_owned() } else { part.to_owned() };
        let path = route.path.split('/').map(fill).collect::<Vec<_>>().join("/");
        let form = form_request(&path, &format!("csrf={token}&name=x&password=y"));
        let foreign = [
            form.clone().with_header("sec-fetch-site", "cross-site"),
            form.clone().with_header("sec-fetch-site", "none"),
            form.clone().without_header("sec-fetch-site"),
            form.clone().without_header("sec-fetch-site").with_header("origin", "https://evil.example"),
            form.clone().without_header("sec-fetch-site").with_header("origin", "null"),
        ];
        let forged = [
            form_request(&path, ""),
            form_request(&path, "csrf="),
            form_request(&path, "csrf=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            form_request(&path, &format!("csrf={}", token.to_lowercase())),
            Request::post(&format!("{path}?csrf={token}"), b"").with_header("sec-fetch-site", "same-origin"),
        ];
        let requests: Vec<Request> = match route.access {
            RouteAccess::User(_) => foreign.into_iter().chain(forged).collect(),
            RouteAccess::Public => foreign.into_iter().collect(),
            RouteAccess::Program(_) => Vec::new(),
        };
        for request in requests {
            actions += 1;
            let head = String::from_utf8(request.head()).unwrap();
            assert_eq!(anna.send(request).status, 403, "{head}");
        }
    }
    assert!(actions > 200, "{actions}");
    assert_eq!(home.sql(state), before, "nothing was changed");
    assert_eq!(anna.get("/").status, 200);
}

/// Sends the exact bytes of a head.
fn send_raw(client: &ConsoleClient, head: &str) -> Response {
    let mut connection = Connection::open(client.address).unwrap();
    connection.send(head.replace('\n', "\r\n").as_bytes()).unwrap();
    connection.read_response().unwrap()
}

#[test]
fn host_and_forwarding_headers_change_nothing() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "viewer");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    for path in ["/", "/login", "/settings/account", "/nothing"] {
        for extra in ["", "X-Forwarded-Host: evil.example\nX-Forwarded-For: 192.0.2.1\nForwarded: host=evil.example\n"]
        {
            for cookie in ["", &format!("Cookie: {}\n", anna.cookie)] {
                let answer = send_raw(&anna, &format!("GET {path} HTTP/1.1\nHost: evil.example\n{extra}{cookie}\n"));
                let text = format!("{:?} {}", answer.headers, answer.body);
                assert!(!text.contains("evil.example"), "{path}: {text}");
                let location = answer.header("location").unwrap_or("/");
                assert!(location.starts_with('/') && !location.starts_with("//"), "{location}");
            }
        }
    }
    // The origin of a form counts, whatever else the request states.
    let form = "csrf=x";
    let answer = send_raw(
        &anna,
        &format!(
            "POST /logout HTTP/1.1\nHost: evil.example\nOrigin: https://evil.example:8444\nCookie: {}\n\
             X-Forwarded-Host: evil.example:8444\nContent-Length: {}\n\n{form}",
            anna.cookie,
            form.len()
        ),
    );
    assert_eq!(answer.status, 403);
    // The audit trail has the address of the connection, not one that a header states.
    let mut forged = ConsoleClient::of(&daemon);
    let body = format!("name=anna&password={}", PASSWORD.replace(' ', "+"));
    forged.send_and_keep_cookie(form_request("/login", &body).with_header("x-forwarded-for", "192.0.2.1"));
    assert_eq!(home.sql("SELECT DISTINCT ip_address FROM system_log WHERE type = 'CONSOLE-LOGIN'"), "127.0.0.1");
}

#[test]
fn method_of_a_request_is_the_one_of_its_first_line() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "admin");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    let token = anna.csrf_token();
    for name in ["x-http-method-override", "x-method-override", "x-http-method"] {
        let link = Request::new("GET", &format!("/logout?csrf={token}&_method=POST")).with_header(name, "POST");
        assert_eq!(anna.send(link).status, 405, "{name}");
        let page = form_request("/", &format!("csrf={token}&_method=GET")).with_header(name, "GET");
        assert_eq!(anna.send(page).status, 405, "{name}");
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"] {
        let status = anna.send(Request::new(method, "/settings/users")).status;
        assert!([403, 405].contains(&status), "{method}: {status}");
    }
    assert_eq!(anna.get("/").status, 200, "the session goes on");
}
