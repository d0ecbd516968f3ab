//! `mappings`: the ERP's item of what a shop sells, by hand or from a CSV file.

use super::output::{self, line, table};
use super::{Failure, Place, work};
use crate::config::Secrets;
use crate::store::mappings::{self, Mapping};
use crate::store::reader::Reader;
use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Mappings, or with --unmapped what is sold and has none
    List(List),
    /// Add a mapping, or change the one that is there: orders that wait for it are completed
    Add(Add),
    /// Take a mapping away: the lines it completed wait again
    Remove(Which),
    /// Add mappings from a CSV file with the columns `shop_domain,variant_id,sku,item,factor,note`; all or none
    Import(Import),
    /// Write all mappings as CSV, in the form that import reads
    Export,
}

#[derive(Debug, Args)]
pub struct List {
    /// What is sold and has no mapping, what is on most orders first
    #[arg(long)]
    unmapped: bool,
    /// A JSON line each
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["variant", "sku"])))]
pub struct Which {
    /// The shop: NAME.myshopify.com
    #[arg(long)]
    shop: String,
    /// Shopify's number of the variant; goes before a mapping by SKU
    #[arg(long, value_name = "NUMBER")]
    variant: Option<i64>,
    /// The SKU on the order's line
    #[arg(long)]
    sku: Option<String>,
}

#[derive(Debug, Args)]
pub struct Add {
    #[command(flatten)]
    which: Which,
    /// The ERP's item number
    #[arg(long)]
    item: String,
    /// ERP units in one unit at Shopify: 12 for a case that the ERP counts in pieces
    #[arg(long, default_value = "1")]
    factor: String,
    /// For people
    #[arg(long)]
    note: Option<String>,
}

#[derive(Debug, Args)]
pub struct Import {
    /// The file; - for standard input
    file: PathBuf,
    /// Only check it and say what would be done
    #[arg(long)]
    dry_run: bool,
}

pub fn run(place: &Place, command: Command) -> Result<(), Failure> {
    Ok(match command {
        Command::List(arguments) => list(&place.reader()?, &arguments),
        Command::Add(arguments) => {
            let Add { which, item, factor, note } = arguments;
            let mapping = checked(&which.shop, which.variant, which.sku, item, factor, note);
            let mapping = mapping.map_err(|problems| Failure::Usage(problems.join("; ")))?;
            write(place, vec![mapping])
        }
        Command::Remove(which) => remove(place, which),
        Command::Import(arguments) => import(place, &arguments),
        Command::Export => export(&place.reader()?),
    }?)
}

/// A mapping, or everything that is wrong with it.
fn checked(
    shop_domain: &str,
    variant_id: Option<i64>,
    sku: Option<String>,
    item: String,
    factor: String,
    note: Option<String>,
) -> Result<Mapping, Vec<String>> {
    let mut problems = Vec::new();
    if !shop_domain.contains('.') {
        problems.push("the shop must be its domain, NAME.myshopify.com".to_owned());
    }
    if variant_id.is_some() == sku.is_some() {
        problems.push("exactly one of variant_id and sku must be given".to_owned());
    }
    if item.is_empty() {
        problems.push("the item is missing".to_owned());
    }
    let (whole, fraction) = factor.split_once('.').unwrap_or((&factor, "0"));
    let digits = |text: &str| !text.is_empty() && text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || factor.bytes().all(|byte| b"0.".contains(&byte)) {
        problems.push(format!(
            "the factor {factor:?} is no decimal number over 0 with at most six digits on either side of the point"
        ));
    }
    let mapping = Mapping { shop_domain: shop_domain.to_ascii_lowercase(), variant_id, sku, item, factor, note };
    if problems.is_empty() { Ok(mapping) } else { Err(problems) }
}

fn list(reader: &Reader, arguments: &List) -> anyhow::Result<()> {
    if arguments.unmapped {
        let rows = reader.read(mappings::unmapped)?;
        if arguments.json {
            return rows.iter().try_for_each(|row| Ok(line(&serde_json::to_string(row)?)?));
        }
        if rows.is_empty() {
            line("Everything that is sold has its item.")?;
            return Ok(());
        }
        table(
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
        return Ok(());
    }
    let rows = reader.read(mappings::list)?;
    if arguments.json {
        return rows.iter().try_for_each(|row| Ok(line(&serde_json::to_string(row)?)?));
    }
    table(
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

fn write(place: &Place, mappings: Vec<Mapping>) -> anyhow::Result<()> {
    let config = place.load(Secrets::LeaveAside)?;
    let count = mappings.len();
    let (before, after) = work::block_on(async {
        let store = work::open_existing(&config)?;
        let done = store.map_products(mappings).await;
        store.writer.close().await;
        Ok::<_, anyhow::Error>(done?)
    })??;
    line(&format!(
        "{count} mapped; {} lines of orders completed, {after} still wait (`novex-ingest mappings list --unmapped`)",
        before - after
    ))?;
    Ok(())
}

fn remove(place: &Place, which: Which) -> anyhow::Result<()> {
    let config = place.load(Secrets::LeaveAside)?;
    let gone = work::block_on(async {
        let store = work::open_existing(&config)?;
        let done = store.unmap_product(which.shop.to_ascii_lowercase(), which.variant, which.sku).await;
        store.writer.close().await;
        Ok::<_, anyhow::Error>(done?)
    })??;
    if !gone {
        bail!("there is no such mapping; `novex-ingest mappings list` shows them");
    }
    line("taken away; the lines it completed wait again")?;
    Ok(())
}

fn import(place: &Place, arguments: &Import) -> anyhow::Result<()> {
    let input: Box<dyn Read> = if arguments.file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(&arguments.file).with_context(|| format!("{} cannot be read", arguments.file.display()))?)
    };
    let name = arguments.file.display();
    let mappings = read_csv(input).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|(at, problem)| format!("{name}:{at}: {problem}")).collect();
        anyhow::anyhow!("{}\nNothing was imported: mend these lines and import the file again", lines.join("\n"))
    })?;
    if arguments.dry_run {
        line(&format!("{} lines are right and would be mapped", mappings.len()))?;
        return Ok(());
    }
    write(place, mappings)
}

/// Every mapping, or every line that is wrong.
fn read_csv(input: impl Read) -> Result<Vec<Mapping>, Vec<(u64, String)>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(input);
    let header = reader.headers().map_err(|error| vec![(1, error.to_string())])?.clone();
    let place =
        |name: &str| header.iter().position(|column| column.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name));
    let columns = ["shop_domain", "variant_id", "sku", "item", "factor", "note"].map(place);
    let mut problems = Vec::new();
    for (column, name) in [(columns[0], "shop_domain"), (columns[3], "item")] {
        if column.is_none() {
            problems.push((1, format!("the first line has no column {name}")));
        }
    }
    for name in header.iter().map(|name| name.trim_start_matches('\u{feff}')) {
        if !["shop_domain", "variant_id", "sku", "item", "factor", "note"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
        {
            problems.push((1, format!("the column {name:?} is not known")));
        }
    }
    if columns[1].is_none() && columns[2].is_none() {
        problems.push((1, "the first line has neither a column variant_id nor sku".to_owned()));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut mappings = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let at = error.position().map_or(0, csv::Position::line);
                problems.push((at, "is no CSV in UTF-8".to_owned()));
                continue;
            }
        };
        let at = record.position().map_or(0, csv::Position::line);
        let [shop, variant, sku, item, factor, note] = columns.map(|column| {
            column.and_then(|column| record.get(column)).filter(|text| !text.is_empty()).map(str::to_owned)
        });
        let number = variant.as_deref().map(str::parse::<i64>);
        if matches!(number, Some(Err(_))) {
            problems.push((
                at,
                format!(
                    "the variant_id {:?} is no whole number; spreadsheets round long ones: format the column as text",
                    variant.unwrap_or_default()
                ),
            ));
            continue;
        }
        let mapping = checked(
            &shop.unwrap_or_default(),
            number.and_then(Result::ok),
            sku,
            item.unwrap_or_default(),
            factor.unwrap_or_else(|| "1".to_owned()),
            note,
        );
        match mapping {
            Ok(mapping) => {
                let same = |other: &Mapping| {
                    other.shop_domain == mapping.shop_domain
                        && other.variant_id == mapping.variant_id
                        && other.sku == mapping.sku
                };
                if mappings.iter().any(same) {
                    problems.push((at, "maps what a line before it maps already".to_owned()));
                }
                mappings.push(mapping);
            }
            Err(found) => problems.push((at, found.join("; "))),
        }
    }
    if problems.is_empty() { Ok(mappings) } else { Err(problems) }
}

fn export(reader: &Reader) -> anyhow::Result<()> {
    let rows = reader.read(mappings::list)?;
    let mut out = csv::Writer::from_writer(output::out());
    out.write_record(["shop_domain", "variant_id", "sku", "item", "factor", "note"])?;
    for row in rows {
        let variant = row.variant_id.map_or(String::new(), |id| id.to_string());
        out.write_record([
            row.shop_domain,
            variant,
            row.sku.unwrap_or_default(),
            row.item,
            row.factor,
            row.note.unwrap_or_default(),
        ])?;
    }
    out.flush()?;
    Ok(())
}
