//! `/audit`: the audit trail with its filter, and the check of its hash chain.

use crate::access::Role;
use crate::clock::format_timestamp;
use crate::console::ConsoleState;
use crate::console::components::{build_action, build_input, build_next_link, build_notice};
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_page, build_time};
use crate::console::pages::{redirect_to, show_store_error};
use crate::console::reveals::PersonalView;
use crate::presentation::times::{TimeFormat, parse_time_arg};
use crate::store::audit::audit_lists::{AuditFilter, AuditPage, list_audit_page};
use crate::store::audit::system_log::{AuditRecord, AuditVerification, verify_stored_chain};
use crate::text::format_count;
use axum::Extension;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

const PATH: &str = "/audit";
/// Rows of a page.
const PAGE_ROWS: u32 = 100;

/// The filter in the address of the page.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AuditQuery {
    /// A glob: `LOGIN*`.
    r#type: String,
    user: String,
    realm: String,
    address: String,
    since: String,
    until: String,
    /// Only rows with a lower id: the last one of the page before.
    before: Option<i64>,
}

impl AuditQuery {
    /// Returns the filter.
    ///
    /// # Errors
    /// The message about a time that cannot be read.
    fn to_filter(&self) -> Result<AuditFilter, String> {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let times = TimeFormat::detect(true);
        let time = |value: &str| {
            let parsed = text(value).map(|value| parse_time_arg(&value)).transpose();
            Ok::<_, String>(parsed?.map(|value| value.resolve(&times)))
        };
        Ok(AuditFilter {
            user: text(&self.user),
            kind: text(&self.r#type),
            realm: text(&self.realm),
            address: text(&self.address),
            since: time(&self.since)?,
            until: time(&self.until)?,
        })
    }

    /// Returns the fields that the links of the page keep.
    fn list_fields(&self) -> [(&'static str, &str); 6] {
        [
            ("type", &self.r#type),
            ("user", &self.user),
            ("realm", &self.realm),
            ("address", &self.address),
            ("since", &self.since),
            ("until", &self.until),
        ]
    }
}

/// Shows a page of the audit trail.
pub async fn show_audit_trail(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Query(query): Query<AuditQuery>,
) -> Response {
    let (filter, error) = match query.to_filter() {
        Ok(filter) => (filter, None),
        Err(error) => (AuditFilter::default(), Some(error)),
    };
    let before = query.before;
    let read = state.read(move |connection| list_audit_page(connection, &filter, before, PAGE_ROWS));
    let AuditPage { records, next } = match read.await {
        Ok(page) => page,
        Err(error) => return show_store_error(&error),
    };
    let personal = PersonalView::of(&state, &user, PATH);
    let content = html! {
        h1 { "Audit trail" }
        (build_verification(&state, &user))
        form method="get" action=(PATH) class="filter" role="search" {
            (build_input("type", "Type", &query.r#type, "LOGIN*"))
            (build_input("user", "User", &query.user, ""))
            (build_input("realm", "Realm", &query.realm, ""))
            (build_input("address", "Address", &query.address, ""))
            (build_input("since", "Since (UTC)", &query.since, "2026-11-23 20:30"))
            (build_input("until", "Before (UTC)", &query.until, "2h"))
            button type="submit" { "Show" }
        }
        @if let Some(error) = &error { (build_notice(false, error)) }
        (personal.build_button(&user))
        (build_table(&records, &personal))
        @if records.is_empty() { p { "No rows match" @if next.is_some() { " in this part of the trail" } "." } }
        @if let Some(next) = next { (build_next_link("Older rows", PATH, &query.list_fields(), &next.to_string())) }
    };
    build_page("Audit trail", PATH, &user, &content).into_response()
}

fn build_table(records: &[AuditRecord], personal: &PersonalView) -> Markup {
    html! {
        div class="scroll" tabindex="0" {
            table {
                thead {
                    tr {
                        th scope="col" class="number" { "Id" } th scope="col" { "At" } th scope="col" { "Type" }
                        th scope="col" { "Realm" } th scope="col" { "User" } th scope="col" { "Address" }
                        th scope="col" { "Client" } th scope="col" { "Resource" } th scope="col" { "Result" }
                    }
                }
                tbody { @for record in records { (build_row(record, personal)) } }
            }
        }
    }
}

fn build_row(record: &AuditRecord, personal: &PersonalView) -> Markup {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    // Keycloak's users can be customers; those of the console are colleagues.
    let show = |value: &str| {
        if record.event_id.is_some() {
            personal.show(value)
        } else {
            html! { (value) }
        }
    };
    html! {
        tr {
            th scope="row" class="number" { (record.id) }
            td { (build_time(&record.at)) }
            td {
                @if let Some(event) = record.event_id { a href={ "/events/" (event) } { (record.r#type) } }
                @else { (record.r#type) }
            }
            td { (text(&record.realm)) }
            td { (show(record.username.as_deref().or(record.user_id.as_deref()).unwrap_or_default())) }
            td { (show(record.ip_address.as_deref().unwrap_or_default())) }
            td { (text(&record.client_id)) }
            td class="text" { (record.resource_path.as_deref().or(record.resource.as_deref()).unwrap_or_default()) }
            td { (record.error.as_deref().unwrap_or(&record.result)) }
        }
    }
}

/// Checks the hash chain in the background, as `audit verify` does.
pub async fn verify_audit_trail(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
) -> Response {
    if !state.audit_check.begin(state.store.clock.now()) {
        return redirect_to(PATH);
    }
    let recorded = state.store.record_action(user.to_actor(), ("AUDIT", "VERIFY"), "system_log".to_owned(), None).await;
    if let Err(error) = recorded {
        state.audit_check.finish(Err(error.to_string()), state.store.clock.now());
        return show_store_error(&error);
    }
    drop(tokio::task::spawn_blocking(move || {
        let result = verify_stored_chain(&state.reader).map_err(|error| error.to_string());
        state.audit_check.finish(result, state.store.clock.now());
    }));
    redirect_to(PATH)
}

fn build_verification(state: &ConsoleState, user: &CurrentUser) -> Markup {
    let run = state.audit_check.last();
    let is_running = run.as_ref().is_some_and(|run| run.end.is_none());
    html! {
        section aria-label="Check of the hash chain" {
            @if let Some(run) = &run {
                @match &run.end {
                    None => {
                        p role="status" {
                            "The check runs since " (build_time(&format_timestamp(run.started_at)))
                            ". Open this page again to see the result."
                        }
                    }
                    Some((at, Err(error))) => {
                        (build_notice(false, error)) p { "At " (build_time(&format_timestamp(*at))) "." }
                    }
                    Some((at, Ok(verification))) => {
                        (build_result(verification)) p { "Checked at " (build_time(&format_timestamp(*at))) "." }
                    }
                }
            }
            @if !is_running && user.has_role(Role::Operator) {
                (build_action(user, "/audit/verify", "Check the hash chain", &[]))
            }
        }
    }
}

fn build_result(verification: &AuditVerification) -> Markup {
    if let Some(broken) = &verification.broken {
        let rows = format_count(verification.rows, "row before it is", "rows before it are");
        return build_notice(
            false,
            &format!(
                "Row {} {}. {rows} unchanged. The trail is no longer proof: compare it with a backup.",
                broken.id, broken.problem
            ),
        );
    }
    html! {
        @if let (Some(first), Some(last), Some(hash)) =
            (verification.first_id, verification.last_id, &verification.last_hash) {
            p class="notice" role="status" {
                "Rows " (first) " to " (last) " are unchanged. Store the last hash elsewhere: only it shows that rows at \
                 the end were removed. " code class="text" { (hash) }
            }
        } @else { (build_notice(true, "The trail is empty.")) }
    }
}
