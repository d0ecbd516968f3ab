//! HTTPS client for the daemon of this machine, used by `send`, `setup`, `doctor` and `config check`.
//!
//! The client signs a request as the provider would, connects to the configured address, and trusts this machine's own
//! certificate and no other.

mod samples;

use crate::config::Config;
use crate::config::sections::ShopSettings;
use crate::event::Source;
use crate::providers::{easypost, shopify, test_mark};
use crate::secret::Secret;
use crate::tls::certificates;
use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest wait for an answer. The daemon answers within `server.answer_timeout`; after this time it hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Request that a provider would send. `None` is a default: the usual topic, a made-up body, a new id, the first shop.
#[derive(Debug)]
pub(crate) struct TestRequest {
    pub(crate) source: Source,
    pub(crate) topic: Option<String>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) id: Option<String>,
    pub(crate) shop: Option<String>,
    /// False marks the request as a test event.
    pub(crate) is_real: bool,
}

impl TestRequest {
    /// Returns a test event of a source with all defaults.
    pub(crate) fn new(source: Source) -> Self {
        Self { source, topic: None, body: None, id: None, shop: None, is_real: false }
    }

    pub(crate) fn topic(&self) -> &str {
        self.topic.as_deref().unwrap_or(match self.source {
            Source::Shopify => "orders/create",
            Source::EasyPost => "tracker.updated",
            Source::Keycloak => "access.LOGIN",
            Source::Sps | Source::Local => "",
        })
    }
}

/// Signs a request with the first secret of its source, sends it, and returns the status and body of the answer.
pub(crate) async fn send_test_request(
    config: &Config,
    to: SocketAddr,
    request: TestRequest,
) -> anyhow::Result<(StatusCode, String)> {
    let request = build_signed_request(config, &request)?;
    tokio::time::timeout(ANSWER_TIMEOUT, send_request(config, to, request))
        .await
        .with_context(|| format!("{to} did not answer within {} s", ANSWER_TIMEOUT.as_secs()))?
}

fn build_signed_request(config: &Config, test_request: &TestRequest) -> anyhow::Result<Request<Full<Bytes>>> {
    let (source, topic, is_real) = (test_request.source, test_request.topic(), test_request.is_real);
    // From the system's random source: two processes that start at the same moment must not use one id.
    let id = match &test_request.id {
        Some(id) => id.clone(),
        None => crate::config::dev::generate_random_hex()?[..32].to_owned(),
    };
    let post = |path: &str| {
        Request::post(path).header(header::HOST, "localhost").header(header::CONTENT_TYPE, "application/json")
    };
    // A test request has the mark in place of the provider's proof, so that nobody can make a real one of it.
    let (request, (proof_name, proof), body) = match source {
        Source::Shopify => {
            let shop = find_shop(config, test_request.shop.as_deref())?;
            let domain = shop.domain.as_str();
            let fields = [("shop_domain", domain), ("myshopify_domain", domain)];
            let body = fill_sample(test_request, &fields, FieldUse::IfPresent)?;
            let secret = first_secret(&shop.secrets)?;
            let request = post(&format!("/api/webhooks/shopify/{topic}"))
                .header("x-shopify-topic", topic)
                .header("x-shopify-shop-domain", domain)
                .header("x-shopify-webhook-id", id);
            let proof = if is_real {
                ("x-shopify-hmac-sha256", header::HeaderValue::try_from(shopify::sign_shopify_body(secret, &body))?)
            } else {
                (test_mark::TEST_MARK_HEADER, header::HeaderValue::try_from(test_mark::sign_test_mark(secret, &body))?)
            };
            (request, proof, body)
        }
        Source::EasyPost => {
            let easypost = config.easypost.as_ref().with_context(|| format_missing_section(config, "easypost"))?;
            let id = format!("evt_{id}");
            let fields = [("id", id.as_str()), ("description", topic)];
            let body = fill_sample(test_request, &fields, FieldUse::Always)?;
            let secret = first_secret(&easypost.secrets)?;
            let proof = if is_real {
                ("x-hmac-signature", header::HeaderValue::try_from(easypost::sign_easypost_body(secret, &body))?)
            } else {
                (
                    test_mark::TEST_MARK_HEADER,
                    header::HeaderValue::try_from(easypost::sign_easypost_test_mark(secret, &body))?,
                )
            };
            (post("/api/webhooks/easypost"), proof, body)
        }
        Source::Sps => {
            let sps = config.sps.as_ref().with_context(|| format_missing_section(config, "sps"))?;
            let secret = first_secret(&sps.secrets).context(
                "[sps] has no secrets, so the daemon accepts no poll requests: `novex-ingest sps poll` polls without one",
            )?;
            let token = build_bearer_header(secret)?;
            return Ok(post("/api/sps/poll").header(header::AUTHORIZATION, token).body(Full::default())?);
        }
        Source::Local => bail!("novex-ingest itself makes the events of the source local, so nobody can send one"),
        Source::Keycloak => {
            let keycloak = config.keycloak.as_ref().with_context(|| format_missing_section(config, "keycloak"))?;
            let fields = [("uid", id.as_str()), ("type", topic)];
            let body = fill_sample(test_request, &fields, FieldUse::Always)?;
            let secret = first_secret(&keycloak.secrets)?;
            let proof = if is_real {
                ("authorization", build_bearer_header(secret)?)
            } else {
                (test_mark::TEST_MARK_HEADER, header::HeaderValue::try_from(test_mark::sign_test_mark(secret, &body))?)
            };
            (post("/api/keycloak/events"), proof, body)
        }
    };
    Ok(request.header(proof_name, proof).body(Full::new(Bytes::from(body)))?)
}

/// Which fields of a made-up body get a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FieldUse {
    Always,
    /// Only those that the topic's body has.
    IfPresent,
}

/// Returns the given body, or else the made-up body of the topic with these fields.
fn fill_sample(test_request: &TestRequest, fields: &[(&str, &str)], field_use: FieldUse) -> anyhow::Result<Vec<u8>> {
    if let Some(body) = &test_request.body {
        return Ok(body.clone());
    }
    let mut sample = samples::find_sample_body(test_request.source, test_request.topic())?;
    for (field, value) in fields {
        if field_use == FieldUse::Always || sample.get(field).is_some() {
            sample[field] = (*value).into();
        }
    }
    Ok(serde_json::to_vec(&sample)?)
}

/// Returns the shop of this domain, or the first one.
fn find_shop<'c>(config: &'c Config, domain: Option<&str>) -> anyhow::Result<&'c ShopSettings> {
    let Some(first) = config.shopify.first() else { bail!("{} has no [[shopify.shops]]", config.path.display()) };
    let Some(domain) = domain else { return Ok(first) };
    config.shopify.iter().find(|shop| shop.domain == domain).with_context(|| {
        let domains: Vec<&str> = config.shopify.iter().map(|shop| shop.domain.as_str()).collect();
        format!("{domain} is not configured; {} has {}", config.path.display(), domains.join(", "))
    })
}

fn first_secret(secrets: &[Secret]) -> anyhow::Result<&Secret> {
    secrets.first().context("no secret is configured for this source")
}

fn build_bearer_header(secret: &Secret) -> anyhow::Result<header::HeaderValue> {
    let token = [b"Bearer ", secret.expose()].concat();
    let mut value = header::HeaderValue::from_bytes(&token)
        .context("the secret has a character that an HTTP header cannot hold: use printable ASCII")?;
    value.set_sensitive(true);
    Ok(value)
}

fn format_missing_section(config: &Config, section: &str) -> String {
    format!("{} has no [{section}]", config.path.display())
}

/// Checks that the daemon stored a test event as one.
///
/// # Errors
/// The daemon stored a real event.
pub(crate) fn check_test_answer(answer: &str) -> anyhow::Result<()> {
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap_or_default();
    if answer["test"] != true {
        bail!(
            "the daemon stored event {} as a real event, because it does not know test events: restart it with this \
             version of novex-ingest",
            answer["event_id"]
        );
    }
    Ok(())
}

/// Returns the address at which this machine reaches its own listener: loopback if it listens on all addresses.
pub(crate) fn to_local_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Sends a request to the daemon and returns the status and body of the answer. The caller limits the time.
pub(crate) async fn send_request(
    config: &Config,
    to: SocketAddr,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(StatusCode, String)> {
    let chain = certificates::read_certificate_chain(&certificates::locate_certificate_files(&config.tls).certificate)?;
    let Some(expected) = chain.into_iter().next() else { bail!("the certificate file is empty") };
    let verifier = PinnedCertificateVerifier { expected, provider: certificates::build_crypto_provider() };
    let mut client = ClientConfig::builder_with_provider(Arc::new(certificates::build_crypto_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tcp = TcpStream::connect(to)
        .await
        .with_context(|| format!("nobody listens on {to}; is the daemon running? `systemctl status novex-ingest`"))?;
    let stream = TlsConnector::from(Arc::new(client)).connect(ServerName::try_from("localhost")?, tcp).await;
    let stream = stream.with_context(|| {
        format!("{to} does not present this machine's certificate; does another program use the port? `ss -ltnp`")
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!("{to} broke off its answer: {error}"))?;
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

/// Accepts this machine's own certificate and no other. The client connects to loopback, where no name would match, and
/// the certificate may be self-signed.
#[derive(Debug)]
struct PinnedCertificateVerifier {
    expected: CertificateDer<'static>,
    provider: CryptoProvider,
}

impl ServerCertVerifier for PinnedCertificateVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.expected {
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
