//! `send`: what a provider does, towards the daemon of this box: sign a body, deliver it, print the answer.

use super::{Failure, Place, output};
use crate::config::{Config, Secrets};
use crate::providers::{easypost, shopify};
use crate::secret::Secret;
use crate::server::tls;
use crate::store::envelope::Source;
use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The daemon answers within `server.answer_timeout`; more than this means that it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct Arguments {
    /// shopify, easypost or keycloak
    source: Source,
    /// What happened: orders/create, tracker.updated, access.LOGIN
    topic: Option<String>,
    /// The body; without it a made-up one
    #[arg(long, value_name = "BODY")]
    file: Option<PathBuf>,
    /// The delivery's id; without it a new one. The same id again is a duplicate (Shopify; the others carry it in the body)
    #[arg(long)]
    id: Option<String>,
    /// The shop that sends; without it the first one configured
    #[arg(long)]
    shop: Option<String>,
    /// Where to; without it the configured address on this box
    #[arg(long, value_name = "IP:PORT")]
    to: Option<SocketAddr>,
}

pub fn run(place: &Place, arguments: &Arguments) -> Result<(), Failure> {
    let config = config(place, arguments.source)?;
    let request = request(&config, arguments)?;
    let to = arguments.to.unwrap_or_else(|| reachable(config.server.listen));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (status, answer) = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, deliver(&config, to, request)).await })
        .with_context(|| format!("{to} did not answer within {} s", PATIENCE.as_secs()))??;
    output::line(&answer)?;
    if status != StatusCode::OK {
        return Err(Failure::Failed(anyhow::anyhow!(
            "the daemon answered {status}; `novex-ingest events rejected` and its log say why"
        )));
    }
    Ok(())
}

/// What is needed for one source: a secret of another that cannot be read, such as a credential of a service that is not running, is
/// no reason to refuse.
fn config(place: &Place, source: Source) -> anyhow::Result<Config> {
    let path = place.config_path()?;
    let (config, mut mistakes) = Config::survey(&path, &Config::text(&path)?, Secrets::Load);
    mistakes.list.retain(|mistake| !mistake.key.ends_with("secrets") || mistake.key.starts_with(source.as_str()));
    if mistakes.list.is_empty() { Ok(config) } else { Err(mistakes.into()) }
}

/// Sends a made-up event of a kind to the daemon of this box, signed with the first secret; of a shop, where there are several.
pub(super) async fn sample(config: &Config, source: Source, shop: Option<String>) -> anyhow::Result<StatusCode> {
    let arguments = Arguments { source, topic: None, file: None, id: None, shop, to: None };
    let to = reachable(config.server.listen);
    let answer = tokio::time::timeout(PATIENCE, deliver(config, to, request(config, &arguments)?)).await;
    Ok(answer.with_context(|| format!("{to} did not answer within {} s", PATIENCE.as_secs()))??.0)
}

fn request(config: &Config, arguments: &Arguments) -> anyhow::Result<Request<Full<Bytes>>> {
    // From the system's random source: two processes that are started at once must not have one id.
    let id = match &arguments.id {
        Some(id) => id.clone(),
        None => crate::config::dev::random_hex()?[..32].to_owned(),
    };
    let first = |secrets: &[Secret]| secrets.first().cloned().context("no secret is configured for it");
    let body = |sample: &str, set: &[(&str, Option<&str>)]| -> anyhow::Result<Vec<u8>> {
        if let Some(file) = &arguments.file {
            return std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()));
        }
        let mut body: serde_json::Value = serde_json::from_str(sample)?;
        for (field, value) in set {
            if let Some(value) = value {
                body[field] = (*value).into();
            }
        }
        Ok(serde_json::to_vec(&body)?)
    };
    let topic = arguments.topic.as_deref();
    let post = |path: &str| {
        Request::post(path).header(header::HOST, "localhost").header(header::CONTENT_TYPE, "application/json")
    };
    let (request, body) = match arguments.source {
        Source::Shopify => {
            let shop = match &arguments.shop {
                Some(domain) => config.shopify.iter().find(|shop| &shop.domain == domain),
                None => config.shopify.first(),
            };
            let shop = shop.with_context(|| format!("{} has no such [[shopify.shops]]", config.path.display()))?;
            let topic = topic.unwrap_or("orders/create");
            let body = body(include_str!("samples/orders-create.json"), &[])?;
            let request = post(&format!("/api/webhooks/shopify/{topic}"))
                .header("x-shopify-topic", topic)
                .header("x-shopify-shop-domain", &shop.domain)
                .header("x-shopify-webhook-id", id)
                .header("x-shopify-hmac-sha256", shopify::sign(&first(&shop.secrets)?, &body));
            (request, body)
        }
        Source::EasyPost => {
            let easypost = config.easypost.as_ref().with_context(|| missing(config, "easypost"))?;
            let id = format!("evt_{id}");
            let set = [("id", Some(id.as_str())), ("description", topic)];
            let body = body(include_str!("samples/tracker-updated.json"), &set)?;
            let signature = easypost::sign(&first(&easypost.secrets)?, &body);
            (post("/api/webhooks/easypost").header("x-hmac-signature", signature), body)
        }
        Source::Sps => {
            let sps =
                config.sps.as_ref().filter(|sps| !sps.secrets.is_empty()).with_context(|| missing(config, "sps"))?;
            let token = [b"Bearer ", first(&sps.secrets)?.expose()].concat();
            let mut value = header::HeaderValue::from_bytes(&token).context("the secret cannot stand in a header")?;
            value.set_sensitive(true);
            (post("/api/sps/poll").header(header::AUTHORIZATION, value), Vec::new())
        }
        Source::Keycloak => {
            let keycloak = config.keycloak.as_ref().with_context(|| missing(config, "keycloak"))?;
            let set = [("uid", Some(id.as_str())), ("type", topic)];
            let body = body(include_str!("samples/login.json"), &set)?;
            let token = [b"Bearer ", first(&keycloak.secrets)?.expose()].concat();
            let mut value = header::HeaderValue::from_bytes(&token).context("the secret cannot stand in a header")?;
            value.set_sensitive(true);
            (post("/api/keycloak/events").header(header::AUTHORIZATION, value), body)
        }
    };
    Ok(request.body(Full::new(Bytes::from(body)))?)
}

fn missing(config: &Config, section: &str) -> String {
    format!("{} has no [{section}]", config.path.display())
}

/// Every address of this box is also reached at its loopback.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

pub(super) async fn deliver(
    config: &Config,
    to: SocketAddr,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(StatusCode, String)> {
    let expected = tls::certificates(&tls::files(&config.tls).certificate)?;
    let Some(own) = expected.into_iter().next() else { bail!("the certificate's file is empty") };
    let verifier = Pinned { own, provider: tls::provider() };
    let mut client = ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tcp = TcpStream::connect(to)
        .await
        .with_context(|| format!("nobody listens on {to}; is the daemon running? `systemctl status novex-ingest`"))?;
    let stream = TlsConnector::from(Arc::new(client))
        .connect(ServerName::try_from("localhost")?, tcp)
        .await
        .with_context(|| format!("{to} speaks no TLS with this box's certificate: is it another program?"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = http_body_util::Limited::new(response.into_body(), 64 << 10)
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?;
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

/// Takes this box's own certificate and no other: it is reached at the loopback, where no name would fit, and may be
/// self-signed.
#[derive(Debug)]
struct Pinned {
    own: CertificateDer<'static>,
    provider: CryptoProvider,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.own {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
