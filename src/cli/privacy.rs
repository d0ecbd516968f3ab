//! `privacy`: redactions that wait, customers' requests for their data with their deadlines, and the scrub after a
//! redaction.

use crate::cli::filters::parse_number;
use crate::cli::output::print_line;
use crate::cli::rows::RowFormatArgs;
use crate::cli::store::{name_operator, with_store};
use crate::cli::table::{free_text, print_table, time_cell};
use crate::cli::{CliError, GlobalArgs};
use crate::clock::{self, Clock, Timestamp};
use crate::config::{Config, SecretLoading};
use crate::presentation::times::TimeFormat;
use crate::queue::process;
use crate::store::access::Actor;
use crate::store::db::reader::Reader;
use crate::store::leases::request_decisions::RequestDecision;
use crate::store::privacy::data_requests;
use crate::store::privacy::data_requests::DataRequest;
use crate::store::privacy::destructive_requests::{DestructiveRequest, RequestState, list_destructive_requests};
use crate::store::privacy::scrub::ScrubResult;
use crate::text::{format_count, parse_reason};
use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

#[derive(Debug, clap::Subcommand)]
pub enum PrivacyCommand {
    /// List redactions that wait, refused deletions, and the requests for a customer's data
    List(PrivacyListArgs),
    /// Stop a redaction that waits, or close one that was refused
    Stop(PrivacyStopArgs),
    /// Work a redaction or a refused deletion now, after you looked at its event
    Run(PrivacyRunArgs),
    /// Print all data about the customer of a request, as one JSON document
    Export(DataRequestArgs),
    /// Mark a request as answered
    Done(DataRequestArgs),
    /// Rewrite the database file, so that it holds no trace of redacted data; webhooks wait meanwhile
    Scrub,
}

#[derive(Debug, Args)]
pub struct PrivacyListArgs {
    #[command(flatten)]
    format: RowFormatArgs,
}

/// Columns of requests in CSV. `kind` is `destructive_request` or `data_request`, and each kind has its own columns.
const REQUEST_COLUMNS: [&str; 16] = [
    "kind",
    "event_id",
    "id",
    "shop_domain",
    "topic",
    "state",
    "received_at",
    "due_at",
    "deadline_at",
    "decided_at",
    "decided_by",
    "reason",
    "request_id",
    "customer_id",
    "requested_at",
    "done_at",
];

#[derive(Debug, Args)]
pub struct PrivacyStopArgs {
    /// Id of the event, from `privacy list`
    #[arg(value_parser = parse_number::<i64>)]
    event: i64,
    /// Reason, which stays with the event
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: String,
    /// Who decides [default: the user of the command]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

#[derive(Debug, Args)]
pub struct PrivacyRunArgs {
    /// Id of the event, from `privacy list`
    #[arg(value_parser = parse_number::<i64>)]
    event: i64,
    /// Who decides [default: the user of the command]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

#[derive(Debug, Args)]
pub struct DataRequestArgs {
    /// Id of the request, from `privacy list`
    #[arg(value_parser = parse_number::<i64>)]
    id: i64,
}

pub fn run_privacy(global: &GlobalArgs, command: &PrivacyCommand) -> Result<(), CliError> {
    Ok(match command {
        PrivacyCommand::List(args) => print_requests(&global.open_reader()?, args, &global.time_format()),
        PrivacyCommand::Stop(args) => stop_request(global, args),
        PrivacyCommand::Run(args) => run_request(global, args),
        PrivacyCommand::Export(args) => export_customer_data(&global.open_reader()?, args.id),
        PrivacyCommand::Done(args) => complete_data_request(global, args.id),
        PrivacyCommand::Scrub => scrub_database(global),
    }?)
}

fn print_requests(reader: &Reader, args: &PrivacyListArgs, times: &TimeFormat) -> anyhow::Result<()> {
    let held = reader.read(list_destructive_requests)?;
    let requests = reader.read(data_requests::list_data_requests)?;
    if let Some(mut writer) = args.format.open_writer(&REQUEST_COLUMNS)? {
        for request in &held {
            writer.write_row(&add_request_kind("destructive_request", serde_json::to_value(request)?))?;
        }
        return requests.iter().try_for_each(|request| {
            writer.write_row(&add_request_kind("data_request", serde_json::to_value(request)?))
        });
    }
    if held.is_empty() && requests.is_empty() {
        print_line("No requests.")?;
        return Ok(());
    }
    if !held.is_empty() {
        print_line("Redactions, deletions and merges that wait, or were refused or stopped:")?;
        print_destructive_requests(held, times)?;
        if !requests.is_empty() {
            print_line("")?;
        }
    }
    if !requests.is_empty() {
        print_line("Requests of customers for their data:")?;
        print_data_requests(&requests, times)?;
    }
    Ok(())
}

fn add_request_kind(kind: &str, mut request: Value) -> Value {
    request["kind"] = kind.into();
    request
}

fn print_destructive_requests(requests: Vec<DestructiveRequest>, times: &TimeFormat) -> anyhow::Result<()> {
    print_table(
        &["EVENT", "TOPIC", "SHOP", "ARRIVED", "DEADLINE", "STATE"],
        requests.into_iter().map(|request| {
            let state = match request.state {
                RequestState::Waiting => {
                    format!("waits until {}", times.format_time_with_age(&request.due_at.unwrap_or_default()))
                }
                RequestState::Refused => "refused, needs a decision".to_owned(),
                RequestState::Stopped | RequestState::Accepted => {
                    let by = request.decided_by.unwrap_or_default();
                    let reason = request.reason.filter(|_| request.state == RequestState::Stopped);
                    let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
                    format!("{} by {by}{reason}", request.state.as_str())
                }
                RequestState::Done => "done".to_owned(),
            };
            vec![
                request.event_id.to_string().into(),
                free_text(request.topic),
                free_text(request.shop_domain),
                time_cell(times, Some(&request.received_at)),
                time_cell(times, request.deadline_at.as_deref()),
                free_text(state),
            ]
        }),
    )?;
    Ok(())
}

fn print_data_requests(requests: &[DataRequest], times: &TimeFormat) -> anyhow::Result<()> {
    let now = Clock::system().now();
    print_table(
        &["ID", "SHOP", "CUSTOMER", "REQUESTED", "DUE", "STATE"],
        requests.iter().map(|request| {
            vec![
                request.id.to_string().into(),
                free_text(request.shop_domain.clone()),
                request.customer_id.map_or(String::new(), |id| id.to_string()).into(),
                time_cell(times, Some(&request.requested_at)),
                time_cell(times, Some(&request.due_at)),
                describe_request_state(request, now, times).into(),
            ]
        }),
    )?;
    Ok(())
}

fn stop_request(global: &GlobalArgs, args: &PrivacyStopArgs) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    decide_request(&config, args.event, RequestDecision::Stop { reason: args.reason.clone() }, args.by.as_deref())?;
    print_line(&format!("Event {} is stopped and erases nothing.", args.event))?;
    Ok(())
}

fn run_request(global: &GlobalArgs, args: &PrivacyRunArgs) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    let decision = RequestDecision::Run { attempts: config.worker.max_attempts };
    decide_request(&config, args.event, decision, args.by.as_deref())?;
    print_line(&format!("Event {} is due now.", args.event))?;
    Ok(())
}

fn decide_request(config: &Config, event: i64, decision: RequestDecision, by: Option<&str>) -> anyhow::Result<()> {
    let (actor, worker) = (Actor::from_operator(name_operator(by)), process::identify_current_process().worker);
    let result =
        with_store(config, async |store| Ok(store.decide_destructive_request(event, decision, actor, worker).await?))?;
    match result.describe_refusal(event) {
        None => Ok(()),
        Some(text) => bail!("{text}"),
    }
}

fn describe_request_state(request: &DataRequest, now: Timestamp, times: &TimeFormat) -> String {
    match (&request.done_at, clock::parse_timestamp(&request.due_at)) {
        (Some(at), _) => format!("done {}", times.format_time_with_age(at)),
        (None, Ok(due)) if due < now => "OVERDUE".to_owned(),
        (None, Ok(due)) => {
            let days = clock::duration_between(now, due).as_secs() / 86_400;
            format!("{} left", format_count(days, "day", "days"))
        }
        (None, Err(_)) => String::new(),
    }
}

fn export_customer_data(reader: &Reader, id: i64) -> anyhow::Result<()> {
    let request = reader.read(|connection| {
        Ok(data_requests::list_data_requests(connection)?.into_iter().find(|request| request.id == id))
    })?;
    let request =
        request.with_context(|| format!("there is no request {id}; `novex-ingest privacy list` lists them"))?;
    let document = data_requests::export_personal_data(reader, &request)?;
    print_line(&serde_json::to_string_pretty(&document)?)?;
    Ok(())
}

fn complete_data_request(global: &GlobalArgs, id: i64) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    let actor = Actor::from_operator(name_operator(None));
    let exists = with_store(&config, async |store| Ok(store.complete_data_request(id, actor).await?))?;
    if !exists {
        bail!("there is no request {id}; `novex-ingest privacy list` lists them");
    }
    print_line(&format!("Request {id} is marked as answered."))?;
    Ok(())
}

fn scrub_database(global: &GlobalArgs) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    match with_store(&config, async |store| Ok(store.scrub(true).await?))? {
        ScrubResult::Clean => print_line("The database file holds no trace of redacted data.")?,
        ScrubResult::Busy | ScrubResult::TooLarge => {
            bail!("another program uses the database; try again, or stop the programs that read it")
        }
    }
    Ok(())
}
