//! Polling directories: each file once, whoever polls, whatever dies; and what the files become.

use crate::disk::Disk;
use crate::edi_files::{change_set, interchange, order_set};
use crate::util::{Home, Request, sql};
use std::fs;
use std::time::{Duration, SystemTime};

const SECRET: &str = "poll-secret-0123456789";

fn home(more: &str, source: &str) -> Home {
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

fn put(home: &Home, name: &str, text: &str) {
    fs::write(home.path("in").join(name), text).unwrap();
}

fn polled(home: &Home) -> serde_json::Value {
    serde_json::from_str(home.ok(&["sps", "poll", "--json"]).lines().next().unwrap()).unwrap()
}

fn counts(poll: &serde_json::Value) -> [u64; 5] {
    ["found", "taken", "duplicates", "skipped", "failed"].map(|name| poll[name].as_u64().unwrap())
}

#[test]
fn a_purchase_order_becomes_rows_and_an_answer() {
    let home = home("outgoing = \"out\"", "");
    let daemon = home.serve();
    put(&home, "PO1.edi", &interchange("850", &[order_set("PO1", 2)]));
    put(&home, ".hidden", "x");
    put(&home, "half.tmp", "x");
    assert_eq!(counts(&polled(&home)), [1, 1, 0, 0, 0]);
    home.wait_until_worked();
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
    // The answer: once, whoever works the event again.
    home.wait_for("SELECT status FROM destination_deliveries", "delivered");
    let name = home.sql("SELECT webhook_id FROM webhook_events WHERE topic = 'send/997'");
    assert!(name.starts_with("997-ACMERETAIL-7-"), "{name}");
    let answer = fs::read_to_string(home.path("out").join(name)).unwrap();
    assert!(answer.contains("AK5*A~\nAK9*A*1*1*1~"), "{answer}");
    home.ok(&["events", "retry", "1"]);
    home.wait_until_worked();
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events WHERE topic = 'send/997'"), "1");
    // The same file under another name is the same order, and has its answer.
    put(&home, "PO1-again.edi", &interchange("850", &[order_set("PO1", 2)]));
    assert_eq!(counts(&polled(&home))[1], 1);
    home.wait_until_worked();
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events WHERE topic = 'send/997'"), "1");
    assert_eq!(
        home.sql("SELECT kind, last FROM edi_control_numbers"),
        "group|1\ninterchange|1",
        "no number for nothing"
    );
    // The paper.
    let paper = home.ok(&["sps", "show", "PO1"]);
    assert!(paper.contains("PURCHASE ORDER PO1") && paper.contains("Acme DC 5") && paper.contains("Jam 2"), "{paper}");
    assert!(home.ok(&["sps", "list"]).contains("not mapped"));
    daemon.stop();
}

/// A file seen again is known; the same name with other bytes is a new event, marked.
#[test]
fn the_same_file_is_known_and_another_of_its_name_is_marked() {
    let home = home("", "after = \"delete\"");
    let daemon = home.serve();
    let first = interchange("850", &[order_set("PO1", 1)]);
    put(&home, "orders.edi", &first);
    assert_eq!(counts(&polled(&home)), [1, 1, 0, 0, 0]);
    put(&home, "orders.edi", &first);
    assert_eq!(counts(&polled(&home)), [1, 0, 1, 0, 0]);
    put(&home, "orders.edi", &interchange("850", &[order_set("PO2", 1)]));
    assert_eq!(counts(&polled(&home)), [1, 1, 0, 0, 0]);
    assert_eq!(home.sql("SELECT same_name_as IS NOT NULL FROM webhook_events ORDER BY id"), "0\n1");
    assert_eq!(fs::read_dir(home.path("in")).unwrap().count(), 0);
    assert_eq!(
        home.sql("SELECT sum(found), sum(taken), sum(duplicates) FROM sps_polls WHERE finished_at IS NOT NULL"),
        "3|2|1"
    );
    daemon.stop();
}

#[test]
fn what_stays_at_the_source_is_taken_once() {
    let home = home("", "after = \"leave\"");
    let daemon = home.serve();
    put(&home, "a.edi", &interchange("850", &[order_set("PO1", 1)]));
    assert_eq!(counts(&polled(&home)), [1, 1, 0, 0, 0]);
    assert_eq!(counts(&polled(&home)), [1, 0, 1, 0, 0]);
    assert_eq!(home.sql("SELECT taken FROM sps_files"), "1", "not even read again");
    daemon.stop();
}

/// A file that was changed just now may still be written to.
#[test]
fn what_may_still_be_written_to_is_left() {
    let home = home("", "");
    let config = fs::read_to_string(home.config()).unwrap().replace("settle = \"0s\"", "settle = \"1h\"");
    fs::write(home.config(), config).unwrap();
    let daemon = home.serve();
    put(&home, "a.edi", &interchange("850", &[order_set("PO1", 1)]));
    assert_eq!(counts(&polled(&home)), [1, 0, 0, 1, 0]);
    let file = fs::File::options().write(true).open(home.path("in/a.edi")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 50)).unwrap();
    assert_eq!(counts(&polled(&home)), [1, 1, 0, 0, 0]);
    daemon.stop();
}

/// 300 files, pollers at once that are killed at random: every file is one event, and none is gone that is not stored.
#[test]
fn pollers_at_once_and_kills_take_every_file_once() {
    let home = home("", "");
    home.serve().stop();
    for file in 0..300 {
        put(&home, &format!("{file:03}.edi"), &interchange("850", &[order_set(&format!("PO{file}"), 1)]));
    }
    let mut dice = fastrand::Rng::with_seed(11);
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
        std::thread::sleep(Duration::from_millis(dice.u64(30..120)));
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
    assert!(kills >= 3, "{kills} kills show little");
    assert_eq!(home.sql("SELECT count(*), count(DISTINCT substr(webhook_id, 1, 7)) FROM webhook_events"), "300|300");
    assert_eq!(fs::read_dir(home.path("in/archive")).unwrap().count(), 300, "archived once, under its own name");
    assert!(home.count("SELECT sum(duplicates) FROM sps_polls") <= kills, "a file is taken by one at a time");
    home.ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT count(*) FROM purchase_orders"), "300");
    home.assert_sound();
}

/// `POST /api/sps/poll`, with its bearer and without.
#[test]
fn the_api_polls_for_whoever_has_the_secret() {
    let home = home("", "");
    let daemon = home.serve();
    put(&home, "a.edi", &interchange("850", &[order_set("PO1", 1)]));
    let post =
        |authorization: &str| daemon.request(&Request::post("/api/sps/poll", b"").with("Authorization", authorization));
    for wrong in ["Bearer wrong", "Basic cG9sbA==", "Bearer "] {
        assert_eq!(post(wrong).status, 401, "{wrong}");
    }
    assert_eq!(daemon.request(&Request::post("/api/sps/poll", b"")).status, 401);
    let answer = post(&format!("Bearer {SECRET}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(counts(&answer.json()), [1, 1, 0, 0, 0], "{answer:?}");
    assert_eq!(home.sql("SELECT asked_by, taken FROM sps_polls"), "api|1");
    daemon.stop();
}

/// The daemon's own schedule; a source that is not there rests and is told of, the other goes on.
#[test]
fn the_schedule_polls_and_one_dead_source_holds_up_nobody() {
    let home = home("", "");
    let config = fs::read_to_string(home.config()).unwrap().replace("interval = \"0s\"", "interval = \"50ms\"");
    fs::write(home.config(), config + "[[sps.sources]]\nname = \"gone\"\nurl = \"file:///nonexistent/in\"\n").unwrap();
    let daemon = home.serve();
    put(&home, "a.edi", &interchange("850", &[order_set("PO1", 1)]));
    home.wait_for("SELECT po_number FROM purchase_orders", "PO1");
    home.wait_for("SELECT failures > 0 AND rest_until IS NOT NULL FROM sps_sources WHERE name = 'gone'", "1");
    assert!(home.log().contains("/nonexistent/in cannot be read"));
    daemon.stop();
}

/// A change that comes first waits for its order; a mapping completes what came before it.
#[test]
fn changes_wait_for_their_order_and_mappings_complete_it() {
    let home = home("", "");
    let daemon = home.serve();
    put(&home, "1.edi", &interchange("860", &[change_set("PO1", "1", &["POC*1*QI*12*2*CA", "POC*2*DI"])]));
    polled(&home);
    home.wait_until_worked();
    assert_eq!(
        home.sql("SELECT status, attention FROM purchase_orders"),
        "waiting|a change came, and the order it changes did not yet"
    );
    put(&home, "2.edi", &interchange("850", &[order_set("PO1", 2)]));
    polled(&home);
    home.wait_until_worked();
    assert_eq!(
        home.sql("SELECT quantity, status, item FROM purchase_order_lines ORDER BY position"),
        "12|open|\n20|cancelled|"
    );
    assert!(home.ok(&["sps", "unmapped"]).contains("sps map partner ACMERETAIL"));
    home.ok(&["sps", "map", "partner", "ACMERETAIL", "K-7", "--quantity", "delta"]);
    home.ok(&["sps", "map", "item", "B1", "JAM-1", "--factor", "6", "--item-unit", "EA"]);
    assert_eq!(
        home.sql("SELECT quantity, item, item_unit, item_quantity FROM purchase_order_lines WHERE position = 1"),
        "22|JAM-1|EA|132",
        "this partner writes what is added"
    );
    assert_eq!(home.sql("SELECT customer FROM purchase_orders"), "K-7");
    let paper = home.ok(&["sps", "show", "PO1"]);
    assert!(paper.contains("customer K-7") && paper.contains("quantity 10 → 22"), "{paper}");
    assert_eq!(home.run(&["sps", "map", "item", "B1", "JAM-1", "--factor", "x"]).status.code(), Some(1));
    daemon.stop();
}

/// A change that names no release belongs to the one release that there is, whichever came first; with two of them it waits.
#[test]
fn a_change_without_release_finds_its_order() {
    let home = home("", "");
    let daemon = home.serve();
    let with_release = |number: &str, release: &str| {
        interchange("850", &[order_set(number, 1)])
            .replace(&format!("*{number}**2026"), &format!("*{number}*{release}*2026"))
    };
    let change = |number: &str| interchange("860", &[change_set(number, "1", &["POC*1*CA*22*0*CA"])]);
    let poll = |name: &str, text: &str| {
        put(&home, name, text);
        polled(&home);
        home.wait_until_worked();
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
    // With a second release it cannot be told any more, whichever came first.
    poll("8.edi", &with_release("PO1", "R2"));
    home.ok(&["events", "retry", "2"]);
    home.wait_until_worked();
    assert_eq!(state("PO1"), "|waiting|1\nR1|open|0\nR2|open|0");
    daemon.stop();
}

/// Files that find no room stay where they are, and are taken when there is some.
#[test]
fn a_full_disk_leaves_the_files_at_the_source() {
    let home = home("", "after = \"delete\"");
    let Some(disk) = Disk::mount(home.path("disk"), "6m") else { return };
    let db = disk.0.join("events.db");
    home.edit("[worker]", "[worker]\nin_serve = false");
    home.edit(&format!("path = {:?}", home.db()), &format!("path = {db:?}\nmin_free_bytes = 0"));
    home.serve().stop();
    for number in 0..80 {
        put(
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
    assert!(stored() + left() >= 80, "{} stored, {} left: none is gone", stored(), left());
    disk.grow("64m");
    for _ in 0..3 {
        home.run(&["sps", "poll"]);
    }
    assert_eq!((stored(), left()), (80, 0));
    assert_eq!(
        sql(&db, "SELECT count(DISTINCT substr(webhook_id, 1, instr(webhook_id, ' '))) FROM webhook_events"),
        "80"
    );
}

/// A file of which nothing can be taken fails with the place of its faults, and is answered all the same.
#[test]
fn a_broken_file_fails_with_its_place_and_is_rejected() {
    let home = home("outgoing = \"out\"", "");
    let daemon = home.serve();
    let mut broken = order_set("PO1", 1);
    broken.remove(0);
    put(&home, "broken.edi", &interchange("850", &[broken]));
    put(&home, "picture.edi", "\u{89}PNG nothing of this kind");
    put(&home, "good.edi", &interchange("850", &[order_set("PO2", 1)]));
    polled(&home);
    home.wait_until_worked();
    assert_eq!(home.sql("SELECT po_number FROM purchase_orders"), "PO2", "one bad file stops no other");
    let errors = home.sql("SELECT error FROM failures ORDER BY id");
    assert!(errors.contains("line 4, segment 2, BEG: there is no BEG"), "{errors}");
    assert!(errors.contains("it is neither X12"), "{errors}");
    assert_eq!(home.sql("SELECT severity, position, at FROM edi_faults WHERE at = 'BEG'"), "error|2|BEG");
    home.wait_for("SELECT count(*) FROM destination_deliveries WHERE status = 'delivered'", "2");
    let answers: Vec<String> = fs::read_dir(home.path("out"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert!(answers.iter().any(|answer| answer.contains("AK3*BEG*2**3~\nAK5*R*5~\nAK9*R*1*1*0~")), "{answers:?}");
    daemon.stop();
}

/// `sps parse` reads any file, marks the faults, and stores nothing.
#[test]
fn parse_shows_an_order_and_its_faults() {
    let home = home("", "");
    put(&home, "good.edi", &interchange("850", &[order_set("PO1", 1)]));
    put(&home, "bad.edi", &interchange("850", &[vec!["REF*DP*1".to_owned()]]));
    let path = |name: &str| home.path("in").join(name).display().to_string();
    let shown = home.ok(&["sps", "parse", &path("good.edi")]);
    assert!(shown.contains("PURCHASE ORDER PO1") && shown.contains("Jam 1"), "{shown}");
    let json: serde_json::Value =
        serde_json::from_str(&home.ok(&["sps", "parse", "--json", &path("good.edi")])).unwrap();
    assert_eq!(json["orders"][0]["lines"][0]["quantity"], "10");
    let bad = home.run(&["sps", "parse", &path("bad.edi")]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&bad.stdout).contains("ERROR line 4, segment 2, BEG"), "{bad:?}");
    assert!(!home.db().exists());
}

/// Another file takes the name while the first is being stored: it is taken too, whatever becomes of the first.
#[test]
fn a_file_that_is_replaced_meanwhile_is_not_lost() {
    let home = home("", "after = \"delete\"");
    let daemon = home.serve();
    let version = |number: usize| interchange("850", &[order_set(&format!("PO{number}"), 1)]);
    for round in (0..60).step_by(2) {
        put(&home, "x.edi", &version(round));
        let mut poll = home.command(&["sps", "poll"]).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(fastrand::u64(5..60)));
        fs::write(home.path("next"), version(round + 1)).unwrap();
        fs::rename(home.path("next"), home.path("in/x.edi")).unwrap();
        poll.wait().unwrap();
        home.ok(&["sps", "poll"]);
        let last = format!("SELECT count(*) FROM webhook_payloads WHERE instr(body, '*PO{}**') > 0", round + 1);
        assert_eq!(home.sql(&last), "1", "round {round}");
    }
    daemon.stop();
}

/// A name that cannot be taken is counted and told of; a customer's new number leaves what is known of how the partner writes.
#[test]
fn odd_names_are_told_of_and_a_mapping_keeps_what_is_not_said() {
    let home = home("", "");
    let daemon = home.serve();
    put(&home, "odd\nname.edi", "x");
    assert_eq!(counts(&polled(&home)), [1, 0, 0, 0, 1]);
    home.ok(&["sps", "map", "partner", "ACMERETAIL", "K-1", "--quantity", "delta"]);
    home.ok(&["sps", "map", "partner", "ACMERETAIL", "K-2"]);
    assert_eq!(home.sql("SELECT customer, quantity FROM sps_partner_mappings"), "K-2|delta");
    daemon.stop();
}
