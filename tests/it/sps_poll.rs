//! Polling directories: each file is stored once, with any number of pollers and kills; and the rows that files become.

use crate::support::edi_files::{change_set, interchange, order_set};
use crate::support::seed::seeded_rng;
use crate::support::small_disk::SmallDisk;
use crate::support::{Home, Request, sql};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

const SECRET: &str = "poll-secret-0123456789";

fn home_with_source(more: &str, source: &str) -> Home {
    let home = Home::new("");
    fs::create_dir(home.path("in")).unwrap();
    fs::create_dir(home.path("out")).unwrap();
    fs::write(home.path("poll"), SECRET).unwrap();
    home.configure(&format!(
        "[worker]\nbackoff_base = \"10ms\"\nbackoff_max = \"40ms\"\npoll = \"20ms\"\n[sps]\nsecrets = [\"file:poll\"]\ninterval = \"0s\"\n{more}\n\
         [[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\nsettle = \"0s\"\n{source}\n",
        home.path("in").display()
    ));
    home
}

fn put_file(home: &Home, name: &str, text: &str) {
    fs::write(home.path("in").join(name), text).unwrap();
}

fn poll(home: &Home) -> serde_json::Value {
    serde_json::from_str(home.run_ok(&["sps", "poll", "--json"]).lines().next().unwrap()).unwrap()
}

fn poll_counts(poll: &serde_json::Value) -> [u64; 5] {
    ["found", "stored", "duplicates", "skipped", "failed"].map(|name| poll[name].as_u64().unwrap())
}

#[test]
fn purchase_order_becomes_rows_and_an_acknowledgement() {
    let home = home_with_source("outgoing = \"out\"", "");
    let daemon = home.serve();
    put_file(&home, "PO1.edi", &interchange("850", &[order_set("PO1", 2)]));
    put_file(&home, ".hidden", "x");
    put_file(&home, "half.tmp", "x");
    assert_eq!(poll_counts(&poll(&home)), [1, 1, 0, 0, 0]);
    home.wait_until_processed();
    assert_eq!(
        home.sql("SELECT source, topic, webhook_id LIKE 'PO1.edi %', status FROM webhook_events WHERE topic = '850'"),
        "sps|850|1|completed"
    );
    assert_eq!(
        home.sql("SELECT partner, po_number, status, ordered_on, department, stated_lines, lines_total, customer IS NULL FROM purchase_orders"),
        "ACMERETAIL|PO1|open|2026-11-24|019|2|598.5|1"
    );
    assert_eq!(
        home.sql("SELECT position, quantity, unit, price, buyer_item, vendor_item, gtin, description FROM purchase_order_lines"),
        "1|10|CA|19.95|B1|V1|10614141000011|Jam 1\n2|20|CA|19.95|B2|V2|10614141000012|Jam 2"
    );
    assert!(home.path("in/archive/PO1.edi").exists() && !home.path("in/PO1.edi").exists());
    // The acknowledgement is sent once, however often the event is processed.
    home.wait_for("SELECT status FROM destination_deliveries", "delivered");
    let name = home.sql("SELECT webhook_id FROM webhook_events WHERE topic = 'send/997'");
    assert!(name.starts_with("997-ACMERETAIL-7-"), "{name}");
    let response = fs::read_to_string(home.path("out").join(name)).unwrap();
    assert!(response.contains("AK5*A~\nAK9*A*1*1*1~"), "{response}");
    home.run_ok(&["events", "retry", "1"]);
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events WHERE topic = 'send/997'"), "1");
    // The same file under another name is the same order and gets its own acknowledgement.
    put_file(&home, "PO1-again.edi", &interchange("850", &[order_set("PO1", 2)]));
    assert_eq!(poll_counts(&poll(&home))[1], 1);
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events WHERE topic = 'send/997'"), "1");
    assert_eq!(
        home.sql("SELECT kind, last FROM edi_control_numbers"),
        "group|1\ninterchange|1",
        "no number is skipped"
    );
    // `sps show` prints the whole order.
    let paper = home.run_ok(&["sps", "show", "PO1"]);
    assert!(paper.contains("PURCHASE ORDER PO1") && paper.contains("Acme DC 5") && paper.contains("Jam 2"), "{paper}");
    assert!(home.run_ok(&["sps", "list"]).contains("not mapped"));
    daemon.stop();
}

/// A repeated file is a duplicate; other bytes under the same name are a new event, which is marked.
#[test]
fn repeated_file_is_a_duplicate_and_changed_file_is_marked() {
    let home = home_with_source("", "after = \"delete\"");
    let daemon = home.serve();
    let first = interchange("850", &[order_set("PO1", 1)]);
    put_file(&home, "orders.edi", &first);
    assert_eq!(poll_counts(&poll(&home)), [1, 1, 0, 0, 0]);
    put_file(&home, "orders.edi", &first);
    assert_eq!(poll_counts(&poll(&home)), [1, 0, 1, 0, 0]);
    put_file(&home, "orders.edi", &interchange("850", &[order_set("PO2", 1)]));
    assert_eq!(poll_counts(&poll(&home)), [1, 1, 0, 0, 0]);
    assert_eq!(home.sql("SELECT same_name_as IS NOT NULL FROM webhook_events ORDER BY id"), "0\n1");
    assert_eq!(fs::read_dir(home.path("in")).unwrap().count(), 0);
    assert_eq!(
        home.sql("SELECT sum(found), sum(stored), sum(duplicates) FROM sps_polls WHERE finished_at IS NOT NULL"),
        "3|2|1"
    );
    daemon.stop();
}

#[test]
fn file_left_at_the_source_is_fetched_once() {
    let home = home_with_source("", "after = \"leave\"");
    let daemon = home.serve();
    put_file(&home, "a.edi", &interchange("850", &[order_set("PO1", 1)]));
    assert_eq!(poll_counts(&poll(&home)), [1, 1, 0, 0, 0]);
    assert_eq!(poll_counts(&poll(&home)), [1, 0, 1, 0, 0]);
    assert_eq!(home.sql("SELECT fencing_token FROM sps_files"), "1", "the file is not read again");
    daemon.stop();
}

/// A file that was changed just now may still be growing.
#[test]
fn recently_changed_file_is_skipped() {
    let home = home_with_source("", "");
    let config = fs::read_to_string(home.config()).unwrap().replace("settle = \"0s\"", "settle = \"1h\"");
    fs::write(home.config(), config).unwrap();
    let daemon = home.serve();
    put_file(&home, "a.edi", &interchange("850", &[order_set("PO1", 1)]));
    assert_eq!(poll_counts(&poll(&home)), [1, 0, 0, 1, 0]);
    let file = fs::File::options().write(true).open(home.path("in/a.edi")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 50)).unwrap();
    assert_eq!(poll_counts(&poll(&home)), [1, 1, 0, 0, 0]);
    daemon.stop();
}

/// 300 files and pollers that are killed at random: each file is one event, and none is removed before it is stored.
#[test]
fn killed_concurrent_pollers_fetch_each_file_once() {
    let home = home_with_source("", "");
    home.serve().stop();
    for file in 0..300 {
        put_file(&home, &format!("{file:03}.edi"), &interchange("850", &[order_set(&format!("PO{file}"), 1)]));
    }
    let mut rng = seeded_rng();
    let mut kills: i64 = 0;
    while fs::read_dir(home.path("in")).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file()).count() > 0 {
        let mut pollers: Vec<_> = (0..3)
            .map(|_| {
                home.command(&["sps", "poll"])
                    .stdout(std::process::Stdio::null())
                    .stderr(std::process::Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        std::thread::sleep(Duration::from_millis(rng.u64(30..120)));
        if kills < 12 {
            for poller in &mut pollers {
                poller.kill().unwrap();
                kills += 1;
            }
        }
        for mut poller in pollers {
            poller.wait().unwrap();
        }
    }
    assert!(kills >= 3, "{kills} kills are too few");
    assert_eq!(home.sql("SELECT count(*), count(DISTINCT substr(webhook_id, 1, 7)) FROM webhook_events"), "300|300");
    assert_eq!(fs::read_dir(home.path("in/archive")).unwrap().count(), 300, "archived once, under its own name");
    assert!(home.count("SELECT sum(duplicates) FROM sps_polls") <= kills, "one poller at a time fetches a file");
    home.run_ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT count(*) FROM purchase_orders"), "300");
    home.assert_consistent();
}

/// `POST /api/sps/poll`, with the bearer token and without.
#[test]
fn poll_request_needs_the_secret() {
    let home = home_with_source("", "");
    let daemon = home.serve();
    put_file(&home, "a.edi", &interchange("850", &[order_set("PO1", 1)]));
    let post = |authorization: &str| {
        daemon.request(&Request::post("/api/sps/poll", b"").with_header("Authorization", authorization))
    };
    for wrong in ["Bearer wrong", "Basic cG9sbA==", "Bearer "] {
        assert_eq!(post(wrong).status, 401, "{wrong}");
    }
    assert_eq!(daemon.request(&Request::post("/api/sps/poll", b"")).status, 401);
    let response = post(&format!("Bearer {SECRET}"));
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(poll_counts(&response.json()), [1, 1, 0, 0, 0], "{response:?}");
    assert_eq!(home.sql("SELECT requested_by, stored FROM sps_polls"), "api|1");
    daemon.stop();
}

/// The daemon's own schedule: it reports a missing source and polls it less often; the other source goes on.
#[test]
fn schedule_polls_and_missing_source_blocks_no_other() {
    let home = home_with_source("", "");
    let config = fs::read_to_string(home.config()).unwrap().replace("interval = \"0s\"", "interval = \"50ms\"");
    fs::write(home.config(), config + "[[sps.sources]]\nname = \"gone\"\nurl = \"file:///nonexistent/in\"\n").unwrap();
    let daemon = home.serve();
    put_file(&home, "a.edi", &interchange("850", &[order_set("PO1", 1)]));
    home.wait_for("SELECT po_number FROM purchase_orders", "PO1");
    home.wait_for(
        "SELECT consecutive_failures > 0 AND next_poll_at IS NOT NULL FROM sps_sources WHERE name = 'gone'",
        "1",
    );
    assert!(home.log().contains("/nonexistent/in cannot be read"));
    daemon.stop();
}

/// A change that arrives first waits for its order; a mapping completes earlier orders.
#[test]
fn change_waits_for_its_order_and_mapping_completes_it() {
    let home = home_with_source("", "");
    let daemon = home.serve();
    put_file(&home, "1.edi", &interchange("860", &[change_set("PO1", "1", &["POC*1*QI*12*12*CA", "POC*2*DI"])]));
    poll(&home);
    home.wait_until_processed();
    assert_eq!(
        home.sql("SELECT status, attention FROM purchase_orders"),
        "waiting|a change arrived before the order that it changes"
    );
    put_file(&home, "2.edi", &interchange("850", &[order_set("PO1", 2)]));
    poll(&home);
    home.wait_until_processed();
    assert_eq!(
        home.sql("SELECT quantity, status, item FROM purchase_order_lines ORDER BY position"),
        "12|open|\n20|cancelled|"
    );
    assert!(home.run_ok(&["sps", "unmapped"]).contains("sps map partner ACMERETAIL"));
    home.run_ok(&["sps", "map", "partner", "ACMERETAIL", "K-7", "--quantity", "delta"]);
    home.run_ok(&["sps", "map", "item", "B1", "JAM-1", "--factor", "6", "--item-unit", "EA"]);
    assert_eq!(
        home.sql("SELECT quantity, item, item_unit, item_quantity FROM purchase_order_lines WHERE position = 1"),
        "22|JAM-1|EA|132",
        "this partner writes the added quantity"
    );
    assert_eq!(home.sql("SELECT customer FROM purchase_orders"), "K-7");
    let paper = home.run_ok(&["sps", "show", "PO1"]);
    assert!(paper.contains("customer K-7") && paper.contains("quantity 10 → 22"), "{paper}");
    assert_eq!(home.run(&["sps", "map", "item", "B1", "JAM-1", "--factor", "x"]).status.code(), Some(1));
    daemon.stop();
}

/// A change without a release belongs to the only release, in any sequence; with two releases it waits. So do
/// cancellations and copies.
#[test]
fn change_without_release_finds_its_order() {
    let home = home_with_source("", "");
    let daemon = home.serve();
    let with_release = |number: &str, release: &str| {
        interchange("850", &[order_set(number, 1)])
            .replace(&format!("*{number}**2026"), &format!("*{number}*{release}*2026"))
    };
    let change = |number: &str| interchange("860", &[change_set(number, "1", &["POC*1*CA*22*0*CA"])]);
    let poll = |name: &str, text: &str| {
        put_file(&home, name, text);
        poll(&home);
        home.wait_until_processed();
    };
    let state = |number: &str| {
        home.sql(&format!(
            "SELECT release, status, changes FROM purchase_orders WHERE po_number = '{number}' ORDER BY release"
        ))
    };
    poll("1.edi", &with_release("PO1", "R1"));
    poll("2.edi", &change("PO1"));
    assert_eq!(state("PO1"), "R1|open|1");
    poll("3.edi", &change("PO2"));
    assert_eq!(state("PO2"), "|waiting|1");
    poll("4.edi", &with_release("PO2", "R1"));
    assert_eq!(state("PO2"), "R1|open|1");
    assert_eq!(home.sql("SELECT quantity FROM purchase_order_lines WHERE po_number = 'PO2'"), "22");
    poll("5.edi", &with_release("PO3", "R1"));
    poll("6.edi", &with_release("PO3", "R2"));
    poll("7.edi", &change("PO3"));
    assert_eq!(state("PO3"), "|waiting|1\nR1|open|0\nR2|open|0");
    // With a second release the change is ambiguous, in any sequence.
    poll("8.edi", &with_release("PO1", "R2"));
    home.run_ok(&["events", "retry", "2"]);
    home.wait_until_processed();
    assert_eq!(state("PO1"), "|waiting|1\nR1|open|0\nR2|open|0");
    // A cancellation or a copy of an order belongs to the only release, too.
    let copy = |purpose: &str| interchange("850", &[order_set("PO2", 1)]).replace("BEG*00", &format!("BEG*{purpose}"));
    poll("9.edi", &copy("22"));
    assert_eq!(state("PO2"), "R1|open|1");
    poll("10.edi", &copy("01"));
    assert_eq!(state("PO2"), "R1|cancelled|1");
    daemon.stop();
}

/// On a full disk the files stay at the source; with room they are stored.
#[test]
fn full_disk_leaves_files_at_the_source() {
    let home = home_with_source("", "after = \"delete\"");
    let Some(disk) = SmallDisk::mount(home.path("disk"), "6m") else { return };
    let db = disk.path.join("events.db");
    home.edit_config("[worker]", "[worker]\nin_serve = false");
    home.edit_config(&format!("path = {:?}", home.db()), &format!("path = {db:?}\nmin_free_bytes = 0"));
    home.serve().stop();
    for number in 0..80 {
        put_file(
            &home,
            &format!("{number}.edi"),
            &(interchange("850", &[order_set(&format!("PO{number}"), 1)]) + &" ".repeat(100_000)),
        );
    }
    home.run(&["sps", "poll"]);
    let stored = || sql(&db, "SELECT count(*) FROM webhook_events").parse::<usize>().unwrap();
    let left =
        || fs::read_dir(home.path("in")).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file()).count();
    assert!((1..80).contains(&stored()), "{}", stored());
    assert!(stored() + left() >= 80, "{} stored, {} left: no file is lost", stored(), left());
    disk.resize("64m");
    for _ in 0..3 {
        home.run(&["sps", "poll"]);
    }
    assert_eq!((stored(), left()), (80, 0));
    assert_eq!(
        sql(&db, "SELECT count(DISTINCT substr(webhook_id, 1, instr(webhook_id, ' '))) FROM webhook_events"),
        "80"
    );
}

/// A file without any readable document fails with the place of its faults, and is acknowledged.
#[test]
fn broken_file_fails_with_its_place_and_is_rejected() {
    let home = home_with_source("outgoing = \"out\"", "");
    let daemon = home.serve();
    let mut broken = order_set("PO1", 1);
    broken.remove(0);
    put_file(&home, "broken.edi", &interchange("850", &[broken]));
    put_file(&home, "picture.edi", "\u{89}PNG nothing of this kind");
    put_file(&home, "good.edi", &interchange("850", &[order_set("PO2", 1)]));
    poll(&home);
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT po_number FROM purchase_orders"), "PO2", "a bad file blocks no other");
    let errors = home.sql("SELECT error FROM failures ORDER BY id");
    assert!(errors.contains("line 4, segment 2, BEG: there is no BEG"), "{errors}");
    assert!(errors.contains("it is neither X12"), "{errors}");
    assert_eq!(home.sql("SELECT severity, position, location FROM edi_faults WHERE location = 'BEG'"), "error|2|BEG");
    home.wait_for("SELECT count(*) FROM destination_deliveries WHERE status = 'delivered'", "2");
    let responses: Vec<String> = fs::read_dir(home.path("out"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert!(
        responses.iter().any(|response| response.contains("AK3*BEG*2**3~\nAK5*R*5~\nAK9*R*1*1*0~")),
        "{responses:?}"
    );
    daemon.stop();
}

/// `sps parse` reads any file, marks the faults and stores nothing.
#[test]
fn parse_prints_an_order_and_its_faults() {
    let home = home_with_source("", "");
    put_file(&home, "good.edi", &interchange("850", &[order_set("PO1", 1)]));
    put_file(&home, "bad.edi", &interchange("850", &[vec!["REF*DP*1".to_owned()]]));
    let path = |name: &str| home.path("in").join(name).display().to_string();
    let shown = home.run_ok(&["sps", "parse", &path("good.edi")]);
    assert!(shown.contains("PURCHASE ORDER PO1") && shown.contains("Jam 1"), "{shown}");
    let json: serde_json::Value =
        serde_json::from_str(&home.run_ok(&["sps", "parse", "--json", &path("good.edi")])).unwrap();
    assert_eq!(json["orders"][0]["lines"][0]["quantity"], "10");
    let bad = home.run(&["sps", "parse", &path("bad.edi")]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&bad.stdout).contains("ERROR line 4, segment 2, BEG"), "{bad:?}");
    assert!(!home.db().exists());
}

/// Another file gets the name while the first is being stored: it is stored too.
#[test]
fn file_replaced_during_a_poll_is_not_lost() {
    let home = home_with_source("", "after = \"delete\"");
    let daemon = home.serve();
    let mut rng = seeded_rng();
    let version = |number: usize| interchange("850", &[order_set(&format!("PO{number}"), 1)]);
    for round in (0..60).step_by(2) {
        put_file(&home, "x.edi", &version(round));
        let mut poll = home.command(&["sps", "poll"]).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(rng.u64(5..60)));
        fs::write(home.path("next"), version(round + 1)).unwrap();
        fs::rename(home.path("next"), home.path("in/x.edi")).unwrap();
        poll.wait().unwrap();
        home.run_ok(&["sps", "poll"]);
        let last = format!("SELECT count(*) FROM webhook_payloads WHERE instr(body, '*PO{}**') > 0", round + 1);
        assert_eq!(home.sql(&last), "1", "round {round}");
    }
    daemon.stop();
}

/// A file name that cannot be stored is counted and reported. A new customer number keeps the partner's other settings.
#[test]
fn unusable_names_are_reported_and_mappings_keep_omitted_settings() {
    let home = home_with_source("", "");
    let daemon = home.serve();
    put_file(&home, "odd\nname.edi", "x");
    // Latin-1 names: with replacement characters they would look the same.
    for byte in [0xE9, 0xE8] {
        fs::write(home.path("in").join(OsStr::from_bytes(&[b'c', b'a', byte, b'.', b'e', b'd', b'i'])), "x").unwrap();
    }
    let long = "n".repeat(205);
    put_file(&home, &long, "x");
    assert_eq!(poll_counts(&poll(&home)), [4, 0, 0, 0, 4]);
    let refused = home.sql("SELECT name FROM sps_files WHERE status = 'failed' ORDER BY name");
    assert_eq!(
        refused.lines().collect::<Vec<_>>(),
        ["ca\u{fffd}(E8).edi", "ca\u{fffd}(E9).edi", &long, "odd\\nname.edi"]
    );
    let doctor = String::from_utf8(home.run(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("4 files of EDI source acme cannot be received"), "{doctor}");
    let listed = home.run_ok(&["sps", "list", "--attention"]);
    assert!(["(E8).edi", "(E9).edi", "odd\\nname.edi", "nnnn"].iter().all(|name| listed.contains(name)), "{listed}");
    home.run_ok(&["sps", "map", "partner", "ACMERETAIL", "K-1", "--quantity", "delta"]);
    home.run_ok(&["sps", "map", "partner", "ACMERETAIL", "K-2"]);
    assert_eq!(home.sql("SELECT customer, quantity FROM sps_partner_mappings"), "K-2|delta");
    daemon.stop();
}

/// A file in which nothing can be used fails at once, is kept byte for byte, and is reported in each place.
#[test]
fn unreadable_files_are_reported() {
    let home = home_with_source(
        "",
        "[[destinations]]\nname = \"erp\"\ntype = \"directory\"\npath = \"out\"\ntopics = [\"sps:*\"]",
    );
    home.serve().stop();
    let sound = interchange("850", &[order_set("PO1", 2)]);
    let ebcdic: Vec<u8> = [0xC9, 0xE2, 0xC1].into_iter().chain(std::iter::repeat_n(0x40, 103)).collect();
    let cut = sound.find("GS*").unwrap();
    let unreadable: [(&str, &[u8], &str); 15] = [
        ("page.edi", b"<!DOCTYPE html>\n<html><body>503</body></html>", "HTML page"),
        ("page.xml", b"<html><body><p>503</p></body></html>", "HTML page"),
        ("other.xml", b"<rss><channel/></rss>", "no RSX document"),
        ("other.json", b"{\"error\": \"quota\"}", "no RSX document"),
        ("ebcdic.edi", &ebcdic, "EBCDIC"),
        ("garbage.edi", &[7, 0, 255, 13, 9, 200, 200], "neither X12"),
        ("empty.edi", b"\r\n", "it is empty"),
        ("orders.csv", b"po,item,quantity\nPO1,B1,10\n", "neither X12"),
        ("scan.pdf", b"%PDF-1.7\n1 0 obj", "PDF document"),
        ("edifact.edi", b"UNB+UNOA:1+ACME+NOVEX+261124:1041+7'", "EDIFACT"),
        ("none.xml", b"<Orders xmlns=\"http://www.spscommerce.com/RSX\"/>", "it contains no order"),
        ("soap.xml", b"<s:Envelope xmlns:s='x'><s:Header><a>1</a></s:Header><s:Body/></s:Envelope>", "no RSX document"),
        ("klingon.xml", b"<?xml version='1.0' encoding='klingon'?><Orders/>", "the encoding \"klingon\""),
        ("cut.edi", sound.as_bytes().get(..cut).unwrap(), "may be cut off"),
        ("half.edi", sound.as_bytes().get(..sound.find("PO1*2").unwrap()).unwrap(), "no usable order"),
    ];
    for (name, bytes, _) in unreadable {
        fs::write(home.path("in").join(name), bytes).unwrap();
    }
    put_file(&home, "sound.edi", &sound);
    put_file(
        &home,
        "inventory.xml",
        "<ItemRegistries xmlns=\"http://www.spscommerce.com/RSX\"><ItemRegistry/></ItemRegistries>",
    );
    put_file(
        &home,
        "ack.edi",
        "ISA*00*          *00*          *ZZ*ACMERETAIL     *ZZ*NOVEX          *261124*1200*U*00401*000000001*0*P*>~\nTA1*000000001*261124*1200*A*000~\nIEA*0*000000001~\n",
    );
    let printed = home.run_ok(&["sps", "poll"]);
    assert!(
        printed.contains("acme: 18 files: 1 order, 15 could not be read in whole (`novex-ingest --config "),
        "{printed}"
    );
    home.run_ok(&["work", "--once"]);
    let listed = home.run_ok(&["sps", "list", "--attention"]);
    for (name, bytes, reason) in unreadable {
        let event = format!("FROM webhook_events WHERE webhook_id LIKE '{name} %'");
        assert_eq!(home.sql(&format!("SELECT status, attempts {event}")), "failed|1", "{name}");
        assert!(home.sql(&format!("SELECT last_error {event}")).contains(reason), "{name}: {event}");
        let id = home.sql(&format!("SELECT id {event}"));
        assert_eq!(home.run(&["events", "show", &id, "--body"]).stdout, bytes, "{name}");
        let row = listed.lines().find(|line| line.contains(name));
        assert!(row.is_some_and(|row| row.starts_with(&id) && row.contains(reason)), "{name}: {listed}");
    }
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events WHERE status = 'failed'"), "15");
    assert_eq!(home.sql("SELECT orders, unreadable FROM sps_polls"), "1|15");
    // Files that can be read reach the destination, also those of other kinds; the others do not.
    assert_eq!(fs::read_dir(home.path("out")).unwrap().count(), 3);
    let json = home.run_ok(&["sps", "list", "--attention", "--json"]);
    assert_eq!(json.lines().filter(|line| line.contains("\"file\":")).count(), 15, "{json}");
    let doctor = String::from_utf8(home.run(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("15 EDI files could not be read") && doctor.contains("sps list --attention"), "{doctor}");
    let parsed = home.run(&["sps", "parse", &home.path("in/archive/page.edi").display().to_string()]);
    assert_eq!(parsed.status.code(), Some(1));
}
