//! Exact decimal text, as in X12's R and N2 elements and in RSX.

use rust_decimal::{Decimal, RoundingStrategy};
use std::str::FromStr;

/// Longest number, in digits: a decimal of 96 bits always holds 28.
const DIGITS_MAX: usize = 28;

/// Returns a number in one form: `.5` becomes `0.5`, `+7` becomes `7`, `5.0` and `5` become `5`.
///
/// Returns `None` for anything else, also for a number with a comma or an exponent.
#[must_use]
pub fn normalize_decimal(text: &str) -> Option<String> {
    parse_decimal(text).map(|number| number.normalize().to_string())
}

/// Parses a decimal number; accepts the same text as [`normalize_decimal`].
#[must_use]
pub fn parse_decimal(text: &str) -> Option<Decimal> {
    let text = text.trim();
    let digits = text.trim_start_matches(['+', '-']);
    let plain = digits.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
        && text.len() - digits.len() <= 1
        && digits.chars().any(|letter| letter.is_ascii_digit())
        && digits.matches('.').count() <= 1
        && digits.len() <= DIGITS_MAX;
    plain.then(|| Decimal::from_str(text.trim_start_matches('+').trim_end_matches('.')).ok()).flatten()
}

/// Returns a JSON number without its exponent. Returns other text unchanged, also an exponent too large to write out.
#[must_use]
pub fn expand_exponent(text: &str) -> String {
    if !text.contains(['e', 'E']) {
        return text.to_owned();
    }
    Decimal::from_scientific(text).map_or_else(|_| text.to_owned(), |number| number.normalize().to_string())
}

/// Parses an N2 element: a whole number of hundredths.
///
/// A value with a decimal point is a common fault of senders. It is read literally, and the second field is true.
#[must_use]
pub fn parse_n2(text: &str) -> Option<(String, bool)> {
    let number = parse_decimal(text)?;
    if text.contains('.') {
        return Some((number.normalize().to_string(), true));
    }
    number.checked_mul(Decimal::new(1, 2)).map(|number| (number.normalize().to_string(), false))
}

/// Formats an amount as an N2 element, in hundredths, rounded half up.
#[must_use]
pub fn format_n2(number: Decimal) -> String {
    let cents = number.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero) * Decimal::ONE_HUNDRED;
    cents.trunc().normalize().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_normalized_and_non_numbers_rejected() {
        for (text, wanted) in
            [(".5", "0.5"), ("-.5", "-0.5"), ("+7", "7"), ("5.0", "5"), ("007", "7"), (" 12. ", "12"), ("-1", "-1")]
        {
            assert_eq!(normalize_decimal(text).as_deref(), Some(wanted), "{text}");
        }
        for text in ["", ".", "-", "1,000.00", "1e3", "1.2.3", "--1", "12a", &"9".repeat(40)] {
            assert_eq!(normalize_decimal(text), None, "{text}");
        }
    }

    #[test]
    fn n2_implies_two_decimals() {
        assert_eq!(parse_n2("1350"), Some(("13.5".into(), false)));
        assert_eq!(parse_n2("-5"), Some(("-0.05".into(), false)));
        assert_eq!(parse_n2("13.50"), Some(("13.5".into(), true)));
        assert_eq!(parse_n2("x"), None);
        assert_eq!(format_n2(parse_decimal("13.505").unwrap()), "1351");
        assert_eq!(format_n2(parse_decimal("0").unwrap()), "0");
    }
}
