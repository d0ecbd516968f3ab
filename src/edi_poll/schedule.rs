//! Polls all sources on a schedule, and when the API asks for it.

use crate::edi_poll::poller::{PollTrigger, Poller};
use crate::store::events::polls::PollRecord;
use crate::transfer::source::SourceSettings;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::error;

/// A request to poll all sources now; the answer has one record for each source.
pub type PollRequest = oneshot::Sender<Vec<PollRecord>>;

/// Most requests that wait; the server answers one more with 503.
pub const POLL_REQUESTS_MAX: usize = 8;

/// Polls all sources every `interval`, and at each request, until `stop` turns true. `None`: only at requests.
pub async fn run_poll_schedule(
    poller: Poller,
    sources: Arc<Vec<SourceSettings>>,
    interval: Option<Duration>,
    mut requests: mpsc::Receiver<PollRequest>,
    mut stop: watch::Receiver<bool>,
) {
    let mut polls: JoinSet<()> = JoinSet::new();
    let mut scheduled: JoinSet<()> = JoinSet::new();
    let mut tick = tokio::time::interval(interval.unwrap_or(Duration::from_hours(24 * 365)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !*stop.borrow() {
        tokio::select! {
            // The polls of the last tick must end first: the schedule never polls a slow source twice at once.
            _ = tick.tick(), if interval.is_some() && scheduled.is_empty() => {
                for index in 0..sources.len() {
                    let (poller, sources) = (poller.clone(), sources.clone());
                    scheduled.spawn(async move { poll_source_if_due(&poller, &sources[index]).await });
                }
            }
            Some(_) = scheduled.join_next(), if !scheduled.is_empty() => {}
            Some(_) = polls.join_next(), if !polls.is_empty() => {}
            Some(answer) = requests.recv() => {
                let (poller, sources) = (poller.clone(), sources.clone());
                polls.spawn(async move {
                    // The client may have closed its connection.
                    let _ = answer.send(poll_all_sources(&poller, &sources, PollTrigger::Api).await);
                });
            }
            _ = stop.changed() => {}
        }
    }
    while polls.try_join_next().is_some() || scheduled.try_join_next().is_some() {}
    if polls.is_empty() && scheduled.is_empty() {
        poller.close();
    }
    // A poll that is cut off leaves its claim; the next process recovers the claim and fetches the file.
    polls.shutdown().await;
    scheduled.shutdown().await;
}

/// Polls a source, unless it failed and its next poll is not due.
async fn poll_source_if_due(poller: &Poller, source: &SourceSettings) {
    let is_due = match poller.store.read_source_state(&source.name) {
        Ok((Some(next_poll_at), _)) => next_poll_at <= poller.store.clock.now(),
        _ => true,
    };
    if is_due && let Err(error) = poller.poll_source(source, PollTrigger::Schedule, &|_, _| {}).await {
        error!(
            source = source.name,
            "source `{}` cannot be polled, because the database failed; its files stay there until the next \
             poll: {error}",
            source.name
        );
    }
}

/// Polls all sources at the same time, so that a source that is down delays no other. Returns their records in the
/// order of `sources`.
pub async fn poll_all_sources(poller: &Poller, sources: &[SourceSettings], trigger: PollTrigger) -> Vec<PollRecord> {
    let mut polls = JoinSet::new();
    for (index, source) in sources.iter().enumerate() {
        let (poller, source) = (poller.clone(), source.clone());
        polls.spawn(async move {
            let poll = poller.poll_source(&source, trigger, &|_, _| {}).await;
            let poll = poll.unwrap_or_else(|error| PollRecord {
                source: source.name,
                error: Some(error.to_string()),
                ..PollRecord::default()
            });
            (index, poll)
        });
    }
    let mut records = Vec::new();
    while let Some(record) = polls.join_next().await {
        records.extend(record);
    }
    records.sort_by_key(|(index, _)| *index);
    records.into_iter().map(|(_, poll)| poll).collect()
}
