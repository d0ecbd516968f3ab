//! Checks of the package's systemd units: they run, they start after a reboot, and they can read their files.

use crate::config::{Config, INSTALLED_CONFIG_PATH};
use crate::doctor::Findings;
use std::path::Path;
use std::process::Command;

const BACKUP_TIMER: &str = "novex-ingest-backup.timer";
pub(crate) const BACKUP_SERVICE: &str = "novex-ingest-backup.service";

/// Returns true if the package's units run this configuration.
pub(crate) fn is_packaged(config: &Config) -> bool {
    Path::new("/run/systemd/system").exists() && config.path == Path::new(INSTALLED_CONFIG_PATH)
}

/// Checks the units, only if systemd runs and the configuration is the package's own.
pub(crate) fn check_units(config: &Config, findings: &mut Findings) {
    if !is_packaged(config) {
        return;
    }
    let count_before = findings.count();
    for unit in ["novex-ingest.socket", "novex-ingest.service", BACKUP_TIMER] {
        let (activity, start) = (query_systemctl(&["is-active", unit]), query_systemctl(&["is-enabled", unit]));
        if let Some((message, fix)) = describe_unit_state(unit, &activity, &start) {
            findings.add_failure("units", message, fix);
        }
    }
    for unit in [BACKUP_SERVICE, "novex-ingest-work.service"] {
        if query_systemctl(&["is-failed", unit]) == "failed" {
            let cause = find_failure_cause(unit);
            let cause = if cause.is_empty() { String::new() } else { format!(": {cause}") };
            let fix = format!("Fix the cause; then `systemctl start {unit}`. The log has more: `journalctl -u {unit}`");
            findings.add_failure("units", format!("the last run of {unit} failed{cause}"), fix);
        }
    }
    check_config_as_service_user(findings);
    if findings.count() == count_before {
        findings.add_passed("units", "they run now and after a reboot; the service's user can read its files");
    }
}

/// Returns the message and the fix for a unit that does not run now, or not after a reboot.
fn describe_unit_state(unit: &str, activity: &str, start: &str) -> Option<(String, String)> {
    let is_enabled = start == "enabled";
    let fix = match (activity == "active", is_enabled) {
        (true, true) => return None,
        (true, false) => format!("`systemctl enable {unit}`"),
        (false, _) if unit == BACKUP_TIMER => format!("`systemctl enable --now {unit}`"),
        (false, _) => {
            let enable = if is_enabled { String::new() } else { format!("`systemctl enable {unit}`; ") };
            format!(
                "{enable}`systemctl stop novex-ingest.service; systemctl start novex-ingest.socket novex-ingest.service`"
            )
        }
    };
    let message = match (activity == "active", is_enabled) {
        (false, false) => format!("{unit} is {activity} and {start}: it runs neither now nor after a reboot"),
        (false, true) => format!("{unit} is {activity}"),
        _ => format!("{unit} is {start}: it will not run after a reboot"),
    };
    Some((message, fix))
}

/// Returns the last line that the last run of a unit wrote; empty if the journal is not readable.
fn find_failure_cause(unit: &str) -> String {
    let invocation = query_systemctl(&["show", "--property=InvocationID", "--value", unit]);
    if invocation.is_empty() {
        return String::new();
    }
    let run = format!("_SYSTEMD_INVOCATION_ID={invocation}");
    let output = Command::new("journalctl").args(["--output=cat", "--no-pager", "--lines=1", &run]).output();
    let text = output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = text.lines().last().unwrap_or_default().trim();
    line.strip_prefix("novex-ingest: ").unwrap_or(line).to_owned()
}

/// Runs `config check` as the service's user, which only root can do.
fn check_config_as_service_user(findings: &mut Findings) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let check = Command::new("runuser").args(["-u", "novex-ingest", "--", "novex-ingest", "config", "check"]).output();
    let Ok(check) = check else { return };
    if !check.status.success() {
        let reason = String::from_utf8_lossy(&check.stderr).trim().to_owned();
        findings.add_failure(
            "units",
            format!("a restart of the service would fail: {reason}"),
            "Fix that. The service's files belong to its group: `chown root:novex-ingest FILE; chmod 640 FILE`.",
        );
    }
}

pub(crate) fn query_systemctl(args: &[&str]) -> String {
    let output = Command::new("systemctl").args(args).output();
    output.map_or_else(|error| error.to_string(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_finding_names_all_that_a_unit_lacks() {
        assert_eq!(describe_unit_state(BACKUP_TIMER, "active", "enabled"), None);
        let (message, fix) = describe_unit_state(BACKUP_TIMER, "inactive", "disabled").unwrap();
        assert!(message.contains("neither now nor after a reboot"), "{message}");
        assert_eq!(fix, "`systemctl enable --now novex-ingest-backup.timer`");
        let (_, fix) = describe_unit_state("novex-ingest.service", "failed", "disabled").unwrap();
        assert!(fix.starts_with("`systemctl enable novex-ingest.service`; `systemctl stop"), "{fix}");
        let (message, fix) = describe_unit_state("novex-ingest.socket", "active", "disabled").unwrap();
        assert!(message.contains("not run after a reboot") && fix == "`systemctl enable novex-ingest.socket`", "{fix}");
    }
}
