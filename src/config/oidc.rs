//! `[console.oidc]`: the OpenID provider that signs people in to the console, such as Keycloak.

use crate::access::Role;
use crate::config::reader::{ConfigTable, Located};
use crate::secret::Secret;
use std::path::PathBuf;

/// Path of the page to which the provider sends the browser back.
pub const CALLBACK_PATH: &str = "/login/oidc/callback";

/// Settings of `[console.oidc]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    /// Name of the provider on the button.
    pub name: String,
    /// The issuer, exactly as its ID tokens state it.
    pub issuer: String,
    pub client_id: String,
    /// None: the command loads no secrets.
    pub client_secret: Option<Secret>,
    /// URL of [`CALLBACK_PATH`], exactly as the provider knows it.
    pub redirect_uri: String,
    /// Path of the claim with the roles, with dots between the names.
    pub role_claim: String,
    /// Names of the roles at the provider, the highest first.
    pub roles: [(Role, String); 3],
    /// PEM file of the authority that issued the provider's certificate; None: those of the system.
    pub ca_file: Option<PathBuf>,
}

impl OidcSettings {
    /// Returns the highest role of the names in a claim.
    #[must_use]
    pub fn find_role(&self, names: &[&str]) -> Option<Role> {
        self.roles.iter().find(|(_, name)| names.contains(&name.as_str())).map(|(role, _)| *role)
    }
}

/// Reads `[console.oidc]`; None if the file does not have it, or if a key is missing, which is an error.
pub(crate) fn read_oidc_section(
    mut table: ConfigTable<'_>,
    secrets: impl FnOnce(&mut ConfigTable<'_>) -> Vec<Secret>,
    file: impl Fn(&str) -> PathBuf,
) -> Option<OidcSettings> {
    let is_present = table.is_present();
    let name = table.read_text("name").map_or_else(|| "Keycloak".to_owned(), |name| name.value);
    let issuer = read_url(&mut table, "issuer", "https://id.example.com/realms/acme");
    let client_id = table.read_text("client_id").map(|id| id.value);
    let redirect_uri = read_url(&mut table, "redirect_uri", "https://box.example.com:8444/login/oidc/callback");
    let role_claim = read_default(&mut table, "role_claim", "realm_access.roles");
    let roles = [
        (Role::Admin, read_default(&mut table, "admin_role", "novex-admin")),
        (Role::Operator, read_default(&mut table, "operator_role", "novex-operator")),
        (Role::Viewer, read_default(&mut table, "viewer_role", "novex-viewer")),
    ];
    let ca_file = table.read_text("ca").map(|path| file(&path.value));
    if !is_present {
        table.finish();
        return None;
    }
    let client_secret = secrets(&mut table).into_iter().next();
    if client_id.as_deref().is_none_or(str::is_empty) {
        table.report_error("has no client_id", "Add client_id, the name of the client at the provider.");
    }
    if let Some(uri) = redirect_uri.as_ref().filter(|uri| !uri.value.ends_with(CALLBACK_PATH)) {
        let message = format!("{:?} does not end in {CALLBACK_PATH}", uri.value);
        table.report_error_at(uri, message, "Write the console's address with this path, as the provider knows it.");
    }
    table.finish();
    Some(OidcSettings {
        name,
        issuer: issuer?.value,
        client_id: client_id?,
        client_secret,
        redirect_uri: redirect_uri?.value,
        role_claim,
        roles,
        ca_file,
    })
}

fn read_default(table: &mut ConfigTable<'_>, key: &str, default: &str) -> String {
    table.read_parsed(key, default.to_owned(), default)
}

fn read_url(table: &mut ConfigTable<'_>, key: &str, example: &str) -> Option<Located<String>> {
    let Some(url) = table.read_text(key) else {
        if table.is_present() {
            table.report_error(format!("has no {key}"), format!("Add {key} = {example:?}."));
        }
        return None;
    };
    if !is_secure_url(&url.value) {
        table.report_error_at(
            &url,
            format!("{:?} is no https:// URL", url.value),
            format!("Write it like {example:?}."),
        );
    }
    Some(url)
}

/// Returns whether a URL is HTTPS, or plain HTTP to this machine.
#[must_use]
pub fn is_secure_url(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| match url.scheme() {
        "https" => url.has_host(),
        "http" => matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, SecretLoading};
    use std::path::Path;

    fn collect_errors(section: &str) -> String {
        let text = format!("[easypost]\nsecrets = [\"env:X\"]\n[console.oidc]\n{section}");
        let (_, errors) = Config::parse_recoverable(Path::new("c.toml"), &text, SecretLoading::Skip);
        errors.to_string()
    }

    #[test]
    fn section_needs_the_addresses_of_the_provider_and_of_the_console() {
        let whole = "issuer = \"https://id.example.com/realms/acme\"\nclient_id = \"novex\"\nsecrets = [\"env:X\"]\n\
                     redirect_uri = \"https://box.example.com:8444/login/oidc/callback\"\n";
        let text = format!("[easypost]\nsecrets = [\"env:X\"]\n[console.oidc]\n{whole}viewer_role = \"v\"\n");
        let config = Config::parse(Path::new("c.toml"), &text, SecretLoading::Skip).unwrap();
        let oidc = config.console.oidc.unwrap();
        assert_eq!((oidc.name.as_str(), oidc.role_claim.as_str()), ("Keycloak", "realm_access.roles"));
        assert_eq!(oidc.find_role(&["v", "novex-operator"]), Some(Role::Operator), "the highest role counts");
        assert_eq!(oidc.find_role(&["novex-viewer"]), None);
        let missing = collect_errors("");
        for part in ["has no issuer", "has no redirect_uri", "has no client_id", "has no secrets"] {
            assert!(missing.contains(part), "{part} in {missing}");
        }
        let http = collect_errors(&whole.replace("https://id", "http://id"));
        assert!(http.contains("console.oidc.issuer") && http.contains("is no https:// URL"), "{http}");
        let path = collect_errors(&whole.replace("/login/oidc/callback", "/"));
        assert!(path.contains("does not end in /login/oidc/callback"), "{path}");
        let unknown = collect_errors(&format!("{whole}issuer_url = \"x\"\n"));
        assert!(unknown.contains("is not a known key"), "{unknown}");
    }
}
