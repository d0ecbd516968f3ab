//! One order, from its names to a certificate (RFC 8555, 7.4).

use super::Settings;
use super::http::Http;
use super::kept::{self, Pending};
use super::trouble::Trouble;
use crate::clock::Timestamp;
use crate::server::challenge::Challenges;
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus,
};
use std::time::Duration;

/// Between two looks at an order, where the authority does not say.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// What the authority may ask for in its place.
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(30);

pub(super) struct Work<'a> {
    pub settings: &'a Settings,
    pub http: &'a Http,
    pub challenges: &'a Challenges,
}

impl Work<'_> {
    /// Private key and chain, as PEM. `replaces`: the certificate that it takes the place of, which counts against no limit.
    pub async fn certificate(
        &self,
        account: &Account,
        replaces: Option<&CertificateIdentifier<'static>>,
    ) -> Result<String, Trouble> {
        if let Some(pending) = kept::pending(self.settings, self.http.now()) {
            if let Some(order) = self.begun(account, &pending).await? {
                return self.finish(order, &pending.key).await;
            }
            kept::drop_pending(self.settings);
        }
        let mut order = self.new_order(account, replaces).await?;
        self.prove(&mut order).await?;
        let key = rcgen::KeyPair::generate().map_err(|error| Trouble::own(error.to_string()))?;
        let pending = Pending { order: order.url().to_owned(), begun: self.http.now(), key };
        // Before anything is issued: what could not be kept is not asked for.
        kept::keep_pending(self.settings, &pending).map_err(|error| Trouble::own(format!("{error:#}")))?;
        self.finish(order, &pending.key).await
    }

    /// The order that was begun before, if its names are proved and it is still good for a certificate.
    async fn begun(&self, account: &Account, pending: &Pending) -> Result<Option<Order>, Trouble> {
        match account.order(pending.order.clone()).await {
            Ok(mut order) => {
                let status = order.state().status;
                let is_good = matches!(status, OrderStatus::Ready | OrderStatus::Processing | OrderStatus::Valid);
                Ok(is_good.then_some(order))
            }
            Err(error) => {
                let trouble = self.trouble(error);
                // The authority has no such order any more, or not for this account.
                if self.is_refused(&trouble) && !trouble.is_lost_account() { Ok(None) } else { Err(trouble) }
            }
        }
    }

    async fn new_order(
        &self,
        account: &Account,
        replaces: Option<&CertificateIdentifier<'static>>,
    ) -> Result<Order, Trouble> {
        let identifiers: Vec<_> = self.settings.names.iter().cloned().map(Identifier::Dns).collect();
        if let Some(old) = replaces {
            match account.new_order(&NewOrder::new(&identifiers).replaces(old.clone())).await {
                Ok(order) => return Ok(order),
                // Whatever there is against replacing that one (another account's, replaced before, not known, not understood): the
                // certificate is what counts.
                Err(error) => {
                    let trouble = self.trouble(error);
                    let is_busy = self.http.said().retry_at.is_some() || self.http.said().status >= 500;
                    if is_busy || trouble.is_limit() || trouble.is_lost_account() {
                        return Err(trouble);
                    }
                }
            }
        }
        account.new_order(&NewOrder::new(&identifiers)).await.map_err(|error| self.trouble(error))
    }

    /// From an order whose names are proved to the certificate.
    async fn finish(&self, mut order: Order, key: &rcgen::KeyPair) -> Result<String, Trouble> {
        if order.state().status == OrderStatus::Ready {
            let request = self.request(key).map_err(|error| Trouble::own(error.to_string()))?;
            if let Err(error) = order.finalize_csr(&request).await {
                return Err(self.over(error));
            }
        }
        loop {
            match order.certificate().await {
                Ok(Some(chain)) => return Ok(format!("{}{chain}", key.serialize_pem())),
                Ok(None) => self.pause().await,
                Err(error) => {
                    if order.state().status == OrderStatus::Invalid {
                        kept::drop_pending(self.settings);
                    }
                    return Err(self.over(error));
                }
            }
        }
    }

    /// Shows for each name that this daemon is where it leads.
    async fn prove(&self, order: &mut Order) -> Result<(), Trouble> {
        let mut authorizations = order.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut authorization = next.map_err(|error| self.trouble(error))?;
            let name = authorization.identifier().to_string();
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => return Err(Trouble::own(format!("the authorization of {name} is {status:?}"))),
            }
            let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
                return Err(Trouble::for_people(format!(
                    "the authority offers no TLS-ALPN-01 for {name}, and nothing else is spoken here"
                )));
            };
            let digest = challenge.key_authorization();
            // Answered before it is said that it is.
            self.challenges.put(&name, digest.digest().as_ref()).map_err(|error| Trouble::own(format!("{error:#}")))?;
            challenge.set_ready().await.map_err(|error| self.trouble(error))?;
        }
        loop {
            let state = order.refresh().await.map_err(|error| self.trouble(error))?;
            match state.status {
                OrderStatus::Ready | OrderStatus::Valid => return Ok(()),
                OrderStatus::Invalid => return Err(self.refused(order).await),
                OrderStatus::Pending | OrderStatus::Processing => self.pause().await,
            }
        }
    }

    /// Why the names were not proved: the challenges say it, and the order only at some authorities.
    async fn refused(&self, order: &mut Order) -> Trouble {
        let of_order = order.state().error.as_ref().and_then(|problem| problem.detail.clone());
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
            reasons.extend(of_order);
        }
        Trouble::own(format!(
            "{} (port 443 of each name must lead to this daemon, by IPv4 and by IPv6 where the name has both, with nothing between \
             that ends TLS)",
            reasons.join("; ")
        ))
    }

    fn request(&self, key: &rcgen::KeyPair) -> Result<Vec<u8>, rcgen::Error> {
        let mut parameters = rcgen::CertificateParams::new(self.settings.names.clone())?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        Ok(parameters.serialize_request(key)?.der().to_vec())
    }

    /// What went wrong with an order that was begun; one that the authority refuses is not gone on with.
    fn over(&self, error: Error) -> Trouble {
        let trouble = self.trouble(error);
        if self.is_refused(&trouble) {
            kept::drop_pending(self.settings);
        }
        trouble
    }

    /// Whether the last answer was a no that stays, and not a word of today.
    fn is_refused(&self, trouble: &Trouble) -> bool {
        let said = self.http.said();
        matches!(said.status, 400..=428 | 430..=499)
            && said.retry_at.is_none()
            && !trouble.is_stale_nonce()
            && !trouble.is_limit()
    }

    fn trouble(&self, error: Error) -> Trouble {
        Trouble::of(error, self.http)
    }

    async fn pause(&self) {
        let wanted = self.http.said().retry_at.map(|at: Timestamp| at.duration_since(self.http.now()));
        let wanted = wanted.and_then(|wait| Duration::try_from(wait).ok()).unwrap_or(LOOK_AGAIN);
        tokio::time::sleep(wanted.clamp(LOOK_AGAIN / 4, LOOK_AGAIN_MAX)).await;
    }
}
