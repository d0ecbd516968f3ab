//! What operators do with single events: retry, dismiss, send again.

use crate::console::ConsoleState;
use crate::console::events_query::EventsQuery;
use crate::console::guard::CurrentUser;
use crate::console::pages::{redirect_to, show_refusal, show_store_error};
use crate::queue::process;
use crate::store::leases::dismissals::Dismissal;
use crate::text::parse_reason;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Form};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most events that one form retries.
const CHOSEN_EVENTS_MAX: usize = 500;

/// Gives an event new attempts, as `events retry` does.
pub async fn retry_event(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(id): Path<i64>,
) -> Response {
    let (attempts, worker) = (state.config.worker.max_attempts, process::identify_current_process().worker);
    match state.store.retry_events(vec![id], attempts, worker, user.to_actor()).await {
        Ok(retried) if retried.is_empty() => show_refusal(
            StatusCode::CONFLICT,
            "The event was not retried: it is in processing, has no body any more, or needs a decision on the page of \
             privacy requests.",
        ),
        Ok(_) => redirect_to(&format!("/events/{id}")),
        Err(error) => show_store_error(&error),
    }
}

/// Retries the events that a person chose in the list, and shows the same list again.
pub async fn retry_chosen(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    body: Bytes,
) -> Response {
    let fields: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
    let ids: Result<BTreeSet<i64>, _> =
        fields.iter().filter(|(name, _)| name == "id").map(|(_, value)| value.parse()).collect();
    let Some(ids) = ids.ok().filter(|ids| !ids.is_empty() && ids.len() <= CHOSEN_EVENTS_MAX) else {
        let text = "Choose the events first: each row of the list has a box. Nothing was done.";
        return show_refusal(StatusCode::BAD_REQUEST, text);
    };
    let chosen = ids.len();
    let (attempts, worker) = (state.config.worker.max_attempts, process::identify_current_process().worker);
    // The newest first, as the command retries them.
    let ids = ids.into_iter().rev().collect();
    let retried = match state.store.retry_events(ids, attempts, worker, user.to_actor()).await {
        Ok(retried) => retried.len(),
        Err(error) => return show_store_error(&error),
    };
    let filter: Vec<&(String, String)> = fields.iter().filter(|(name, _)| name != "id" && name != "csrf").collect();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(filter).append_pair("chosen", &chosen.to_string()).append_pair("retried", &retried.to_string());
    let query = query.finish();
    let is_own_form = EventsQuery::parse_query(&query).is_some();
    redirect_to(&if is_own_form { format!("/events?{query}") } else { "/events".to_owned() })
}

/// The reason of a dismissal.
#[derive(Deserialize)]
pub struct DismissalForm {
    #[serde(default)]
    reason: String,
}

/// Dismisses a failed event and its failed deliveries, as `events dismiss` does.
pub async fn dismiss_event(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(id): Path<i64>,
    Form(form): Form<DismissalForm>,
) -> Response {
    let reason = match parse_reason(&form.reason) {
        Ok(reason) => reason,
        Err(text) => return show_refusal(StatusCode::BAD_REQUEST, &format!("Nothing was dismissed: {text}.")),
    };
    let dismissal = Dismissal { destination: None, reason, by: user.session.user.clone() };
    match state.store.dismiss_failures(vec![id], dismissal).await {
        Ok(dismissed) if dismissed.is_empty() => {
            let text =
                "Nothing was dismissed: neither the event nor a delivery of it failed, or somebody dismissed them.";
            show_refusal(StatusCode::CONFLICT, text)
        }
        Ok(_) => redirect_to(&format!("/events/{id}")),
        Err(error) => show_store_error(&error),
    }
}

/// The destination that gets an event again.
#[derive(Deserialize)]
pub struct ResendForm {
    #[serde(default)]
    destination: String,
}

/// Sends an event to one destination again.
pub async fn resend_event(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(id): Path<i64>,
    Form(form): Form<ResendForm>,
) -> Response {
    if !state.config.destinations.iter().any(|settings| settings.name == form.destination) {
        let text = "The configuration has no destination of this name, so nothing was sent.";
        return show_refusal(StatusCode::BAD_REQUEST, text);
    }
    let attempts = state.config.worker.max_attempts;
    match state.store.resend_delivery(id, form.destination, attempts, user.to_actor()).await {
        Ok(true) => redirect_to(&format!("/events/{id}")),
        Ok(false) => show_refusal(
            StatusCode::CONFLICT,
            "Nothing was sent: the event has no delivery to this destination, it is being sent now, or its body is gone.",
        ),
        Err(error) => show_store_error(&error),
    }
}
