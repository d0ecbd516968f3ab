//! `mappings`: maps the products of a shop to items of the ERP, one by one or from a CSV file.

use crate::cli::csv_output::{print_csv, restore_cell};
use crate::cli::filters::parse_number;
use crate::cli::output::{format_count, print_line, print_table};
use crate::cli::store::with_store;
use crate::cli::{CliError, GlobalArgs};
use crate::config::SecretLoading;
use crate::store::db::reader::Reader;
use crate::store::erp::mappings;
use crate::store::erp::mappings::ProductMapping;
use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

/// Columns of the CSV file that `import` reads and `export` writes.
const CSV_COLUMNS: [&str; 6] = ["shop_domain", "variant_id", "sku", "item", "factor", "note"];

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
    /// Print one JSON line per row
    #[arg(long)]
    json: bool,
}

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
        MappingsCommand::List(args) if args.unmapped => print_unmapped_products(&global.open_reader()?, args.json),
        MappingsCommand::List(args) => print_mappings(&global.open_reader()?, args.json),
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

/// Returns the mapping, or all its errors.
fn validate_mapping(
    shop_domain: &str,
    variant_id: Option<i64>,
    sku: Option<String>,
    item: String,
    factor: String,
    note: Option<String>,
) -> Result<ProductMapping, Vec<String>> {
    let mut problems = Vec::new();
    if !shop_domain.contains('.') {
        problems.push("the shop must be its domain, NAME.myshopify.com".to_owned());
    }
    if variant_id.is_some() == sku.is_some() {
        problems.push("give either variant_id or sku".to_owned());
    }
    if item.is_empty() {
        problems.push("the item is missing".to_owned());
    }
    let (whole, fraction) = factor.split_once('.').unwrap_or((&factor, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || factor.bytes().all(|byte| b"0.".contains(&byte)) {
        problems.push(format!(
            "the factor {factor:?} is not a decimal number over 0 with at most six digits on each side of the point"
        ));
    }
    let mapping = ProductMapping { shop_domain: shop_domain.to_ascii_lowercase(), variant_id, sku, item, factor, note };
    if problems.is_empty() { Ok(mapping) } else { Err(problems) }
}

fn print_unmapped_products(reader: &Reader, as_json: bool) -> anyhow::Result<()> {
    let rows = reader.read(mappings::list_unmapped_products)?;
    if as_json {
        return rows.iter().try_for_each(|row| Ok(print_line(&serde_json::to_string(row)?)?));
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
                title.join(", ").into(),
                row.lines.to_string().into(),
                row.orders.to_string().into(),
                row.first_order.unwrap_or_default().into(),
            ]
        }),
    )?;
    Ok(())
}

fn print_mappings(reader: &Reader, as_json: bool) -> anyhow::Result<()> {
    let rows = reader.read(mappings::list_product_mappings)?;
    if as_json {
        return rows.iter().try_for_each(|row| Ok(print_line(&serde_json::to_string(row)?)?));
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
                row.note.unwrap_or_default().into(),
            ]
        }),
    )?;
    Ok(())
}

fn save_mappings(global: &GlobalArgs, mappings: Vec<ProductMapping>) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    let saved = format_count(mappings.len(), "mapping", "mappings");
    let (before, after) = with_store(&config, async |store| Ok(store.map_products(mappings).await?))?;
    let completed = format_count(before - after, "order line", "order lines");
    let waiting = format_count(after, "still waits", "still wait");
    let hint = if after > 0 { " (`novex-ingest mappings list --unmapped`)" } else { "" };
    print_line(&format!("{saved} saved; {completed} completed, {waiting}{hint}"))?;
    Ok(())
}

fn remove_mapping(global: &GlobalArgs, key: MappingKeyArgs) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    let removed = with_store(&config, async |store| {
        Ok(store.unmap_product(key.shop.to_ascii_lowercase(), key.variant, key.sku).await?)
    })?;
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
    let mappings = read_mappings_csv(&bytes).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|(line, problem)| format!("{name}:{line}: {problem}")).collect();
        anyhow::anyhow!("{}\nNothing was imported: fix these lines and import the file again", lines.join("\n"))
    })?;
    if args.dry_run {
        let valid = format_count(mappings.len(), "mapping is", "mappings are");
        print_line(&format!("{valid} valid; nothing was imported"))?;
        return Ok(());
    }
    save_mappings(global, mappings)
}

/// Returns all mappings of a CSV file, or all its errors with their lines.
fn read_mappings_csv(bytes: &[u8]) -> Result<Vec<ProductMapping>, Vec<(u64, String)>> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(vec![(1, "the file is UTF-16: save it as \"CSV UTF-8 (comma)\"".to_owned())]);
    }
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(bytes);
    let header = reader.headers().map_err(|error| vec![(1, describe_csv_error(&error))])?.clone();
    let columns = find_csv_columns(&header)
        .map_err(|problems| problems.into_iter().map(|problem| (1, problem)).collect::<Vec<_>>())?;
    let (mut mappings, mut problems): (Vec<ProductMapping>, _) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                problems.push((line, describe_csv_error(&error)));
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        match read_mapping_record(&record, columns) {
            Ok(mapping) => {
                let is_same_product = |other: &ProductMapping| {
                    other.shop_domain == mapping.shop_domain
                        && other.variant_id == mapping.variant_id
                        && other.sku == mapping.sku
                };
                if mappings.iter().any(is_same_product) {
                    problems.push((line, "an earlier line maps the same product".to_owned()));
                }
                mappings.push(mapping);
            }
            Err(problem) => problems.push((line, problem)),
        }
    }
    if problems.is_empty() { Ok(mappings) } else { Err(problems) }
}

fn describe_csv_error(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => {
            "is not UTF-8 (ü in Windows encoding?): save the file as \"CSV UTF-8 (comma)\"".to_owned()
        }
        _ => format!("is not CSV: {error}"),
    }
}

/// Returns the place of each of [`CSV_COLUMNS`] in the header, or the errors of the header.
fn find_csv_columns(header: &csv::StringRecord) -> Result<[Option<usize>; 6], Vec<String>> {
    let names: Vec<&str> = header.iter().map(|name| name.trim_start_matches('\u{feff}')).collect();
    if let [name] = names[..]
        && name.contains(';')
    {
        return Err(vec!["the file uses semicolons: save it as \"CSV UTF-8 (comma)\"".to_owned()]);
    }
    let columns = CSV_COLUMNS.map(|column| names.iter().position(|name| name.eq_ignore_ascii_case(column)));
    let [shop_domain, variant_id, sku, item, ..] = columns;
    let mut problems = Vec::new();
    for (column, name) in [(shop_domain, "shop_domain"), (item, "item")] {
        if column.is_none() {
            problems.push(format!("the first line has no column {name}"));
        }
    }
    for name in names {
        if !CSV_COLUMNS.iter().any(|column| column.eq_ignore_ascii_case(name)) {
            problems.push(format!("the column {name:?} is unknown; known are {}", CSV_COLUMNS.join(", ")));
        }
    }
    if variant_id.is_none() && sku.is_none() {
        problems.push("the first line has neither a column variant_id nor sku".to_owned());
    }
    if problems.is_empty() { Ok(columns) } else { Err(problems) }
}

fn read_mapping_record(record: &csv::StringRecord, columns: [Option<usize>; 6]) -> Result<ProductMapping, String> {
    let [shop_domain, variant_id, sku, item, factor, note] = columns
        .map(|column| column.and_then(|column| record.get(column)).filter(|text| !text.is_empty()).map(restore_cell));
    let parse_variant_id = |text: String| {
        text.parse::<i64>().map_err(|_| {
            format!(
                "the variant_id {text:?} is not a whole number; a spreadsheet rounds long numbers: format the column \
                 as text"
            )
        })
    };
    validate_mapping(
        &shop_domain.unwrap_or_default(),
        variant_id.map(parse_variant_id).transpose()?,
        sku,
        item.unwrap_or_default(),
        factor.unwrap_or_else(|| "1".to_owned()),
        note,
    )
    .map_err(|problems| problems.join("; "))
}

fn export_mappings(reader: &Reader) -> anyhow::Result<()> {
    let rows = reader.read(mappings::list_product_mappings)?;
    print_csv(
        &CSV_COLUMNS,
        rows.into_iter().map(|row| {
            let variant = row.variant_id.map_or(String::new(), |id| id.to_string());
            vec![
                row.shop_domain,
                variant,
                row.sku.unwrap_or_default(),
                row.item,
                row.factor,
                row.note.unwrap_or_default(),
            ]
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_errors(bytes: &[u8]) -> String {
        let problems = read_mappings_csv(bytes).unwrap_err();
        let lines: Vec<String> = problems.iter().map(|(line, problem)| format!("{line}: {problem}\n")).collect();
        lines.concat()
    }

    #[test]
    fn files_of_spreadsheets_are_named_with_the_fix() {
        let semicolons = read_errors(b"shop_domain;variant_id;sku;item\na.myshopify.com;1;;G\n");
        assert_eq!(semicolons, "1: the file uses semicolons: save it as \"CSV UTF-8 (comma)\"\n");
        assert!(read_errors(b"\xff\xfes\0h\0").starts_with("1: the file is UTF-16"));
        let windows = read_errors(b"shop_domain,sku,item,note\na.myshopify.com,J,G,M\xfcsli\n");
        assert!(windows.starts_with("2: is not UTF-8"), "{windows}");
    }
}
