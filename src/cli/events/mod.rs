//! `events`: looks at events, retries, resends, dismisses and exports them, removes test events, and lists rejected
//! requests.

pub mod dismiss;
mod facts;
pub mod list;
pub mod rejected;
pub mod remove_tests;
pub mod resend;
pub mod retry;
pub mod search;
pub mod show;
pub mod tail;

use crate::cli::{CliError, GlobalArgs};
use serde_json::Value;

#[derive(Debug, clap::Subcommand)]
pub enum EventsCommand {
    /// List events, newest first
    List(list::EventsListArgs),
    /// Show one event: its order, its rows, its state at each destination and its history; or write its exact body
    Show(show::EventsShowArgs),
    /// Retry events: give failed ones new attempts, and make waiting ones due now
    Retry(retry::EventsRetryArgs),
    /// Send events to one destination again, under the same ids; they are not processed again
    Resend(resend::EventsResendArgs),
    /// Dismiss failed events and deliveries that need no retry; doctor leaves them out
    Dismiss(dismiss::EventsDismissArgs),
    /// Find events by order, customer, product, tracking code or number, or a part of one
    Search(search::EventsSearchArgs),
    /// Watch status changes of events live
    Tail(tail::EventsTailArgs),
    /// Export events with headers and body, one JSON line each
    Export(list::EventsExportArgs),
    /// List rejected requests, each with its reason and a hint
    Rejected(rejected::EventsRejectedArgs),
    /// Remove the test events of `setup` and `send`, with their bodies and histories
    RemoveTests(remove_tests::EventsRemoveTestsArgs),
}

pub fn run_events(global: &GlobalArgs, command: EventsCommand) -> Result<(), CliError> {
    Ok(match command {
        EventsCommand::List(args) => list::print_events(global, &args),
        EventsCommand::Show(args) => show::print_event(global, &args),
        EventsCommand::Retry(args) => retry::retry_events(global, &args),
        EventsCommand::Resend(args) => resend::resend_events(global, &args),
        EventsCommand::Dismiss(args) => dismiss::dismiss_events(global, &args),
        EventsCommand::Search(args) => search::print_search_hits(global, &args),
        EventsCommand::Tail(args) => tail::follow_event_history(global, &args),
        EventsCommand::Export(args) => list::export_events(global, &args),
        EventsCommand::Rejected(args) => rejected::print_rejections(global, &args),
        EventsCommand::RemoveTests(args) => remove_tests::remove_tests(global, &args),
    }?)
}

fn parse_stored_headers(stored: &str) -> Value {
    serde_json::from_str(stored).unwrap_or(Value::Null)
}
