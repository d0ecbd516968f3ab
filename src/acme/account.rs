//! The account at the authority: made once, kept in a file.

use super::Settings;
use super::http::Http;
use super::trouble::Trouble;
use crate::server::tls;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
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
        let builder = Account::builder_with_http(Box::new(self.http.clone()));
        if let Some(credentials) = self.kept() {
            return builder.from_credentials(credentials).await.map_err(|error| Trouble::of(error, self.http));
        }
        let contact = self.settings.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let binding = self.binding()?;
        let (account, credentials) = builder
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

    /// One that was made at another authority is of no use here.
    fn kept(&self) -> Option<AccountCredentials> {
        let bytes = fs::read(self.file()).ok()?;
        let kept: Kept = serde_json::from_slice(&bytes).ok()?;
        (kept.directory == self.settings.directory).then(|| serde_json::from_slice(&bytes).ok()).flatten()
    }

    /// Forgets an account that the authority does not know any more; false if there was none.
    pub fn forget(&self) -> bool {
        fs::remove_file(self.file()).is_ok()
    }

    fn binding(&self) -> Result<Option<ExternalAccountKey>, Trouble> {
        let Some((id, key)) = &self.settings.binding else { return Ok(None) };
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(key.expose().trim_ascii().trim_ascii_end()).map_err(|_| {
            Trouble::for_people("the key in tls.acme.secrets is not base64url, as the authority shows it")
        })?;
        Ok(Some(ExternalAccountKey::new(id.clone(), &bytes)))
    }
}
