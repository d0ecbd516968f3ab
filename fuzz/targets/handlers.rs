//! Every handler: a body with a valid signature and any bytes.
//!
//! The input's first line is `SOURCE TOPIC`; the bytes after it are the body.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use novex_ingest::internals::clock::Timestamp;
use novex_ingest::internals::event::{EventIdentity, EventKey, Source};
use novex_ingest::internals::handlers::{Event, Routes};

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some(line_end) = input.iter().position(|byte| *byte == b'\n') else { return Corpus::Reject };
    let Ok(first) = std::str::from_utf8(&input[..line_end]) else { return Corpus::Reject };
    let Some((source, topic)) = first.split_once(' ') else { return Corpus::Reject };
    let Ok(parsed) = source.parse::<Source>() else { return Corpus::Reject };
    let key = EventKey {
        source: parsed,
        shop_domain: "acme-foods.myshopify.com".to_owned(),
        topic: topic.to_owned(),
        webhook_id: String::new(),
    };
    let event = Event {
        identity: &EventIdentity { id: 1, key },
        received_at: Timestamp::UNIX_EPOCH,
        triggered_at: None,
        body_hash: 0,
        body: &input[line_end + 1..],
        is_events_preview: false,
        body_notes: None,
    };
    // Any plan and any error is correct: the target looks for panics, hangs and memory use.
    let _ = Routes::standard().plan(&event);
    Corpus::Keep
});
