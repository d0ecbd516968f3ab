//! `events rejected`: lists rejected requests, each with its reason and a hint.

use crate::cli::filters::{parse_number, parse_since};
use crate::cli::output::{format_count, print_line, print_untrusted_line};
use crate::event::Source;
use crate::providers::RejectionReason;
use crate::store::db::reader::Reader;
use crate::store::events::rejections::{self, RejectionFilter, RejectionRecord};
use clap::Args;

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
    /// Only since this time: 2026-11-23T20:30:00Z, or an age such as 2h or 3d
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    since: Option<String>,
    /// Most requests to list
    #[arg(long, default_value_t = 20, value_parser = parse_number::<u32>)]
    limit: u32,
    /// Print one JSON line per request
    #[arg(long)]
    json: bool,
}

pub fn print_rejections(reader: &Reader, args: &EventsRejectedArgs) -> anyhow::Result<()> {
    let filter = RejectionFilter {
        http_status: args.status,
        path: build_path_pattern(args.source, args.topic.as_deref()),
        since: args.since.clone(),
    };
    let rows = reader.read(|connection| rejections::list_rejections(connection, &filter, args.limit))?;
    if args.json {
        for row in &rows {
            let mut document = serde_json::to_value(row)?;
            document["hint"] = find_rejection_hint(row).into();
            print_line(&document.to_string())?;
        }
        return Ok(());
    }
    if rows.is_empty() {
        print_line("No rejected requests.")?;
    }
    rows.iter().try_for_each(print_rejection)?;
    Ok(())
}

/// Returns the pattern of request paths for a source and topic. An empty pattern matches nothing.
fn build_path_pattern(source: Option<Source>, topic: Option<&str>) -> Option<String> {
    match (topic, source) {
        (Some(topic), None | Some(Source::Shopify)) => Some(format!("/api/webhooks/shopify/{topic}")),
        // Only Shopify's addresses have a topic.
        (Some(_), Some(_)) => Some(String::new()),
        (None, Some(Source::Keycloak)) => Some("/api/keycloak/*".to_owned()),
        (None, Some(Source::Sps)) => Some("/api/sps/*".to_owned()),
        (None, Some(source)) => Some(format!("/api/webhooks/{}*", source.as_str())),
        (None, None) => None,
    }
}

fn print_rejection(row: &RejectionRecord) -> std::io::Result<()> {
    print_untrusted_line(&format!("{}  {} {}  from {}", row.at, row.method, row.path, row.remote_addr))?;
    let detail = row.detail.as_deref().unwrap_or("");
    print_untrusted_line(&format!("    {} {}: {detail}", row.http_status, row.reason))?;
    print_untrusted_line(&format!("    hint: {}", find_rejection_hint(row)))?;
    let digest = row.body_sha256.as_deref().map_or(String::new(), |digest| format!(", sha256 {digest}"));
    let size = format_count(row.body_bytes, "byte", "bytes");
    print_untrusted_line(&format!("    headers: {}; body: {size}{digest}", row.header_names))?;
    if row.unrecorded > 0 {
        let more = format_count(row.unrecorded, "earlier rejection was", "earlier rejections were");
        print_untrusted_line(&format!("    {more} not recorded, because of their rate"))?;
    }
    Ok(())
}

fn find_rejection_hint(row: &RejectionRecord) -> &'static str {
    RejectionReason::ALL.into_iter().find(|reason| reason.as_str() == row.reason).map_or("", RejectionReason::hint)
}
