//! The sections of the configuration: every key with its default and its range.

use crate::config::backup::BackupSettings;
use crate::config::console::{ConsoleSettings, read_console_section};
use crate::config::log::read_log_section;
use crate::config::networks::read_networks;
use crate::config::reader::{ConfigDocument, ConfigTable, Located};
use crate::config::sps::SpsSettings;
use crate::config::store::{StoreSettings, read_store_section};
use crate::config::{
    Config, ConfigErrors, ConfigLines, ConfigWarning, SecretLoading, backup, check_domain, destinations, privacy,
    retention, secrets, sps, tls,
};
use crate::delivery::destinations::DestinationSettings;
use crate::providers::keycloak::AcceptedProofs;
use crate::secret::Secret;
use crate::server::settings::ServerSettings;
use crate::store::audit::alerts::LoginErrorThreshold;
use crate::tls::TlsSettings;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Settings of `[worker]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSettings {
    /// False: `serve` only receives, and `work` processes events.
    pub in_serve: bool,
    pub max_attempts: u32,
    pub backoff_base: Duration,
    pub backoff_max: Duration,
    /// Longest time that a handler may run, and after which an unrenewed claim expires.
    pub lease: Duration,
    pub batch: u32,
    pub concurrency: u64,
    /// Most bytes that handlers hold at once.
    pub max_handler_bytes: u64,
    /// Most bytes of payloads of deliveries in flight.
    pub max_delivery_bytes: u64,
    pub poll: Duration,
    pub grace: Duration,
}

/// Settings of a Shopify shop.
#[derive(Debug, Clone)]
pub struct ShopSettings {
    pub domain: String,
    pub secrets: Vec<Secret>,
}

/// Settings of EasyPost's webhook.
#[derive(Debug, Clone)]
pub struct EasyPostSettings {
    pub secrets: Vec<Secret>,
    pub tolerance: Duration,
}

/// Settings of Keycloak's event listener.
#[derive(Debug, Clone)]
pub struct KeycloakSettings {
    pub secrets: Vec<Secret>,
    pub accept: AcceptedProofs,
    pub login_errors: LoginErrorThreshold,
}

/// Reads all sections. Returns the configuration and all errors.
pub(crate) fn read_sections(
    mut document: ConfigDocument<'_>,
    path: &Path,
    secrets: SecretLoading,
) -> (Config, ConfigErrors) {
    let mut reader = SectionReader { config_path: path, secret_loading: secrets, warnings: Vec::new() };
    let root = document.root();
    let (server_table, store_table, tls_table) =
        (root.read_table("server"), root.read_table("store"), root.read_table("tls"));
    let lines = ConfigLines {
        listen: server_table.line_of_key("listen"),
        store: store_table.line_of_key("path"),
        certificate: tls_table.line_of_key("certificate"),
    };
    let (domain, server) = read_server_section(server_table);
    let store = read_store_section(store_table, |name| resolve_path(path, name));
    let config = Config {
        path: path.to_owned(),
        domain,
        lines,
        tls: reader.read_tls(tls_table, &store),
        worker: read_worker_section(root.read_table("worker")),
        shopify: reader.read_shopify(root.read_table("shopify")),
        easypost: reader.read_easypost(root.read_table("easypost")),
        keycloak: reader.read_keycloak(root.read_table("keycloak")),
        sps: None,
        destinations: Vec::new(),
        console: reader.read_console(root.read_table("console"), &store),
        backup: reader.read_backup(root.read_table("backup")),
        privacy: privacy::read_privacy_section(root.read_table("privacy")),
        retention: retention::read_retention_section(root.read_table("retention")),
        log: read_log_section(root.read_table("log")),
        server,
        store,
        warnings: Vec::new(),
        settings: Vec::new(),
    };
    let mut destinations = reader.read_destinations(root.read_tables("destinations"), config.worker.max_attempts);
    let sps = reader.read_sps(root.read_table("sps"));
    destinations.extend(
        sps.iter()
            .filter_map(|sps| sps.outbound.as_ref())
            .map(|target| destinations::build_outbound_destination(target, config.worker.max_attempts)),
    );
    if config.shopify.is_empty() && config.easypost.is_none() && config.keycloak.is_none() && sps.is_none() {
        reader.warnings.push(ConfigWarning::new(
            "no provider is configured: the daemon answers every webhook with 503",
            "run `novex-ingest setup`",
        ));
    }
    root.report_unknown_keys();
    let settings = document.take_settings();
    (Config { sps, destinations, warnings: reader.warnings, settings, ..config }, document.into_errors())
}

/// Reads the name by which providers reach this machine, and the settings of the listener.
fn read_server_section(mut table: ConfigTable<'_>) -> (Option<String>, ServerSettings) {
    let limit = 1..=1_000_000;
    let domain = table.read_text("domain");
    if let Some(domain) = &domain
        && let Err(message) = check_domain(&domain.value)
    {
        table.report_error_at(domain, message, "Write the name that the providers use.");
    }
    let server = ServerSettings {
        listen: table.read_parsed("listen", SocketAddr::from(([0, 0, 0, 0], 8443)), "0.0.0.0:8443"),
        max_body_bytes: table.read_number("max_body_bytes", 16 << 20, 1..=1 << 30),
        max_buffered_bytes: table.read_number("max_buffered_bytes", 256 << 20, 1 << 20..=1 << 40),
        max_buffered_bytes_per_address: table.read_number(
            "max_buffered_bytes_per_address",
            64 << 20,
            1 << 10..=1 << 40,
        ),
        max_buffered_bytes_per_connection: table.read_number(
            "max_buffered_bytes_per_connection",
            32 << 20,
            1 << 10..=1 << 40,
        ),
        max_connections: table.read_number("max_connections", 1024, limit.clone()),
        max_connections_per_address: table.read_number("max_connections_per_address", 256, limit.clone()),
        max_requests: table.read_number("max_requests", 512, limit.clone()),
        max_requests_per_address: table.read_number("max_requests_per_address", 256, limit.clone()),
        reserved_percent: table.read_number("reserved_percent", 25, 0..=90),
        trusted_networks: read_networks(&mut table, "trusted_networks"),
        max_header_bytes: table.read_number("max_header_bytes", 16 << 10, 8 << 10..=1 << 20),
        max_headers: table.read_number("max_headers", 100, 10..=1000),
        max_streams: table.read_number("max_streams", 100, 1..=10_000),
        max_stream_resets: table.read_number("max_stream_resets", 20, 1..=10_000),
        handshake_timeout: table.read_duration("handshake_timeout", 10 * SECOND, SECOND / 10..=HOUR),
        header_timeout: table.read_duration("header_timeout", 10 * SECOND, SECOND / 10..=HOUR),
        body_timeout: table.read_duration("body_timeout", 15 * SECOND, SECOND / 10..=HOUR),
        min_body_rate: table.read_number("min_body_rate", 1024, 1..=1 << 30),
        body_grace: table.read_duration("body_grace", 3 * SECOND, SECOND / 10..=HOUR),
        idle_timeout: table.read_duration("idle_timeout", 75 * SECOND, SECOND / 10..=DAY),
        answer_timeout: table.read_duration("answer_timeout", SECOND * 9 / 2, SECOND / 10..=HOUR),
        shutdown_timeout: table.read_duration("shutdown_timeout", 5 * SECOND, Duration::ZERO..=HOUR),
    };
    if server.max_buffered_bytes < server.max_body_bytes {
        table.report_error(
            "max_buffered_bytes is less than max_body_bytes: the daemon could never receive a body of the allowed size",
            "Make max_buffered_bytes several times as large.",
        );
    }
    table.finish();
    (domain.map(|domain| domain.value.to_ascii_lowercase()), server)
}

fn read_worker_section(mut table: ConfigTable<'_>) -> WorkerSettings {
    let saturate = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let worker = WorkerSettings {
        in_serve: table.read_bool("in_serve", true),
        max_attempts: saturate(table.read_number("max_attempts", 8, 1..=100)),
        backoff_base: table.read_duration("backoff_base", 15 * SECOND, SECOND / 1000..=DAY),
        backoff_max: table.read_duration("backoff_max", 6 * HOUR, SECOND / 1000..=30 * DAY),
        lease: table.read_duration("lease", 300 * SECOND, SECOND..=DAY),
        batch: saturate(table.read_number("batch", 32, 1..=10_000)),
        concurrency: table.read_number("concurrency", 4, 1..=256),
        max_handler_bytes: table.read_number("max_handler_bytes", 256 << 20, 1 << 20..=1 << 40),
        max_delivery_bytes: table.read_number("max_delivery_bytes", 64 << 20, 1 << 20..=1 << 40),
        poll: table.read_duration("poll", SECOND, SECOND / 100..=HOUR),
        grace: table.read_duration("grace", 20 * SECOND, Duration::ZERO..=HOUR),
    };
    if worker.backoff_base > worker.backoff_max {
        table.report_error("backoff_base is longer than backoff_max", "Make backoff_max at least as long.");
    }
    table.finish();
    worker
}

/// Reads the sections that name files or secrets, and collects their warnings.
struct SectionReader<'p> {
    config_path: &'p Path,
    secret_loading: SecretLoading,
    warnings: Vec<ConfigWarning>,
}

impl SectionReader<'_> {
    fn read_tls(&mut self, table: ConfigTable<'_>, store: &StoreSettings) -> TlsSettings {
        let (path, state) = (self.config_path, store.state_directory());
        tls::read_tls_section(table, state, |table| self.read_secrets(table), |name| resolve_path(path, name))
    }

    fn read_console(&mut self, table: ConfigTable<'_>, store: &StoreSettings) -> ConsoleSettings {
        let path = self.config_path;
        let state = store.state_directory();
        read_console_section(table, state, |table| self.read_secrets(table), |name| resolve_path(path, name))
    }

    fn read_shopify(&mut self, mut table: ConfigTable<'_>) -> Vec<ShopSettings> {
        let mut shops: Vec<ShopSettings> = Vec::new();
        for mut entry in table.read_tables("shops") {
            let domain = entry.read_text("domain");
            let secrets = self.read_secrets(&mut entry);
            match domain {
                None => entry.report_error("has no domain", "Add domain = \"NAME.myshopify.com\"."),
                Some(domain) => {
                    let name = domain.value.to_ascii_lowercase();
                    if let Some(hint) = check_shop_domain(&name) {
                        entry.report_error_at(&domain, format!("{name:?} is not the domain of a shop"), hint);
                    }
                    if shops.iter().any(|shop| shop.domain == name) {
                        let hint = "Put all its secrets into one [[shopify.shops]].";
                        entry.report_error_at(&domain, format!("{name} appears twice"), hint);
                    }
                    shops.push(ShopSettings { domain: name, secrets });
                }
            }
            entry.finish();
        }
        table.finish();
        shops
    }

    fn read_easypost(&mut self, mut table: ConfigTable<'_>) -> Option<EasyPostSettings> {
        let present = table.is_present();
        let secrets = if present { self.read_secrets(&mut table) } else { Vec::new() };
        let tolerance = table.read_duration("tolerance", 300 * SECOND, SECOND..=DAY);
        table.finish();
        present.then_some(EasyPostSettings { secrets, tolerance })
    }

    fn read_keycloak(&mut self, mut table: ConfigTable<'_>) -> Option<KeycloakSettings> {
        let present = table.is_present();
        let secrets = if present { self.read_secrets(&mut table) } else { Vec::new() };
        let mut accept = AcceptedProofs::default();
        let kinds = table.read_texts("accept");
        if !kinds.is_empty() {
            accept = AcceptedProofs { bearer: false, ..accept };
        }
        for kind in &kinds {
            match kind.value.as_str() {
                "bearer" => accept.bearer = true,
                "signature" => accept.signature = true,
                "basic" => accept.basic = true,
                other => {
                    let hint = "Use some of \"bearer\", \"signature\", \"basic\".";
                    table.report_error_at(kind, format!("{other:?} is not a valid value"), hint);
                }
            }
        }
        accept.basic_user = table.read_text("basic_user").map(|user| user.value);
        let defaults = LoginErrorThreshold::default();
        let login_errors = LoginErrorThreshold {
            count: u32::try_from(table.read_number("login_errors", defaults.count.into(), 1..=1_000_000))
                .unwrap_or(u32::MAX),
            within: table.read_duration("login_errors_within", defaults.within, SECOND..=30 * DAY),
        };
        table.finish();
        present.then_some(KeycloakSettings { secrets, accept, login_errors })
    }

    fn read_destinations(&mut self, tables: Vec<ConfigTable<'_>>, max_attempts: u32) -> Vec<DestinationSettings> {
        let mut all: Vec<DestinationSettings> = Vec::new();
        for mut table in tables {
            let path = self.config_path;
            let file = |name: &str| resolve_path(path, name);
            let settings = destinations::read_destination(&mut table, &all, max_attempts, file, |table, name| {
                let references = table.read_texts("secrets");
                if references.is_empty() {
                    self.warnings.push(ConfigWarning::new(
                        format!("destination `{name}` has no secrets: the daemon does not sign its deliveries"),
                        "add secrets = [\"file:/etc/novex-ingest/secrets/NAME\"] to it",
                    ));
                }
                let is_loaded = self.secret_loading != SecretLoading::Skip;
                let mut loaded = Vec::new();
                // One by one, so that an error names the reference of its secret.
                for reference in &references {
                    let secrets = self.load_secrets(table, std::slice::from_ref(reference), is_loaded);
                    self.warnings.extend(destinations::check_signing_keys(table, reference, &secrets));
                    loaded.extend(secrets);
                }
                loaded
            });
            all.extend(settings);
            table.finish();
        }
        all
    }

    fn read_backup(&mut self, table: ConfigTable<'_>) -> Option<BackupSettings> {
        let path = self.config_path;
        backup::read_backup_section(table, |table| self.read_secrets_for(table, true), |name| resolve_path(path, name))
    }

    fn read_sps(&mut self, table: ConfigTable<'_>) -> Option<SpsSettings> {
        let path = self.config_path;
        sps::read_sps_section(
            table,
            |table, is_for_delivery| self.read_secrets_for(table, is_for_delivery),
            |name| resolve_path(path, name),
        )
    }

    fn read_secrets(&mut self, table: &mut ConfigTable<'_>) -> Vec<Secret> {
        self.read_secrets_for(table, false)
    }

    /// `is_for_delivery`: deliveries need the secrets too.
    fn read_secrets_for(&mut self, table: &mut ConfigTable<'_>, is_for_delivery: bool) -> Vec<Secret> {
        let references: Vec<Located<String>> = table.read_texts("secrets");
        if references.is_empty() {
            table.report_error("has no secrets", "Add secrets = [\"file:/etc/novex-ingest/secrets/NAME\"].");
        }
        let is_loaded = match self.secret_loading {
            SecretLoading::All => true,
            SecretLoading::DestinationsOnly => is_for_delivery,
            SecretLoading::Skip => false,
        };
        self.load_secrets(table, &references, is_loaded)
    }

    fn load_secrets(
        &mut self,
        table: &ConfigTable<'_>,
        references: &[Located<String>],
        is_loaded: bool,
    ) -> Vec<Secret> {
        let mut loaded = Vec::new();
        for reference in references.iter().filter(|_| is_loaded) {
            match secrets::load_secret(&reference.value, self.config_path) {
                Ok(secret) => {
                    self.warnings.extend(secret.warnings);
                    self.warnings.extend(secrets::check_secret_use(&reference.key, &secret.secret));
                    loaded.push(secret.secret);
                }
                Err((message, hint)) => table.report_error_at(reference, message, hint),
            }
        }
        loaded
    }
}

/// Returns an absolute path: a relative one starts at the configuration's directory, not at the current directory.
fn resolve_path(config: &Path, path: &str) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join(path)
}

fn check_shop_domain(name: &str) -> Option<&'static str> {
    if name.contains("://") || name.contains('/') {
        return Some("Write only the domain, without https:// and path.");
    }
    let fits = name.contains('.') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    (!fits).then_some("Write it as Shopify sends it in X-Shopify-Shop-Domain: NAME.myshopify.com.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect_errors(text: &str) -> String {
        Config::parse(Path::new("c.toml"), text, SecretLoading::All).unwrap_err().to_string()
    }

    #[test]
    fn empty_file_gives_all_defaults() {
        let config = Config::parse(Path::new("c.toml"), "", SecretLoading::All).unwrap();
        assert_eq!(config.server.listen.to_string(), "0.0.0.0:8443");
        assert_eq!(config.server.max_body_bytes, 16_777_216);
        assert_eq!(config.worker.max_attempts, 8);
        assert_eq!(config.store.path, Path::new("/var/lib/novex-ingest/events.db"));
        assert_eq!(config.tls, TlsSettings::SelfSigned { directory: "/var/lib/novex-ingest/tls".into() });
    }

    #[test]
    fn all_errors_are_reported_with_their_lines() {
        let all = collect_errors(
            "[server]\nlisten = \"nowhere\"\nmax_boddy_bytes = 1\n\n[worker]\nmax_attempts = 0\nlease = \"fast\"\n\
             [tls]\ncertificate = \"a\"\n[[shopify.shops]]\ndomain = \"https://x.myshopify.com\"\n\
             secrets = [\"hunter2\", \"file:/nonexistent/secret\"]\n[keycloak]\n",
        );
        for expected in [
            "c.toml:2: server.listen: \"nowhere\" is not valid",
            "c.toml:3: server.max_boddy_bytes: is not a known key. Did you mean server.max_body_bytes?",
            "c.toml:6: worker.max_attempts: is out of range",
            "c.toml:7: worker.lease: \"fast\" is not a duration",
            "c.toml:8: tls: has only one of certificate and private_key",
            "c.toml:11: shopify.shops.domain: \"https://x.myshopify.com\" is not the domain of a shop",
            "c.toml:12: shopify.shops.secrets: is not a reference to a secret",
            "c.toml:12: shopify.shops.secrets: the secret's file /nonexistent/secret cannot be read",
            "c.toml:13: keycloak: has no secrets",
        ] {
            assert!(all.contains(expected), "{expected}\nis not in\n{all}");
        }
        assert!(!all.contains("hunter2"), "a secret in the wrong place is not printed");
    }

    #[test]
    fn toml_syntax_error_has_a_line() {
        let all = collect_errors("[server]\nlisten = \n[worker]\nmax_attempts = 0\n");
        assert!(all.contains("c.toml:2"), "{all}");
        assert!(all.contains("c.toml:4: worker.max_attempts"), "{all}");
    }

    #[test]
    fn shipped_config_names_every_key() {
        let shipped = include_str!("../../packaging/config.toml");
        let uncommented: String = shipped
            .lines()
            .map(|line| line.strip_prefix("#").filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let mut document = ConfigDocument::parse(Path::new("c.toml"), &uncommented);
        let root = document.root();
        let mut reader = SectionReader {
            config_path: Path::new("c.toml"),
            secret_loading: SecretLoading::All,
            warnings: Vec::new(),
        };
        read_server_section(root.read_table("server"));
        let store = read_store_section(root.read_table("store"), |name| resolve_path(Path::new("c.toml"), name));
        reader.read_tls(root.read_table("tls"), &store);
        read_worker_section(root.read_table("worker"));
        reader.read_shopify(root.read_table("shopify"));
        reader.read_easypost(root.read_table("easypost"));
        reader.read_keycloak(root.read_table("keycloak"));
        reader.read_destinations(root.read_tables("destinations"), 8);
        reader.read_sps(root.read_table("sps"));
        reader.read_console(root.read_table("console"), &store);
        reader.read_backup(root.read_table("backup"));
        privacy::read_privacy_section(root.read_table("privacy"));
        retention::read_retention_section(root.read_table("retention"));
        read_log_section(root.read_table("log"));
        root.report_unknown_keys();
        let known = document.known_keys();
        assert!(known.len() > 40, "{known:?}");
        for key in known {
            let name = key.rsplit('.').next().unwrap();
            let is_documented = shipped.lines().any(|line| {
                let line = line.trim_start_matches('#').trim_start();
                line.starts_with(&format!("{name} ="))
                    || line.contains(&format!("{name}]"))
                    || line.contains(&format!("[{name}."))
            });
            assert!(is_documented, "packaging/config.toml does not name {key}");
        }
        let errors = document.into_errors().to_string();
        // All keys at once cannot be valid together.
        let expected = ["secret", "both files and [tls.acme]"];
        let unexpected: Vec<&str> =
            errors.lines().filter(|line| !expected.iter().any(|part| line.contains(part))).collect();
        assert!(unexpected.is_empty(), "packaging/config.toml: {unexpected:?}");
    }
}
