//! `events rejected`: lists rejected requests, each with its reason and a hint.

use crate::cli::GlobalArgs;
use crate::cli::filters::parse_number;
use crate::cli::output::{print_line, print_untrusted_line};
use crate::cli::rows::RowFormatArgs;
use crate::event::Source;
use crate::presentation::times::{TimeArg, TimeFormat, parse_time_arg};
use crate::providers::rejection::{build_path_pattern, find_rejection_hint};
use crate::store::events::rejections::{self, RejectionFilter, RejectionRecord};
use crate::text::format_count;
use clap::Args;
use serde::Serialize;

#[derive(Debug, Args)]
pub struct EventsRejectedArgs {
    /// Only requests answered with this HTTP status: 401
    #[arg(long, value_parser = parse_number::<u16>)]
    status: Option<u16>,
    /// Only requests to this source's address: shopify, easypost or keycloak
    #[arg(long)]
    source: Option<Source>,
    /// Only requests to this topic's address; * matches anything: 'orders/*'
    #[arg(long)]
    topic: Option<String>,
    /// Only since this time: '2026-11-23 20:30', yesterday, or an age such as 2h or '3 days ago'
    #[arg(long, value_name = "TIME", value_parser = parse_time_arg)]
    since: Option<TimeArg>,
    /// Most requests to list
    #[arg(long, default_value_t = 20, value_parser = parse_number::<u32>)]
    limit: u32,
    #[command(flatten)]
    format: RowFormatArgs,
}

/// Columns of rejected requests in CSV.
const REJECTION_COLUMNS: [&str; 12] = [
    "at",
    "remote_addr",
    "method",
    "path",
    "http_status",
    "reason",
    "detail",
    "hint",
    "header_names",
    "body_bytes",
    "body_sha256",
    "unrecorded",
];

/// A rejection with its hint.
#[derive(Serialize)]
struct HintedRejection<'r> {
    #[serde(flatten)]
    rejection: &'r RejectionRecord,
    hint: &'static str,
}

pub fn print_rejections(global: &GlobalArgs, args: &EventsRejectedArgs) -> anyhow::Result<()> {
    let (reader, times) = (global.open_reader()?, global.time_format());
    let filter = RejectionFilter {
        http_status: args.status,
        path: build_path_pattern(args.source, args.topic.as_deref()),
        since: args.since.as_ref().map(|since| since.resolve(&times)),
        ..RejectionFilter::default()
    };
    let rows = reader.read(|connection| rejections::list_rejections(connection, &filter, args.limit))?;
    let rows: Vec<RejectionRecord> = rows.into_iter().map(|(_, rejection)| rejection).collect();
    if let Some(mut writer) = args.format.open_writer(&REJECTION_COLUMNS)? {
        return rows.iter().try_for_each(|rejection| {
            writer.write_row(&HintedRejection { rejection, hint: find_rejection_hint(&rejection.reason) })
        });
    }
    if rows.is_empty() {
        print_line("No rejected requests.")?;
    }
    rows.iter().try_for_each(|row| print_rejection(row, &times))?;
    Ok(())
}

fn print_rejection(row: &RejectionRecord, times: &TimeFormat) -> std::io::Result<()> {
    let at = times.format_time_with_age(&row.at);
    print_untrusted_line(&format!("{at}  {} {}  from {}", row.method, row.path, row.remote_addr))?;
    let detail = row.detail.as_deref().unwrap_or("");
    print_untrusted_line(&format!("    {} {}: {detail}", row.http_status, row.reason))?;
    print_untrusted_line(&format!("    hint: {}", find_rejection_hint(&row.reason)))?;
    let digest = row.body_sha256.as_deref().map_or(String::new(), |digest| format!(", sha256 {digest}"));
    let size = format_count(row.body_bytes, "byte", "bytes");
    print_untrusted_line(&format!("    headers: {}; body: {size}{digest}", row.header_names))?;
    if row.unrecorded > 0 {
        let more = format_count(row.unrecorded, "earlier rejection was", "earlier rejections were");
        print_untrusted_line(&format!("    {more} not recorded, because of their rate"))?;
    }
    Ok(())
}
