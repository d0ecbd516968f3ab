//! Any bytes as the CSV file of product mappings, in any encoding and with any separator.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novex_ingest::internals::spreadsheet::mappings_csv::{read_mappings_csv, write_mappings_csv};

fuzz_target!(|input: &[u8]| {
    match read_mappings_csv(input) {
        Ok(file) => {
            let mut written = Vec::new();
            write_mappings_csv(file.mappings.clone(), &mut written).unwrap();
            let again = read_mappings_csv(&written).expect("what was written can be read");
            assert_eq!(again.mappings, file.mappings);
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            let lines = 1 + input.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count() as u64;
            assert!(errors.iter().all(|error| (1..=lines).contains(&error.line)), "an error is in no line: {errors:?}");
            assert!(errors.is_sorted_by_key(|error| error.line), "the errors are not in order: {errors:?}");
        }
    }
});
