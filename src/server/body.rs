//! Reads a request body within its limits: its size, its time, and the memory that all bodies share.

use crate::providers::{Rejection, RejectionReason};
use crate::server::ServerState;
use crate::server::places::Place;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout};

/// Share of a stated length after which the buffer gets its final size: a buffer that grew by doubling would hold the
/// body almost twice while it moves. Before that, a stated length costs the sender nothing.
const FINAL_SIZE_SHARE: u64 = 4;

/// The reason why there is no body.
pub enum BodyError {
    /// The sender caused it; with the bytes read until then.
    Rejected(Rejection, Bytes),
    /// There is no memory for it, see [`crate::server::places`].
    BufferFull,
    /// The request lost its place to another client.
    Evicted,
}

/// Reads a body. The place holds the memory.
///
/// # Errors
/// [`BodyError`]: at once if the stated length is over the limit, otherwise as soon as the received bytes are.
pub async fn read_body(body: &mut Incoming, place: &Place, shared: &ServerState) -> Result<Bytes, BodyError> {
    let max = shared.limits.max_body_bytes;
    if body.size_hint().lower() > max {
        return Err(reject_large_body(max, Bytes::new()));
    }
    let mut bytes = BytesMut::with_capacity(usize::try_from(body.size_hint().lower().min(64 << 10)).unwrap_or(0));
    let collected = tokio::select! {
        collected = timeout(shared.limits.body_timeout, collect_body(body, place, max, &mut bytes)) => collected,
        () = place.evicted() => return Err(BodyError::Evicted),
    };
    match collected {
        Ok(Ok(())) => Ok(bytes.freeze()),
        Ok(Err(CollectError::TooLarge)) => Err(reject_large_body(max, bytes.freeze())),
        Ok(Err(CollectError::BufferFull)) => Err(BodyError::BufferFull),
        Ok(Err(CollectError::Interrupted(error))) => {
            let rejection =
                Rejection::new(RejectionReason::BodyBroken, format!("the body ended before its last byte: {error}"));
            Err(BodyError::Rejected(rejection, bytes.freeze()))
        }
        Err(_late) => {
            let detail = format!("the body took longer than {} ms", shared.limits.body_timeout.as_millis());
            Err(BodyError::Rejected(Rejection::new(RejectionReason::BodyTooSlow, detail), bytes.freeze()))
        }
    }
}

enum CollectError {
    TooLarge,
    BufferFull,
    Interrupted(hyper::Error),
}

async fn collect_body(body: &mut Incoming, place: &Place, max: u64, bytes: &mut BytesMut) -> Result<(), CollectError> {
    let meter = place.meter();
    while let Some(frame) = body.frame().await {
        // No provider gives trailers a meaning.
        let Ok(data) = frame.map_err(CollectError::Interrupted)?.into_data() else { continue };
        if (bytes.len() + data.len()) as u64 > max {
            return Err(CollectError::TooLarge);
        }
        place.hold_bytes(data.len() as u64).map_err(|_shortage| CollectError::BufferFull)?;
        meter.record_bytes(data.len(), Instant::now());
        let stated = body.size_hint().lower() + (bytes.len() + data.len()) as u64;
        reserve_for(bytes, data.len(), stated);
        bytes.extend_from_slice(&data);
    }
    Ok(())
}

/// Makes room for `more` bytes of a body of at least `stated` bytes.
fn reserve_for(bytes: &mut BytesMut, more: usize, stated: u64) {
    let len = bytes.len() + more;
    if len > bytes.capacity() && len as u64 >= stated / FINAL_SIZE_SHARE {
        bytes.reserve(usize::try_from(stated).unwrap_or(len).max(len) - bytes.len());
    }
}

fn reject_large_body(max: u64, read: Bytes) -> BodyError {
    BodyError::Rejected(
        Rejection::new(RejectionReason::BodyTooLarge, format!("the body has more than {max} bytes")),
        read,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the capacities of the buffer of a body that arrives in pieces.
    fn grow(stated: u64, len: usize) -> Vec<usize> {
        let (mut bytes, mut capacities) = (BytesMut::new(), Vec::new());
        while bytes.len() < len {
            reserve_for(&mut bytes, 1000, stated);
            bytes.extend_from_slice(&[0; 1000]);
            if capacities.last() != Some(&bytes.capacity()) {
                capacities.push(bytes.capacity());
            }
        }
        capacities
    }

    #[test]
    fn buffer_gets_its_final_size_after_a_share_of_the_body() {
        let capacities = grow(1_000_000, 1_000_000);
        assert_eq!(capacities.last(), Some(&1_000_000), "no byte more than the body has: {capacities:?}");
        let last_small = capacities[capacities.len() - 2];
        assert!((250_000..600_000).contains(&last_small), "{capacities:?}");
        assert!(grow(1_000_000, 100_000).iter().all(|capacity| *capacity < 250_000), "few bytes get a small buffer");
    }
}
