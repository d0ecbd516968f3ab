//! SIGHUP: the daemon applies some changes at once and names those that need a restart. A file with errors changes
//! nothing.

use crate::support::{Home, Request, SECRET, WAIT_MAX, base64, hmac_sha256, order_body};
use std::fs;
use std::time::Instant;

fn signed_request(shop: &str, id: &str, secret: &str) -> Request {
    let body = order_body(1);
    Request::post("/api/webhooks/shopify/orders/create", &body)
        .with_header("content-type", "application/json")
        .with_header("X-Shopify-Topic", "orders/create")
        .with_header("X-Shopify-Shop-Domain", shop)
        .with_header("X-Shopify-Webhook-Id", id)
        .with_header("X-Shopify-Hmac-Sha256", &base64(&hmac_sha256(secret.as_bytes(), &body)))
}

/// A restart applies values that are copied at the start; the daemon names them, also a secret, whose text is hidden.
#[test]
fn values_that_need_a_restart_are_named() {
    let home = Home::new("");
    fs::write(home.path("erp"), "one").unwrap();
    home.configure(
        "[[destinations]]\nname = \"erp\"\ntype = \"http\"\nurl = \"http://127.0.0.1:1/\"\ntopics = [\"sps:none\"]\nsecrets = [\"file:erp\"]\n",
    );
    let daemon = home.serve();
    fs::write(home.path("erp"), "two").unwrap();
    home.edit_config("[keycloak]", "[keycloak]\nlogin_errors = 3");
    daemon.send_signal("HUP");
    home.wait_for_log("[[destinations]], keycloak.login_errors need a restart", 1);
    daemon.stop();
}

#[test]
fn shops_and_secrets_are_reloaded_at_once() {
    let home = Home::new("");
    let daemon = home.serve();
    // All on one connection: the reload closes none.
    let mut connection = daemon.connect();
    let shop = "new-shop.myshopify.com";
    assert_eq!(connection.request(&signed_request(shop, "n1", "fresh-secret")).status, 401);
    fs::write(home.path("fresh"), "fresh-secret").unwrap();
    home.edit_config(
        "[easypost]",
        &format!("[[shopify.shops]]\ndomain = \"{shop}\"\nsecrets = [\"file:fresh\"]\n[easypost]"),
    );
    fs::write(home.path("acme"), "rotated").unwrap();
    fs::write(home.path("acme-old"), "rotated").unwrap();
    home.edit_config("[store]", "[worker]\nlease = \"9m\"\n[store]");
    daemon.send_signal("HUP");
    home.wait_for_log("[worker] need a restart", 1);
    assert_eq!(connection.request(&signed_request(shop, "n2", "fresh-secret")).status, 200);
    let acme = "acme-foods.myshopify.com";
    assert_eq!(connection.request(&signed_request(acme, "a1", SECRET)).status, 401, "the old secret is refused");
    assert_eq!(connection.request(&signed_request(acme, "a2", "rotated")).status, 200);
    // A file with errors changes nothing.
    home.edit_config("[easypost]", "[easypost]\nbatsh = 1");
    fs::write(home.path("fresh"), "other-secret").unwrap();
    daemon.send_signal("HUP");
    home.wait_for_log("the daemon continues with the previous one", 1);
    assert!(home.log().contains("batsh"), "{}", home.log());
    assert_eq!(connection.request(&signed_request(shop, "n3", "fresh-secret")).status, 200);
    // After the fix, the same process applies the file.
    home.edit_config("\nbatsh = 1", "");
    daemon.send_signal("HUP");
    let start = Instant::now();
    let mut number = 0;
    while connection.request(&signed_request(shop, &format!("m{number}"), "other-secret")).status != 200 {
        number += 1;
        assert!(start.elapsed() < WAIT_MAX, "{}", home.log());
    }
    daemon.stop();
    assert_eq!(home.log().matches("need a restart").count(), 2, "each reload names the values that need a restart");
}
