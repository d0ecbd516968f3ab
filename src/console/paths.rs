//! Addresses of pages about one thing. Text of others in them is percent-encoded.

use crate::store::erp::purchase_order_key::PurchaseOrderKey;
use crate::text::normalize_tracking_code;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters that are encoded in a part of a path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns the path of a sales order.
#[must_use]
pub fn build_order_path(shop: &str, order_id: i64) -> String {
    format!("/orders/{}/{order_id}", utf8_percent_encode(shop, ENCODED))
}

/// Returns the path of a purchase order.
#[must_use]
pub fn build_purchase_order_path(partner: &str, po_number: &str, release: &str) -> String {
    let [partner, po_number, release] = [partner, po_number, release].map(str::to_owned);
    format!("/purchase-orders/{}", PurchaseOrderKey { partner, po_number, release }.to_id())
}

/// Returns the path of the shipments with a tracking code, however the code is written.
#[must_use]
pub fn build_shipment_path(code: &str) -> String {
    format!("/shipments/{}", utf8_percent_encode(&normalize_tracking_code(code), ENCODED))
}

/// Returns whether a browser opens `target` at the console. It opens `//HOST` and `/\HOST` at another site.
#[must_use]
pub fn is_at_console(target: &str) -> bool {
    let is_path = target.starts_with('/') && !target.starts_with("//") && !target.starts_with("/\\");
    is_path && target.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns `back` if it is a path of the console, and `default` otherwise.
#[must_use]
pub fn choose_return_path<'a>(back: &'a str, default: &'a str) -> &'a str {
    if is_at_console(back) && !back.contains('\\') { back } else { default }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_stays_in_its_part_of_the_path() {
        assert_eq!(build_shipment_path("1z 9/9\"<b>"), "/shipments/1Z9%2F9%22%3CB%3E");
        assert_eq!(build_order_path("a.b/../x", 7), "/orders/a.b%2F..%2Fx/7");
        assert_eq!(build_purchase_order_path("A", "P/1", ""), "/purchase-orders/A:P~2F1");
    }

    #[test]
    fn only_paths_of_the_console_are_returned_to() {
        for other in ["https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nx: y", ""] {
            assert_eq!(choose_return_path(other, "/mappings"), "/mappings", "{other}");
        }
        assert_eq!(choose_return_path("/purchase-orders/A:1", "/mappings"), "/purchase-orders/A:1");
    }
}
