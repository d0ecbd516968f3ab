//! Pictures of the pages for the documents. `tests/screenshots` runs this; other runs skip it.

use crate::browser::{Browser, DARK, LIGHT, PHONE};
use crate::scene::{fill_console, list_pages};
use crate::support::{Home, root};
use std::fs;

#[test]
#[ignore = "writes docs/screenshots"]
fn take_screenshots() {
    let home = Home::new("");
    let daemon = home.serve();
    fill_console(&home, &daemon);
    let browser = Browser::open(&daemon);
    browser.sign_in("anna");
    let directory = root().join("docs/screenshots");
    fs::create_dir_all(&directory).unwrap();
    for page in list_pages(&home) {
        // Without a provider, these pages have only an error.
        if page.starts_with("/login/oidc") {
            continue;
        }
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        let words: Vec<&str> = page.split(|letter| !is_part(letter)).filter(|word| !word.is_empty()).collect();
        let name = if words.is_empty() { "overview".to_owned() } else { words.join("-").to_ascii_lowercase() };
        for view in [LIGHT, DARK, PHONE] {
            browser.look_as(view);
            browser.open_page(&page);
            fs::write(directory.join(format!("{name}-{}.png", view.name)), browser.take_picture()).unwrap();
        }
    }
}
