//! Bodies that arrive a second time under another topic, shop or id.
//!
//! Shopify retries a webhook under the same id, which is a duplicate and no new event. So an equal body under other
//! names is either a second subscription or a copy that somebody sent. Shopify signs none of these names.

use crate::event::{EarlierEvent, EventKey};
use crate::handlers::shopify::body_shapes::{find_body_kind, is_deletion, is_destructive};

/// What happens to an event whose body arrived before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepeatVerdict {
    /// It is processed as any event.
    Process,
    /// It completes with this note and changes nothing: the earlier event did the same.
    NoteOnly(String),
    /// It fails with this error and changes nothing, until an operator accepts it.
    Refuse(String),
}

/// Judges an event by the earlier events with the same body. `is_repeat` states that there was one, also if retention
/// has deleted it since.
#[must_use]
pub fn judge_repeated_body(event: &EventKey, earlier: &[EarlierEvent], is_repeat: bool) -> RepeatVerdict {
    if !is_repeat && earlier.is_empty() {
        return RepeatVerdict::Process;
    }
    let topic = event.topic.as_str();
    let is_redaction = topic.ends_with("/redact");
    if is_destructive(topic) {
        let is_same = |other: &EarlierEvent| other.topic == topic && other.shop_domain == event.shop_domain;
        return match earlier.first() {
            // An object is deleted once: a second subscription to the topic asks for nothing new. A redaction that
            // waits covers an equal one.
            Some(first)
                if (is_deletion(topic) || is_redaction && first.is_pending)
                    && earlier.iter().all(|other| is_same(other) && !other.is_failed) =>
            {
                RepeatVerdict::NoteOnly(format!("nothing to do: event {} has the same body and topic", first.id))
            }
            _ => {
                let before = earlier.first().map_or_else(
                    || "in an event that retention deleted".to_owned(),
                    |other| format!("as event {} ({})", other.id, other.topic),
                );
                RepeatVerdict::Refuse(format!(
                    "nothing was changed: the same body arrived before {before}. Shopify signs neither the topic nor \
                     the id, so somebody may have sent it again"
                ))
            }
        };
    }
    let kind = find_body_kind(topic);
    let is_other_kind = |other: &&EarlierEvent| find_body_kind(&other.topic).is_some_and(|other| kind != Some(other));
    match earlier.iter().find(is_other_kind) {
        Some(other) if kind.is_some() => RepeatVerdict::Refuse(format!(
            "nothing was changed: the same body arrived before as event {} ({}), whose topic has other objects. Shopify \
             signs the body and not the topic",
            other.id, other.topic
        )),
        _ => RepeatVerdict::Process,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Source;

    fn judge(topic: &str, earlier: &[(&str, &str, bool)]) -> RepeatVerdict {
        let event = EventKey {
            source: Source::Shopify,
            shop_domain: "a".to_owned(),
            topic: topic.to_owned(),
            webhook_id: "w".to_owned(),
        };
        let earlier: Vec<EarlierEvent> = earlier
            .iter()
            .enumerate()
            .map(|(index, (topic, shop, is_failed))| EarlierEvent {
                id: i64::try_from(index).unwrap(),
                topic: (*topic).to_owned(),
                shop_domain: (*shop).to_owned(),
                is_failed: *is_failed,
                is_pending: false,
            })
            .collect();
        judge_repeated_body(&event, &earlier, true)
    }

    #[test]
    fn destructive_event_is_refused_unless_it_repeats_a_deletion() {
        for topic in ["customers/redact", "shop/redact", "customers/merge", "app/uninstalled"] {
            assert!(matches!(judge(topic, &[(topic, "a", false)]), RepeatVerdict::Refuse(_)), "{topic}");
        }
        for topic in ["orders/delete", "products/delete", "locations/delete", "fulfillment_events/delete"] {
            assert!(matches!(judge(topic, &[(topic, "a", false)]), RepeatVerdict::NoteOnly(_)), "{topic}");
            assert!(matches!(judge(topic, &[(topic, "a", true)]), RepeatVerdict::Refuse(_)), "{topic}");
            assert!(matches!(judge(topic, &[(topic, "b", false)]), RepeatVerdict::Refuse(_)), "{topic}");
            assert!(matches!(judge(topic, &[]), RepeatVerdict::Refuse(_)), "{topic}");
            assert!(matches!(judge(topic, &[("orders/create", "a", false)]), RepeatVerdict::Refuse(_)), "{topic}");
        }
    }

    #[test]
    fn other_event_is_refused_only_for_a_topic_of_another_kind() {
        for earlier in ["orders/paid", "carts/update", "never/heard"] {
            assert_eq!(judge("orders/create", &[(earlier, "a", false)]), RepeatVerdict::Process, "{earlier}");
        }
        for earlier in ["products/delete", "customers/update", "orders/edited"] {
            assert!(matches!(judge("orders/create", &[(earlier, "a", false)]), RepeatVerdict::Refuse(_)), "{earlier}");
        }
        assert_eq!(judge("never/heard", &[("orders/create", "a", false)]), RepeatVerdict::Process);
    }
}
