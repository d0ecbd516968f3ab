//! The frame of each page: head, navigation and the signed-in user.

use crate::clock;
use crate::console::assets::{SCRIPT_PATH, STYLE_PATH};
use crate::console::guard::{CSRF_FIELD, CurrentUser};
use maud::{DOCTYPE, Markup, html};

// One entry a line, so that a new page is a new line.
#[rustfmt::skip]
/// The pages of the navigation: path and name.
const NAVIGATION: &[(&str, &str)] = &[
    ("/", "Overview"),
    ("/events", "Events"),
    ("/rejections", "Rejections"),
    ("/orders", "Orders"),
    ("/purchase-orders", "Purchase orders"),
    ("/shipments", "Shipments"),
    ("/mappings", "Mappings"),
    ("/destinations", "Destinations"),
    ("/audit", "Audit"),
    ("/privacy", "Privacy"),
    ("/settings", "Settings"),
];

/// Returns a page with the navigation. `path` is the page's own entry in it.
#[must_use]
pub fn build_page(title: &str, path: &str, user: &CurrentUser, content: &Markup) -> Markup {
    build_document(title, None, &build_frame(path, user, content))
}

/// Returns a page as [`build_page`] does, which the browser opens again after `seconds`.
#[must_use]
pub fn build_refreshed_page(title: &str, path: &str, user: &CurrentUser, seconds: u32, content: &Markup) -> Markup {
    build_document(title, Some(&seconds.to_string()), &build_frame(path, user, content))
}

fn build_frame(path: &str, user: &CurrentUser, content: &Markup) -> Markup {
    html! {
        a class="skip" href="#content" { "Skip to the content" }
        header {
            nav aria-label="Pages" {
                strong { "novex-ingest" }
                ul {
                    @for (target, name) in NAVIGATION.iter().copied() {
                        li { a href=(target) aria-current=[(target == path).then_some("page")] { (name) } }
                    }
                }
            }
            form method="post" action="/logout" {
                (build_csrf_field(user))
                a href="/settings/account" { (user.session.user) " (" (user.session.role.as_str()) ")" }
                button type="submit" class="plain" { "Sign out" }
            }
        }
        main id="content" tabindex="-1" { (content) }
    }
}

/// Returns a page without the navigation, for people who have not signed in.
#[must_use]
pub fn build_bare_page(title: &str, content: &Markup) -> Markup {
    build_document(title, None, &html! { main id="content" { (content) } })
}

/// Returns a page that leads to `target`, a path of the console.
#[must_use]
pub fn build_forward_page(target: &str) -> Markup {
    let content = html! { main id="content" { h1 { "Signed in" } p { a href=(target) { "Continue" } } } };
    build_document("Signed in", Some(&format!("0; url={target}")), &content)
}

/// `refresh` is the value of the refresh pragma: seconds, and the page to open then if it is another one.
/// `refresh` is what the browser opens after a time: `SECONDS`, or `SECONDS; url=PATH`.
fn build_document(title: &str, refresh: Option<&str>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(refresh) = refresh { meta http-equiv="refresh" content=(refresh); }
                title { (title) " · novex-ingest" }
                link rel="stylesheet" href=(STYLE_PATH);
                script src=(SCRIPT_PATH) defer {}
            }
            body { (body) }
        }
    }
}

/// Returns the hidden field that proves that a form is of this session.
#[must_use]
pub fn build_csrf_field(user: &CurrentUser) -> Markup {
    html! { input type="hidden" name=(CSRF_FIELD) value=(user.session.csrf_token); }
}

/// Returns a stored time. The script shows it in the viewer's time zone; UTC is in the title.
#[must_use]
pub fn build_time(stored: &str) -> Markup {
    if clock::parse_timestamp(stored).is_err() {
        return html! { (stored) };
    }
    let text = format!("{} {} UTC", &stored[..10], &stored[11..19]);
    html! { time datetime=(stored) title=(text) { (text) } }
}

/// Returns the status of an event with its colour.
#[must_use]
pub fn build_status(status: &str) -> Markup {
    let kind = status.split(' ').next().unwrap_or_default();
    html! { span class={ "status " (kind) } { (status) } }
}
