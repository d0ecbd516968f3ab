//! Real payloads from the directory in `NOVEX_SAMPLES`, sent to the daemon. None of them is part of the project.

use crate::support::{Home, SHOP, base64, easypost_request, hmac_sha256, keycloak_request, shopify_request};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the directory; prints that the test is skipped if there is none.
fn samples_directory() -> Option<PathBuf> {
    let directory = std::env::var_os("NOVEX_SAMPLES").map(PathBuf::from);
    if directory.is_none() {
        println!("skipped: NOVEX_SAMPLES names no directory of real payloads");
    }
    directory
}

fn json_files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(json_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn every_sample_is_stored_unchanged_and_completed() {
    let Some(directory) = samples_directory() else { return };
    let home = Home::new("");
    let daemon = home.serve();
    let mut sent = 0;
    let mut orders = 0;
    let mut check = |name: &str, response: crate::support::Response, body: &[u8]| {
        let id = response.event_id();
        // Two samples may show one object with one id at two times: the second is stored as a conflict.
        let kept = home.sql(&format!(
            "SELECT hex(body) FROM webhook_payloads WHERE event_id = {id} \
             UNION ALL SELECT hex(body) FROM webhook_conflicts WHERE event_id = {id}"
        ));
        assert!(
            kept.lines().any(|kept| kept.eq_ignore_ascii_case(&hex::encode(body))),
            "{name}: the stored bytes differ"
        );
        sent += 1;
    };
    for file in json_files(&directory.join("shopify")) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let topic = name.replacen("__", "/", 1);
        let whole: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let body = serde_json::to_vec(whole.get("response").unwrap_or(&whole)).unwrap();
        let mut request = shopify_request(&name, &body).with_header("X-Shopify-Topic", &topic);
        request.path = format!("/api/webhooks/shopify/{topic}");
        orders += i32::from(topic.starts_with("orders/") && body.len() > 10_000);
        check(&name, daemon.request(&request), &body);
    }
    for file in json_files(&directory.join("easypost")) {
        let body = fs::read(&file).unwrap();
        check(&file.display().to_string(), daemon.request(&easypost_request(&body)), &body);
    }
    for file in json_files(&directory.join("keycloak")) {
        let body = fs::read(&file).unwrap();
        check(&file.display().to_string(), daemon.request(&keycloak_request(&body)), &body);
    }
    assert!(sent > 0, "{} contains no sample", directory.display());
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT id, source, topic, error FROM failures"), "");
    if orders > 0 {
        let query = format!("SELECT count(*) > 0 FROM sales_orders WHERE shop_domain = '{SHOP}' AND total IS NOT NULL");
        assert_eq!(home.sql(&query), "1");
        assert_ne!(home.sql("SELECT count(*) FROM sales_order_lines"), "0");
    }
    println!("{sent} samples, {orders} of them complete orders");
}

/// EasyPost's own fixture: its secret, body and signature.
#[test]
fn easyposts_published_signature_is_accepted() {
    let Some(directory) = samples_directory() else { return };
    let Ok(fixtures) = fs::read(directory.join("easypost/client-library-fixtures.json")) else { return };
    let mut body = fs::read(directory.join("easypost/event-body.json")).unwrap();
    // The file ends with a line end that is not signed.
    assert_eq!(body.pop(), Some(b'\n'));
    let fixtures: Value = serde_json::from_slice(&fixtures).unwrap();
    let secret = fixtures["webhooks"]["secret"].as_str().expect("the fixture's secret");
    let signature = fixtures["webhooks"]["hmac_signature"].as_str().expect("the fixture's signature");
    let home = Home::new("");
    fs::write(home.path("easypost"), secret).unwrap();
    let daemon = home.serve();
    let request = easypost_request(&body).with_header("X-Hmac-Signature", signature);
    assert_eq!(daemon.request(&request).status, 200);
    let raw = format!("hmac-sha256-hex={}", hex::encode(hmac_sha256(b"other", &body)));
    assert_eq!(daemon.request(&request.with_header("X-Hmac-Signature", &raw)).status, 401, "{}", base64(&body[..3]));
}
