//! `/api/v1/mappings`: the ERP's numbers of products, partners and items, as `mappings` and `sps map` keep them.
//!
//! A change may name the state that it expects: `If-Match` with the ETag of the mapping, or `If-None-Match: *` to add
//! only. The condition and the change are one transaction.

use crate::console::ConsoleState;
use crate::console::api::document::{build_row_list_schema, refer_to_row};
use crate::console::api::etag::{compute_document_tag, names_tag};
use crate::console::api::paging::find_next;
use crate::console::api::problem::{ApiError, ApiResult};
use crate::console::api::query::{ApiBody, ApiPath, ApiQuery, clamp_limit};
use crate::console::guard::ApiCaller;
use crate::spreadsheet::mappings_csv::validate_mapping;
use crate::store::StoreError;
use crate::store::erp::api_lists::{ErpRow, MappingTable, list_mapping_rows};
use crate::store::erp::mapping_changes::{
    MappingChange, MappingCondition, MappingKey, MappingResult, find_mapping_row,
};
use crate::store::erp::sps_mappings::{ItemMapping, PartnerMapping, describe_refused_mapping, parse_item_kind};
use crate::text::clean_code;
use axum::extract::State;
use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

/// Page of a list of mappings.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MappingListQuery {
    /// `next` of the page before
    after: Option<i64>,
    /// Rows of the page, at most 1,000 [default: 100]
    limit: Option<u32>,
}

/// A page of product mappings in the order in which they were added.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "one function writes the pages of all tables")]
pub struct ProductMappingPage {
    #[schema(schema_with = build_product_list_schema)]
    mappings: (),
    /// Value of `after` for the next page; null on the last one.
    next: Option<i64>,
}

/// A page of mappings of partners in the order in which they were added.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "one function writes the pages of all tables")]
pub struct PartnerMappingPage {
    #[schema(schema_with = build_partner_list_schema)]
    mappings: (),
    /// Value of `after` for the next page; null on the last one.
    next: Option<i64>,
}

/// A page of mappings of items in the order in which they were added.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "one function writes the pages of all tables")]
pub struct ItemMappingPage {
    #[schema(schema_with = build_item_list_schema)]
    mappings: (),
    /// Value of `after` for the next page; null on the last one.
    next: Option<i64>,
}

fn build_product_list_schema() -> Schema {
    build_row_list_schema("shopify_product_mappings")
}

fn build_partner_list_schema() -> Schema {
    build_row_list_schema("sps_partner_mappings")
}

fn build_item_list_schema() -> Schema {
    build_row_list_schema("sps_item_mappings")
}

/// A row of a table of mappings, in the document.
macro_rules! define_row_schema {
    ($(#[$doc:meta])* $name:ident of $table:literal) => {
        $(#[$doc])*
        pub struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                refer_to_row($table)
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

define_row_schema! {
    /// The mapping of a product.
    ProductMappingRow of "shopify_product_mappings"
}
define_row_schema! {
    /// The mapping of a partner.
    PartnerMappingRow of "sps_partner_mappings"
}
define_row_schema! {
    /// The mapping of an item.
    ItemMappingRow of "sps_item_mappings"
}

/// The ERP's item of a product.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductMappingBody {
    /// Item number of the ERP
    item: String,
    /// ERP units in one unit of Shopify, as decimal text [default: 1]
    factor: Option<String>,
    /// Note for people
    note: Option<String>,
}

/// The ERP's customer of a partner.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartnerMappingBody {
    /// Customer number of the ERP
    customer: String,
    /// Meaning of the quantities in the partner's changes: total, delta or left [default: as before]
    quantity: Option<String>,
}

/// The ERP's item of a retailer's item.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemMappingBody {
    /// Partner that uses the number [default: every partner]
    #[serde(default)]
    partner: String,
    /// Kind of the number: buyer, vendor, upc, gtin, another qualifier such as PL, or none [default: buyer]
    kind: Option<String>,
    /// Number on the order line
    value: String,
    /// Only for lines in this unit [default: every unit]
    #[serde(default)]
    unit: String,
    /// Item number of the ERP
    item: String,
    /// Unit of the ERP [default: the unit of the line]
    item_unit: Option<String>,
    /// ERP units in one unit of the line, as decimal text [default: 1]
    factor: Option<String>,
}

#[derive(Serialize)]
struct MappingRowPage {
    mappings: Vec<ErpRow>,
    next: Option<i64>,
}

async fn send_page(state: &Arc<ConsoleState>, table: MappingTable, query: &MappingListQuery) -> ApiResult {
    let (after, limit) = (query.after.unwrap_or(0), clamp_limit(query.limit));
    let rows = state.read(move |connection| list_mapping_rows(connection, table, after, limit)).await?;
    let next = find_next(&rows, limit, |(mark, _)| *mark);
    Ok(Json(MappingRowPage { mappings: rows.into_iter().map(|(_, row)| row).collect(), next }).into_response())
}

async fn send_mapping(state: &Arc<ConsoleState>, key: MappingKey) -> ApiResult {
    let row = state.read(move |connection| find_mapping_row(connection, &key)).await?;
    Ok(Json(row.ok_or_else(no_mapping)?).into_response())
}

fn no_mapping() -> ApiError {
    ApiError::not_found("there is no such mapping")
}

/// Returns the condition that the headers of a request state.
fn read_condition(headers: &HeaderMap) -> MappingCondition {
    let headers = headers.clone();
    Box::new(move |row| {
        let tag = row.map(compute_document_tag);
        let names = |condition| tag.as_ref().map_or(Some(false), |tag| names_tag(&headers, condition, tag));
        let may_replace = !headers.contains_key(IF_MATCH) || names(&IF_MATCH) == Some(true);
        let may_add = !headers.contains_key(IF_NONE_MATCH) || names(&IF_NONE_MATCH) != Some(true);
        may_replace && may_add
    })
}

/// Changes a mapping and answers with its new row: 201 if it is new, 204 if it was removed.
async fn change_mapping(
    state: &Arc<ConsoleState>,
    (headers, caller): (&HeaderMap, &ApiCaller),
    key: MappingKey,
    change: MappingChange,
) -> ApiResult {
    let result = state.store.change_mapping(key, change, read_condition(headers), caller.to_actor()).await;
    let result = result.map_err(|error: StoreError| match describe_refused_mapping(&error) {
        Some(refusal) => ApiError::bad_request(refusal),
        None => ApiError::Store(error),
    })?;
    match result {
        MappingResult::Done { before, after: Some(row) } => {
            let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
            let tag = compute_document_tag(&row);
            Ok((status, [(ETAG, tag)], Json(row)).into_response())
        }
        MappingResult::Done { after: None, .. } => Ok(StatusCode::NO_CONTENT.into_response()),
        MappingResult::NoSuchMapping => Err(no_mapping()),
        MappingResult::ConditionFailed => {
            let text = "the mapping has another state than If-Match or If-None-Match names; nothing was changed";
            Err(ApiError::Refused(StatusCode::PRECONDITION_FAILED, text.to_owned()))
        }
    }
}

fn name_variant((shop, variant_id): (String, i64)) -> MappingKey {
    MappingKey::Variant { shop: shop.to_ascii_lowercase(), variant_id }
}

fn name_sku((shop, sku): (String, String)) -> MappingKey {
    MappingKey::Sku { shop: shop.to_ascii_lowercase(), sku: clean_code(&sku) }
}

/// Returns the change that saves a product's mapping, or the error that names all faults.
fn read_product(key: &MappingKey, body: ProductMappingBody) -> Result<MappingChange, ApiError> {
    let (shop, variant_id, sku) = match key {
        MappingKey::Variant { shop, variant_id } => (shop.as_str(), Some(*variant_id), None),
        MappingKey::Sku { shop, sku } => (shop.as_str(), None, Some(sku.clone())),
        MappingKey::Partner(_) | MappingKey::Item(_) | MappingKey::ItemNames { .. } => ("", None, None),
    };
    let factor = body.factor.unwrap_or_else(|| "1".to_owned());
    let mapping = validate_mapping(shop, variant_id, sku, body.item, factor, body.note);
    mapping.map(MappingChange::SaveProduct).map_err(|problems| ApiError::bad_request(problems.join("; ")))
}

/// Lists the mappings of products.
#[utoipa::path(get, path = "/api/v1/mappings/products", tag = "mappings", params(MappingListQuery),
    responses((status = 200, body = ProductMappingPage)))]
pub async fn send_product_mappings(
    State(state): State<Arc<ConsoleState>>,
    ApiQuery(query): ApiQuery<MappingListQuery>,
) -> ApiResult {
    send_page(&state, MappingTable::Products, &query).await
}

/// Returns the mapping of a variant.
#[utoipa::path(get, path = "/api/v1/mappings/products/{shop}/variants/{variant_id}", tag = "mappings",
    params(("shop" = String, Path), ("variant_id" = i64, Path)), responses((status = 200, body = inline(ProductMappingRow))))]
pub async fn send_variant_mapping(
    State(state): State<Arc<ConsoleState>>,
    ApiPath(key): ApiPath<(String, i64)>,
) -> ApiResult {
    send_mapping(&state, name_variant(key)).await
}

/// Adds or replaces the mapping of a variant, and completes the order lines that wait for it.
#[utoipa::path(put, path = "/api/v1/mappings/products/{shop}/variants/{variant_id}", tag = "mappings",
    params(("shop" = String, Path), ("variant_id" = i64, Path)), request_body = ProductMappingBody,
    responses((status = 200, body = inline(ProductMappingRow)), (status = 201, body = inline(ProductMappingRow))))]
pub async fn save_variant_mapping(
    State(state): State<Arc<ConsoleState>>,
    Extension(caller): Extension<ApiCaller>,
    ApiPath(key): ApiPath<(String, i64)>,
    headers: HeaderMap,
    ApiBody(body): ApiBody<ProductMappingBody>,
) -> ApiResult {
    let key = name_variant(key);
    let change = read_product(&key, body)?;
    change_mapping(&state, (&headers, &caller), key, change).await
}

/// Removes the mapping of a variant; the order lines that it completed wait again.
#[utoipa::path(delete, path = "/api/v1/mappings/products/{shop}/variants/{variant_id}", tag = "mappings",
    params(("shop" = String, Path), ("variant_id" = i64, Path)), responses((status = 204)))]
pub async fn remove_variant_mapping(
    State(state): State<Arc<ConsoleState>>,
    Extension(caller): Extension<ApiCaller>,
    ApiPath(key): ApiPath<(String, i64)>,
    headers: HeaderMap,
) -> ApiResult {
    change_mapping(&state, (&headers, &caller), name_variant(key), MappingChange::Remove).await
}

/// Returns the mapping of an SKU.
#[utoipa::path(get, path = "/api/v1/mappings/products/{shop}/skus/{sku}", tag = "mappings",
    params(("shop" = String, Path), ("sku" = String, Path)), responses((status = 200, body = inline(ProductMappingRow))))]
pub async fn send_sku_mapping(
    State(state): State<Arc<ConsoleState>>,
    ApiPath(key): ApiPath<(String, String)>,
) -> ApiResult {
    send_mapping(&state, name_sku(key)).await
}

/// Adds or replaces the mapping of an SKU, and completes the order lines that wait for it.
#[utoipa::path(put, path = "/api/v1/mappings/products/{shop}/skus/{sku}", tag = "mappings",
    params(("shop" = String, Path), ("sku" = String, Path)), request_body = ProductMappingBody,
    responses((status = 200, body = inline(ProductMappingRow)), (status = 201, body = inline(ProductMappingRow))))]
pub async fn save_sku_mapping(
    State(state): State<Arc<ConsoleState>>,
    Extension(caller): Extension<ApiCaller>,
    ApiPath(key): ApiPath<(String, String)>,
    headers: HeaderMap,
    ApiBody(body): ApiBody<ProductMappingBody>,
) -> ApiResult {
    let key = name_sku(key);
    let change = read_product(&key, body)?;
    change_mapping(&state, (&headers, &caller), key, change).await
}

/// Removes the mapping of an SKU; the order lines that it completed wait again.
#[utoipa::path(delete, path = "/api/v1/mappings/products/{shop}/skus/{sku}", tag = "mappings",
    params(("shop" = String, Path), ("sku" = String, Path)), responses((status = 204)))]
pub async fn remove_sku_mapping(
    State(state): State<Arc<ConsoleState>>,
    Extension(caller): Extension<ApiCaller>,
    ApiPath(key): ApiPath<(String, String)>,
    headers: HeaderMap,
) -> ApiResult {
    change_mapping(&state, (&headers, &caller), name_sku(key), MappingChange::Remove).await
}

/// Lists the mappings of partners.
#[utoipa::path(get, path = "/api/v1/mappings/partners", tag = "mappings", params(MappingListQuery),
    responses((status = 200, body = PartnerMappingPage)))]
pub async fn send_partner_mappings(
    State(state): State<Arc<ConsoleState>>,
    ApiQuery(query): ApiQuery<MappingListQuery>,
) -> ApiResult {
    send_page(&state, MappingTable::Partners, &query).await
}

/// Returns the mapping of a partner.
#[utoipa::path(get, path = "/api/v1/mappings/partners/{partner}", tag = "mappings", params(("partner" = String, Path)),
    responses((status = 200, body = inline(PartnerMappingRow))))]
pub async fn send_partner_mapping(
    State(state): State<Arc<ConsoleState>>,
    ApiPath(partner): ApiPath<String>,
) -> ApiResult {
    send_mapping(&state, MappingKey::Partner(partner)).await
}

/// Adds or replaces the mapping of a partner, and rebuilds its purchase orders.
#[utoipa::path(put, path = "/api/v1/mappings/partners/{partner}", tag = "mappings", params(("partner" = String, Path)),
    request_body = PartnerMappingBody,
    responses((status = 200, body = inline(PartnerMappingRow)), (status = 201, body = inline(PartnerMappingRow))))]
pub async fn save_partner_mapping(
    State(state): State<Arc<ConsoleState>>,
    Extension(caller): Extension<ApiCaller>,
    ApiPath(partner): ApiPath<String>,
    headers: HeaderMap,
    ApiBody(body): ApiBody<PartnerMappingBody>,
) -> ApiResult {
    if body.quantity.as_deref().is_some_and(|quantity| !["total", "delta", "left"].contains(&quantity)) {
        return Err(ApiError::bad_request("quantity is total, delta or left"));
    }
    let mapping = PartnerMapping { partner: partner.clone(), customer: body.customer, quantity: body.quantity };
    let (key, change) = (MappingKey::Partner(partner), MappingChange::SavePartner(mapping));
    change_mapping(&state, (&headers, &caller), key, change).await
}

/// Removes the mapping of a partner, and rebuilds its purchase orders.
#[utoipa::path(delete, path = "/api/v1/mappings/partners/{partner}", tag = "mappings",
    params(("partner" = String, Path)), responses((status = 204)))]
pub async fn remove_partner_mapping(
    State(state): State<Arc<ConsoleState>>,
    Extension(caller): Extension<ApiCaller>,
    ApiPath(partner): ApiPath<String>,
    headers: HeaderMap,
) -> ApiResult {
    change_mapping(&state, (&headers, &caller), MappingKey::Partner(partner), MappingChange::Remove).await
}

/// Lists the mappings of items.
#[utoipa::path(get, path = "/api/v1/mappings/items", tag = "mappings", params(MappingListQuery),
    responses((status = 200, body = ItemMappingPage)))]
pub async fn send_item_mappings(
    State(state): State<Arc<ConsoleState>>,
    ApiQuery(query): ApiQuery<MappingListQuery>,
) -> ApiResult {
    send_page(&state, MappingTable::Items, &query).await
}

/// Adds or replaces the mapping of an item; partner, kind, value and unit name it.
#[utoipa::path(post, path = "/api/v1/mappings/items", tag = "mappings", request_body = ItemMappingBody,
    responses((status = 200, body = inline(ItemMappingRow)), (status = 201, body = inline(ItemMappingRow))))]
pub async fn save_item_mapping(
    State(state): State<Arc<ConsoleState>>,
    Extension(caller): Extension<ApiCaller>,
    headers: HeaderMap,
    ApiBody(body): ApiBody<ItemMappingBody>,
) -> ApiResult {
    let kind = body.kind.as_deref().unwrap_or("buyer");
    let kind = parse_item_kind(kind).map_err(|text| ApiError::bad_request(format!("kind: {text}")))?;
    let ItemMappingBody { partner, value, unit, item, item_unit, factor, .. } = body;
    let key = MappingKey::ItemNames {
        partner: partner.clone(),
        kind: kind.clone(),
        value: value.clone(),
        unit: unit.clone(),
    };
    let factor = factor.unwrap_or_else(|| "1".to_owned());
    let change = MappingChange::SaveItem(ItemMapping { partner, kind, value, unit, item, item_unit, factor });
    change_mapping(&state, (&headers, &caller), key, change).await
}

/// Returns the mapping of an item.
#[utoipa::path(get, path = "/api/v1/mappings/items/{id}", tag = "mappings", params(("id" = i64, Path)),
    responses((status = 200, body = inline(ItemMappingRow))))]
pub async fn send_item_mapping(State(state): State<Arc<ConsoleState>>, ApiPath(id): ApiPath<i64>) -> ApiResult {
    send_mapping(&state, MappingKey::Item(id)).await
}

/// Removes the mapping of an item; the order lines that it completed wait again.
#[utoipa::path(delete, path = "/api/v1/mappings/items/{id}", tag = "mappings", params(("id" = i64, Path)),
    responses((status = 204)))]
pub async fn remove_item_mapping(
    State(state): State<Arc<ConsoleState>>,
    Extension(caller): Extension<ApiCaller>,
    ApiPath(id): ApiPath<i64>,
    headers: HeaderMap,
) -> ApiResult {
    change_mapping(&state, (&headers, &caller), MappingKey::Item(id), MappingChange::Remove).await
}
