//! `/api/v1/audit`: the audit trail, and the check of its hash chain.

use crate::console::ConsoleState;
use crate::console::api::problem::{ApiError, ApiResult};
use crate::console::api::query::{ApiQuery, clamp_limit, parse_time};
use crate::store::StoreError;
use crate::store::audit::audit_lists::{AuditFilter, list_audit_page};
use crate::store::audit::system_log::{AuditRecord, AuditVerification, verify_stored_chain};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Most checks of the chain at once: each reads every row.
static VERIFICATIONS: Semaphore = Semaphore::const_new(1);

/// Filter and page of a list of rows.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditListQuery {
    /// Name or Keycloak id of the user; name of a token
    user: Option<String>,
    /// Type; * matches anything: `LOGIN*`
    r#type: Option<String>,
    /// Realm of Keycloak
    realm: Option<String>,
    /// IP address
    address: Option<String>,
    /// This time or later (RFC 3339)
    since: Option<String>,
    /// Before this time (RFC 3339)
    until: Option<String>,
    /// Only rows with a lower id: `next` of the page before
    before: Option<i64>,
    /// Rows of the page, at most 1,000 [default: 100]
    limit: Option<u32>,
}

/// A page of rows of the audit trail, the newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AuditRowPage {
    rows: Vec<AuditRecord>,
    /// Value of `before` for the next page; null on the last one.
    next: Option<i64>,
}

/// Lists rows of the audit trail, the newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(AuditListQuery),
    responses((status = 200, body = AuditRowPage)))]
pub async fn send_audit_rows(
    State(state): State<Arc<ConsoleState>>,
    ApiQuery(query): ApiQuery<AuditListQuery>,
) -> ApiResult {
    let (before, limit) = (query.before, clamp_limit(query.limit));
    let filter = AuditFilter {
        since: parse_time("since", query.since.as_ref())?,
        until: parse_time("until", query.until.as_ref())?,
        user: query.user,
        kind: query.r#type,
        realm: query.realm,
        address: query.address,
    };
    let page = state.read(move |connection| list_audit_page(connection, &filter, before, limit)).await?;
    Ok(Json(AuditRowPage { rows: page.records, next: page.next }).into_response())
}

/// Checks the hash chain of the whole audit trail, as `audit verify` does.
#[utoipa::path(get, path = "/api/v1/audit/verification", tag = "audit",
    responses((status = 200, body = AuditVerification)))]
pub async fn send_audit_verification(State(state): State<Arc<ConsoleState>>) -> ApiResult {
    let Ok(_turn) = VERIFICATIONS.try_acquire() else {
        let text = "another check of the audit trail runs: try again later";
        return Err(ApiError::Refused(StatusCode::SERVICE_UNAVAILABLE, text.to_owned()));
    };
    let reader = state.reader.clone();
    let check = tokio::task::spawn_blocking(move || verify_stored_chain(&reader)).await;
    let verification = check.unwrap_or(Err(StoreError::ShuttingDown))?;
    Ok(Json(verification).into_response())
}
