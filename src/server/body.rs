//! Reading a body: within its size, its time, and what all bodies together may take.

use super::Shared;
use crate::providers::{Reason, Refusal};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use tokio::time::timeout;

/// One permit of the memory budget, in bytes.
pub const PERMIT_BYTES: u64 = 1024;

/// A body in memory, with its share of the budget.
pub struct Whole {
    pub bytes: Bytes,
    /// Given back when it is dropped.
    pub share: Option<OwnedSemaphorePermit>,
}

/// Why there is no body.
pub enum NoBody {
    /// The sender's doing; with the bytes read until then.
    Refused(Refusal, Bytes),
    /// All bodies together are over `server.max_buffered_bytes`.
    NoMemory,
}

/// Reads it.
///
/// # Errors
/// [`NoBody`], at once when the stated length is over the limit, and as soon as the bytes that came are.
pub async fn read(body: &mut Incoming, shared: &Shared) -> Result<Whole, NoBody> {
    let max = shared.limits.max_body_bytes;
    if body.size_hint().lower() > max {
        return Err(too_large(max, Bytes::new()));
    }
    let mut bytes = BytesMut::with_capacity(usize::try_from(body.size_hint().lower().min(64 << 10)).unwrap_or(0));
    let mut share = None;
    match timeout(shared.limits.body_timeout, collect(body, shared, &mut bytes, &mut share)).await {
        Ok(Ok(())) => Ok(Whole { bytes: bytes.freeze(), share }),
        Ok(Err(Stop::TooLarge)) => Err(too_large(max, bytes.freeze())),
        Ok(Err(Stop::NoMemory)) => Err(NoBody::NoMemory),
        Ok(Err(Stop::Broken(error))) => {
            let refusal = Refusal::new(Reason::BodyBroken, format!("the body ended before it was whole: {error}"));
            Err(NoBody::Refused(refusal, bytes.freeze()))
        }
        Err(_late) => {
            let detail = format!("the body took longer than {} ms", shared.limits.body_timeout.as_millis());
            Err(NoBody::Refused(Refusal::new(Reason::BodyTooSlow, detail), bytes.freeze()))
        }
    }
}

enum Stop {
    TooLarge,
    NoMemory,
    Broken(hyper::Error),
}

async fn collect(
    body: &mut Incoming,
    shared: &Shared,
    bytes: &mut BytesMut,
    share: &mut Option<OwnedSemaphorePermit>,
) -> Result<(), Stop> {
    while let Some(frame) = body.frame().await {
        // Trailers mean nothing to any provider.
        let Ok(data) = frame.map_err(Stop::Broken)?.into_data() else { continue };
        if (bytes.len() + data.len()) as u64 > shared.limits.max_body_bytes {
            return Err(Stop::TooLarge);
        }
        let needed = ((bytes.len() + data.len()) as u64).div_ceil(PERMIT_BYTES);
        let had = share.as_ref().map_or(0, |share| share.num_permits() as u64);
        if needed > had {
            let more = u32::try_from(needed - had).unwrap_or(u32::MAX);
            let more = match shared.buffers.clone().try_acquire_many_owned(more) {
                Ok(more) => more,
                Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => return Err(Stop::NoMemory),
            };
            match share {
                Some(share) => share.merge(more),
                None => *share = Some(more),
            }
        }
        bytes.extend_from_slice(&data);
    }
    Ok(())
}

fn too_large(max: u64, read: Bytes) -> NoBody {
    NoBody::Refused(Refusal::new(Reason::BodyTooLarge, format!("the body is over {max} bytes")), read)
}
