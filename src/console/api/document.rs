//! `/api/v1/openapi.json`: the description of the API (OpenAPI 3.1), which comes from the functions of its routes.
//!
//! The schemas of ERP rows come from `schema.sql`. What all routes share is added here: the token with its scope, the
//! form of errors, and entity tags.

use crate::console::api::problem::{ApiResult, PROBLEM_TYPE, Problem};
use crate::console::api::routes::list_api_routes;
use crate::console::api::{
    alerts, audit, destinations, event_actions, events, mappings, orders, polls, rejections, stats,
};
use crate::console::router::RouteAccess;
use crate::store::StoreError;
use crate::store::erp::api_lists::{TableDescription, describe_tables};
use crate::store::erp::event_rows::list_row_tables;
use axum::http::Method;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::IntoResponse;
use std::collections::BTreeSet;
use std::sync::OnceLock;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, KnownFormat, ObjectBuilder, Ref, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, ContentBuilder, HeaderBuilder, OpenApi, PathItem, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi as BuildOpenApi, PartialSchema, ToSchema};

/// Name of the scheme of tokens.
const TOKEN_SCHEME: &str = "token";

#[derive(BuildOpenApi)]
#[openapi(
    info(
        title = "novex-ingest",
        description = "Events of shops, carriers and retailers, and the rows that they became. Each list pages by key: \
                       send `next` as `before` or `after`. Every error is a problem of RFC 9457. Every answer to a GET \
                       has a strong ETag; HEAD works wherever GET does."
    ),
    servers((url = "/")),
    components(schemas(Problem)),
    modifiers(&CommonParts),
    paths(
        send_document,
        stats::send_stats,
        events::send_events,
        events::send_changes,
        events::send_event,
        events::send_event_body,
        events::send_event_rows,
        event_actions::retry_event,
        event_actions::dismiss_event,
        rejections::send_rejections,
        orders::send_orders,
        orders::send_order,
        orders::send_purchase_orders,
        orders::send_purchase_order,
        orders::send_shipments,
        orders::send_shipment,
        mappings::send_product_mappings,
        mappings::send_variant_mapping,
        mappings::save_variant_mapping,
        mappings::remove_variant_mapping,
        mappings::send_sku_mapping,
        mappings::save_sku_mapping,
        mappings::remove_sku_mapping,
        mappings::send_partner_mappings,
        mappings::send_partner_mapping,
        mappings::save_partner_mapping,
        mappings::remove_partner_mapping,
        mappings::send_item_mappings,
        mappings::save_item_mapping,
        mappings::send_item_mapping,
        mappings::remove_item_mapping,
        destinations::send_destinations,
        destinations::send_destination,
        destinations::pause_destination,
        destinations::resume_destination,
        destinations::test_destination,
        polls::send_polls,
        polls::start_poll,
        audit::send_audit_rows,
        audit::send_audit_verification,
        alerts::send_alerts,
    )
)]
struct ApiDocument;

/// Sends this description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "description",
    responses((status = 200, body = Object)))]
pub async fn send_document() -> ApiResult {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = if let Some(text) = TEXT.get() {
        text
    } else {
        let text = build_document()?.to_json().unwrap_or_default();
        TEXT.get_or_init(|| text)
    };
    let json = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, json)], text.as_str()).into_response())
}

fn build_document() -> Result<OpenApi, StoreError> {
    let mut document = ApiDocument::openapi();
    let tables = describe_tables()?;
    let names = list_row_tables();
    let components = document.components.get_or_insert_with(|| ComponentsBuilder::new().build());
    let is_shown = |name: &str| names.contains(name) || MAPPING_TABLES.contains(&name);
    for table in tables.iter().filter(|table| is_shown(&table.name)) {
        components.schemas.insert(name_row_schema(&table.name), build_row_schema(table).into());
    }
    components.schemas.insert(ERP_ROWS_SCHEMA.to_owned(), build_rows_schema(&names).into());
    Ok(document)
}

/// Tables of mappings, which have lists of their own.
const MAPPING_TABLES: [&str; 3] = ["shopify_product_mappings", "sps_partner_mappings", "sps_item_mappings"];

/// Name of the schema of rows of several tables.
const ERP_ROWS_SCHEMA: &str = "ErpRows";

/// Returns the name of the schema of a table's rows: `SalesOrdersRow`.
fn name_row_schema(table: &str) -> String {
    let capitalize = |word: &str| word[..1].to_uppercase() + &word[1..];
    table.split('_').map(capitalize).collect::<String>() + "Row"
}

fn build_row_schema(table: &TableDescription) -> Schema {
    let description = format!("A row of the table `{}`, which schema.sql explains.", table.name);
    let mut row = ObjectBuilder::new().description(Some(description));
    for column in &table.columns {
        let kind = if column.is_integer { Type::Integer } else { Type::String };
        let kind = if column.is_nullable { SchemaType::Array(vec![kind, Type::Null]) } else { SchemaType::Type(kind) };
        let format = column.is_integer.then_some(SchemaFormat::KnownFormat(KnownFormat::Int64));
        row = row.property(&column.name, ObjectBuilder::new().schema_type(kind).format(format)).required(&column.name);
    }
    row.into()
}

/// Returns the schema of an object with the rows of several tables.
fn build_rows_schema(tables: &BTreeSet<&'static str>) -> Schema {
    let description = "The rows of each table that the entity leads to.";
    let rows = ObjectBuilder::new().description(Some(description));
    tables.iter().fold(rows, |rows, table| rows.property(*table, build_row_list_schema(table))).into()
}

/// Returns the schema of a list of a table's rows.
pub(super) fn build_row_list_schema(table: &str) -> Schema {
    ArrayBuilder::new().items(Ref::from_schema_name(name_row_schema(table))).build().into()
}

/// An entity as its rows in all tables.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the store writes this document as text")]
pub struct ErpRowsDocument {
    #[schema(schema_with = refer_to_erp_rows)]
    rows: (),
}

/// The rows of an event, as a destination with `payload = "rows"` gets them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the store writes this document as text")]
pub struct EventRowsDocument {
    event: RowsEvent,
    /// When the rows were read.
    read_at: String,
    #[schema(schema_with = refer_to_erp_rows)]
    rows: (),
    /// Entities that were deleted at the provider; their rows stay.
    deleted: Vec<DeletedRow>,
    /// Subjects whose personal data was erased.
    redacted: Vec<RedactedSubject>,
}

/// The event of a document of rows.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the store writes this document as text")]
struct RowsEvent {
    id: i64,
    source: String,
    shop_domain: String,
    topic: String,
    webhook_id: String,
    provider_event_id: Option<String>,
    triggered_at: Option<String>,
    received_at: String,
}

/// An entity that was deleted at the provider.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the store writes this document as text")]
struct DeletedRow {
    table: String,
    #[schema(schema_with = build_any_object_schema)]
    key: (),
    deleted_at: String,
}

/// A subject whose personal data was erased.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the store writes this document as text")]
struct RedactedSubject {
    kind: String,
    key: String,
    redacted_at: String,
}

/// Returns the schema of a table's row by its name.
pub(super) fn refer_to_row(table: &str) -> RefOr<Schema> {
    Ref::from_schema_name(name_row_schema(table)).into()
}

fn refer_to_erp_rows() -> RefOr<Schema> {
    Ref::from_schema_name(ERP_ROWS_SCHEMA).into()
}

fn build_any_object_schema() -> Schema {
    ObjectBuilder::new().additional_properties(Some(AdditionalProperties::FreeForm(true))).into()
}

/// Bytes as they were received.
pub struct ReceivedBytes;

impl PartialSchema for ReceivedBytes {
    fn schema() -> RefOr<Schema> {
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new().schema_type(Type::String).format(Some(binary)).into()
    }
}

impl ToSchema for ReceivedBytes {}

/// Adds what all routes share.
struct CommonParts;

impl Modify for CommonParts {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "A token of `novex-ingest tokens create erp --scope read`; the requirement of each operation names the scope",
        ));
        let components = document.components.get_or_insert_with(|| ComponentsBuilder::new().build());
        components.add_security_scheme(TOKEN_SCHEME, SecurityScheme::Http(scheme.build()));
        for route in list_api_routes() {
            let Some(item) = document.paths.paths.get_mut(route.path) else { continue };
            let Some(operation) = find_operation(item, &route.method) else { continue };
            if let RouteAccess::Program(scope) = route.access {
                let requirement = SecurityRequirement::new(TOKEN_SCHEME, [scope.as_str()]);
                operation.security = Some(vec![requirement]);
            }
            if route.method == Method::GET {
                add_entity_tag(operation);
            }
            let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let errors = ResponseBuilder::new().description("Every error").content(PROBLEM_TYPE, problem).build();
            operation.responses.responses.insert("default".to_owned(), errors.into());
        }
    }
}

fn find_operation<'i>(item: &'i mut PathItem, method: &Method) -> Option<&'i mut Operation> {
    match *method {
        Method::GET => item.get.as_mut(),
        Method::POST => item.post.as_mut(),
        Method::PUT => item.put.as_mut(),
        Method::DELETE => item.delete.as_mut(),
        _ => None,
    }
}

fn add_entity_tag(operation: &mut Operation) {
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200") {
        let header = HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String))).build();
        response.headers.insert("ETag".to_owned(), header.into());
    }
    let unchanged = ResponseBuilder::new().description("If-None-Match names the current ETag").build();
    operation.responses.responses.insert("304".to_owned(), unchanged.into());
}
