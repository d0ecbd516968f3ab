//! Bodies in shapes that are rare: other types, missing lists, several currencies, objects without ids.

use super::provider_events::ProviderEvent;
use serde_json::{Value, json};

/// An amount in the shop's currency and in another one.
fn set(shop: &str, presentment: &str) -> Value {
    json!({"shop_money": {"amount": shop, "currency_code": "USD"},
        "presentment_money": {"amount": presentment, "currency_code": "EUR"}})
}

fn order_events() -> Vec<(&'static str, Value)> {
    vec![
        (
            "orders/create",
            json!({"id": "9007199254740993", "name": "#1", "currency": "USD",
            "presentment_currency": "EUR", "total_price": "119.00", "subtotal_price": "100.00", "total_tax": "12.00",
            "total_price_set": set("119.00", "107.10"), "total_line_items_price": "105.00", "total_discounts": "5.00",
            "total_shipping_price_set": set("7.00", "6.30"), "total_tip_received": 0, "note": 5, "test": "no",
            "created_at": "2026-11-24T10:00:00", "updated_at": 1_764_000_000_000_i64, "buyer_accepts_marketing": false,
            "tax_lines": [{"title": "VAT", "rate": "0.12", "price": "12.00", "price_set": set("12.00", "10.80"),
                "channel_liable": false}],
            "discount_codes": [{"code": "SPRING", "amount": "5.00", "type": "fixed_amount", "campaign": "c"}],
            "discount_applications": [{"type": "discount_code", "code": "SPRING", "value": "5.0",
                "value_type": "fixed_amount", "target_type": "line_item", "target_selection": "all",
                "allocation_method": "across", "description": "Spring"}],
            "line_items": [{"id": 1, "quantity": "2", "price": "52.50", "sku": 778, "product_id": null,
                "variant_id": null, "title": "Deleted", "attributed_staffs": [{"id": "gid://shopify/StaffMember/1"}],
                "discount_allocations": [{"amount": "5.00", "discount_application_index": 0,
                    "amount_set": set("5.00", "4.50")}, {"amount": "0.50", "discount_application_index": 9}],
                "tax_lines": [{"title": "VAT", "rate": 0.12, "price": "12.00", "source": "app"}]}],
            "shipping_lines": [{"title": "Truck", "price": "7.00", "discounted_price": "6.00",
                "discounted_price_set": set("6.50", "5.85"), "discount_allocations": [{"amount": "1.00",
                "discount_application_index": 0}], "tax_lines": [{"rate": 0.1, "price": "0.70", "title": "T"}]}],
            "shipping_address": {"name": "Ann Other", "first_name": "Ann", "last_name": "Lee", "zip": 10115},
            "billing_address": "Main St 1, Berlin"}),
        ),
        (
            "orders/updated",
            json!({"id": 2, "updated_at": "2026-11-24T10:00:00+01:00", "line_items": null,
            "shipping_lines": null, "tax_lines": null, "refunds": [{"note": "without id"}],
            "fulfillments": [{"id": 5, "tracking_numbers": [], "tracking_number": "1Z 9"}, {"status": "no id"}]}),
        ),
        ("orders/updated", json!({"id": 3, "line_items": [{"sku": "A", "quantity": 1}], "line_item_count": 1})),
        (
            "orders/edited",
            json!({"order_edit": {"id": 4, "order_id": 2, "committed_at": "2026-11-24T10:00:00Z",
            "line_items": {"additions": [{"id": 1, "delta": 2, "reason": "swap"}, {"delta": 3}],
                "removals": [{"id": 1, "delta": 1}]}, "shipping_lines": {"additions": [{"title": "Van"}]}}}),
        ),
        (
            "order_transactions/create",
            json!({"id": 6, "order_id": 2, "kind": "sale", "status": "success",
            "amount": 12.5, "currency": "EUR", "amount_set": set("13.00", "12.50"), "payment_details":
            {"credit_card_company": "Visa"}, "receipt": {"paid": "yes"}}),
        ),
        ("draft_orders/create", json!({"id": 7, "order_id": null, "name": "#D1", "line_items": []})),
    ]
}

fn refund_events() -> Vec<(&'static str, Value)> {
    let paid = |id: u64, amount: &str, currency: &str, gateway: &str| {
        json!({"id": id, "order_id": 2, "kind": "refund", "status": "success", "amount": amount,
            "currency": currency, "gateway": gateway, "created_at": "2026-11-24T10:00:00Z"})
    };
    vec![
        (
            "refunds/create",
            json!({"id": 10, "order_id": 2, "created_at": "2026-11-24T10:00:00Z",
            "refund_line_items": [{"id": 1, "line_item_id": 1, "quantity": 1, "subtotal": 9.5, "total_tax": 0.5}]}),
        ),
        (
            "refunds/create",
            json!({"id": 11, "order_id": 2, "created_at": "2026-11-24T10:00:00Z",
            "total_duties_set": set("3.00", "2.70"), "refund_line_items": [], "order_adjustments": null,
            "duties": [{"duty_id": 4, "amount_set": set("3.00", "2.70"), "refund_type": "FULL", "country": "DE"}],
            "transactions": [paid(20, "3.00", "USD", "shopify_payments")]}),
        ),
        (
            "refunds/create",
            json!({"id": 12, "order_id": 2, "created_at": "2026-11-24T10:00:00Z",
            "refund_line_items": [{"id": 2, "line_item_id": 1, "quantity": 1, "subtotal": 10.0, "subtotal_set":
                set("9.00", "8.10"), "total_tax_set": set("0.00", "0.00")}, {"quantity": 1, "subtotal": "1.00"}],
            "order_adjustments": [{"id": 3, "order_id": 2, "refund_id": 12, "kind": "refund_discrepancy",
                "amount": "1.00", "tax_amount": "0.00", "reason": "Restocking", "code": "fee"}],
            "refund_shipping_lines": [{"id": 5, "subtotal_amount_set": set("2.00", "1.80"), "partial": true}],
            "transactions": [paid(21, "6.00", "USD", "gift_card"), paid(22, "5.00", "USD", "paypal")]}),
        ),
    ]
}

fn fulfillment_events() -> Vec<(&'static str, Value)> {
    vec![
        (
            "fulfillments/create",
            json!({"id": 30, "order_id": 2, "tracking_numbers": [94001, "", "B 2"],
            "tracking_urls": ["", "https://x/2", "https://x/3"], "tracking_number": "C", "line_items":
            [{"id": 1, "quantity": 1}, {"sku": "no id"}]}),
        ),
        (
            "fulfillment_orders/split",
            json!({"fulfillment_order": {"id": "gid://shopify/FulfillmentOrder/1",
            "status": "open", "line_items": [{"id": 1, "quantity": 2}], "assigned_location": {"name": "Depot"}},
            "remaining_fulfillment_order": {"id": "gid://shopify/FulfillmentOrder/2", "preparable": true},
            "split_line_items": [{"id": "gid://shopify/FulfillmentOrderLineItem/1", "quantity": 1}]}),
        ),
        (
            "fulfillment_orders/placed_on_hold",
            json!({"fulfillment_order": {"id": 1, "fulfillment_holds":
            [{"id": 5, "reason": "other", "held_by_app": {"title": "WMS"}}, {"reason": "no id"}]},
            "created_fulfillment_hold": {"reason": "without id"}}),
        ),
        (
            "fulfillment_orders/progress_reported",
            json!({"fulfillment_order": {"id": 1, "status": "in_progress"},
            "progress_report": {"reason_notes": "Packing"}, "initial_status": "open", "message": {"text": "a"}}),
        ),
        (
            "fulfillment_holds/added",
            json!({"fulfillment_order": {"id": 1, "status": "on_hold"},
            "fulfillment_hold": {"id": 6, "reason": "other", "display_reason": "Call"}, "held_lines": [{"id": 1}]}),
        ),
        (
            "returns/request",
            json!({"id": 40, "order": {"id": 2}, "status": "requested", "return_line_items":
            [{"admin_graphql_api_id": "gid://shopify/ReturnLineItem/7", "quantity": 1, "restocking_fee":
                {"percentage": 10.0}}, {"quantity": 2, "return_reason": "unwanted"}],
            "return_shipping_fees": [{"id": 1, "price": set("5.00", "4.50")}],
            "exchange_line_items": [{"id": 8, "quantity": -1, "line_item": {"id": 9}}],
            "total_exchange_line_items": 1}),
        ),
        (
            "returns/update",
            json!({"admin_graphql_api_id": "gid://shopify/Return/40", "return_line_items":
            {"removals": [{"admin_graphql_api_id": "gid://shopify/ReturnLineItem/7", "delta": 1}]},
            "restocking_fees": {"updates": [{"percentage": 5}]}}),
        ),
    ]
}

fn catalogue_events() -> Vec<(&'static str, Value)> {
    vec![
        (
            "products/update",
            json!({"id": 50, "title": "Jam", "body_html": "<p>", "variants": [{"id": 1, "sku": "A",
            "price": 2, "presentment_prices": [{"price": {"amount": "2.00"}}]}, {"sku": "no id", "price": "3.00"}],
            "options": [{"name": "Size"}], "tags": ["a", "b"], "vendor": 7}),
        ),
        (
            "customers/update",
            json!({"id": 60, "first_name": "Ann", "last_name": "Lee", "tax_exempt": "yes",
            "default_address": {"id": 61, "city": "Berlin", "default": true, "name": "Ann Lee"},
            "addresses": [{"id": 62, "city": "Bonn"}, {"city": "Ulm"}], "email_marketing_consent": {"state": "x"}}),
        ),
        (
            "customers/create",
            json!({"id": 63, "default_address": {"id": 64, "city": "Berlin", "company": "B"},
            "addresses": null}),
        ),
        (
            "inventory_levels/update",
            json!({"inventory_item_id": "70", "location_id": 71, "available": "5",
            "updated_at": "2026-11-24", "on_hand": 9}),
        ),
        (
            "inventory_items/update",
            json!({"id": 72, "sku": 12, "cost": "1.250", "weight_value": 1.5,
            "measurement": {"weight": {"value": 1.5}}, "country_harmonized_system_codes": [{"code": 1}]}),
        ),
        ("locations/update", json!({"id": 73, "name": "Depot", "legacy": false, "localized_country_name": "x"})),
    ]
}

/// Returns EasyPost's odd events.
fn easypost_events() -> Vec<Value> {
    let event = |topic: &str, result: Value| {
        let topic = json!({"id": "evt_1", "object": "Event", "mode": "production", "description": topic});
        let Value::Object(fields) = topic else { unreachable!("an object") };
        Value::Object(fields.into_iter().chain([("result".to_owned(), result)]).collect())
    };
    vec![
        event(
            "tracker.updated",
            json!({"id": "trk_1", "object": "Tracker", "tracking_code": 94001, "weight": 3.5,
            "status": "in_transit", "updated_at": "2026-11-24T10:00:00Z", "fees": [{"amount": "0.02"}],
            "carrier_detail": {"service": "Ground", "origin_location": "Ulm", "alternate_identifier": "x"},
            "est_delivery_date": "2026-11-26T00:00:00Z", "tracking_details": [{"object": "TrackingDetail",
                "message": "Out", "datetime": "2026-11-24T09:00:00", "est_delivery_date": "2026-11-27",
                "tracking_location": {"object": "TrackingLocation", "city": "Ulm", "name": "Depot"}}, "text"]}),
        ),
        event(
            "batch.updated",
            json!({"id": "batch_1", "object": "Batch", "state": "purchased", "num_shipments": "2",
            "status": {"created": 0, "purchased": 2}, "shipments": [{"id": "shp_1", "batch_status": "postage_purchased",
            "batch_message": null, "insurance": "9"}, {"batch_status": "no id"}], "scan_form": {"id": "sf_1"}}),
        ),
        event(
            "shipment.purchased",
            json!({"id": "shp_2", "object": "Shipment", "tracking_code": "A",
            "tracker": {"id": "trk_9", "tracking_code": "B"}, "selected_rate": {"rate": "7.58", "currency": "USD",
            "carrier": "USPS", "service": "Priority"}, "postage_label": {"label_url": "https://x"},
            "to_address": {"city": "Ulm"}, "reference": "#1"}),
        ),
        event(
            "refund.successful",
            json!({"id": "rfnd_1", "object": "Refund", "status": "refunded",
            "tracking_code": " 94 ", "confirmation_number": 5, "carrier": "UPS", "shipment_id": "shp_2"}),
        ),
        event(
            "insurance.cancelled",
            json!({"id": "ins_1", "object": "Insurance", "status": "cancelled",
            "amount": 100, "provider": "easypost", "provider_id": "p", "messages": ["m"],
            "tracker": {"id": "trk_9", "tracking_code": "B", "status": "unknown"}}),
        ),
        event(
            "scan_form.created",
            json!({"id": "sf_1", "object": "ScanForm", "status": "created",
            "tracking_codes": ["A", "B"], "form_url": "https://x", "batch_id": "batch_1", "message": ["a"]}),
        ),
    ]
}

/// Returns every odd event.
pub fn odd_events() -> Vec<ProviderEvent> {
    let to_event = |source: &str, topic: &str, body: &Value| ProviderEvent {
        source: source.into(),
        topic: topic.into(),
        body: serde_json::to_vec(body).unwrap(),
        triggered_at: "2026-11-24T23:00:00Z".into(),
    };
    let shopify = [order_events(), refund_events(), fulfillment_events(), catalogue_events()].concat();
    let shopify = shopify.iter().map(|(topic, body)| to_event("shopify", topic, body));
    let easypost = easypost_events();
    let easypost = easypost.iter().map(|body| to_event("easypost", body["description"].as_str().unwrap(), body));
    shopify.chain(easypost).collect()
}
