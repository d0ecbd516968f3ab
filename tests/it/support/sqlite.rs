//! Debian's sqlite3 shell: queries on a database, and a lock on it.

use super::Home;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Returns the output of Debian's sqlite3 for a query.
pub fn sql(db: &Path, query: &str) -> String {
    let output = Command::new("sqlite3")
        .args(["-cmd", ".timeout 20000", "-batch"])
        .arg(db)
        .arg(query)
        .output()
        .expect("sqlite3 is installed");
    assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// A sqlite3 shell with an open write transaction, as an operator can leave it.
pub struct DatabaseLock(Child);

impl DatabaseLock {
    pub fn acquire(home: &Home) -> Self {
        let mut child = Command::new("sqlite3")
            .arg(home.db())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sqlite3 is installed");
        writeln!(child.stdin.as_mut().unwrap(), ".timeout 20000\nBEGIN IMMEDIATE;\nSELECT 'locked';").unwrap();
        let mut line = [0; 7];
        child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        assert_eq!(&line, b"locked\n");
        Self(child)
    }

    pub fn release(mut self) {
        writeln!(self.0.stdin.as_mut().unwrap(), "COMMIT;").unwrap();
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}
