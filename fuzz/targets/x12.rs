//! An X12 file that may hold anything: read with its envelope and orders, acknowledged, and the acknowledgement read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novex_ingest::formats::edi;
use novex_ingest::formats::history::{Told, fold};
use novex_ingest::formats::x12::acknowledge;
use novex_ingest::formats::x12::write::Numbers;

fuzz_target!(|input: &[u8]| {
    let document = edi::read(input);
    for group in 0..document.groups.len() {
        if acknowledge::is_due(&document, group) {
            let answer = acknowledge::draft(&document, group)
                .write(Numbers { interchange: 1, group: 1 }, "2026-11-24T10:41:00Z");
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
