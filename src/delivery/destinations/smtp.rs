//! `type = "smtp"` of a channel for alerts: one e-mail for each message, over TLS.
//!
//! The Message-ID comes from the event, so that it is the same in each attempt, and a mail program recognises a second
//! copy. TLS is rustls with ring, as everywhere.

use crate::delivery::alert_message::AlertMessage;
use crate::delivery::destinations::{OutboundEvent, SendResult};
use crate::http_client::describe_connection_error;
use crate::secret::Secret;
use crate::store::leases::delivery_outcomes::Cause;
use anyhow::Context;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use std::path::PathBuf;
use std::time::Duration;

/// How the connection to the server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// TLS begins after STARTTLS; a server without it gets no message.
    StartTls,
    /// TLS begins with the connection.
    Implicit,
    /// None: the configuration allows it on this machine only.
    None,
}

impl SmtpSecurity {
    /// Returns the port that servers use for it (RFC 6409, RFC 8314).
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}

/// User name and password at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpLogin {
    pub user: String,
    pub password: Secret,
}

/// Settings of a mail server, with sender and recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpSettings {
    pub host: String,
    pub port: u16,
    pub security: SmtpSecurity,
    /// Authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    pub login: Option<SmtpLogin>,
    pub from: String,
    pub to: Vec<String>,
}

/// Checks an address: `ops@example.com` or `Ops <ops@example.com>`.
///
/// # Errors
/// The fault.
pub fn check_mail_address(text: &str) -> Result<(), String> {
    text.parse::<Mailbox>().map(drop).map_err(|error| error.to_string())
}

/// Mail server with sender and recipients.
#[derive(Clone)]
pub struct SmtpDestination {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    /// Host and port, for errors.
    address: String,
    user: Option<String>,
    from: Mailbox,
    to: Vec<Mailbox>,
    timeout: Duration,
}

impl SmtpDestination {
    /// Builds the client. It connects for each message.
    ///
    /// # Errors
    /// A message if an address is not valid or a certificate cannot be read.
    pub fn new(settings: &SmtpSettings, timeout: Duration) -> anyhow::Result<Self> {
        let parse = |text: &str| text.parse::<Mailbox>().with_context(|| format!("{text:?} is not an e-mail address"));
        let tls = || {
            let mut parameters = TlsParameters::builder(settings.host.clone());
            if let Some(file) = &settings.ca_file {
                let unreadable = || format!("the certificate {} cannot be read", file.display());
                let pem = std::fs::read(file).with_context(unreadable)?;
                parameters = parameters.add_root_certificate(Certificate::from_pem(&pem).with_context(unreadable)?);
            }
            parameters.build_rustls().context("TLS cannot be used")
        };
        let tls = match settings.security {
            SmtpSecurity::StartTls => Tls::Required(tls()?),
            SmtpSecurity::Implicit => Tls::Wrapper(tls()?),
            SmtpSecurity::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .tls(tls)
            .hello_name(name_client())
            .timeout(Some(timeout));
        if let Some(SmtpLogin { user, password }) = &settings.login {
            let password = String::from_utf8(password.expose().to_vec()).context("the password is not UTF-8")?;
            builder = builder
                .credentials(Credentials::new(user.clone(), password))
                .authentication(vec![Mechanism::Plain, Mechanism::Login]);
        }
        Ok(Self {
            transport: builder.build(),
            address: format!("{}:{}", settings.host, settings.port),
            user: settings.login.as_ref().map(|login| login.user.clone()),
            from: parse(&settings.from)?,
            to: settings.to.iter().map(|text| parse(text)).collect::<Result<_, _>>()?,
            timeout,
        })
    }

    pub(crate) async fn send(&self, outbound: &OutboundEvent) -> SendResult {
        let message = match self.build_message(outbound) {
            Ok(message) => message,
            Err(error) => return SendResult::Rejected { error: format!("no e-mail can be made of it: {error:#}") },
        };
        match tokio::time::timeout(self.timeout, self.transport.send(message)).await {
            Ok(Ok(_response)) => SendResult::Delivered,
            Ok(Err(error)) => self.describe_failure(&error),
            Err(_elapsed) => SendResult::Unavailable {
                error: format!("{} did not take the message within {:?}", self.address, self.timeout),
                cause: Cause::NotReceived,
                retry_at: None,
            },
        }
    }

    fn build_message(&self, outbound: &OutboundEvent) -> anyhow::Result<Message> {
        let message: AlertMessage = serde_json::from_slice(&outbound.body)?;
        let webhook_id = &outbound.event.key.webhook_id;
        // Each test is a message of its own.
        let unique =
            if outbound.is_test { format!("{webhook_id}-{:016x}", fastrand::u64(..)) } else { webhook_id.clone() };
        let domain = self.from.email.domain();
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(message.subject)
            .message_id(Some(format!("<novex-ingest-{unique}@{domain}>")))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN);
        for recipient in &self.to {
            builder = builder.to(recipient.clone());
        }
        Ok(builder.body(message.text)?)
    }

    fn describe_failure(&self, error: &SmtpError) -> SendResult {
        let (address, status) = (&self.address, error.status().map(u16::from));
        let unavailable = |error, cause| SendResult::Unavailable { error, cause, retry_at: None };
        let chain = format_error_chain(error);
        match (status, &self.user) {
            // RFC 4954: the server does not accept the login. A corrected password delivers the message later.
            (Some(530 | 534 | 535 | 538), Some(user)) => {
                unavailable(format!("{address} refused the user {user:?} or the password: {chain}"), Cause::NotReceived)
            }
            (Some(530), None) => {
                unavailable(format!("{address} demands a user and a password: {chain}"), Cause::NotReceived)
            }
            _ if error.is_permanent() => {
                SendResult::Rejected { error: format!("{address} refused the message: {chain}") }
            }
            _ if error.is_transient() => {
                SendResult::RetryLater { error: format!("{address} puts the message off: {chain}"), retry_at: None }
            }
            _ if error.is_timeout() => unavailable(format!("{address} did not answer in time"), Cause::NotReceived),
            _ => {
                let unreachable = describe_connection_error(address, error);
                let text = unreachable.unwrap_or_else(|| format!("no message could be sent to {address}: {chain}"));
                unavailable(text, Cause::NotReached)
            }
        }
    }
}

/// Returns the error with its causes.
fn format_error_chain(error: &SmtpError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    text
}

/// Returns the name by which this machine greets the server: its host name if it is a domain, else lettre's address
/// literal.
fn name_client() -> ClientId {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let is_domain =
        name.contains('.') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    if is_domain { ClientId::Domain(name) } else { ClientId::default() }
}
