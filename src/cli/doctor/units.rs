//! The package's units: whether they run, will run after a reboot, and can read what they need.

use super::Findings;
use crate::config::{Config, INSTALLED};
use std::path::Path;
use std::process::Command;

/// Only where the package is at work: systemd runs, and the configuration is its own.
pub(super) fn look(config: &Config, findings: &mut Findings) {
    if !Path::new("/run/systemd/system").exists() || config.path != Path::new(INSTALLED) {
        return;
    }
    let before = findings.0.len();
    for unit in ["novex-ingest.socket", "novex-ingest.service", "novex-ingest-backup.timer"] {
        let state = said(&["is-active", unit]);
        if state != "active" {
            let mend = if unit.contains("backup") {
                format!("systemctl enable --now {unit}")
            } else {
                "systemctl stop novex-ingest.service; systemctl start novex-ingest.socket novex-ingest.service"
                    .to_owned()
            };
            findings.wrong("units", format!("{unit} is {state}"), mend);
        }
        let state = said(&["is-enabled", unit]);
        if state != "enabled" {
            let mend = format!("systemctl enable {unit}");
            findings.wrong("units", format!("{unit} is {state}: after a reboot it does not run"), mend);
        }
    }
    for unit in ["novex-ingest-backup.service", "novex-ingest-work.service"] {
        if said(&["is-failed", unit]) == "failed" {
            let mend = format!("journalctl -u {unit} says why; then systemctl start {unit}");
            findings.wrong("units", format!("{unit} failed when it ran last"), mend);
        }
    }
    if rustix::process::geteuid().is_root()
        && let Ok(check) =
            Command::new("runuser").args(["-u", "novex-ingest", "--", "novex-ingest", "config", "check"]).output()
        && !check.status.success()
    {
        let reason = String::from_utf8_lossy(&check.stderr).trim().to_owned();
        findings.wrong(
            "units",
            format!("the service would not start again, as its user: {reason}"),
            "Mend that; what the service must read belongs to the group novex-ingest (chown root:novex-ingest, chmod 640).",
        );
    }
    if findings.0.len() == before {
        findings.well("units", "they run, and will after a reboot; the service's user can read what it needs");
    }
}

fn said(arguments: &[&str]) -> String {
    let output = Command::new("systemctl").args(arguments).output();
    output.map_or_else(|error| error.to_string(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
