//! The console's pages of purchase orders, and mappings in place.

use super::support::Home;
use super::support::answers::receive_answer;
use super::support::console::{ATTACK, ConsoleClient, add_console_user, assert_escaped, encode_form, follow_pages};
use super::support::edi_files::{change_set, interchange, order_set};
use super::support::outbound_documents::{home_with_order, invoice, receive_file, send_document, ship_notice};

const PATH: &str = "/purchase-orders/ACMERETAIL:PO1";

/// Returns a home with PO1: a change, stores' quantities, an allowance and a note.
fn home_with_changed_order() -> Home {
    let mut set = order_set("PO1", 2);
    let line = set.iter().position(|segment| segment.starts_with("PO1*1")).unwrap();
    set.insert(line, "N9*L1*NOTE".to_owned());
    set.insert(line + 1, "MSG*Deliver at gate 7".to_owned());
    set.insert(line, "SAC*A*C310***925".to_owned());
    set.insert(line, "PER*BD*Bea Buyer*TE*6145550100".to_owned());
    let line = set.iter().position(|segment| segment == "PID*F****Jam 1").unwrap();
    set.insert(line + 1, "SDQ*CA*92*0012*4*0034*6".to_owned());
    let home = home_with_order(&interchange("850", &[set]));
    receive_file(&home, &interchange("860", &[change_set("PO1", "1", &["POC*2*QI*25*25*CA*19.95**BP*B2"])]));
    home
}

/// Returns a page without line breaks and repeated blanks.
fn flatten(page: &str) -> String {
    page.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn purchase_order_has_all_that_the_command_prints() {
    let home = home_with_changed_order();
    assert_eq!(send_document(&home, "810", &invoice("INV-1"), &[]).0, 0);
    home.run_ok(&["work", "--once"]);
    receive_answer(&home, "997", &["AK1*IN*3", "AK2*810*0001", "AK5*R*4", "AK9*R*1*1*0"]);
    let daemon = home.serve();
    add_console_user(&home, "vera", "viewer");
    add_console_user(&home, "anna", "operator");
    let (vera, anna) = (ConsoleClient::signed_in(&daemon, "vera"), ConsoleClient::signed_in(&daemon, "anna"));
    let list = vera.get("/purchase-orders").body;
    for text in [
        &format!("href=\"{PATH}\">PO1<"),
        "ACMERETAIL",
        "not mapped",
        "2026-11-24",
        "delivery requested: 2026-12-01",
        "2 lines have no item",
        "invoice INV-1 was rejected",
    ] {
        assert!(list.contains(text), "{text} in {list}");
    }
    for path in [PATH.to_owned(), format!("{PATH}/print")] {
        let page = flatten(&vera.get(&path).body);
        for text in [
            "Acme DC 5",
            "Jam 1",
            "Jam 2",
            "19.95",
            "199.50",
            "quantity 20 → 25",
            "4 case (CA), for 0012",
            "allowance (A): ",
            "9.25",
            "Deliver at gate 7",
            "698.25",
            "invoice INV-1",
            ">291<",
            "rejected",
            "997: number of segments differs from the trailer (4)",
            "Received documents",
            "change, purpose change (04)",
        ] {
            assert!(page.contains(text), "{text} on {path}: {page}");
        }
        for hidden in ["Bea Buyer", "6145550100", "<script>"] {
            assert!(!page.contains(hidden), "{hidden} on {path}: {page}");
        }
        assert!(!page.contains("action=\"/mappings"), "a viewer has no forms: {page}");
    }
    anna.post("/reveal", &encode_form(&[("path", PATH)]));
    for path in [PATH.to_owned(), format!("{PATH}/print")] {
        assert!(anna.get(&path).body.contains("Bea Buyer"), "{path}");
        assert!(!vera.get(&path).body.contains("Bea Buyer"), "{path}");
    }
    let print = vera.get(&format!("{PATH}/print")).body;
    assert!(print.contains("<article class=\"paper\">") && !print.contains("<nav"), "{print}");
    for missing in ["ACMERETAIL:PO2", "ACMERETAIL:PO1:2", "PO1", "~FF:PO1"] {
        assert_eq!(vera.get(&format!("/purchase-orders/{missing}")).status, 404, "{missing}");
    }
}

#[test]
fn faults_and_overdue_documents_are_on_the_page() {
    let home = home_with_changed_order();
    home.edit_config("outgoing = ", "acknowledgement_timeout = \"1h\"\noutgoing = ");
    assert_eq!(send_document(&home, "856", &ship_notice("SH-1"), &["--force"]).0, 0);
    home.run_ok(&["work", "--once"]);
    home.sql("UPDATE destination_deliveries SET finished_at = '2020-01-01T00:00:00.000Z'");
    receive_file(&home, &interchange("860", &[vec!["BCH*04*SA*PO1".to_owned(), "POC*1*QI*x*y*CA".to_owned()]]));
    let daemon = home.serve();
    add_console_user(&home, "vera", "viewer");
    let vera = ConsoleClient::signed_in(&daemon, "vera");
    let page = vera.get(PATH).body;
    assert!(page.contains("ship notice SH-1") && page.contains("overdue: no answer"), "{page}");
    let faults = home.sql("SELECT message FROM edi_faults WHERE po_number = 'PO1'");
    let fault = faults.lines().next().expect("the change has a fault");
    assert!(page.contains("Faults") && page.contains(&fault.replace('"', "&quot;")), "{fault} in {page}");
}

#[test]
fn mapping_in_place_completes_the_order() {
    let home = home_with_changed_order();
    let daemon = home.serve();
    add_console_user(&home, "anna", "operator");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    let page = anna.get(PATH).body;
    assert_eq!(page.matches("action=\"/mappings/items\"").count(), 2, "{page}");
    assert_eq!(page.matches("action=\"/mappings/partners\"").count(), 1, "{page}");
    for number in ["buyer B1", "vendor V1", "gtin 10614141000011"] {
        assert!(page.contains(&format!("<option value=\"{number}\">")), "{number} in {page}");
    }
    let send =
        |path: &str, fields: &[(&str, &str)]| anna.post(path, &encode_form(&[fields, &[("back", PATH)]].concat()));
    let partner = [("partner", "ACMERETAIL"), ("customer", "C-1"), ("quantity", "total")];
    assert_eq!(send("/mappings/partners", &partner).header("location"), Some(PATH));
    let first = [
        ("number", "buyer B1"),
        ("partner", ""),
        ("unit", "CA"),
        ("item", "FG-1"),
        ("item_unit", "EA"),
        ("factor", "12"),
    ];
    assert_eq!(send("/mappings/items", &first).header("location"), Some(PATH));
    assert!(anna.get("/purchase-orders?attention=yes").body.contains("1 line has no item"));
    let second = [("number", "vendor V2"), ("partner", "ACMERETAIL"), ("item", "FG-2"), ("factor", "1")];
    for (refused, text) in [
        ([("number", "vendor V2"), ("item", ""), ("factor", "1")], "no value may be empty"),
        ([("number", "vendor V2"), ("item", "FG-2"), ("factor", "1,5")], "a factor has at most six digits"),
        ([("number", "n/a B1"), ("item", "FG-2"), ("factor", "1")], "the kind of the number"),
    ] {
        let answer = send("/mappings/items", &refused);
        assert!(answer.status == 400 && answer.body.contains(text), "{text}: {answer:?}");
    }
    assert_eq!(send("/mappings/items", &second).header("location"), Some(PATH));

    let page = anna.get(PATH).body;
    assert!(page.contains("FG-1 × 120 EA") && page.contains("FG-2 × 25 CA") && page.contains("customer C-1"), "{page}");
    assert!(!page.contains("action=\"/mappings") && !page.contains("no item"), "{page}");
    assert!(anna.get("/purchase-orders?attention=yes").body.contains("No purchase orders match."));
    assert_eq!(home.sql("SELECT customer FROM purchase_orders"), "C-1");
    assert_eq!(home.run_ok(&["sps", "unmapped"]), "Every partner and every order line has a mapping.\n");
    assert!(home.run_ok(&["sps", "show", "PO1"]).contains("ERP item FG-1 120 EA"));
    let audit =
        home.sql("SELECT username, type, resource_path FROM system_log WHERE type LIKE '%MAPPING%' ORDER BY id");
    for row in [
        "anna|PARTNER-MAPPING-SAVE|mappings/ACMERETAIL",
        "anna|ITEM-MAPPING-SAVE|mappings//buyer B1 in CA",
        "anna|ITEM-MAPPING-SAVE|mappings/ACMERETAIL/vendor V2",
    ] {
        assert!(audit.contains(row), "{row} in {audit}");
    }
    home.run_ok(&["audit", "verify"]);
}

#[test]
fn purchase_orders_show_text_of_others_as_text() {
    let text = ATTACK.replace('*', "").replace('>', ")");
    let attack = "<script)alert(1)</script)";
    let mut set = order_set("PO1", 1);
    set[0] = format!("BEG*00*DS*{attack}**20261124");
    set.push(format!("N1*BT*{text}"));
    set.insert(1, format!("MSG*{text}"));
    let home = home_with_order(&interchange("850", &[set]));
    // The separators of X12 cannot be in its texts, so the database gets the whole attack.
    let whole = ATTACK.replace('\'', "''");
    let key = "partner = 'ACMERETAIL'";
    home.sql(&format!(
        "UPDATE purchase_orders SET attention = '{whole}', customer = NULL WHERE {key}; \
         UPDATE purchase_order_documents SET document = json_set(document, '$.lines[0].description', '{whole}', \
           '$.notes[0]', '{whole}', '$.addresses[0].name', '{whole}', '$.lines[0].ids[0].value', '{whole}') WHERE {key}"
    ));
    let daemon = home.serve();
    add_console_user(&home, "anna", "operator");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    let list = anna.get("/purchase-orders");
    assert_escaped("/purchase-orders", &list);
    let link = &list.body[list.body.find("href=\"/purchase-orders/ACME").unwrap() + "href=\"".len()..];
    let path = &link[..link.find('"').unwrap()];
    assert!(!anna.get(path).body.contains("Acme DC 5"), "the addresses of a drop shipment are masked");
    anna.post("/reveal", &encode_form(&[("path", path)]));
    for path in [path.to_owned(), format!("{path}/print")] {
        assert_escaped(&path, &anna.get(&path));
    }
    let query = encode_form(&[("q", ATTACK), ("partner", ATTACK), ("before", ATTACK)]);
    assert_escaped("/purchase-orders", &anna.get(&format!("/purchase-orders?{query}")));
}

#[test]
fn pages_of_purchase_orders_have_each_order_once() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "vera", "viewer");
    let vera = ConsoleClient::signed_in(&daemon, "vera");
    home.sql(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 130) INSERT INTO purchase_orders (partner, \
         po_number, release, status, customer, attention, is_test, changes, last_event_id) SELECT 'P' || (i % 3), printf('%05d', i), \
         '', 'open', iif(i % 5 = 0, NULL, 'C'), iif(i % 7 = 0, 'look', NULL), 0, 0, i / 4 FROM n; \
         INSERT INTO purchase_order_lines (partner, po_number, release, position, status, item) SELECT partner, po_number, '', \
         p.value, iif(last_event_id % 2 = 0, 'open', 'cancelled'), NULL FROM purchase_orders, json_each('[1,2]') p WHERE \
         last_event_id % 3 = 0",
    );
    let needs = "customer IS NULL OR attention IS NOT NULL OR last_event_id % 6 = 0";
    for (path, condition) in [
        ("/purchase-orders", "1".to_owned()),
        ("/purchase-orders?partner=P1", "partner = 'P1'".to_owned()),
        ("/purchase-orders?attention=yes", needs.to_owned()),
        ("/purchase-orders?attention=yes&partner=P2", format!("partner = 'P2' AND ({needs})")),
        ("/purchase-orders?q=0001&attention=yes", format!("po_number LIKE '%0001%' AND ({needs})")),
        ("/purchase-orders?q=00", "1".to_owned()),
    ] {
        let pages = follow_pages(&vera, path);
        let mut found: Vec<String> = (pages.iter().flat_map(|page| page.split("href=\"/purchase-orders/P").skip(1)))
            .map(|rest| rest[..rest.find('"').unwrap()].to_owned())
            .collect();
        let count = found.len();
        found.sort();
        found.dedup();
        let expected = home.count(&format!("SELECT count(*) FROM purchase_orders WHERE {condition}"));
        assert_eq!((count, i64::try_from(found.len()).unwrap()), (found.len(), expected), "{path}");
    }
}
