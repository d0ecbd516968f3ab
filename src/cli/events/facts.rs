//! What an event became: its order, customer and total, its rows, and its state at each destination. `events show` and
//! `events search` print it.

use crate::clock::{self, Clock};
use crate::config::Config;
use crate::delivery::destinations::DestinationSettings;
use crate::presentation::times::TimeFormat;
use crate::store::StoreError;
use crate::store::erp::event_summary::{self, EVENT_ROWS_MAX, EventSummary};
use crate::store::events::destinations::{self, DeliveryRecord, DestinationState};
use crate::store::events::records::EventRecord;
use crate::store::leases::dismissals;
use crate::text::format_count;
use rusqlite::Connection;
use serde::Serialize;
use serde_json::{Value, json};

/// What one event became.
pub(super) struct EventFacts {
    pub rows: EventSummary,
    pub destinations: Vec<DestinationProgress>,
}

/// The state of one event at one destination.
#[derive(Debug, Serialize)]
pub(super) struct DestinationProgress {
    pub destination: String,
    /// `pending`, `delivering`, `delivered`, `failed`, `dropped`, `not subscribed`, `waiting` or `not sent`.
    pub state: &'static str,
    /// Time of the state, or of the next attempt.
    pub at: Option<String>,
    pub attempts: u32,
    /// The answer of the destination, or the reason of the state.
    pub reason: Option<String>,
}

impl DestinationProgress {
    /// Returns the state in words.
    pub(super) fn describe(&self, times: &TimeFormat) -> String {
        let mut text = self.state.to_owned();
        if let Some(at) = &self.at {
            text.push_str(match self.state {
                "pending" => ", next attempt at ",
                "delivering" => " since ",
                _ => " at ",
            });
            text.push_str(&times.format_time_with_age(at));
        }
        if self.attempts > 0 && self.state != "delivered" {
            text = format!("{text} after {}", format_count(self.attempts, "attempt", "attempts"));
        }
        match &self.reason {
            Some(reason) => format!("{text}: {reason}"),
            None => text,
        }
    }
}

/// The destinations with their states, which are read once for all events of a command.
pub(super) struct FactsReader {
    settings: Vec<DestinationSettings>,
    states: Vec<DestinationState>,
    times: TimeFormat,
}

impl FactsReader {
    /// Reads the state of each configured destination. Reasons have times in the form `times`.
    pub(super) fn new(connection: &Connection, config: &Config, times: TimeFormat) -> Result<Self, StoreError> {
        let settings = config.destinations.clone();
        let names: Vec<String> = settings.iter().map(|settings| settings.name.clone()).collect();
        let states = destinations::list_destinations(connection, &names, Clock::system().now())?;
        Ok(Self { settings, states, times })
    }

    /// Reads the facts of an event.
    pub(super) fn read_facts(&self, connection: &Connection, event: &EventRecord) -> Result<EventFacts, StoreError> {
        let key = &event.identity.key;
        let mut deliveries = destinations::list_event_deliveries(connection, event.identity.id)?;
        let mut progress = Vec::new();
        for settings in &self.settings {
            let delivery = deliveries.iter().position(|delivery| delivery.destination == settings.name);
            progress.push(match delivery.map(|index| deliveries.remove(index)) {
                Some(delivery) => {
                    self.describe_delivery(delivery, self.states.iter().find(|state| state.name == settings.name))
                }
                None => describe_missing_delivery(settings, event),
            });
        }
        for delivery in deliveries {
            let mut other = self.describe_delivery(delivery, None);
            let reason = Some("the destination is not configured".to_owned());
            other.reason = Some(join_words([other.reason, reason], "; "));
            progress.push(other);
        }
        let mut rows = event_summary::find_event_summary(connection, event.identity.id, &key.shop_domain)?;
        rows.keep_own_rows(event);
        Ok(EventFacts { rows, destinations: progress })
    }

    fn describe_delivery(
        &self,
        delivery: DeliveryRecord,
        destination: Option<&DestinationState>,
    ) -> DestinationProgress {
        let now = clock::format_timestamp(Clock::system().now());
        let mut progress = DestinationProgress {
            destination: delivery.destination,
            state: "failed",
            at: delivery.finished_at,
            attempts: delivery.attempts,
            reason: delivery.last_error,
        };
        match delivery.status.as_str() {
            "delivered" => progress.state = "delivered",
            "delivering" => (progress.state, progress.at) = ("delivering", delivery.locked_at),
            "pending" => {
                progress.state = "pending";
                let turn =
                    delivery.waits_for_event.map(|id| format!("waits for event {id} of the same order or record"));
                let wait = destination.and_then(|destination| self.describe_wait(destination));
                let is_blocked = turn.is_some() || wait.is_some();
                progress.at = if is_blocked { None } else { delivery.next_attempt_at.map(|at| at.max(now)) };
                let words = [turn, wait, progress.reason.take()];
                progress.reason = Some(join_words(words, "; ")).filter(|text| !text.is_empty());
            }
            _ if progress.reason.as_deref() == Some(dismissals::DROPPED_ERROR) => {
                (progress.state, progress.reason) = ("dropped", None);
            }
            _ => {}
        }
        // Dropping dismisses the delivery without a reason of its own.
        let is_only_dropped = progress.state == "dropped" && delivery.dismissed_reason.is_none();
        if let Some(at) = delivery.dismissed_at.filter(|_| !is_only_dropped) {
            let dismissed = join_words(
                [Some(format!("dismissed at {}", self.times.format_time(&at))), delivery.dismissed_reason],
                ": ",
            );
            progress.reason = Some(join_words([progress.reason.take(), Some(dismissed)], "; "));
        }
        progress
    }

    /// Returns why a destination gets nothing now.
    fn describe_wait(&self, destination: &DestinationState) -> Option<String> {
        if let Some(at) = &destination.paused_at {
            return Some(format!("the destination is paused since {}", self.times.format_time_with_age(at)));
        }
        let (since, probe) = (destination.down_since.as_ref()?, destination.next_probe_at.as_ref()?);
        let (since, probe) = (self.times.format_time_with_age(since), self.times.format_time_with_age(probe));
        Some(format!("the destination is down since {since}, next probe at {probe}"))
    }
}

impl EventFacts {
    /// Adds the facts to the JSON document of the event. `order_number`, `total` and `currency` are those of the first
    /// order.
    pub(super) fn add_to_document(&self, document: &mut Value) {
        let order = self.rows.orders.first().cloned().unwrap_or_default();
        document["order_number"] = json!(order.number);
        document["customer"] = json!(self.rows.customer);
        document["total"] = json!(order.total);
        document["currency"] = json!(order.currency);
        document["orders"] = json!(self.rows.orders);
        document["rows"] = json!(self.rows.rows);
        document["destinations"] = json!(self.destinations);
    }

    /// Returns the orders and the customer in words, such as `#1001, Ada Lovelace, 217.44 USD`.
    pub(super) fn describe_orders(&self) -> Vec<String> {
        let describe = |order: &event_summary::EventOrder| {
            let total =
                order.total.as_ref().map(|total| join_words([Some(total.clone()), order.currency.clone()], " "));
            join_words([order.number.clone(), order.customer.clone(), total], ", ")
        };
        self.rows.orders.iter().map(describe).collect()
    }

    /// Returns the rows in words: `sales_orders acme-foods.myshopify.com 820982911946154508`.
    pub(super) fn describe_rows(&self) -> Vec<String> {
        let mut texts: Vec<String> =
            self.rows.rows.iter().map(|row| format!("{} {}", row.table, row.key_text())).collect();
        if self.rows.has_more {
            texts.push(format!("and more: only the first {EVENT_ROWS_MAX} are listed"));
        }
        texts
    }
}

fn join_words<const N: usize>(words: [Option<String>; N], separator: &str) -> String {
    words.into_iter().flatten().collect::<Vec<_>>().join(separator)
}

/// Returns why a destination has no delivery of an event.
fn describe_missing_delivery(settings: &DestinationSettings, event: &EventRecord) -> DestinationProgress {
    let key = &event.identity.key;
    let (state, reason) = if !settings.matches(key.source, &key.topic) {
        ("not subscribed", None)
    } else if event.is_test {
        ("not sent", Some("it is a test event, and no destination receives test events".to_owned()))
    } else if event.redacted_at.is_some() {
        ("not sent", Some("the event was redacted".to_owned()))
    } else {
        match event.status.as_str() {
            "completed" => {
                let fix = format!("`novex-ingest events retry {}` sends the event", event.identity.id);
                ("not sent", Some(format!("it had no subscription when the event completed; {fix}")))
            }
            "failed" => ("not sent", Some("the event failed".to_owned())),
            status => ("waiting", Some(format!("the event is {status}"))),
        }
    };
    DestinationProgress { destination: settings.name.clone(), state, at: None, attempts: 0, reason }
}
