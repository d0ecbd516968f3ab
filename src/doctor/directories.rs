//! Checks of the directories that the service reads and writes: local EDI sources, `sps.outgoing`, and destinations of
//! type directory.

use crate::config::Config;
use crate::delivery::destinations::DestinationKind;
use crate::doctor::Findings;
use crate::doctor::units::{is_packaged, query_systemctl};
use crate::files::parent_directory;
use crate::presentation::program::quote_word;
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
    /// Consequence if the service cannot read the directory.
    unreadable: &'static str,
    /// Consequence if the service cannot write to the directory; None if it only reads there.
    unwritable: Option<&'static str>,
}

/// The user of the service: the owner of the directory with the database.
struct ServiceUser {
    uid: u32,
    gid: u32,
    /// None if the machine has no name for it.
    name: Option<String>,
}

impl ServiceUser {
    fn detect(config: &Config) -> Option<Self> {
        let data = fs::metadata(parent_directory(&config.store.path)).ok()?;
        let name = query_id(&["-un", &data.uid().to_string()]);
        let gid = name.as_ref().and_then(|name| query_id(&["-g", name])?.parse().ok()).unwrap_or(data.gid());
        Some(Self { uid: data.uid(), gid, name })
    }

    /// Returns the user for `chown` and `usermod`.
    fn user(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uid.to_string())
    }

    /// Returns the user with its group, for `chown`.
    fn user_and_group(&self) -> String {
        // chown knows the group of a named user only.
        self.name.as_ref().map_or_else(|| format!("{}:{}", self.uid, self.gid), |name| format!("{name}:"))
    }

    /// Returns whether the service's user has each right of `rights`, such as `rx`, or None if this user cannot find
    /// out.
    fn has_rights(&self, path: &Path, rights: &str) -> Option<bool> {
        use rustix::fs::Access;
        let user = rustix::process::geteuid();
        if self.uid == user.as_raw() {
            let access = rights.chars().fold(Access::empty(), |access, right| match right {
                'r' => access | Access::READ_OK,
                'w' => access | Access::WRITE_OK,
                _ => access | Access::EXEC_OK,
            });
            return Some(rustix::fs::access(path, access).is_ok());
        }
        if !user.is_root() {
            return None;
        }
        let tests: Vec<String> = rights.chars().map(|right| format!("test -{right} \"$0\"")).collect();
        let groups = if self.name.is_some() { "--init-groups" } else { "--clear-groups" };
        let output = Command::new("setpriv")
            .args([format!("--reuid={}", self.uid), format!("--regid={}", self.gid), groups.to_owned()])
            .args(["sh", "-c", &format!("{}; echo $?", tests.join(" && "))])
            .arg(path)
            .output()
            .ok()?;
        match String::from_utf8_lossy(&output.stdout).trim() {
            "0" => Some(true),
            "1" => Some(false),
            _ => None,
        }
    }
}

/// Returns the output of `id`, which asks the same directories as a login. None if it fails.
fn query_id(arguments: &[&str]) -> Option<String> {
    let output = Command::new("id").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|text| !text.is_empty())
}

pub(crate) fn check_directories(config: &Config, findings: &mut Findings) {
    let count_before = findings.count();
    let needed = collect_directories(config);
    let unit_paths = is_packaged(config)
        .then(|| query_systemctl(&["show", "--property=ReadWritePaths", "--value", "novex-ingest.service"]));
    let service_user = ServiceUser::detect(config);
    for directory in &needed {
        check_directory(directory, service_user.as_ref(), unit_paths.as_deref(), findings);
    }
    if !needed.is_empty() && findings.count() == count_before {
        findings.add_passed("directories", "the service can use every directory of the configuration");
    }
}

fn collect_directories(config: &Config) -> Vec<NeededDirectory> {
    const EVENTS_WAIT: &str = "its events wait";
    let mut needed = Vec::new();
    for destination in &config.destinations {
        if let DestinationKind::Directory { path, .. } | DestinationKind::EdiDirectory { path } = &destination.kind {
            needed.push(NeededDirectory {
                path: path.clone(),
                user: format!("destination {}", destination.name),
                unreadable: EVENTS_WAIT,
                unwritable: Some(EVENTS_WAIT),
            });
        }
    }
    for source in config.sps.iter().flat_map(|sps| &sps.sources) {
        if let SourceLocation::Local { path } = &source.location {
            // Files are moved or deleted there.
            let is_changed = source.after_download != AfterDownload::Leave;
            needed.push(NeededDirectory {
                path: path.clone(),
                user: format!("EDI source {}", source.name),
                unreadable: "no file is received from it",
                unwritable: is_changed.then_some("its files stay there, and each poll finds them again"),
            });
        }
    }
    needed
}

fn check_directory(
    directory: &NeededDirectory,
    service_user: Option<&ServiceUser>,
    unit_paths: Option<&str>,
    findings: &mut Findings,
) {
    let NeededDirectory { path, user, unreadable, unwritable } = directory;
    let shown = path.display();
    let unit_fix = unit_paths.and_then(|paths| find_unit_fault(path, unwritable.is_some(), paths));
    let mut add = |summary: String, consequence: &str, fix: String| {
        // A directory that the unit hides is of no use with any rights.
        let fix = match &unit_fix {
            Some(unit_fix) if is_hidden(path) => unit_fix.clone(),
            Some(unit_fix) if !fix.is_empty() => format!("{fix}; then {unit_fix}"),
            Some(unit_fix) => unit_fix.clone(),
            None => fix,
        };
        findings.add_failure_with_summary("directories", &summary, format!("{summary}; {consequence}"), fix);
    };
    if !path.is_dir() {
        let is_there = fs::symlink_metadata(path).is_ok();
        let what = if is_there { "is not a directory" } else { "does not exist" };
        let fix = if is_there {
            "Move the file away, or name another directory in the configuration".to_owned()
        } else {
            format!("`{}`", describe_creation(path, service_user))
        };
        return add(format!("{shown} of {user} {what}"), unreadable, fix);
    }
    let lacks = |rights| service_user.and_then(|service_user| service_user.has_rights(path, rights)) == Some(false);
    let (verb, consequence) = match unwritable {
        _ if lacks("rx") => ("read", unreadable),
        Some(unwritable) if lacks("wx") => ("write to", unwritable),
        _ if unit_fix.is_none() => return,
        Some(unwritable) => {
            return add(format!("the service's unit cannot write to {shown} of {user}"), unwritable, String::new());
        }
        None => return add(format!("the service's unit cannot read {shown} of {user}"), unreadable, String::new()),
    };
    let fix = service_user.map(|service_user| describe_access_fix(path, service_user, unwritable.is_some()));
    add(format!("the service's user cannot {verb} {shown} of {user}"), consequence, fix.unwrap_or_default());
}

fn describe_creation(path: &Path, service_user: Option<&ServiceUser>) -> String {
    let shown = quote_path(path);
    match service_user {
        Some(service_user) => format!("mkdir -p {shown} && chown {} {shown}", service_user.user_and_group()),
        None => format!("mkdir -p {shown}"),
    }
}

fn quote_path(path: &Path) -> String {
    quote_word(&path.display().to_string())
}

/// Returns the command that lets the service use a directory, and takes the directory away from nobody.
fn describe_access_fix(path: &Path, service_user: &ServiceUser, needs_write: bool) -> String {
    let is_read_only =
        rustix::fs::statvfs(path).is_ok_and(|disk| disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    if needs_write && is_read_only {
        return "The file system is mounted read-only: mount it for writing. `dmesg` may give the reason".to_owned();
    }
    let mut ancestors: Vec<&Path> = path.ancestors().skip(1).collect();
    ancestors.reverse();
    if let Some(closed) = ancestors.into_iter().find(|ancestor| service_user.has_rights(ancestor, "x") == Some(false)) {
        return format!("Let the service's user pass {}: `chmod o+x {0}`", quote_path(closed));
    }
    let Ok(data) = fs::metadata(path) else { return String::new() };
    let rights = if needs_write { "rwx" } else { "rx" };
    describe_permission_change(&quote_path(path), (data.uid(), data.gid()), service_user, rights)
}

/// Returns the commands for a directory of `owner`, a user and a group. Its group keeps it, and a user other than root
/// too.
fn describe_permission_change(shown: &str, (uid, gid): (u32, u32), service_user: &ServiceUser, rights: &str) -> String {
    let user = service_user.user();
    if uid == service_user.uid {
        format!("`chmod u+{rights} {shown}`")
    } else if uid == 0 {
        format!("`chown {user} {shown} && chmod u+{rights} {shown}`: the group stays")
    } else if gid == 0 {
        format!("`chgrp {} {shown} && chmod g+{rights} {shown}`: the owner stays", service_user.gid)
    } else if gid == service_user.gid {
        format!("`chmod g+{rights} {shown}`")
    } else {
        let group = query_group_name(gid).unwrap_or_else(|| gid.to_string());
        format!(
            "`usermod -aG {group} {user} && chmod g+{rights} {shown}`: owner and group stay; then restart the service"
        )
    }
}

fn query_group_name(gid: u32) -> Option<String> {
    let output = Command::new("getent").args(["group", &gid.to_string()]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split(':').next().filter(|name| !name.is_empty()).map(str::to_owned)
}

fn is_hidden(path: &Path) -> bool {
    HIDDEN_DIRECTORIES.iter().any(|hidden| path.starts_with(hidden))
}

/// Returns the fix if the service's unit has no access to a directory. The unit makes the file system read-only, except
/// its own directory and `ReadWritePaths`.
fn find_unit_fault(path: &Path, needs_write: bool, unit_paths: &str) -> Option<String> {
    if is_hidden(path) {
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

    /// A group such as `erp` keeps its directory, and so does a user other than root.
    #[test]
    fn access_takes_a_directory_away_from_nobody() {
        let service_user = ServiceUser { uid: 990, gid: 991, name: Some("novex-ingest".to_owned()) };
        let fix = |owner| describe_permission_change("/srv/erp", owner, &service_user, "rwx");
        assert_eq!(fix((0, 500)), "`chown novex-ingest /srv/erp && chmod u+rwx /srv/erp`: the group stays");
        assert_eq!(fix((990, 500)), "`chmod u+rwx /srv/erp`");
        assert_eq!(fix((500, 991)), "`chmod g+rwx /srv/erp`");
        assert_eq!(fix((500, 0)), "`chgrp 991 /srv/erp && chmod g+rwx /srv/erp`: the owner stays");
        let shared = fix((500, 4_000_000_000));
        assert!(shared.starts_with("`usermod -aG 4000000000 novex-ingest && chmod g+rwx /srv/erp`"), "{shared}");
        let nameless = ServiceUser { name: None, ..service_user };
        assert_eq!(
            describe_creation(Path::new("/srv/a b"), Some(&nameless)),
            "mkdir -p '/srv/a b' && chown 990:991 '/srv/a b'"
        );
    }

    #[test]
    fn missing_directory_needs_the_unit_too() {
        let directory = NeededDirectory {
            path: PathBuf::from("/srv/novex-missing/in"),
            user: "EDI source acme".to_owned(),
            unreadable: "no file is received from it",
            unwritable: Some("its files stay there, and each poll finds them again"),
        };
        let service_user = ServiceUser { uid: 990, gid: 991, name: Some("novex-ingest".to_owned()) };
        let mut findings = Findings::default();
        check_directory(&directory, Some(&service_user), Some("/srv/erp"), &mut findings);
        let printed = format!("{findings:?}");
        assert!(printed.contains("does not exist; no file is received from it"), "{printed}");
        assert!(printed.contains("chown novex-ingest: /srv/novex-missing/in`; then `systemctl edit"), "{printed}");
        assert!(printed.contains("ReadWritePaths=/srv/novex-missing/in"), "{printed}");
    }
}
