//! The configuration: any text gives a configuration or its mistakes, each with a line that the text has.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use novex_ingest::config::{Config, Secrets};
use std::path::Path;

fuzz_target!(|input: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(input) else { return Corpus::Reject };
    if let Err(mistakes) = Config::parse(Path::new("config.toml"), text, Secrets::LeaveAside) {
        assert!(!mistakes.list.is_empty());
        let lines = text.split('\n').count();
        assert!(mistakes.list.iter().all(|mistake| mistake.line <= lines), "{mistakes}");
    }
    Corpus::Keep
});
