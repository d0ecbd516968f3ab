//! A mistake in the configuration: where, what, and the mend.

use std::fmt;
use std::path::{Path, PathBuf};

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// From 1; 0 when it concerns the file as a whole.
    pub line: usize,
    /// `worker.max_attempts`; empty when it concerns no key.
    pub key: String,
    pub problem: String,
    pub mend: String,
}

/// What works but deserves a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub said: String,
    pub mend: String,
    /// Others can read what is not theirs.
    pub is_exposed: bool,
}

impl Warning {
    #[must_use]
    pub fn new(said: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { said: said.into(), mend: mend.into(), is_exposed: false }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.said, self.mend)
    }
}

/// Every mistake of a file, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    pub path: PathBuf,
    pub list: Vec<Mistake>,
}

impl Mistakes {
    /// One mistake that concerns the file as a whole.
    #[must_use]
    pub fn single(path: &Path, problem: impl Into<String>, mend: impl Into<String>) -> Self {
        let mistake = Mistake { line: 0, key: String::new(), problem: problem.into(), mend: mend.into() };
        Self { path: path.to_owned(), list: vec![mistake] }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.path.display())?;
            if mistake.line > 0 {
                write!(f, ":{}", mistake.line)?;
            }
            if !mistake.key.is_empty() {
                write!(f, ": {}", mistake.key)?;
            }
            write!(f, ": {}. {}", mistake.problem, mistake.mend)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
