//! The account at the authority: created once, stored in a file.

use crate::tls::acme::error::AcmeError;
use crate::tls::acme::http::AcmeHttpClient;
use crate::tls::acme::{AcmeSettings, storage};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, NewAccount};
use serde::Deserialize;
use std::fs;
use std::path::PathBuf;

pub(crate) struct AccountStore<'a> {
    pub settings: &'a AcmeSettings,
    pub http: &'a AcmeHttpClient,
}

/// The part of the file that the store reads before it uses the rest.
#[derive(Deserialize)]
struct StoredAccount {
    directory: String,
}

impl AccountStore<'_> {
    fn account_path(&self) -> PathBuf {
        self.settings.state_directory.join("account.json")
    }

    /// Returns the stored account, or creates and stores one.
    pub async fn load_or_create(&self) -> Result<Account, AcmeError> {
        if let Some(account) = self.load_stored().await? {
            return Ok(account);
        }
        let contact = self.settings.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let binding = self.external_account_key()?;
        let (account, credentials) = Account::builder_with_http(Box::new(self.http.clone()))
            .create(&new, self.settings.directory_url.clone(), binding.as_ref())
            .await
            .map_err(|error| AcmeError::from_client_error(error, self.http))?;
        serde_json::to_vec(&credentials)
            .map_err(anyhow::Error::from)
            .and_then(|bytes| storage::write_state_file(&self.account_path(), &bytes))
            .map_err(|error| AcmeError::transient(format!("{error:#}")))?;
        Ok(account)
    }

    /// Returns the stored account; `None` if there is none or its file is unusable.
    async fn load_stored(&self) -> Result<Option<Account>, AcmeError> {
        let Some(credentials) = self.read_credentials() else { return Ok(None) };
        let builder = Account::builder_with_http(Box::new(self.http.clone()));
        match builder.from_credentials(credentials).await {
            Ok(account) => Ok(Some(account)),
            // The key is damaged, so nobody can use the account any more.
            Err(Error::KeyRejected | Error::Crypto) => Ok(None),
            Err(error) => Err(AcmeError::from_client_error(error, self.http)),
        }
    }

    /// Reads the stored credentials; `None` for an account at another authority.
    fn read_credentials(&self) -> Option<AccountCredentials> {
        let bytes = fs::read(self.account_path()).ok()?;
        let stored: StoredAccount = serde_json::from_slice(&bytes).ok()?;
        (stored.directory == self.settings.directory_url).then(|| serde_json::from_slice(&bytes).ok()).flatten()
    }

    /// Deletes an account that the authority no longer knows.
    pub fn delete_stored(&self) {
        let _ = fs::remove_file(self.account_path());
    }

    fn external_account_key(&self) -> Result<Option<ExternalAccountKey>, AcmeError> {
        let Some((id, key)) = &self.settings.external_account else { return Ok(None) };
        let text = key.expose().trim_ascii();
        let unpadded = &text[..text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1)];
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(unpadded).map_err(|_| {
            AcmeError::needs_operator("the key in tls.acme.secrets is not base64url, as the authority shows it")
        })?;
        Ok(Some(ExternalAccountKey::new(id.clone(), &bytes)))
    }
}
