//! Made-up bodies for `send` and `setup`, each in the shape that the provider gives its topic.

use crate::event::Source;
use serde_json::{Map, Value};

/// Bodies by topic. Orders, trackers and logins are in files of their own, because many topics share them.
const SHOPIFY_BODIES: &str = include_str!("samples/shopify.json");
const EASYPOST_BODIES: &str = include_str!("samples/easypost.json");
const KEYCLOAK_BODIES: &str = include_str!("samples/keycloak.json");

/// Topics of Shopify whose body is a whole order.
const ORDER_TOPICS: [&str; 6] = [
    "orders/create",
    "orders/updated",
    "orders/paid",
    "orders/cancelled",
    "orders/fulfilled",
    "orders/partially_fulfilled",
];

/// Returns a body of the topic. A topic without one gets the body of another topic of its family, or else only an id.
pub(crate) fn find_sample_body(source: Source, topic: &str) -> serde_json::Result<Value> {
    let (bodies, separator) = match source {
        Source::Shopify if ORDER_TOPICS.contains(&topic) => {
            return serde_json::from_str(include_str!("samples/orders-create.json"));
        }
        Source::EasyPost if topic.starts_with("tracker.") => {
            return serde_json::from_str(include_str!("samples/tracker-updated.json"));
        }
        Source::Shopify => (SHOPIFY_BODIES, '/'),
        Source::EasyPost => (EASYPOST_BODIES, '.'),
        Source::Keycloak => (KEYCLOAK_BODIES, '.'),
        Source::Sps | Source::Local => return Ok(Value::Null),
    };
    let mut bodies: Map<String, Value> = serde_json::from_str(bodies)?;
    if let Some(body) = bodies.remove(topic) {
        return Ok(body);
    }
    if source == Source::Keycloak {
        return serde_json::from_str(include_str!("samples/login.json"));
    }
    let family = topic.split(separator).next().unwrap_or_default();
    // Deletions and redactions have bodies of their own shape, which no other topic of the family has.
    let is_alike = |other: &&String| {
        other.split(separator).next() == Some(family)
            && !["delete", "redact", "data_request", "merge"].iter().any(|action| other.ends_with(action))
    };
    let alike = bodies.keys().find(is_alike).cloned();
    Ok(alike.and_then(|other| bodies.remove(&other)).unwrap_or_else(|| serde_json::json!({"id": 1001})))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventIdentity, EventKey};
    use crate::handlers::{Event, Routes};

    fn topics_of(bodies: &str) -> Vec<String> {
        serde_json::from_str::<Map<String, Value>>(bodies).unwrap().keys().cloned().collect()
    }

    /// The handler of each topic reads the made-up body without an error.
    #[test]
    fn handlers_read_every_sample() {
        let with_source = |source, topics: Vec<String>| topics.into_iter().map(move |topic| (source, topic));
        let samples = with_source(Source::Shopify, topics_of(SHOPIFY_BODIES))
            .chain(with_source(Source::Shopify, ORDER_TOPICS.map(str::to_owned).to_vec()))
            .chain(with_source(Source::Shopify, vec!["fulfillments/cancelled".to_owned(), "returns/open".to_owned()]))
            .chain(with_source(Source::EasyPost, topics_of(EASYPOST_BODIES)))
            .chain(with_source(Source::EasyPost, vec!["tracker.created".to_owned(), "batch.created".to_owned()]))
            .chain(with_source(Source::Keycloak, topics_of(KEYCLOAK_BODIES)))
            .chain(with_source(Source::Keycloak, vec!["access.LOGOUT".to_owned()]));
        for (source, topic) in samples {
            let body = serde_json::to_vec(&find_sample_body(source, &topic).unwrap()).unwrap();
            let shop_domain = if source == Source::Shopify { "acme-foods.myshopify.com" } else { "" };
            let key = EventKey {
                source,
                shop_domain: shop_domain.to_owned(),
                topic: topic.clone(),
                webhook_id: String::new(),
            };
            let planned = Routes::standard().plan(&Event {
                identity: &EventIdentity { id: 1, key },
                received_at: crate::clock::Timestamp::UNIX_EPOCH,
                triggered_at: None,
                body_hash: 0,
                is_events_preview: false,
                body: &body,
            });
            assert!(planned.is_ok(), "{source} {topic}: {planned:?}");
        }
    }

    #[test]
    fn a_deletion_has_little_but_an_id_and_an_unknown_topic_is_no_order() {
        let find = |topic| find_sample_body(Source::Shopify, topic).unwrap();
        for topic in ["orders/delete", "products/delete", "customers/delete"] {
            assert!(find(topic).as_object().unwrap().len() <= 2, "{topic}");
        }
        assert!(find("customers/redact")["orders_to_redact"].is_array());
        assert!(find("customers/data_request")["data_request"]["id"].is_number());
        assert_eq!(find("carts/create"), serde_json::json!({"id": 1001}));
        assert!(find("customers/enable").get("orders_to_redact").is_none());
    }
}
