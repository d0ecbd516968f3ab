//! Marks where a page ends. A mark of a list with a composite key is opaque: programs send it back as it is.

use crate::console::api::problem::ApiError;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Returns the key of the last row, if another page may follow.
pub fn find_next<R, K>(rows: &[R], limit: u32, key: impl Fn(&R) -> K) -> Option<K> {
    rows.last().filter(|_| rows.len() == limit as usize).map(key)
}

/// Returns the mark of a key.
#[must_use]
pub fn encode_mark(key: &impl Serialize) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

/// Returns the key of a mark.
///
/// # Errors
/// If a program made the mark up.
pub fn decode_mark<K: DeserializeOwned>(mark: Option<&String>) -> Result<Option<K>, ApiError> {
    let decode = |mark: &String| serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(mark).ok()?).ok();
    match mark {
        None => Ok(None),
        Some(mark) => decode(mark).map(Some).ok_or_else(|| ApiError::bad_request("after is the next of a page before")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_back_and_others_are_refused() {
        let key = ("acme-foods.myshopify.com".to_owned(), i64::MAX);
        let mark = encode_mark(&key);
        assert_eq!(decode_mark(Some(&mark)).unwrap(), Some(key));
        assert!(decode_mark::<(String, i64)>(Some(&"x".to_owned())).is_err());
        assert!(decode_mark::<(String, i64)>(Some(&encode_mark(&17))).is_err());
    }

    #[test]
    fn only_a_full_page_has_a_next_one() {
        assert_eq!(find_next(&[3, 2], 2, |row| *row), Some(2));
        assert_eq!(find_next(&[3, 2], 3, |row| *row), None);
        assert_eq!(find_next(&[], 1, |row: &i32| *row), None);
    }
}
