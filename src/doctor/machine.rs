//! Checks of the machine: user, clock, disk, and modes of files.

use crate::config::Config;
use crate::doctor::Findings;
use crate::files::{parent_directory, with_suffix};
use crate::presentation::quantities::format_bytes;
use crate::store::audit::alerts::AlertKind;
use crate::store::db::backup;
use crate::store::db::prune::compute_used_percent;
use crate::tls::certificates;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

const FREE_SPACE_FIX: &str = "Free space on it, or delete old events: `novex-ingest prune --squeeze`.";

pub(crate) fn check_machine(config: &Config, findings: &mut Findings) {
    check_user(config, findings);
    check_clock(findings);
    let directory = parent_directory(&config.store.path);
    check_disk(config, findings);
    check_disk_sync(directory, findings);
    check_file_modes(config, findings);
    check_database_owner(&config.store.path, findings);
}

/// Warns a user who may not read all files: other findings are then wrong or missing.
fn check_user(config: &Config, findings: &mut Findings) {
    let user = rustix::process::geteuid();
    let owner = fs::metadata(&config.store.path).map(|data| data.uid());
    if !user.is_root() && owner.is_ok_and(|owner| owner != user.as_raw()) {
        findings.add_warning(
            "user",
            "this user is neither root nor the service's user: checks of files that it cannot read fail or are missing",
            "`sudo novex-ingest doctor`",
        );
    }
}

/// Checks for a time service. With a wrong clock, EasyPost's signatures are rejected and retries are due at a wrong
/// time.
fn check_clock(findings: &mut Findings) {
    let marker_files =
        ["/run/systemd/timesync/synchronized", "/run/chrony/chronyd.sock", "/run/ntpd.sock", "/var/lib/ntp/ntp.drift"];
    if marker_files.iter().any(|path| Path::new(path).exists()) {
        findings.add_passed("clock", "a time service sets it");
    } else {
        findings.add_warning(
            "clock",
            "no known time service sets it; with a wrong clock, EasyPost's signatures are rejected",
            "apt install systemd-timesyncd, or another time service",
        );
    }
}

pub(crate) fn check_disk(config: &Config, findings: &mut Findings) {
    let directory = parent_directory(&config.store.path);
    let disk = match rustix::fs::statvfs(directory) {
        Ok(disk) => disk,
        Err(error) => {
            let fix = "Check that store.path is right; `novex-ingest serve` creates the database.";
            return findings.add_failure("disk", format!("{}: {error}", directory.display()), fix);
        }
    };
    if disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        let message = format!("the disk of {} is mounted read-only: nothing can be stored", directory.display());
        let fix = "`dmesg` gives the reason; once the disk is sound, mount it for writing or restart the machine.";
        findings.add_condition(AlertKind::DiskFull, "", message.clone(), fix);
        findings.add_failure("disk", message, fix);
    }
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let percent = compute_used_percent(&disk);
    let usage = format!("{percent} % full, {} free", format_bytes(free));
    if free < config.store.min_free_bytes {
        let message = format!("{usage}: less than store.min_free_bytes, so that new events are refused (503)");
        findings.add_condition(AlertKind::DiskFull, "", format!("the disk is {message}"), FREE_SPACE_FIX);
        findings.add_failure("disk", message, FREE_SPACE_FIX);
    } else if percent >= config.retention.warn_percent {
        let message = format!("the disk is {usage}; on a full disk the daemon refuses new events");
        findings.add_condition(AlertKind::DiskFull, "", message, FREE_SPACE_FIX);
        findings.add_warning("disk", usage, FREE_SPACE_FIX);
    } else {
        findings.add_passed("disk", usage);
    }
    check_file_system(directory, findings);
    if directory.exists() && rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_err() {
        findings.add_warning(
            "disk",
            format!("this user cannot write to {}", directory.display()),
            "Run this as root or as the user novex-ingest.",
        );
    }
}

/// Checks for file systems on which a write-ahead log does not work: it needs memory that all processes share.
fn check_file_system(directory: &Path, findings: &mut Findings) {
    // Magic numbers of statfs(2).
    let name = match rustix::fs::statfs(directory).map_or(0, |system| system.f_type) {
        0x6969 => "NFS",
        0x517B | 0xFE53_4D42 | 0xFF53_4D42 => "SMB",
        0x0102_1994 | 0x8584_58F6 => "memory",
        _ => return,
    };
    let message = format!("the database is on {name}: acknowledged events can be lost or damaged");
    findings.add_failure("disk", message, "Set store.path to a local disk of this machine.");
}

/// Measures how fast the disk reports a write as durable. An impossible time means that it reports before it writes,
/// and that a power cut loses data.
fn check_disk_sync(directory: &Path, findings: &mut Findings) {
    const SYNC_ROUNDS: u32 = 20;
    /// Less than the round trip to any storage device.
    const SYNC_TIME_MIN: Duration = Duration::from_micros(15);
    // `create_new` follows no link that another user put there.
    let path = directory.join(format!(".doctor-{:016x}", fastrand::u64(..)));
    let fastest_sync = (|| {
        let mut file = OpenOptions::new().create_new(true).write(true).open(&path)?;
        // Without a name, the file disappears however this process ends.
        fs::remove_file(&path)?;
        let mut fastest = Duration::MAX;
        for _ in 0..SYNC_ROUNDS {
            file.write_all(&[0; 4096])?;
            let start = Instant::now();
            file.sync_data()?;
            fastest = fastest.min(start.elapsed());
        }
        std::io::Result::Ok(fastest)
    })();
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    match fastest_sync {
        // `check_disk` reports a directory that cannot be written.
        Err(_) => {}
        Ok(fastest) if fastest < SYNC_TIME_MIN => findings.add_warning(
            "sync",
            format!("the disk reports a write as durable after {fastest:?}: impossible, so a power cut can lose data"),
            "Ask the operator of the disk or the virtual machine whether synced data survives a power cut (write \
             cache, \"unsafe\" cache mode).",
        ),
        Ok(fastest) => findings.add_passed("sync", format!("the fastest durable write took {fastest:?}")),
    }
}

/// Checks that no other user can read or change the files.
fn check_file_modes(config: &Config, findings: &mut Findings) {
    let mut files = vec![
        config.store.path.clone(),
        config.path.clone(),
        certificates::locate_certificate_files(&config.tls).private_key,
    ];
    files.extend(backup::list_backups(&config.store.path));
    files.extend(["-wal", "-shm"].map(|suffix| with_suffix(&config.store.path, suffix)));
    let mut is_sound = true;
    for file in files {
        let Ok(data) = fs::metadata(&file) else { continue };
        let mode = data.permissions().mode() & 0o777;
        // The configuration holds no secret: others may read it, but not change it.
        let (wrong_bits, change) = if file == config.path { (mode & 0o022, "go-w") } else { (mode & 0o007, "o-rwx") };
        if wrong_bits != 0 {
            is_sound = false;
            findings.add_failure(
                "files",
                format!("{} has mode {mode:o}: every user of this machine can use it", file.display()),
                format!("chmod {change} {}", file.display()),
            );
        }
    }
    let secrets = config.path.parent().map(|parent| parent.join("secrets"));
    let directories = [config.store.path.parent(), config.path.parent(), secrets.as_deref()].into_iter().flatten();
    for directory in directories.filter(|directory| !directory.as_os_str().is_empty()) {
        // The sticky bit protects files in a directory such as /tmp, which people use for a trial.
        let Ok(mode) = fs::metadata(directory).map(|data| data.permissions().mode()) else { continue };
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            is_sound = false;
            let message = format!("every user of this machine can create files in {}", directory.display());
            findings.add_failure("files", message, format!("chmod o-w {}", directory.display()));
        }
    }
    if is_sound {
        findings.add_passed("files", "no other user can read or change them");
    }
}

fn check_database_owner(database: &Path, findings: &mut Findings) {
    if let (Ok(data), Some(directory)) = (fs::metadata(database), database.parent())
        && let Ok(directory_data) = fs::metadata(directory)
        && data.uid() != directory_data.uid()
    {
        findings.add_failure(
            "files",
            "the database and its directory belong to different users: the service cannot write to it",
            format!("chown --reference={} {}*", directory.display(), database.display()),
        );
    }
}
