//! The language of the project, in code, documents and everything that a person reads: docs/STYLE.md has the rules,
//! this file checks those that a program can check.

use crate::support::root;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Words of the private dialect that this project once had, each with the words to use.
const BANNED: &[(&str, &str)] = &[
    ("mend", "fix"),
    ("mends", "fixes"),
    ("mended", "fixed"),
    ("told", "reported, stated, given"),
    ("tell", "report, distinguish"),
    ("tells", "reports, distinguishes"),
    ("said", "stated, message"),
    ("whoever", "name the actor"),
    ("anew", "again"),
    ("so many", "the number"),
    ("parcel", "event, delivery, package"),
    ("parcels", "events, deliveries, packages"),
    ("courier", "dispatcher"),
    ("fate", "result, outcome"),
    ("trouble", "error"),
    ("troubles", "errors"),
    ("keeper", "renewer, lease"),
    ("janitor", "retention"),
    ("doors", "authenticators"),
    ("heir", "sole release"),
    ("stands in", "is in"),
    ("stand in", "are in"),
];

/// The one page that quotes these words, and this list.
const EXCEPTIONS: [&str; 2] = ["docs/STYLE.md", "tests/it/words.rs"];

/// Returns every text file of the project that people read, with its path.
fn written_files() -> Vec<(String, String)> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    // A source archive has no repository; it has the same files as the checkout that was tested.
    if !listed.status.success() {
        println!("skipped: this is no git checkout");
        return Vec::new();
    }
    let is_data = |path: &str| {
        ["fuzz/seeds/", "tests/it/golden/", "src/daemon_client/samples/", "LICENSE"]
            .iter()
            .any(|start| path.starts_with(start))
            || Path::new(path).extension().is_some_and(|extension| extension == "lock")
    };
    let listed = String::from_utf8(listed.stdout).unwrap();
    let paths = listed.split('\0').filter(|path| !path.is_empty() && !is_data(path) && !EXCEPTIONS.contains(path));
    paths.filter_map(|path| Some((path.to_owned(), fs::read_to_string(root().join(path)).ok()?))).collect()
}

/// Splits a line into lower-case words, also inside identifiers: `RetryLater` and `retry_later` are two words each.
fn words_of(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in line.chars() {
        if !letter.is_alphabetic() || (letter.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        if letter.is_alphabetic() {
            words.last_mut().unwrap().extend(letter.to_lowercase());
        }
        was_lower = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn words_are_split_at_case_and_punctuation() {
    assert_eq!(words_of("let retry_later = RetryLater::new(17);"), ["let", "retry", "later", "retry", "later", "new"]);
}

#[test]
fn nothing_uses_words_of_the_dialect() {
    let mut found = Vec::new();
    for (path, text) in written_files() {
        for (number, line) in text.lines().enumerate() {
            let words = format!(" {} ", words_of(line).join(" "));
            for (banned, better) in BANNED {
                if words.contains(&format!(" {banned} ")) {
                    found.push(format!("{path}:{}: \"{banned}\": write {better}", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{} places use words that docs/STYLE.md bans:\n{}", found.len(), found.join("\n"));
}

/// A line of code is rustfmt's business; comments and prose are not, so this test looks at them.
const WIDTH_MAX: usize = 120;

#[test]
fn comments_and_markdown_are_at_most_120_columns_wide() {
    let mut found = Vec::new();
    for (path, text) in written_files() {
        let comment = match path.rsplit('.').next() {
            Some("rs") => Some("//"),
            Some("sql") => Some("--"),
            Some("toml" | "service" | "socket" | "timer") => Some("#"),
            Some("md") => None,
            _ => continue,
        };
        let mut in_code_block = false;
        for (number, line) in text.lines().enumerate() {
            in_code_block ^= line.trim_start().starts_with("```");
            // A table row and a line of code cannot be wrapped.
            let is_prose = match comment {
                Some(comment) => line.trim_start().starts_with(comment),
                None => !in_code_block && !line.starts_with('|'),
            };
            if is_prose && line.chars().count() > WIDTH_MAX {
                found.push(format!("{path}:{}: {} columns", number + 1, line.chars().count()));
            }
        }
    }
    assert!(found.is_empty(), "wrap these lines:\n{}", found.join("\n"));
}

/// Most lines of the README: a newcomer reads all of it.
const README_LINES_MAX: usize = 120;

#[test]
fn readme_is_short() {
    let lines = fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines: move details to docs/");
}

/// Doc comments of functions begin with a verb: these words begin a description of something else.
const NO_VERB: [&str; 8] = ["What", "Who", "Whom", "Whether", "That", "Which", "When", "How"];

#[test]
fn doc_comments_of_functions_begin_with_a_verb() {
    let mut found = Vec::new();
    for (path, text) in crate::architecture::sources("src") {
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        for (number, line) in lines.iter().enumerate() {
            let is_first = line.starts_with("/// ") && (number == 0 || !lines[number - 1].starts_with("///"));
            if !is_first {
                continue;
            }
            let item = lines[number..].iter().find(|line| !line.starts_with("///") && !line.starts_with("#["));
            let is_function = item.is_some_and(|item| {
                let words: Vec<&str> = item.split_whitespace().take(5).collect();
                words.contains(&"fn") && !item.starts_with("let")
            });
            let first = line.trim_start_matches("/// ").split_whitespace().next().unwrap_or_default();
            if is_function && NO_VERB.contains(&first) {
                found.push(format!("{path}:{}: {line}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "begin these with a verb, as in \"Returns …\":\n{}", found.join("\n"));
}
