//! The box: its clock, its disk, who may read what.

use super::Findings;
use crate::cli::output::bytes;
use crate::config::Config;
use crate::server::tls;
use crate::store::backup;
use crate::store::prune::used_percent;
use crate::store::with_end;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

pub(super) fn look(config: &Config, findings: &mut Findings) {
    who(config, findings);
    clock(findings);
    let directory =
        config.store.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    disk(config, directory, findings);
    syncs(directory, findings);
    modes(config, findings);
}

/// What others may not read, they cannot look at.
fn who(config: &Config, findings: &mut Findings) {
    let user = rustix::process::geteuid();
    let owner = fs::metadata(&config.store.path).map(|data| data.uid());
    if !user.is_root() && owner.is_ok_and(|owner| owner != user.as_raw()) {
        findings.note(
            "user",
            "whoever runs this is neither root nor the service's user: what cannot be read is called wrong or left out",
            "sudo novex-ingest doctor",
        );
    }
}

/// Without an hour that others agree on, EasyPost's signatures and the deadlines of retries are off.
fn clock(findings: &mut Findings) {
    let synced =
        ["/run/systemd/timesync/synchronized", "/run/chrony/chronyd.sock", "/run/ntpd.sock", "/var/lib/ntp/ntp.drift"];
    if synced.iter().any(|path| Path::new(path).exists()) {
        findings.well("clock", "it is kept by a time service");
    } else {
        findings.note(
            "clock",
            "no time service is known to keep it",
            "apt install systemd-timesyncd, or another one: signatures with a time are refused when the clock is off.",
        );
    }
}

fn disk(config: &Config, directory: &Path, findings: &mut Findings) {
    let disk = match rustix::fs::statvfs(directory) {
        Ok(disk) => disk,
        Err(error) => {
            let mend = "Check that store.path is right; `novex-ingest serve` makes the database.";
            return findings.wrong("disk", format!("{}: {error}", directory.display()), mend);
        }
    };
    if disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        let mend = "`dmesg` says why; when the disk is sound, mount it for writing or restart the box.";
        let said = format!("the disk of {} is mounted read-only: nothing can be stored", directory.display());
        findings.wrong("disk", said, mend);
    }
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let percent = used_percent(&disk);
    let said = format!("{percent} % full, {} free", bytes(free));
    if free < config.store.min_free_bytes {
        let mend = "Free space on it, or take off what is old: novex-ingest prune --squeeze.";
        findings.wrong(
            "disk",
            format!("{said}: less than store.min_free_bytes, so that nothing new is taken (503)"),
            mend,
        );
    } else if percent >= config.retention.warn_percent {
        findings.note("disk", said, "Free space on it, or take off what is old: novex-ingest prune --squeeze.");
    } else {
        findings.well("disk", said);
    }
    // A write-ahead log needs memory that all processes share: not over a network.
    let kind = rustix::fs::statfs(directory).map_or(0, |system| system.f_type);
    let name = match kind {
        0x6969 => Some("NFS"),
        0x517B | 0xFE53_4D42 | 0xFF53_4D42 => Some("SMB"),
        0x0102_1994 | 0x8584_58F6 => Some("memory"),
        _ => None,
    };
    if let Some(name) = name {
        let mend = "Put store.path on a disk of this box: what is acknowledged would be lost or damaged there.";
        findings.wrong("disk", format!("the database lies on {name}"), mend);
    }
    if directory.exists() && rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_err() {
        findings.note(
            "disk",
            format!("{} cannot be written by who runs this", directory.display()),
            "Run this as root or as the user novex-ingest.",
        );
    }
}

/// A disk that says at once that all is written keeps it in a cache that a power cut empties.
fn syncs(directory: &Path, findings: &mut Findings) {
    const ROUNDS: u32 = 20;
    /// Less than the way to any device and back.
    const TOO_FAST: Duration = Duration::from_micros(15);
    // Never through a link that somebody laid there.
    let path = directory.join(format!(".doctor-{:016x}", fastrand::u64(..)));
    let measured = (|| {
        let mut file = OpenOptions::new().create_new(true).write(true).open(&path)?;
        // Without a name from now on: nothing is left of it, however this ends.
        fs::remove_file(&path)?;
        let mut fastest = Duration::MAX;
        for _ in 0..ROUNDS {
            file.write_all(&[0; 4096])?;
            let start = Instant::now();
            file.sync_data()?;
            fastest = fastest.min(start.elapsed());
        }
        std::io::Result::Ok(fastest)
    })();
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    match measured {
        Err(_) => {}
        Ok(fastest) if fastest < TOO_FAST => findings.note(
            "sync",
            format!("the disk says in {fastest:?} that a write is safe, which no disk can"),
            "Ask whoever runs the disk or the virtual machine whether it keeps what was synced over a power cut (write cache, \"unsafe\" cache mode).",
        ),
        Ok(fastest) => findings.well("sync", format!("a write is safe on the disk after {fastest:?} at the best")),
    }
}

/// What others than the service may read or write.
fn modes(config: &Config, findings: &mut Findings) {
    let mut files = vec![config.store.path.clone(), config.path.clone(), tls::files(&config.tls).private_key];
    files.extend(backup::beside(&config.store.path));
    files.extend(["-wal", "-shm"].map(|end| with_end(&config.store.path, end)));
    let mut sound = true;
    for file in files {
        let Ok(data) = fs::metadata(&file) else { continue };
        let mode = data.permissions().mode() & 0o777;
        // The configuration holds no secret; nobody else may change it.
        let bad = if file == config.path { mode & 0o022 } else { mode & 0o007 };
        if bad != 0 {
            sound = false;
            let mend = format!("chmod {} {}", if file == config.path { "go-w" } else { "o-rwx" }, file.display());
            findings.wrong(
                "files",
                format!("{} has mode {mode:o}: every user of this box may use it", file.display()),
                mend,
            );
        }
    }
    let secrets = config.path.parent().map(|parent| parent.join("secrets"));
    let directories = [config.store.path.parent(), config.path.parent(), secrets.as_deref()].into_iter().flatten();
    for directory in directories.filter(|directory| !directory.as_os_str().is_empty()) {
        // One where everybody may write but nobody may touch what is another's is /tmp: for trying out.
        let Ok(mode) = fs::metadata(directory).map(|data| data.permissions().mode()) else { continue };
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            sound = false;
            let said = format!("every user of this box may put files into {}", directory.display());
            findings.wrong("files", said, format!("chmod o-w {}", directory.display()));
        }
    }
    if let (Ok(database), Some(directory)) = (fs::metadata(&config.store.path), config.store.path.parent())
        && let Ok(directory_data) = fs::metadata(directory)
        && database.uid() != directory_data.uid()
    {
        sound = false;
        let owner = format!("chown --reference={} {}*", directory.display(), config.store.path.display());
        findings.wrong(
            "files",
            "the database belongs to another user than its directory: the service cannot write it",
            owner,
        );
    }
    if sound {
        findings.well("files", "nobody else may read or change them");
    }
}
