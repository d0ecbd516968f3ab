//! Webhook requests: signatures and bodies, duplicates, conflicts, rejections.

use crate::support::{
    EASYPOST_SECRET, Home, KEYCLOAK_SECRET, OLD_SECRET, OTHER_SECRET, OTHER_SHOP, Request, Response, SECRET, SHOP,
    base64, easypost_request, hmac_sha256, keycloak_request, order_body, shopify_request,
};
use std::process::{Command, Stdio};

/// Returns the HMAC of openssl, which shares no code with the product.
fn openssl_hmac(secret: &str, message: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-mac", "HMAC", "-macopt"])
        .arg(format!("hexkey:{}", hex::encode(secret)))
        .arg("-binary")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    child.stdin.take().unwrap().write_all(message).unwrap();
    child.wait_with_output().unwrap().stdout
}

fn shopify_signature(secret: &str, body: &[u8]) -> String {
    base64(&hmac_sha256(secret.as_bytes(), body))
}

#[test]
fn shopify_accepts_only_valid_signatures() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = order_body(1);
    let good = shopify_signature(SECRET, &body);
    let with = |value: &str| shopify_request("w", &body).with_header("X-Shopify-Hmac-Sha256", value);
    let header = "X-Shopify-Hmac-Sha256";
    for (case, request) in [
        ("wrong", with(&shopify_signature("wrong", &body))),
        ("missing", shopify_request("w", &body).without_header(header)),
        ("empty", with("")),
        ("truncated", with(&good[..20])),
        ("truncated to whole bytes", with(&base64(&hmac_sha256(SECRET.as_bytes(), &body)[..16]))),
        ("over another body", with(&shopify_signature(SECRET, b"another"))),
        ("other shop's secret", with(&shopify_signature(OTHER_SECRET, &body))),
        ("other shop named", shopify_request("w", &body).with_header("X-Shopify-Shop-Domain", OTHER_SHOP)),
        ("unknown shop", shopify_request("w", &body).with_header("X-Shopify-Shop-Domain", "evil.myshopify.com")),
        ("wrong base64", with("%%%not-base64%%%")),
        ("base64 for URLs", with(&good.replace(['+', '/', '='], "_"))),
        ("hex", with(&hex::encode(hmac_sha256(SECRET.as_bytes(), &body)))),
        ("a bit changed in the body", Request { body: [&body[..], b" "].concat(), ..shopify_request("w", &body) }),
    ] {
        let response = daemon.request(&request);
        assert_eq!((response.status, response.body.as_str()), (401, r#"{"error":"unauthorized"}"#), "{case}");
    }
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 0, "rejected requests are not stored");
    for (id, secret) in [("new", SECRET), ("old", OLD_SECRET)] {
        let request = shopify_request(id, &body).with_header(header, &shopify_signature(secret, &body));
        assert!(!daemon.request(&request).is_duplicate(), "both secrets of a rotation are accepted");
    }
    assert_eq!(
        home.sql("SELECT source, shop_domain, topic, webhook_id FROM webhook_events ORDER BY id LIMIT 1"),
        format!("shopify|{SHOP}|orders/create|new")
    );
}

#[test]
fn signatures_of_openssl_are_accepted() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = order_body(2);
    let request =
        shopify_request("w", &body).with_header("X-Shopify-Hmac-Sha256", &base64(&openssl_hmac(SECRET, &body)));
    assert_eq!(daemon.request(&request).status, 200);
    // EasyPost's key is the NFKD form of the secret: here e and a combining accent.
    let body = br#"{"id":"evt_1","description":"tracker.created"}"#;
    let tag = hex::encode(openssl_hmac("se\u{301}cret-of-easypost", body));
    let request = Request::post("/api/webhooks/easypost", body)
        .with_header("X-Hmac-Signature", &format!("hmac-sha256-hex={tag}"));
    assert_eq!(daemon.request(&request).status, 200);
    let raw = hex::encode(openssl_hmac(EASYPOST_SECRET, body));
    assert_eq!(daemon.request(&request.with_header("X-Hmac-Signature", &format!("hmac-sha256-hex={raw}"))).status, 401);
}

#[test]
fn missing_or_conflicting_shopify_headers_are_named() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = order_body(3);
    let refused = |request: Request, names: &[&str]| {
        let response = daemon.request(&request);
        assert_eq!(response.status, 400, "{response:?}");
        let error = response.json()["error"].as_str().unwrap().to_owned();
        for name in names {
            assert!(error.contains(name), "{error} names {name}");
        }
    };
    refused(shopify_request("w", &body).without_header("X-Shopify-Shop-Domain"), &["X-Shopify-Shop-Domain"]);
    refused(shopify_request("w", &body).without_header("X-Shopify-Webhook-Id"), &["X-Shopify-Webhook-Id"]);
    refused(
        shopify_request("w", &body).with_header("X-Shopify-Topic", "orders/paid"),
        &["orders/create", "orders/paid"],
    );
    assert_eq!(
        daemon.request(&shopify_request("w", &body).without_header("X-Shopify-Topic")).status,
        200,
        "the path contains the topic"
    );

    let renamed = Request {
        headers: shopify_request("new-names", &body)
            .headers
            .into_iter()
            .map(|(name, value)| (name.replace("X-Shopify", "shopify").to_lowercase(), value))
            .collect(),
        ..shopify_request("new-names", &body)
    };
    assert!(renamed.headers.iter().any(|(name, _)| name == "shopify-hmac-sha256"));
    assert_eq!(daemon.request(&renamed).status, 200, "Shopify's names without X-");
}

#[test]
fn event_id_topic_and_name_replace_a_missing_webhook_id() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = order_body(4);
    let deliver = |topic: &str, name: &str| {
        let request = shopify_request("", &body)
            .without_header("X-Shopify-Webhook-Id")
            .with_header("X-Shopify-Event-Id", "e1")
            .with_header("X-Shopify-Topic", topic)
            .with_header("X-Shopify-Name", name);
        daemon.request(&Request { path: format!("/api/webhooks/shopify/{topic}"), ..request })
    };
    assert!(!deliver("orders/create", "a").is_duplicate());
    assert!(deliver("orders/create", "a").is_duplicate());
    assert!(!deliver("orders/create", "b").is_duplicate());
    assert!(!deliver("orders/paid", "a").is_duplicate(), "one action with two topics is two events");
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 3);
}

#[test]
fn any_bytes_are_stored_unchanged() {
    let home = Home::new("");
    let daemon = home.serve();
    let mib16 = vec![b'x'; 16 << 20];
    let every_byte: Vec<u8> = (0..=255).collect();
    for (case, body, chunk) in [
        ("empty", &b""[..], None),
        ("one byte", b"1", None),
        ("NUL", b"\0", None),
        ("NULs within", b"a\0b\0", None),
        ("invalid UTF-8", b"\xff\xfe\xc3", None),
        ("every byte", &every_byte, None),
        ("chunked", &every_byte, Some(7)),
        ("as large as allowed", &mib16, None),
        ("as large as allowed, chunked", &mib16, Some(100_000)),
    ] {
        let mut request = shopify_request(case, body);
        request.chunk = chunk;
        let id = daemon.request(&request).event_id();
        let file = home.path("out");
        home.sql(&format!("SELECT writefile('{}', body) FROM webhook_payloads WHERE event_id = {id}", file.display()));
        assert!(std::fs::read(file).unwrap() == body, "{case}: read by sqlite3");
        let shown = home.run(&["events", "show", &id.to_string(), "--body"]);
        assert!(shown.stdout == body, "{case}: read by events show");
    }
    for chunk in [None, Some(100_000)] {
        let body = vec![b'x'; (16 << 20) + 1];
        let mut request = shopify_request("large", &body);
        request.chunk = chunk;
        let response = daemon.request(&request);
        assert_eq!(response.status, 413);
        assert!(response.body.contains("16777216"), "{response:?}");
    }
}

#[test]
fn topic_may_contain_slashes_and_be_unknown() {
    let home = Home::new("");
    let daemon = home.serve();
    for (path, topic) in [
        ("orders%2Fcreate", "orders/create"),
        ("fulfillment_orders/line_items_prepared_for_pickup", "fulfillment_orders/line_items_prepared_for_pickup"),
        ("never/heard/of/it", "never/heard/of/it"),
    ] {
        let body = format!(r#"{{"id":5,"note":"{topic}"}}"#);
        let request = shopify_request(path, body.as_bytes()).with_header("X-Shopify-Topic", topic);
        let id = daemon.request(&Request { path: format!("/api/webhooks/shopify/{path}"), ..request }).event_id();
        home.wait_until_processed();
        assert_eq!(
            home.sql(&format!("SELECT topic, status FROM webhook_events WHERE id = {id}")),
            format!("{topic}|completed")
        );
    }
    let note = home.sql("SELECT note FROM webhook_events WHERE topic = 'never/heard/of/it'");
    assert!(note.contains("no handler for shopify never/heard/of/it"), "{note}");
}

#[test]
fn both_easypost_signatures_are_verified() {
    let home = Home::new("[worker]\nin_serve = false");
    let daemon = home.serve();
    let body = br#"{"id":"evt_7","description":"tracker.updated","mode":"test","result":{"object":"Tracker"}}"#;
    let key = "se\u{301}cret-of-easypost".as_bytes();
    let first = |prefix: &str, tag: &str| {
        Request::post("/api/webhooks/easypost", body).with_header("X-Hmac-Signature", &format!("{prefix}{tag}"))
    };
    let tag = hex::encode(hmac_sha256(key, body));
    let now = String::from_utf8(Command::new("date").args(["-u", "-R"]).output().unwrap().stdout).unwrap();
    let second = |time: &str, path: &str| {
        let message = [time.as_bytes(), b"POST", path.as_bytes(), body].concat();
        Request::post("/api/webhooks/easypost", body)
            .with_header("X-Timestamp", time)
            .with_header("X-Path", path)
            .with_header("X-Hmac-Signature-V2", &format!("hmac-sha256-hex={}", hex::encode(hmac_sha256(key, &message))))
    };
    let (now, old) = (now.trim(), "Tue, 19 Aug 2025 20:37:09 -0000");
    let path = "/api/webhooks/easypost";
    for (case, status, request) in [
        ("no signature", 401, Request::post(path, body)),
        ("wrong", 401, first("hmac-sha256-hex=", &hex::encode(hmac_sha256(b"other", body)))),
        ("no prefix", 401, first("", &tag)),
        ("short", 401, first("hmac-sha256-hex=", &tag[..62])),
        ("second scheme, too old", 401, second(old, path)),
        ("second scheme, path changed", 401, second(now, path).with_header("X-Path", "/elsewhere")),
        ("second scheme without time", 401, second(now, path).without_header("X-Timestamp")),
        ("both, the first wrong", 401, second(now, path).with_header("X-Hmac-Signature", "hmac-sha256-hex=00")),
        (
            "both, the second old",
            401,
            second(old, path).with_header("X-Hmac-Signature", &format!("hmac-sha256-hex={tag}")),
        ),
        ("lower-case hex", 200, first("hmac-sha256-hex=", &tag)),
        ("upper-case hex", 200, first("hmac-sha256-hex=", &tag.to_uppercase())),
        ("second scheme", 200, second(now, path)),
        ("both", 200, second(now, path).with_header("X-Hmac-Signature", &format!("hmac-sha256-hex={tag}"))),
    ] {
        assert_eq!(daemon.request(&request).status, status, "{case}");
    }
    assert_eq!(
        home.sql("SELECT source, shop_domain, topic, webhook_id FROM webhook_events"),
        "easypost||tracker.updated|evt_7"
    );
    assert_eq!(
        daemon.request(&easypost_request(b"signed, but no event")).status,
        200,
        "EasyPost signed it, so it is stored"
    );
    assert!(home.sql("SELECT webhook_id FROM webhook_events WHERE topic = 'unknown'").starts_with("sha256:"));
}

#[test]
fn keycloak_needs_the_whole_bearer_and_accepts_any_body() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = br#"{"uid":"u1","id":"i1","type":"access.LOGIN"}"#;
    for wrong in [
        "",
        "Bearer",
        "Bearer wrong",
        &format!("Bearer {KEYCLOAK_SECRET}x"),
        &format!("Basic {KEYCLOAK_SECRET}"),
        KEYCLOAK_SECRET,
    ] {
        assert_eq!(
            daemon.request(&keycloak_request(body).with_header("Authorization", wrong)).status,
            401,
            "{wrong:?}"
        );
    }
    assert_eq!(daemon.request(&keycloak_request(body).without_header("Authorization")).status, 401);
    assert!(!daemon.request(&keycloak_request(body)).is_duplicate());
    assert!(
        daemon
            .request(&keycloak_request(body).with_header("Authorization", &format!("bearer {KEYCLOAK_SECRET}")))
            .is_duplicate()
    );
    assert!(
        !daemon.request(&keycloak_request(br#"{"id":"i1","type":"LOGIN"}"#)).is_duplicate(),
        "uid and id are different ids"
    );
    for odd in [&b""[..], b"json=%7B'type'%3A%20'LOGIN'%7D", b"[1,2]", b"\xff"] {
        assert!(!daemon.request(&keycloak_request(odd)).is_duplicate());
        let again = daemon.request(&keycloak_request(odd));
        assert!(!again.is_duplicate(), "without an id and a time, the same bytes are another event");
    }
    home.wait_until_processed();
    let kept = home.sql("SELECT group_concat(headers) || group_concat(hex(body)) FROM webhook_payloads");
    assert!(
        !kept.contains(KEYCLOAK_SECRET) && !kept.to_lowercase().contains("authorization"),
        "the bearer is not stored"
    );
}

#[test]
fn two_hundred_concurrent_duplicates_are_one_event() {
    let home = Home::new("");
    let daemon = home.serve();
    let request = shopify_request("same", &order_body(6));
    let responses: Vec<Response> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..200).map(|_| scope.spawn(|| daemon.request(&request))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let first = responses[0].event_id();
    assert!(responses.iter().all(|response| response.event_id() == first));
    assert_eq!(responses.iter().filter(|response| !response.is_duplicate()).count(), 1);
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 1);
    home.wait_until_processed();
    assert_eq!(home.count("SELECT count(*) FROM sales_orders"), 1);
    assert_eq!(home.count("SELECT count(*) FROM webhook_event_log WHERE to_status = 'completed'"), 1);
}

#[test]
fn same_id_with_other_bytes_is_a_conflict() {
    let home = Home::new("");
    let daemon = home.serve();
    let id = daemon.send_order("w", &order_body(7)).event_id();
    for _ in 0..2 {
        let again = daemon.send_order("w", &order_body(8));
        assert_eq!((again.event_id(), again.is_duplicate()), (id, true));
    }
    assert_eq!(home.sql("SELECT count(*), min(event_id) FROM conflicts"), format!("1|{id}"));
    assert_eq!(home.sql("SELECT CAST(body AS TEXT) FROM webhook_payloads").as_bytes(), order_body(7));
    assert_eq!(home.sql("SELECT CAST(body AS TEXT) FROM webhook_conflicts").as_bytes(), order_body(8));
    assert!(home.log().contains("repeated the webhook id"), "{}", home.log());
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT order_id FROM sales_orders"), "7", "only the first is processed");
}

#[test]
fn ids_are_unique_by_shop_and_replayed_bodies_are_marked() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = order_body(9);
    let first = daemon.send_order("w", &body).event_id();
    let elsewhere = shopify_request("w", &body)
        .with_header("X-Shopify-Shop-Domain", OTHER_SHOP)
        .with_header("X-Shopify-Hmac-Sha256", &shopify_signature(OTHER_SECRET, &body));
    assert!(!daemon.request(&elsewhere).is_duplicate(), "an id of another shop is another event");
    let replayed = daemon.send_order("another", &body).event_id();
    assert_eq!(home.sql(&format!("SELECT same_body_as FROM webhook_events WHERE id = {replayed}")), first.to_string());
    assert_eq!(home.sql(&format!("SELECT same_body_as IS NULL FROM webhook_events WHERE id = {first}")), "1");
}

#[test]
fn rejection_leaves_a_row_with_a_hint() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = br#"{"email":"buyer@example.com"}"#;
    let bad = shopify_request("w", body)
        .with_header("X-Shopify-Hmac-Sha256", &shopify_signature("wrong", body))
        .with_header("Authorization", "Bearer hunter2");
    assert_eq!(daemon.request(&bad).status, 401);
    home.wait_for("SELECT count(*) FROM rejected_requests", "1");
    assert_eq!(
        home.sql("SELECT http_status, reason, method, path, remote_addr, body_bytes FROM rejected_requests"),
        format!("401|signature_mismatch|POST|/api/webhooks/shopify/orders/create|127.0.0.1|{}", body.len())
    );
    let row = home.sql("SELECT * FROM rejected_requests");
    assert!(row.contains("x-shopify-hmac-sha256") && row.contains("authorization"), "the names of the headers: {row}");
    for secret in ["hunter2", "buyer@example.com", SECRET, "Bearer"] {
        assert!(!row.contains(secret) && !home.log().contains(secret), "{secret} is in {row}");
    }
    let shown = home.run_ok(&["events", "rejected"]);
    assert!(shown.contains("signature_mismatch") && shown.contains("rotated"), "{shown}");
    let json: serde_json::Value = serde_json::from_str(home.run_ok(&["events", "rejected", "--json"]).trim()).unwrap();
    assert_eq!(json["reason"], "signature_mismatch");
    assert!(json["hint"].as_str().unwrap().contains("secret"));
}

#[test]
fn flood_of_rejections_is_bounded_and_blocks_no_webhook() {
    let home = Home::new("");
    let daemon = home.serve();
    let bad = shopify_request("w", b"x").with_header("X-Shopify-Hmac-Sha256", "bad");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = daemon.connect();
                for _ in 0..500 {
                    assert_eq!(connection.request(&bad).status, 401);
                }
            });
        }
        for id in 0..50 {
            assert_eq!(daemon.send_order(&format!("good-{id}"), &order_body(id)).status, 200);
        }
    });
    // The number of recorded rows depends on the duration: a burst and a few each second, never all.
    let recorded = home.count("SELECT count(*) FROM rejected_requests");
    assert!((1..1000).contains(&recorded), "{recorded} of 2000 were recorded");
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 50);
}

#[test]
fn unknown_paths_methods_and_providers_are_refused() {
    let home = Home::new("");
    std::fs::write(home.config(), format!("[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = {:?}\n", home.db()))
        .unwrap();
    let daemon = home.serve();
    let unconfigured = [
        shopify_request("w", b"{}"),
        easypost_request(b"{}"),
        keycloak_request(b"{}"),
        Request::post("/api/sps/poll", b""),
    ];
    for request in unconfigured {
        let response = daemon.request(&request);
        assert_eq!(response.status, 503, "{}", request.path);
        assert!(response.header("retry-after").is_some(), "{response:?}");
    }
    for path in ["/", "/api/webhooks/shopify/", "/api/webhooks/stripe", "/healthz/x"] {
        assert_eq!(daemon.request(&Request::post(path, b"")).status, 404, "{path}");
    }
    let wrong = daemon.request(&Request::new("GET", "/api/webhooks/easypost"));
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    assert_eq!(daemon.request(&Request::post("/healthz", b"")).header("allow"), Some("GET, HEAD"));
    assert_eq!(daemon.request(&Request::new("GET", "/healthz")).status, 200);
}
