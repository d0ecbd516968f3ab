//! Any text as RSX in XML.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novex_ingest::internals::edi::rsx::{order, tree};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(root) = tree::parse_rsx_xml(text) {
        let _ = (order::list_rsx_kinds(&root).count(), order::read_rsx_documents(&root));
    }
});
