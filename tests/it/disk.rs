//! A small disk that can be full.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A file system of its own, unmounted when it goes.
pub struct Disk(pub PathBuf);

impl Disk {
    /// Mounts one of so much room, `6m`; `None` where that is not allowed.
    pub fn mount(path: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&path).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(path));
        }
        println!("skipped: a file system of its own cannot be mounted here (that needs root)");
        None
    }

    /// Gives it more room.
    pub fn grow(&self, size: &str) {
        let grown = Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(&self.0).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}
