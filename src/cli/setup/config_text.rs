//! The text of config.toml: reads it in whatever TOML syntax a person wrote, and changes single values in place. So
//! comments and the order of the file stay.

use anyhow::bail;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The section of a source with secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretSection<'n> {
    /// One `[[shopify.shops]]`, by its domain.
    Shop(&'n str),
    /// `easypost` or `keycloak`.
    Provider(&'n str),
}

/// The text of a configuration, with the changes so far.
#[derive(Debug, Clone)]
pub(crate) struct ConfigText(String);

impl ConfigText {
    pub fn new(text: &str) -> Self {
        // One kind of line end, so that what is added fits.
        Self(text.replace("\r\n", "\n"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the references of a section's secrets, the first one first; None if the section is missing.
    pub fn secret_references(&self, section: &SecretSection<'_>) -> Option<Vec<String>> {
        let root = parse_table(&self.0);
        let secrets = find_section(&root, section)?.get("secrets").map(Spanned::get_ref);
        let texts = match secrets {
            Some(DeValue::Array(list)) => list.iter().filter_map(|item| item.get_ref().as_str()).collect(),
            Some(DeValue::String(text)) => vec![text.as_ref()],
            _ => Vec::new(),
        };
        Some(texts.into_iter().map(str::to_owned).collect())
    }

    /// Adds a reference before the others of a section.
    ///
    /// # Errors
    /// The section has no secrets that can be changed.
    pub fn add_secret(&mut self, section: &SecretSection<'_>, reference: &str) -> anyhow::Result<()> {
        let text = self.0.clone();
        let root = parse_table(&text);
        let value = find_section(&root, section).and_then(|table| table.get("secrets"));
        let (at, replacement) = match value.map(|value| (value.span(), value.get_ref())) {
            Some((span, DeValue::Array(list))) => {
                let separator = if list.is_empty() { "" } else { ", " };
                (span.start + 1..span.start + 1, format!("{reference:?}{separator}"))
            }
            Some((span, DeValue::String(_))) => {
                let own = &self.0[span.clone()];
                (span, format!("[{reference:?}, {own}]"))
            }
            _ => bail!("the section has no list of secrets: add secrets = [{reference:?}] to it"),
        };
        self.replace(at, &replacement);
        Ok(())
    }

    /// Sets a key of `[server]`: replaces its value, adds it below the header, or adds the section at the end.
    ///
    /// # Errors
    /// The section is written in a form that has no place for another line.
    pub fn set_server_key(&mut self, key: &str, value: &str) -> anyhow::Result<()> {
        let text = self.0.clone();
        let root = parse_table(&text);
        let Some(section) = root.get("server") else {
            self.append(&format!("[server]\n{key} = {value}\n"));
            return Ok(());
        };
        if let Some(old) = section.get_ref().as_table().and_then(|table| table.get(key)) {
            let span = old.span();
            self.replace(span, value);
            return Ok(());
        }
        let start = section.span().start;
        if !self.0[start..].starts_with('[') {
            bail!("the configuration has no line [server]: add server.{key} = {value} to it");
        }
        let line_end = self.0[start..].find('\n').map_or(self.0.len(), |length| start + length);
        self.replace(line_end..line_end, &format!("\n{key} = {value}"));
        Ok(())
    }

    /// Adds sections at the end, after an empty line.
    pub fn append(&mut self, sections: &str) {
        if sections.is_empty() {
            return;
        }
        if !self.0.is_empty() {
            self.0.push_str(if self.0.ends_with('\n') { "\n" } else { "\n\n" });
        }
        self.0.push_str(sections);
    }

    fn replace(&mut self, at: Range<usize>, replacement: &str) {
        self.0.replace_range(at, replacement);
    }
}

/// Parses what can be read. The caller checks the whole file after its changes.
fn parse_table(text: &str) -> DeTable<'_> {
    DeTable::parse_recoverable(text).0.into_inner()
}

fn find_section<'r, 't>(root: &'r DeTable<'t>, section: &SecretSection<'_>) -> Option<&'r DeTable<'t>> {
    match section {
        SecretSection::Provider(name) => root.get(*name)?.get_ref().as_table(),
        SecretSection::Shop(domain) => {
            let shops = root.get("shopify")?.get_ref().as_table()?.get("shops")?.get_ref().as_array()?;
            shops.iter().filter_map(|shop| shop.get_ref().as_table()).find(|shop| {
                let name = shop.get("domain").and_then(|name| name.get_ref().as_str());
                name.is_some_and(|name| name.eq_ignore_ascii_case(domain))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: SecretSection<'_> = SecretSection::Shop("acme-foods.myshopify.com");
    const EASYPOST: SecretSection<'_> = SecretSection::Provider("easypost");

    #[test]
    fn secret_goes_before_the_others_in_every_form() {
        for (text, section, expected) in [
            (
                "[easypost]\nsecrets = [\"file:a\"] # ours\n",
                EASYPOST,
                "[easypost]\nsecrets = [\"file:n\", \"file:a\"] # ours\n",
            ),
            ("[easypost]\nsecrets = 'file:a'\n", EASYPOST, "[easypost]\nsecrets = [\"file:n\", 'file:a']\n"),
            (
                "easypost = { secrets = [ 'file:a' ] }\n",
                EASYPOST,
                "easypost = { secrets = [\"file:n\",  'file:a' ] }\n",
            ),
            ("easypost.secrets = []\n", EASYPOST, "easypost.secrets = [\"file:n\"]\n"),
            (
                "[[shopify.shops]]\ndomain = 'b.myshopify.com'\nsecrets = ['file:b']\n[[ shopify . shops ]]\n\
                 secrets = [\n  'file:a',\n]\ndomain = 'Acme-Foods.myshopify.com'\n",
                SHOP,
                "[[shopify.shops]]\ndomain = 'b.myshopify.com'\nsecrets = ['file:b']\n[[ shopify . shops ]]\n\
                 secrets = [\"file:n\", \n  'file:a',\n]\ndomain = 'Acme-Foods.myshopify.com'\n",
            ),
        ] {
            let mut config = ConfigText::new(text);
            config.add_secret(&section, "file:n").unwrap();
            assert_eq!(config.as_str(), expected);
            assert_eq!(config.secret_references(&section).unwrap()[0], "file:n");
        }
        let mut config = ConfigText::new("[easypost]\n");
        assert_eq!(config.secret_references(&EASYPOST), Some(Vec::new()));
        assert!(config.add_secret(&EASYPOST, "file:n").is_err());
        assert_eq!(config.secret_references(&SHOP), None);
    }

    #[test]
    fn server_key_is_replaced_or_added() {
        for (text, expected) in [
            ("", "[server]\nlisten = 1\n"),
            ("# only a comment", "# only a comment\n\n[server]\nlisten = 1\n"),
            ("[server]\r\nlisten = 'x' # port\r\n", "[server]\nlisten = 1 # port\n"),
            ("[ server ] # here\nmax_headers = 9\n", "[ server ] # here\nlisten = 1\nmax_headers = 9\n"),
            ("[server]", "[server]\nlisten = 1"),
            ("[other]\nlisten = 'x'\n", "[other]\nlisten = 'x'\n\n[server]\nlisten = 1\n"),
            ("server = { listen = 'x' }\n", "server = { listen = 1 }\n"),
        ] {
            let mut config = ConfigText::new(text);
            config.set_server_key("listen", "1").unwrap();
            assert_eq!(config.as_str(), expected);
        }
        assert!(ConfigText::new("server.max_headers = 9\n").set_server_key("listen", "1").is_err());
    }
}
