//! House rules that the compiler does not keep, read from the source text.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under a folder of the project, with its text; paths are relative to the project.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    found.sort();
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// The crate's modules that a text names, each as `module` or `module::sub`.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let path: String =
            rest.chars().take_while(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ':')).collect();
        found.insert(path.trim_end_matches(':').to_owned());
    }
    found
}

#[test]
fn imports_go_one_way() {
    // folder or file → what it may name of the crate, by prefix.
    let allowed: [(&str, &[&str]); 13] = [
        ("src/outbound.rs", &["clock"]),
        ("src/acme/", &["acme", "server::challenge", "server::expiry", "server::tls", "outbound", "secret", "clock"]),
        ("src/clock.rs", &[]),
        ("src/secret.rs", &[]),
        ("src/formats/", &["formats"]),
        ("src/proof.rs", &["secret"]),
        ("src/store/", &["store", "formats", "clock", "proof"]),
        ("src/providers/", &["providers", "store::envelope", "formats", "proof", "secret", "clock"]),
        (
            "src/handlers/",
            &[
                "handlers",
                "store::changes",
                "store::erasure",
                "store::privacy",
                "store::projection",
                "store::system_log",
                "store::tables",
                "formats",
                "clock",
            ],
        ),
        (
            "src/destinations/",
            &["destinations", "sps::transport", "sps::Source", "outbound", "proof", "secret", "clock"],
        ),
        ("src/queue/", &["queue", "destinations", "handlers", "store", "clock"]),
        ("src/sps/", &["sps", "providers", "queue", "store", "outbound", "secret", "clock"]),
        ("src/server/", &["server", "providers", "store", "sps::schedule", "config::sections", "clock"]),
    ];
    for (name, text) in sources("src") {
        assert!(
            !text.contains("super::super::") || text.contains("#[cfg(test)]"),
            "{name} names a module by a way around"
        );
        let Some((_, allowed)) = allowed.iter().find(|(place, _)| name.starts_with(place)) else { continue };
        for import in imports(&text) {
            let fits = |prefix: &&str| import == **prefix || import.starts_with(&format!("{prefix}::"));
            assert!(allowed.iter().any(fits), "{name} names crate::{import}; it may name {allowed:?}");
        }
    }
    let kept =
        sources("src").iter().filter(|(name, _)| allowed.iter().any(|(place, _)| name.starts_with(place))).count();
    assert!(kept > 35, "{kept} files were looked at");
}

/// The files whose text has `needle`, comments aside.
fn files_with(needle: &str) -> Vec<String> {
    let has = |text: &str| text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(needle));
    sources("src").into_iter().filter(|(_, text)| has(text)).map(|(name, _)| name).collect()
}

#[test]
fn only_the_store_opens_connections() {
    for needle in ["Connection::open", "SqliteConnectionManager"] {
        for file in files_with(needle) {
            assert!(file.starts_with("src/store/"), "{file} has {needle}");
        }
    }
    assert_eq!(files_with("Connection::open_with_flags"), ["src/store/open.rs"]);
}

#[test]
fn only_a_proof_makes_an_authentic_body_and_only_a_provider_an_envelope() {
    assert_eq!(files_with("Authentic {"), ["src/proof.rs"]);
    assert!(
        fs::read_to_string(root().join("src/proof.rs"))
            .unwrap()
            .contains("pub struct Authentic {\n    body: Bytes,\n}")
    );
    for file in files_with("Verified::new(") {
        assert!(file.starts_with("src/providers/"), "{file} makes a Verified");
    }
    for proof in ["hmac_sha256(", "bearer(", "basic("] {
        for file in files_with(proof) {
            assert!(file.starts_with("src/providers/") || file == "src/proof.rs", "{file} proves by {proof}");
        }
    }
    let envelope = fs::read_to_string(root().join("src/store/envelope.rs")).unwrap();
    assert!(envelope.contains("pub struct Verified {\n    envelope: Envelope,\n    authentic: Authentic,\n}"));
}

#[test]
fn only_the_clock_reads_the_time() {
    for needle in ["Timestamp::now", "SystemTime"] {
        assert!(files_with(needle).iter().all(|file| file == "src/clock.rs"), "{:?} have {needle}", files_with(needle));
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_small() {
    for (name, text) in [sources("src"), sources("tests"), sources("benches")].concat() {
        assert!(text.starts_with("//!"), "{name} does not begin with its doc");
        let lines = text.lines().count();
        assert!(lines < 500, "{name} has {lines} lines: split it by responsibility");
        for left_over in ["TODO", "FIXME", "todo!(", "unimplemented!(", "dbg!("] {
            assert!(!text.contains(left_over) || name.ends_with("architecture.rs"), "{name} has {left_over}");
        }
    }
}

#[test]
fn the_schema_loads_in_the_systems_sqlite_and_explains_itself() {
    let directory = tempfile::tempdir().unwrap();
    let db = directory.path().join("empty.db");
    crate::util::sql(&db, &format!(".read {}", root().join("schema.sql").display()));
    let kept = |kind: &str| {
        crate::util::sql(
            &db,
            &format!("SELECT name FROM sqlite_schema WHERE type = '{kind}' AND name NOT LIKE 'sqlite_%'"),
        )
    };
    for object in [kept("table"), kept("view")].iter().flat_map(|names| names.lines()) {
        let text = crate::util::sql(&db, &format!("SELECT sql FROM sqlite_schema WHERE name = '{object}'"));
        let second = text.lines().nth(1).unwrap_or_default().trim_start();
        assert!(second.starts_with("--"), "{object} does not say what it is");
        for line in text.lines() {
            let line = line.trim_start();
            let mut words = line.split_whitespace();
            let column = words.next().is_some_and(|word| {
                word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            }) && words
                .next()
                .is_some_and(|word| ["TEXT", "INTEGER", "BLOB"].contains(&word.trim_end_matches(',')));
            assert!(!column || line.contains("--"), "{object}: {line} does not say what it is");
        }
    }
    for view in ["queue", "failures", "deliveries", "throughput_by_hour", "conflicts"] {
        assert!(kept("view").lines().any(|name| name == view), "{view}");
    }
    for view in kept("view").lines() {
        // A view is parsed when it is read, not when it is made.
        crate::util::sql(&db, &format!("SELECT * FROM {view} LIMIT 1"));
    }
    for view in ["queue", "failures"] {
        let plan = crate::util::sql(&db, &format!("EXPLAIN QUERY PLAN SELECT * FROM {view}"));
        assert!(plan.contains("USING INDEX webhook_events_"), "{plan}");
        assert!(
            !plan.lines().any(|line| line.ends_with("SCAN webhook_events")),
            "{view} walks through all events: {plan}"
        );
    }
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let files = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    if !files.status.success() {
        println!("skipped: this is no git checkout");
        return;
    }
    let home = std::env::var("HOME").unwrap_or_default();
    for name in String::from_utf8(files.stdout).unwrap().split('\0').filter(|name| !name.is_empty()) {
        let Ok(text) = fs::read_to_string(root().join(name)) else { continue };
        let checkout = root().display().to_string();
        assert!(!text.contains(&checkout), "{name} names the directory of this checkout");
        assert!(home.len() < 5 || !text.contains(&home), "{name} names somebody's home");
    }
}
