//! Patterns of errors: equal faults of different events have one pattern.

use crate::text::keep_first_chars;

/// Most characters of a pattern: it is a part of addresses.
const PATTERN_CHARS_MAX: usize = 300;

/// Returns the text with each number, time and id replaced by `*`, which a filter of events matches with anything.
#[must_use]
pub fn build_error_pattern(error: &str) -> String {
    let mut pattern = String::new();
    let is_word_char = |letter: char| letter.is_alphanumeric() || "-_.:".contains(letter);
    let mut rest = error.trim();
    while let Some(first) = rest.chars().next() {
        let length = match rest.find(|letter| is_word_char(letter) != is_word_char(first)) {
            Some(end) => end,
            None => rest.len(),
        };
        let (word, after) = rest.split_at(length);
        rest = after;
        if !word.contains(|letter: char| letter.is_ascii_digit()) {
            pattern.push_str(word);
            continue;
        }
        // The full stop after a number belongs to the sentence.
        let end = word.trim_end_matches(|letter: char| !letter.is_alphanumeric()).len();
        let is_list = pattern.trim_end_matches([',', ' ']).ends_with('*');
        if is_list {
            pattern.truncate(pattern.trim_end_matches([',', ' ']).len());
        } else {
            pattern.push('*');
        }
        pattern.push_str(&word[end..]);
    }
    let cut = keep_first_chars(&pattern, PATTERN_CHARS_MAX);
    match cut.strip_suffix('…') {
        Some(start) if cut != pattern => start.to_owned(),
        _ => cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wildmatch::WildMatch;

    #[test]
    fn numbers_times_and_ids_are_replaced() {
        for (error, pattern) in [
            ("order 5551 has no line 17.", "order * has no line *."),
            (
                "order #1001: gid://shopify/Order/820982911946154508 is unknown",
                "order #*: gid://shopify/Order/* is unknown",
            ),
            ("at 2026-11-23T20:30:00.123Z: timeout", "at *: timeout"),
            ("trk_5f3a9c is no tracker", "* is no tracker"),
            ("lines 1, 2, 3 have no SKU", "lines * have no SKU"),
            (
                "the body is no JSON: expected value at line 1 column 1",
                "the body is no JSON: expected value at line * column *",
            ),
            ("total 12.50 is not -3.00", "total * is not *"),
            ("no field \"total\"", "no field \"total\""),
            ("Größe 5 fehlt", "Größe * fehlt"),
            ("", ""),
        ] {
            assert_eq!(build_error_pattern(error), pattern, "{error}");
        }
    }

    /// A group links to the events of its pattern, so the pattern must match each error that has it.
    #[test]
    fn pattern_matches_its_error() {
        for error in [
            "order 5551 has no line 17.",
            "lines 1, 2, 3, 4 have no SKU; 5",
            "a 1 2 3",
            "* 12 *? [x] 1",
            "ends with 1, 2,",
            &"12 äöü ".repeat(200),
        ] {
            let pattern = build_error_pattern(error);
            assert!(WildMatch::new(&format!("*{pattern}*")).matches(error), "{pattern} does not match {error}");
            assert!(pattern.chars().count() <= PATTERN_CHARS_MAX);
        }
    }
}
