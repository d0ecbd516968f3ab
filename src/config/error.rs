//! Configuration errors and warnings: line, key, message and hint.

use std::fmt;
use std::path::{Path, PathBuf};

/// One error in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// From 1; 0 if the error concerns the whole file.
    pub line: usize,
    /// Qualified name such as `worker.max_attempts`; empty if the error concerns no key.
    pub key: String,
    /// The fact, without a full stop.
    pub message: String,
    /// The fix, a sentence.
    pub hint: String,
}

/// A setting that works but needs attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWarning {
    pub message: String,
    pub hint: String,
    /// Other users of this machine can read a secret.
    pub is_secret_exposed: bool,
}

impl ConfigWarning {
    #[must_use]
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), is_secret_exposed: false }
    }
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.message, self.hint)
    }
}

/// All errors of a file, ordered by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    pub path: PathBuf,
    pub errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// Returns one error that concerns the whole file.
    #[must_use]
    pub fn single(path: &Path, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let error = ConfigError { line: 0, key: String::new(), message: message.into(), hint: hint.into() };
        Self { path: path.to_owned(), errors: vec![error] }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.path.display())?;
            if error.line > 0 {
                write!(f, ":{}", error.line)?;
            }
            if !error.key.is_empty() {
                write!(f, ": {}", error.key)?;
            }
            write!(f, ": {}. {}", error.message, error.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
