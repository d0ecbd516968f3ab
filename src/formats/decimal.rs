//! Exact decimal text, as X12's R and N2 elements and RSX have it.

use rust_decimal::{Decimal, RoundingStrategy};
use std::str::FromStr;

/// Most digits of a number: what a decimal of 96 bits surely holds.
const DIGITS_MAX: usize = 28;

/// A number as people write it, in one form: `.5` is `0.5`, `+7` is `7`, `5.0` and `5` are `5`. `None` for what is none, as a
/// number with a comma or an exponent.
#[must_use]
pub fn normal(text: &str) -> Option<String> {
    parse(text).map(|number| number.normalize().to_string())
}

/// The number itself.
#[must_use]
pub fn parse(text: &str) -> Option<Decimal> {
    let text = text.trim();
    let digits = text.trim_start_matches(['+', '-']);
    let plain = digits.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
        && text.len() - digits.len() <= 1
        && digits.chars().any(|letter| letter.is_ascii_digit())
        && digits.matches('.').count() <= 1
        && digits.len() <= DIGITS_MAX;
    plain.then(|| Decimal::from_str(text.trim_start_matches('+').trim_end_matches('.')).ok()).flatten()
}

/// A number of JSON without its exponent, where it has one that can be written out; anything else as it is.
#[must_use]
pub fn plain(text: &str) -> String {
    if !text.contains(['e', 'E']) {
        return text.to_owned();
    }
    Decimal::from_scientific(text).map_or_else(|_| text.to_owned(), |number| number.normalize().to_string())
}

/// An N2 element: a whole number of hundredths. One with a point, a common fault, is taken literally; then the second is true.
#[must_use]
pub fn from_n2(text: &str) -> Option<(String, bool)> {
    let number = parse(text)?;
    if text.contains('.') {
        return Some((number.normalize().to_string(), true));
    }
    number.checked_mul(Decimal::new(1, 2)).map(|number| (number.normalize().to_string(), false))
}

/// As an N2 element, rounded half up.
#[must_use]
pub fn to_n2(number: Decimal) -> String {
    let cents = number.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero) * Decimal::ONE_HUNDRED;
    cents.trunc().normalize().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_form_and_what_is_none_is_refused() {
        for (text, wanted) in
            [(".5", "0.5"), ("-.5", "-0.5"), ("+7", "7"), ("5.0", "5"), ("007", "7"), (" 12. ", "12"), ("-1", "-1")]
        {
            assert_eq!(normal(text).as_deref(), Some(wanted), "{text}");
        }
        for text in ["", ".", "-", "1,000.00", "1e3", "1.2.3", "--1", "12a", &"9".repeat(40)] {
            assert_eq!(normal(text), None, "{text}");
        }
    }

    #[test]
    fn two_decimals_are_implied() {
        assert_eq!(from_n2("1350"), Some(("13.5".into(), false)));
        assert_eq!(from_n2("-5"), Some(("-0.05".into(), false)));
        assert_eq!(from_n2("13.50"), Some(("13.5".into(), true)));
        assert_eq!(from_n2("x"), None);
        assert_eq!(to_n2(parse("13.505").unwrap()), "1351");
        assert_eq!(to_n2(parse("0").unwrap()), "0");
    }
}
