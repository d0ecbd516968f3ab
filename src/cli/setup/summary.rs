//! Summary at the end of a setup: the addresses and secrets to enter at each provider.

use crate::cli::output::print_line;
use crate::cli::setup::config_text::{ConfigText, SecretSection};
use crate::cli::setup::topics::SHOPIFY_TOPICS;
use crate::clock::{Clock, format_timestamp};
use crate::config::Config;
use crate::doctor::secret_rotation;
use crate::presentation::times::TimeFormat;
use crate::providers::keycloak::AcceptedProofs;
use crate::tls::acme::progress::AcmeProgress;
use crate::tls::{TlsSettings, acme, certificates, expiry};

/// Returns the first part of all addresses.
pub(crate) fn format_base_address(domain: &str, port: u16) -> String {
    if port == 443 { format!("https://{domain}") } else { format!("https://{domain}:{port}") }
}

/// Prints the addresses of all sources, and what keeps their events from arriving.
pub(crate) fn print_summary(config: &Config, domain: &str, times: &TimeFormat) -> anyhow::Result<()> {
    let listen_port = config.server.listen.port();
    let base = format_base_address(domain, listen_port);
    let existing = ConfigText::new(&std::fs::read_to_string(&config.path).unwrap_or_default());
    let secret_location = |name: &str| {
        let references = existing.secret_references(&SecretSection::Provider(name)).unwrap_or_default();
        let directory = config.path.parent().unwrap_or(std::path::Path::new("."));
        match references.first().map(|reference| (reference, reference.strip_prefix("file:"))) {
            Some((_, Some(file))) => format!("cat {}", directory.join(file).display()),
            Some((reference, None)) => format!("as in {reference}"),
            None => String::new(),
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
        print_line(
            "  All at once: `novex-ingest setup --topics toml` for shopify.app.toml, `novex-ingest setup --topics script` \
             for the Admin API.",
        )?;
    }
    if config.easypost.is_some() {
        print_line(&format!(
            "\nEasyPost: Account → Webhooks & Events\n  URL     {base}/api/webhooks/easypost\n  secret  {}",
            secret_location("easypost")
        ))?;
    }
    if let Some(keycloak) = &config.keycloak {
        print_keycloak_steps(&keycloak.accept, &base, &secret_location("keycloak"))?;
    }
    for rotation in secret_rotation::list_rotations(config) {
        print_line(&format!("\n{}.\n  {}.", rotation.describe(), rotation.describe_next_step(Clock::system().now())))?;
    }
    print_line(
        "\nSPS Commerce: novex-ingest fetches purchase orders. Enter the directory from SPS in [[sps.sources]], then: \
         novex-ingest sps poll",
    )?;
    print_certificate_notice(config, domain, times)?;
    print_line(&format!(
        "\nThe router or firewall must forward TCP port {listen_port} to this machine, and the DNS must have an address \
         for {domain}."
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

/// Prints how to send Keycloak's events, by the listeners that can prove themselves in an accepted way.
fn print_keycloak_steps(accept: &AcceptedProofs, base: &str, secret: &str) -> anyhow::Result<()> {
    let url = format!("{base}/api/keycloak/events");
    print_line(&format!("\nKeycloak: an event listener of your realm\n  URL     {url}\n  secret  {secret}"))?;
    if accept.signature {
        print_line(&format!(
            "  Install the listener keycloak-events, https://github.com/p2-inc/keycloak-events: put its jar into\n  \
             /opt/keycloak/providers and restart Keycloak. Add ext-event-webhook in Realm settings → Events → Event\n  \
             listeners. Then create the webhook, as an administrator with the role manage-events:\n  \
             POST https://KEYCLOAK/realms/REALM/webhooks\n  \
             {{\"enabled\":\"true\",\"url\":\"{url}\",\"secret\":\"SECRET\",\"eventTypes\":[\"*\"]}}"
        ))?;
    } else {
        print_line(
            "  The listener keycloak-events, https://github.com/p2-inc/keycloak-events, signs events: to use it, write\n  \
             accept = [\"bearer\", \"signature\"] below [keycloak].",
        )?;
    }
    if accept.bearer {
        print_line("  A listener that sends the secret itself uses the header Authorization: Bearer SECRET.")?;
    }
    if accept.basic {
        print_line(
            "  https://github.com/vymalo/keycloak-webhook sends the secret as the password of HTTP Basic: set\n  \
             WEBHOOK_HTTP_BASE_PATH to the URL and WEBHOOK_HTTP_AUTH_PASSWORD to the secret.",
        )?;
    }
    Ok(())
}

/// Prints the fault of the certificate that keeps providers from sending events, if there is one.
fn print_certificate_notice(config: &Config, domain: &str, times: &TimeFormat) -> anyhow::Result<()> {
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
    let domain = domain.to_ascii_lowercase();
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
