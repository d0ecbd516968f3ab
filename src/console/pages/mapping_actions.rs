//! What the forms of mappings do: each calls the function of the command line, then shows the page of the form again.

use crate::console::ConsoleState;
use crate::console::guard::CurrentUser;
use crate::console::pages::{redirect_to, show_refusal, show_store_error};
use crate::console::paths::choose_return_path;
use crate::spreadsheet::mappings_csv::validate_mapping;
use crate::store::StoreError;
use crate::store::erp::sps_mappings::{ItemMapping, PartnerMapping, describe_refused_mapping, parse_item_kind};
use crate::text::clean_code;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Form};
use serde::Deserialize;
use std::sync::Arc;

/// Page that follows an action whose form names none.
const PATH: &str = "/mappings";

/// A product of a shop and its item.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProductForm {
    shop: String,
    variant: String,
    sku: String,
    item: String,
    factor: String,
    note: String,
    back: String,
}

/// A retailer's item and the item of the ERP.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ItemForm {
    /// Kind and number of one field: `buyer B1`. Else the next two fields have them.
    number: String,
    kind: String,
    value: String,
    partner: String,
    unit: String,
    item: String,
    item_unit: String,
    factor: String,
    back: String,
}

/// A retailer and the customer of the ERP.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PartnerForm {
    partner: String,
    customer: String,
    quantity: String,
    back: String,
}

/// The id of an item mapping.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ItemMappingForm {
    id: i64,
}

/// Returns the page of an action's result.
fn show_result(result: Result<(), StoreError>, back: &str) -> Response {
    match result {
        Ok(()) => redirect_to(choose_return_path(back, PATH)),
        Err(error) => describe_refused_mapping(&error).map_or_else(|| show_store_error(&error), refuse_values),
    }
}

/// Returns the page of a removal's result.
fn show_removal(result: Result<bool, StoreError>) -> Response {
    match result {
        Ok(true) => redirect_to(PATH),
        Ok(false) => show_refusal(StatusCode::NOT_FOUND, "There is no such mapping any more. Nothing was done."),
        Err(error) => show_store_error(&error),
    }
}

fn refuse_values(text: &str) -> Response {
    show_refusal(StatusCode::BAD_REQUEST, &format!("Nothing was saved: {text}."))
}

/// Returns the text without blanks around it, or None if it is empty.
fn trim_text(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Returns the variant id; an empty text is none.
fn parse_variant(text: &str) -> Result<Option<i64>, String> {
    let parse = |text: String| text.parse().map_err(|_| format!("the variant id {text:?} is not a whole number"));
    trim_text(text).map(parse).transpose()
}

/// Maps a product, as `mappings add` does.
pub async fn save_product_mapping(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Form(form): Form<ProductForm>,
) -> Response {
    let mapping = parse_variant(&form.variant).and_then(|variant| {
        let (item, factor) = (form.item.trim().to_owned(), form.factor.trim().to_owned());
        validate_mapping(form.shop.trim(), variant, trim_text(&form.sku), item, factor, trim_text(&form.note))
            .map_err(|problems| problems.join("; "))
    });
    match mapping {
        Ok(mapping) => {
            let saved = state.store.map_products(vec![mapping], user.to_actor()).await;
            show_result(saved.map(drop), &form.back)
        }
        Err(problem) => refuse_values(&problem),
    }
}

/// Removes the mapping of a product, as `mappings remove` does.
pub async fn remove_product_mapping(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Form(form): Form<ProductForm>,
) -> Response {
    let variant = match parse_variant(&form.variant) {
        Ok(variant) => variant,
        Err(problem) => return refuse_values(&problem),
    };
    let sku = trim_text(&form.sku).map(|sku| clean_code(&sku));
    show_removal(state.store.unmap_product(form.shop.to_ascii_lowercase(), variant, sku, user.to_actor()).await)
}

/// Maps a retailer's item, as `sps map item` does.
pub async fn save_item_mapping(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Form(form): Form<ItemForm>,
) -> Response {
    let (kind, value) = form.number.split_once(' ').unwrap_or((form.kind.trim(), form.value.trim()));
    let kind = match parse_item_kind(kind) {
        Ok(kind) => kind,
        Err(problem) => return refuse_values(&format!("the kind of the number {kind:?} is unknown: {problem}")),
    };
    let mapping = ItemMapping {
        partner: form.partner.trim().to_owned(),
        kind,
        value: value.to_owned(),
        unit: form.unit.trim().to_owned(),
        item: form.item.trim().to_owned(),
        item_unit: trim_text(&form.item_unit),
        factor: form.factor.trim().to_owned(),
    };
    show_result(state.store.map_item(mapping, user.to_actor()).await.map(drop), &form.back)
}

/// Removes the mapping of a retailer's item. Its lines wait again.
pub async fn remove_item_mapping(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Form(form): Form<ItemMappingForm>,
) -> Response {
    show_removal(state.store.unmap_item(form.id, user.to_actor()).await)
}

/// Maps a partner, as `sps map partner` does.
pub async fn save_partner_mapping(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Form(form): Form<PartnerForm>,
) -> Response {
    let Some(partner) = trim_text(&form.partner) else { return refuse_values("the partner is missing") };
    let customer = form.customer.trim().to_owned();
    let mapping = PartnerMapping { partner, customer, quantity: trim_text(&form.quantity) };
    show_result(state.store.map_partner(mapping, user.to_actor()).await.map(drop), &form.back)
}

/// Removes the mapping of a partner. Its orders have no customer then.
pub async fn remove_partner_mapping(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Form(form): Form<PartnerForm>,
) -> Response {
    show_removal(state.store.unmap_partner(form.partner, user.to_actor()).await)
}
