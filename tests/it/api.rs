//! `/api/v1`: the document and the routes are one, answers fit their schemas, pages join, and errors are problems.

use super::support::api::{Program, fill, home_with_everything};
use super::support::console::ConsoleClient;
use super::support::{Home, Request, SHOP, easypost_request, keycloak_request, order_body, send_webhook};
use novex_ingest::internals::console::{RouteAccess, list_routes};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn document_and_routes_are_the_same() {
    let home = Home::new("");
    let daemon = home.serve();
    let program = Program::new(&daemon, "erp", &["read"]);
    let description = program.describe();
    assert_eq!(description.document["openapi"], "3.1.0");
    let of_api = list_routes().into_iter().filter(|route| route.path.starts_with("/api/v1"));
    let mut served = BTreeSet::new();
    for route in of_api {
        let method = route.method.as_str().to_ascii_lowercase();
        let operation = &description.document["paths"][route.path][&method];
        let expected = match route.access {
            RouteAccess::Program(scope) => json!([{"token": [scope.as_str()]}]),
            _ => Value::Null,
        };
        assert_eq!(operation["security"], expected, "{method} {}", route.path);
        assert!(operation["summary"].as_str().is_some_and(|text| text.len() > 10), "{method} {}", route.path);
        served.insert(format!("{method} {}", route.path));
    }
    assert_eq!(description.list_operations(), served);
    assert!(served.len() > 40, "{served:?}");
    description.check_references();
}

/// Every GET, with what a filled database has for its parameters.
#[test]
fn answers_fit_their_schemas() {
    let home = home_with_everything();
    let daemon = home.serve();
    let (order, failed) = fill(&daemon);
    let program = Program::new(&daemon, "erp", &["read", "write"]);
    let description = program.describe();
    let mapping = json!({"item": "4711", "factor": "6"});
    let sku = format!("/api/v1/mappings/products/{SHOP}/skus/JAM-6");
    let variant = format!("/api/v1/mappings/products/{SHOP}/variants/7");
    assert_eq!(program.send_json("PUT", &sku, &mapping).status, 201);
    assert_eq!(program.send_json("PUT", &variant, &mapping).status, 201);
    let partner = "/api/v1/mappings/partners/ACMERETAIL";
    assert_eq!(program.send_json("PUT", partner, &json!({"customer": "C-1"})).status, 201);
    let item = program.send_json("POST", "/api/v1/mappings/items", &json!({"value": "B1", "item": "4711"}));
    assert_eq!(item.status, 201, "{item:?}");
    let item = format!("/api/v1/mappings/items/{}", item.json()["id"]);
    let mut checked = BTreeSet::new();
    for (route, path) in [
        ("/api/v1/openapi.json", "/api/v1/openapi.json"),
        ("/api/v1/stats", "/api/v1/stats"),
        ("/api/v1/events", "/api/v1/events"),
        (
            "/api/v1/events",
            "/api/v1/events?status=failed&source=shopify&topic=orders/*&since=2020-01-01T00:00:00Z&until=2100-01-01T00:00:00%2B01:00&error=a&limit=3",
        ),
        ("/api/v1/changes", "/api/v1/changes?after=1"),
        ("/api/v1/events/{id}", &format!("/api/v1/events/{order}")),
        ("/api/v1/events/{id}", &format!("/api/v1/events/{failed}")),
        ("/api/v1/events/{id}/rows", &format!("/api/v1/events/{order}/rows")),
        ("/api/v1/rejections", "/api/v1/rejections?status=404&path=/now*"),
        ("/api/v1/orders", "/api/v1/orders?attention=false"),
        ("/api/v1/orders", &format!("/api/v1/orders?shop={SHOP}&name=%231001&updated_since=2020-01-01T00:00:00Z")),
        ("/api/v1/orders/{shop}/{order_id}", &format!("/api/v1/orders/{SHOP}/1001")),
        ("/api/v1/purchase-orders", "/api/v1/purchase-orders?partner=ACMERETAIL&number=PO1&status=open"),
        ("/api/v1/purchase-orders/{partner}/{number}", "/api/v1/purchase-orders/ACMERETAIL/PO1"),
        ("/api/v1/shipments", "/api/v1/shipments?code=1z999a1&status=in_transit"),
        ("/api/v1/shipments/{code}", "/api/v1/shipments/1Z999-A1"),
        ("/api/v1/mappings/products", "/api/v1/mappings/products"),
        ("/api/v1/mappings/products/{shop}/skus/{sku}", &sku),
        ("/api/v1/mappings/products/{shop}/variants/{variant_id}", &variant),
        ("/api/v1/mappings/partners", "/api/v1/mappings/partners"),
        ("/api/v1/mappings/partners/{partner}", partner),
        ("/api/v1/mappings/items", "/api/v1/mappings/items"),
        ("/api/v1/mappings/items/{id}", &item),
        ("/api/v1/destinations", "/api/v1/destinations"),
        ("/api/v1/destinations/{name}", "/api/v1/destinations/files"),
        ("/api/v1/polls", "/api/v1/polls?source=acme"),
        ("/api/v1/audit", "/api/v1/audit?user=ada&type=LOGIN*&address=192.0.2.7&since=2020-01-01T00:00:00Z"),
        ("/api/v1/audit/verification", "/api/v1/audit/verification"),
        ("/api/v1/alerts", "/api/v1/alerts"),
    ] {
        let answer = program.get_json(path);
        description.check_answer("get", route, 200, &answer);
        // A list without rows would prove nothing.
        for (name, list) in answer.as_object().unwrap().iter().filter(|(_, value)| value.is_array()) {
            let is_optional = ["deleted", "redacted", "failures", "servers", "tags"].contains(&name.as_str())
                || name == "deliveries" && answer["status"] == "failed";
            assert!(*list != json!([]) || is_optional, "{path}: {answer}");
        }
        checked.insert(format!("get {route}"));
    }
    // Bytes have no schema to check.
    checked.insert("get /api/v1/events/{id}/body".to_owned());
    let all = description.list_operations();
    let reads: BTreeSet<String> = all.into_iter().filter(|operation| operation.starts_with("get ")).collect();
    assert_eq!(checked, reads);
}

/// The rows of every golden event fit the schemas, which come from `schema.sql`.
#[test]
fn rows_of_every_topic_fit_their_schemas() {
    let home = Home::new("");
    let daemon = home.serve();
    let program = Program::new(&daemon, "erp", &["read"]);
    let description = program.describe();
    let mut count = 0;
    for (path, event) in super::support::provider_events::golden_events() {
        let id = match event.source.as_str() {
            "shopify" => send_webhook(&daemon, &format!("w-{}", path.display()), &event.topic, &event.body),
            "easypost" => daemon.request(&easypost_request(&event.body)).event_id(),
            "keycloak" => daemon.request(&keycloak_request(&event.body)).event_id(),
            _ => continue,
        };
        home.wait_until_processed();
        let rows = program.get_json(&format!("/api/v1/events/{id}/rows"));
        description.check_answer("get", "/api/v1/events/{id}/rows", 200, &rows);
        count += 1;
    }
    assert!(count > 30, "{count}");
}

#[test]
fn each_scope_opens_its_own_routes() {
    let home = Home::new("");
    let daemon = home.serve();
    let programs = ["read", "write", "metrics"].map(|scope| (scope, Program::new(&daemon, scope, &[scope])));
    let stranger = ConsoleClient::of(&daemon);
    for route in list_routes() {
        let RouteAccess::Program(needed) = route.access else { continue };
        let path = route.path.replace("{id}", "999").replace("{order_id}", "999").replace("{variant_id}", "999");
        let path = path.replace(['{', '}'], "x");
        let request = || Request::new(route.method.as_str(), &path);
        assert_eq!(stranger.send(request()).status, 401, "{path}");
        for (scope, program) in &programs {
            let status = program.send(request()).status;
            if *scope == needed.as_str() {
                assert!(![401, 403, 405].contains(&status) && status < 500, "{scope} at {path}: {status}");
            } else {
                assert_eq!(status, 403, "{scope} at {path}");
            }
        }
    }
    assert_eq!(home.count("SELECT count(*) FROM system_log WHERE type NOT LIKE 'API-TOKEN%'"), 0, "nothing was done");
}

/// Pages join without gap and repetition, also while new events arrive.
#[test]
fn pages_join() {
    let home = home_with_everything();
    let daemon = home.serve();
    for id in 1..=7 {
        daemon.send_order(&format!("w-{id}"), &order_body(id)).event_id();
    }
    home.wait_until_processed();
    let program = Program::new(&daemon, "erp", &["read"]);
    for (list, mark, key, expected) in
        [("events", "before", "id", 7), ("orders", "after", "order_id", 7), ("changes", "after", "id", 21)]
    {
        let (mut found, mut next) = (Vec::new(), String::new());
        loop {
            let page = program.get_json(&format!("/api/v1/{list}?limit=3{next}"));
            let rows = page[list].as_array().unwrap();
            found.extend(rows.iter().map(|row| row[key].as_i64().unwrap()));
            assert!(rows.len() <= 3);
            if list == "events" {
                daemon.send_order(&format!("late-{}", found.len()), &order_body(100)).event_id();
            }
            let is_last = page["next"].is_null() || rows.len() < 3;
            if is_last {
                break;
            }
            next = format!("&{mark}={}", page["next"].to_string().trim_matches('"'));
        }
        let distinct: BTreeSet<i64> = found.iter().copied().collect();
        assert!(distinct.len() == found.len() && found.len() >= expected, "{list}: {found:?}");
    }
    let last = program.get_json("/api/v1/changes?after=1000000");
    assert_eq!(last, json!({"changes": [], "next": 1_000_000}), "a program can ask again from here");
}

#[test]
fn every_error_is_a_problem() {
    let home = Home::new("");
    let daemon = home.serve();
    let program = Program::new(&daemon, "erp", &["read", "write"]);
    let description = program.describe();
    let event = daemon.send_order("w-1", &order_body(1)).event_id();
    home.wait_until_processed();
    let sku = format!("/api/v1/mappings/products/{SHOP}/skus/A");
    let dismiss = format!("/api/v1/events/{event}/dismiss");
    for (method, path, body, status) in [
        ("GET", "/api/v1/nothing", None, 404),
        ("GET", "/api/v2/stats", None, 404),
        ("DELETE", "/api/v1/stats", None, 405),
        ("GET", "/api/v1/events/999", None, 404),
        ("GET", "/api/v1/events/x", None, 404),
        ("GET", "/api/v1/events/999/body", None, 404),
        ("GET", "/api/v1/events?statis=failed", None, 400),
        ("GET", "/api/v1/events?status=lost", None, 400),
        ("GET", "/api/v1/events?source=ebay", None, 400),
        ("GET", "/api/v1/events?since=yesterday", None, 400),
        ("GET", "/api/v1/events?limit=many", None, 400),
        ("GET", "/api/v1/orders?after=x", None, 400),
        ("GET", "/api/v1/orders/shop/1", None, 404),
        ("GET", "/api/v1/purchase-orders?status=lost", None, 400),
        ("GET", "/api/v1/purchase-orders/A/B", None, 404),
        ("GET", "/api/v1/shipments/B", None, 404),
        ("GET", "/api/v1/destinations/nobody", None, 404),
        ("POST", "/api/v1/destinations/nobody/pause", None, 404),
        ("POST", "/api/v1/polls", None, 409),
        ("POST", "/api/v1/events/999/retry", None, 404),
        ("POST", &dismiss, None, 415),
        ("POST", &dismiss, Some("{"), 400),
        ("POST", &dismiss, Some("{\"reason\":\" \"}"), 400),
        ("POST", &dismiss, Some("{\"reason\":\"a\",\"why\":\"b\"}"), 400),
        ("POST", &dismiss, Some("{\"reason\":\"nothing failed\"}"), 409),
        ("PUT", &sku, Some("{\"item\":\"\"}"), 400),
        ("PUT", &sku, Some("{\"item\":\"4711\",\"factor\":\"much\"}"), 400),
        ("PUT", "/api/v1/mappings/partners/A", Some("{\"customer\":\"\"}"), 400),
        ("PUT", "/api/v1/mappings/partners/A", Some("{\"customer\":\"1\",\"quantity\":\"some\"}"), 400),
        ("POST", "/api/v1/mappings/items", Some("{\"value\":\"1\",\"item\":\"2\",\"kind\":\"?\"}"), 400),
        ("POST", "/api/v1/mappings/items", Some("{\"value\":\"1\",\"item\":\"2\",\"factor\":\"0\"}"), 400),
        ("DELETE", &sku, None, 404),
    ] {
        let request = Request::new(method, path);
        let response = program.send(match body {
            Some(body) => Request { body: body.into(), ..request }.with_header("content-type", "application/json"),
            None => request,
        });
        assert_eq!(response.status, status, "{method} {path}: {response:?}");
        assert_eq!(response.header("content-type"), Some("application/problem+json"), "{method} {path}");
        let problem = response.json();
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().unwrap().len() > 10, "{problem}");
        description.check_schema("Problem", &problem);
    }
    assert_eq!(home.count("SELECT count(*) FROM shopify_product_mappings"), 0);
}
