//! The pages of the machine: destinations, audit trail, privacy requests, settings, users and tokens.

use super::support::console::{ConsoleClient, PASSWORD, add_console_user, form_request};
use super::support::{
    EASYPOST_SECRET, Home, KEYCLOAK_SECRET, OLD_SECRET, OTHER_SECRET, Request, SECRET, SHOP, order_body, send_webhook,
    wait_until,
};
use std::fs;

#[test]
fn destination_is_paused_resumed_and_tested() {
    let home = Home::new("");
    let directory = home.path("out");
    fs::create_dir(&directory).unwrap();
    home.configure(&format!(
        "[[destinations]]\nname = \"erp\"\ntype = \"directory\"\npath = {directory:?}\ntopics = [\"shopify:orders/*\"]\n\
         [[destinations]]\nname = \"gone\"\ntype = \"http\"\nurl = \"http://127.0.0.1:1/\"\ntopics = [\"none:*\"]\n"
    ));
    let daemon = home.serve();
    add_console_user(&home, "otto", "operator");
    add_console_user(&home, "vera", "viewer");
    let (otto, vera) = (ConsoleClient::signed_in(&daemon, "otto"), ConsoleClient::signed_in(&daemon, "vera"));
    let page = vera.get("/destinations").body;
    assert!(page.contains("erp") && page.contains(">up<") && !page.contains("/destinations/erp/pause"), "{page}");
    assert_eq!(otto.post("/destinations/erp/pause", "").status, 303);
    daemon.send_order("w-1", &order_body(1)).event_id();
    home.wait_until_processed();
    let page = otto.get("/destinations").body;
    assert!(page.contains(">paused<") && page.contains("/destinations/erp/resume"), "{page}");
    assert!(home.run_ok(&["destinations", "list"]).contains("paused since"));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    assert_eq!(otto.post("/destinations/erp/resume", "").status, 303);
    home.wait_for("SELECT count(*) FROM destination_deliveries WHERE status = 'delivered'", "1");
    let tested = otto.post("/destinations/erp/test", "").body;
    assert!(tested.contains("erp accepted the test event."), "{tested}");
    let failed = otto.post("/destinations/gone/test", "").body;
    assert!(failed.contains("gone did not accept the test event") && failed.contains("role=\"status\""), "{failed}");
    assert_eq!(otto.post("/destinations/nobody/pause", "").status, 404);
    assert_eq!(
        home.sql("SELECT username, type, resource_path, result FROM system_log WHERE type LIKE 'DESTINATION%'"),
        "otto|DESTINATION-PAUSE|destinations/erp|ok\notto|DESTINATION-RESUME|destinations/erp|ok\n\
         otto|DESTINATION-TEST|destinations/erp|ok\notto|DESTINATION-TEST|destinations/gone|error"
    );
}

#[test]
fn audit_trail_is_listed_in_pages_filtered_and_verified() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "otto", "operator");
    let otto = ConsoleClient::signed_in(&daemon, "otto");
    let keycloak = r#"{"id":"k-1","time":1795000000000,"realmName":"acme","type":"LOGIN","userId":"u","clientId":"shop",
        "ipAddress":"192.0.2.7","details":{"username":"ada@example.com"}}"#;
    daemon.request(&super::support::keycloak_request(keycloak.as_bytes())).event_id();
    home.wait_until_processed();
    let page = otto.get("/audit").body;
    assert!(page.contains("CONSOLE-LOGIN") && page.contains("acme") && page.contains("otto"), "{page}");
    assert!(!page.contains("ada@example.com") && !page.contains("192.0.2.7"), "customers are masked");
    assert_eq!(otto.post("/reveal", "path=/audit").status, 303);
    assert!(otto.get("/audit").body.contains("ada@example.com"));
    let rows = |query: &str| otto.get(&format!("/audit?{query}")).body.matches("<tr>").count() - 1;
    assert_eq!(
        [rows("realm=acme"), rows("realm=other"), rows("type=CONSOLE-*"), rows("user=otto"), rows("since=2090-01-01")],
        [1, 0, 2, 2, 0]
    );
    assert!(otto.get("/audit?since=soon").body.contains("class=\"notice failed\""));

    otto.post("/audit/verify", "");
    wait_until(|| otto.get("/audit").body.contains("are unchanged"), || otto.get("/audit").body);
    let last = home.count("SELECT max(id) FROM system_log");
    let forged = "INSERT INTO system_log (id, at, type, result, prev_hash, hash) WITH RECURSIVE n (i) AS \
                  (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) SELECT i + LAST, '2026-11-23T20:30:00.000Z', \
                  '<script>alert(1)</script>', 'ok', 'x', 'y' FROM n";
    home.sql(&forged.replace("LAST", &last.to_string()));
    let (mut path, mut seen) = ("/audit".to_owned(), Vec::new());
    loop {
        let page = otto.get(&path).body;
        assert!(!page.contains("<script>alert"), "{page}");
        let ids = page.split("<th scope=\"row\" class=\"number\">").skip(1);
        seen.extend(ids.map(|rest| rest[..rest.find('<').unwrap()].parse::<i64>().unwrap()));
        let Some(at) = page.find("rel=\"next\" href=\"") else { break };
        let rest = &page[at + "rel=\"next\" href=\"".len()..];
        path = rest[..rest.find('"').unwrap()].replace("&amp;", "&");
    }
    assert_eq!(seen, (1..=last + 250).rev().collect::<Vec<_>>(), "each row once, the newest first");
    otto.post("/audit/verify", "");
    wait_until(|| otto.get("/audit").body.contains("The trail is no longer proof"), || otto.get("/audit").body);
    assert!(otto.get("/audit").body.contains("class=\"notice failed\""));
}

#[test]
fn privacy_requests_are_decided_by_an_admin() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "admin");
    add_console_user(&home, "otto", "operator");
    let (anna, otto) = (ConsoleClient::signed_in(&daemon, "anna"), ConsoleClient::signed_in(&daemon, "otto"));
    assert!(anna.get("/privacy").body.contains("No requests."));
    let redact = format!(r#"{{"shop_domain":"{SHOP}","customer":{{"id":7}},"orders_to_redact":[1]}}"#);
    let redaction = send_webhook(&daemon, "r", "customers/redact", redact.as_bytes());
    let request = format!(
        r#"{{"shop_domain":"{SHOP}","orders_requested":[],"customer":{{"id":7,"email":"ada@example.com"}},"data_request":{{"id":9}}}}"#
    );
    send_webhook(&daemon, "d", "customers/data_request", request.as_bytes());
    home.wait_for("SELECT count(*) FROM destructive_requests WHERE state = 'waiting'", "1");
    home.wait_for("SELECT count(*) FROM data_requests", "1");
    let page = anna.get("/privacy").body;
    for part in ["customers/redact", "waiting", " until ", "days left", "privacy export 1", SHOP] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!otto.get("/privacy").body.contains("Run now"), "an operator reads only");
    let stop = format!("/privacy/{redaction}/stop");
    assert_eq!(otto.post(&stop, "reason=x").status, 403);
    assert_eq!(anna.post(&stop, "reason=+").status, 400, "a reason is required");
    assert_eq!(anna.post(&stop, "reason=<b>false</b>").status, 303);
    let page = anna.get("/privacy").body;
    assert!(page.contains(" by anna") && page.contains("&lt;b&gt;false&lt;/b&gt;"), "{page}");
    assert_eq!(anna.post(&format!("/privacy/{redaction}/run"), "").status, 303);
    home.wait_for("SELECT count(*) FROM redactions", "1");
    home.wait_until_processed();
    let late = anna.post(&stop, "reason=late");
    assert!(late.status == 409 && late.body.contains("was worked already"), "{late:?}");
    assert_eq!(anna.post("/privacy/requests/1/done", "").status, 303);
    assert_eq!(anna.post("/privacy/requests/2/done", "").status, 404);
    home.wait_for("SELECT count(*) FROM data_requests WHERE done_at IS NOT NULL", "1");
    assert_eq!(
        home.sql("SELECT type, resource_path, ip_address FROM system_log WHERE username = 'anna' AND type NOT LIKE 'CONSOLE%'"),
        format!(
            "EVENT-STOP|events/{redaction}|127.0.0.1\nEVENT-RUN|events/{redaction}|127.0.0.1\n\
             DATA-REQUEST-DONE|data-requests/1|127.0.0.1"
        )
    );
}

#[test]
fn settings_show_what_is_in_force_and_no_secret() {
    let home = Home::new("");
    let secrets = [
        SECRET,
        OLD_SECRET,
        OTHER_SECRET,
        EASYPOST_SECRET,
        KEYCLOAK_SECRET,
        "destination-secret",
        "url-password",
        "url-path",
        "url-query",
        "argument-secret",
        "oidc-secret",
        PASSWORD,
    ];
    fs::write(home.path("erp"), "whsec_ZGVzdGluYXRpb24tc2VjcmV0LWRlc3RpbmF0aW9uLXNlY3JldA==\n").unwrap();
    fs::write(home.path("oidc"), "oidc-secret\n").unwrap();
    home.configure(
        "[console]\nlisten = \"127.0.0.1:0\"\n[console.oidc]\nissuer = \"https://id.example.com/realms/acme\"\n\
         client_id = \"novex\"\nsecrets = [\"file:oidc\"]\nredirect_uri = \"https://box.example.com/login/oidc/callback\"\n\
         [worker]\nmax_attempts = 5\n\
         [[destinations]]\nname = \"web\"\ntype = \"http\"\nurl = \"https://user:url-password@erp.example.com/url-path?k=url-query\"\n\
         secrets = [\"file:erp\"]\ntopics = [\"none:*\"]\n\
         [[destinations]]\nname = \"program\"\ntype = \"command\"\ncommand = [\"/bin/true\", \"--token\", \"argument-secret\"]\n\
         topics = [\"none:*\"]\n",
    );
    let daemon = home.serve();
    add_console_user(&home, "vera", "viewer");
    let vera = ConsoleClient::signed_in(&daemon, "vera");
    let page = vera.get("/settings").body;
    for secret in secrets.iter().chain(&["ZGVzdGluYXRpb24"]) {
        for path in ["/settings", "/settings/account", "/destinations", "/"] {
            assert!(!vera.get(path).body.contains(secret), "{secret} at {path}");
        }
    }
    for part in [
        "<dt>max_attempts</dt><dd>5</dd>",
        "<dt>concurrency</dt><dd>4<span class=\"text\"> (default)</span></dd>",
        "file:acme, file:acme-old",
        "file:oidc",
        "https://erp.example.com/…",
        "/bin/true, …",
        "[shopify.shops]",
        "novex-admin",
        "(self-signed)",
        "There is none in",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("Back up now") && !page.contains("/settings/users"), "a viewer reads only");
}

#[test]
fn admin_makes_a_backup() {
    let home = Home::new("");
    let daemon = home.serve();
    daemon.send_order("w-1", &order_body(1)).event_id();
    add_console_user(&home, "anna", "admin");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    assert_eq!(anna.post("/settings/backup", "").header("location"), Some("/settings#backups"));
    wait_until(|| anna.get("/settings").body.contains(": verified, "), || anna.get("/settings").body);
    let page = anna.get("/settings").body;
    assert!(page.contains("The newest is") && page.contains("1 event"), "{page}");
    let made: Vec<_> = fs::read_dir(home.path("backups")).unwrap().flatten().map(|entry| entry.path()).collect();
    assert_eq!(made.len(), 1);
    home.run_ok(&["restore", "--check", made[0].to_str().unwrap()]);
    assert_eq!(home.sql("SELECT username FROM system_log WHERE type = 'DATABASE-BACKUP'"), "anna");
}

#[test]
fn admin_manages_users() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "admin");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    let password = PASSWORD.replace(' ', "+");
    assert_eq!(anna.post("/settings/users", &format!("name=otto&role=viewer&password={password}")).status, 303);
    for (fields, error) in [
        (format!("name=otto&role=viewer&password={password}"), "user otto exists"),
        (format!("name=a:b&role=viewer&password={password}"), "use 1 to 64 letters"),
        (format!("name=max&role=god&password={password}"), "there is no such role"),
        ("name=max&role=viewer&password=short".to_owned(), "at least 12"),
    ] {
        let page = anna.post("/settings/users", &fields).body;
        assert!(page.contains(error), "{error} in {page}");
    }
    let otto = ConsoleClient::signed_in(&daemon, "otto");
    assert_eq!(otto.get("/settings/users").status, 403);
    assert_eq!(anna.post("/settings/users/otto/role", "role=operator").status, 303);
    assert!(otto.get("/").body.contains("otto (operator)"), "the role counts at once");
    assert_eq!(anna.post("/settings/users/otto/password", "password=other+words+entirely").status, 303);
    assert_eq!(otto.get("/").status, 303, "a new password ends the sessions");
    assert!(anna.post("/settings/users/otto/totp", "").body.contains("otto has no one-time codes"));
    for operation in ["role", "remove"] {
        let page = anna.post(&format!("/settings/users/anna/{operation}"), "role=viewer").body;
        assert!(page.contains("anna is the last admin"), "{page}");
    }
    assert_eq!(anna.post("/settings/users/otto/remove", "").status, 303);
    assert!(anna.post("/settings/users/otto/remove", "").body.contains("no user has the name otto"));
    assert_eq!(
        home.sql("SELECT type FROM system_log WHERE username = 'anna' AND type LIKE 'CONSOLE-USER%'"),
        "CONSOLE-USER-ADD\nCONSOLE-USER-ROLE-OPERATOR\nCONSOLE-USER-PASSWORD\nCONSOLE-USER-REMOVE"
    );
}

#[test]
fn admin_manages_tokens() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "admin");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    let refused = anna.post("/settings/tokens", "name=erp").body;
    assert!(refused.contains("choose a scope"), "{refused}");
    let page = anna.post("/settings/tokens", "name=<i>erp</i>&scope=read&scope=read").body;
    let start = page.find("novex_").expect("the token is shown");
    let token = page[start..start + page[start..].find('<').unwrap()].to_owned();
    let stats = || {
        let request = Request::new("GET", "/api/v1/stats").with_header("authorization", &format!("Bearer {token}"));
        ConsoleClient::of(&daemon).send(request).status
    };
    assert_eq!(stats(), 200);
    let page = anna.get("/settings/tokens").body;
    assert!(!page.contains(&token) && page.contains("&lt;i&gt;erp&lt;/i&gt;"), "{page}");
    assert_eq!(anna.post("/settings/tokens/1/revoke", "").status, 303);
    assert_eq!(stats(), 401);
    assert!(anna.post("/settings/tokens/1/revoke", "").body.contains("No valid token has the id 1."));
    assert_eq!(
        home.sql("SELECT type, username FROM system_log WHERE type LIKE 'API-TOKEN%'"),
        "API-TOKEN-CREATE|anna\nAPI-TOKEN-REVOKE|anna"
    );
}

/// The one setting for other computers, with the certificate settings that a browser there needs.
#[test]
fn console_serves_other_computers_by_one_setting() {
    let home = Home::new("[console]\nlisten = \"0.0.0.0:0\"");
    let daemon = home.serve();
    add_console_user(&home, "anna", "admin");
    let log = home.log();
    assert!(log.contains("the console is ready: https://0.0.0.0:"), "{log}");
    let mut anna = ConsoleClient::of(&daemon);
    // Linux gives each address of 127/8 to this machine; the listener answers on all of them, not on 127.0.0.1 alone.
    anna.address.set_ip("127.0.0.2".parse().unwrap());
    assert_eq!(anna.sign_in("anna", PASSWORD).status, 303);
    assert_eq!(anna.send(form_request("/checks", &format!("csrf={}", anna.csrf_token()))).status, 303);
    let findings = |home: &Home| {
        let text = String::from_utf8(home.run(&["doctor", "--json"]).stdout).unwrap();
        text.lines()
            .filter(|line| line.contains("\"check\":\"console\""))
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let found = findings(&home);
    assert!(found.contains("a browser there cannot prove that it reaches this machine"), "{found}");
    assert!(found.contains("1 user signs in without one-time codes"), "{found}");
    home.edit_config("0.0.0.0:0", "127.0.0.1:0");
    assert_eq!(findings(&home), "", "nothing to say about a console for this machine");
    let files: Vec<_> = fs::read_dir(home.path("tls/console")).unwrap().flatten().map(|entry| entry.path()).collect();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension != "key")) {
        fs::write(file, "damaged").unwrap();
    }
    let found = findings(&home);
    assert!(found.contains("nobody can open the console"), "{files:?}: {found}");
}
