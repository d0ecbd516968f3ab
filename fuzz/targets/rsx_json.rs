//! Any bytes as RSX in JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novex_ingest::internals::edi::rsx::{order, tree};

fuzz_target!(|input: &[u8]| {
    if let Ok((root, _)) = tree::parse_rsx_json(input) {
        let _ = (order::list_rsx_kinds(&root).count(), order::read_rsx_documents(&root));
    }
});
