//! Parts that several pages share: buttons that do something, selections, links to the next page, empty lists.

use crate::console::guard::CurrentUser;
use crate::console::layout::build_csrf_field;
use maud::{Markup, html};

/// Returns a form with one button that sends `fields` to an action.
#[must_use]
pub fn build_action(user: &CurrentUser, path: &str, label: &str, fields: &[(&str, &str)]) -> Markup {
    html! {
        form method="post" action=(path) class="action" {
            (build_csrf_field(user))
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            button type="submit" { (label) }
        }
    }
}

/// Returns a text field of a filter or form with its label.
#[must_use]
pub fn build_input(name: &str, label: &str, value: &str, placeholder: &str) -> Markup {
    html! { label { (label) " " input name=(name) value=(value) placeholder=(placeholder); } }
}

/// Returns a field for a password with its label. `autocomplete` is `current-password` or `new-password`.
#[must_use]
pub fn build_password_input(name: &str, label: &str, autocomplete: &str) -> Markup {
    html! { label { (label) " " input name=(name) type="password" autocomplete=(autocomplete) required; } }
}

/// Returns the sentence about what an action did, which the next page shows.
#[must_use]
pub fn build_notice(is_done: bool, text: &str) -> Markup {
    html! { p class={ "notice" @if !is_done { " failed" } } role="status" { (text) } }
}

/// Returns a selection of a filter. The empty value chooses everything.
#[must_use]
pub fn build_select(name: &str, label: &str, chosen: &str, values: &[String]) -> Markup {
    html! {
        label { (label) " "
            select name=(name) {
                option value="" { "all" }
                @for value in values { option selected[value == chosen] { (value) } }
            }
        }
    }
}

/// Returns the link to the rows that follow `last`, with the filter of this page.
#[must_use]
pub fn build_next_link(label: &str, path: &str, filter: &[(&str, &str)], last: &str) -> Markup {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(filter.iter().filter(|(_, value)| !value.is_empty()));
    let query = query.append_pair("before", last).finish();
    html! { p { a rel="next" href={ (path) "?" (query) } { (label) } } }
}
