//! Whom this box must reach: destinations and EDI sources. Who must reach it from outside cannot be told from here.

use super::Findings;
use crate::cli::work;
use crate::config::Config;
use crate::config::sections::Tls;
use crate::destinations::Kind;
use crate::sps::Place;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn look(config: &Config, findings: &mut Findings) -> anyhow::Result<()> {
    let mut hosts: BTreeSet<(String, u16)> = BTreeSet::new();
    let mut by_url = |url: &str| {
        if let Ok(url) = reqwest::Url::parse(url)
            && let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default())
        {
            hosts.insert((host.trim_matches(['[', ']']).to_owned(), port));
        }
    };
    for destination in &config.destinations {
        if let Kind::Http { url, .. } = &destination.kind {
            by_url(url);
        }
    }
    for source in config.sps.iter().flat_map(|sps| &sps.sources) {
        match &source.place {
            Place::Api(api) => {
                by_url(&api.url);
                by_url(&api.token_url);
            }
            Place::Sftp(sftp) => by_url(&format!("sftp://{}:{}", sftp.host, sftp.port)),
            Place::Files { .. } => {}
        }
    }
    let mut names = Vec::new();
    if let Tls::Acme(acme) = &config.tls {
        by_url(&acme.directory);
        names.clone_from(&acme.names);
    }
    let answers = work::block_on(async {
        let mut answers = Vec::new();
        for (host, port) in hosts {
            let answer = reach(&host, port).await;
            answers.push((host, port, answer));
        }
        answers
    })?;
    let unknown = work::block_on(async {
        let mut unknown = Vec::new();
        for name in names {
            let found = timeout(PATIENCE, lookup_host((name.as_str(), 443))).await;
            if !found.is_ok_and(|found| found.is_ok_and(|mut addresses| addresses.next().is_some())) {
                unknown.push(name);
            }
        }
        unknown
    })?;
    for name in unknown {
        let mend = "Enter it where your domain's names are kept; the authority and the providers come by it.";
        findings.note("network", format!("{name} has no address as this box sees it"), mend);
    }
    for (host, port, answer) in answers {
        match answer {
            Ok(()) => findings.well("network", format!("{host}:{port} can be reached")),
            Err((said, mend)) => findings.wrong("network", format!("{host}:{port} {said}"), mend),
        }
    }
    for destination in &config.destinations {
        if let Kind::Directory { path } | Kind::Outgoing { path } = &destination.kind
            && !path.is_dir()
        {
            let mend = format!("mkdir -p {}, and give it to the user novex-ingest", path.display());
            findings.wrong("destinations", format!("{} of {} is no directory", path.display(), destination.name), mend);
        }
    }
    Ok(())
}

async fn reach(host: &str, port: u16) -> Result<(), (String, String)> {
    let addresses = match timeout(PATIENCE, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
        Ok(Err(error)) => {
            return Err((format!("has no address: {error}"), "Check the name, and DNS: getent hosts NAME".to_owned()));
        }
        Err(_late) => return Err(("has no address in time".to_owned(), "Check DNS: /etc/resolv.conf".to_owned())),
    };
    match timeout(PATIENCE, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            Err((format!("cannot be reached: {error}"), "Is it up, and does the firewall let this box out?".to_owned()))
        }
        Err(_late) => {
            Err(("does not answer".to_owned(), "Is it up, and does the firewall let this box out?".to_owned()))
        }
    }
}
