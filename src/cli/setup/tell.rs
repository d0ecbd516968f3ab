//! What to enter at each provider.

use super::Plan;
use crate::cli::output::line;
use crate::config::Config;
use crate::config::sections::Tls;

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
    let port = if plan.port == 443 { String::new() } else { format!(":{}", plan.port) };
    let base = format!("https://{}{port}", plan.domain);
    let secrets = config.path.parent().unwrap_or(std::path::Path::new(".")).join("secrets");
    let shown = |name: &str| format!("cat {}", secrets.join(name).display());
    if !plan.shops.is_empty() {
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
    if plan.easypost.is_some() {
        line(&format!(
            "\nEasyPost: Account → Webhooks & Events\n  URL     {base}/api/webhooks/easypost\n  secret  {}",
            shown("easypost")
        ))?;
    }
    if plan.keycloak.is_some() {
        line(&format!(
            "\nKeycloak: the HTTP event listener of your realm\n  URL     {base}/api/keycloak/events\n  header  Authorization: Bearer SECRET\n  secret  {}",
            shown("keycloak")
        ))?;
    }
    line(
        "\nSPS Commerce: purchase orders are fetched; enter the directory that SPS tells you in [[sps.sources]], then: novex-ingest sps poll",
    )?;
    if matches!(config.tls, Tls::SelfSigned { .. }) {
        line(
            "\nThe certificate is self-signed: Shopify and EasyPost deliver only when an authority's stands in [tls].",
        )?;
    }
    line(&format!(
        "\nThe router or firewall must let TCP port {} through to this box, and {} must lead to it.\nWhat is wrong, if something is: novex-ingest doctor",
        plan.port, plan.domain
    ))?;
    Ok(())
}
