//! `sps map` and `sps unmapped`: mappings of partners and items to the ERP's numbers.

use crate::cli::output::print_line;
use crate::cli::rows::RowFormatArgs;
use crate::cli::store::{name_operator, with_store};
use crate::cli::table::{free_text, print_table};
use crate::config::Config;
use crate::store::access::Actor;
use crate::store::db::reader::Reader;
use crate::store::erp::sps_mappings;
use crate::store::erp::sps_mappings::{ItemMapping, PartnerMapping, describe_refused_mapping, parse_item_kind};
use crate::text::format_count;
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub struct SpsUnmappedArgs {
    #[command(flatten)]
    format: RowFormatArgs,
}

/// Columns of what has no mapping in CSV. A partner has only `partner` and `orders`; the others are of order lines.
const UNMAPPED_COLUMNS: [&str; 10] =
    ["partner", "orders", "buyer_item", "vendor_item", "upc", "gtin", "other_ids", "unit", "description", "lines"];

#[derive(Debug, clap::Subcommand)]
pub enum SpsMapCommand {
    /// Map a partner to a customer number of the ERP
    Partner(SpsMapPartnerArgs),
    /// Map an item number on order lines to an item of the ERP
    Item(SpsMapItemArgs),
}

#[derive(Debug, Args)]
pub struct SpsMapPartnerArgs {
    /// Partner, as `sps list` shows it
    partner: String,
    /// Customer number of the ERP
    customer: String,
    /// Quantity in the partner's changes: POC03 is the new total, QI and QD state the difference, or POC04 is the new
    /// total [default: as before; total for a new mapping]
    #[arg(long, value_parser = ["total", "delta", "left"])]
    quantity: Option<String>,
}

#[derive(Debug, Args)]
pub struct SpsMapItemArgs {
    /// Item number on the order line
    value: String,
    /// Item number of the ERP
    item: String,
    /// Kind of the number on the line: buyer, vendor, upc, gtin, any other qualifier such as PL, or none
    #[arg(long, value_parser = parse_item_kind, default_value = "buyer")]
    by: String,
    /// Only for this partner
    #[arg(long, default_value = "")]
    partner: String,
    /// Only for lines in this unit
    #[arg(long, default_value = "")]
    unit: String,
    /// Unit of the ERP
    #[arg(long)]
    item_unit: Option<String>,
    /// ERP units in one unit of the line: 12 for a case that the ERP counts in pieces
    #[arg(long, default_value = "1")]
    factor: String,
}

pub fn print_unmapped(reader: &Reader, args: &SpsUnmappedArgs) -> anyhow::Result<()> {
    let (partners, lines) = reader.read(|connection| {
        Ok((sps_mappings::list_unmapped_partners(connection)?, sps_mappings::list_unmapped_lines(connection)?))
    })?;
    if let Some(mut writer) = args.format.open_writer(&UNMAPPED_COLUMNS)? {
        for (partner, orders) in &partners {
            writer.write_row(&json!({"partner": partner, "orders": orders}))?;
        }
        return lines.iter().try_for_each(|row| writer.write_row(row));
    }
    if partners.is_empty() && lines.is_empty() {
        print_line("Every partner and every order line has a mapping.")?;
        return Ok(());
    }
    for (partner, orders) in &partners {
        let orders = format_count(*orders, "order", "orders");
        print_line(&format!("partner {partner} ({orders}): novex-ingest sps map partner {partner} CUSTOMER"))?;
    }
    if !lines.is_empty() {
        print_table(
            &["PARTNER", "BUYER", "VENDOR", "UPC", "GTIN", "OTHER IDS", "UNIT", "LINES", "DESCRIPTION"],
            lines.iter().map(|row| {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                vec![
                    row.partner.clone().into(),
                    text(&row.buyer_item).into(),
                    text(&row.vendor_item).into(),
                    text(&row.upc).into(),
                    text(&row.gtin).into(),
                    free_text(row.other_ids.as_deref().unwrap_or_default()),
                    text(&row.unit).into(),
                    row.lines.to_string().into(),
                    free_text(row.description.as_deref().unwrap_or_default()),
                ]
            }),
        )?;
    }
    Ok(())
}

pub fn save_sps_mapping(config: &Config, command: &SpsMapCommand) -> anyhow::Result<()> {
    let actor = Actor::from_operator(name_operator(None));
    let saved = with_store(config, async |store| match command {
        SpsMapCommand::Partner(args) => {
            let mapping = PartnerMapping {
                partner: args.partner.clone(),
                customer: args.customer.clone(),
                quantity: args.quantity.clone(),
            };
            let orders = format_count(store.map_partner(mapping, actor).await?, "order has", "orders have");
            Ok(format!("{} is customer {}; {orders} this customer", args.partner, args.customer))
        }
        SpsMapCommand::Item(args) => {
            let mapping = ItemMapping {
                partner: args.partner.clone(),
                kind: args.by.clone(),
                value: args.value.clone(),
                unit: args.unit.clone(),
                item: args.item.clone(),
                item_unit: args.item_unit.clone(),
                factor: args.factor.clone(),
            };
            let lines = format_count(store.map_item(mapping, actor).await?, "order line has", "order lines have");
            Ok(format!("{} is item {}; {lines} this item", args.value, args.item))
        }
    });
    let message = saved.map_err(|error| match error.downcast_ref().and_then(describe_refused_mapping) {
        Some(refusal) => anyhow::anyhow!(refusal),
        None => error,
    })?;
    print_line(&message)?;
    Ok(())
}
