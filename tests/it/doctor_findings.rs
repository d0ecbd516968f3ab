//! `doctor` on a machine whose counterparts fail: destinations, EDI files, logins.

use crate::doctor::{close_secrets, has_finding, run_all_fixes, run_doctor};
use crate::support::Home;
use crate::support::destinations::{home_with_destinations, http_destination, send_orders};
use crate::support::edi_files::{interchange, order_set};
use crate::support::fake_erp::{FakeErp, Reply};
use crate::support::{keycloak_request, send_webhook};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Command;

/// Returns the first line of `doctor`.
fn summarize(home: &Home) -> String {
    let text = String::from_utf8(home.run(&["doctor"]).stdout).unwrap();
    text.lines().next().unwrap_or_default().to_owned()
}

/// The ERP accepts connections and answers 500 to everything.
#[test]
fn destination_that_is_down_is_a_problem() {
    let erp = FakeErp::start(|_, _| Reply::StatusWithBody(500, String::new(), b"no disk".to_vec()));
    // One destination is down; the other has a closed circuit breaker, and its deliveries are retried.
    let patient = http_destination("patient", &erp.url, "").replace("breaker_failures = 2", "breaker_failures = 1000");
    let home = home_with_destinations(|_| format!("{}{patient}", http_destination("erp", &erp.url, "")));
    close_secrets(&home);
    fs::set_permissions(home.path("erp"), fs::Permissions::from_mode(0o600)).unwrap();
    let daemon = home.serve();
    home.edit_config("127.0.0.1:0", &daemon.address.to_string());
    send_orders(&daemon, 1..=5);
    home.wait_until_processed();
    home.wait_for("SELECT count(*) FROM destinations WHERE name = 'erp' AND down_since IS NOT NULL", "1");
    home.wait_for("SELECT consecutive_failures > 2 FROM destinations WHERE name = 'patient'", "1");
    let since = home.sql("SELECT down_since FROM destinations WHERE name = 'erp'");
    let (code, found) = run_doctor(&home);
    assert_eq!(code, 1);
    let fact =
        format!("destination erp is down since {since}: answered 500 Internal Server Error: no disk; 5 orders wait");
    assert!(has_finding(&found, "failed", "destinations", &fact), "{fact}: {found:#}");
    let fact = "destination patient takes no delivery, last attempt at ";
    assert!(has_finding(&found, "failed", "destinations", fact), "{found:#}");
    let summary = summarize(&home);
    assert!(summary.contains("destination erp is down; 5 orders wait"), "{summary}");
    assert!(run_all_fixes(&home, &found).iter().any(|command| command.ends_with("destinations resume erp")));
    // An operator's pause is the reason then.
    home.run_ok(&["destinations", "pause", "erp"]);
    let (_, found) = run_doctor(&home);
    assert!(!found.to_string().contains("erp is down"), "{found:#}");
    assert!(has_finding(&found, "warning", "destinations", "erp is paused"), "{found:#}");
}

/// A delivery that the destination puts off is no failure of the destination.
#[test]
fn deliveries_that_are_put_off_are_a_warning() {
    let erp = FakeErp::start(|_, _| Reply::StatusWithHeaders(429, "retry-after: 600\r\n".into()));
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    home.wait_for(
        "SELECT count(*) FROM destination_deliveries WHERE last_error IS NOT NULL AND status = 'pending'",
        "1",
    );
    let (_, found) = run_doctor(&home);
    let fact = "destination erp: 1 delivery is retried after errors, last attempt at ";
    assert!(has_finding(&found, "warning", "destinations", fact), "{found:#}");
    assert!(
        has_finding(&found, "warning", "destinations", "answered 429 Too Many Requests; 1 order waits"),
        "{found:#}"
    );
    daemon.stop();
}

/// Returns the commands of a fix that no program of this project runs.
fn run_fix(found: &Value, printed: &str) {
    let finding =
        found.as_array().unwrap().iter().find(|finding| finding["message"].as_str().unwrap().contains(printed));
    let fix = finding.unwrap_or_else(|| panic!("{printed}: {found:#}"))["fix"].as_str().unwrap();
    for command in fix.split('`').skip(1).step_by(2) {
        let output = Command::new("sh").arg("-c").arg(command).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    }
}

/// The fixes for directories work as printed, for a named user and for one that the machine does not know. No group
/// loses its directory.
#[test]
fn directory_fixes_work_as_printed() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: this test changes owners, which needs root");
        return;
    }
    for service_uid in [0, 65_534, 3_999_999_999] {
        let home = Home::new("");
        home.serve().stop();
        // The service's user is the owner of the directory with the database.
        chown(home.path(""), Some(service_uid), Some(service_uid)).unwrap();
        let path = |name: &str| home.path(name).display().to_string();
        home.configure(&format!(
            "[[destinations]]\nname = \"erp\"\ntype = \"directory\"\npath = {:?}\ntopics = [\"*\"]\n\
             [sps]\n[[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\n",
            path("erp in"),
            path("in")
        ));
        let (_, found) = run_doctor(&home);
        run_fix(&found, "erp in of destination erp does not exist; its events wait");
        run_fix(&found, "in of EDI source acme does not exist; no file is received from it");
        let owner = fs::metadata(home.path("in")).unwrap();
        assert_eq!((owner.uid(), owner.gid()), (service_uid, service_uid));
        // Root can write everywhere.
        if service_uid != 0 {
            let erp_group = 4_321;
            chown(home.path("erp in"), Some(0), Some(erp_group)).unwrap();
            fs::set_permissions(home.path("erp in"), fs::Permissions::from_mode(0o2770)).unwrap();
            fs::set_permissions(home.path("in"), fs::Permissions::from_mode(0o550)).unwrap();
            let (_, found) = run_doctor(&home);
            run_fix(&found, "the service's user cannot read");
            run_fix(&found, "in of EDI source acme; its files stay there, and each poll finds them again");
            let owner = fs::metadata(home.path("erp in")).unwrap();
            assert_eq!((owner.uid(), owner.gid(), owner.mode() & 0o7777), (service_uid, erp_group, 0o2770));
        }
        let (_, found) = run_doctor(&home);
        assert!(has_finding(&found, "ok", "directories", "the service can use every directory"), "{found:#}");
    }
}

/// Adds an EDI source with the directory `in`.
fn add_edi_source(home: &Home, settings: &str) {
    fs::create_dir(home.path("in")).unwrap();
    home.configure(&format!(
        "[worker]\npoll = \"20ms\"\nbackoff_base = \"1h\"\nbackoff_max = \"1h\"\n[sps]\ninterval = \"0s\"\n{settings}\n\
         [[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\nsettle = \"0s\"\nafter = \"archive\"\n",
        home.path("in").display()
    ));
}

/// A file that no poll can fetch shows with its reason in the poll, in the list for a person and in doctor.
#[test]
fn files_that_stay_at_their_source_are_a_problem() {
    let home = Home::new("");
    close_secrets(&home);
    add_edi_source(&home, "max_file_bytes = 500");
    home.serve().stop();
    let invalid_name = home.path("in").join(OsStr::from_bytes(b"caf\xe9\nx.edi"));
    fs::write(&invalid_name, "ISA").unwrap();
    fs::write(home.path("in/large.edi"), interchange("850", &[order_set("PO1", 20)])).unwrap();
    fs::write(home.path("in/empty.edi"), "").unwrap();
    let text = home.run_ok(&["sps", "poll"]);
    assert!(text.contains("3 files: 1 could not be read"), "{text}");
    assert!(text.contains("2 failed") && text.contains("\n  large.edi: ") && text.contains("rename it"), "{text}");
    let list = home.run_ok(&["sps", "list", "--attention"]);
    assert!(list.contains("2 files stay at the source") && list.contains("large.edi"), "{list}");
    let rows = home.run_ok(&["sps", "list", "--attention", "--json"]);
    let name = r#""source":"acme","file":"caf\u{fffd}(E9)\\nx.edi""#.replace("\\u{fffd}", "\u{fffd}");
    assert!(rows.contains(&name), "{rows}");
    let (_, found) = run_doctor(&home);
    assert!(has_finding(&found, "failed", "edi", "2 files of EDI source acme cannot be received; caf"), "{found:#}");
    assert!(summarize(&home).contains("2 files of EDI source acme cannot be received"));
    assert!(run_all_fixes(&home, &found).iter().any(|command| command.ends_with("sps poll --source acme")));
    // A scheduled poll leaves the file alone until its next attempt. It still sees that the file is there.
    let daemon = home.serve();
    home.edit_config("interval = \"0s\"", "interval = \"1s\"");
    daemon.stop();
    let daemon = home.serve();
    home.wait_for(
        "SELECT count(*) > 0 FROM sps_polls WHERE requested_by = 'schedule' AND skipped > 0 AND finished_at > ''",
        "1",
    );
    let (_, found) = run_doctor(&home);
    assert!(has_finding(&found, "failed", "edi", "2 files of EDI source acme cannot be received"), "{found:#}");
    daemon.stop();
    // The problem ends when the files are renamed or removed.
    fs::rename(&invalid_name, home.path("in/renamed.edi")).unwrap();
    fs::remove_file(home.path("in/large.edi")).unwrap();
    home.run_ok(&["sps", "poll"]);
    let (_, found) = run_doctor(&home);
    assert!(!found.to_string().contains("cannot be received"), "{found:#}");
    assert!(!home.run_ok(&["sps", "list", "--attention"]).contains("at the source"));
}

/// A file that cannot be deleted is stored, which is less urgent.
#[test]
fn file_that_cannot_be_removed_is_a_warning() {
    let home = Home::new("");
    add_edi_source(&home, "");
    home.serve().stop();
    // No file is moved through a symbolic link.
    symlink(home.path("elsewhere"), home.path("in/archive")).unwrap();
    fs::write(home.path("in/PO1.edi"), interchange("850", &[order_set("PO1", 1)])).unwrap();
    home.run_ok(&["sps", "poll"]);
    let (_, found) = run_doctor(&home);
    let fact = "1 file of EDI source acme cannot be moved or deleted; PO1.edi: ";
    assert!(has_finding(&found, "warning", "edi", fact), "{found:#}");
    assert!(home.run_ok(&["sps", "list", "--attention"]).contains("1 file stays at the source"));
}

/// One dismissal ends the report of all unreadable files. They are no failed events beside that.
#[test]
fn unreadable_files_are_dismissed_by_the_printed_command() {
    let home = Home::new("");
    add_edi_source(&home, "");
    let daemon = home.serve();
    for number in 1..=5 {
        fs::write(home.path(&format!("in/{number}.edi")), format!("<html>{number}")).unwrap();
    }
    home.run_ok(&["sps", "poll"]);
    home.wait_until_processed();
    let (_, found) = run_doctor(&home);
    assert!(has_finding(&found, "failed", "edi", "5 EDI files could not be read in whole"), "{found:#}");
    assert!(!found.as_array().unwrap().iter().any(|finding| finding["check"] == "events"), "{found:#}");
    let ran = run_all_fixes(&home, &found);
    assert!(ran.iter().any(|command| command.ends_with("events dismiss 5 4 3 2 1 --reason TEXT")), "{ran:?}");
    let (_, found) = run_doctor(&home);
    assert!(!found.to_string().contains("could not be read"), "{found:#}");
    // What an operator dismissed no longer stands among the failures.
    let list = home.run_ok(&["events", "list", "--status", "failed"]);
    assert!(list.starts_with("No such events.") && list.contains("events list --status dismissed"), "{list}");
    assert_eq!(home.run_ok(&["events", "list", "--status", "dismissed", "--json"]).lines().count(), 5);
    let stats: Value = serde_json::from_str(&home.run_ok(&["stats", "--json"])).unwrap();
    assert_eq!(stats["counts"], json!([{"source": "sps", "status": "dismissed", "events": 5}]));
    daemon.stop();
}

/// A dismissed alert comes back only if the failed logins go on.
#[test]
fn dismissed_alert_is_not_reported() {
    let home = Home::new("");
    home.configure("");
    home.edit_config("[keycloak]\n", "[keycloak]\nlogin_errors = 2\n");
    let daemon = home.serve();
    let send_failed_login = |number: u64| {
        let time = home.sql("SELECT unixepoch() * 1000");
        let body = format!(
            r#"{{"type":"LOGIN_ERROR","id":"{number}","time":{time},"realmId":"acme","userId":"ada","ipAddress":"192.0.2.7"}}"#
        );
        daemon.request(&keycloak_request(body.as_bytes())).event_id();
        home.wait_until_processed();
    };
    send_failed_login(1);
    send_failed_login(2);
    let (_, found) = run_doctor(&home);
    assert!(has_finding(&found, "warning", "alerts", "and 1 other alert"), "{found:#}");
    assert!(run_all_fixes(&home, &found).iter().any(|command| command.ends_with("--reason TEXT")));
    let (_, found) = run_doctor(&home);
    assert!(has_finding(&found, "warning", "alerts", "failed logins"), "one is left: {found:#}");
    home.run_ok(&["audit", "dismiss", "--all", "--reason", "a test"]);
    assert_eq!(home.run(&["audit", "dismiss", "1", "--reason", "again"]).status.code(), Some(1));
    let (_, found) = run_doctor(&home);
    assert!(!found.as_array().unwrap().iter().any(|finding| finding["check"] == "alerts"), "{found:#}");
    assert!(home.run_ok(&["audit", "alerts"]).contains("dismissed (a test)"));
    assert_eq!(
        home.sql("SELECT group_concat(resource_path) FROM system_log WHERE type = 'EVENT-DISMISS'"),
        "alerts/1,alerts/2"
    );
    send_failed_login(3);
    let (_, found) = run_doctor(&home);
    assert!(has_finding(&found, "warning", "alerts", "failed logins"), "{found:#}");
}

/// Both figures of an order whose parts do not add up are in the finding; a corrected order is no finding.
#[test]
fn amounts_that_do_not_add_up_are_reported_until_they_do() {
    let home = Home::new("");
    home.configure("");
    let daemon = home.serve();
    let send = |minute: u32, total: &str| {
        let body = format!(
            r##"{{"id":7,"name":"#1007","currency":"USD","total_price":"{total}","subtotal_price":"100.00",
                "shipping_lines":[],"updated_at":"2026-11-24T10:{minute:02}:00Z",
                "line_items":[{{"id":71,"quantity":1,"price":"100.00"}}]}}"##
        );
        send_webhook(&daemon, &format!("o{minute}"), "orders/updated", body.as_bytes());
        home.wait_until_processed();
    };
    send(1, "109.40");
    let (_, found) = run_doctor(&home);
    for part in ["the amounts of 1 order or refund do not add up", "#1007", "100.00 USD", "109.40 USD"] {
        assert!(has_finding(&found, "warning", "amounts", part), "{part}: {found:#}");
    }
    let fix = found.as_array().unwrap().iter().find(|finding| finding["check"] == "amounts").unwrap();
    let command = fix["fix"].as_str().unwrap().split('`').nth(1).unwrap();
    let output = std::process::Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("109.40 USD"), "{command}: {output:?}");
    send(2, "100.00");
    let (_, found) = run_doctor(&home);
    assert!(!found.as_array().unwrap().iter().any(|finding| finding["check"] == "amounts"), "{found:#}");
}
