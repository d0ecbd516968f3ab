//! Rotations of secrets: the sources with more than one secret, and when each of them was last used.

use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::event::Source;
use crate::secret::Secret;
use crate::store::db::reader::Reader;
use crate::store::events::secret_uses::{self, SecretKey};
use std::sync::Arc;
use std::time::Duration;

/// Time without a use after which an old secret can go. Shopify signs with the old secret for up to an hour.
const UNUSED_TIME: Duration = Duration::from_hours(24);

/// A secret and the time of the last event that it proved; None: no event yet.
struct SecretUse {
    reference: Arc<str>,
    last_used_at: Option<Timestamp>,
}

/// A source with several secrets. The first one is the new one.
pub(crate) struct SecretRotation {
    /// `acme-foods.myshopify.com`, `EasyPost` or `Keycloak`.
    name: String,
    new: SecretUse,
    old: Vec<SecretUse>,
}

impl SecretRotation {
    /// Returns true if the provider uses the new secret and has not used the old ones for a day.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let is_unused = |secret: &SecretUse| {
            secret.last_used_at.is_none_or(|at| at < now && clock::duration_between(at, now) > UNUSED_TIME)
        };
        self.new.last_used_at.is_some() && self.old.iter().all(is_unused)
    }

    /// Returns the number of secrets and the last use of each, as one sentence.
    pub fn describe(&self) -> String {
        let describe_use = |secret: &SecretUse| match secret.last_used_at {
            Some(at) => format!("{}, was last used at {}", secret.reference, clock::format_timestamp(at)),
            None => format!("{}, was not used yet", secret.reference),
        };
        let old: Vec<String> = self.old.iter().map(|secret| format!("the old one, {}", describe_use(secret))).collect();
        let count = 1 + self.old.len();
        format!("{} has {count} secrets: the new one, {}; {}", self.name, describe_use(&self.new), old.join("; "))
    }

    /// Returns the operator's next step.
    pub fn describe_next_step(&self, now: Timestamp) -> String {
        let old: Vec<String> = self.old.iter().map(|secret| format!("{:?}", secret.reference)).collect();
        let remove = format!(
            "remove {} from its `secrets` in config.toml, run `systemctl reload novex-ingest`, then delete the file",
            old.join(" and ")
        );
        if self.is_over(now) {
            remove
        } else if self.new.last_used_at.is_none() {
            format!(
                "Enter the new secret at the provider. After its first event, and a day without the old one: {remove}"
            )
        } else {
            format!("Keep both until a day has passed without the old one. Then {remove}")
        }
    }
}

/// Returns the rotations of the configuration. Without a database, no secret was used.
pub(crate) fn list_rotations(config: &Config) -> Vec<SecretRotation> {
    let uses = Reader::open(&config.store.path, 1).and_then(|reader| reader.read(secret_uses::list_secret_uses));
    let uses = uses.unwrap_or_default();
    let build_rotation = |source: Source, shop_domain: &str, name: &str, secrets: &[Secret]| {
        let find_use = |secret: &Secret| {
            let reference = secret.reference()?.clone();
            let key = SecretKey { source, shop_domain: shop_domain.to_owned(), reference: reference.clone() };
            let last = uses.iter().find(|(other, _)| *other == key).map(|(_, at)| at);
            Some(SecretUse { reference, last_used_at: last.and_then(|at| clock::parse_timestamp(at).ok()) })
        };
        let mut all = secrets.iter().filter_map(find_use);
        let new = all.next()?;
        let old: Vec<SecretUse> = all.collect();
        (!old.is_empty()).then(|| SecretRotation { name: name.to_owned(), new, old })
    };
    let shops =
        config.shopify.iter().map(|shop| build_rotation(Source::Shopify, &shop.domain, &shop.domain, &shop.secrets));
    let easypost =
        config.easypost.as_ref().map(|easypost| build_rotation(Source::EasyPost, "", "EasyPost", &easypost.secrets));
    let keycloak =
        config.keycloak.as_ref().map(|keycloak| build_rotation(Source::Keycloak, "", "Keycloak", &keycloak.secrets));
    shops.chain(easypost).chain(keycloak).flatten().collect()
}
