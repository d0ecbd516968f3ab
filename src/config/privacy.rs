//! `[privacy]`: how long a redaction waits.

use crate::config::reader::ConfigTable;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);
/// Longest delay. Shopify requires a redaction within 30 days.
const REDACTION_DELAY_MAX: Duration = Duration::from_hours(24 * 28);

/// Settings of the section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivacySettings {
    /// Time from the arrival of a redaction to its work; an operator can stop it meanwhile.
    pub redaction_delay: Duration,
}

pub(crate) fn read_privacy_section(mut table: ConfigTable<'_>) -> PrivacySettings {
    let settings = PrivacySettings {
        redaction_delay: table.read_duration("redaction_delay", DAY, Duration::ZERO..=REDACTION_DELAY_MAX),
    };
    table.finish();
    settings
}
