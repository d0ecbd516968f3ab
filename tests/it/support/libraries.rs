//! Programs in Python and JavaScript, with the libraries that `tests/setup` installs.

use super::root;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Language of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Python,
    JavaScript,
}

/// Returns the directory of the libraries.
pub fn libraries() -> PathBuf {
    let directory = root().join("target/test-tools");
    assert!(directory.join("pins").exists(), "{} has no libraries: run tests/setup", directory.display());
    directory
}

/// Runs a program with `input` on its standard input. JavaScript is a module (`import`).
pub fn run_program(language: Language, program: &str, input: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut command = match language {
        Language::Python => {
            let file = directory.path().join("program.py");
            std::fs::write(&file, program).unwrap();
            let mut command = Command::new("python3");
            command.arg(file).env("PYTHONPATH", libraries().join("python")).env("PYTHONDONTWRITEBYTECODE", "1");
            command
        }
        Language::JavaScript => {
            // Modules are found from the directory of the program.
            let modules = directory.path().join("node_modules");
            std::os::unix::fs::symlink(libraries().join("node_modules"), modules).unwrap();
            let file = directory.path().join("program.mjs");
            std::fs::write(&file, program).unwrap();
            let mut command = Command::new("node");
            command.arg(file);
            command
        }
    };
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{language:?}: {error}; run tests/setup"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs a program that must succeed; returns its standard output.
pub fn run_program_ok(language: Language, program: &str, input: &str) -> String {
    let output = run_program(language, program, input);
    assert!(output.status.success(), "{language:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
