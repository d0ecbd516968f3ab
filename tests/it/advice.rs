//! The commands in messages of the program.

use clap::Parser;
use novex_ingest::cli::Cli;

/// Every command in a message of the program is one that it accepts: advice works as printed.
#[test]
fn commands_in_messages_are_accepted() {
    let mut found = 0;
    for (path, text) in crate::architecture::sources("src") {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        // A backslash at the end of a line continues a text.
        let mut text = String::new();
        for line in lines {
            if let Some(start) = line.strip_suffix('\\') {
                text.push_str(start);
            } else {
                text.push_str(line);
                text.push('\n');
            }
        }
        for line in text.lines() {
            for command in line.split('`').skip(1).map(|command| command.trim_start_matches("sudo ")) {
                let Some(arguments) = command.strip_prefix("novex-ingest ") else { continue };
                let arguments = fill_placeholders(arguments);
                let words = arguments.split_whitespace().filter(|word| !word.contains('"'));
                let parsed = Cli::try_parse_from(["novex-ingest"].into_iter().chain(words));
                let is_accepted = parsed.as_ref().err().is_none_or(|error| error.exit_code() == 0);
                assert!(is_accepted, "{path}: {command}: {}", parsed.unwrap_err());
                found += 1;
            }
        }
    }
    assert!(found > 40, "{found} commands");
}

/// Replaces `{name}` by `1`, which is a number and a name.
fn fill_placeholders(text: &str) -> String {
    let mut replaced = String::new();
    for (index, part) in text.split('{').enumerate() {
        match part.split_once('}') {
            Some((_, rest)) if index > 0 => {
                replaced.push('1');
                replaced.push_str(rest);
            }
            _ => replaced.push_str(part),
        }
    }
    replaced
}
