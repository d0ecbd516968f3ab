//! The account at the authority: made once, kept in a file.

use super::Settings;
use super::http::Http;
use super::trouble::Trouble;
use crate::server::tls;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, NewAccount};
use serde::Deserialize;
use std::fs;
use std::path::PathBuf;

pub(super) struct Accounts<'a> {
    pub settings: &'a Settings,
    pub http: &'a Http,
}

/// What of the file is looked at before it is used.
#[derive(Deserialize)]
struct Kept {
    directory: String,
}

impl Accounts<'_> {
    fn file(&self) -> PathBuf {
        self.settings.folder.join("account.json")
    }

    /// The account that was made before, or a new one.
    pub async fn open(&self) -> Result<Account, Trouble> {
        if let Some(account) = self.kept().await? {
            return Ok(account);
        }
        let contact = self.settings.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let binding = self.binding()?;
        let (account, credentials) = Account::builder_with_http(Box::new(self.http.clone()))
            .create(&new, self.settings.directory.clone(), binding.as_ref())
            .await
            .map_err(|error| Trouble::of(error, self.http))?;
        let file = self.file();
        serde_json::to_vec(&credentials)
            .map_err(anyhow::Error::from)
            .and_then(|bytes| tls::write_whole(&file, &bytes, 0o600))
            .map_err(|error| Trouble::own(format!("{error:#}")))?;
        Ok(account)
    }

    /// The account that was made before; `None` if there is none, or a file that is of no use.
    async fn kept(&self) -> Result<Option<Account>, Trouble> {
        let Some(credentials) = self.credentials() else { return Ok(None) };
        let builder = Account::builder_with_http(Box::new(self.http.clone()));
        match builder.from_credentials(credentials).await {
            Ok(account) => Ok(Some(account)),
            // Its key is damaged: what it was good for is lost anyhow.
            Err(Error::KeyRejected | Error::Crypto) => Ok(None),
            Err(error) => Err(Trouble::of(error, self.http)),
        }
    }

    /// One that was made at another authority is of no use here.
    fn credentials(&self) -> Option<AccountCredentials> {
        let bytes = fs::read(self.file()).ok()?;
        let kept: Kept = serde_json::from_slice(&bytes).ok()?;
        (kept.directory == self.settings.directory).then(|| serde_json::from_slice(&bytes).ok()).flatten()
    }

    /// Forgets an account that the authority does not know any more.
    pub fn forget(&self) {
        let _ = fs::remove_file(self.file());
    }

    fn binding(&self) -> Result<Option<ExternalAccountKey>, Trouble> {
        let Some((id, key)) = &self.settings.binding else { return Ok(None) };
        let shown = key.expose().trim_ascii();
        let digits = &shown[..shown.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1)];
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(digits).map_err(|_| {
            Trouble::for_people("the key in tls.acme.secrets is not base64url, as the authority shows it")
        })?;
        Ok(Some(ExternalAccountKey::new(id.clone(), &bytes)))
    }
}
