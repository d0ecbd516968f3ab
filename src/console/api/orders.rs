//! `/api/v1/orders`, `/purchase-orders` and `/shipments`: rows of the ERP tables in place of SQL.

use crate::console::ConsoleState;
use crate::console::api::document::{ErpRowsDocument, build_row_list_schema};
use crate::console::api::paging::{decode_mark, encode_mark, find_next};
use crate::console::api::problem::{ApiError, ApiResult};
use crate::console::api::query::{ApiPath, ApiQuery, clamp_limit, parse_time};
use crate::store::StoreError;
use crate::store::erp::api_lists::{
    ErpRow, OrderFilter, PurchaseOrderSelection, ShipmentRowFilter, list_order_rows, list_purchase_order_rows,
    list_shipment_rows,
};
use crate::store::erp::event_rows::{read_purchase_order_rows, read_subject_rows};
use crate::store::erp::event_subjects::EventSubject;
use crate::text::normalize_tracking_code;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::IntoResponse;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::openapi::schema::Schema;

/// Most bytes of the rows of one entity.
const ROWS_BYTES_MAX: usize = 8 << 20;

/// Filter and page of a list of sales orders.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrderListQuery {
    /// Domain of the shop
    shop: Option<String>,
    /// Number that people see, with or without #
    name: Option<String>,
    /// true: only orders that a person must look at
    attention: Option<bool>,
    /// Changed at the provider at this time or later (RFC 3339)
    updated_since: Option<String>,
    /// `next` of the page before
    after: Option<String>,
    /// Rows of the page, at most 1,000 [default: 100]
    limit: Option<u32>,
}

/// A page of sales orders.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct OrderPage {
    #[schema(schema_with = build_order_list_schema)]
    orders: Vec<ErpRow>,
    /// Value of `after` for the next page; null on the last one.
    next: Option<String>,
}

fn build_order_list_schema() -> Schema {
    build_row_list_schema("sales_orders")
}

/// Lists sales orders.
#[utoipa::path(get, path = "/api/v1/orders", tag = "orders", params(OrderListQuery),
    responses((status = 200, body = OrderPage)))]
pub async fn send_orders(
    State(state): State<Arc<ConsoleState>>,
    ApiQuery(query): ApiQuery<OrderListQuery>,
) -> ApiResult {
    let (after, limit) = (decode_mark(query.after.as_ref())?, clamp_limit(query.limit));
    let filter = OrderFilter {
        updated_since: parse_time("updated_since", query.updated_since.as_ref())?,
        shop: query.shop,
        name: query.name,
        attention_only: query.attention.unwrap_or(false),
    };
    let orders = state.read(move |connection| list_order_rows(connection, &filter, after, limit)).await?;
    let next = find_next(&orders, limit, |row| encode_mark(&(&row["shop_domain"], &row["order_id"])));
    Ok(Json(OrderPage { orders, next }).into_response())
}

/// Returns a sales order with its lines, payments, refunds, fulfillments and shipments.
#[utoipa::path(get, path = "/api/v1/orders/{shop}/{order_id}", tag = "orders",
    params(("shop" = String, Path, description = "Domain of the shop"), ("order_id" = i64, Path, description = "Id")),
    responses((status = 200, body = ErpRowsDocument)))]
pub async fn send_order(
    State(state): State<Arc<ConsoleState>>,
    ApiPath((shop, order_id)): ApiPath<(String, i64)>,
) -> ApiResult {
    let text = format!("there is no order {order_id} of {shop}");
    let subject = EventSubject { kind: "order".to_owned(), key: order_id.to_string(), shop_domain: shop };
    send_rows(&state, "sales_orders", text, move |connection| read_subject_rows(connection, &subject, ROWS_BYTES_MAX))
        .await
}

/// Filter and page of a list of purchase orders.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PurchaseOrderListQuery {
    /// Partner
    partner: Option<String>,
    /// Number of the retailer
    number: Option<String>,
    /// open, cancelled or waiting
    status: Option<String>,
    /// true: only orders that a person must look at, and orders of a partner without a customer
    attention: Option<bool>,
    /// `next` of the page before
    after: Option<String>,
    /// Rows of the page, at most 1,000 [default: 100]
    limit: Option<u32>,
}

/// A page of purchase orders.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PurchaseOrderRowPage {
    #[schema(schema_with = build_purchase_order_list_schema)]
    purchase_orders: Vec<ErpRow>,
    /// Value of `after` for the next page; null on the last one.
    next: Option<String>,
}

fn build_purchase_order_list_schema() -> Schema {
    build_row_list_schema("purchase_orders")
}

/// Lists purchase orders of retailers.
#[utoipa::path(get, path = "/api/v1/purchase-orders", tag = "orders", params(PurchaseOrderListQuery),
    responses((status = 200, body = PurchaseOrderRowPage)))]
pub async fn send_purchase_orders(
    State(state): State<Arc<ConsoleState>>,
    ApiQuery(query): ApiQuery<PurchaseOrderListQuery>,
) -> ApiResult {
    let (after, limit) = (decode_mark(query.after.as_ref())?, clamp_limit(query.limit));
    if query.status.as_deref().is_some_and(|status| !["open", "cancelled", "waiting"].contains(&status)) {
        return Err(ApiError::bad_request("status is open, cancelled or waiting"));
    }
    let selection = PurchaseOrderSelection {
        partner: query.partner,
        number: query.number,
        status: query.status,
        attention_only: query.attention.unwrap_or(false),
    };
    let read = state.read(move |connection| list_purchase_order_rows(connection, &selection, after, limit));
    let purchase_orders = read.await?;
    let next =
        find_next(&purchase_orders, limit, |row| encode_mark(&(&row["partner"], &row["po_number"], &row["release"])));
    Ok(Json(PurchaseOrderRowPage { purchase_orders, next }).into_response())
}

/// Returns a purchase order, each release of it, with its lines, parts, extras and changes.
#[utoipa::path(get, path = "/api/v1/purchase-orders/{partner}/{number}", tag = "orders",
    params(("partner" = String, Path, description = "Partner"), ("number" = String, Path, description = "Number")),
    responses((status = 200, body = ErpRowsDocument)))]
pub async fn send_purchase_order(
    State(state): State<Arc<ConsoleState>>,
    ApiPath((partner, number)): ApiPath<(String, String)>,
) -> ApiResult {
    let text = format!("there is no purchase order {number} of {partner}");
    send_rows(&state, "purchase_orders", text, move |connection| {
        read_purchase_order_rows(connection, &partner, &number, ROWS_BYTES_MAX)
    })
    .await
}

/// Filter and page of a list of shipments.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ShipmentListQuery {
    /// Tracking code; blanks, hyphens and case do not count
    code: Option<String>,
    /// `pre_transit`, `in_transit`, `delivered` …
    status: Option<String>,
    /// Domain of the shop of the order
    shop: Option<String>,
    /// Id of the order
    order_id: Option<i64>,
    /// `next` of the page before
    after: Option<String>,
    /// Rows of the page, at most 1,000 [default: 100]
    limit: Option<u32>,
}

/// A page of shipments.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ShipmentPage {
    #[schema(schema_with = build_shipment_list_schema)]
    shipments: Vec<ErpRow>,
    /// Value of `after` for the next page; null on the last one.
    next: Option<String>,
}

fn build_shipment_list_schema() -> Schema {
    build_row_list_schema("shipments")
}

/// Lists shipments.
#[utoipa::path(get, path = "/api/v1/shipments", tag = "orders", params(ShipmentListQuery),
    responses((status = 200, body = ShipmentPage)))]
pub async fn send_shipments(
    State(state): State<Arc<ConsoleState>>,
    ApiQuery(query): ApiQuery<ShipmentListQuery>,
) -> ApiResult {
    let (after, limit) = (decode_mark(query.after.as_ref())?, clamp_limit(query.limit));
    let filter =
        ShipmentRowFilter { code: query.code, status: query.status, shop: query.shop, order_id: query.order_id };
    let shipments = state.read(move |connection| list_shipment_rows(connection, &filter, after, limit)).await?;
    let next = find_next(&shipments, limit, |row| encode_mark(&(&row["mode"], &row["tracker_id"])));
    Ok(Json(ShipmentPage { shipments, next }).into_response())
}

/// Returns the shipments with a tracking code and their scans.
#[utoipa::path(get, path = "/api/v1/shipments/{code}", tag = "orders",
    params(("code" = String, Path, description = "Tracking code; blanks, hyphens and case do not count")),
    responses((status = 200, body = ErpRowsDocument)))]
pub async fn send_shipment(State(state): State<Arc<ConsoleState>>, ApiPath(code): ApiPath<String>) -> ApiResult {
    let text = format!("there is no shipment with the tracking code {code}");
    let key = normalize_tracking_code(&code);
    let subject = EventSubject { kind: "tracking_code".to_owned(), key, shop_domain: String::new() };
    send_rows(&state, "shipments", text, move |connection| read_subject_rows(connection, &subject, ROWS_BYTES_MAX))
        .await
}

/// Sends the rows of an entity, which exists if `main_table` has a row of it.
async fn send_rows(
    state: &Arc<ConsoleState>,
    main_table: &'static str,
    not_found: String,
    read: impl FnOnce(&Connection) -> Result<Option<String>, StoreError> + Send + 'static,
) -> ApiResult {
    let read = state.read(move |connection| {
        // One transaction, so that the rows are of one moment.
        let transaction = connection.unchecked_transaction()?;
        read(&transaction)
    });
    let Some(rows) = read.await? else {
        let text = format!("the rows have more than {} MiB: read them with SQL", ROWS_BYTES_MAX >> 20);
        return Err(ApiError::Refused(StatusCode::PAYLOAD_TOO_LARGE, text));
    };
    if !rows.contains(&format!("\"{main_table}\":[{{")) {
        return Err(ApiError::not_found(not_found));
    }
    let json = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, json)], format!("{{\"rows\":{rows}}}")).into_response())
}
