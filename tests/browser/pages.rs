//! What a person sees: each page for people with disabilities, in each view, by keyboard, and without scripts.

use crate::browser::{Browser, DARK, LIGHT, PHONE};
use crate::scene::{fill_console, list_pages};
use crate::support::Home;
use crate::support::console::PASSWORD;
use fantoccini::key::Key;

/// Returns the elements that make a page wider than the screen. A wide table scrolls in its own frame.
const FIND_WIDE_ELEMENTS: &str = "const page = document.documentElement; \
    if (page.scrollWidth <= page.clientWidth) return []; \
    const wide = [...document.querySelectorAll('main *, header *')].filter((element) => \
        !element.closest('.scroll') && element.getBoundingClientRect().right > page.clientWidth); \
    return wide.slice(0, 3).map((element) => element.outerHTML.slice(0, 200));";

#[test]
fn every_page_is_accessible_in_light_dark_and_on_a_phone() {
    let home = Home::new("");
    let daemon = home.serve();
    fill_console(&home, &daemon);
    let browser = Browser::open(&daemon);
    browser.sign_in("anna");
    let mut faults = Vec::new();
    for page in list_pages(&home) {
        for view in [LIGHT, DARK, PHONE] {
            browser.look_as(view);
            browser.open_page(&page);
            let found = browser.check_accessibility();
            faults.extend(found.into_iter().map(|fault| format!("{page} {}: {fault}", view.name)));
            let wide = browser.run_script(FIND_WIDE_ELEMENTS);
            faults
                .extend(wide.as_array().unwrap().iter().map(|part| format!("{page} {}: too wide: {part}", view.name)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn console_works_by_keyboard_only() {
    let home = Home::new("");
    let daemon = home.serve();
    fill_console(&home, &daemon);
    let browser = Browser::open(&daemon);
    browser.open_page("/login");
    browser.press("anna");
    browser.press(&Key::Tab);
    browser.press(PASSWORD);
    browser.press(&Key::Enter);
    browser.wait_for("form[action='/logout']");
    // The first stop of each page leads past the navigation.
    browser.press(&Key::Tab);
    assert_eq!(browser.run_script("return document.activeElement.className"), "skip");
    browser.press(&Key::Enter);
    assert_eq!(browser.run_script("return document.activeElement.id"), "content");
    // Each link, button and field is reached, and shows that it has the focus.
    browser.open_page("/events");
    let stops = browser.run_script(
        "return document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, textarea').length",
    );
    for stop in 0..stops.as_u64().unwrap() {
        browser.press(&Key::Tab);
        let outline = browser.run_script(
            "const s = getComputedStyle(document.activeElement); \
             return document.activeElement === document.body ? 'none' : s.outlineStyle",
        );
        assert_ne!(outline, "none", "stop {stop} shows no focus");
    }
}

#[test]
fn pages_and_actions_work_without_scripts() {
    let home = Home::new("");
    let daemon = home.serve();
    fill_console(&home, &daemon);
    let browser = Browser::open(&daemon);
    browser.disable_scripts();
    browser.sign_in("anna");
    for page in list_pages(&home) {
        browser.open_page(&page);
        assert!(!browser.text("main h1").is_empty(), "{page} has no heading");
    }
    browser.open_page("/events?q=%231001");
    browser.click("tbody a");
    browser.wait_for_text("Trail");
    let actions = "SELECT count(*) FROM system_log WHERE type = 'EVENT-RETRY'";
    browser.click("form[action$='/retry'] button");
    home.wait_for(actions, "1");
}

/// Fails if a page asks for anything of another host, or breaks its own content security policy.
#[test]
fn pages_load_nothing_from_elsewhere() {
    let home = Home::new("");
    let daemon = home.serve();
    fill_console(&home, &daemon);
    let browser = Browser::open(&daemon);
    browser.sign_in("anna");
    for page in list_pages(&home) {
        browser.open_page(&page);
        let foreign = browser.run_script(
            "return performance.getEntriesByType('resource').map((entry) => entry.name) \
             .filter((name) => !name.startsWith(location.origin + '/'))",
        );
        assert_eq!(foreign, serde_json::json!([]), "{page}");
        let inline = browser.run_script(
            "return [...document.querySelectorAll('[style], [onclick], style, script:not([src])')] \
             .map((element) => element.outerHTML.slice(0, 200))",
        );
        assert_eq!(inline, serde_json::json!([]), "{page}");
    }
}
