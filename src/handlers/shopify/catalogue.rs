//! `products/…`, `inventory_items/…`, `inventory_levels/…` and `locations/…`: what is sold, and where it lies.

use super::{list, required, resource, resource_of};
use crate::handlers::fields::{self, Field, Kind};
use crate::handlers::json::parse;
use crate::handlers::{Done, Event, Handler, Trouble};
use crate::store::changes::{Change, Subject};
use crate::store::projection::Table;
use crate::store::tables::{INVENTORY_ITEMS, INVENTORY_LEVELS, LOCATIONS, PRODUCTS};

const PRODUCT: &[Field] = &[
    Field("title", Kind::Text, "title"),
    Field("handle", Kind::Text, "handle"),
    Field("vendor", Kind::Text, "vendor"),
    Field("product_type", Kind::Text, "product_type"),
    Field("status", Kind::Text, "status"),
    Field("tags", Kind::Text, "tags"),
    Field("published_at", Kind::Time, "published_at"),
    Field("created_at", Kind::Time, "created_at"),
    Field("updated_at", Kind::Time, "updated_at"),
];

const VARIANT: &[Field] = &[
    Field("variant_id", Kind::Id, "id"),
    Field("title", Kind::Text, "title"),
    Field("sku", Kind::Text, "sku"),
    Field("barcode", Kind::Text, "barcode"),
    Field("price", Kind::Money, "price"),
    Field("compare_at_price", Kind::Money, "compare_at_price"),
    Field("option1", Kind::Text, "option1"),
    Field("option2", Kind::Text, "option2"),
    Field("option3", Kind::Text, "option3"),
    Field("taxable", Kind::Flag, "taxable"),
    Field("inventory_item_id", Kind::Id, "inventory_item_id"),
    Field("inventory_policy", Kind::Text, "inventory_policy"),
    Field("updated_at", Kind::Time, "updated_at"),
];

const ITEM: &[Field] = &[
    Field("sku", Kind::Text, "sku"),
    Field("cost", Kind::Money, "cost"),
    Field("tracked", Kind::Flag, "tracked"),
    Field("requires_shipping", Kind::Flag, "requires_shipping"),
    Field("country_of_origin", Kind::Text, "country_code_of_origin"),
    Field("province_of_origin", Kind::Text, "province_code_of_origin"),
    Field("harmonized_system_code", Kind::Text, "harmonized_system_code"),
    Field("weight", Kind::Text, "weight_value"),
    Field("weight_unit", Kind::Text, "weight_unit"),
    Field("created_at", Kind::Time, "created_at"),
    Field("updated_at", Kind::Time, "updated_at"),
];

const LEVEL: &[Field] =
    &[Field("available", Kind::Integer, "available"), Field("updated_at", Kind::Time, "updated_at")];

const LOCATION: &[Field] = &[
    Field("name", Kind::Text, "name"),
    Field("active", Kind::Flag, "active"),
    Field("address1", Kind::Text, "address1"),
    Field("address2", Kind::Text, "address2"),
    Field("city", Kind::Text, "city"),
    Field("province_code", Kind::Text, "province_code"),
    Field("zip", Kind::Text, "zip"),
    Field("country_code", Kind::Text, "country_code"),
    Field("phone", Kind::Text, "phone"),
    Field("created_at", Kind::Time, "created_at"),
    Field("updated_at", Kind::Time, "updated_at"),
];

/// `products/create` and `products/update`.
pub struct Products;

impl Handler for Products {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        let mut row = resource(event, PRODUCTS, &body, PRODUCT)?;
        row.lists.extend(list("product_variants", body.get("variants"), VARIANT, true)?);
        let subjects = vec![Subject::new("product", required(&body, "id", PRODUCTS)?)];
        Ok(Done { changes: vec![Change::Row(row)], subjects, ..Done::default() })
    }
}

/// `inventory_items/create`, `update` and `locations/create`, `update`, `activate`, `deactivate`: a resource and nothing else.
pub struct Plain {
    table: &'static Table,
    columns: &'static [Field],
    subject: &'static str,
}

pub const INVENTORY_ITEM: Plain = Plain { table: INVENTORY_ITEMS, columns: ITEM, subject: "inventory_item" };
pub const PLACE: Plain = Plain { table: LOCATIONS, columns: LOCATION, subject: "location" };

impl Handler for Plain {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        let id = required(&body, "id", self.table)?;
        let row = resource(event, self.table, &body, self.columns)?;
        Ok(Done { changes: vec![Change::Row(row)], subjects: vec![Subject::new(self.subject, id)], ..Done::default() })
    }
}

/// `inventory_levels/connect`, `update` and `disconnect`.
pub struct Levels;

impl Handler for Levels {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        let number = |field| body.get(field).and_then(fields::id);
        let (Some(item), Some(location)) = (number("inventory_item_id"), number("location_id")) else {
            return Ok(Done::note(format!("stored only: this {} names no item and location", event.topic)));
        };
        let key = vec![item.into(), location.into()];
        let mut row = resource_of(event, INVENTORY_LEVELS, key, &body, LEVEL)?;
        row.columns.push(("connected", (event.topic != "inventory_levels/disconnect").into()));
        Ok(Done {
            changes: vec![Change::Row(row)],
            subjects: vec![Subject::new("inventory_item", item)],
            ..Done::default()
        })
    }
}
