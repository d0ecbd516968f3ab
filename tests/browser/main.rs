//! The console in a real browser. A crate of its own: the library that drives the browser adds operators to `String`,
//! which the other tests must not see.

mod browser;
mod pages;
mod scene;
mod screenshots;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests of tests/it use the rest")]
mod support;
