//! Completes one order, from its names to a certificate (RFC 8555, 7.4).

use crate::clock::Timestamp;
use crate::tls::acme::error::AcmeError;
use crate::tls::acme::http::AcmeHttpClient;
use crate::tls::acme::storage::PendingOrder;
use crate::tls::acme::{AcmeSettings, storage};
use crate::tls::challenge::ChallengeResolver;
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus,
};
use std::time::Duration;

/// Interval of checks on an order, if the authority states none.
const ORDER_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Longest interval that the authority may ask for instead.
const ORDER_POLL_INTERVAL_MAX: Duration = Duration::from_secs(30);

pub(crate) struct OrderClient<'a> {
    pub settings: &'a AcmeSettings,
    pub http: &'a AcmeHttpClient,
    pub challenges: &'a ChallengeResolver,
}

impl OrderClient<'_> {
    /// Returns private key and chain, as PEM.
    ///
    /// `replaces` is the certificate to renew: a renewal does not count against the authority's limits.
    pub async fn obtain_certificate(
        &self,
        account: &Account,
        replaces: Option<&CertificateIdentifier<'static>>,
    ) -> Result<String, AcmeError> {
        if let Some(pending) = storage::load_pending_order(self.settings, self.http.now()) {
            if let Some(order) = self.resume_order(account, &pending).await? {
                return self.finalize_order(order, &pending.key).await;
            }
            storage::delete_pending_order(self.settings);
        }
        let mut order = self.create_order(account, replaces).await?;
        self.complete_challenges(&mut order).await?;
        let key = rcgen::KeyPair::generate().map_err(|error| AcmeError::transient(error.to_string()))?;
        let pending = PendingOrder { order_url: order.url().to_owned(), started_at: self.http.now(), key };
        // Before the authority issues anything: the daemon does not request a certificate that it cannot store.
        storage::save_pending_order(self.settings, &pending)
            .map_err(|error| AcmeError::transient(format!("{error:#}")))?;
        self.finalize_order(order, &pending.key).await
    }

    /// Returns the pending order, if its names are validated and it can still give a certificate.
    async fn resume_order(&self, account: &Account, pending: &PendingOrder) -> Result<Option<Order>, AcmeError> {
        match account.order(pending.order_url.clone()).await {
            Ok(mut order) => {
                let status = order.state().status;
                let is_usable = matches!(status, OrderStatus::Ready | OrderStatus::Processing | OrderStatus::Valid);
                Ok(is_usable.then_some(order))
            }
            Err(error) => {
                let error = self.to_acme_error(error);
                // The authority no longer has this order, or it belongs to another account.
                if self.is_permanent_refusal(&error) && !error.is_account_lost() { Ok(None) } else { Err(error) }
            }
        }
    }

    async fn create_order(
        &self,
        account: &Account,
        replaces: Option<&CertificateIdentifier<'static>>,
    ) -> Result<Order, AcmeError> {
        let identifiers: Vec<_> = self.settings.names.iter().cloned().map(Identifier::Dns).collect();
        if let Some(old) = replaces {
            match account.new_order(&NewOrder::new(&identifiers).replaces(old.clone())).await {
                Ok(order) => return Ok(order),
                // The authority may refuse the replacement: another account's certificate, already replaced, unknown,
                // not supported. The certificate matters more: request it as a new one.
                Err(error) => {
                    let error = self.to_acme_error(error);
                    let is_busy =
                        self.http.last_response().retry_at.is_some() || self.http.last_response().status >= 500;
                    if is_busy || error.is_rate_limited() || error.is_account_lost() {
                        return Err(error);
                    }
                }
            }
        }
        account.new_order(&NewOrder::new(&identifiers)).await.map_err(|error| self.to_acme_error(error))
    }

    /// Returns the certificate of an order whose names are validated.
    async fn finalize_order(&self, mut order: Order, key: &rcgen::KeyPair) -> Result<String, AcmeError> {
        if order.state().status == OrderStatus::Ready {
            let request = self.build_csr(key).map_err(|error| AcmeError::transient(error.to_string()))?;
            if let Err(error) = order.finalize_csr(&request).await {
                return Err(self.handle_order_error(error));
            }
        }
        loop {
            match order.certificate().await {
                Ok(Some(chain)) => return Ok(format!("{}{chain}", key.serialize_pem())),
                Ok(None) => self.wait_for_next_poll().await,
                Err(error) => {
                    if order.state().status == OrderStatus::Invalid {
                        storage::delete_pending_order(self.settings);
                    }
                    return Err(self.handle_order_error(error));
                }
            }
        }
    }

    /// Proves for each name that it leads to this daemon.
    async fn complete_challenges(&self, order: &mut Order) -> Result<(), AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut authorization = next.map_err(|error| self.to_acme_error(error))?;
            let name = authorization.identifier().to_string();
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => return Err(AcmeError::transient(format!("the authorization of {name} is {status:?}"))),
            }
            let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
                return Err(AcmeError::needs_operator(format!(
                    "the authority offers no TLS-ALPN-01 challenge for {name}, the only one that novex-ingest supports"
                )));
            };
            let digest = challenge.key_authorization();
            // The daemon can answer before it announces that it can.
            self.challenges
                .insert(&name, digest.digest().as_ref())
                .map_err(|error| AcmeError::transient(format!("{error:#}")))?;
            challenge.set_ready().await.map_err(|error| self.to_acme_error(error))?;
        }
        loop {
            let state = order.refresh().await.map_err(|error| self.to_acme_error(error))?;
            match state.status {
                OrderStatus::Ready | OrderStatus::Valid => return Ok(()),
                OrderStatus::Invalid => return Err(self.authorization_error(order).await),
                OrderStatus::Pending | OrderStatus::Processing => self.wait_for_next_poll().await,
            }
        }
    }

    /// Returns why the validation failed. The challenges state it; the order does so only at some authorities.
    async fn authorization_error(&self, order: &mut Order) -> AcmeError {
        let order_error = order.state().error.as_ref().and_then(|problem| problem.detail.clone());
        let mut reasons = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let name = authorization.identifier().to_string();
            if let Ok(state) = authorization.refresh().await {
                let problems = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
                reasons.extend(
                    problems
                        .map(|problem| format!("{name}: {}", problem.detail.as_deref().unwrap_or("no reason given"))),
                );
            }
        }
        if reasons.is_empty() {
            reasons.extend(order_error);
        }
        AcmeError::transient(format!(
            "{} (port 443 of each name must lead to this daemon, over IPv4 and over IPv6 where the name has both; no \
             proxy may terminate TLS)",
            reasons.join("; ")
        ))
    }

    fn build_csr(&self, key: &rcgen::KeyPair) -> Result<Vec<u8>, rcgen::Error> {
        let mut parameters = rcgen::CertificateParams::new(self.settings.names.clone())?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        Ok(parameters.serialize_request(key)?.der().to_vec())
    }

    /// Converts the error of a started order. Deletes the order if the authority refused it for good.
    fn handle_order_error(&self, error: Error) -> AcmeError {
        let error = self.to_acme_error(error);
        if self.is_permanent_refusal(&error) {
            storage::delete_pending_order(self.settings);
        }
        error
    }

    /// Returns whether the last response was a permanent refusal, not a temporary one.
    fn is_permanent_refusal(&self, error: &AcmeError) -> bool {
        let response = self.http.last_response();
        matches!(response.status, 400..=428 | 430..=499)
            && response.retry_at.is_none()
            && !error.is_stale_nonce()
            && !error.is_rate_limited()
    }

    fn to_acme_error(&self, error: Error) -> AcmeError {
        AcmeError::from_client_error(error, self.http)
    }

    async fn wait_for_next_poll(&self) {
        let stated = self.http.last_response().retry_at.map(|at: Timestamp| at.duration_since(self.http.now()));
        let wait = stated.and_then(|wait| Duration::try_from(wait).ok()).unwrap_or(ORDER_POLL_INTERVAL);
        tokio::time::sleep(wait.clamp(ORDER_POLL_INTERVAL / 4, ORDER_POLL_INTERVAL_MAX)).await;
    }
}
