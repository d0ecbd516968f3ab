//! Rules that the compiler does not check, read from the source text. `words` has the rules of language.

use crate::support::root;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every Rust file under a folder of the project, with its text; paths are relative to the project.
pub fn sources(folder: &str) -> Vec<(String, String)> {
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

/// Returns the top-level module of a source path: `store` of `src/store/db/open.rs`, `clock` of `src/clock.rs`.
fn top_module(path: &str) -> String {
    let inside = path.strip_prefix("src/").unwrap();
    inside.split('/').next().unwrap().trim_end_matches(".rs").to_owned()
}

/// Returns the top-level modules that a text names after `crate::`, comments aside.
fn named_modules(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let after_crate = code.flat_map(|line| line.split("crate::").skip(1));
    after_crate
        .map(|rest| rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect())
        .collect()
}

/// The layers from the bottom up. A module imports lower layers only.
const LAYERS: [&[&str]; 16] = [
    &["clock", "secret", "files", "text", "backoff", "byte_budget", "token_bucket", "runtime"],
    &["lenient_json", "presentation", "backup_target", "port_holder"],
    &["proof", "http_client", "keycloak_event", "edi", "access"],
    &["event"],
    &["changes", "transfer", "tls", "logging"],
    &["store", "providers", "handlers"],
    &["queue", "backup_files", "spreadsheet"],
    &["delivery", "edi_poll"],
    &["processor", "server"],
    &["config"],
    &["daemon_client"],
    &["doctor"],
    &["console"],
    &["app"],
    &["cli"],
    &["internals", "lib", "main"],
];

#[test]
fn modules_import_lower_layers_only() {
    let layer = |module: &str| {
        LAYERS
            .iter()
            .position(|layer| layer.contains(&module))
            .unwrap_or_else(|| panic!("src/{module} has no layer: add it to LAYERS and to ARCHITECTURE.md"))
    };
    for (path, text) in sources("src") {
        assert!(!text.contains("super::super::"), "{path} names a module by a way around");
        let module = top_module(&path);
        for named in named_modules(without_tests(&text)).into_iter().filter(|named| *named != module) {
            assert!(layer(&named) < layer(&module), "{path} imports crate::{named}, which is not below {module}");
        }
    }
}

/// The folders of the store from the bottom up; the same rule as for [`LAYERS`].
const STORE_LAYERS: [&str; 7] = ["db", "audit", "access", "events", "privacy", "erp", "leases"];

#[test]
fn folders_of_the_store_import_lower_folders_only() {
    let layer = |folder: &str| STORE_LAYERS.into_iter().position(|name| name == folder);
    for (path, text) in sources("src/store") {
        let inside = path.strip_prefix("src/store/").unwrap();
        let Some((folder, _)) = inside.split_once('/') else { continue };
        let own = layer(folder).unwrap_or_else(|| panic!("src/store/{folder} has no layer: add it to STORE_LAYERS"));
        let code = without_tests(&text).lines().filter(|line| !line.trim_start().starts_with("//"));
        for named in code.flat_map(|line| line.split("crate::store::").skip(1)) {
            let named: String = named.chars().take_while(char::is_ascii_lowercase).collect();
            let Some(other) = layer(&named) else { continue };
            assert!(other <= own, "{path} imports crate::store::{named}, which is not below {folder}");
        }
    }
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
    assert_eq!(files_with("Connection::open_with_flags"), ["src/store/db/open.rs"]);
}

#[test]
fn only_a_proof_makes_an_authentic_body_and_only_a_provider_an_envelope() {
    assert_eq!(files_with("AuthenticBody {"), ["src/proof.rs"]);
    assert!(
        fs::read_to_string(root().join("src/proof.rs"))
            .unwrap()
            .contains("pub struct AuthenticBody {\n    body: Bytes,\n    is_test: bool,\n    /// ")
    );
    for file in files_with("VerifiedWebhook::new(") {
        assert!(file.starts_with("src/providers/"), "{file} makes a VerifiedWebhook");
    }
    for proof in ["verify_hmac_sha256(", "verify_bearer_token(", "verify_basic_auth("] {
        for file in files_with(proof) {
            assert!(file.starts_with("src/providers/") || file == "src/proof.rs", "{file} proves by {proof}");
        }
    }
    let envelope = fs::read_to_string(root().join("src/event.rs")).unwrap();
    assert!(envelope.contains("pub struct VerifiedWebhook {\n    envelope: Envelope,\n    body: AuthenticBody,\n}"));
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
    crate::support::sql(&db, &format!(".read {}", root().join("schema.sql").display()));
    let kept = |kind: &str| {
        crate::support::sql(
            &db,
            &format!("SELECT name FROM sqlite_schema WHERE type = '{kind}' AND name NOT LIKE 'sqlite_%'"),
        )
    };
    for object in [kept("table"), kept("view")].iter().flat_map(|names| names.lines()) {
        let text = crate::support::sql(&db, &format!("SELECT sql FROM sqlite_schema WHERE name = '{object}'"));
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
    for view in ["queue", "failures", "event_history", "throughput_by_hour", "conflicts"] {
        assert!(kept("view").lines().any(|name| name == view), "{view}");
    }
    for view in kept("view").lines() {
        // A view is parsed when it is read, not when it is made.
        crate::support::sql(&db, &format!("SELECT * FROM {view} LIMIT 1"));
    }
    for view in ["queue", "failures"] {
        let plan = crate::support::sql(&db, &format!("EXPLAIN QUERY PLAN SELECT * FROM {view}"));
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
        // The home of root is the same on every machine.
        assert!(home.len() < 5 || home == "/root" || !text.contains(&home), "{name} names somebody's home");
    }
}

/// Returns the code of a file without its unit tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap()
}

/// A reader must know a type by its name alone, without its folder.
#[test]
fn public_type_names_are_unique() {
    let mut definitions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in sources("src") {
        for line in without_tests(&text).lines() {
            let words: Vec<&str> = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            let is_public = line.trim_start().starts_with("pub");
            let keyword = words.iter().position(|word| ["struct", "enum", "trait", "type", "union"].contains(word));
            let Some(name) = keyword.filter(|index| *index <= 2).and_then(|index| words.get(index + 1)) else {
                continue;
            };
            if is_public && name.starts_with(|letter: char| letter.is_ascii_uppercase()) {
                definitions.entry((*name).to_owned()).or_default().push(path.clone());
            }
        }
    }
    assert!(definitions.len() > 200, "{} types were found", definitions.len());
    definitions.retain(|_, paths| paths.len() > 1);
    assert!(definitions.is_empty(), "these type names are defined more than once: {definitions:#?}");
}

#[test]
fn public_functions_have_a_verb_and_an_object() {
    let mut found = Vec::new();
    let mut functions = 0;
    for (path, text) in sources("src") {
        for line in without_tests(&text).lines().filter(|line| line.starts_with("pub")) {
            let Some((_, rest)) = line.split_once("fn ") else { continue };
            functions += 1;
            let name: String = rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
            if !name.contains('_') {
                found.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(functions > 200, "{functions} functions were found");
    // `git grep` and a reader find `claim_events`; nobody finds `claim`.
    assert!(found.is_empty(), "give these functions a verb and an object: {found:#?}");
}
