//! The configuration. Any text gives a configuration or its errors; each error names a line of the text.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use novex_ingest::internals::config::{Config, SecretLoading};
use std::path::Path;

fuzz_target!(|input: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(input) else { return Corpus::Reject };
    if let Err(errors) = Config::parse(Path::new("config.toml"), text, SecretLoading::Skip) {
        assert!(!errors.errors.is_empty());
        let lines = text.split('\n').count();
        assert!(errors.errors.iter().all(|error| error.line <= lines), "{errors}");
    }
    Corpus::Keep
});
