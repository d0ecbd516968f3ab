//! `sps`: polls for EDI files, lists purchase orders and sent documents, reads any EDI file, sends documents, and maps
//! partners and items.

pub mod map;
pub mod orders;
mod paper;
pub mod parse;
pub mod poll;
pub mod send;
pub mod sent;

use crate::cli::{CliError, GlobalArgs};
use crate::config::SecretLoading;
use anyhow::Context;
use std::path::Path;

#[derive(Debug, clap::Subcommand)]
pub enum SpsCommand {
    /// Poll the sources now, store new files, and print the counts
    Poll(poll::SpsPollArgs),
    /// Forget a source that was removed from the configuration: its state and its polls
    Forget(poll::SpsForgetArgs),
    /// List purchase orders, newest first
    List(orders::SpsListArgs),
    /// Show one purchase order with its changes
    Show(orders::SpsShowArgs),
    /// Read any EDI file and print its content and faults; stores nothing
    Parse(parse::SpsParseArgs),
    /// Send an invoice (810, 880) or a ship notice (856) for a purchase order
    Send(send::SpsSendArgs),
    /// List the documents that were sent, and what the partners answered
    Sent(sent::SpsSentArgs),
    /// List partners without a customer and order lines without an item in the ERP
    Unmapped(map::SpsUnmappedArgs),
    /// Map a partner to a customer, or a retailer's item to an item of the ERP
    #[command(subcommand)]
    Map(map::SpsMapCommand),
}

pub fn run_sps(global: &GlobalArgs, command: &SpsCommand) -> Result<(), CliError> {
    Ok(match command {
        SpsCommand::Poll(args) => poll::poll_sources(&global.load_config(SecretLoading::All)?, args),
        SpsCommand::Forget(args) => poll::forget_source(&global.load_config(SecretLoading::Skip)?, args),
        SpsCommand::List(args) => {
            orders::print_purchase_orders(&global.load_config(SecretLoading::Skip)?, args, &global.time_format())
        }
        SpsCommand::Show(args) => orders::print_purchase_order(&global.load_config(SecretLoading::Skip)?, args),
        SpsCommand::Parse(args) => parse::parse_edi_file(args),
        SpsCommand::Send(args) => send::send_outbound_document(&global.load_config(SecretLoading::Skip)?, args),
        SpsCommand::Sent(args) => {
            sent::print_sent_documents(&global.load_config(SecretLoading::Skip)?, args, &global.time_format())
        }
        SpsCommand::Unmapped(args) => map::print_unmapped(&global.open_reader()?, args),
        SpsCommand::Map(command) => map::save_sps_mapping(&global.load_config(SecretLoading::Skip)?, command),
    }?)
}

fn read_file_or_stdin(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}
