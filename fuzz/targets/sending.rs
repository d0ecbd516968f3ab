//! An invoice or ship notice that may hold anything, for an order that may hold anything: what is written is sound.
//!
//! The input is the document, a line of dashes, and the file with the order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novex_ingest::formats::edi;
use novex_ingest::formats::history::{Told, fold};
use novex_ingest::formats::outgoing::Content;
use novex_ingest::formats::rsx::tree;
use novex_ingest::formats::sending::Document;
use novex_ingest::formats::sending::ordered::Ordered;
use novex_ingest::formats::x12::write::Numbers;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (given, file) = text.split_once("\n---\n").unwrap_or((text, ""));
    let orders = edi::read(file.as_bytes()).parts.into_iter().filter_map(|part| part.order);
    let told: Vec<Told> = orders.map(|order| Told { order, event_id: 1, part: 1 }).collect();
    let order = Ordered::new(fold(&told, false), Vec::new());
    for kind in ["810", "856"] {
        let Ok(document) = Document::read(kind, given) else { continue };
        let orders = vec![order.clone(); document.orders().len()];
        for lenient in [false, true] {
            let Ok(prepared) = document.prepare(&orders, lenient, "2026-11-24T10:41:00.000Z") else { continue };
            match prepared.outgoing.content {
                Content::X12(draft) => {
                    let text = draft.write(Numbers { interchange: 1, group: 1 }, "2026-11-24T10:41:00.000Z");
                    assert!(edi::read(text.as_bytes()).kind == kind, "what we write is one: {text}");
                }
                Content::Text(text) if prepared.outgoing.name.ends_with("xml") => {
                    tree::from_xml(&text).expect("sound XML");
                }
                Content::Text(text) => {
                    tree::from_json(&text).expect("sound JSON");
                }
            }
        }
    }
});
