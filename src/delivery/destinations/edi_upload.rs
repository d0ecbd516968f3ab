//! `sps.outgoing` at an EDI source: uploads outbound documents to a directory of an SFTP server or of SPS's API.

use crate::clock::Timestamp;
use crate::delivery::destinations::directory::sanitize_file_name;
use crate::delivery::destinations::{OutboundEvent, SendResult};
use crate::store::leases::delivery_outcomes::Cause;
use crate::transfer::source::SourceSettings;
use crate::transfer::{TransferError, Transport};

/// Directory at an EDI source for outbound documents.
#[derive(Debug, Clone)]
pub struct EdiUploadDestination {
    source: SourceSettings,
}

impl EdiUploadDestination {
    /// Creates a destination for the directory of a source.
    #[must_use]
    pub fn new(source: SourceSettings) -> Self {
        Self { source }
    }

    pub(crate) async fn send(&self, outbound: &OutboundEvent, now: Timestamp) -> SendResult {
        let name = sanitize_file_name(&outbound.event.key.webhook_id);
        let upload = tokio::time::timeout(self.source.timeout, self.upload_document(&name, &outbound.body));
        let error = match upload.await {
            Ok(Ok(())) => return SendResult::Delivered,
            Ok(Err(error)) => error,
            Err(_late) => TransferError::Source(format!("the upload did not finish within {:?}", self.source.timeout)),
        };
        let with_name = |error: String| format!("{}: {error}", self.source.name);
        match error {
            TransferError::RetryLater(error, wait) => {
                SendResult::RetryLater { error: with_name(error), retry_at: now.checked_add(wait).ok() }
            }
            // The error concerns this file and can be temporary. Other files may succeed.
            TransferError::File(error) => {
                SendResult::Unavailable { error: with_name(error), retry_at: None, cause: Cause::FailedOnDelivery }
            }
            TransferError::Source(error) => {
                SendResult::Unavailable { error: with_name(error), retry_at: None, cause: Cause::NotReached }
            }
            TransferError::NotFound => {
                let error = with_name("there is no such directory".to_owned());
                SendResult::Unavailable { error, retry_at: None, cause: Cause::NotReached }
            }
        }
    }

    async fn upload_document(&self, name: &str, bytes: &[u8]) -> Result<(), TransferError> {
        let (transport, _host_key) = Transport::connect(&self.source, None).await?;
        let result = transport.upload(name, bytes).await;
        transport.close().await;
        result
    }
}
