//! One round of the alerts: opens and closes them by the conditions that hold, and queues one message about all
//! changes.
//!
//! ```text
//!   condition begins ──► open ── message ──► notified ── each repeat interval ──► message again
//!                          │                    │
//!                          │ ends               │ ends ──► recovered ── message
//!                          ▼                    │
//!                    recovered, no message      └─ a person dismisses it: no message, until the condition begins again
//! ```
//! The message is an event of the source local, stored in the transaction that marks its alerts as notified, with a
//! delivery for each channel. So a crash loses no message, and the dispatcher sends it as any other delivery. The event
//! is completed at once and needs no worker.

use crate::clock::{self, Timestamp};
use crate::event::Source;
use crate::store::audit::alerts::{self, ActiveCondition, Alert, AlertKind};
use crate::store::db::diagnostics::LOGIN_ALERT_DAYS;
use crate::store::db::types::to_body_hash;
use crate::store::db::writer::WriteClass;
use crate::store::events::receive;
use crate::store::leases::deliveries::{NewDelivery, enqueue_deliveries};
use crate::store::{Store, StoreError};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// Topic of the events that are messages about alerts.
pub const ALERT_TOPIC: &str = "alerts/message";
/// Most alerts in one message, the most urgent first. The others follow in the next message.
const NOTICES_MAX: usize = 50;
/// Age at which an alert that is over is deleted.
const ALERT_AGE_MAX: Duration = Duration::from_hours(400 * 24);

/// Times of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoticeTimes {
    /// Shortest time between two messages.
    pub message_interval: Duration,
    /// Time after which a message repeats an alert that is still open.
    pub repeat_interval: Duration,
}

/// What a message reports about an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeState {
    Opened,
    Repeated,
    Recovered,
}

impl NoticeState {
    /// Returns the name in the database and in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Repeated => "repeated",
            Self::Recovered => "recovered",
        }
    }
}

/// One alert in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertNotice {
    pub state: NoticeState,
    pub alert: Alert,
}

/// Returns the body of a message about alerts.
pub type MessageComposer = Box<dyn Fn(&[AlertNotice]) -> Vec<u8> + Send + Sync>;

/// What one round needs.
pub struct AlertRound {
    /// The conditions that hold.
    pub conditions: Vec<ActiveCondition>,
    pub times: NoticeTimes,
    /// The channels. Without any, alerts are stored and nobody gets a message.
    pub channels: Vec<NewDelivery>,
    pub compose: MessageComposer,
    /// Kinds that no message reports.
    pub ignored: Vec<AlertKind>,
}

/// What a round did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertRoundResult {
    pub opened: Vec<ActiveCondition>,
    /// Kind and subject of each alert whose condition ended.
    pub recovered: Vec<(String, String)>,
    /// Event of the message; None if no message was due.
    pub message_event: Option<i64>,
}

impl Store {
    /// Runs one round. It writes only if something changed, so that a quiet database stays as it is.
    ///
    /// # Errors
    /// Those of the transaction. Nothing is changed then, and the next round does the same.
    pub async fn run_alert_round(&self, round: AlertRound) -> Result<AlertRoundResult, StoreError> {
        let now = self.clock.now();
        if self.reader.read(|connection| is_round_idle(connection, &round, now))? {
            return Ok(AlertRoundResult::default());
        }
        let job = move |connection: &Connection| write_round(connection, &round, now);
        let result = self.writer.submit(WriteClass::Maintain, job).await?;
        if result.message_event.is_some() {
            self.attempts_ended.send_modify(|count| *count = count.wrapping_add(1));
        }
        Ok(result)
    }
}

fn is_round_idle(connection: &Connection, round: &AlertRound, now: Timestamp) -> Result<bool, StoreError> {
    let alerts = list_unsettled_alerts(connection)?;
    let plan = plan_round(&alerts, &round.conditions, now);
    let is_unchanged = plan.opened.is_empty() && plan.ended.is_empty();
    let is_message_due = !round.channels.is_empty()
        && is_message_allowed(connection, round.times, now)?
        && !find_notices(alerts, round, now).is_empty();
    Ok(is_unchanged && !is_message_due)
}

fn write_round(connection: &Connection, round: &AlertRound, now: Timestamp) -> Result<AlertRoundResult, StoreError> {
    let at = clock::format_timestamp(now);
    let alerts = list_unsettled_alerts(connection)?;
    let plan = plan_round(&alerts, &round.conditions, now);
    let mut result = AlertRoundResult::default();
    for condition in plan.opened {
        result.opened.push(condition.clone());
        if reopen_alert(connection, condition, round.times, now)? {
            continue;
        }
        connection
            .prepare_cached(
                "INSERT INTO alerts (kind, subject, first_at, last_at, count, message, fix) \
                 VALUES (?1, ?2, ?3, ?3, 1, ?4, ?5)",
            )?
            .execute(params![condition.kind.as_str(), condition.subject, at, condition.message, condition.fix])?;
    }
    for alert in plan.ended {
        connection.prepare_cached("UPDATE alerts SET recovered_at = ? WHERE id = ?")?.execute(params![at, alert.id])?;
        result.recovered.push((alert.kind.clone(), alert.subject.clone()));
    }
    let oldest = clock::format_timestamp(now.checked_sub(ALERT_AGE_MAX).unwrap_or(now));
    connection.prepare_cached("DELETE FROM alerts WHERE recovered_at < ?")?.execute([oldest])?;
    if round.channels.is_empty() || !is_message_allowed(connection, round.times, now)? {
        return Ok(result);
    }
    let mut notices = find_notices(list_unsettled_alerts(connection)?, round, now);
    if notices.is_empty() {
        return Ok(result);
    }
    for notice in notices.iter_mut().filter(|notice| notice.state != NoticeState::Recovered) {
        refresh_notice(connection, notice, &round.conditions, &at)?;
    }
    let event_id = insert_message_event(connection, &(round.compose)(&notices), notices[0].alert.id, &at)?;
    enqueue_deliveries(connection, event_id, &round.channels, &at)?;
    for AlertNotice { state, alert } in &notices {
        connection
            .prepare_cached("INSERT INTO alert_messages (alert_id, event_id, at, state) VALUES (?, ?, ?, ?)")?
            .execute(params![alert.id, event_id, at, state.as_str()])?;
        connection.prepare_cached("UPDATE alerts SET notified_at = ? WHERE id = ?")?.execute(params![at, alert.id])?;
    }
    result.message_event = Some(event_id);
    Ok(result)
}

/// Opens an alert again whose condition ended a moment ago and whose end no message reported. So a condition that
/// begins and ends all the time is one alert. Returns false if there is no such alert.
fn reopen_alert(
    connection: &Connection,
    condition: &ActiveCondition,
    times: NoticeTimes,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let since = clock::format_timestamp(now.checked_sub(times.message_interval).unwrap_or(now));
    let reopened = connection
        .prepare_cached(
            "UPDATE alerts SET recovered_at = NULL WHERE id = (SELECT max(id) FROM alerts WHERE kind = ?1 AND subject = ?2 \
             AND dismissed_at IS NULL AND recovered_at > ?3 AND (notified_at IS NULL OR notified_at < recovered_at))",
        )?
        .execute(params![condition.kind.as_str(), condition.subject, since])?;
    Ok(reopened > 0)
}

/// Gives an alert in a message the present text of its condition. Failed logins have theirs already.
fn refresh_notice(
    connection: &Connection,
    notice: &mut AlertNotice,
    conditions: &[ActiveCondition],
    at: &str,
) -> Result<(), StoreError> {
    let alert = &mut notice.alert;
    let is_same =
        |condition: &&ActiveCondition| condition.kind.as_str() == alert.kind && condition.subject == alert.subject;
    let Some(condition) = conditions.iter().find(is_same) else { return Ok(()) };
    alert.message.clone_from(&condition.message);
    alert.fix.clone_from(&condition.fix);
    connection.prepare_cached("UPDATE alerts SET message = ?, fix = ?, last_at = ? WHERE id = ?")?.execute(params![
        alert.message,
        alert.fix,
        at,
        alert.id
    ])?;
    Ok(())
}

/// Stores a message as a completed event and returns its id.
fn insert_message_event(connection: &Connection, body: &[u8], first_alert: i64, at: &str) -> Result<i64, StoreError> {
    let digest: [u8; 32] = Sha256::digest(body).into();
    // It becomes part of the Message-ID of an e-mail, so it has no colon.
    let webhook_id = format!("{}-{first_alert}", at.replace([':', '.'], ""));
    let event_id = connection
        .prepare_cached(
            "INSERT INTO webhook_events (source, shop_domain, topic, webhook_id, max_attempts, next_attempt_at, \
             received_at, body_hash) VALUES (?1, '', ?2, ?3, 1, ?4, ?4, ?5) RETURNING id",
        )?
        .query_row(params![Source::Local, ALERT_TOPIC, webhook_id, at, to_body_hash(&digest)], |row| row.get(0))?;
    receive::insert_payload_and_log(connection, event_id, "{}", body, at)?;
    connection
        .prepare_cached(
            "UPDATE webhook_events SET status = 'completed', next_attempt_at = NULL, completed_at = ?1, \
             note = 'a message about alerts' WHERE id = ?2",
        )?
        .execute(params![at, event_id])?;
    connection
        .prepare_cached(
            "INSERT INTO webhook_event_log (event_id, at, from_status, to_status, attempt) \
             VALUES (?, ?, 'received', 'completed', 0)",
        )?
        .execute(params![event_id, at])?;
    Ok(event_id)
}

/// Returns the alerts that are not over, and those whose end no message reported yet. The oldest is first.
fn list_unsettled_alerts(connection: &Connection) -> Result<Vec<Alert>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM alerts WHERE recovered_at IS NULL OR (notified_at < recovered_at AND dismissed_at IS NULL) \
         ORDER BY id",
        alerts::COLUMNS
    ))?;
    let rows = statement.query_map([], alerts::read_alert_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn is_message_allowed(connection: &Connection, times: NoticeTimes, now: Timestamp) -> Result<bool, StoreError> {
    let last: Option<String> = connection.query_row("SELECT max(at) FROM alert_messages", [], |row| row.get(0))?;
    Ok(last.is_none_or(|last| is_older(&last, times.message_interval, now)))
}

/// Returns true if a stored time is at least `age` ago, or in the future: the clock was set back then.
fn is_older(stored: &str, age: Duration, now: Timestamp) -> bool {
    clock::parse_timestamp(stored).map_or(true, |at| at > now || clock::duration_between(at, now) >= age)
}

/// What a round changes.
struct RoundPlan<'r> {
    opened: Vec<&'r ActiveCondition>,
    ended: Vec<&'r Alert>,
}

/// Compares the alerts with the conditions that hold.
fn plan_round<'r>(alerts: &'r [Alert], conditions: &'r [ActiveCondition], now: Timestamp) -> RoundPlan<'r> {
    let held: Vec<&Alert> = alerts.iter().filter(|alert| alert.recovered_at.is_none()).collect();
    let by_key: BTreeMap<(&str, &str), &ActiveCondition> =
        conditions.iter().map(|condition| ((condition.kind.as_str(), condition.subject.as_str()), condition)).collect();
    let is_held = |key: &(&str, &str)| held.iter().any(|alert| (alert.kind.as_str(), alert.subject.as_str()) == *key);
    let has_ended = |alert: &&Alert| match AlertKind::from_name(&alert.kind) {
        Some(kind) if kind.is_login() => {
            let quiet_time = Duration::from_hours(24 * LOGIN_ALERT_DAYS.unsigned_abs());
            alert.dismissed_at.is_some() || is_older(&alert.last_at, quiet_time, now)
        }
        _ => !by_key.contains_key(&(alert.kind.as_str(), alert.subject.as_str())),
    };
    RoundPlan {
        opened: by_key.iter().filter(|(key, _)| !is_held(key)).map(|(_, condition)| *condition).collect(),
        ended: held.iter().copied().filter(has_ended).collect(),
    }
}

/// Returns what the next message reports, the most urgent first.
fn find_notices(alerts: Vec<Alert>, round: &AlertRound, now: Timestamp) -> Vec<AlertNotice> {
    let is_ignored = |alert: &Alert| round.ignored.iter().any(|kind| kind.as_str() == alert.kind);
    let find_state = |alert: &Alert| match (&alert.recovered_at, &alert.notified_at) {
        _ if alert.dismissed_at.is_some() || is_ignored(alert) => None,
        (None, None) => Some(NoticeState::Opened),
        (None, Some(at)) => is_older(at, round.times.repeat_interval, now).then_some(NoticeState::Repeated),
        // It was over before anybody got a message about it.
        (Some(_), None) => None,
        (Some(recovered), Some(notified)) => (notified < recovered).then_some(NoticeState::Recovered),
    };
    let urgency = |notice: &AlertNotice| {
        let kind = AlertKind::ALL.iter().position(|kind| kind.as_str() == notice.alert.kind);
        (notice.state == NoticeState::Recovered, kind.unwrap_or(AlertKind::ALL.len()))
    };
    let mut notices: Vec<AlertNotice> =
        alerts.into_iter().filter_map(|alert| find_state(&alert).map(|state| AlertNotice { state, alert })).collect();
    notices.sort_by_key(urgency);
    notices.truncate(NOTICES_MAX);
    notices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::StoreOptions;

    /// A store on a manual clock, with the conditions of the next round.
    struct Rounds {
        store: Store,
        clock: Clock,
        _directory: tempfile::TempDir,
    }

    fn condition(kind: AlertKind, subject: &str) -> ActiveCondition {
        let (subject, message) = (subject.to_owned(), format!("{} holds", kind.as_str()));
        ActiveCondition { kind, subject, message, fix: "fix it".to_owned() }
    }

    fn compose(notices: &[AlertNotice]) -> Vec<u8> {
        let line = |notice: &AlertNotice| format!("{} {}", notice.state.as_str(), notice.alert.kind);
        notices.iter().map(line).collect::<Vec<_>>().join(", ").into_bytes()
    }

    impl Rounds {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
            let store = Store::open(&StoreOptions::new(directory.path().join("events.db")), &clock).unwrap();
            Self { store, clock, _directory: directory }
        }

        /// Runs a round after some minutes. Returns the text of its message; empty for none.
        async fn run(&self, minutes: u64, conditions: &[ActiveCondition]) -> String {
            self.clock.advance(Duration::from_mins(minutes));
            let channel =
                |name: &str| NewDelivery { destination: name.to_owned(), ordering_key: String::new(), max_attempts: 8 };
            let round = AlertRound {
                conditions: conditions.to_vec(),
                times: NoticeTimes {
                    message_interval: Duration::from_mins(10),
                    repeat_interval: Duration::from_hours(24),
                },
                channels: vec![channel("alert:mail"), channel("alert:chat")],
                compose: Box::new(compose),
                ignored: vec![AlertKind::BackupOverdue],
            };
            let result = self.store.run_alert_round(round).await.unwrap();
            let Some(event) = result.message_event else { return String::new() };
            let (deliveries, is_completed) = self
                .store
                .reader
                .read(|connection| {
                    let count = "SELECT count(*), (SELECT status = 'completed' FROM webhook_events WHERE id = ?1) \
                                 FROM destination_deliveries WHERE event_id = ?1 AND status = 'pending'";
                    Ok(connection.query_row(count, [event], |row| Ok((row.get(0)?, row.get(1)?)))?)
                })
                .unwrap();
            assert_eq!((deliveries, is_completed), (2, true), "one delivery for each channel, and no work");
            String::from_utf8(self.store.read_payload(event).unwrap().unwrap().body).unwrap()
        }
    }

    #[tokio::test]
    async fn alert_is_reported_once_then_daily_and_at_its_end() {
        let rounds = Rounds::new();
        let failed = [condition(AlertKind::FailedEvents, "")];
        assert_eq!(rounds.run(0, &[condition(AlertKind::BackupOverdue, "")]).await, "", "the kind is ignored");
        assert_eq!(rounds.run(1, &failed).await, "opened failed_events");
        assert_eq!(rounds.run(60, &failed).await, "");
        assert_eq!(rounds.run(24 * 60, &failed).await, "repeated failed_events");
        assert_eq!(rounds.run(60, &[]).await, "recovered failed_events");
        assert_eq!(rounds.run(60, &[]).await, "");
        assert_eq!(rounds.run(1, &failed).await, "opened failed_events", "it began again");
    }

    #[tokio::test]
    async fn changes_within_the_interval_are_one_message() {
        let rounds = Rounds::new();
        let failed = condition(AlertKind::FailedEvents, "");
        let disk = condition(AlertKind::DiskFull, "");
        let down = |name: &str| condition(AlertKind::DestinationDown, name);
        assert_eq!(rounds.run(0, std::slice::from_ref(&failed)).await, "opened failed_events");
        assert_eq!(rounds.run(1, &[failed.clone(), down("erp")]).await, "", "the last message is a minute old");
        assert_eq!(rounds.run(1, &[failed, down("erp"), down("wms"), disk.clone()]).await, "");
        let expected = "opened disk_full, opened destination_down, recovered failed_events";
        assert_eq!(rounds.run(8, &[disk.clone(), down("wms")]).await, expected, "erp recovered before any message");
        assert_eq!(rounds.run(10, &[disk]).await, "recovered destination_down");
    }

    #[tokio::test]
    async fn condition_that_begins_and_ends_all_the_time_is_one_alert() {
        let rounds = Rounds::new();
        let down = [condition(AlertKind::DestinationDown, "erp")];
        assert_eq!(rounds.run(0, &down).await, "opened destination_down");
        for _ in 0..3 {
            assert_eq!(rounds.run(1, &[]).await, "");
            assert_eq!(rounds.run(1, &down).await, "");
        }
        assert_eq!(rounds.run(20, &down).await, "", "it holds, and everybody knows");
        assert_eq!(rounds.run(1, &[]).await, "recovered destination_down");
    }

    #[tokio::test]
    async fn dismissed_alert_is_quiet_until_its_condition_begins_again() {
        let rounds = Rounds::new();
        let silent = [condition(AlertKind::SourceSilent, "shopify")];
        assert_eq!(rounds.run(0, &silent).await, "opened source_silent");
        let dismissed = rounds.store.dismiss_alerts(None, "the shop is closed".into(), "ada@box".into()).await.unwrap();
        assert_eq!(dismissed.len(), 1);
        assert_eq!(rounds.run(48 * 60, &silent).await, "");
        assert_eq!(rounds.run(60, &[]).await, "", "no message about the end of a dismissed alert");
        assert_eq!(rounds.run(60, &silent).await, "opened source_silent");
    }

    #[tokio::test]
    async fn quiet_round_writes_nothing() {
        let rounds = Rounds::new();
        let failed = [condition(AlertKind::FailedEvents, "")];
        rounds.run(0, &failed).await;
        let log_bytes = || {
            let log = crate::files::with_suffix(rounds.store.path(), "-wal");
            std::fs::metadata(log).map_or(0, |data| data.len())
        };
        let before = log_bytes();
        assert_eq!(rounds.run(60, &failed).await, "");
        assert_eq!(log_bytes(), before);
    }
}
