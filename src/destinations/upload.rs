//! `sps.outgoing` at a source: EDI documents that this box made are put into a directory of an SFTP server or of SPS's API.

use super::directory::safe;
use super::{Fate, Parcel};
use crate::clock::Timestamp;
use crate::sps::Source;
use crate::sps::transport::{Link, Trouble};

/// A directory at a source.
#[derive(Debug, Clone)]
pub struct Upload {
    source: Source,
}

impl Upload {
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self { source }
    }

    pub(super) async fn deliver(&self, parcel: &Parcel, now: Timestamp) -> Fate {
        let name = safe(&parcel.webhook_id);
        let put = tokio::time::timeout(self.source.timeout, self.put(&name, &parcel.body));
        let trouble = match put.await {
            Ok(Ok(())) => return Fate::Delivered,
            Ok(Err(trouble)) => trouble,
            Err(_late) => Trouble::Source(format!("it did not take a file within {:?}", self.source.timeout)),
        };
        let said = |error: String| format!("{}: {error}", self.source.name);
        match trouble {
            Trouble::Later(error, wait) => Fate::Later { error: said(error), at: now.checked_add(wait).ok() },
            // Another file may be taken: it is this one's trouble, and may pass.
            Trouble::File(error) => Fate::Unreachable { error: said(error), at: None, reached: true, connected: true },
            Trouble::Source(error) => {
                Fate::Unreachable { error: said(error), at: None, reached: false, connected: false }
            }
            Trouble::Gone => {
                let error = said("there is no such directory".to_owned());
                Fate::Unreachable { error, at: None, reached: false, connected: false }
            }
        }
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
        let (link, _key) = Link::open(&self.source, None).await?;
        let put = link.put(name, bytes).await;
        link.close().await;
        put
    }
}
