//! The filter of events in the address of a page, which links, forms and streams share.

use crate::event::Source;
use crate::presentation::times::{TimeFormat, parse_time_arg};
use crate::store::events::records::{EventFilter, EventStatus};
use axum::extract::Query;
use axum::http::Uri;
use clap::ValueEnum;
use serde::Deserialize;

/// The filter and the place in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EventsQuery {
    pub status: String,
    pub source: String,
    /// `*` matches anything.
    pub topic: String,
    /// A part of the last error; `*` matches anything.
    pub error: String,
    /// A time, a day or an age.
    pub since: String,
    pub until: String,
    /// Order number, customer, tracking code, SKU, PO number.
    pub q: String,
    /// `error`: groups of failed events in place of single ones.
    pub group: String,
    /// Only events with a lower id: the last one of the page before.
    pub before: Option<i64>,
    /// The last status change that the page shows.
    pub after: Option<i64>,
    /// After a retry of chosen events: how many were chosen, and how many were retried.
    pub chosen: Option<u32>,
    pub retried: Option<u32>,
}

impl EventsQuery {
    /// Returns the filter. Times without an offset are UTC.
    ///
    /// # Errors
    /// The message for the person, if a value cannot be read. A value that was ignored could retry too many events.
    pub fn to_filter(&self) -> Result<EventFilter, String> {
        let text = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let times = TimeFormat::detect(true);
        let time = |value: &String| {
            text(value).map(|value| parse_time_arg(&value).map(|time| time.resolve(&times))).transpose()
        };
        let status = text(&self.status).map(|status| {
            EventStatus::from_str(&status, true).map_err(|_| format!("{status:?} is not a status of events"))
        });
        Ok(EventFilter {
            status: status.transpose()?,
            source: text(&self.source).map(|source| source.parse::<Source>()).transpose()?,
            topic: text(&self.topic),
            since: time(&self.since)?,
            until: time(&self.until)?,
            error: text(&self.error),
        })
    }

    /// Returns the filter with times in place of ages, so that it stays the same while it is used.
    #[must_use]
    pub fn with_fixed_times(&self, filter: &EventFilter) -> Self {
        Self {
            since: filter.since.clone().unwrap_or_default(),
            until: filter.until.clone().unwrap_or_default(),
            ..self.clone()
        }
    }

    /// Returns the fields of the filter that are not empty.
    #[must_use]
    pub fn list_fields(&self) -> Vec<(&'static str, &str)> {
        let fields = [
            ("status", &self.status),
            ("source", &self.source),
            ("topic", &self.topic),
            ("error", &self.error),
            ("since", &self.since),
            ("until", &self.until),
        ];
        fields.into_iter().map(|(name, value)| (name, value.trim())).filter(|(_, value)| !value.is_empty()).collect()
    }

    /// Returns the filter as the query of an address.
    #[must_use]
    pub fn to_query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.list_fields()).finish()
    }

    /// Reads a filter that [`EventsQuery::to_query`] wrote.
    #[must_use]
    pub fn parse_query(query: &str) -> Option<Self> {
        let uri: Uri = format!("/?{query}").parse().ok()?;
        Some(Query::<Self>::try_from_uri(&uri).ok()?.0)
    }

    /// Returns the filter in words.
    #[must_use]
    pub fn describe_filter(&self) -> String {
        let words: Vec<String> = self.list_fields().iter().map(|(name, value)| format!("{name} {value}")).collect();
        if words.is_empty() { "all events".to_owned() } else { words.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_survives_the_way_through_an_address() {
        let query = EventsQuery {
            status: "failed".to_owned(),
            error: "order * & \"x\" = 50%".to_owned(),
            since: "2026-11-23T20:30:00.000Z".to_owned(),
            ..EventsQuery::default()
        };
        assert_eq!(EventsQuery::parse_query(&query.to_query()), Some(query));
    }

    #[test]
    fn wrong_values_are_not_ignored() {
        for (name, query) in [
            ("status", EventsQuery { status: "lost".to_owned(), ..EventsQuery::default() }),
            ("source", EventsQuery { source: "ebay".to_owned(), ..EventsQuery::default() }),
            ("since", EventsQuery { since: "soon".to_owned(), ..EventsQuery::default() }),
        ] {
            assert!(query.to_filter().is_err(), "{name}");
        }
        let filter = EventsQuery { until: "2026-11-23".to_owned(), ..EventsQuery::default() }.to_filter().unwrap();
        assert_eq!(filter.until.as_deref(), Some("2026-11-23T00:00:00.000Z"));
    }
}
