//! `type = "directory"`: writes one file for each event.
//!
//! [`write_atomic`] writes the file, so that a reader never sees a partial one. The name begins with the event id.
//! Names therefore sort in the order of the events, and a repeated delivery replaces its own file. The name has no
//! shop; a metadata file has it, with all that an HTTP destination gets as headers.

use crate::delivery::destinations::{OutboundEvent, SendResult};
use crate::files::write_atomic;
use crate::store::leases::delivery_outcomes::Cause;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Mode of the files: the group of the directory may read them, if the directory has the set-group-id bit.
const FILE_MODE: u32 = 0o640;

/// Directory from which another program takes the files.
#[derive(Debug, Clone)]
pub struct DirectoryDestination {
    path: PathBuf,
    timeout: Duration,
    /// True if the webhook id of the event is its file name, as for outbound documents.
    is_edi_outbound: bool,
    /// True if each file has a metadata file beside it.
    has_metadata: bool,
}

impl DirectoryDestination {
    /// Creates a directory for events, one file for each, with a metadata file beside it if `has_metadata` is true.
    #[must_use]
    pub fn new(path: PathBuf, timeout: Duration, has_metadata: bool) -> Self {
        Self { path, timeout, is_edi_outbound: false, has_metadata }
    }

    /// Creates a directory for outbound EDI documents, which have their own file names.
    #[must_use]
    pub fn for_edi_documents(path: PathBuf, timeout: Duration) -> Self {
        Self { path, timeout, is_edi_outbound: true, has_metadata: false }
    }

    pub(crate) async fn send(&self, outbound: &OutboundEvent) -> SendResult {
        let name = if self.is_edi_outbound {
            sanitize_file_name(&outbound.event.key.webhook_id)
        } else {
            build_file_name(outbound)
        };
        let (file, body) = (self.path.join(name), outbound.body.clone());
        let metadata =
            self.has_metadata.then(|| (self.path.join(build_metadata_name(outbound)), build_metadata(outbound)));
        let write = tokio::task::spawn_blocking(move || {
            // First the metadata, so that it is there when a reader finds the file.
            if let Some((file, text)) = metadata {
                write_atomic(&file, &text, FILE_MODE)?;
            }
            write_atomic(&file, &body, FILE_MODE)
        });
        let (error, cause) = match tokio::time::timeout(self.timeout, write).await {
            Ok(Ok(Ok(()))) => return SendResult::Delivered,
            Ok(Ok(Err(error))) => (self.describe_write_error(&error), Cause::NotReached),
            Ok(Err(panic)) => (panic.to_string(), Cause::FailedOnDelivery),
            // A network file system blocks while its server is gone. A write that still finishes gives the same file.
            Err(_late) => {
                (format!("{} was not written within {:?}", self.path.display(), self.timeout), Cause::NotReached)
            }
        };
        SendResult::Unavailable { error, retry_at: None, cause }
    }

    /// Describes an error of the file system. The systemd unit makes the file system read-only for the service, except
    /// its own directory.
    fn describe_write_error(&self, error: &io::Error) -> String {
        let path = self.path.display();
        let fix = if error.kind() == io::ErrorKind::ReadOnlyFilesystem {
            format!(
                ". If systemd forbids the service to write there: systemctl edit novex-ingest, ReadWritePaths={path}"
            )
        } else {
            String::new()
        };
        format!("{path} cannot be written: {error}{fix}")
    }
}

/// Returns a file name of letters, digits, dots and underscores, with a dash for any other character.
pub(crate) fn sanitize_file_name(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_ascii_alphanumeric() || "._".contains(char) { char } else { '-' })
        .take(80)
        .collect()
}

/// Builds a file name such as `000000000017-shopify-orders-create.json`. The payload decides its end.
pub(crate) fn build_file_name(outbound: &OutboundEvent) -> String {
    format!("{}.{}", build_file_stem(outbound), outbound.format.extension())
}

/// Builds the name of the metadata file that belongs to a file.
fn build_metadata_name(outbound: &OutboundEvent) -> String {
    format!("{}.meta.json", build_file_stem(outbound))
}

fn build_file_stem(outbound: &OutboundEvent) -> String {
    format!(
        "{:012}-{}-{}",
        outbound.event.id,
        sanitize_file_name(outbound.source_name()),
        sanitize_file_name(&outbound.event.key.topic)
    )
}

/// Builds the metadata of a file. Each delivery of the event gives the same bytes.
fn build_metadata(outbound: &OutboundEvent) -> Vec<u8> {
    let key = &outbound.event.key;
    let edi = outbound.edi.as_ref();
    let mut text = serde_json::json!({
        "event_id": outbound.event.id,
        "source": outbound.source_name(),
        "topic": key.topic,
        "shop_domain": key.shop_domain,
        "webhook_id": key.webhook_id,
        "file": build_file_name(outbound),
        "content_type": outbound.format.media_type(),
        "document_type": edi.map(|edi| &edi.document_type),
        "partner": edi.and_then(|edi| edi.partner.as_ref()),
        "file_name": outbound.file_name(),
    })
    .to_string()
    .into_bytes();
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventIdentity, EventKey, Source};

    fn outbound(source: Source, topic: &str, body: &[u8]) -> OutboundEvent {
        let key = EventKey {
            source,
            shop_domain: "acme-foods.myshopify.com".into(),
            topic: topic.into(),
            webhook_id: "w 17".into(),
        };
        OutboundEvent::new(EventIdentity { id: 17, key }, 1, body.to_vec())
    }

    #[test]
    fn file_name_sorts_by_event_and_stays_in_directory() {
        let outbound = outbound(Source::Shopify, "../../etc/passwd\n", b"{}");
        assert_eq!(build_file_name(&outbound), "000000000017-shopify-..-..-etc-passwd-.json");
    }

    #[test]
    fn metadata_names_the_shop_and_the_file() {
        let outbound = outbound(Source::Shopify, "orders/create", b"{}");
        assert_eq!(build_metadata_name(&outbound), "000000000017-shopify-orders-create.meta.json");
        let metadata: serde_json::Value = serde_json::from_slice(&build_metadata(&outbound)).unwrap();
        assert_eq!(metadata["shop_domain"], "acme-foods.myshopify.com");
        assert_eq!(metadata["file"], "000000000017-shopify-orders-create.json");
        assert_eq!((&metadata["event_id"], &metadata["partner"]), (&17.into(), &serde_json::Value::Null));
    }
}
