//! `shop/update` and `app/uninstalled` → `shops`.

use super::fact;
use crate::clock;
use crate::handlers::fields::{self, Field, Kind};
use crate::handlers::json::{parse, time};
use crate::handlers::{Done, Event, Handler, Trouble};
use crate::store::changes::{Change, Subject};
use crate::store::projection::Cell;
use crate::store::tables::SHOPS;

const SHOP: &[Field] = &[
    Field("shop_id", Kind::Id, "id"),
    Field("name", Kind::Text, "name"),
    Field("email", Kind::Text, "email"),
    Field("currency", Kind::Text, "currency"),
    Field("timezone", Kind::Text, "iana_timezone"),
    Field("plan_name", Kind::Text, "plan_display_name"),
    Field("country_code", Kind::Text, "country_code"),
    Field("primary_location_id", Kind::Id, "primary_location_id"),
    Field("updated_at", Kind::Time, "updated_at"),
];

/// Both topics carry the shop.
pub struct Shops;

impl Handler for Shops {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        let mut row = fact(event, SHOPS, Vec::new(), fields::stated(&body, SHOP)?);
        if let Some(updated) = time(&body, "updated_at") {
            row.version = event.version(Some(&updated));
        }
        let mut done = Done { subjects: vec![Subject::new("shop", event.shop_domain)], ..Done::default() };
        if event.topic == "app/uninstalled" {
            row.columns.push(("uninstalled_at", clock::text(event.sent_at()).into()));
            done.note = Some("the app was taken out of this shop: Shopify sends no more events of it".to_owned());
        } else {
            // Shopify sends nothing of a shop that took the app out: it is installed again.
            row.columns.push(("uninstalled_at", Cell::Null));
        }
        done.changes.push(Change::Row(row));
        Ok(done)
    }
}
