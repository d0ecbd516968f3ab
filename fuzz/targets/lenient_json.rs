//! Any bytes as the JSON of a provider whose texts may be unreadable.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novex_ingest::internals::lenient_json::{
    JsonValue, parse_lenient_json, read_text_fields, repair_json, repair_plain_text,
};
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let (text, repairs) = repair_json(input);
    assert!(std::str::from_utf8(&text).is_ok(), "the repaired text is not UTF-8");
    assert_eq!(repair_json(&text).1, None, "the repaired text needs a second repair");
    if repairs.is_none() {
        assert_eq!(text, input);
    }
    assert_eq!(repair_plain_text(repair_plain_text(input).0.as_bytes()).1, None);
    let lenient = parse_lenient_json(input);
    if serde_json::from_slice::<Value>(input).is_ok() {
        assert!(lenient.is_ok(), "the lenient reader refuses what the strict one reads");
    }
    if let Ok(lenient) = lenient {
        assert!(!has_nul(&lenient.value), "a NUL is left");
        let field = |name: &str| lenient.value.get(name).and_then(JsonValue::as_str).map(str::to_owned);
        let expected = lenient.value.is_object().then(|| ["id", "a"].map(field));
        assert_eq!(read_text_fields(input, ["id", "a"]), expected);
    }
});

fn has_nul(value: &JsonValue) -> bool {
    match value {
        JsonValue::Text(text) => text.contains('\0'),
        JsonValue::Array(items) => items.iter().any(has_nul),
        JsonValue::Object(object) => object.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}
