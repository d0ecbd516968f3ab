//! The examples of docs/edi.md: the sample order is received, shown as on paper, and answered as the document states.

use crate::support::root;
use crate::support::terminal::run_at_terminal;
use crate::support::{BIN, Home};
use std::fs;

/// Returns the first JSON example below a heading of docs/edi.md.
fn read_example(heading: &str) -> String {
    let text = fs::read_to_string(root().join("docs/edi.md")).unwrap();
    let section = text.split(&format!("\n### {heading}\n")).nth(1).unwrap();
    section.split("```json\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

/// Returns a home whose database has the sample order.
pub fn home_with_sample_order() -> Home {
    let home = Home::new("");
    for directory in ["in", "out"] {
        fs::create_dir(home.path(directory)).unwrap();
    }
    home.configure(&format!(
        "[sps]\noutgoing = \"out\"\n[[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\nsettle = \"0s\"\n",
        home.path("in").display()
    ));
    home.serve().stop();
    fs::copy(root().join("docs/examples/acme-850.edi"), home.path("in/acme-850.edi")).unwrap();
    assert!(home.run_ok(&["sps", "poll"]).contains("acme: 1 file: 1 order"));
    home.run_ok(&["work", "--once"]);
    home
}

#[test]
fn documented_invoice_and_ship_notice_answer_the_sample_order() {
    let home = home_with_sample_order();
    assert_eq!(home.sql("SELECT count(*) FROM edi_faults"), "0", "the sample has no fault");
    for (kind, heading) in [("810", "Invoice (810)"), ("856", "Ship notice (856)")] {
        let file = home.path(&format!("{kind}.json"));
        fs::write(&file, read_example(heading)).unwrap();
        let printed = home.run_ok(&["sps", "send", kind, &file.display().to_string()]);
        assert!(printed.contains("is queued"), "{printed}");
    }
    home.run_ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT group_concat(status) FROM destination_deliveries"), "delivered,delivered,delivered");
    let notice = home.sql("SELECT file_name FROM edi_sent WHERE kind = '856'");
    let notice = fs::read_to_string(home.path("out").join(notice)).unwrap();
    assert!(notice.contains("N1*SF*Novex Foods~\nN3*5 Mill Road~\nN4*Columbus*OH*43217~"), "{notice}");
    assert!(notice.contains("N1*ST*Acme Retail DC 5*UL*0614141000128~"), "{notice}");
}

/// `ship_from` is the only address SF.
#[test]
fn ship_from_is_stated_once() {
    let home = home_with_sample_order();
    let example: serde_json::Value = serde_json::from_str(&read_example("Ship notice (856)")).unwrap();
    let check = |notice: &serde_json::Value| {
        let file = home.path("notice.json");
        fs::write(&file, notice.to_string()).unwrap();
        let output = home.run(&["sps", "send", "856", &file.display().to_string(), "--check"]);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let mut both = example.clone();
    both["addresses"] = serde_json::json!([{"kind": "SF", "name": "Other"}]);
    assert!(check(&both).contains("both ship_from and addresses state the address SF"), "{}", check(&both));
    let mut other = example.clone();
    other["ship_from"]["kind"] = "ST".into();
    assert!(check(&other).contains("it is always SF"), "{}", check(&other));
    let mut wrong = example;
    wrong["ship_from"]["state"] = "Ohio".into();
    assert!(check(&wrong).contains("the state of the address SF"), "{}", check(&wrong));
    let mut unknown_line: serde_json::Value = serde_json::from_str(&read_example("Ship notice (856)")).unwrap();
    unknown_line["orders"][0]["packs"][1]["lines"][0]["line"] = "7".into();
    assert!(
        check(&unknown_line).contains("order PO1 has no line 7; its lines are 1 and 2"),
        "{}",
        check(&unknown_line)
    );
}

/// The order as on paper: parties, packaging, case pack, codes in words, and both totals; no line is too wide.
#[test]
fn order_is_shown_as_on_paper() {
    let home = home_with_sample_order();
    home.run_ok(&["sps", "map", "partner", "ACMERETAIL", "C-2001"]);
    home.run_ok(&["sps", "map", "item", "B1", "FG-77", "--item-unit", "EA", "--factor", "12"]);
    let paper = home.run_ok(&["sps", "show", "PO1"]);
    for printed in [
        "Ship to (ST)\n  Acme Retail DC 5\n  1200 Dock Road\n  Columbus, OH 43217, US\n  GLN 0614141000128 (UL)\n",
        "Bill to (BT)\n  Acme Retail Accounts Payable\n",
        "delivery requested (002): 2026-12-01",
        "2 % within 10 days, net 30 days, from the invoice's date (3), basic (01)",
        "packaging: PALLETIZE SHIPMENT, code 68",
        "freight: freight collect (CC)",
        "case pack 12 × 340 GR",
        "case (CA)",
        "buyer's part B1 (BP); vendor's item V1 (VN); GTIN 10614141000019 (UK)",
        "→ ERP item FG-77 120 EA",
        "Call the dock one day before.",
        "stated total     598.5 USD",
        "computed total   598.5 USD (quantity × price of the open lines)",
    ] {
        assert!(paper.contains(printed), "{printed} is not in\n{paper}");
    }
    assert!(paper.lines().all(|line| line.chars().count() <= 100), "{paper}");
    // Without a database, the file itself.
    let parsed = home.run_ok(&["sps", "parse", &root().join("docs/examples/acme-850.edi").display().to_string()]);
    assert!(parsed.contains("GLN 0614141000128 (UL)") && parsed.contains("computed total   598.5 USD"), "{parsed}");
    // A total that differs is named.
    let text = fs::read_to_string(root().join("docs/examples/acme-850.edi")).unwrap();
    fs::write(home.path("other.edi"), text.replace("AMT*TT*598.5~", "AMT*TT*600~")).unwrap();
    let other = home.run_ok(&["sps", "parse", &home.path("other.edi").display().to_string()]);
    assert!(other.contains("the stated total differs by 1.5"), "{other}");
    let json: serde_json::Value = serde_json::from_str(&home.run_ok(&["sps", "show", "PO1", "--json"])).unwrap();
    assert_eq!(json["document"]["addresses"][0]["lines"][0], "1200 Dock Road");
    assert_eq!(json["lines_total"], "598.5");
}

/// On a narrow terminal the text wraps.
#[test]
fn paper_fits_the_terminal() {
    let home = home_with_sample_order();
    let show = format!("stty cols 60; {BIN} --config {} sps show PO1", home.config().display());
    let (status, text) = run_at_terminal(&show, &[] as &[&str]);
    assert!(status.success(), "{text}");
    let widest = text.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
    assert!(text.contains("GLN 0614141000128") && widest <= 64, "{widest}: {text}");
}
