//! The console's page of mappings: adding, removing, and the import of a CSV file.

use super::support::console::{
    ATTACK, ConsoleClient, add_console_user, assert_escaped, encode_form, follow_pages, form_request,
};
use super::support::{Home, Request, SHOP, order_body};

const COUNT: &str = "SELECT count(*) FROM shopify_product_mappings";

/// Returns a form with a file, as a browser sends it.
fn file_request(path: &str, token: &str, file: &[u8]) -> Request {
    let part = |head: &str, content: &[u8]| {
        [b"--XX\r\nContent-Disposition: form-data; ", head.as_bytes(), b"\r\n\r\n", content, b"\r\n"].concat()
    };
    let body = [
        part("name=\"csrf\"", token.as_bytes()),
        part("name=\"file\"; filename=\"items.csv\"\r\nContent-Type: text/csv", file),
        part("name=\"csv\"", b""),
        b"--XX--\r\n".to_vec(),
    ];
    let request = form_request(path, "").with_header("content-type", "multipart/form-data; boundary=XX");
    Request { body: body.concat(), ..request }
}

/// Returns the value of the hidden field with the mappings of a preview.
fn find_confirmation(page: &str) -> String {
    let start =
        page.find("name=\"csv\" value=\"").expect("the preview has a confirmation") + "name=\"csv\" value=\"".len();
    let value = &page[start..start + page[start..].find('"').unwrap()];
    value.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[test]
fn preview_saves_nothing_and_the_confirmation_saves_what_it_showed() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "operator");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    daemon.send_order("w-1", &order_body(1001)).event_id();
    home.wait_until_processed();
    home.run_ok(&["mappings", "add", "--shop", SHOP, "--sku", "TEA", "--item", "OLD"]);
    home.run_ok(&["mappings", "add", "--shop", SHOP, "--sku", "OIL", "--item", "G-3"]);
    let csv = format!(
        "shop_domain;sku;item;factor;note\r\n{SHOP};JAM-6;G-1;0,5;M\u{fc}sli\r\n\r\n{SHOP};TEA;G-2;1;\r\n{SHOP};OIL;G-3;1;\r\n"
    );
    // A European Excel saves Windows-1252.
    let windows: Vec<u8> = csv.chars().map(|letter| u8::try_from(letter).unwrap()).collect();
    let audit = "SELECT count(*) FROM system_log WHERE username = 'anna' AND type = 'PRODUCT-MAPPING-SAVE'";
    let preview = anna.send(file_request("/mappings/import", &anna.csrf_token(), &windows));
    let pasted = anna.post("/mappings/import", &encode_form(&[("csv", &csv)]));
    for page in [&preview, &pasted] {
        assert_eq!(page.status, 200, "{page:?}");
        for text in [
            "semicolon-separated",
            "Added: 1",
            "Changed: 1",
            "Unchanged: 1",
            "G-1 × 0.5 (Müsli)",
            "OLD × 1",
            "<th scope=\"row\" class=\"number\">2</th>",
            "<th scope=\"row\" class=\"number\">4</th>",
            "the SKU TEA is on no stored order",
        ] {
            assert!(page.body.contains(text), "{text} in {}", page.body);
        }
    }
    assert_eq!((home.count(COUNT), home.count(audit)), (2, 0), "a preview saves nothing");
    let field = encode_form(&[("csv", &find_confirmation(&preview.body))]);
    let done = anna.post("/mappings/import/confirm", &field).body;
    assert!(done.contains("3 mappings saved; 1 order line completed, 0 still wait."), "{done}");
    assert_eq!(
        home.sql("SELECT sku, item, factor, note FROM shopify_product_mappings ORDER BY sku"),
        "JAM-6|G-1|0.5|Müsli\nOIL|G-3|1|\nTEA|G-2|1|"
    );
    assert_eq!(home.sql("SELECT item, item_quantity FROM sales_order_lines"), "G-1|1");
    assert_eq!(home.count(audit), 1);
    home.run_ok(&["audit", "verify"]);
}

#[test]
fn file_with_errors_is_refused_with_their_lines() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "operator");
    add_console_user(&home, "vera", "viewer");
    let (anna, vera) = (ConsoleClient::signed_in(&daemon, "anna"), ConsoleClient::signed_in(&daemon, "vera"));
    let csv = format!(
        "shop_domain,sku,item,factor\r\n{SHOP},A,G,1\r\n{SHOP},B,,1\r\n{SHOP},C,{ATTACK},x\r\n{SHOP},A,H,1\r\n"
    );
    for path in ["/mappings/import", "/mappings/import/confirm"] {
        let page = anna.post(path, &encode_form(&[("csv", &csv)]));
        assert_eq!(page.status, 400, "{page:?}");
        for text in ["Line 3</strong> the item is missing", "Line 4", "Line 5</strong> maps the same product as line 2"]
        {
            assert!(page.body.contains(text), "{text} in {}", page.body);
        }
        assert!(!page.body.contains("<img") && !page.body.contains("/import/confirm"), "{}", page.body);
        assert_eq!(vera.post(path, &encode_form(&[("csv", &csv)])).status, 403);
    }
    let empty = anna.post("/mappings/import", "");
    assert!(empty.status == 400 && empty.body.contains("the file is empty"), "{empty:?}");
    let forged = anna.send(file_request("/mappings/import", "another token", b"shop_domain,sku,item\n"));
    assert_eq!(forged.status, 403, "the token is checked in a form with a file too");
    let wide = format!("shop_domain,sku,item,note\r\n{SHOP},A,G,{}\r\n", "=".repeat(500_000));
    let large = anna.send(file_request("/mappings/import", &anna.csrf_token(), wide.as_bytes()));
    assert!(large.status == 413 && large.body.contains("too large for a form"), "{}", large.status);
    assert_eq!(home.count(COUNT), 0);
}

#[test]
fn mappings_are_added_listed_and_removed() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "operator");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    assert!(anna.get("/mappings").body.contains("Every good and every partner"));
    let post = |path: &str, fields: &[(&str, &str)]| anna.post(path, &encode_form(fields));
    let product = [("shop", SHOP), ("variant", "17"), ("item", "FG-1"), ("factor", "6"), ("note", ATTACK)];
    assert_eq!(post("/mappings/products", &product).header("location"), Some("/mappings"));
    let item = [
        ("kind", "pl"),
        ("value", "A-7"),
        ("unit", "CA"),
        ("item", "FG-2"),
        ("factor", "12"),
        ("back", "//evil.example"),
    ];
    assert_eq!(post("/mappings/items", &item).header("location"), Some("/mappings"));
    assert_eq!(post("/mappings/partners", &[("partner", "ACME"), ("customer", "C-9")]).status, 303);
    for (fields, problem) in [
        (&[("shop", SHOP), ("item", "G"), ("factor", "1")][..], "give either variant_id or sku"),
        (&[("shop", SHOP), ("sku", "A"), ("variant", "x"), ("item", "G"), ("factor", "1")], "is not a whole number"),
        (&[("shop", "acme"), ("sku", "A"), ("item", ""), ("factor", "0")], "the shop must be its domain"),
    ] {
        let refused = post("/mappings/products", fields);
        assert!(refused.status == 400 && refused.body.contains(problem), "{problem}: {refused:?}");
    }
    assert_eq!(post("/mappings/partners", &[("partner", " "), ("customer", "C-9")]).status, 400);
    assert_eq!(
        post("/mappings/partners", &[("partner", "ACME"), ("customer", "C-9"), ("quantity", "half")]).status,
        400
    );

    assert_escaped("/mappings", &anna.get("/mappings?q=fg-1"));
    assert!(anna.get("/mappings?q=fg-2").body.contains("No mappings match."));
    let items = anna.get("/mappings?kind=items&q=fg-2").body;
    assert!(items.contains("PL A-7") && items.contains("name=\"id\" value=\"1\""), "{items}");
    assert!(anna.get("/mappings?kind=partners").body.contains("C-9"));
    for (path, field) in [
        ("/mappings/products/remove", &[("shop", SHOP), ("variant", "17")][..]),
        ("/mappings/items/remove", &[("id", "1")]),
        ("/mappings/partners/remove", &[("partner", "ACME")]),
    ] {
        assert_eq!(post(path, field).header("location"), Some("/mappings"), "{path}");
        assert_eq!(post(path, field).status, 404, "{path}");
    }
    assert_eq!(
        home.sql("SELECT type || ' ' || resource_path FROM system_log WHERE type LIKE '%-MAPPING-%' ORDER BY id"),
        format!(
            "PRODUCT-MAPPING-SAVE mappings/{SHOP}/variant 17\nITEM-MAPPING-SAVE mappings//PL A-7 in CA\n\
             PARTNER-MAPPING-SAVE mappings/ACME\nPRODUCT-MAPPING-REMOVE mappings/{SHOP}/variant 17\n\
             ITEM-MAPPING-REMOVE mappings//PL A-7 in CA\nPARTNER-MAPPING-REMOVE mappings/ACME"
        )
    );
}

#[test]
fn pages_of_mappings_have_each_mapping_once() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "vera", "viewer");
    let vera = ConsoleClient::signed_in(&daemon, "vera");
    home.sql(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 110) \
         INSERT INTO shopify_product_mappings (shop_domain, sku, item) SELECT '{SHOP}', 'S' || i, 'ROW-' || i FROM n; \
         INSERT INTO sps_item_mappings (kind, value, item) SELECT 'buyer', sku, item FROM shopify_product_mappings; \
         INSERT INTO sps_partner_mappings (partner, customer) SELECT sku, item FROM shopify_product_mappings"
    ));
    for (path, count) in [
        ("/mappings", 110),
        ("/mappings?kind=items", 110),
        ("/mappings?kind=partners", 110),
        ("/mappings?q=row-1", 22),
        ("/mappings?kind=items&q=ROW-11", 2),
    ] {
        let pages = follow_pages(&vera, path);
        let mut found: Vec<&str> = pages
            .iter()
            .flat_map(|page| page.split("<td>ROW-").skip(1))
            .map(|rest| &rest[..rest.find('<').unwrap()])
            .collect();
        let rows = found.len();
        found.sort_unstable();
        found.dedup();
        assert_eq!((rows, found.len()), (count, count), "{path}");
        assert!(pages.iter().all(|page| !page.contains("/remove\"")), "a viewer removes nothing");
    }
}
