//! Summary at the end of a setup: the addresses and secrets to enter at each provider.

use crate::cli::output::print_line;
use crate::cli::setup::SetupPlan;
use crate::cli::setup::files::ExistingConfig;
use crate::cli::times::TimeFormat;
use crate::clock::{Clock, format_timestamp};
use crate::config::Config;
use crate::tls::acme::progress::AcmeProgress;
use crate::tls::{TlsSettings, acme, certificates, expiry};

/// Shopify's topics that fill tables of the ERP. The daemon stores all other topics too.
const SHOPIFY_TOPICS: &[&str] = &[
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

pub(crate) fn print_summary(config: &Config, plan: &SetupPlan, times: &TimeFormat) -> anyhow::Result<()> {
    let listen_port = config.server.listen.port();
    let port = if listen_port == 443 { String::new() } else { format!(":{listen_port}") };
    let base = format!("https://{}{port}", plan.domain);
    let directory = config.path.parent().unwrap_or(std::path::Path::new("."));
    let existing = ExistingConfig::from_text(&std::fs::read_to_string(&config.path).unwrap_or_default());
    let secret_location = |name: &str| match existing.provider_secret(name) {
        Some(reference) if !reference.starts_with("file:") => format!("as in {reference}"),
        reference => {
            let file = reference.as_deref().and_then(|text| text.strip_prefix("file:").map(str::to_owned));
            format!("cat {}", directory.join(file.unwrap_or_else(|| format!("secrets/{name}"))).display())
        }
    };
    if !config.shopify.is_empty() {
        print_line(
            "\nShopify: Settings → Notifications → Webhooks, or the app's webhook subscriptions. Format JSON; one webhook \
             for each topic:",
        )?;
        for topic in SHOPIFY_TOPICS {
            print_line(&format!("  {base}/api/webhooks/shopify/{topic}"))?;
        }
        print_line("  An app also needs customers/data_request, customers/redact and shop/redact, in the same form.")?;
    }
    if config.easypost.is_some() {
        print_line(&format!(
            "\nEasyPost: Account → Webhooks & Events\n  URL     {base}/api/webhooks/easypost\n  secret  {}",
            secret_location("easypost")
        ))?;
    }
    if config.keycloak.is_some() {
        print_line(&format!(
            "\nKeycloak: the HTTP event listener of your realm\n  URL     {base}/api/keycloak/events\n  \
             header  Authorization: Bearer SECRET\n  secret  {}",
            secret_location("keycloak")
        ))?;
    }
    print_line(
        "\nSPS Commerce: novex-ingest fetches purchase orders. Enter the directory from SPS in [[sps.sources]], then: \
         novex-ingest sps poll",
    )?;
    print_certificate_notice(config, plan, times)?;
    print_line(&format!(
        "\nThe router or firewall must forward TCP port {listen_port} to this machine, and the DNS must have an address \
         for {}.",
        plan.domain
    ))?;
    if matches!(config.tls, TlsSettings::Acme(_)) && listen_port != 443 {
        print_line(&format!(
            "The authority connects to port 443: forward it to port {listen_port} of this machine too, or run setup again \
             with --port 443."
        ))?;
    }
    print_line("Check the result: novex-ingest doctor")?;
    Ok(())
}

/// Prints the fault of the certificate that keeps providers from sending events, if there is one.
fn print_certificate_notice(config: &Config, plan: &SetupPlan, times: &TimeFormat) -> anyhow::Result<()> {
    if let TlsSettings::Acme(settings) = &config.tls
        && acme::read_current_certificate(settings).is_none()
    {
        let reason = match AcmeProgress::load(settings, Clock::system().now()).last_failure {
            Some((at, reason)) => {
                let at = times.format_time_with_age(&format_timestamp(at));
                format!("At {at}: {reason}. Fix that, then: systemctl reload novex-ingest")
            }
            None => "The service requests it while it runs; `novex-ingest doctor` shows the progress.".to_owned(),
        };
        return Ok(print_line(&format!("\nThere is no certificate from {} yet. {reason}", settings.directory_url))?);
    }
    let info = expiry::read_certificate_info(&certificates::locate_certificate_files(&config.tls));
    // The daemon creates a self-signed certificate at its start.
    let is_self_signed = matches!(config.tls, TlsSettings::SelfSigned { .. });
    if is_self_signed || info.as_ref().is_ok_and(|info| info.is_self_signed) {
        return Ok(print_line(
            "\nThe certificate is self-signed: Shopify and EasyPost send events only after [tls] has a certificate of an \
             authority.",
        )?);
    }
    let info = match info {
        Ok(info) => info,
        Err(error) => return Ok(print_line(&format!("\nThe certificate cannot be used: {error:#}"))?),
    };
    let domain = plan.domain.to_ascii_lowercase();
    let matches_domain = |name: &String| {
        let name = name.to_ascii_lowercase();
        name == domain
            || name
                .strip_prefix("*.")
                .is_some_and(|parent| domain.split_once('.').is_some_and(|(_, own_parent)| own_parent == parent))
    };
    if !info.names.iter().any(matches_domain) {
        let names = info.names.join(", ");
        print_line(&format!("\nThe certificate is for {names}, not for {domain}: no provider sends events to it."))?;
    }
    Ok(())
}
