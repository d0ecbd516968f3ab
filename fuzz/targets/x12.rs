//! An X12 file that may hold anything: read with its envelope and orders, acknowledged, and the acknowledgement read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novex_ingest::formats::edi;
use novex_ingest::formats::history::{Told, fold};
use novex_ingest::formats::x12::acknowledge;

fuzz_target!(|input: &[u8]| {
    let document = edi::read(input);
    for group in 0..document.groups.len() {
        if acknowledge::is_due(&document, group) {
            let answer = acknowledge::write(&document, group, (1, 1), ("20261124", "1041"));
            let back = edi::read(answer.as_bytes());
            assert!(back.parts.len() == 1 && back.kind == "997", "what we write is an acknowledgement: {answer}");
        }
    }
    let told: Vec<Told> = document
        .parts
        .into_iter()
        .zip(1..)
        .filter_map(|(part, place)| part.order.map(|order| Told { order, event_id: 1, part: place }))
        .collect();
    let _ = fold(&told, input.len() % 2 == 0).total();
});
