//! The console: signing in, pages, rights, and forms of other sites.

use super::support::console::{
    ConsoleClient, PASSWORD, SESSION_COOKIE, add_console_user, console_address, form_request, run_with_password,
};
use super::support::{Home, Request, order_body};
use novex_ingest::internals::access::Role;
use novex_ingest::internals::console::{RouteAccess, list_routes};

#[test]
fn user_signs_in_looks_at_events_and_signs_out() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "operator");
    let mut anna = ConsoleClient::of(&daemon);

    let refused = anna.get("/events?status=failed");
    assert_eq!((refused.status, refused.header("location")), (303, Some("/login?next=%2Fevents%3Fstatus%3Dfailed")));
    let wrong = anna.sign_in("anna", "four unrelated word");
    assert!(wrong.status == 401 && wrong.body.contains("The name or the password is wrong."), "{wrong:?}");
    let right = anna.sign_in("Anna", PASSWORD);
    assert_eq!((right.status, right.header("location")), (303, Some("/")), "{right:?}");
    let cookie = right.header("set-cookie").unwrap();
    for part in [SESSION_COOKIE, "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }

    let first = anna.get("/");
    assert!(first.status == 200 && first.body.contains("No event yet"), "{first:?}");
    let event = daemon.send_order("w-1", &order_body(1001)).event_id();
    home.wait_until_processed();
    let overview = anna.get("/").body;
    assert!(overview.contains("Sources") && overview.contains("Events by hour"), "{overview}");
    let list = anna.get("/events?source=shopify&status=completed").body;
    assert!(list.contains(&format!("/events/{event}\"")), "{list}");
    assert!(anna.get("/events?source=easypost").body.contains("No events match."));
    assert!(anna.get("/events?q=%231001").body.contains(&format!("/events/{event}\"")));
    let page = anna.get(&format!("/events/{event}")).body;
    assert!(page.contains("orders/create") && page.contains("Trail"), "{page}");
    assert_eq!(anna.get("/events/999").status, 404);
    assert_eq!(anna.get("/nothing").status, 404);

    let retried = anna.post(&format!("/events/{event}/retry"), "");
    assert_eq!(retried.status, 303, "{retried:?}");
    home.wait_until_processed();
    assert_eq!(
        home.sql("SELECT username, type, resource_path, result FROM system_log ORDER BY id"),
        format!(
            "anna|CONSOLE-LOGIN|users/anna|error\nanna|CONSOLE-LOGIN|users/anna|ok\nanna|EVENT-RETRY|events/{event}|ok"
        )
        .replace("anna|CONSOLE-LOGIN|users/anna|error", &added_and_refused(&home))
    );
    home.run_ok(&["audit", "verify"]);

    assert_eq!(anna.post("/logout", "").header("location"), Some("/login"));
    assert_eq!(anna.get("/").status, 303, "the session is over");
    assert_eq!(home.count("SELECT count(*) FROM console_sessions"), 0);
}

/// Returns the rows of the added user and of the refused sign-in.
fn added_and_refused(home: &Home) -> String {
    let operator = home.sql("SELECT username FROM system_log WHERE type = 'CONSOLE-USER-ADD'");
    format!("{operator}|CONSOLE-USER-ADD|users/anna|ok\nanna|CONSOLE-LOGIN|users/anna|error")
}

#[test]
fn database_has_no_password_and_no_token() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "viewer");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    let token = home.run_ok(&["tokens", "create", "erp", "--scope", "read"]);
    let token = token.lines().next().unwrap();
    let dump = home
        .sql("SELECT * FROM console_users; SELECT hex(token_hash), * FROM console_sessions; SELECT * FROM api_tokens");
    for secret in [PASSWORD, anna.cookie.split_once('=').unwrap().1, token] {
        assert!(!dump.contains(secret), "{secret} in {dump}");
    }
    assert!(dump.contains("$argon2id$v=19$"), "{dump}");
}

/// Each role against each route: below the role it is refused, and nobody gets in without a session.
#[test]
fn each_route_needs_its_role() {
    let home = Home::new("");
    let daemon = home.serve();
    let roles = [("viewer", Role::Viewer), ("operator", Role::Operator), ("admin", Role::Admin)];
    let clients: Vec<(Role, ConsoleClient, String)> = roles
        .into_iter()
        .map(|(name, role)| {
            add_console_user(&home, name, name);
            let client = ConsoleClient::signed_in(&daemon, name);
            let token = client.csrf_token();
            (role, client, token)
        })
        .collect();
    let stranger = ConsoleClient::of(&daemon);
    // The last one, because it ends the session.
    let mut routes = list_routes();
    routes.sort_by_key(|route| route.path == "/logout");
    for route in routes {
        let path = fill_path(route.path);
        let request = |token: &str| match route.method.as_str() {
            "GET" => Request::new("GET", &path),
            _ => form_request(&path, &format!("csrf={token}")),
        };
        let status = stranger.send(request("")).status;
        match route.access {
            RouteAccess::Public => assert!(status < 500 && ![401, 403].contains(&status), "{path}: {status}"),
            RouteAccess::User(_) if route.method == "GET" => assert_eq!(status, 303, "{path}"),
            RouteAccess::User(_) | RouteAccess::Program(_) => assert_eq!(status, 401, "{path}"),
        }
        for (role, client, token) in &clients {
            let status = client.send(request(token)).status;
            match route.access {
                RouteAccess::User(needed) if *role < needed => assert_eq!(status, 403, "{role:?} at {path}"),
                RouteAccess::User(_) => {
                    assert!(status < 500 && ![401, 403].contains(&status), "{role:?} at {path}: {status}");
                }
                RouteAccess::Program(_) => assert_eq!(status, 401, "a cookie is no token at {path}"),
                RouteAccess::Public => {}
            }
        }
    }
}

/// Returns a path of the table of routes with `999` in place of each parameter.
fn fill_path(route: &str) -> String {
    let fill = |part: &str| if part.starts_with('{') { "999".to_owned() } else { part.to_owned() };
    route.split('/').map(fill).collect::<Vec<_>>().join("/")
}

#[test]
fn forms_of_other_sites_change_nothing() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "admin");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    let event = daemon.send_order("w-1", &order_body(1001)).event_id();
    home.wait_until_processed();
    let (path, token) = (format!("/events/{event}/retry"), anna.csrf_token());
    let body = format!("csrf={token}");
    let form = form_request(&path, &body);
    for (case, request) in [
        ("another site", form.clone().with_header("sec-fetch-site", "cross-site")),
        ("a site beside", form.clone().with_header("sec-fetch-site", "same-site")),
        (
            "an old browser, another origin",
            form.clone().without_header("sec-fetch-site").with_header("origin", "https://evil.example"),
        ),
        ("no origin at all", form.clone().without_header("sec-fetch-site")),
        ("no token", form_request(&path, "")),
        ("a token of somebody else", form_request(&path, "csrf=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
    ] {
        assert_eq!(anna.send(request).status, 403, "{case}");
    }
    assert_eq!(anna.get(&path).status, 405, "a link changes nothing");
    assert_eq!(home.count("SELECT count(*) FROM system_log WHERE type = 'EVENT-RETRY'"), 0);
    assert_eq!(anna.send(form).status, 303);
}

/// A session token that was planted before the sign-in is worth nothing after it.
#[test]
fn sign_in_replaces_the_session() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "viewer");
    let mut anna = ConsoleClient::of(&daemon);
    anna.cookie = format!("{SESSION_COOKIE}=planted");
    anna.sign_in("anna", PASSWORD);
    let first = anna.cookie.clone();
    assert!(!first.ends_with("planted"));
    anna.sign_in("anna", PASSWORD);
    assert_ne!(anna.cookie, first);
    let old = ConsoleClient { address: anna.address, cookie: first };
    assert_eq!((old.get("/").status, anna.get("/").status), (303, 200));
    run_with_password(&home, &["users", "password", "anna", "--password-stdin"], "other words entirely");
    assert_eq!(anna.get("/").status, 303, "a new password ends the sessions");
}

#[test]
fn guesses_are_slowed_down_and_learn_nothing() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "viewer");
    let mut client = ConsoleClient::of(&daemon);
    let answers: Vec<(u16, String)> = (0..5)
        .map(|_| client.sign_in("anna", "wrong words here"))
        .map(|response| (response.status, response.body))
        .collect();
    assert!(answers.iter().all(|(status, _)| *status == 401), "{answers:?}");
    let blocked = client.sign_in("anna", PASSWORD);
    assert!(blocked.status == 429 && blocked.header("retry-after").is_some(), "{blocked:?}");
    let unknown = client.sign_in("nobody", PASSWORD);
    assert_eq!(
        unknown.body.replace("nobody", "anna"),
        blocked.body,
        "the answer is the same for a name that nobody has"
    );
    assert_eq!(client.get("/login").status, 200);
}

#[test]
fn pages_obey_no_text_of_others() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "viewer");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    let attack = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";
    let topic = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let body = order_body(7);
    let request =
        super::support::shopify_request("<b>w</b>", &body).with_header("X-Shopify-Topic", "<script>alert(1)</script>");
    let event = daemon.request(&Request { path: format!("/api/webhooks/shopify/{topic}"), ..request }).event_id();
    home.wait_until_processed();
    home.sql(&format!("UPDATE webhook_events SET note = '{}'", attack.replace('\'', "''")));
    for path in
        ["/events".to_owned(), format!("/events/{event}"), format!("/events?q={topic}"), format!("/login?next={topic}")]
    {
        let page = anna.get(&path);
        assert!(!page.body.contains("<script>alert") && !page.body.contains("<img"), "{path}: {}", page.body);
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn public_listener_has_no_console() {
    let home = Home::new("");
    let daemon = home.serve();
    for path in ["/", "/login", "/events", "/api/v1/stats", "/assets/console-0.1.0.css"] {
        assert_eq!(daemon.request(&Request::new("GET", path)).status, 404, "{path}");
    }
}

#[test]
fn program_reads_the_api_with_its_token() {
    let home = Home::new("");
    let daemon = home.serve();
    let event = daemon.send_order("w-1", &order_body(1001)).event_id();
    home.wait_until_processed();
    let program = ConsoleClient::of(&daemon);
    let create = |scope: &str| {
        let token = home.run_ok(&["tokens", "create", "erp", "--scope", scope]);
        token.lines().next().unwrap().to_owned()
    };
    let (read, metrics) = (create("read"), create("metrics"));
    let get = |path: &str, token: &str| {
        program.send(Request::new("GET", path).with_header("authorization", &format!("Bearer {token}")))
    };
    assert_eq!(get("/api/v1/stats", &read).json()["last_day"]["received"], 1);
    let list = get("/api/v1/events?status=completed&limit=1", &read).json();
    assert_eq!((list["events"][0]["id"].as_i64(), list["next"].as_i64()), (Some(event), Some(event)));
    assert!(get(&format!("/api/v1/events?before={event}"), &read).json()["next"].is_null());
    assert_eq!(get(&format!("/api/v1/events/{event}"), &read).json()["history"][0]["to_status"], "received");
    for (path, token, status) in [
        ("/api/v1/events/999", read.as_str(), 404),
        ("/api/v1/events/x", &read, 404),
        ("/api/v1/events?status=lost", &read, 400),
        ("/api/v1/events?statis=failed", &read, 400),
        ("/api/v1/stats", &metrics, 403),
        ("/api/v1/stats", "novex_wrong", 401),
    ] {
        let problem = get(path, token);
        assert_eq!(problem.header("content-type"), Some("application/problem+json"), "{path}: {problem:?}");
        assert_eq!((problem.status, problem.json()["status"].as_u64()), (status, Some(u64::from(status))), "{path}");
    }
    home.run_ok(&["tokens", "revoke", "1"]);
    assert_eq!(get("/api/v1/stats", &read).status, 401);
}

/// Two daemons with one port for the console: the second one receives events, and gets the port when it is free.
#[test]
fn console_waits_for_its_port() {
    let first_home = Home::new("");
    let first = first_home.serve();
    let address = console_address(&first);
    let home = Home::new(&format!("[console]\nlisten = \"{address}\""));
    let daemon = home.serve();
    daemon.send_order("w-1", &order_body(1)).event_id();
    home.wait_for_log("the console cannot listen", 1);
    first.stop();
    assert_eq!(ConsoleClient::of(&daemon).get("/login").status, 200);
}

#[test]
fn body_of_an_event_is_masked_until_somebody_asks_for_it() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "operator");
    add_console_user(&home, "vera", "viewer");
    let event = daemon.send_order("w-1", &order_body(1001)).event_id();
    let (anna, vera) = (ConsoleClient::signed_in(&daemon, "anna"), ConsoleClient::signed_in(&daemon, "vera"));
    let path = format!("/events/{event}");
    let field = format!("path={path}");

    assert!(!anna.get(&path).body.contains("total_price"), "the body is masked");
    assert_eq!(vera.post("/reveal", &field).status, 403);
    assert_eq!(anna.post("/reveal", "path=https://other.example/").status, 400);
    assert_eq!(anna.post("/reveal", &field).header("location"), Some(path.as_str()));
    assert!(anna.get(&path).body.contains("total_price"));
    assert!(!vera.get(&path).body.contains("total_price"), "it is revealed to one session only");
    assert_eq!(
        home.sql("SELECT username, type, resource_path, result FROM system_log WHERE type LIKE 'PERSONAL%'"),
        format!("anna|PERSONAL-DATA-VIEW|{path}|ok")
    );
}
