//! `users`: adds, lists and removes users of the console, and sets their passwords and roles.

use crate::access::{Role, password};
use crate::cli::output::print_line;
use crate::cli::rows::RowFormatArgs;
use crate::cli::store::{name_operator, with_store};
use crate::cli::table::{print_table, time_cell};
use crate::cli::{CliError, GlobalArgs};
use crate::config::SecretLoading;
use crate::store::access::Actor;
use crate::store::access::users::{self, ConsoleUser, UserChange};
use anyhow::{Context, bail};
use clap::Args;
use std::io::{IsTerminal, Read};

#[derive(Debug, clap::Subcommand)]
pub enum UsersCommand {
    /// Add a user; asks for the password
    Add(UserAddArgs),
    /// List the users with their roles
    List(UsersListArgs),
    /// Remove a user and end the user's sessions
    Remove(UserNameArgs),
    /// Set the password of a user and end the user's sessions; asks for the password
    Password(UserPasswordArgs),
    /// Set the role of a user
    Role(UserRoleArgs),
    /// Remove the one-time codes of a user who lost the device, and end the user's sessions
    Totp(UserTotpArgs),
}

#[derive(Debug, Args)]
pub struct UserAddArgs {
    /// Name that the user enters at the sign-in
    #[arg(value_parser = users::parse_user_name)]
    name: String,
    /// Rights: viewer reads, operator also retries and maps, admin also manages users
    #[arg(long, default_value = "operator")]
    role: Role,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
pub struct UsersListArgs {
    #[command(flatten)]
    format: RowFormatArgs,
}

#[derive(Debug, Args)]
pub struct UserNameArgs {
    /// Name of the user
    name: String,
}

#[derive(Debug, Args)]
pub struct UserPasswordArgs {
    /// Name of the user
    name: String,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
pub struct UserRoleArgs {
    /// Name of the user
    name: String,
    /// Rights: viewer reads, operator also retries and maps, admin also manages users
    role: Role,
}

#[derive(Debug, Args)]
pub struct UserTotpArgs {
    /// Name of the user
    name: String,
    /// Sign in without codes until the user sets them up again
    #[arg(long, required = true)]
    reset: bool,
}

pub fn run_users(global: &GlobalArgs, command: &UsersCommand) -> Result<(), CliError> {
    let actor = Actor::from_operator(name_operator(None));
    match command {
        UsersCommand::List(args) => return Ok(print_users(global, args)?),
        UsersCommand::Add(args) => {
            let hash = read_password_hash(&args.name, args.password_stdin)?;
            let change = change_users(global, async |store| {
                store.add_user(args.name.clone(), args.role, Some(hash), actor).await
            })?;
            report_change(change, &args.name)?;
            print_line(&format!("Added {} {}. Sign in at the console.", args.role.as_str(), args.name))?;
        }
        UsersCommand::Remove(args) => {
            let change = change_users(global, async |store| store.remove_user(args.name.clone(), actor).await)?;
            report_change(change, &args.name)?;
            print_line(&format!("Removed {}; the sessions ended.", args.name))?;
        }
        UsersCommand::Password(args) => {
            let hash = read_password_hash(&args.name, args.password_stdin)?;
            let change = change_users(global, async |store| {
                store.set_user_password(args.name.clone(), hash, None, actor).await
            })?;
            report_change(change, &args.name)?;
            print_line(&format!("Set the password of {}; the sessions ended.", args.name))?;
        }
        UsersCommand::Role(args) => {
            let change =
                change_users(global, async |store| store.set_user_role(args.name.clone(), args.role, actor).await)?;
            report_change(change, &args.name)?;
            print_line(&format!("{} is now {}.", args.name, args.role.as_str()))?;
        }
        UsersCommand::Totp(args) => {
            let change =
                change_users(global, async |store| store.remove_totp_key(args.name.clone(), None, actor).await)?;
            report_change(change, &args.name)?;
            print_line(&format!(
                "Removed the one-time codes of {}; the sessions ended. The password alone is enough now.",
                args.name
            ))?;
        }
    }
    Ok(())
}

fn change_users(
    global: &GlobalArgs,
    change: impl AsyncFnOnce(&crate::store::Store) -> Result<UserChange, crate::store::StoreError>,
) -> anyhow::Result<UserChange> {
    let config = global.load_config(SecretLoading::Skip)?;
    with_store(&config, async |store| Ok(change(store).await?))
}

fn report_change(change: UserChange, name: &str) -> anyhow::Result<()> {
    match change.describe_refusal(name) {
        None => Ok(()),
        Some(text) => bail!("{text}"),
    }
}

fn print_users(global: &GlobalArgs, args: &UsersListArgs) -> anyhow::Result<()> {
    const COLUMNS: [&str; 7] = ["id", "name", "role", "created_at", "changed_at", "last_login_at", "totp_confirmed_at"];
    let users: Vec<ConsoleUser> = global.open_reader()?.read(users::list_users)?;
    if args.format.print_rows(&COLUMNS, &users)? {
        return Ok(());
    }
    if users.is_empty() {
        print_line("No users, so nobody can sign in to the console: `novex-ingest users add NAME --role admin`")?;
        return Ok(());
    }
    let times = global.time_format();
    print_table(
        &["NAME", "ROLE", "CREATED", "LAST SIGN-IN", "CODES"],
        users.iter().map(|user| {
            vec![
                user.name.as_str().into(),
                user.role.as_str().into(),
                time_cell(&times, Some(&user.created_at)),
                time_cell(&times, user.last_login_at.as_deref()),
                if user.totp_confirmed_at.is_some() { "yes".into() } else { "no".into() },
            ]
        }),
    )?;
    Ok(())
}

/// Reads a new password, twice from a terminal, and returns its hash.
fn read_password_hash(user: &str, from_stdin: bool) -> anyhow::Result<String> {
    let text = if from_stdin {
        let mut text = String::new();
        std::io::stdin().lock().take(4096).read_to_string(&mut text).context("standard input is no text")?;
        text.lines().next().unwrap_or_default().to_owned()
    } else {
        if !std::io::stdin().is_terminal() {
            bail!("standard input is no terminal, so nobody can enter a password: use --password-stdin");
        }
        let first = rpassword::prompt_password(format!("Password for {user}: "))?;
        if first != rpassword::prompt_password("The same password again: ")? {
            bail!("the passwords differ; nothing was changed");
        }
        first
    };
    password::check_password(&text, user).map_err(|message| anyhow::anyhow!("{message}; nothing was changed"))?;
    password::hash_password(&text)
}
