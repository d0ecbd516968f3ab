//! `man`: prints the manual page, or writes one page per command and the page of the configuration.
//!
//! The pages have one source each: the definitions of clap, the examples of docs/operate.md, docs/configuration.md.

mod config_page;
mod examples;
mod pages;
mod roff;

use crate::cli::{Cli, CliError, output};
use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for every command, and the page of the configuration, into this directory
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
}

pub fn run_man(args: &ManArgs) -> Result<(), CliError> {
    let root = build_command_tree();
    let examples = examples::read_examples(&root);
    match &args.out {
        Some(directory) => write_pages(&root, &examples, directory)?,
        None => output::open_stdout().write_all(&pages::render_command_page(&root, &root, &examples)?)?,
    }
    Ok(())
}

/// Returns the commands with their full names. `help` has no page: `man` itself is the help.
fn build_command_tree() -> Command {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    root
}

fn write_pages(root: &Command, examples: &[examples::CommandExample], directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("{} cannot be created", directory.display()))?;
    let write = |name: String, page: &[u8]| {
        let path = directory.join(name);
        fs::write(&path, page).map_err(|error| anyhow::anyhow!("{} cannot be written: {error}", path.display()))
    };
    for command in list_commands(root) {
        let page = pages::render_command_page(root, command, examples)?;
        write(format!("{}.1", pages::page_name(command)), &page)?;
    }
    write("novex-ingest.toml.5".to_owned(), config_page::render_config_page().as_bytes())
}

/// Returns a command and everything below it, hidden commands aside.
fn list_commands(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().filter(|command| !command.is_hide_set()).flat_map(list_commands);
    std::iter::once(command).chain(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command is hyphenated (`events remove-tests`) or nested (`sps map item`): clap knows its name.
    #[test]
    fn every_command_has_an_example() {
        let root = build_command_tree();
        let examples = examples::read_examples(&root);
        let lacks_example = |command: &&Command| {
            !command.has_subcommands() && !examples.iter().any(|example| example.page == pages::page_name(command))
        };
        let missing: Vec<String> = list_commands(&root)
            .into_iter()
            .filter(lacks_example)
            .map(|command| {
                let name = command.get_bin_name().unwrap_or_default();
                format!(
                    "{name} has no example: add a line that begins with `{name}` to a block ```sh of docs/operate.md"
                )
            })
            .collect();
        assert!(missing.is_empty(), "\n{}", missing.join("\n"));
    }

    #[test]
    fn every_example_names_a_command() {
        let unknown = examples::find_unknown_commands(&build_command_tree());
        assert!(
            unknown.is_empty(),
            "docs/operate.md has examples of commands that do not exist:\n{}",
            unknown.join("\n")
        );
    }

    #[test]
    fn every_page_has_all_sections() {
        let root = build_command_tree();
        let examples = examples::read_examples(&root);
        for command in list_commands(&root) {
            let page = String::from_utf8(pages::render_command_page(&root, command, &examples).unwrap()).unwrap();
            for section in ["NAME", "EXAMPLES", "EXIT STATUS", "FILES", "ENVIRONMENT", "SEE ALSO"] {
                let heading = format!("\n.SH \"{section}\"\n");
                let found = page.contains(&heading) || page.contains(&heading.replace('"', ""));
                assert!(found, "{} has no section {section}", pages::page_name(command));
            }
        }
    }
}
