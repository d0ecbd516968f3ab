//! Checks of backups: the directory of the nightly ones, and the newest backup.

use crate::backup_target::describe_file_in_place;
use crate::config::Config;
use crate::doctor::Findings;
use crate::doctor::units::{BACKUP_SERVICE, is_packaged, query_systemctl};
use crate::files::parent_directory;
use crate::presentation::quantities::format_duration;
use crate::store::db::backup;
use crate::text::format_count;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Greatest age of the newest backup. The timer makes one each night.
const BACKUP_AGE_SECONDS_MAX: u64 = 2 * 86_400;

/// Reports each file with events that a daemon rescued when its database was deleted or replaced.
pub(crate) fn check_rescued_files(config: &Config, findings: &mut Findings) {
    for file in backup::list_rescued_files(&config.store.path) {
        let file = file.display();
        findings.add_failure(
            "database",
            format!("another program deleted or replaced the database; {file} has the events up to then"),
            format!(
                "If events are missing: stop the service, then `novex-ingest restore {file}`. Then move the file to \
                 another directory."
            ),
        );
    }
}

/// Returns true if the directory of the nightly backups has one.
pub(crate) fn has_backup(config: &Config) -> bool {
    !backup::list_backups_in(&find_nightly_directory(config)).is_empty()
}

/// Checks that the database exists and that all backups are of it. `lineage` is None if it cannot be read.
///
/// The finding stays until the lost database is restored, or until somebody moves its backups elsewhere.
fn check_lineage(
    config: &Config,
    lineage: Option<(String, String)>,
    directory: &Path,
    newest: &Path,
    findings: &mut Findings,
) {
    let database = config.store.path.display();
    let Some((lineage, created_at)) = lineage else {
        if !config.store.path.exists() {
            let fix = format!(
                "If its disk is not mounted, mount it. Otherwise stop the service, then `novex-ingest restore {}`. \
                 Do not start the service before.",
                newest.display()
            );
            findings.add_failure("database", format!("{database} does not exist, but backups of it do"), fix);
        }
        return;
    };
    let is_other = |path: &PathBuf| backup::read_backup_lineage(path).is_some_and(|other| other != lineage);
    let others: Vec<PathBuf> = backup::list_backups_in(directory).into_iter().filter(is_other).collect();
    let Some(newest) = others.iter().max() else { return };
    let count = format_count(others.len(), "backup", "backups");
    findings.add_failure(
        "database",
        format!(
            "{database} was created at {created_at}, and {} has {count} of another, earlier database, whose events are \
             not in this one",
            directory.display()
        ),
        format!(
            "If that database was lost: stop the service, then `novex-ingest restore {}`. If it is not needed, move its \
             backups to another directory.",
            newest.display()
        ),
    );
}

pub(crate) fn check_backups(config: &Config, lineage: Option<(String, String)>, findings: &mut Findings) {
    let directory = find_nightly_directory(config);
    if !check_nightly_directory(config, &directory, findings) {
        return;
    }
    let shown = directory.display();
    let make_one = format!("`novex-ingest backup {shown}/`");
    let fix = if is_packaged(config) {
        format!("`systemctl enable --now novex-ingest-backup.timer`; now: {make_one}. Keep copies on another disk too.")
    } else {
        format!("{make_one}. Keep copies on another disk too.")
    };
    let Some((path, age)) = find_newest_backup(&directory) else {
        return findings.add_warning("backup", format!("there is none in {shown}"), fix);
    };
    // `backup` verified the copy. Verifying it again takes as long as reading it: `restore --check`.
    if let Err(error) = backup::check_backup_header(&path) {
        let message = format!("the newest backup cannot be restored: {error}");
        return findings.add_failure("backup", message, format!("Make another one: {make_one}"));
    }
    check_lineage(config, lineage, &directory, &path, findings);
    let message = format!("the newest in {shown} is {} old", format_duration(age));
    if age > BACKUP_AGE_SECONDS_MAX {
        findings.add_warning("backup", message, fix);
    } else {
        findings.add_passed("backup", message);
    }
}

/// Returns the newest backup in a directory, with its age in seconds.
pub(crate) fn find_newest_backup(directory: &Path) -> Option<(PathBuf, u64)> {
    let modified_at = |path: &PathBuf| fs::metadata(path).and_then(|data| data.modified()).ok();
    let backups = backup::list_backups_in(directory).into_iter();
    let (at, path) = backups.filter_map(|path| Some((modified_at(&path)?, path))).max()?;
    Some((path, at.elapsed().map_or(0, |age| age.as_secs())))
}

/// Returns the directory of the nightly backups: the target in the timer's unit, else the one beside the database.
pub(crate) fn find_nightly_directory(config: &Config) -> PathBuf {
    let default = parent_directory(&config.store.path).join("backups");
    if !is_packaged(config) {
        return default;
    }
    let command = query_systemctl(&["show", "--property=ExecStart", "--value", BACKUP_SERVICE]);
    parse_backup_target(&command).unwrap_or(default)
}

/// Returns the target in systemd's form of a command: `{ path=… ; argv[]=/usr/bin/novex-ingest backup /mnt/usb … }`.
fn parse_backup_target(command: &str) -> Option<PathBuf> {
    let arguments = command.split("argv[]=").nth(1)?.split(" ; ").next()?;
    let mut words = arguments.split_whitespace().skip_while(|word| *word != "backup").skip(1);
    let target = words.find(|word| word.starts_with('/'))?;
    Some(PathBuf::from(target.trim_end_matches('/')))
}

/// Reports a directory that the nightly backup cannot use. Returns false if it reported one.
fn check_nightly_directory(config: &Config, directory: &Path, findings: &mut Findings) -> bool {
    let Ok(data) = fs::metadata(directory) else { return true };
    let shown = directory.display();
    if !data.is_dir() {
        let message = describe_file_in_place(directory);
        let (fact, _) = message.split_once(": no backup").unwrap_or((&message, ""));
        let fix = format!("`mv {shown} {shown}.db`: it may be a backup. Then `novex-ingest backup {shown}/`");
        findings.add_failure("backup", format!("{fact}; every nightly backup fails"), fix);
        return false;
    }
    let owner = fs::metadata(&config.store.path).map(|data| (data.uid(), data.gid()));
    if let Ok((uid, gid)) = owner
        && data.uid() == 0
        && uid != 0
    {
        findings.add_failure(
            "backup",
            format!(
                "{shown} belongs to root; every nightly backup fails, because the service's user cannot write there"
            ),
            format!("`chown {uid}:{gid} {shown}`"),
        );
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_of_the_unit_is_parsed() {
        let command = "{ path=/usr/bin/novex-ingest ; argv[]=/usr/bin/novex-ingest backup --keep 30 /mnt/usb/ ; \
                       ignore_errors=no ; start_time=[n/a] }";
        assert_eq!(parse_backup_target(command), Some(PathBuf::from("/mnt/usb")));
        assert_eq!(parse_backup_target(""), None);
        assert_eq!(parse_backup_target("{ path=/x ; argv[]=/x restore /y ; }"), None);
    }
}
