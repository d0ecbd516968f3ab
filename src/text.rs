//! Text of others, such as the answer of a destination, made safe to store and to print; and counts in words.

use std::fmt::Display;

/// Jaro-Winkler similarity above which a name is suggested for an unknown one.
const SIMILARITY_MIN: f64 = 0.85;

/// Returns true for a character that changes how a terminal shows other text: a control character, or one that
/// reverses the direction of writing. Such text can clear, colour or forge the content of a terminal.
#[must_use]
pub fn is_hidden_char(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Returns `text` without control characters. Untrusted text can contain escapes that clear, colour or forge the
/// terminal's content.
pub fn replace_control_chars(text: &str) -> String {
    text.chars().map(|letter| if is_hidden_char(letter) { '\u{fffd}' } else { letter }).collect()
}

/// Returns `text` with each hidden character as an escape of visible ones: `\n`, `\u{1b}`.
#[must_use]
pub fn escape_hidden_chars(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_hidden_char(letter) {
            escaped.extend(letter.escape_default());
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

/// Returns a code, such as a tracking number or an SKU, without what a person cannot see: invisible characters are
/// removed, every kind of blank is a space, every kind of dash a hyphen. Nothing visible is lost.
#[must_use]
pub fn clean_code(code: &str) -> String {
    let visible = code.chars().filter_map(|letter| match letter {
        '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' => None,
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => Some('-'),
        letter if letter.is_whitespace() => Some(' '),
        letter if is_hidden_char(letter) => None,
        letter => Some(letter),
    });
    visible.collect::<String>().trim().to_owned()
}

/// Returns the form in which tracking numbers are compared: [`clean_code`] in capitals, without blanks and hyphens.
///
/// The columns `tracking_key` and `number_key` of schema.sql have the same form.
#[must_use]
pub fn normalize_tracking_code(code: &str) -> String {
    let mut normal = clean_code(code);
    normal.retain(|letter| !matches!(letter, ' ' | '-'));
    normal.make_ascii_uppercase();
    normal
}

/// Returns the form in which SKUs are compared: [`clean_code`] in capitals, each blank as a hyphen. A hyphen stays,
/// because A-1 and A1 may be two products. The column `sku_key` of schema.sql has the same form.
#[must_use]
pub fn normalize_sku(sku: &str) -> String {
    clean_code(sku).replace(' ', "-").to_ascii_uppercase()
}

/// Most characters of a reason.
const REASON_CHARS_MAX: usize = 1_000;

/// Parses the reason of a person's decision.
///
/// # Errors
/// The message for the person, if the reason is empty or too long.
pub fn parse_reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("write the reason, for the person who asks later".to_owned());
    }
    if text.chars().count() > REASON_CHARS_MAX {
        return Err(format!("write at most {REASON_CHARS_MAX} characters"));
    }
    Ok(text.to_owned())
}

/// Returns the candidate that is most similar to `name`, without regard to case, if one is similar enough to be meant.
#[must_use]
pub fn find_similar<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let rated = candidates.into_iter().map(|other| (strsim::jaro_winkler(&other.to_lowercase(), &name), other));
    let (similarity, closest) = rated.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (similarity > SIMILARITY_MIN).then_some(closest)
}

/// Returns the first `chars` characters of `text`; an ellipsis is the last one if text is left out.
#[must_use]
pub fn keep_first_chars(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars.saturating_sub(1)).chain(['…']).collect()
}

/// Returns the last `chars` characters of `text`; an ellipsis is the first one if text is left out.
#[must_use]
pub fn keep_last_chars(text: &str, chars: usize) -> String {
    let count = text.chars().count();
    if count <= chars {
        return text.to_owned();
    }
    std::iter::once('…').chain(text.chars().skip(count - chars.saturating_sub(1))).collect()
}

/// Returns a count with its noun in the right number: `1 event`, `2 events`.
#[must_use]
pub fn format_count<N: Copy + Display + PartialEq + From<u8>>(count: N, singular: &str, plural: &str) -> String {
    let noun = if count == N::from(1) { singular } else { plural };
    format!("{count} {noun}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_become_visible() {
        let text = "a\r\n\u{1b}[2J\t\u{0}\u{85}\u{202e}\u{feff}ü…";
        let escaped = escape_hidden_chars(text);
        assert_eq!(escaped, "a\\r\\n\\u{1b}[2J\\t\\u{0}\\u{85}\\u{202e}\\u{feff}ü…");
        assert!(!escaped.chars().any(is_hidden_char));
        assert_eq!(escape_hidden_chars(&escaped), escaped, "a second pass changes nothing");
    }

    #[test]
    fn code_loses_only_what_nobody_sees() {
        for (written, clean, normal) in [
            ("1Z 999 aa1", "1Z 999 aa1", "1Z999AA1"),
            ("\u{feff}1Z\u{a0}999\u{200b}-\u{2011}1\r\n", "1Z 999--1", "1Z9991"),
            ("\u{202d}9405\u{202c} 5\u{2013}5\u{ad}", "9405 5-5", "940555"),
            ("Müsli ß", "Müsli ß", "MüSLIß"),
            (" - ", "-", ""),
        ] {
            assert_eq!((clean_code(written).as_str(), normalize_tracking_code(written).as_str()), (clean, normal));
        }
    }

    #[test]
    fn cut_text_has_exactly_the_limit() {
        for (chars, first, last) in [(5, "äöüéè", "äöüéè"), (4, "äöü…", "…üéè"), (1, "…", "…")]
        {
            assert_eq!(
                (keep_first_chars("äöüéè", chars).as_str(), keep_last_chars("äöüéè", chars).as_str()),
                (first, last)
            );
        }
    }

    #[test]
    fn count_has_its_noun_in_the_right_number() {
        for (count, words) in [(0_u64, "0 events"), (1, "1 event"), (2, "2 events")] {
            assert_eq!(format_count(count, "event", "events"), words);
        }
    }
}
