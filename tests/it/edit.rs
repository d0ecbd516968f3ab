//! Changing a line of a home's configuration.

use crate::util::Home;
use std::fs;

impl Home {
    /// Puts `to` in the place of `from` in the configuration.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.path("config.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        fs::write(path, text.replace(from, to)).unwrap();
    }
}
