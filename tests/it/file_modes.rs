//! The modes of all files and directories that the binary makes do not depend on the umask.

use crate::support::edi_files::{interchange, order_set};
use crate::support::{BIN, Home, order_body};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Returns a command of the binary that runs under a umask.
fn command_under(umask: &str, home: &Home, arguments: &[&str]) -> Command {
    let plain = home.command(arguments);
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("umask {umask}; exec \"$0\" \"$@\"")).arg(BIN).args(plain.get_args());
    command.env_remove("NOVEX_CONFIG").env_remove("JOURNAL_STREAM");
    command
}

fn run_under(umask: &str, home: &Home, arguments: &[&str]) {
    let output = command_under(umask, home, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Adds the modes of everything below a directory, by path.
fn collect_modes(root: &Path, directory: &Path, modes: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let Ok(data) = fs::symlink_metadata(entry.path()) else { continue };
        let name = entry.path().strip_prefix(root).unwrap().display().to_string();
        modes.insert(name, format!("{:o}", data.permissions().mode() & 0o7777));
        if data.is_dir() {
            collect_modes(root, &entry.path(), modes);
        }
    }
}

/// Uses every command that makes files, and returns the modes of the files, by path.
fn make_files(umask: &str) -> BTreeMap<String, String> {
    let home = Home::new("");
    for directory in ["in", "out", "erp"] {
        fs::create_dir(home.path(directory)).unwrap();
    }
    let path = |name: &str| home.path(name).display().to_string();
    home.configure(&format!(
        "[store]\npath = \"{0}/state/events.db\"\n\
         [sps]\ninterval = \"0s\"\noutgoing = \"{0}/out\"\n\
         [[sps.sources]]\nname = \"acme\"\nurl = \"file://{0}/in\"\nsettle = \"0s\"\n\
         [[destinations]]\nname = \"files\"\ntype = \"directory\"\npath = \"{0}/erp\"\ntopics = [\"*\"]\n",
        home.path("").display().to_string().trim_end_matches('/')
    ));
    fs::create_dir(home.path("state")).unwrap();
    let database = home.path("state/events.db");
    fs::write(home.path("in/po.edi"), interchange("850", &[order_set("PO1", 1)])).unwrap();
    let mut made_by_test = BTreeMap::new();
    collect_modes(&home.path(""), &home.path(""), &mut made_by_test);

    let daemon = home.serve_with(command_under(umask, &home, &["serve"]));
    assert_eq!(daemon.send_order("w1", &order_body(1)).status, 200);
    run_under(umask, &home, &["sps", "poll"]);
    let wait_for = |query: &str, expected: &str| {
        crate::support::wait_until(
            || crate::support::sql(&database, query) == expected,
            || format!("{query}: {}; log: {}", crate::support::sql(&database, query), home.log()),
        );
    };
    wait_for("SELECT count(*) FROM queue", "0");
    wait_for("SELECT count(*) FROM destination_deliveries WHERE status <> 'delivered'", "0");
    run_under(umask, &home, &["backup", &path("copy.db")]);
    let mut modes = BTreeMap::new();
    collect_modes(&home.path(""), &home.path(""), &mut modes);
    daemon.stop();
    // Without the old file the restored one gets a mode of its own.
    fs::remove_file(&database).unwrap();
    run_under(umask, &home, &["restore", &path("copy.db")]);
    collect_modes(&home.path(""), &home.path(""), &mut modes);
    // The names of replaced files have the time in them, and the names of begun marks the process.
    let begun_modes: Vec<String> =
        modes.iter().filter(|(name, _)| name.contains(".db-begun-")).map(|(_, mode)| mode.clone()).collect();
    assert!(begun_modes.iter().all(|mode| mode == "640"), "{begun_modes:?}");
    modes.retain(|name, _| {
        !made_by_test.contains_key(name)
            && name != "log"
            && !name.contains("before-restore")
            && !name.contains(".db-begun-")
    });
    modes
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let open = make_files("000");
    assert_eq!(open, make_files("077"));
    let mode_of = |name: &str| open.get(name).unwrap_or_else(|| panic!("no {name} in {open:?}")).as_str();
    for name in ["state/events.db", "state/events.db-wal", "state/events.db-shm"] {
        assert_eq!(mode_of(name), "640", "{name}");
    }
    assert_eq!((mode_of("copy.db"), mode_of("in/archive")), ("600", "750"));
    assert_eq!(mode_of("erp/000000000001-shopify-orders-create.json"), "640");
    // A certificate is public, and an archived file keeps the mode that its sender gave it.
    let others = open.iter().filter(|(_, mode)| !mode.ends_with('0'));
    let others: Vec<&str> = others.map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        others,
        ["in/archive/po.edi", "state/tls/console/self-signed.pem", "state/tls/self-signed.pem"],
        "{open:?}"
    );
}

/// A group may read the database of a running daemon without root, and may not write it.
#[test]
fn group_reads_the_database() {
    let home = Home::new("");
    let daemon = home.serve();
    assert_eq!(daemon.send_order("w1", &order_body(1)).status, 200);
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can run a command as another user");
        return;
    }
    let group = 54_321;
    fs::set_permissions(home.path(""), fs::Permissions::from_mode(0o750)).unwrap();
    for name in ["", "events.db", "events.db-wal", "events.db-shm"] {
        std::os::unix::fs::chown(home.path(name), None, Some(group)).unwrap();
    }
    let query = |user_group: u32, sql: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=54322", &format!("--regid={user_group}"), "--clear-groups", "sqlite3", "-readonly"]);
        let output = command.arg(home.db()).arg(sql).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    };
    let count = "SELECT count(*) FROM webhook_events";
    assert_eq!(query(group, count), (true, "1".to_owned()));
    assert!(!query(54_323, count).0, "others may not");
    // The reader must not change the files: the daemon still writes.
    assert_eq!(daemon.send_order("w2", &order_body(2)).status, 200);
    assert_eq!(query(group, count), (true, "2".to_owned()));
    daemon.stop();
}
