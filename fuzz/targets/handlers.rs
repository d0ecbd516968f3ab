//! Every handler: a body that its provider signed and that may hold anything.
//!
//! The input's first line is `SOURCE TOPIC`, the rest is the body.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use novex_ingest::clock::Timestamp;
use novex_ingest::handlers::{Event, Routes};

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return Corpus::Reject };
    let Ok(first) = std::str::from_utf8(&input[..end]) else { return Corpus::Reject };
    let Some((source, topic)) = first.split_once(' ') else { return Corpus::Reject };
    let event = Event {
        id: 1,
        source,
        shop_domain: "acme-foods.myshopify.com",
        topic,
        received_at: Timestamp::UNIX_EPOCH,
        triggered_at: None,
        body_hash: 0,
        body: &input[end + 1..],
    };
    // Whatever it says is right, as long as it says something.
    let _ = Routes::standard().find(source, topic).plan(&event);
    Corpus::Keep
});
