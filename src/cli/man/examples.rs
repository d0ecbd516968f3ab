//! The examples of docs/operate.md, each with its command.

use clap::Command;

/// The page with an example for every command.
const OPERATE_PAGE: &str = include_str!("../../../docs/operate.md");
const PROGRAM: &str = "novex-ingest";

/// An example of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandExample {
    /// Name of the command's manual page, such as `novex-ingest-events-list`.
    pub page: String,
    pub line: String,
    pub comment: Option<String>,
}

/// Returns the examples in the order of the page.
pub fn read_examples(root: &Command) -> Vec<CommandExample> {
    let lines = list_example_lines(OPERATE_PAGE).into_iter();
    lines.filter_map(|line| parse_example(root, line)).collect()
}

/// Returns the examples that begin with the program and name no command of it.
#[cfg(test)]
pub fn find_unknown_commands(root: &Command) -> Vec<String> {
    let own_lines = list_example_lines(OPERATE_PAGE).into_iter().filter(|line| line.starts_with("novex-ingest "));
    own_lines.filter(|line| parse_example(root, line).is_none()).map(str::to_owned).collect()
}

/// Returns the lines of all blocks of shell commands, comments aside.
fn list_example_lines(page: &str) -> Vec<&str> {
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    blocks.flat_map(str::lines).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Finds the command of a line by the names that clap knows: `events remove-tests` is one command below `events`.
fn parse_example(root: &Command, line: &str) -> Option<CommandExample> {
    let (line, comment) = split_comment(line);
    let words: Vec<&str> = line.split_whitespace().collect();
    let starts = words.iter().enumerate().filter(|(_, word)| **word == PROGRAM).map(|(at, _)| at + 1);
    // `sudo -u novex-ingest novex-ingest work` has the user's name before the program's.
    let command = starts.rev().find_map(|start| find_command(root, &words[start..]))?;
    Some(CommandExample {
        page: super::pages::page_name(command).to_owned(),
        line: line.to_owned(),
        comment: comment.map(str::to_owned),
    })
}

/// Returns the command that the words begin with. A command with commands below it needs one of them.
fn find_command<'c>(root: &'c Command, words: &[&str]) -> Option<&'c Command> {
    let mut command = root;
    for word in words {
        if !command.has_subcommands() {
            break;
        }
        command = command.find_subcommand(word)?;
    }
    (!command.has_subcommands()).then_some(command)
}

/// Splits a line at the comment after its command. A `#` inside a word or quotes begins none.
fn split_comment(line: &str) -> (&str, Option<&str>) {
    let mut is_quoted = false;
    let mut previous = ' ';
    for (at, letter) in line.char_indices() {
        match letter {
            '\'' | '"' => is_quoted = !is_quoted,
            '#' if !is_quoted && previous == ' ' => {
                return (line[..at].trim_end(), Some(line[at + 1..].trim()).filter(|text| !text.is_empty()));
            }
            _ => {}
        }
        previous = letter;
    }
    (line.trim_end(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Command {
        let events = Command::new("events").subcommand(Command::new("remove-tests")).subcommand(Command::new("show"));
        let map = Command::new("map").subcommand(Command::new("item"));
        let sps = Command::new("sps").subcommand(map);
        let mut root = Command::new(PROGRAM).subcommand(events).subcommand(sps).subcommand(Command::new("work"));
        root.build();
        root
    }

    #[test]
    fn command_of_an_example_is_found_by_its_names() {
        let page_of = |line: &str| parse_example(&tree(), line).map(|example| example.page);
        for (line, page) in [
            ("novex-ingest events remove-tests --dry-run", "novex-ingest-events-remove-tests"),
            ("novex-ingest events show 17 --body > order.json", "novex-ingest-events-show"),
            ("sudo -u novex-ingest novex-ingest work --once", "novex-ingest-work"),
            ("mkdir man && novex-ingest sps map item B1 4712", "novex-ingest-sps-map-item"),
        ] {
            assert_eq!(page_of(line).as_deref(), Some(page), "{line}");
        }
        for line in [
            "novex-ingest events",
            "novex-ingest events remove",
            "novex-ingest remove-tests",
            "systemctl stop novex-ingest",
        ] {
            assert_eq!(page_of(line), None, "{line}");
        }
    }

    #[test]
    fn comment_begins_outside_of_words_and_quotes() {
        assert_eq!(split_comment("a '#1001'   # by order name"), ("a '#1001'", Some("by order name")));
        assert_eq!(split_comment("a b#c"), ("a b#c", None));
        assert_eq!(split_comment("a '# x' #"), ("a '# x'", None));
    }
}
