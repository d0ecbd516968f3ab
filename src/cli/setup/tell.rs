//! What to enter at each provider.

use super::Plan;
use super::write::Said;
use crate::acme::{self, progress::Progress};
use crate::cli::clock;
use crate::cli::output::line;
use crate::clock::text;
use crate::config::Config;
use crate::config::sections::Tls;
use crate::server::{expiry, tls};

/// Shopify's topics that become something in the ERP's tables; any other is stored too.
const TOPICS: &[&str] = &[
    "orders/create",
    "orders/updated",
    "orders/edited",
    "orders/cancelled",
    "orders/delete",
    "order_transactions/create",
    "refunds/create",
    "returns/request",
    "returns/approve",
    "returns/close",
    "fulfillments/create",
    "fulfillments/update",
    "fulfillment_events/create",
    "fulfillment_orders/order_routing_complete",
    "customers/create",
    "customers/update",
    "customers/delete",
    "products/create",
    "products/update",
    "products/delete",
    "inventory_levels/update",
    "shop/update",
];

pub(super) fn all(config: &Config, plan: &Plan) -> anyhow::Result<()> {
    let listened = config.server.listen.port();
    let port = if listened == 443 { String::new() } else { format!(":{listened}") };
    let base = format!("https://{}{port}", plan.domain);
    let directory = config.path.parent().unwrap_or(std::path::Path::new("."));
    let said = Said::of(&std::fs::read_to_string(&config.path).unwrap_or_default());
    let shown = |name: &str| match said.provider(name) {
        Some(reference) if !reference.starts_with("file:") => format!("as {reference} has it"),
        reference => {
            let file = reference.as_deref().and_then(|text| text.strip_prefix("file:").map(str::to_owned));
            format!("cat {}", directory.join(file.unwrap_or_else(|| format!("secrets/{name}"))).display())
        }
    };
    if !config.shopify.is_empty() {
        line(
            "\nShopify: Settings → Notifications → Webhooks, or the app's webhook subscriptions; format JSON, one for each topic:",
        )?;
        for topic in TOPICS {
            line(&format!("  {base}/api/webhooks/shopify/{topic}"))?;
        }
        line(
            "  For an app also customers/data_request, customers/redact and shop/redact, at the same kind of address.",
        )?;
    }
    if config.easypost.is_some() {
        line(&format!(
            "\nEasyPost: Account → Webhooks & Events\n  URL     {base}/api/webhooks/easypost\n  secret  {}",
            shown("easypost")
        ))?;
    }
    if config.keycloak.is_some() {
        line(&format!(
            "\nKeycloak: the HTTP event listener of your realm\n  URL     {base}/api/keycloak/events\n  header  Authorization: Bearer SECRET\n  secret  {}",
            shown("keycloak")
        ))?;
    }
    line(
        "\nSPS Commerce: purchase orders are fetched; enter the directory that SPS tells you in [[sps.sources]], then: novex-ingest sps poll",
    )?;
    certificate(config, plan)?;
    line(&format!(
        "\nThe router or firewall must let TCP port {listened} through to this box, and {} must lead to it.",
        plan.domain
    ))?;
    if matches!(config.tls, Tls::Acme(_)) && listened != 443 {
        line(&format!(
            "The authority comes by port 443: let the router lead that to port {listened} of this box too, or run setup again with --port 443."
        ))?;
    }
    line("What is wrong, if something is: novex-ingest doctor")?;
    Ok(())
}

/// What of the certificate would keep the providers away.
fn certificate(config: &Config, plan: &Plan) -> anyhow::Result<()> {
    let read = expiry::read(&tls::files(&config.tls));
    // One that is not there yet is made at the start.
    let made_here = matches!(config.tls, Tls::SelfSigned { .. });
    if let Tls::Acme(settings) = &config.tls
        && acme::current(settings).is_none()
    {
        let now = clock().now();
        let why = match Progress::load(settings, now).last_failure {
            Some((at, reason)) => {
                format!("at {}: {reason}. When that is mended: systemctl reload novex-ingest", text(at))
            }
            None => "it is asked for while the service runs; `novex-ingest doctor` tells how it stands".to_owned(),
        };
        return Ok(line(&format!("\nThere is no certificate from {} yet: {why}", settings.directory))?);
    }
    if made_here || read.as_ref().is_ok_and(|validity| validity.is_self_signed) {
        return Ok(line(
            "\nThe certificate is self-signed: Shopify and EasyPost deliver only when an authority's stands in [tls].",
        )?);
    }
    let validity = match read {
        Ok(validity) => validity,
        Err(error) => return Ok(line(&format!("\nThe certificate cannot be used: {error:#}"))?),
    };
    let wanted = plan.domain.to_ascii_lowercase();
    let fits = |name: &String| {
        let name = name.to_ascii_lowercase();
        name == wanted
            || name.strip_prefix("*.").is_some_and(|rest| wanted.split_once('.').is_some_and(|(_, own)| own == rest))
    };
    if !validity.names.iter().any(fits) {
        let names = validity.names.join(", ");
        line(&format!("\nThe certificate is for {names}, not for {wanted}: no provider delivers with it."))?;
    }
    Ok(())
}
