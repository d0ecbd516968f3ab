//! Changes of mappings by programs: each is one transaction with the condition of the program, so that no other change
//! comes between the two.

use crate::clock;
use crate::store::access::Actor;
use crate::store::db::writer::WriteClass;
use crate::store::erp::api_lists::{ErpRow, read_rows};
use crate::store::erp::mappings::{ProductMapping, remove_product_mapping, save_product_mappings};
use crate::store::erp::sps_mappings::{
    ItemMapping, PartnerMapping, remove_item_mapping, remove_partner_mapping, save_item_mapping, save_partner_mapping,
};
use crate::store::{Store, StoreError};
use rusqlite::{Connection, named_params};

/// Names one mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MappingKey {
    Variant {
        shop: String,
        variant_id: i64,
    },
    Sku {
        shop: String,
        sku: String,
    },
    Partner(String),
    /// The id of an item's mapping.
    Item(i64),
    /// The names of an item's mapping, which are unique.
    ItemNames {
        partner: String,
        kind: String,
        value: String,
        unit: String,
    },
}

/// The new state of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MappingChange {
    SaveProduct(ProductMapping),
    SavePartner(PartnerMapping),
    SaveItem(ItemMapping),
    Remove,
}

/// Decides by the stored row whether the change is made; `None`: there is no such mapping.
pub type MappingCondition = Box<dyn FnOnce(Option<&ErpRow>) -> bool + Send>;

/// What a change did.
#[derive(Debug, Clone, PartialEq)]
pub enum MappingResult {
    /// The row before and after the change.
    Done { before: Option<ErpRow>, after: Option<ErpRow> },
    /// The condition does not hold; nothing was changed.
    ConditionFailed,
    /// There was nothing to remove.
    NoSuchMapping,
}

/// Returns the row of a mapping.
pub fn find_mapping_row(connection: &Connection, key: &MappingKey) -> Result<Option<ErpRow>, StoreError> {
    let products = "SELECT * FROM shopify_product_mappings WHERE shop_domain = :shop AND";
    let rows = match key {
        MappingKey::Variant { shop, variant_id } => {
            let sql = format!("{products} variant_id = :variant");
            read_rows(connection, &sql, named_params! {":shop": shop, ":variant": variant_id})
        }
        MappingKey::Sku { shop, sku } => {
            let sql = format!("{products} sku = :sku");
            read_rows(connection, &sql, named_params! {":shop": shop, ":sku": sku})
        }
        MappingKey::Partner(partner) => {
            let sql = "SELECT * FROM sps_partner_mappings WHERE partner = :partner";
            read_rows(connection, sql, named_params! {":partner": partner})
        }
        MappingKey::Item(id) => {
            read_rows(connection, "SELECT * FROM sps_item_mappings WHERE id = :id", named_params! {":id": id})
        }
        MappingKey::ItemNames { partner, kind, value, unit } => {
            let sql = "SELECT * FROM sps_item_mappings WHERE kind = :kind AND value = :value AND partner = :partner AND \
                       unit = :unit";
            let parameters = named_params! {":kind": kind, ":value": value, ":partner": partner, ":unit": unit};
            read_rows(connection, sql, parameters)
        }
    };
    Ok(rows?.into_iter().next())
}

impl Store {
    /// Saves or removes a mapping if its condition holds, as `mappings` and `sps map` do.
    pub async fn change_mapping(
        &self,
        key: MappingKey,
        change: MappingChange,
        condition: MappingCondition,
        actor: Actor,
    ) -> Result<MappingResult, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            let before = find_mapping_row(connection, &key)?;
            if !condition(before.as_ref()) {
                return Ok(MappingResult::ConditionFailed);
            }
            match &change {
                MappingChange::SaveProduct(mapping) => {
                    save_product_mappings(connection, std::slice::from_ref(mapping), &actor, &at)?;
                }
                MappingChange::SavePartner(mapping) => {
                    save_partner_mapping(connection, mapping, &actor, &at)?;
                }
                MappingChange::SaveItem(mapping) => {
                    save_item_mapping(connection, mapping, &actor, &at)?;
                }
                MappingChange::Remove if before.is_none() => return Ok(MappingResult::NoSuchMapping),
                MappingChange::Remove => {
                    remove_mapping(connection, &key, &actor, &at)?;
                }
            }
            Ok(MappingResult::Done { before, after: find_mapping_row(connection, &key)? })
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }
}

fn remove_mapping(connection: &Connection, key: &MappingKey, actor: &Actor, at: &str) -> Result<bool, StoreError> {
    match key {
        MappingKey::Variant { shop, variant_id } => {
            remove_product_mapping(connection, shop, (Some(*variant_id), None), actor, at)
        }
        MappingKey::Sku { shop, sku } => remove_product_mapping(connection, shop, (None, Some(sku)), actor, at),
        MappingKey::Partner(partner) => remove_partner_mapping(connection, partner, actor, at),
        MappingKey::Item(id) => remove_item_mapping(connection, *id, actor, at),
        MappingKey::ItemNames { .. } => Ok(false),
    }
}
