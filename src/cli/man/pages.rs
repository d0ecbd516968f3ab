//! The manual page of one command: what clap knows, then examples, files, environment and related pages.

use crate::cli::man::examples::CommandExample;
use crate::cli::man::roff::{escape_text, write_block, write_section, write_term};
use clap::Command;
use clap_mangen::Man;
use std::fmt::Write;
use std::io;

/// Most examples on the page of a command that has commands below it.
const OVERVIEW_EXAMPLES_MAX: usize = 12;

const EXIT_STATUS: [(&str, &str); 3] =
    [("0", "Done."), ("1", "Failed. One line on standard error gives the cause and the fix."), ("2", "Wrong usage.")];

/// Files of the installed package.
pub const FILES: [(&str, &str); 6] = [
    ("/etc/novex-ingest/config.toml", "The configuration; see novex-ingest.toml(5)."),
    ("/etc/novex-ingest/secrets/", "Secrets, one in each file."),
    ("/var/lib/novex-ingest/events.db", "The database: events, queue and ERP tables."),
    ("/var/lib/novex-ingest/backups/", "The nightly backups."),
    ("./var/", "All of these in a checkout, with --dev."),
    ("/usr/share/doc/novex-ingest/", "The documents, schema.sql, and config.toml with every key."),
];

/// Variables that the program reads.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("NOVEX_CONFIG", "The configuration file, if --config is not given."),
    ("NO_COLOR", "If it is set and not empty, output has no colours."),
    ("CREDENTIALS_DIRECTORY", "Directory of the secrets that the configuration names by credential:NAME (systemd)."),
    ("JOURNAL_STREAM", "If it is set, each line of the log has a priority for the journal (systemd)."),
    (
        "LISTEN_FDS, NOTIFY_SOCKET, WATCHDOG_USEC",
        "The socket, the readiness and the watchdog of the service (systemd).",
    ),
    (
        "SUDO_USER, USER",
        "The person whom the records of a truncation, a dismissal and a decision about a redaction name.",
    ),
];

/// Returns the name of a command's page, such as `novex-ingest-events-list`.
pub fn page_name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// Renders the page of a command in the tree below `root`.
pub fn render_command_page(root: &Command, command: &Command, examples: &[CommandExample]) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone()).manual("novex-ingest");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut text = String::new();
    write_notes(&mut text, command);
    write_examples(&mut text, &select_examples(command, examples));
    write_terms(&mut text, "EXIT STATUS", &EXIT_STATUS);
    write_terms(&mut text, "FILES", &FILES);
    write_terms(&mut text, "ENVIRONMENT", &ENVIRONMENT);
    write_see_also(&mut text, &list_related_pages(root, command));
    page.extend_from_slice(text.as_bytes());
    Ok(page)
}

/// Writes the text that `--help` has after the options. Indented lines keep their columns.
fn write_notes(page: &mut String, command: &Command) {
    let Some(help) = command.get_after_long_help().or_else(|| command.get_after_help()) else { return };
    let help = help.to_string();
    write_section(page, "NOTES");
    let mut table: Vec<&str> = Vec::new();
    for line in help.lines().filter(|line| !line.starts_with("Exit status:")) {
        if line.starts_with(' ') {
            table.push(line.trim_end());
            continue;
        }
        if !table.is_empty() {
            write_block(page, table.drain(..));
        }
        let _ = writeln!(page, "{}", if line.is_empty() { ".PP".to_owned() } else { escape_text(line) });
    }
    if !table.is_empty() {
        write_block(page, table);
    }
}

/// Returns the examples of a command. A command with others below it has the first example of each of them.
fn select_examples<'e>(command: &Command, examples: &'e [CommandExample]) -> Vec<&'e CommandExample> {
    if !command.has_subcommands() {
        return examples.iter().filter(|example| example.page == page_name(command)).collect();
    }
    let below = super::list_commands(command).into_iter().filter(|command| !command.has_subcommands());
    below
        .filter_map(|command| examples.iter().find(|example| example.page == page_name(command)))
        .take(OVERVIEW_EXAMPLES_MAX)
        .collect()
}

fn write_examples(page: &mut String, examples: &[&CommandExample]) {
    write_section(page, "EXAMPLES");
    for example in examples {
        let _ = writeln!(page, ".PP");
        if let Some(comment) = &example.comment {
            let _ = writeln!(page, "{}:", escape_text(&capitalize(comment)));
        }
        write_block(page, [example.line.as_str()]);
    }
}

fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// Writes a section of terms with their descriptions.
pub fn write_terms(page: &mut String, heading: &str, terms: &[(&str, &str)]) {
    write_section(page, heading);
    for (term, description) in terms {
        write_term(page, term, description);
    }
}

/// Writes the last section.
pub fn write_see_also(page: &mut String, pages: &[String]) {
    write_section(page, "SEE ALSO");
    let _ = writeln!(page, "{}", escape_text(&pages.join(", ")));
    let _ = writeln!(page, ".PP\nThe documents in {}.", escape_text("/usr/share/doc/novex-ingest/docs/"));
}

/// Returns the pages above a command, beside it and below it.
fn list_related_pages(root: &Command, command: &Command) -> Vec<String> {
    let parent = super::list_commands(root)
        .into_iter()
        .find(|parent| parent.get_subcommands().any(|other| page_name(other) == page_name(command)));
    let near = parent.into_iter().flat_map(|parent| {
        let beside = parent.get_subcommands().filter(|_| page_name(parent) != page_name(root));
        std::iter::once(root).chain(std::iter::once(parent)).chain(beside)
    });
    let all = near.chain(command.get_subcommands()).filter(|other| !other.is_hide_set());
    let mut pages: Vec<String> = Vec::new();
    for other in all.filter(|other| page_name(other) != page_name(command)) {
        let page = format!("{}(1)", page_name(other));
        if !pages.contains(&page) {
            pages.push(page);
        }
    }
    pages.push("novex-ingest.toml(5)".to_owned());
    pages
}
