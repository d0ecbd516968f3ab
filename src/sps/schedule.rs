//! The daemon's own polls, and those it is asked for.

use super::Source;
use super::poll::{AskedBy, Poller};
use crate::store::sps_files::Poll;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::error;

/// A request for a poll of all sources now; the answer is what each found.
pub type Request = oneshot::Sender<Vec<Poll>>;

/// Most requests that wait; one more is told that a poll is running.
pub const REQUESTS_MAX: usize = 8;

/// Polls every source on its own, every `interval` (`None`: only when asked), until `stop` turns true.
pub async fn run(
    poller: Poller,
    sources: Arc<Vec<Source>>,
    interval: Option<Duration>,
    mut requests: mpsc::Receiver<Request>,
    mut stop: watch::Receiver<bool>,
) {
    let mut polls: JoinSet<()> = JoinSet::new();
    let mut scheduled: JoinSet<()> = JoinSet::new();
    let mut tick = tokio::time::interval(interval.unwrap_or(Duration::from_hours(24 * 365)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !*stop.borrow() {
        tokio::select! {
            // The last one's polls first: a source that is slow is not polled twice at once by the schedule.
            _ = tick.tick(), if interval.is_some() && scheduled.is_empty() => {
                for place in 0..sources.len() {
                    let (poller, sources) = (poller.clone(), sources.clone());
                    scheduled.spawn(async move { by_schedule(&poller, &sources[place]).await });
                }
            }
            Some(_) = scheduled.join_next(), if !scheduled.is_empty() => {}
            Some(_) = polls.join_next(), if !polls.is_empty() => {}
            Some(answer) = requests.recv() => {
                let (poller, sources) = (poller.clone(), sources.clone());
                polls.spawn(async move {
                    // Nobody may wait for it any more.
                    let _ = answer.send(all(&poller, &sources, AskedBy::Api).await);
                });
            }
            _ = stop.changed() => {}
        }
    }
    // A file that is being taken is given back by its claim: the next process takes it.
    polls.shutdown().await;
    scheduled.shutdown().await;
}

async fn by_schedule(poller: &Poller, source: &Source) {
    let rests = match poller.store.sps_source(&source.name) {
        Ok((Some(until), _)) => until > poller.store.clock.now(),
        _ => false,
    };
    if !rests && let Err(error) = poller.poll(source, AskedBy::Schedule, &|_, _| {}).await {
        error!(source = source.name, "cannot be polled, its files wait there: {error}");
    }
}

/// Polls all sources side by side; one that is down holds up none of the others.
pub async fn all(poller: &Poller, sources: &[Source], asked_by: AskedBy) -> Vec<Poll> {
    let mut polls = JoinSet::new();
    for (place, source) in sources.iter().enumerate() {
        let (poller, source) = (poller.clone(), source.clone());
        polls.spawn(async move {
            let name = source.name.clone();
            let poll = poller.poll(&source, asked_by, &|_, _| {}).await;
            (
                place,
                poll.unwrap_or_else(|error| Poll { source: name, error: Some(error.to_string()), ..Poll::default() }),
            )
        });
    }
    let mut found = Vec::new();
    while let Some(poll) = polls.join_next().await {
        found.extend(poll);
    }
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, poll)| poll).collect()
}
