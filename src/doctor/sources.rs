//! Checks of what the sources send: a source that is silent against its rhythm, and orders that need a person.

use crate::clock::Timestamp;
use crate::config::Config;
use crate::doctor::Findings;
use crate::doctor::silence::{HISTORY_WEEKS_MAX, find_silence};
use crate::presentation::program::quote_word;
use crate::presentation::quantities::format_duration;
use crate::store::StoreError;
use crate::store::audit::alerts::AlertKind;
use crate::store::erp::purchase_order_views::{AttentionOrder, list_recent_attention};
use crate::store::events::overview::{SourceHours, list_source_hours};
use crate::text::format_count;
use rusqlite::Connection;
use std::time::Duration;

/// Weeks of counts that are read: the history, and the longest silence that is still reported.
const COUNTED_WEEKS: u64 = HISTORY_WEEKS_MAX as u64 + 12;
/// Most orders with an alert of their own.
const ORDERS_MAX: u32 = 20;
/// Days for which an order that needs attention is reported after its last document.
const ATTENTION_DAYS: u64 = 7;

/// What the checks of the sources read from the database.
pub(super) struct SourceFacts {
    hours: Vec<SourceHours>,
    orders: Vec<AttentionOrder>,
}

impl SourceFacts {
    /// Reads the events by hour and the orders as of `now`.
    pub(super) fn read(connection: &Connection, now: Timestamp) -> Result<Self, StoreError> {
        let before = |age: Duration| now.checked_sub(age).unwrap_or(now);
        Ok(Self {
            hours: list_source_hours(connection, before(Duration::from_hours(COUNTED_WEEKS * 168)), now)?,
            orders: list_recent_attention(connection, before(Duration::from_hours(ATTENTION_DAYS * 24)), ORDERS_MAX)?,
        })
    }

    /// Adds the findings.
    pub(super) fn report(&self, config: &Config, now: Timestamp, findings: &mut Findings) {
        if config.alerts.is_silence_checked {
            self.report_silence(now, findings);
        }
        self.report_orders(findings);
    }

    fn report_silence(&self, now: Timestamp, findings: &mut Findings) {
        let seconds = u32::try_from(now.as_second().rem_euclid(3600)).unwrap_or_default();
        for SourceHours { source, counts } in &self.hours {
            let Some(silence) = find_silence(counts, f64::from(seconds) / 3600.0) else { continue };
            let time = format_duration(silence.hours as u64 * 3600 + u64::from(seconds));
            let message = format!(
                "{source} has sent nothing for {time}; by the rhythm of the last weeks, about {:.0} events are missing",
                silence.expected_events
            );
            let fix = "`novex-ingest events rejected`; look at the webhooks at the provider, and whether it reaches this \
                       machine";
            findings.add_condition(AlertKind::SourceSilent, source.as_str(), message.clone(), fix);
            findings.add_warning("sources", message, fix);
        }
    }

    fn report_orders(&self, findings: &mut Findings) {
        let Some(newest) = self.orders.first() else { return };
        for order in &self.orders {
            findings.add_condition(
                AlertKind::OrderAttention,
                order.describe(),
                format!("{} needs a person before the ERP ships it", order.describe()),
                format!("`novex-ingest sps show {}`", quote_word(&order.po_number)),
            );
        }
        let count = format_count(self.orders.len(), "purchase order", "purchase orders");
        findings.add_info(
            "edi",
            format!(
                "{count} of the last {ATTENTION_DAYS} days with a reason for attention; the newest is {}",
                newest.describe()
            ),
            "`novex-ingest sps list --attention`",
        );
    }
}

impl AttentionOrder {
    fn describe(&self) -> String {
        let release = if self.release.is_empty() { String::new() } else { format!(", release {}", self.release) };
        format!("purchase order {}{release} of {}", self.po_number, self.partner)
    }
}
