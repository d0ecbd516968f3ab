//! `/api/v1`: every change is in the audit trail, conditions hold, tags save transfers, and the examples run.

use super::support::api::{Program, fill, home_with_everything, json_request};
use super::support::console::console_address;
use super::support::edi_files::{interchange, order_set};
use super::support::root;
use super::support::{Daemon, Home, Request, SHOP, order_body};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

#[test]
fn changes_are_made_and_recorded_by_the_name_of_the_token() {
    let home = home_with_everything();
    let daemon = home.serve();
    let (order, failed) = fill(&daemon);
    let program = Program::new(&daemon, "warehouse", &["read", "write"]);
    let description = program.describe();
    let check = |method: &str, route: &str, path: &str, body: Option<Value>, status: u16| {
        let response = match body {
            Some(body) => program.send_json(method, path, &body),
            None => program.send(Request::new(method, path)),
        };
        assert_eq!(response.status, status, "{method} {path}: {response:?}");
        if status < 300 && status != 204 {
            description.check_answer(&method.to_ascii_lowercase(), route, status, &response.json());
        }
        response
    };
    let retried = check("POST", "/api/v1/events/{id}/retry", &format!("/api/v1/events/{order}/retry"), None, 200);
    assert_eq!(retried.json()["previous_status"], "completed");
    home.wait_until_processed();
    let dismiss = format!("/api/v1/events/{failed}/dismiss");
    let reason = || Some(json!({"reason": "a test order"}));
    let dismissed = check("POST", "/api/v1/events/{id}/dismiss", &dismiss, reason(), 200);
    assert_eq!(dismissed.json()["event_dismissed"], true);
    check("POST", "/api/v1/events/{id}/dismiss", &dismiss, reason(), 409);
    let name = "/api/v1/destinations/{name}";
    let paused = check("POST", &format!("{name}/pause"), "/api/v1/destinations/files/pause", None, 200);
    assert!(paused.json()["paused_at"].is_string());
    let resumed = check("POST", &format!("{name}/resume"), "/api/v1/destinations/files/resume", None, 200);
    assert!(resumed.json()["paused_at"].is_null());
    let tested = check("POST", &format!("{name}/test"), "/api/v1/destinations/files/test", None, 200);
    assert_eq!(tested.json(), json!({"result": "delivered", "error": null}));
    fs::remove_dir_all(home.path("files")).unwrap();
    let tested = check("POST", &format!("{name}/test"), "/api/v1/destinations/files/test", None, 200);
    assert_eq!(tested.json()["result"], "unavailable");
    fs::write(home.path("in/PO2.edi"), interchange("850", &[order_set("PO2", 1)])).unwrap();
    let polled = check("POST", "/api/v1/polls", "/api/v1/polls", None, 200).json();
    assert_eq!((&polled["status"], &polled["polls"][0]["stored"]), (&json!("polled"), &json!(1)));
    home.wait_until_processed();
    let item = json!({"value": "B1", "item": "4711", "factor": "12", "item_unit": "EA"});
    let row = check("POST", "/api/v1/mappings/items", "/api/v1/mappings/items", Some(item), 201).json();
    assert_eq!(
        home.sql("SELECT DISTINCT item, item_quantity FROM purchase_order_lines WHERE buyer_item = 'B1'"),
        "4711|120"
    );
    let path = format!("/api/v1/mappings/items/{}", row["id"]);
    check("DELETE", "/api/v1/mappings/items/{id}", &path, None, 204);
    check("DELETE", "/api/v1/mappings/items/{id}", &path, None, 404);
    let partner = "/api/v1/mappings/partners/{partner}";
    let path = "/api/v1/mappings/partners/ACMERETAIL";
    check("PUT", partner, path, Some(json!({"customer": "C-1"})), 201);
    assert_eq!(home.sql("SELECT DISTINCT customer FROM purchase_orders"), "C-1");
    check("PUT", partner, path, Some(json!({"customer": "C-2", "quantity": "delta"})), 200);
    check("DELETE", partner, path, None, 204);
    assert_eq!(
        home.sql(
            "SELECT type, resource_path, result FROM system_log WHERE username = 'warehouse' AND ip_address = '127.0.0.1' \
             OR username = 'warehouse' AND type = 'EVENT-DISMISS' ORDER BY id"
        ),
        format!(
            "EVENT-RETRY|events/{order}|ok\nEVENT-DISMISS|events/{failed}|ok\nDESTINATION-PAUSE|destinations/files|ok\n\
             DESTINATION-RESUME|destinations/files|ok\nDESTINATION-TEST|destinations/files|ok\n\
             DESTINATION-TEST|destinations/files|error\nEDI-SOURCE-POLL|polls|ok\n\
             ITEM-MAPPING-SAVE|mappings//buyer B1|ok\nITEM-MAPPING-REMOVE|mappings//buyer B1|ok\n\
             PARTNER-MAPPING-SAVE|mappings/ACMERETAIL|ok\nPARTNER-MAPPING-SAVE|mappings/ACMERETAIL|ok\n\
             PARTNER-MAPPING-REMOVE|mappings/ACMERETAIL|ok"
        )
    );
    assert_eq!(program.get_json("/api/v1/audit/verification")["broken"], Value::Null);
}

/// A program that read a mapping does not overwrite what another one saved since.
#[test]
fn conditions_protect_mappings() {
    let home = Home::new("");
    let daemon = home.serve();
    daemon.send_order("w-1", &order_body(1001)).event_id();
    home.wait_until_processed();
    let program = Program::new(&daemon, "erp", &["read", "write"]);
    let path = format!("/api/v1/mappings/products/{SHOP}/skus/jam-6");
    let put = |item: &str, header: Option<(&str, &str)>| {
        let request = json_request("PUT", &path, &json!({"item": item}));
        program.send(match header {
            Some((name, value)) => request.with_header(name, value),
            None => request,
        })
    };
    assert_eq!(put("4711", Some(("if-match", "*"))).status, 412, "there is nothing to replace");
    let created = put("4711", Some(("if-none-match", "*")));
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(home.sql("SELECT item FROM sales_order_lines"), "4711", "the order is complete");
    let first = created.header("etag").unwrap();
    assert_eq!(program.get(&path).header("etag"), Some(first), "a GET has the same tag");
    assert_eq!(put("4712", Some(("if-none-match", "*"))).status, 412);
    let replaced = put("4712", Some(("if-match", first)));
    assert_eq!((replaced.status, replaced.json()["item"].as_str()), (200, Some("4712")));
    let late = put("4713", Some(("if-match", first)));
    assert_eq!((late.status, late.header("content-type")), (412, Some("application/problem+json")), "{late:?}");
    let delete = |tag: &str| program.send(Request::new("DELETE", &path).with_header("if-match", tag)).status;
    assert_eq!(delete(first), 412);
    assert_eq!(home.sql("SELECT item FROM shopify_product_mappings"), "4712");
    assert_eq!(delete(replaced.header("etag").unwrap()), 204);
    assert_eq!(home.count("SELECT count(*) FROM shopify_product_mappings"), 0);
    assert_eq!(home.count("SELECT count(*) FROM system_log WHERE type LIKE 'PRODUCT-MAPPING%'"), 3);
}

#[test]
fn entity_tags_save_transfers() {
    let home = Home::new("");
    let daemon = home.serve();
    let event = daemon.send_order("w-1", &order_body(1001)).event_id();
    home.wait_until_processed();
    let program = Program::new(&daemon, "erp", &["read", "write"]);
    let path = format!("/api/v1/events/{event}");
    let first = program.get(&path);
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && first.header("cache-control") == Some("private, no-cache"), "{first:?}");
    let ask = |tag: &str| program.send(Request::new("GET", &path).with_header("if-none-match", tag));
    let unchanged = ask(&tag);
    assert_eq!((unchanged.status, unchanged.body.as_str(), unchanged.header("etag")), (304, "", Some(tag.as_str())));
    assert_eq!(ask("\"other\"").status, 200);
    program.send(Request::new("POST", &format!("{path}/retry")));
    home.wait_until_processed();
    let changed = ask(&tag);
    assert!(changed.status == 200 && changed.header("etag") != Some(tag.as_str()), "{changed:?}");
    let body = program.get(&format!("{path}/body"));
    assert_eq!(body.body.as_bytes(), order_body(1001));
    assert_eq!(body.header("content-type"), Some("application/octet-stream"));
    assert_eq!(body.header("content-disposition"), Some("attachment"));
    // curl ends after the headers of an answer to HEAD, and fails if a body follows.
    let head = curl(&["--head", "-H", &format!("Authorization: {}", program.bearer), &url(&daemon, &path)]);
    assert!(head.contains(" 200") && head.contains(changed.header("etag").unwrap()), "{head}");
}

fn url(daemon: &Daemon<'_>, path: &str) -> String {
    format!("https://{}{path}", console_address(daemon))
}

fn curl(arguments: &[&str]) -> String {
    let output =
        Command::new("curl").args(["--silent", "--show-error", "--insecure"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The examples of docs/erp-integration.md run as printed, with this daemon's address and token.
#[test]
fn examples_of_the_document_run() {
    let home = home_with_everything();
    let daemon = home.serve();
    let (_, failed) = fill(&daemon);
    let program = Program::new(&daemon, "erp", &["read", "write"]);
    let text = fs::read_to_string(root().join("docs/erp-integration.md")).unwrap();
    let section = text.split("\n## API\n").nth(1).expect("the section").split("\n## ").next().unwrap();
    let certificate = home.path("tls/console/self-signed.pem");
    let mut ran = [0, 0];
    for (language, rest) in section.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n')) {
        let (index, interpreter) = match language {
            "sh" => (0, "sh"),
            "python" => (1, "python3"),
            _ => continue,
        };
        let script = rest
            .replace("https://127.0.0.1:8444", &format!("https://{}", console_address(&daemon)))
            .replace("/var/lib/novex-ingest/tls/console/self-signed.pem", certificate.to_str().unwrap())
            .replace("EVENT_ID", &failed.to_string());
        let path = home.path(&format!("example-{index}-{}", ran[index]));
        fs::write(&path, &script).unwrap();
        let mut command = Command::new(interpreter);
        if interpreter == "sh" {
            command.arg("-e");
        }
        let token = program.bearer.trim_start_matches("Bearer ");
        let output = command.arg(&path).env("TOKEN", token).current_dir(home.path("")).output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        assert!(output.status.success(), "{script}\n{printed}");
        assert!(!printed.trim().is_empty() && !printed.contains("problem"), "{script}\n{printed}");
        ran[index] += 1;
    }
    assert!(ran[0] >= 4 && ran[1] >= 1, "{ran:?} examples of shell and Python ran");
    assert_eq!(home.sql(&format!("SELECT dismissed_by FROM webhook_events WHERE id = {failed}")), "erp");
}
