//! The manual pages, as `man` formats them.

use crate::support::BIN;
use std::fs;
use std::process::{Command, Output};

/// Formats a page of 80 columns as lintian does.
fn format_page(path: &std::path::Path) -> Output {
    Command::new("man")
        .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8"])
        .arg(path)
        .env("LC_ALL", "C.UTF-8")
        .env("MANROFFSEQ", "")
        .env("MANWIDTH", "80")
        .output()
        .unwrap()
}

#[test]
fn man_formats_every_page_without_warnings() {
    let directory = tempfile::tempdir().unwrap();
    let written = Command::new(BIN).args(["man", "--out"]).arg(directory.path()).output().unwrap();
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let pages: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(pages.len() > 50, "{} pages", pages.len());
    for page in pages {
        let output = format_page(&page);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{}: {errors}", page.display());
    }
}

#[test]
fn page_shows_examples_files_environment_and_related_pages() {
    let directory = tempfile::tempdir().unwrap();
    assert!(Command::new(BIN).args(["man", "--out"]).arg(directory.path()).status().unwrap().success());
    let shown = |name: &str| {
        let text = String::from_utf8(format_page(&directory.path().join(name)).stdout).unwrap();
        // Bold text is a letter, a backspace and the letter again.
        let mut plain = String::new();
        for letter in text.chars() {
            match letter {
                '\u{8}' => {
                    plain.pop();
                }
                _ => plain.push(letter),
            }
        }
        plain
    };
    let retry = shown("novex-ingest-events-retry.1");
    for part in [
        "EXAMPLES",
        "novex-ingest events retry --status failed --dry-run",
        "/etc/novex-ingest/config.toml",
        "NOVEX_CONFIG",
        "novex-ingest-events-show(1)",
        "novex-ingest.toml(5)",
    ] {
        assert!(retry.contains(part), "{part} is not in {retry}");
    }
    let events = shown("novex-ingest-events.1");
    assert!(
        events.contains("novex-ingest events retry 17 18") && events.contains("novex-ingest-events-tail(1)"),
        "{events}"
    );
    let config = shown("novex-ingest.toml.5");
    for part in ["[[destinations]]", "breaker_failures", "default: 5", "FILES", "novex-ingest-config-check(1)"] {
        assert!(config.contains(part), "{part} is not in {config}");
    }
}
