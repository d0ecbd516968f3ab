//! RSX in XML that may hold anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novex_ingest::formats::rsx;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(tree) = rsx::tree::from_xml(text) {
        let _ = (rsx::kind(&tree), rsx::read(&tree));
    }
});
