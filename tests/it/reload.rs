//! SIGHUP: what can change at once does, what cannot is named, and a file with mistakes changes nothing.

use crate::util::{Home, PATIENCE, Request, SECRET, base64, hmac, order};
use std::fs;
use std::time::Instant;

fn delivery(shop: &str, id: &str, secret: &str) -> Request {
    let body = order(1);
    Request::post("/api/webhooks/shopify/orders/create", &body)
        .with("content-type", "application/json")
        .with("X-Shopify-Topic", "orders/create")
        .with("X-Shopify-Shop-Domain", shop)
        .with("X-Shopify-Webhook-Id", id)
        .with("X-Shopify-Hmac-Sha256", &base64(&hmac(secret.as_bytes(), &body)))
}

/// What is copied at the start waits for a restart, and is said to: also a secret, which no text shows.
#[test]
fn what_waits_is_named_also_when_it_is_a_secret() {
    let home = Home::new("");
    fs::write(home.path("erp"), "one").unwrap();
    home.configure(
        "[[destinations]]\nname = \"erp\"\ntype = \"http\"\nurl = \"http://127.0.0.1:1/\"\ntopics = [\"sps:none\"]\nsecrets = [\"file:erp\"]\n",
    );
    let daemon = home.serve();
    fs::write(home.path("erp"), "two").unwrap();
    home.edit("[keycloak]", "[keycloak]\nlogin_errors = 3");
    daemon.signal("HUP");
    home.wait_for_log("[[destinations]], login_errors of [keycloak] differ and wait for a restart", 1);
    daemon.stop();
}

#[test]
fn shops_and_secrets_hold_at_once_and_the_rest_is_named() {
    let home = Home::new("");
    let daemon = home.serve();
    // On one connection all the time: nobody is cut off.
    let mut connection = daemon.connect();
    let shop = "new-shop.myshopify.com";
    assert_eq!(connection.request(&delivery(shop, "n1", "fresh-secret")).status, 401);
    fs::write(home.path("fresh"), "fresh-secret").unwrap();
    home.edit("[easypost]", &format!("[[shopify.shops]]\ndomain = \"{shop}\"\nsecrets = [\"file:fresh\"]\n[easypost]"));
    fs::write(home.path("acme"), "rotated").unwrap();
    fs::write(home.path("acme-old"), "rotated").unwrap();
    home.edit("[store]", "[worker]\nlease = \"9m\"\n[store]");
    daemon.signal("HUP");
    home.wait_for_log("[worker] differ and wait for a restart", 1);
    assert_eq!(connection.request(&delivery(shop, "n2", "fresh-secret")).status, 200);
    let acme = "acme-foods.myshopify.com";
    assert_eq!(connection.request(&delivery(acme, "a1", SECRET)).status, 401, "the old secret is not taken any more");
    assert_eq!(connection.request(&delivery(acme, "a2", "rotated")).status, 200);
    // Mistakes change nothing, however many there are.
    home.edit("[easypost]", "[easypost]\nbatsh = 1");
    fs::write(home.path("fresh"), "other-secret").unwrap();
    daemon.signal("HUP");
    home.wait_for_log("everything stays as it was", 1);
    assert!(home.log().contains("batsh"), "{}", home.log());
    assert_eq!(connection.request(&delivery(shop, "n3", "fresh-secret")).status, 200);
    // Mended, the same process goes on with what is there now.
    home.edit("\nbatsh = 1", "");
    daemon.signal("HUP");
    let start = Instant::now();
    let mut number = 0;
    while connection.request(&delivery(shop, &format!("m{number}"), "other-secret")).status != 200 {
        number += 1;
        assert!(start.elapsed() < PATIENCE, "{}", home.log());
    }
    daemon.stop();
    assert_eq!(home.log().matches("wait for a restart").count(), 2, "what waits is told each time");
}
