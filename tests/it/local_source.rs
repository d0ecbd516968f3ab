//! Another program replaces listed files of a `file://` source by links and pipes: nothing else is read, nothing hangs.

use crate::support::edi_files::{interchange, order_set};
use crate::support::{Home, WAIT_MAX, send_signal};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Files of one poll; the last two are replaced while the poll works on the first.
const FILES: usize = 40;

fn name_of(file: usize) -> String {
    format!("f{file:03}.edi")
}

fn home_with_source() -> Home {
    let home = Home::new("");
    fs::create_dir(home.path("in")).unwrap();
    home.configure(&format!(
        "[sps]\ninterval = \"0s\"\n[[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\nsettle = \"0s\"\n",
        home.path("in").display()
    ));
    home.serve().stop();
    home
}

/// Runs a poll and calls `replace` after it listed the files and before it opened the last two.
///
/// Returns what it printed, or None if the poll was faster than this test, which replaced nothing then.
fn poll_with_replacement(home: &Home, replace: impl FnOnce()) -> Option<String> {
    let child = home.command(&["sps", "poll"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let claims = || home.count("SELECT count(*) FROM sps_files");
    let start = Instant::now();
    while claims() == 0 {
        assert!(start.elapsed() < WAIT_MAX, "the poll claimed no file");
    }
    // An ended process still gets the signal, because nobody has waited for it.
    send_signal(child.id(), "STOP");
    let is_early = claims() < i64::try_from(FILES).unwrap() - 2;
    if is_early {
        replace();
    }
    send_signal(child.id(), "CONT");
    let output = child.wait_with_output().unwrap();
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    is_early.then_some(printed)
}

#[test]
fn file_replaced_after_the_listing_is_refused_and_listed() {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < WAIT_MAX * 2, "every poll ended before the test replaced its files");
        let home = home_with_source();
        for file in 0..FILES {
            let text = interchange("850", &[order_set(&format!("PO{file}"), 1)]);
            fs::write(home.path("in").join(name_of(file)), text).unwrap();
        }
        fs::write(home.path("secret"), "not a document of this source").unwrap();
        let (link, pipe) = (name_of(FILES - 2), name_of(FILES - 1));
        let in_source = |name: &str| home.path("in").join(name);
        let replace = || {
            fs::remove_file(in_source(&link)).unwrap();
            fs::remove_file(in_source(&pipe)).unwrap();
            std::os::unix::fs::symlink(home.path("secret"), in_source(&link)).unwrap();
            assert!(Command::new("mkfifo").arg(in_source(&pipe)).status().unwrap().success());
        };
        let Some(printed) = poll_with_replacement(&home, replace) else { continue };
        for (name, kind) in [(&link, "a symbolic link"), (&pipe, "a named pipe")] {
            let error = home.sql(&format!("SELECT status, last_error FROM sps_files WHERE name = '{name}'"));
            assert!(error.starts_with("failed|") && error.contains(kind), "{error}");
            assert!(printed.contains(name.as_str()) && printed.contains(kind), "{printed}");
        }
        assert_eq!(home.sql("SELECT stored, failed FROM sps_polls"), format!("{}|2", FILES - 2));
        assert_eq!(home.sql("SELECT count(*) FROM webhook_payloads WHERE instr(body, 'not a document')"), "0");
        assert_eq!(fs::read_to_string(home.path("secret")).unwrap(), "not a document of this source");
        // The link and the pipe stay for a person to find; the real file is received when it is there again.
        assert!(is_link(&in_source(&link)));
        fs::remove_file(in_source(&link)).unwrap();
        fs::write(in_source(&link), interchange("850", &[order_set("PO-again", 1)])).unwrap();
        home.run_ok(&["sps", "poll"]);
        assert_eq!(home.sql(&format!("SELECT status FROM sps_files WHERE name = '{link}'")), "done");
        return;
    }
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).unwrap().is_symlink()
}
