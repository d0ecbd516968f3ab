//! `tokens`: creates, lists and revokes tokens of programs for the API and the metrics.

use crate::access::TokenScope;
use crate::access::token::{API_TOKEN_PREFIX, SecretToken};
use crate::cli::filters::parse_number;
use crate::cli::output::print_line;
use crate::cli::rows::RowFormatArgs;
use crate::cli::store::{name_operator, with_store};
use crate::cli::table::{free_text, print_table, time_cell};
use crate::cli::{CliError, GlobalArgs};
use crate::config::SecretLoading;
use crate::store::access::Actor;
use crate::store::access::tokens::{self, ApiToken};
use anyhow::bail;
use clap::Args;
use serde_json::json;

#[derive(Debug, clap::Subcommand)]
pub enum TokensCommand {
    /// Create a token, and print it once
    Create(TokenCreateArgs),
    /// List the tokens with their scopes and last uses
    List(TokensListArgs),
    /// Revoke a token: it is refused from now on
    Revoke(TokenRevokeArgs),
}

#[derive(Debug, Args)]
pub struct TokenCreateArgs {
    /// What the token is for
    name: String,
    /// Rights of the token; give the option several times for several rights
    #[arg(long = "scope", required = true, value_name = "SCOPE")]
    scopes: Vec<TokenScope>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct TokensListArgs {
    #[command(flatten)]
    format: RowFormatArgs,
}

#[derive(Debug, Args)]
pub struct TokenRevokeArgs {
    /// Id of the token
    #[arg(value_parser = parse_number::<i64>)]
    id: i64,
}

pub fn run_tokens(global: &GlobalArgs, command: &TokensCommand) -> Result<(), CliError> {
    match command {
        TokensCommand::Create(args) => create_token(global, args)?,
        TokensCommand::List(args) => print_tokens(global, args)?,
        TokensCommand::Revoke(args) => revoke_token(global, args.id)?,
    }
    Ok(())
}

fn create_token(global: &GlobalArgs, args: &TokenCreateArgs) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    let token = SecretToken::generate(API_TOKEN_PREFIX)?;
    let actor = Actor::from_operator(name_operator(None));
    let mut scopes = args.scopes.clone();
    scopes.sort_unstable();
    scopes.dedup();
    let id = with_store(&config, async |store| {
        Ok(store.add_token(args.name.clone(), scopes, token.digest(), actor).await?)
    })?;
    if args.json {
        print_line(&json!({"id": id, "name": args.name, "token": token.expose()}).to_string())?;
    } else {
        print_line(&format!("{}\nThis is token {id}. Nobody can read it again: store it now.", token.expose()))?;
    }
    Ok(())
}

fn print_tokens(global: &GlobalArgs, args: &TokensListArgs) -> anyhow::Result<()> {
    const COLUMNS: [&str; 7] = ["id", "name", "scopes", "created_at", "created_by", "last_used_at", "revoked_at"];
    let tokens: Vec<ApiToken> = global.open_reader()?.read(tokens::list_tokens)?;
    if args.format.print_rows(&COLUMNS, &tokens)? {
        return Ok(());
    }
    if tokens.is_empty() {
        print_line("No tokens: `novex-ingest tokens create NAME --scope read`")?;
        return Ok(());
    }
    let times = global.time_format();
    print_table(
        &["ID", "NAME", "SCOPES", "CREATED", "BY", "LAST USED", "REVOKED"],
        tokens.iter().map(|token| {
            let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
            vec![
                token.id.to_string().into(),
                free_text(token.name.as_str()),
                scopes.join(" ").into(),
                time_cell(&times, Some(&token.created_at)),
                token.created_by.as_str().into(),
                time_cell(&times, token.last_used_at.as_deref()),
                time_cell(&times, token.revoked_at.as_deref()),
            ]
        }),
    )?;
    Ok(())
}

fn revoke_token(global: &GlobalArgs, id: i64) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    let actor = Actor::from_operator(name_operator(None));
    if !with_store(&config, async |store| Ok(store.revoke_token(id, actor).await?))? {
        bail!("no valid token has the id {id}: `novex-ingest tokens list`");
    }
    print_line(&format!("Revoked token {id}; the daemon refuses it from now on."))?;
    Ok(())
}
