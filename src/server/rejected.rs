//! Noting refused deliveries, at a rate that a flood cannot raise.

use crate::clock;
use crate::providers::Refusal;
use crate::store::Store;
use crate::store::rejections::Rejection;
use hyper::HeaderMap;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Instant;
use tracing::warn;

/// Rows noted at once, and then a second: enough for a person to see what is wrong, too few to fill or slow anything.
const BURST: f64 = 50.0;
const PER_SECOND: f64 = 5.0;
/// Longest path, detail and list of header names that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 500;

/// The noting, with what it left out.
pub struct Recorder {
    store: Store,
    rate: Mutex<Rate>,
}

struct Rate {
    tokens: f64,
    at: Instant,
    left_out: u64,
}

/// A request as far as a refusal's row needs it.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    pub from: IpAddr,
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

impl Recorder {
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, rate: Mutex::new(Rate { tokens: BURST, at: Instant::now(), left_out: 0 }) }
    }

    /// Notes it in the log and in `rejected_requests`, or counts it as left out.
    pub fn note(&self, request: Refused<'_>, refusal: &Refusal) {
        let Some(unrecorded) = self.admit() else { return };
        let reason = refusal.reason;
        let names: Vec<&str> = request.headers.keys().map(hyper::header::HeaderName::as_str).collect();
        warn!(
            from = %request.from,
            path = cut(request.path),
            %reason,
            unrecorded,
            "refused with {}: {}. `novex-ingest events rejected` says what to check",
            reason.http_status(),
            cut(&refusal.detail)
        );
        self.store.note_rejection(Rejection {
            at: clock::text(self.store.clock.now()),
            remote_addr: request.from.to_string(),
            method: cut(request.method).to_owned(),
            path: cut(request.path).to_owned(),
            http_status: reason.http_status(),
            reason: reason.as_str().to_owned(),
            detail: Some(cut(&refusal.detail).to_owned()).filter(|detail| !detail.is_empty()),
            header_names: cut(&names.join(" ")).to_owned(),
            body_sha256: (!request.body.is_empty()).then(|| hex::encode(Sha256::digest(request.body))),
            body_bytes: request.body.len() as u64,
            unrecorded,
        });
    }

    /// `None`: over the rate. Otherwise how many were left out since the last one.
    fn admit(&self) -> Option<u64> {
        let mut rate = self.rate.lock().expect("nothing panics while it holds the rate");
        rate.tokens = (rate.tokens + rate.at.elapsed().as_secs_f64() * PER_SECOND).min(BURST);
        rate.at = Instant::now();
        if rate.tokens < 1.0 {
            rate.left_out += 1;
            return None;
        }
        rate.tokens -= 1.0;
        Some(std::mem::take(&mut rate.left_out))
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}
