//! Bodies that arrive a second time under another topic, shop or id.
//!
//! Shopify retries a webhook under the same id, which is a duplicate and no new event. So an equal body under other
//! names is a second subscription, a second topic of one action, or a copy that somebody sent. Shopify signs none of
//! these names. The first arrival wins: an event whose effect is in its topic is refused if an earlier event had its
//! body under another topic. Only earlier events count whose topic the body fits, and that were not refused themselves.
//! So a copy cannot keep a true event out.
//!
//! An event that no handler reads changes no table. It completes, and destinations do not get such a copy.

use crate::event::{EARLIER_EVENTS_MAX, EarlierEvent, EventKey};
use crate::handlers::json::parse_body;
use crate::handlers::shopify::body_shapes::{BodyKind, find_body_kind, fits_topic, is_deletion, is_destructive};
use crate::lenient_json::JsonValue;

/// What happens to an event whose body arrived before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepeatVerdict {
    /// It is processed as any event.
    Process,
    /// It completes with this note, changes nothing, and reaches no destination.
    NoteOnly(String),
    /// It fails with this error and changes nothing, until an operator accepts it.
    Refuse(String),
}

/// Where the effect of an event is stated. Topics with an equal meaning can have equal bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TopicMeaning<'t> {
    /// In the topic. The bodies of several such topics are alike, and none says which topic it belongs to.
    Topic,
    /// In the body: the object's state, mostly with its time. Shopify sends one body under several of these topics.
    Body(BodyKind),
    /// Nowhere, because no handler reads it. Destinations get it with its topic, whose first part this is.
    Unhandled(&'t str),
}

/// Topics that a fulfillment order passes while it is open. Shopify sends equal bodies under them.
const OPEN_FULFILLMENT_ORDER_TOPICS: &[&str] = &[
    "fulfillment_orders/order_routing_complete",
    "fulfillment_orders/hold_released",
    "fulfillment_orders/scheduled_fulfillment_order_ready",
    "fulfillment_orders/line_items_prepared_for_local_delivery",
    "fulfillment_orders/line_items_prepared_for_pickup",
];

/// Topics whose bodies state what the topic says: the field, and its values; any value but null if there are none. A
/// repeated body that states something else does not belong to the topic.
const STATED_VALUES: &[(&str, &str, &[&str])] = &[
    ("orders/paid", "financial_status", &["paid", "partially_refunded", "refunded"]),
    ("orders/cancelled", "cancelled_at", &[]),
    ("orders/fulfilled", "fulfillment_status", &["fulfilled"]),
    ("orders/partially_fulfilled", "fulfillment_status", &["partial"]),
    ("customers/enable", "state", &["enabled"]),
    ("customers/disable", "state", &["disabled"]),
    ("locations/activate", "active", &["true"]),
    ("locations/deactivate", "active", &["false"]),
];

/// Values of `fulfillment_order.status` under [`OPEN_FULFILLMENT_ORDER_TOPICS`].
const OPEN_STATUSES: &[&str] = &["open", "in_progress", "scheduled", "incomplete"];

fn find_meaning(topic: &str) -> TopicMeaning<'_> {
    match find_body_kind(topic) {
        _ if is_destructive(topic) || topic.ends_with("/delete") => TopicMeaning::Topic,
        None => TopicMeaning::Unhandled(topic.split('/').next().unwrap_or(topic)),
        Some(BodyKind::Return | BodyKind::Shop) => TopicMeaning::Topic,
        Some(BodyKind::InventoryLevel) if topic == "inventory_levels/disconnect" => TopicMeaning::Topic,
        Some(BodyKind::FulfillmentOrder) if !OPEN_FULFILLMENT_ORDER_TOPICS.contains(&topic) => TopicMeaning::Topic,
        Some(kind) => TopicMeaning::Body(kind),
    }
}

/// Returns true if the body states a value that contradicts its topic.
fn contradicts_topic(topic: &str, body: &JsonValue) -> bool {
    let is_other = |path: &str, values: &[&str]| match path.split('.').try_fold(body, |value, name| value.get(name)) {
        None => false,
        Some(JsonValue::Text(text)) => !values.is_empty() && !values.contains(&&**text),
        Some(value) => !values.contains(&value.to_string().as_str()),
    };
    if OPEN_FULFILLMENT_ORDER_TOPICS.contains(&topic) {
        return is_other("fulfillment_order.status", OPEN_STATUSES);
    }
    STATED_VALUES.iter().any(|(stated, path, values)| *stated == topic && is_other(path, values))
}

/// A Shopify event whose body may have arrived before, or be that of another topic.
#[derive(Debug, Clone, Copy)]
pub struct RepeatedBody<'a> {
    pub key: &'a EventKey,
    pub body: &'a [u8],
    /// True if an earlier event had the body, also if retention has deleted that event since.
    pub is_repeat: bool,
    /// True if the handler asks for a change.
    pub has_effect: bool,
}

/// Judges an event by the earlier events with the same body, the oldest first.
#[must_use]
pub fn judge_body(event: RepeatedBody<'_>, earlier: &[EarlierEvent]) -> RepeatVerdict {
    let topic = event.key.topic.as_str();
    let meaning = find_meaning(topic);
    // A body that is not JSON fits no topic with a handler.
    let body = parse_body(event.body).unwrap_or(JsonValue::Null);
    let is_unhandled = find_body_kind(topic).is_none();
    let reject = |reason: &str| if is_unhandled { note_only(reason) } else { refuse(reason) };
    if is_unhandled && !fits_topic(topic, &event.key.shop_domain, &body) {
        return note_only("its body is that of another topic");
    }
    let counts = |other: &&EarlierEvent| {
        !other.is_refused
            && fits_topic(&other.topic, &other.shop_domain, &body)
            // An event without a handler changed nothing, so it takes nothing from one that states its own effect.
            && (!matches!(meaning, TopicMeaning::Body(_)) || find_body_kind(&other.topic).is_some())
    };
    let counting: Vec<&EarlierEvent> = earlier.iter().filter(counts).collect();
    let Some(first) = counting.first() else {
        // Retention deleted the first event, or more copies stand before it than are read.
        let is_unknown = event.is_repeat && (earlier.is_empty() || earlier.len() >= EARLIER_EVENTS_MAX);
        return if is_unknown && meaning == TopicMeaning::Topic {
            reject("the same body arrived before in an event that is not known any more")
        } else {
            RepeatVerdict::Process
        };
    };
    let before = format!("the same body arrived before as event {} ({})", first.id, first.topic);
    if event.has_effect && is_destructive(topic) {
        // An object is deleted once: a second subscription to the topic asks for nothing new. A redaction that waits
        // covers an equal one.
        let is_covered = |other: &&EarlierEvent| {
            other.topic == topic && other.shop_domain == event.key.shop_domain && !other.is_failed
        };
        return if (is_deletion(topic) || topic.ends_with("/redact") && first.is_pending)
            && counting.iter().all(is_covered)
        {
            RepeatVerdict::NoteOnly(format!("nothing to do: event {} has the same body and topic", first.id))
        } else {
            reject(&before)
        };
    }
    let is_same_meaning = meaning != TopicMeaning::Topic && find_meaning(&first.topic) == meaning;
    // Where the body has the effect, the first event wrote it already. An uninstalled app gets no `shop/update`, and
    // after a new installation its body has another time.
    let is_without_loss = !event.has_effect || is_same_meaning || find_body_kind(topic) == Some(BodyKind::Shop);
    if first.topic == topic || is_same_meaning && !contradicts_topic(topic, &body) {
        RepeatVerdict::Process
    } else if is_without_loss {
        note_only(&before)
    } else {
        reject(&before)
    }
}

fn note_only(reason: &str) -> RepeatVerdict {
    RepeatVerdict::NoteOnly(format!(
        "stored only, and handed to no destination: {reason}. Shopify does not sign the topic, so somebody may have sent \
         a body again under it"
    ))
}

fn refuse(reason: &str) -> RepeatVerdict {
    RepeatVerdict::Refuse(format!(
        "nothing was changed: {reason}. Shopify signs neither the topic nor the id, so somebody may have sent it again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Source;
    use std::slice;

    const ID_ONLY: &str = r#"{"id":1}"#;

    fn earlier_event(topic: &str) -> EarlierEvent {
        EarlierEvent {
            id: 7,
            topic: topic.to_owned(),
            shop_domain: "a".to_owned(),
            is_failed: false,
            is_pending: false,
            is_refused: false,
        }
    }

    fn judge_copy(topic: &str, body: &str, earlier: &[EarlierEvent]) -> RepeatVerdict {
        let key = EventKey {
            source: Source::Shopify,
            shop_domain: "a".to_owned(),
            topic: topic.to_owned(),
            webhook_id: "w".to_owned(),
        };
        judge_body(RepeatedBody { key: &key, body: body.as_bytes(), is_repeat: true, has_effect: true }, earlier)
    }

    fn is_refused(topic: &str, body: &str, earlier: &str) -> bool {
        matches!(judge_copy(topic, body, &[earlier_event(earlier)]), RepeatVerdict::Refuse(_))
    }

    fn is_noted_only(topic: &str, body: &str, earlier: &str) -> bool {
        matches!(judge_copy(topic, body, &[earlier_event(earlier)]), RepeatVerdict::NoteOnly(_))
    }

    #[test]
    fn destructive_event_is_refused_unless_it_repeats_a_deletion() {
        let redaction = r#"{"shop_domain":"a","customer":{"id":1},"orders_to_redact":[]}"#;
        let merge = r#"{"admin_graphql_api_customer_kept_id":"1","admin_graphql_api_customer_deleted_id":"2"}"#;
        for (topic, body) in [
            ("customers/redact", redaction),
            ("shop/redact", r#"{"shop_domain":"a"}"#),
            ("customers/merge", merge),
            ("app/uninstalled", r#"{"myshopify_domain":"a"}"#),
        ] {
            assert!(is_refused(topic, body, topic), "{topic}");
        }
        for topic in ["orders/delete", "products/delete", "locations/delete"] {
            let judge = |earlier| judge_copy(topic, ID_ONLY, slice::from_ref(&earlier));
            assert!(matches!(judge(earlier_event(topic)), RepeatVerdict::NoteOnly(_)), "{topic}");
            let failed = EarlierEvent { is_failed: true, ..earlier_event(topic) };
            let of_other_shop = EarlierEvent { shop_domain: "b".to_owned(), ..earlier_event(topic) };
            for earlier in [failed, of_other_shop, earlier_event("orders/create"), earlier_event("carts/update")] {
                assert!(matches!(judge(earlier), RepeatVerdict::Refuse(_)), "{topic}");
            }
            assert!(matches!(judge_copy(topic, ID_ONLY, &[]), RepeatVerdict::Refuse(_)), "{topic}");
        }
    }

    #[test]
    fn event_with_its_own_state_is_refused_only_after_an_object_of_another_kind() {
        for earlier in ["orders/paid", "carts/update", "never/heard"] {
            assert!(!is_refused("orders/create", ID_ONLY, earlier), "{earlier}");
        }
        for earlier in ["products/delete", "customers/update", "orders/delete"] {
            assert!(is_refused("orders/create", ID_ONLY, earlier), "{earlier}");
        }
    }

    /// Neither an earlier event that was refused nor one whose topic the body does not fit takes anything from a later
    /// one.
    #[test]
    fn copies_that_changed_nothing_do_not_count() {
        let order = r#"{"id":1,"total_price":"1.00"}"#;
        for earlier in ["products/delete", "locations/update", "customers/redact", "fulfillment_orders/cancelled"] {
            assert!(!is_refused("orders/paid", order, earlier), "{earlier}");
        }
        let refused = EarlierEvent { is_refused: true, is_failed: true, ..earlier_event("products/delete") };
        assert_eq!(judge_copy("orders/delete", ID_ONLY, slice::from_ref(&refused)), RepeatVerdict::Process);
        // Copies up to the limit, so that a true event may stand behind them.
        let many = vec![refused; EARLIER_EVENTS_MAX];
        assert!(matches!(judge_copy("orders/delete", ID_ONLY, &many), RepeatVerdict::Refuse(_)));
        assert_eq!(judge_copy("orders/create", order, &many), RepeatVerdict::Process);
    }

    #[test]
    fn first_arrival_decides_where_only_the_topic_has_the_effect() {
        let hold = r#"{"fulfillment_hold":{"id":1}}"#;
        let order = |status: &str| format!(r#"{{"fulfillment_order":{{"id":1,"status":"{status}"}}}}"#);
        let (open, on_hold) = (order("open"), order("on_hold"));
        for (topic, body, earlier) in [
            ("fulfillment_holds/released", hold, "fulfillment_holds/added"),
            ("fulfillment_holds/added", hold, "fulfillment_holds/released"),
            ("returns/reopen", ID_ONLY, "returns/approve"),
            ("inventory_levels/disconnect", r#"{"inventory_item_id":1}"#, "inventory_levels/update"),
            ("fulfillment_orders/hold_released", &on_hold, "fulfillment_orders/placed_on_hold"),
            ("fulfillment_orders/cancelled", &open, "fulfillment_orders/hold_released"),
        ] {
            assert!(is_refused(topic, body, earlier), "{topic} after {earlier}");
            assert!(!is_refused(topic, body, topic), "{topic} twice");
        }
        let noted = ("fulfillment_orders/hold_released", "fulfillment_orders/order_routing_complete");
        assert!(!is_refused(noted.0, &open, noted.1));
        assert!(is_noted_only(noted.0, &on_hold, noted.1));
        assert!(!is_refused("inventory_levels/update", r#"{"available":null}"#, "inventory_levels/connect"));
        assert!(!is_refused("carts/update", ID_ONLY, "carts/create"));
    }

    /// Such an event loses nothing if it changes no table, so it completes.
    #[test]
    fn copy_without_an_effect_of_its_own_is_noted_only() {
        for (topic, body, earlier) in [
            ("collections/delete", ID_ONLY, "orders/delete"),
            ("checkouts/delete", ID_ONLY, "checkouts/update"),
            ("carts/update", ID_ONLY, "orders/create"),
            ("shop/update", r#"{"myshopify_domain":"a"}"#, "app/uninstalled"),
        ] {
            assert!(is_noted_only(topic, body, earlier), "{topic} after {earlier}");
            assert_eq!(judge_copy(topic, body, &[earlier_event(topic)]), RepeatVerdict::Process, "{topic} twice");
        }
        let order = r#"{"admin_graphql_api_id":"gid://shopify/Order/1"}"#;
        assert!(matches!(judge_copy("carts/update", order, &[]), RepeatVerdict::NoteOnly(_)));
    }

    #[test]
    fn repeated_body_must_state_what_its_topic_says() {
        for (topic, own, other) in [
            ("orders/paid", r#"{"financial_status":"paid"}"#, r#"{"financial_status":"pending"}"#),
            ("orders/cancelled", r#"{"cancelled_at":"2026-11-23T10:00:00Z"}"#, r#"{"cancelled_at":null}"#),
            ("orders/fulfilled", r#"{"fulfillment_status":"fulfilled"}"#, r#"{"fulfillment_status":null}"#),
            ("locations/deactivate", r#"{"active":false}"#, r#"{"active":true}"#),
        ] {
            let family = topic.split('/').next().unwrap();
            let earlier = format!("{family}/update");
            for body in [own, ID_ONLY] {
                assert_eq!(
                    judge_copy(topic, body, &[earlier_event(&earlier)]),
                    RepeatVerdict::Process,
                    "{topic} {body}"
                );
            }
            assert!(is_noted_only(topic, other, &earlier), "{topic} {other}");
        }
    }
}
