//! Deliveries: the matrix of signatures and bodies, duplicates, conflicts, refusals.

use crate::util::{
    Answer, EASYPOST_SECRET, Home, KEYCLOAK_SECRET, OLD_SECRET, OTHER_SECRET, OTHER_SHOP, Request, SECRET, SHOP,
    base64, easypost, hmac, keycloak, order, shopify,
};
use std::process::{Command, Stdio};

/// The HMAC as openssl makes it: an implementation that shares nothing with ours.
fn openssl(secret: &str, message: &[u8]) -> Vec<u8> {
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

fn signature(secret: &str, body: &[u8]) -> String {
    base64(&hmac(secret.as_bytes(), body))
}

#[test]
fn shopify_takes_what_the_shop_signed_and_nothing_else() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = order(1);
    let good = signature(SECRET, &body);
    let with = |value: &str| shopify("w", &body).with("X-Shopify-Hmac-Sha256", value);
    let header = "X-Shopify-Hmac-Sha256";
    for (case, request) in [
        ("wrong", with(&signature("wrong", &body))),
        ("missing", shopify("w", &body).without(header)),
        ("empty", with("")),
        ("truncated", with(&good[..20])),
        ("truncated to whole bytes", with(&base64(&hmac(SECRET.as_bytes(), &body)[..16]))),
        ("over another body", with(&signature(SECRET, b"another"))),
        ("other shop's secret", with(&signature(OTHER_SECRET, &body))),
        ("other shop named", shopify("w", &body).with("X-Shopify-Shop-Domain", OTHER_SHOP)),
        ("unknown shop", shopify("w", &body).with("X-Shopify-Shop-Domain", "evil.myshopify.com")),
        ("wrong base64", with("%%%not-base64%%%")),
        ("base64 for URLs", with(&good.replace(['+', '/', '='], "_"))),
        ("hex", with(&hex::encode(hmac(SECRET.as_bytes(), &body)))),
        ("a bit changed in the body", Request { body: [&body[..], b" "].concat(), ..shopify("w", &body) }),
    ] {
        let answer = daemon.request(&request);
        assert_eq!((answer.status, answer.body.as_str()), (401, r#"{"error":"unauthorized"}"#), "{case}");
    }
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 0, "nothing refused is stored");
    for (id, secret) in [("new", SECRET), ("old", OLD_SECRET)] {
        let request = shopify(id, &body).with(header, &signature(secret, &body));
        assert!(!daemon.request(&request).duplicate(), "both secrets of a rotation");
    }
    assert_eq!(
        home.sql("SELECT source, shop_domain, topic, webhook_id FROM webhook_events ORDER BY id LIMIT 1"),
        format!("shopify|{SHOP}|orders/create|new")
    );
}

#[test]
fn signatures_made_by_openssl_are_taken() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = order(2);
    let request = shopify("w", &body).with("X-Shopify-Hmac-Sha256", &base64(&openssl(SECRET, &body)));
    assert_eq!(daemon.request(&request).status, 200);
    // The key of EasyPost's is the secret's NFKD form, which for this one is e and a combining accent.
    let body = br#"{"id":"evt_1","description":"tracker.created"}"#;
    let tag = hex::encode(openssl("se\u{301}cret", body));
    let request =
        Request::post("/api/webhooks/easypost", body).with("X-Hmac-Signature", &format!("hmac-sha256-hex={tag}"));
    assert_eq!(daemon.request(&request).status, 200);
    let raw = hex::encode(openssl(EASYPOST_SECRET, body));
    assert_eq!(daemon.request(&request.with("X-Hmac-Signature", &format!("hmac-sha256-hex={raw}"))).status, 401);
}

#[test]
fn shopify_headers_are_named_when_they_are_missing_or_at_odds() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = order(3);
    let refused = |request: Request, names: &[&str]| {
        let answer = daemon.request(&request);
        assert_eq!(answer.status, 400, "{answer:?}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        for name in names {
            assert!(error.contains(name), "{error} names {name}");
        }
    };
    refused(shopify("w", &body).without("X-Shopify-Shop-Domain"), &["X-Shopify-Shop-Domain"]);
    refused(shopify("w", &body).without("X-Shopify-Webhook-Id"), &["X-Shopify-Webhook-Id"]);
    refused(shopify("w", &body).with("X-Shopify-Topic", "orders/paid"), &["orders/create", "orders/paid"]);
    assert_eq!(daemon.request(&shopify("w", &body).without("X-Shopify-Topic")).status, 200, "the path says it");

    let renamed = Request {
        headers: shopify("new-names", &body)
            .headers
            .into_iter()
            .map(|(name, value)| (name.replace("X-Shopify", "shopify").to_lowercase(), value))
            .collect(),
        ..shopify("new-names", &body)
    };
    assert!(renamed.headers.iter().any(|(name, _)| name == "shopify-hmac-sha256"));
    assert_eq!(daemon.request(&renamed).status, 200, "Shopify's names without X-");
}

#[test]
fn without_a_webhook_id_event_id_topic_and_name_together_tell_deliveries_apart() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = order(4);
    let deliver = |topic: &str, name: &str| {
        let request = shopify("", &body)
            .without("X-Shopify-Webhook-Id")
            .with("X-Shopify-Event-Id", "e1")
            .with("X-Shopify-Topic", topic)
            .with("X-Shopify-Name", name);
        daemon.request(&Request { path: format!("/api/webhooks/shopify/{topic}"), ..request })
    };
    assert!(!deliver("orders/create", "a").duplicate());
    assert!(deliver("orders/create", "a").duplicate());
    assert!(!deliver("orders/create", "b").duplicate());
    assert!(!deliver("orders/paid", "a").duplicate(), "one action, two topics: both count");
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 3);
}

#[test]
fn every_kind_of_bytes_comes_back_as_it_came() {
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
        let mut request = shopify(case, body);
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
        let mut request = shopify("large", &body);
        request.chunk = chunk;
        let answer = daemon.request(&request);
        assert_eq!(answer.status, 413);
        assert!(answer.body.contains("16777216"), "{answer:?}");
    }
}

#[test]
fn a_topic_may_hold_slashes_and_be_unknown() {
    let home = Home::new("");
    let daemon = home.serve();
    for (path, topic) in [
        ("orders%2Fcreate", "orders/create"),
        ("fulfillment_orders/line_items_prepared_for_pickup", "fulfillment_orders/line_items_prepared_for_pickup"),
        ("never/heard/of/it", "never/heard/of/it"),
    ] {
        let request = shopify(path, &order(5)).with("X-Shopify-Topic", topic);
        let id = daemon.request(&Request { path: format!("/api/webhooks/shopify/{path}"), ..request }).event_id();
        home.wait_until_worked();
        assert_eq!(
            home.sql(&format!("SELECT topic, status FROM webhook_events WHERE id = {id}")),
            format!("{topic}|completed")
        );
    }
    let note = home.sql("SELECT note FROM webhook_events WHERE topic = 'never/heard/of/it'");
    assert!(note.contains("nothing handles shopify never/heard/of/it"), "{note}");
}

#[test]
fn easypost_signs_in_two_ways() {
    let home = Home::new("[worker]\nin_serve = false");
    let daemon = home.serve();
    let body = br#"{"id":"evt_7","description":"tracker.updated","mode":"test","result":{"object":"Tracker"}}"#;
    let key = "se\u{301}cret".as_bytes();
    let first = |prefix: &str, tag: &str| {
        Request::post("/api/webhooks/easypost", body).with("X-Hmac-Signature", &format!("{prefix}{tag}"))
    };
    let tag = hex::encode(hmac(key, body));
    let now = String::from_utf8(Command::new("date").args(["-u", "-R"]).output().unwrap().stdout).unwrap();
    let second = |time: &str, path: &str| {
        let message = [time.as_bytes(), b"POST", path.as_bytes(), body].concat();
        Request::post("/api/webhooks/easypost", body)
            .with("X-Timestamp", time)
            .with("X-Path", path)
            .with("X-Hmac-Signature-V2", &format!("hmac-sha256-hex={}", hex::encode(hmac(key, &message))))
    };
    let (now, old) = (now.trim(), "Tue, 19 Aug 2025 20:37:09 -0000");
    let path = "/api/webhooks/easypost";
    for (case, status, request) in [
        ("no signature", 401, Request::post(path, body)),
        ("wrong", 401, first("hmac-sha256-hex=", &hex::encode(hmac(b"other", body)))),
        ("no prefix", 401, first("", &tag)),
        ("short", 401, first("hmac-sha256-hex=", &tag[..62])),
        ("second scheme, too old", 401, second(old, path)),
        ("second scheme, path changed", 401, second(now, path).with("X-Path", "/elsewhere")),
        ("second scheme without time", 401, second(now, path).without("X-Timestamp")),
        ("both, the first wrong", 401, second(now, path).with("X-Hmac-Signature", "hmac-sha256-hex=00")),
        ("both, the second old", 401, second(old, path).with("X-Hmac-Signature", &format!("hmac-sha256-hex={tag}"))),
        ("lower-case hex", 200, first("hmac-sha256-hex=", &tag)),
        ("upper-case hex", 200, first("hmac-sha256-hex=", &tag.to_uppercase())),
        ("second scheme", 200, second(now, path)),
        ("both", 200, second(now, path).with("X-Hmac-Signature", &format!("hmac-sha256-hex={tag}"))),
    ] {
        assert_eq!(daemon.request(&request).status, status, "{case}");
    }
    assert_eq!(
        home.sql("SELECT source, shop_domain, topic, webhook_id FROM webhook_events"),
        "easypost||tracker.updated|evt_7"
    );
    assert_eq!(daemon.request(&easypost(b"signed, but no event")).status, 200, "it is EasyPost's: kept");
    assert!(home.sql("SELECT webhook_id FROM webhook_events WHERE topic = 'unknown'").starts_with("sha256:"));
}

#[test]
fn keycloak_needs_the_whole_bearer_and_takes_any_body() {
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
        assert_eq!(daemon.request(&keycloak(body).with("Authorization", wrong)).status, 401, "{wrong:?}");
    }
    assert_eq!(daemon.request(&keycloak(body).without("Authorization")).status, 401);
    assert!(!daemon.request(&keycloak(body)).duplicate());
    assert!(daemon.request(&keycloak(body).with("Authorization", &format!("bearer {KEYCLOAK_SECRET}"))).duplicate());
    assert!(!daemon.request(&keycloak(br#"{"id":"i1","type":"LOGIN"}"#)).duplicate(), "uid and id are different ids");
    for odd in [&b""[..], b"json=%7B'type'%3A%20'LOGIN'%7D", b"[1,2]", b"\xff"] {
        assert!(!daemon.request(&keycloak(odd)).duplicate());
        assert!(daemon.request(&keycloak(odd)).duplicate(), "the same bytes are the same event");
    }
    home.wait_until_worked();
    let kept = home.sql("SELECT group_concat(headers) || group_concat(hex(body)) FROM webhook_payloads");
    assert!(
        !kept.contains(KEYCLOAK_SECRET) && !kept.to_lowercase().contains("authorization"),
        "the bearer is not stored"
    );
}

#[test]
fn two_hundred_deliveries_of_one_id_at_once_are_one_event() {
    let home = Home::new("");
    let daemon = home.serve();
    let request = shopify("same", &order(6));
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..200).map(|_| scope.spawn(|| daemon.request(&request))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let first = answers[0].event_id();
    assert!(answers.iter().all(|answer| answer.event_id() == first));
    assert_eq!(answers.iter().filter(|answer| !answer.duplicate()).count(), 1);
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 1);
    home.wait_until_worked();
    assert_eq!(home.count("SELECT count(*) FROM sales_orders"), 1);
    assert_eq!(home.count("SELECT count(*) FROM webhook_event_log WHERE to_status = 'completed'"), 1);
}

#[test]
fn the_same_id_with_other_bytes_is_kept_beside_the_first() {
    let home = Home::new("");
    let daemon = home.serve();
    let id = daemon.deliver("w", &order(7)).event_id();
    for _ in 0..2 {
        let again = daemon.deliver("w", &order(8));
        assert_eq!((again.event_id(), again.duplicate()), (id, true));
    }
    assert_eq!(home.sql("SELECT count(*), min(event_id) FROM conflicts"), format!("1|{id}"));
    assert_eq!(home.sql("SELECT CAST(body AS TEXT) FROM webhook_payloads").as_bytes(), order(7));
    assert_eq!(home.sql("SELECT CAST(body AS TEXT) FROM webhook_conflicts").as_bytes(), order(8));
    assert!(home.log().contains("repeated the webhook id"), "{}", home.log());
    home.wait_until_worked();
    assert_eq!(home.sql("SELECT order_id FROM sales_orders"), "7", "only the first is worked");
}

#[test]
fn ids_are_unique_within_a_shop_and_a_replayed_body_is_marked() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = order(9);
    let first = daemon.deliver("w", &body).event_id();
    let elsewhere = shopify("w", &body)
        .with("X-Shopify-Shop-Domain", OTHER_SHOP)
        .with("X-Shopify-Hmac-Sha256", &signature(OTHER_SECRET, &body));
    assert!(!daemon.request(&elsewhere).duplicate(), "another shop's id is another id");
    let replayed = daemon.deliver("another", &body).event_id();
    assert_eq!(home.sql(&format!("SELECT same_body_as FROM webhook_events WHERE id = {replayed}")), first.to_string());
    assert_eq!(home.sql(&format!("SELECT same_body_as IS NULL FROM webhook_events WHERE id = {first}")), "1");
}

#[test]
fn a_refusal_leaves_a_row_that_says_what_to_check() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = br#"{"email":"buyer@example.com"}"#;
    let bad = shopify("w", body)
        .with("X-Shopify-Hmac-Sha256", &signature("wrong", body))
        .with("Authorization", "Bearer hunter2");
    assert_eq!(daemon.request(&bad).status, 401);
    home.wait_for("SELECT count(*) FROM rejected_requests", "1");
    assert_eq!(
        home.sql("SELECT http_status, reason, method, path, remote_addr, body_bytes FROM rejected_requests"),
        format!("401|signature_mismatch|POST|/api/webhooks/shopify/orders/create|127.0.0.1|{}", body.len())
    );
    let row = home.sql("SELECT * FROM rejected_requests");
    assert!(row.contains("x-shopify-hmac-sha256") && row.contains("authorization"), "the headers' names: {row}");
    for secret in ["hunter2", "buyer@example.com", SECRET, "Bearer"] {
        assert!(!row.contains(secret) && !home.log().contains(secret), "{secret} is in {row}");
    }
    let shown = home.ok(&["events", "rejected"]);
    assert!(shown.contains("signature_mismatch") && shown.contains("rotated"), "{shown}");
    let json: serde_json::Value = serde_json::from_str(home.ok(&["events", "rejected", "--json"]).trim()).unwrap();
    assert_eq!(json["reason"], "signature_mismatch");
    assert!(json["what_to_check"].as_str().unwrap().contains("secret"));
}

#[test]
fn a_flood_of_refusals_grows_nothing_and_stops_nobody() {
    let home = Home::new("");
    let daemon = home.serve();
    let bad = shopify("w", b"x").with("X-Shopify-Hmac-Sha256", "bad");
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
            assert_eq!(daemon.deliver(&format!("good-{id}"), &order(id)).status, 200);
        }
    });
    // What is noted depends on how long the flood took: a burst and a few a second, never all.
    let noted = home.count("SELECT count(*) FROM rejected_requests");
    assert!((1..1000).contains(&noted), "{noted} of 2000 were noted");
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 50);
}

#[test]
fn paths_methods_and_providers_that_are_not_there() {
    let home = Home::new("");
    std::fs::write(home.config(), format!("[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = {:?}\n", home.db()))
        .unwrap();
    let daemon = home.serve();
    let unconfigured = [shopify("w", b"{}"), easypost(b"{}"), keycloak(b"{}"), Request::post("/api/sps/poll", b"")];
    for request in unconfigured {
        let answer = daemon.request(&request);
        assert_eq!(answer.status, 503, "{}", request.path);
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    for path in ["/", "/api/webhooks/shopify/", "/api/webhooks/stripe", "/healthz/x"] {
        assert_eq!(daemon.request(&Request::post(path, b"")).status, 404, "{path}");
    }
    let wrong = daemon.request(&Request::new("GET", "/api/webhooks/easypost"));
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    assert_eq!(daemon.request(&Request::post("/healthz", b"")).header("allow"), Some("GET, HEAD"));
    assert_eq!(daemon.request(&Request::new("GET", "/healthz")).status, 200);
}
