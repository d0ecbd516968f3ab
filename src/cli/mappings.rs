//! `mappings`: maps the products of a shop to items of the ERP, one by one or from a CSV file.

use crate::cli::filters::parse_number;
use crate::cli::output::print_line;
use crate::cli::rows::RowFormatArgs;
use crate::cli::store::{name_operator, with_store};
use crate::cli::table::{free_text, print_table};
use crate::cli::{CliError, GlobalArgs, output};
use crate::config::{Config, SecretLoading};
use crate::spreadsheet::mappings_csv::{
    CSV_COLUMNS, MappingsFile, read_mappings_csv, validate_mapping, write_mappings_csv,
};
use crate::store::access::Actor;
use crate::store::db::reader::Reader;
use crate::store::erp::mapping_warnings::find_mapping_warnings;
use crate::store::erp::mappings;
use crate::store::erp::mappings::ProductMapping;
use crate::text::replace_control_chars;
use crate::text::{clean_code, format_count};
use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

/// Most warnings of one command.
const WARNINGS_MAX: usize = 20;

#[derive(Debug, clap::Subcommand)]
pub enum MappingsCommand {
    /// List mappings, or with --unmapped the sold products that have none
    List(MappingsListArgs),
    /// Add or change a mapping, and complete the order lines that wait for it
    Add(MappingsAddArgs),
    /// Remove a mapping; the order lines that it completed wait again
    Remove(MappingKeyArgs),
    /// Import mappings from a CSV file, all or none; columns: shop_domain,variant_id,sku,item,factor,note
    #[expect(clippy::doc_markdown, reason = "help has no markup")]
    Import(MappingsImportArgs),
    /// Export all mappings as CSV, in the form that import reads
    Export,
}

#[derive(Debug, Args)]
pub struct MappingsListArgs {
    /// List sold products without a mapping, those on most orders first
    #[arg(long)]
    unmapped: bool,
    #[command(flatten)]
    format: RowFormatArgs,
}

/// Columns of products without a mapping in CSV.
const UNMAPPED_COLUMNS: [&str; 8] =
    ["shop_domain", "sku", "variant_id", "title", "variant_title", "lines", "orders", "first_order"];

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("product").required(true).args(["variant", "sku"])))]
pub struct MappingKeyArgs {
    /// Shop: NAME.myshopify.com
    #[arg(long)]
    shop: String,
    /// Variant id of Shopify; takes precedence over a mapping by SKU
    #[arg(long, value_name = "NUMBER", value_parser = parse_number::<i64>)]
    variant: Option<i64>,
    /// SKU on the order line
    #[arg(long)]
    sku: Option<String>,
}

#[derive(Debug, Args)]
pub struct MappingsAddArgs {
    #[command(flatten)]
    key: MappingKeyArgs,
    /// Item number of the ERP
    #[arg(long)]
    item: String,
    /// ERP units in one unit of Shopify: 12 for a case that the ERP counts in pieces
    #[arg(long, default_value = "1")]
    factor: String,
    /// Note for people
    #[arg(long)]
    note: Option<String>,
}

#[derive(Debug, Args)]
pub struct MappingsImportArgs {
    /// CSV file; - for standard input
    file: PathBuf,
    /// Check the file, and import nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run_mappings(global: &GlobalArgs, command: MappingsCommand) -> Result<(), CliError> {
    Ok(match command {
        MappingsCommand::List(args) if args.unmapped => print_unmapped_products(&global.open_reader()?, args.format),
        MappingsCommand::List(args) => print_mappings(&global.open_reader()?, args.format),
        MappingsCommand::Add(args) => {
            let MappingsAddArgs { key, item, factor, note } = args;
            let mapping = validate_mapping(&key.shop, key.variant, key.sku, item, factor, note);
            let mapping = mapping.map_err(|problems| CliError::Usage(problems.join("; ")))?;
            save_mappings(global, vec![mapping])
        }
        MappingsCommand::Remove(key) => remove_mapping(global, key),
        MappingsCommand::Import(args) => import_mappings(global, &args),
        MappingsCommand::Export => export_mappings(&global.open_reader()?),
    }?)
}

fn print_unmapped_products(reader: &Reader, format: RowFormatArgs) -> anyhow::Result<()> {
    let rows = reader.read(mappings::list_unmapped_products)?;
    if format.print_rows(&UNMAPPED_COLUMNS, &rows)? {
        return Ok(());
    }
    if rows.is_empty() {
        print_line("Every sold product has a mapping.")?;
        return Ok(());
    }
    print_table(
        &["SHOP", "SKU", "VARIANT", "TITLE", "LINES", "ORDERS", "FIRST ORDER"],
        rows.into_iter().map(|row| {
            let title: Vec<String> = row.title.into_iter().chain(row.variant_title).collect();
            vec![
                row.shop_domain.into(),
                row.sku.unwrap_or_default().into(),
                row.variant_id.map_or(String::new(), |id| id.to_string()).into(),
                free_text(title.join(", ")),
                row.lines.to_string().into(),
                row.orders.to_string().into(),
                row.first_order.unwrap_or_default().into(),
            ]
        }),
    )?;
    Ok(())
}

fn print_mappings(reader: &Reader, format: RowFormatArgs) -> anyhow::Result<()> {
    let rows = reader.read(mappings::list_product_mappings)?;
    if format.print_rows(&CSV_COLUMNS, &rows)? {
        return Ok(());
    }
    print_table(
        &["SHOP", "VARIANT", "SKU", "ITEM", "FACTOR", "NOTE"],
        rows.into_iter().map(|row| {
            vec![
                row.shop_domain.into(),
                row.variant_id.map_or(String::new(), |id| id.to_string()).into(),
                row.sku.unwrap_or_default().into(),
                row.item.into(),
                row.factor.into(),
                free_text(row.note.unwrap_or_default()),
            ]
        }),
    )?;
    Ok(())
}

fn save_mappings(global: &GlobalArgs, mappings: Vec<ProductMapping>) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    print_warnings(&config, &mappings)?;
    let saved = format_count(mappings.len(), "mapping", "mappings");
    let actor = Actor::from_operator(name_operator(None));
    let (before, after) = with_store(&config, async |store| Ok(store.map_products(mappings, actor).await?))?;
    let completed = format_count(before - after, "order line", "order lines");
    let waiting = format_count(after, "still waits", "still wait");
    let hint = if after > 0 { " (`novex-ingest mappings list --unmapped`)" } else { "" };
    print_line(&format!("{saved} saved; {completed} completed, {waiting}{hint}"))?;
    Ok(())
}

fn remove_mapping(global: &GlobalArgs, key: MappingKeyArgs) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    let actor = Actor::from_operator(name_operator(None));
    let (shop, sku) = (key.shop.to_ascii_lowercase(), key.sku.map(|sku| clean_code(&sku)));
    let removed = with_store(&config, async |store| Ok(store.unmap_product(shop, key.variant, sku, actor).await?))?;
    if !removed {
        bail!("there is no such mapping; `novex-ingest mappings list` lists all");
    }
    print_line("Mapping removed; the order lines that it completed wait again.")?;
    Ok(())
}

fn import_mappings(global: &GlobalArgs, args: &MappingsImportArgs) -> anyhow::Result<()> {
    let name = args.file.display();
    let bytes = if args.file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes)?;
        bytes
    } else {
        fs::read(&args.file).with_context(|| format!("{name} cannot be read"))?
    };
    let MappingsFile { dialect, mappings, .. } = read_mappings_csv(&bytes).map_err(|errors| {
        let lines: Vec<String> = errors
            .iter()
            .map(|error| format!("{name}:{}: {}", error.line, replace_control_chars(&error.message)))
            .collect();
        anyhow::anyhow!("{}\nNothing was imported: fix these lines and import the file again", lines.join("\n"))
    })?;
    if args.dry_run {
        print_warnings(&global.load_config(SecretLoading::Skip)?, &mappings)?;
        let valid = format_count(mappings.len(), "mapping is", "mappings are");
        print_line(&format!("Read as {dialect}. {valid} valid; nothing was imported"))?;
        return Ok(());
    }
    print_line(&format!("Read as {dialect}."))?;
    save_mappings(global, mappings)
}

/// Prints a warning for each shop and product that is not known. The mappings are saved all the same: the first order
/// may come later.
fn print_warnings(config: &Config, mappings: &[ProductMapping]) -> anyhow::Result<()> {
    let configured: Vec<&str> = config.shopify.iter().map(|shop| shop.domain.as_str()).collect();
    let reader = Reader::open(&config.store.path, 1)?;
    let warnings = reader.read(|connection| find_mapping_warnings(connection, &configured, mappings))?;
    for warning in warnings.iter().take(WARNINGS_MAX) {
        eprintln!("warning: {}", replace_control_chars(warning));
    }
    if warnings.len() > WARNINGS_MAX {
        eprintln!("warning: {} more unknown products are not listed", warnings.len() - WARNINGS_MAX);
    }
    Ok(())
}

fn export_mappings(reader: &Reader) -> anyhow::Result<()> {
    let mappings = reader.read(mappings::list_product_mappings)?;
    write_mappings_csv(mappings, output::open_stdout())
}
