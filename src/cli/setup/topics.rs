//! Shopify's topics that fill tables of the ERP, and the two forms in which Shopify takes subscriptions to them.
//!
//! Facts: `[[webhooks.subscriptions]]` with `topics`, `compliance_topics` and `uri` (Shopify/cli,
//! `webhook_subscription_schema.ts`); `webhookSubscriptionCreate` takes `uri` since 2025-10 (shopify.dev changelog,
//! "consolidate webhook graphql surfaces"), and no compliance topics (shopify.dev, "Manage webhook subscriptions").

use std::fmt::Write;

/// Version of Shopify's API that the subscriptions ask for.
const API_VERSION: &str = "2026-10";

/// Topics that fill tables of the ERP. The daemon stores all other topics too.
pub(crate) const SHOPIFY_TOPICS: [&str; 22] = [
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

/// Topics of the privacy laws, which every app must receive.
const COMPLIANCE_TOPICS: [&str; 3] = ["customers/data_request", "customers/redact", "shop/redact"];

/// Form in which setup prints the topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TopicFormat {
    /// Section of the app's shopify.app.toml
    Toml,
    /// Shell script that subscribes one shop with the Admin API
    Script,
}

/// Returns the subscriptions to all topics; `base` is `https://` with the name and the port of this machine.
pub(crate) fn render_topics(format: TopicFormat, base: &str) -> String {
    match format {
        TopicFormat::Toml => render_app_config(base),
        TopicFormat::Script => render_script(base),
    }
}

fn topic_address(base: &str, topic: &str) -> String {
    format!("{base}/api/webhooks/shopify/{topic}")
}

fn render_app_config(base: &str) -> String {
    let mut text = format!(
        "# By novex-ingest setup: the section [webhooks] of the app's shopify.app.toml. Replace the section that the file\n\
         # has, then: shopify app deploy\n[webhooks]\napi_version = \"{API_VERSION}\"\n"
    );
    let keys = [("topics", SHOPIFY_TOPICS.as_slice()), ("compliance_topics", COMPLIANCE_TOPICS.as_slice())];
    for (key, topics) in keys {
        for topic in topics {
            let address = topic_address(base, topic);
            let _ = writeln!(text, "\n[[webhooks.subscriptions]]\n{key} = [\"{topic}\"]\nuri = \"{address}\"");
        }
    }
    text
}

fn render_script(base: &str) -> String {
    let mut text = format!(
        r#"#!/bin/sh
# By novex-ingest setup: subscribes a shop to the topics that fill ERP tables. Shopify signs these webhooks with the
# client secret of the app whose token you use, so configure that secret for the shop. Run it again after a failure:
#   SHOP=acme-foods.myshopify.com TOKEN=shpat_... sh FILE
# The topics customers/data_request, customers/redact and shop/redact are settings of the app, not of a shop.
set -eu
: "${{SHOP:?set SHOP to NAME.myshopify.com}}" "${{TOKEN:?set TOKEN to an Admin API access token of the app}}"
api=${{ADMIN_URL:-https://$SHOP}}/admin/api/{API_VERSION}/graphql.json
failed=0
subscribe() {{ # TOPIC ADDRESS
  query='mutation {{ webhookSubscriptionCreate(topic: '$1', webhookSubscription: {{uri: \"'$2'\", format: JSON}}) {{ userErrors {{ message }} }} }}'
  # The token comes from standard input, so that no list of processes shows it.
  answer=$(printf 'header = "X-Shopify-Access-Token: %s"\n' "$TOKEN" | curl --silent --show-error --config - \
    --header 'Content-Type: application/json' --data "{{\"query\":\"$query\"}}" "$api") || answer="no answer"
  case $(printf %s "$answer" | tr -d ' \n') in
    *'"userErrors":[]'*) echo "$1: subscribed" ;;
    *alreadybeentaken*) echo "$1: was subscribed already" ;;
    *) echo "$1: failed: $answer" >&2; failed=1 ;;
  esac
}}
"#
    );
    for topic in SHOPIFY_TOPICS {
        let name = topic.replace('/', "_").to_ascii_uppercase();
        let _ = writeln!(text, "subscribe {name} {}", topic_address(base, topic));
    }
    text.push_str("exit $failed\n");
    text
}
