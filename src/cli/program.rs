//! The program in the commands of messages, with the options that select the configuration, so that each command works
//! as printed.

use crate::cli::GlobalArgs;
use crate::config::INSTALLED_CONFIG_PATH;
use std::path::Path;
use std::sync::OnceLock;

/// The program of this process, as [`describe_program`] returns it.
static PROGRAM: OnceLock<String> = OnceLock::new();

/// Sets the program for the messages of this process.
pub(crate) fn remember_program(global: &GlobalArgs) {
    let _ = PROGRAM.set(describe_program(global));
}

/// Returns the program with the options that select the configuration, as a shell reads them.
fn describe_program(global: &GlobalArgs) -> String {
    match &global.config {
        _ if global.dev => "novex-ingest --dev".to_owned(),
        Some(path) if path != Path::new(INSTALLED_CONFIG_PATH) => {
            format!("novex-ingest --config {}", quote_word(&path.display().to_string()))
        }
        _ => "novex-ingest".to_owned(),
    }
}

/// Returns a message in which each command in backticks has the options of this process. Call it once, where a message
/// leaves the process: a second call repeats the options. [`crate::cli::output::print_line`] calls it for text.
#[must_use]
pub fn complete_commands(text: &str) -> String {
    complete_commands_with(PROGRAM.get().map_or("novex-ingest", String::as_str), text)
}

/// Returns a message in which each command in backticks begins with `program`.
fn complete_commands_with(program: &str, text: &str) -> String {
    ["`", "`sudo "].iter().fold(text.to_owned(), |text, start| {
        text.replace(&format!("{start}novex-ingest "), &format!("{start}{program} "))
    })
}

/// Returns a word of a command as a shell reads it.
pub(crate) fn quote_word(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quote_word("/srv/x.toml"), "/srv/x.toml");
        assert_eq!(quote_word("it's"), r"'it'\''s'");
        assert_eq!(quote_word(""), "''");
    }

    #[test]
    fn commands_name_the_configuration() {
        assert_eq!(
            complete_commands_with(
                "novex-ingest --config /srv/x.toml",
                "run `novex-ingest doctor` or `sudo novex-ingest doctor`, see novex-ingest.service",
            ),
            "run `novex-ingest --config /srv/x.toml doctor` or `sudo novex-ingest --config /srv/x.toml doctor`, see \
             novex-ingest.service"
        );
    }
}
