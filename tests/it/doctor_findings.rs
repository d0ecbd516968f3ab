//! `doctor` on a machine whose counterparts fail: destinations, EDI files, logins.

use crate::doctor::{close_secrets, has_finding, run_all_fixes, run_doctor};
use crate::support::Home;
use crate::support::destinations::{home_with_destinations, http_destination, send_orders};
use crate::support::fake_erp::{FakeErp, Reply};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
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
