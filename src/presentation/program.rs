//! The program in the commands of messages, with the options that select the configuration, so that each command works
//! as printed.

use std::sync::OnceLock;

/// The program of this process, with the options that select the configuration.
static PROGRAM: OnceLock<String> = OnceLock::new();

/// Sets the program for the messages of this process: `novex-ingest --config /srv/x.toml`, as a shell reads it.
pub(crate) fn remember_program(program: String) {
    let _ = PROGRAM.set(program);
}

/// Returns a message in which each command in backticks has the options of this process. Call it once, where a message
/// leaves the process: a second call repeats the options. The command line does so for each line that it prints.
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
