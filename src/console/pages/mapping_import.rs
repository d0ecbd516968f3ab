//! The import of product mappings from a CSV file: a preview that writes nothing, then the import of what it showed.

use crate::console::ConsoleState;
use crate::console::form_parts::parse_form_parts;
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_csrf_field, build_page};
use crate::console::pages::{show_refusal, show_store_error};
use crate::console::router::FORM_BYTES_MAX;
use crate::spreadsheet::csv_text::LineError;
use crate::spreadsheet::mappings_csv::{MappingsFile, read_mappings_csv, write_mappings_csv};
use crate::store::erp::mapping_views::find_product_mapping;
use crate::store::erp::mapping_warnings::find_mapping_warnings;
use crate::store::erp::mappings::ProductMapping;
use crate::text::format_count;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use std::sync::Arc;

/// Most rows of each table of the preview.
const ROWS_MAX: usize = 500;
/// Most warnings about unknown shops and products.
const WARNINGS_MAX: usize = 20;
/// Bytes of the confirmation beside the mappings.
const FORM_RESERVE: usize = 4096;

/// Returns the form that begins an import.
#[must_use]
pub fn build_import_form(user: &CurrentUser) -> Markup {
    html! {
        section {
            h2 { "Import product mappings" }
            p { "The first line names the columns: shop_domain, variant_id, sku, item, factor, note. You see what changes before anything is saved." }
            form method="post" action="/mappings/import" enctype="multipart/form-data" {
                (build_csrf_field(user))
                p { label { "CSV file " input type="file" name="file" accept=".csv,.txt,text/csv"; } }
                p { label { "or its text, as copied from a spreadsheet" br; textarea name="csv" rows="6" cols="60" {} } }
                button type="submit" { "Preview" }
            }
        }
    }
}

/// Returns the bytes of the file, or of the text if there is no file.
fn find_csv_bytes(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some(parts) = parse_form_parts(content_type, body) {
        let find = |name: &str| parts.iter().find(|part| part.name == name && !part.content.is_empty());
        return find("file").or_else(|| find("csv")).map(|part| part.content.to_vec()).unwrap_or_default();
    }
    let text = form_urlencoded::parse(body).find(|(name, _)| name == "csv");
    text.map(|(_, text)| text.into_owned().into_bytes()).unwrap_or_default()
}

/// A mapping of the file with the stored one that it replaces.
struct PreviewRow {
    line: u64,
    mapping: ProductMapping,
    stored: Option<ProductMapping>,
}

/// Shows what an import would change, and saves nothing.
pub async fn preview_import(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let file = match read_mappings_csv(&find_csv_bytes(&headers, &body)) {
        Ok(file) => file,
        Err(errors) => return show_faults(&errors, &user),
    };
    let shops: Vec<String> = state.config.shopify.iter().map(|shop| shop.domain.clone()).collect();
    let MappingsFile { dialect, mappings, lines } = file;
    let Ok(text) = write_text(mappings.clone()) else {
        return show_refusal(StatusCode::INTERNAL_SERVER_ERROR, "The mappings cannot be written as CSV.");
    };
    let encoded = form_urlencoded::byte_serialize(text.as_bytes()).map(str::len).sum::<usize>();
    if encoded + FORM_RESERVE > FORM_BYTES_MAX {
        let text = "The file is too large for a form. Nothing was saved. Import it in parts, or with the command \
                    `novex-ingest mappings import FILE`.";
        return show_refusal(StatusCode::PAYLOAD_TOO_LARGE, text);
    }
    let read = state.read(move |connection| {
        let configured: Vec<&str> = shops.iter().map(String::as_str).collect();
        let warnings = find_mapping_warnings(connection, &configured, &mappings)?;
        let mut rows = Vec::new();
        for (mapping, line) in mappings.into_iter().zip(lines) {
            rows.push(PreviewRow { line, stored: find_product_mapping(connection, &mapping)?, mapping });
        }
        Ok((rows, warnings))
    });
    let (rows, warnings) = match read.await {
        Ok(found) => found,
        Err(error) => return show_store_error(&error),
    };
    let content = html! {
        h1 { "Preview of the import" }
        p { "Read as " (dialect.to_string()) ". Nothing is saved yet. An import never removes a mapping." }
        @if !warnings.is_empty() {
            ul class="notice" {
                @for warning in warnings.iter().take(WARNINGS_MAX) { li { (warning) } }
                @if warnings.len() > WARNINGS_MAX { li { (warnings.len() - WARNINGS_MAX) " more are not listed." } }
            }
        }
        (build_preview(&rows))
        form method="post" action="/mappings/import/confirm" {
            (build_csrf_field(&user))
            input type="hidden" name="csv" value=(text);
            button type="submit" { "Import " (format_count(rows.len(), "mapping", "mappings")) }
            " " a href="/mappings" { "Cancel" }
        }
    };
    build_page("Preview of the import", "/mappings", &user, &content).into_response()
}

fn write_text(mappings: Vec<ProductMapping>) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    write_mappings_csv(mappings, &mut bytes)?;
    Ok(String::from_utf8(bytes)?)
}

/// Returns the tables of added, changed and unchanged mappings.
fn build_preview(rows: &[PreviewRow]) -> Markup {
    let (stored, added): (Vec<&PreviewRow>, Vec<&PreviewRow>) = rows.iter().partition(|row| row.stored.is_some());
    let (same, changed): (Vec<&PreviewRow>, Vec<&PreviewRow>) =
        stored.into_iter().partition(|row| row.stored.as_ref() == Some(&row.mapping));
    html! {
        @for (title, rows) in [("Added", &added), ("Changed", &changed), ("Unchanged", &same)] {
            section {
                h2 { (title) ": " (rows.len()) }
                @if !rows.is_empty() { (build_preview_table(title, rows)) }
                @if rows.len() > ROWS_MAX { p { (rows.len() - ROWS_MAX) " more are not listed." } }
            }
        }
    }
}

fn build_preview_table(title: &str, rows: &[&PreviewRow]) -> Markup {
    let describe = |mapping: &ProductMapping| {
        let note = mapping.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
        format!("{} × {}{note}", mapping.item, mapping.factor)
    };
    html! {
        div class="scroll" tabindex="0" {
            table {
                caption { (title) " mappings" }
                thead {
                    tr {
                        th scope="col" class="number" { "Line" } th scope="col" { "Shop" } th scope="col" { "SKU or variant" }
                        th scope="col" { "Stored" } th scope="col" { "New" }
                    }
                }
                tbody {
                    @for row in rows.iter().take(ROWS_MAX) {
                        tr {
                            th scope="row" class="number" { (row.line) }
                            td { (row.mapping.shop_domain) }
                            td {
                                (row.mapping.sku.as_deref().unwrap_or_default())
                                @if let Some(variant) = row.mapping.variant_id { "variant " (variant) }
                            }
                            td { @if let Some(stored) = &row.stored { (describe(stored)) } }
                            td { (describe(&row.mapping)) }
                        }
                    }
                }
            }
        }
    }
}

/// Shows the errors of a file with their lines.
fn show_faults(errors: &[LineError], user: &CurrentUser) -> Response {
    let content = html! {
        h1 { "The file has errors" }
        p class="notice failed" role="alert" { "Nothing was imported. Fix these lines and import the file again." }
        ul class="findings" {
            @for error in errors.iter().take(ROWS_MAX) {
                li class="failed" { strong { "Line " (error.line) } " " (error.message) }
            }
        }
        @if errors.len() > ROWS_MAX { p { (errors.len() - ROWS_MAX) " more are not listed." } }
        (build_import_form(user))
    };
    (StatusCode::BAD_REQUEST, build_page("The file has errors", "/mappings", user, &content)).into_response()
}

/// Imports the mappings of a preview, as `mappings import` does.
pub async fn confirm_import(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let file = match read_mappings_csv(&find_csv_bytes(&headers, &body)) {
        Ok(file) => file,
        Err(errors) => return show_faults(&errors, &user),
    };
    let count = file.mappings.len();
    let (before, after) = match state.store.map_products(file.mappings, user.to_actor()).await {
        Ok(counts) => counts,
        Err(error) => return show_store_error(&error),
    };
    let content = html! {
        h1 { "Import" }
        p class="notice" role="status" {
            (format_count(count, "mapping", "mappings")) " saved; " (format_count(before - after, "order line", "order lines"))
            " completed, " (format_count(after, "still waits", "still wait")) "."
        }
        p { a href="/mappings" { "Back to the mappings" } }
    };
    build_page("Import", "/mappings", &user, &content).into_response()
}
