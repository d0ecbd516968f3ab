//! Records refused requests in the log and in `rejected_requests`, at a rate that a flood cannot raise.

use crate::clock;
use crate::metrics::Counter;
use crate::providers::{Rejection, RejectionReason};
use crate::store::Store;
use crate::store::events::rejections::RejectionRecord;
use crate::token_bucket::TokenBucket;
use hyper::HeaderMap;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Mutex;
use tracing::warn;

/// Most rows recorded at once: enough for a person to see the cause, too few to fill or slow anything.
const BURST_ROWS: u32 = 50;
/// Rows recorded per second after a burst.
const ROWS_PER_SECOND: u32 = 5;
/// Longest path, detail and list of header names that a row stores, in bytes.
const TEXT_BYTES_MAX: usize = 500;

/// Writes rejections and counts those over the rate.
pub struct RejectionRecorder {
    store: Store,
    rate: Mutex<RejectionRate>,
    counts: [Counter; RejectionReason::ALL.len()],
}

struct RejectionRate {
    bucket: TokenBucket,
    unrecorded: u64,
}

/// The facts about a request that its rejection's row stores.
#[derive(Debug, Clone, Copy)]
pub struct RequestSummary<'a> {
    pub from: IpAddr,
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

impl RejectionRecorder {
    #[must_use]
    pub fn new(store: Store) -> Self {
        let bucket = TokenBucket::new(BURST_ROWS, ROWS_PER_SECOND);
        Self { store, rate: Mutex::new(RejectionRate { bucket, unrecorded: 0 }), counts: Default::default() }
    }

    /// Writes the rejection to the log and to `rejected_requests`, or counts it if it is over the rate.
    pub fn record(&self, request: RequestSummary<'_>, rejection: &Rejection) {
        let reason = rejection.reason;
        self.counts[reason as usize].increment();
        let Some(unrecorded) = self.take_token() else { return };
        let names: Vec<&str> = request.headers.keys().map(hyper::header::HeaderName::as_str).collect();
        warn!(
            from = %request.from,
            path = truncate_text(request.path),
            %reason,
            unrecorded,
            "the daemon refused a request with {}: {}. `novex-ingest events rejected` lists what to check",
            reason.http_status(),
            truncate_text(&rejection.detail)
        );
        self.store.record_rejection(RejectionRecord {
            at: clock::format_timestamp(self.store.clock.now()),
            remote_addr: request.from.to_string(),
            method: truncate_text(request.method).to_owned(),
            path: truncate_text(request.path).to_owned(),
            http_status: reason.http_status(),
            reason: reason.as_str().to_owned(),
            detail: Some(truncate_text(&rejection.detail).to_owned()).filter(|detail| !detail.is_empty()),
            header_names: truncate_text(&names.join(" ")).to_owned(),
            body_sha256: (!request.body.is_empty()).then(|| hex::encode(Sha256::digest(request.body))),
            body_bytes: request.body.len() as u64,
            unrecorded,
        });
    }

    /// Returns the number of rejections of each reason since the start of the process.
    pub fn list_counts(&self) -> impl Iterator<Item = (RejectionReason, u64)> {
        RejectionReason::ALL.into_iter().zip(self.counts.iter().map(Counter::get))
    }

    /// Returns the number of rejections left out since the last recorded one, or `None` if this one is over the rate.
    fn take_token(&self) -> Option<u64> {
        let mut rate = self.rate.lock().expect("nothing panics while it holds the rate");
        if !rate.bucket.try_take() {
            rate.unrecorded += 1;
            return None;
        }
        Some(std::mem::take(&mut rate.unrecorded))
    }
}

fn truncate_text(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}
