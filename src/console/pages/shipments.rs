//! `/shipments` and `/shipments/{code}`: packages with their scans.

use crate::console::ConsoleState;
use crate::console::components::{build_next_link, build_select};
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_page, build_status, build_time};
use crate::console::pages::{show_refusal, show_store_error};
use crate::console::paths::{build_order_path, build_shipment_path};
use crate::console::reveals::PersonalView;
use crate::store::erp::shipment_views::{
    ScanView, ShipmentFilter, ShipmentSummary, find_shipments, list_scans, list_shipments,
};
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

/// Rows of a page.
const PAGE_ROWS: u32 = 50;
/// Status values that EasyPost documents for trackers (docs.easypost.com, Tracker Object).
const STATUS_VALUES: [&str; 10] = [
    "unknown",
    "pre_transit",
    "in_transit",
    "out_for_delivery",
    "delivered",
    "available_for_pickup",
    "return_to_sender",
    "failure",
    "cancelled",
    "error",
];

/// The filter in the address of the page.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ShipmentsQuery {
    q: String,
    status: String,
    /// The last row of the page before.
    before: Option<i64>,
}

/// Shows a page of shipments.
pub async fn show_shipments(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Query(query): Query<ShipmentsQuery>,
) -> Response {
    let filter = ShipmentFilter { status: query.status.clone(), text: query.q.clone() };
    let before = query.before.unwrap_or(i64::MAX);
    let read = state.read(move |connection| list_shipments(connection, &filter, before, PAGE_ROWS + 1));
    let mut shipments = match read.await {
        Ok(shipments) => shipments,
        Err(error) => return show_store_error(&error),
    };
    let has_more = shipments.len() > PAGE_ROWS as usize;
    shipments.truncate(PAGE_ROWS as usize);
    let values = STATUS_VALUES.map(str::to_owned);
    let content = html! {
        h1 { "Shipments" }
        form method="get" action="/shipments" class="filter" role="search" {
            label { "Search " input type="search" name="q" value=(query.q) placeholder="tracking code, order"; }
            (build_select("status", "Status", &query.status, &values))
            button type="submit" { "Show" }
        }
        @if shipments.is_empty() { p { "No shipments match." } } @else { (build_shipment_table(&shipments)) }
        @if let Some(last) = shipments.last().filter(|_| has_more) {
            (build_next_link("Older shipments", "/shipments", &[("q", &query.q), ("status", &query.status)], &last.row_id.to_string()))
        }
    };
    build_page("Shipments", "/shipments", &user, &content).into_response()
}

/// Returns the table of shipments.
#[must_use]
pub fn build_shipment_table(shipments: &[ShipmentSummary]) -> Markup {
    html! {
        div class="scroll" tabindex="0" {
            table {
                thead {
                    tr {
                        th scope="col" { "Tracking code" } th scope="col" { "Carrier" } th scope="col" { "State" }
                        th scope="col" { "Last scan" } th scope="col" { "Order" }
                    }
                }
                tbody {
                    @for shipment in shipments {
                        tr {
                            th scope="row" { (build_code_link(shipment)) }
                            td { (shipment.carrier.as_deref().unwrap_or_default()) }
                            td { (build_state(shipment)) }
                            td { @if let Some(at) = &shipment.last_scan_at { (build_time(at)) } }
                            td { (build_order_link(shipment)) }
                        }
                    }
                }
            }
        }
    }
}

fn build_code_link(shipment: &ShipmentSummary) -> Markup {
    html! {
        @if let Some(code) = &shipment.tracking_code {
            a href=(build_shipment_path(code)) { (code) }
        } @else { (shipment.tracker_id) }
    }
}

fn build_state(shipment: &ShipmentSummary) -> Markup {
    html! {
        (build_status(shipment.status.as_deref().unwrap_or("unknown")))
        @if shipment.mode != "production" { " " (shipment.mode) }
        @if shipment.is_return { " on the way back" }
    }
}

fn build_order_link(shipment: &ShipmentSummary) -> Markup {
    let order = shipment.shop_domain.as_ref().zip(shipment.order_id);
    html! {
        @if let Some((shop, order_id)) = order {
            a href=(build_order_path(shop, order_id)) {
                (shipment.order_name.clone().unwrap_or_else(|| order_id.to_string()))
            }
        } @else { "none" }
    }
}

/// Shows the shipments with a tracking code, each with its scans.
pub async fn show_shipment(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(code): Path<String>,
) -> Response {
    let path = build_shipment_path(&code);
    let read = state.read(move |connection| {
        let mut found = Vec::new();
        for shipment in find_shipments(connection, &code)? {
            let scans = list_scans(connection, &shipment.mode, &shipment.tracker_id)?;
            found.push((shipment, scans));
        }
        Ok(found)
    });
    let found = match read.await {
        Ok(found) => found,
        Err(error) => return show_store_error(&error),
    };
    let Some((first, _)) = found.first() else {
        return show_refusal(StatusCode::NOT_FOUND, "There is no shipment with this tracking code.");
    };
    let code = first.tracking_code.clone().unwrap_or_default();
    let personal = PersonalView::of(&state, &user, &path);
    let content = html! {
        h1 { "Shipment " (code) }
        @if found.len() > 1 { p class="notice" { "Carriers reuse codes: " (found.len()) " shipments have this one." } }
        @if found.iter().any(|(shipment, _)| shipment.signed_by.is_some()) { (personal.build_button(&user)) }
        @for (shipment, scans) in &found { (build_shipment(shipment, scans, &personal)) }
    };
    build_page(&format!("Shipment {code}"), "/shipments", &user, &content).into_response()
}

fn build_shipment(shipment: &ShipmentSummary, scans: &[ScanView], personal: &PersonalView) -> Markup {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let fields = [
        ("Carrier", html! { (text(&shipment.carrier)) " " (text(&shipment.service)) }),
        ("Details", html! { (text(&shipment.status_detail)) }),
        (
            "Order",
            html! {
                (build_order_link(shipment))
                @if let Some(by) = &shipment.linked_by { " (found by " (by.replace('_', " ")) ")" }
            },
        ),
        ("Expected", html! { @if let Some(at) = &shipment.est_delivery_date { (build_time(at)) } }),
        ("Signed by", personal.show(shipment.signed_by.as_deref().unwrap_or_default())),
        ("Last change", html! { @if let Some(at) = &shipment.updated_at { (build_time(at)) } }),
        ("Event", html! { a href={ "/events/" (shipment.event_id) } { "event " (shipment.event_id) } }),
    ];
    html! {
        section class="card" {
            h2 { (shipment.tracker_id) " " (build_state(shipment)) }
            dl class="fields" { @for (label, value) in &fields { dt { (label) } dd { (value) } } }
            @if let Some(url) = shipment.public_url.as_ref().filter(|url| url.starts_with("https://")) {
                p { a href=(url) rel="noreferrer" { "Page of the carrier" } }
            }
            h3 { "Scans" }
            @if scans.is_empty() { p { "No scan is known." } }
            ol class="trail" { @for scan in scans { (build_scan(scan)) } }
        }
    }
}

fn build_scan(scan: &ScanView) -> Markup {
    html! {
        li {
            @match scan.time_certainty.as_str() {
                "exact" => (build_time(&scan.at)),
                "date" => { (scan.at.get(..10).unwrap_or(&scan.at)) " " span class="status" { "only the day is known" } },
                "no_zone" => { (build_time(&scan.at)) " " span class="status" { "no time zone: up to 14 hours off" } },
                _ => { span class="status" { "no time that can be read" } " " (scan.unread_time) },
            }
            " " (build_status(&scan.status))
            @for text in [&scan.message, &scan.place].into_iter().filter(|text| !text.is_empty()) { ", " (text) }
            @for text in [&scan.description, &scan.status_detail].into_iter().filter(|text| !text.is_empty()) {
                p class="text" { (text) }
            }
        }
    }
}
