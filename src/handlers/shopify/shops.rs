//! Shops.

use crate::changes::Change;
use crate::changes::catalogue::SHOPS;
use crate::changes::rows::CellValue;
use crate::clock;
use crate::event::Subject;
use crate::handlers::extras::add_extras;
use crate::handlers::fields::{FieldKind, JsonField};
use crate::handlers::json::{read_text, read_time};
use crate::handlers::shopify::body_shapes::read_body;
use crate::handlers::shopify::build_row;
use crate::handlers::{Event, Handler, HandlerError, Plan, fields};

const SHOP_FIELDS: &[JsonField] = &[
    JsonField("shop_id", FieldKind::Id, "id"),
    JsonField("name", FieldKind::Text, "name"),
    JsonField("email", FieldKind::Text, "email"),
    JsonField("currency", FieldKind::Text, "currency"),
    JsonField("timezone", FieldKind::Text, "iana_timezone"),
    JsonField("plan_name", FieldKind::Text, "plan_display_name"),
    JsonField("country_code", FieldKind::Text, "country_code"),
    JsonField("primary_location_id", FieldKind::Id, "primary_location_id"),
    JsonField("updated_at", FieldKind::Time, "updated_at"),
];

/// Handles a shop. Topics: `shop/update`, `app/uninstalled`. Writes `shops`. Both bodies are the shop.
pub struct ShopHandler;

impl Handler for ShopHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = read_body(event)?;
        if read_text(&body, "myshopify_domain").is_some_and(|domain| !domain.eq_ignore_ascii_case(event.shop_domain()))
        {
            return Ok(Plan::note_only("stored only: the body and the unsigned header name different shops"));
        }
        let mut row = build_row(event, SHOPS, Vec::new(), fields::read_stated_columns(&body, SHOP_FIELDS)?);
        add_extras(&mut row.columns, SHOPS, &body, SHOP_FIELDS)?;
        if let Some(updated_at) = read_time(&body, "updated_at") {
            row.row_version = event.row_version(Some(&updated_at));
        }
        let mut plan = Plan { subjects: vec![Subject::new("shop", event.shop_domain())], ..Plan::default() };
        if event.topic() == "app/uninstalled" {
            row.columns.push(("uninstalled_at", clock::format_timestamp(event.sent_at()).into()));
            plan.note = Some("the shop uninstalled the app: Shopify sends no more events of this shop".to_owned());
        } else {
            // Shopify sends no events of a shop without the app, so the app is installed again.
            row.columns.push(("uninstalled_at", CellValue::Null));
        }
        plan.changes.push(Change::Row(row));
        Ok(plan)
    }
}
