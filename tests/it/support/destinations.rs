//! Homes with destinations: configuration of each type, and waiting until all is delivered.

use super::{Daemon, Home, NO_REDACTION_DELAY, order_body};
use std::fs;
use std::os::unix::fs::PermissionsExt;

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Short retry pauses: the tests check the results, not the durations.
const QUICK: &str = "breaker_failures = 2\nbreaker_rest = \"20ms\"\nbreaker_rest_max = \"40ms\"\nper_second = 1000\n";
pub const WORKER: &str = "[worker]\nbackoff_base = \"10ms\"\nbackoff_max = \"40ms\"\npoll = \"20ms\"\n";

/// Returns the configuration of an HTTP destination for all Shopify orders.
pub fn http_destination(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[destinations]]\nname = \"{name}\"\ntype = \"http\"\nurl = \"{url}\"\ntopics = [\"shopify:orders/*\"]\n\
         secrets = [\"file:erp\"]\ntimeout = \"5s\"\n{QUICK}{more}\n"
    )
}

/// Returns the configuration of a directory destination for all events.
pub fn directory_destination(directory: &std::path::Path) -> String {
    format!(
        "[[destinations]]\nname = \"files\"\ntype = \"directory\"\npath = \"{}\"\ntopics = [\"*\"]\n{QUICK}",
        directory.display()
    )
}

/// Returns the configuration of a command destination for all Shopify events.
pub fn command_destination(script: &std::path::Path) -> String {
    format!(
        "[[destinations]]\nname = \"import\"\ntype = \"command\"\ncommand = [\"{}\"]\ntopics = [\"shopify:*\"]\n{QUICK}",
        script.display()
    )
}

/// Creates a home with the ERP's secret, a directory `files`, and a program that appends each event to `imported`.
/// `extra` returns the destinations.
pub fn home_with_destinations(extra: impl FnOnce(&Home) -> String) -> Home {
    let home = Home::new("");
    fs::write(home.path("erp"), SECRET).unwrap();
    fs::create_dir(home.path("files")).unwrap();
    write_program(
        &home,
        "printf '%s %s %s %s\\n' \"$NOVEX_EVENT_ID\" \"$NOVEX_TOPIC\" \"$(cat | sha256sum | cut -c1-8)\" \"$HOME\" >> DIR/imported",
    );
    let extra = extra(&home);
    home.configure(&format!("{WORKER}{NO_REDACTION_DELAY}{extra}"));
    home
}

/// Writes the program of the command destination: one shell line, in which `DIR` is the home.
pub fn write_program(home: &Home, line: &str) {
    let script = format!("#!/bin/sh\n{}\n", line.replace("DIR", &home.path("").display().to_string()));
    fs::write(home.path("import"), script).unwrap();
    fs::set_permissions(home.path("import"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Sends one order for each id.
pub fn send_orders(daemon: &Daemon<'_>, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        daemon.send_order(&format!("w{id}"), &order_body(id)).event_id();
    }
}

/// Waits until no event is to be processed and no delivery is queued.
pub fn wait_until_delivered(home: &Home) {
    home.wait_until_processed();
    home.wait_for("SELECT count(*) FROM destination_queue", "0");
}
