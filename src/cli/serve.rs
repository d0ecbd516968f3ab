//! `serve`: runs the daemon.

use crate::app::serve;
use crate::cli::{CliError, GlobalArgs, output};
use crate::config::{SecretLoading, dev};
use crate::logging;
use crate::runtime;
use crate::server::listener;
use anyhow::Context;
use tracing::{info, warn};

pub const SERVE_HELP: &str = "\
Addresses to enter at the providers (HTTPS, by default port 8443):
  Shopify   https://HOST:8443/api/webhooks/shopify/TOPIC     TOPIC such as orders/create
  EasyPost  https://HOST:8443/api/webhooks/easypost
  Keycloak  https://HOST:8443/api/keycloak/events            with Authorization: Bearer SECRET
  GET https://HOST:8443/healthz answers 200 while events can be stored.

When the daemon is ready, it prints one line on standard output: novex-ingest ready https://ADDRESS:PORT
SIGTERM stops it. It still receives events while handlers finish; then it answers open requests and releases claims.
SIGHUP (systemctl reload novex-ingest) reads the configuration again. Shops, secrets, the certificate, [tls.acme] and
[retention] change at once. The log lists the changes that need a restart.";

pub fn run_serve(global: &GlobalArgs) -> Result<(), CliError> {
    let config = global.load_config(SecretLoading::All)?;
    logging::init_logging(&config.log);
    for warning in &config.warnings {
        warn!("{warning}");
    }
    raise_file_limit();
    let inherited = listener::take_inherited_listeners().context("a socket from the service manager cannot be used")?;
    let (is_dev, database) = (global.dev, config.store.path.clone());
    let announce = move |address| {
        // The starting program may have closed standard output. The daemon runs anyway.
        let _ = output::print_line(&format!("novex-ingest ready https://{address}"));
        if is_dev {
            info!(
                "send an order: novex-ingest send shopify orders/create --real --wait, then: \
                 sqlite3 -readonly -header {} 'SELECT name, total, currency FROM sales_orders'",
                database.display()
            );
            info!(
                "the development shop is {}; its secret is in ./{}/secrets/shopify",
                dev::DEV_SHOP_DOMAIN,
                dev::DEV_DIRECTORY
            );
        }
    };
    Ok(runtime::block_on_multi_thread(serve::serve_until_stopped(config, is_dev, inherited, announce))?)
}

/// Raises the limit on open files to its maximum. Every connection needs a file, and the usual soft limit of 1,024 is
/// below `server.max_connections` plus the files of the database.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        // The service's unit sets the limit so, and forbids the system call.
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!("the limit on open files cannot be raised: {error}");
    }
}
