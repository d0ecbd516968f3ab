//! Checks of the hosts that this machine must reach: destinations, EDI sources and the certificate authority.
//!
//! No check here shows whether the providers reach this machine from outside.

use crate::config::Config;
use crate::delivery::destinations::DestinationKind;
use crate::doctor::Findings;
use crate::doctor::deliveries::DeliveryQueues;
use crate::runtime;
use crate::tls::TlsSettings;
use crate::transfer::source::SourceLocation;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

const NETWORK_TIMEOUT: Duration = Duration::from_secs(5);
const FIREWALL_FIX: &str = "Check that it runs, and that the firewall lets this machine connect to it.";

/// Part of novex-ingest that needs a host.
struct HostUser {
    /// It in words: `destination erp`.
    name: String,
    /// The name of the destination if it is one.
    destination: Option<String>,
    /// Consequence if the host cannot be reached.
    consequence: String,
}

/// Hosts with their port, each with the parts that need it.
#[derive(Default)]
struct RequiredHosts(BTreeMap<(String, u16), Vec<HostUser>>);

impl RequiredHosts {
    /// Adds the host of a URL. The configuration has refused URLs that do not parse.
    fn add_url(&mut self, url: &str, user: HostUser) {
        if let Ok(url) = reqwest::Url::parse(url)
            && let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default())
        {
            let host = host.trim_matches(['[', ']']).to_owned();
            self.0.entry((host, port)).or_default().push(user);
        }
    }
}

/// Reason why a host cannot be reached, and the fix.
struct ConnectError {
    reason: String,
    fix: String,
}

/// Checks each host. Returns the names of the destinations that cannot be reached.
pub(crate) fn check_network(
    config: &Config,
    queues: &DeliveryQueues,
    findings: &mut Findings,
) -> anyhow::Result<BTreeSet<String>> {
    let mut unreachable = BTreeSet::new();
    let hosts = collect_required_hosts(config, queues);
    runtime::block_on(async {
        if let TlsSettings::Acme(acme) = &config.tls {
            check_public_names(&acme.names, findings).await;
        }
        for ((host, port), users) in &hosts.0 {
            match connect_to_host(host, *port).await {
                Ok(()) => {
                    let names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
                    let names = names.join(" and ");
                    findings.add_passed("network", format!("{host}:{port} of {names} accepts connections"));
                }
                Err(error) => {
                    for HostUser { name, destination, consequence } in users {
                        unreachable.extend(destination.clone());
                        let summary = format!("{name} cannot be reached; {consequence}");
                        let message = format!("{name} cannot be reached: {}; {consequence}", error.reason);
                        findings.add_failure_with_summary("network", summary, message, error.fix.as_str());
                    }
                }
            }
        }
    })?;
    Ok(unreachable)
}

fn collect_required_hosts(config: &Config, queues: &DeliveryQueues) -> RequiredHosts {
    let file_source = |name| HostUser { name, destination: None, consequence: "its files wait there".to_owned() };
    let mut hosts = RequiredHosts::default();
    for destination in &config.destinations {
        if let DestinationKind::Http { url, .. } = &destination.kind {
            let user = HostUser {
                name: format!("destination {}", destination.name),
                destination: Some(destination.name.clone()),
                consequence: queues.describe_waiting(&destination.name),
            };
            hosts.add_url(url, user);
        }
    }
    for source in config.sps.iter().flat_map(|sps| &sps.sources) {
        let name = format!("EDI source {}", source.name);
        match &source.location {
            SourceLocation::SpsApi(api) => {
                hosts.add_url(&api.token_url, file_source(format!("the token server of {name}")));
                hosts.add_url(&api.url, file_source(name));
            }
            SourceLocation::Sftp(sftp) => {
                hosts.add_url(&format!("sftp://{}:{}", sftp.host, sftp.port), file_source(name));
            }
            SourceLocation::Local { .. } => {}
        }
    }
    if let TlsSettings::Acme(acme) = &config.tls {
        let user = HostUser {
            name: "the certificate authority".to_owned(),
            destination: None,
            consequence: "the certificate cannot be renewed".to_owned(),
        };
        hosts.add_url(&acme.directory_url, user);
    }
    if let Some(oidc) = &config.console.oidc {
        let user = HostUser {
            name: "the provider of [console.oidc]".to_owned(),
            destination: None,
            consequence: "nobody can sign in to the console through it".to_owned(),
        };
        hosts.add_url(&oidc.issuer, user);
    }
    hosts
}

/// Checks that the names of the certificate have an address.
async fn check_public_names(names: &[String], findings: &mut Findings) {
    for name in names {
        let lookup = timeout(NETWORK_TIMEOUT, lookup_host((name.as_str(), 443))).await;
        if !lookup.is_ok_and(|addresses| addresses.is_ok_and(|mut addresses| addresses.next().is_some())) {
            findings.add_warning(
                "network",
                format!("{name} has no address in this machine's DNS"),
                "Add it to the DNS of your domain: the authority and the providers find this machine by it.",
            );
        }
    }
}

async fn connect_to_host(host: &str, port: u16) -> Result<(), ConnectError> {
    let fail = |reason: String, fix: &str| Err(ConnectError { reason, fix: fix.to_owned() });
    let addresses = match timeout(NETWORK_TIMEOUT, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
        Ok(Err(error)) => {
            return fail(
                format!("{host} has no address ({error})"),
                &format!("Check the name and DNS: `getent hosts {host}`"),
            );
        }
        Err(_elapsed) => {
            return fail(format!("DNS gave no address of {host} in time"), "Check DNS: /etc/resolv.conf");
        }
    };
    match timeout(NETWORK_TIMEOUT, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            fail(format!("nobody answers at {host}:{port} (connection refused)"), FIREWALL_FIX)
        }
        Ok(Err(error)) => fail(format!("no connection to {host}:{port} ({error})"), FIREWALL_FIX),
        Err(_elapsed) => {
            fail(format!("{host}:{port} does not answer within {} s", NETWORK_TIMEOUT.as_secs()), FIREWALL_FIX)
        }
    }
}
