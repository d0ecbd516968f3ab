//! Checks of the directories that the service reads and writes: local EDI sources, `sps.outgoing`, and destinations of
//! type directory.

use crate::cli::doctor::Findings;
use crate::cli::doctor::units::{is_packaged, query_systemctl};
use crate::config::Config;
use crate::delivery::destinations::DestinationKind;
use crate::files::parent_directory;
use crate::transfer::source::{AfterDownload, SourceLocation};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Directories that the service's unit hides (`ProtectHome`).
const HIDDEN_DIRECTORIES: [&str; 3] = ["/home", "/root", "/run/user"];

/// A directory that the service needs.
struct NeededDirectory {
    path: PathBuf,
    /// The part that needs it: `destination erp`.
    user: String,
    consequence: &'static str,
    needs_write: bool,
}

pub(crate) fn check_directories(config: &Config, findings: &mut Findings) {
    let count_before = findings.count();
    let needed = collect_directories(config);
    let unit_paths = is_packaged(config)
        .then(|| query_systemctl(&["show", "--property=ReadWritePaths", "--value", "novex-ingest.service"]));
    let owner = fs::metadata(parent_directory(&config.store.path)).map(|data| data.uid()).ok();
    for directory in &needed {
        check_directory(directory, owner, unit_paths.as_deref(), findings);
    }
    if !needed.is_empty() && findings.count() == count_before {
        findings.add_passed("directories", "the service can use every directory of the configuration");
    }
}

fn collect_directories(config: &Config) -> Vec<NeededDirectory> {
    let mut needed = Vec::new();
    for destination in &config.destinations {
        if let DestinationKind::Directory { path, .. } | DestinationKind::EdiDirectory { path } = &destination.kind {
            needed.push(NeededDirectory {
                path: path.clone(),
                user: format!("destination {}", destination.name),
                consequence: "its events wait",
                needs_write: true,
            });
        }
    }
    for source in config.sps.iter().flat_map(|sps| &sps.sources) {
        if let SourceLocation::Local { path } = &source.location {
            needed.push(NeededDirectory {
                path: path.clone(),
                user: format!("EDI source {}", source.name),
                consequence: "its files stay there, and each poll finds them again",
                // Files are moved or deleted there.
                needs_write: source.after_download != AfterDownload::Leave,
            });
        }
    }
    needed
}

fn check_directory(directory: &NeededDirectory, owner: Option<u32>, unit_paths: Option<&str>, findings: &mut Findings) {
    let NeededDirectory { path, user, consequence, needs_write } = directory;
    let shown = path.display();
    if !path.is_dir() {
        let is_there = fs::symlink_metadata(path).is_ok();
        let what = if is_there { "is not a directory" } else { "does not exist" };
        let summary = format!("{shown} of {user} {what}");
        let fix = if is_there {
            "Move the file away, or name another directory in the configuration.".to_owned()
        } else {
            format!("`{}`", describe_creation(path, owner))
        };
        return findings.add_failure_with_summary("directories", &summary, format!("{summary}; {consequence}"), fix);
    }
    let verb = if *needs_write { "write to" } else { "read" };
    if let Some(unit_paths) = unit_paths
        && let Some(fix) = find_unit_fault(path, *needs_write, unit_paths)
    {
        let summary = format!("the service's unit cannot {verb} {shown} of {user}");
        return findings.add_failure_with_summary("directories", &summary, format!("{summary}; {consequence}"), fix);
    }
    if can_use_directory(path, owner, *needs_write) == Some(false) {
        let summary = format!("the service's user cannot {verb} {shown} of {user}");
        let fix = describe_access_fix(path, owner);
        findings.add_failure_with_summary("directories", &summary, format!("{summary}; {consequence}"), fix);
    }
}

fn describe_creation(path: &Path, owner: Option<u32>) -> String {
    let shown = path.display();
    match owner {
        Some(owner) => format!("mkdir -p {shown} && chown {owner}: {shown}"),
        None => format!("mkdir -p {shown}"),
    }
}

fn describe_access_fix(path: &Path, owner: Option<u32>) -> String {
    let is_read_only =
        rustix::fs::statvfs(path).is_ok_and(|disk| disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    if is_read_only {
        return "The file system is mounted read-only: mount it for writing. `dmesg` may give the reason.".to_owned();
    }
    let owner = owner.map_or_else(|| "novex-ingest".to_owned(), |owner| owner.to_string());
    format!("Give it to the service: `chown {owner}: {}`, or add the service's user to its group", path.display())
}

/// Returns the fix if the service's unit has no access to a directory. The unit makes the file system read-only, except
/// its own directory and `ReadWritePaths`.
fn find_unit_fault(path: &Path, needs_write: bool, unit_paths: &str) -> Option<String> {
    if HIDDEN_DIRECTORIES.iter().any(|hidden| path.starts_with(hidden)) {
        return Some(format!(
            "The unit hides /home and /root: use a directory such as /srv/novex in place of {}.",
            path.display()
        ));
    }
    // A path can begin with - or +, see systemd.exec(5).
    let writable = unit_paths.split_whitespace().map(|writable| writable.trim_start_matches(['-', '+']));
    let is_writable = writable.chain(["/var/lib/novex-ingest"]).any(|writable| path.starts_with(writable));
    (needs_write && !is_writable).then(|| {
        format!(
            "`systemctl edit novex-ingest.service` with the lines [Service] and ReadWritePaths={}; then \
             `systemctl restart novex-ingest.service`",
            path.display()
        )
    })
}

/// Returns whether the service's user can use a directory, or None if this user cannot find out.
fn can_use_directory(path: &Path, owner: Option<u32>, needs_write: bool) -> Option<bool> {
    use rustix::fs::Access;
    let user = rustix::process::geteuid();
    let access = if needs_write { Access::WRITE_OK | Access::EXEC_OK } else { Access::READ_OK | Access::EXEC_OK };
    match owner {
        Some(owner) if owner == user.as_raw() => Some(rustix::fs::access(path, access).is_ok()),
        Some(owner) if user.is_root() => {
            let test = format!("test -{} \"$0\" && test -x \"$0\"; echo $?", if needs_write { 'w' } else { 'r' });
            let output = Command::new("setpriv")
                .args([format!("--reuid={owner}"), format!("--regid={owner}"), "--init-groups".to_owned()])
                .args(["sh", "-c", &test])
                .arg(path)
                .output()
                .ok()?;
            match String::from_utf8_lossy(&output.stdout).trim() {
                "0" => Some(true),
                "1" => Some(false),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_must_list_a_directory_outside_of_its_own() {
        let fault = |path: &str, needs_write| find_unit_fault(Path::new(path), needs_write, "/srv/a -/mnt/usb");
        for fine in ["/srv/a", "/srv/a/in", "/mnt/usb/x", "/var/lib/novex-ingest/sps/out"] {
            assert_eq!(fault(fine, true), None, "{fine}");
        }
        assert_eq!(fault("/srv/b", false), None, "reading needs no entry");
        assert!(fault("/srv/b", true).unwrap().contains("ReadWritePaths=/srv/b"));
        assert!(fault("/home/ada/in", false).unwrap().contains("hides /home"));
    }
}
