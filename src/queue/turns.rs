//! Turns of attempts: most run side by side, and one that was in work when a process died runs alone.
//!
//! An attempt that kills its process then takes no other attempt with it. Turns are given in the order of the requests,
//! so that neither kind waits for ever.

use std::sync::Arc;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Gives turns to the attempts of one worker, or of one destination. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AttemptTurns(Arc<RwLock<()>>);

/// A turn; it ends on drop.
#[derive(Debug)]
pub enum AttemptTurn {
    Shared { _guard: OwnedRwLockReadGuard<()> },
    Alone { _guard: OwnedRwLockWriteGuard<()> },
}

impl AttemptTurns {
    /// Waits for a turn. `alone`: until no other attempt runs; then none begins before the turn ends.
    pub async fn enter(&self, alone: bool) -> AttemptTurn {
        if alone {
            AttemptTurn::Alone { _guard: self.0.clone().write_owned().await }
        } else {
            AttemptTurn::Shared { _guard: self.0.clone().read_owned().await }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn suspect_attempt_runs_alone_and_in_its_order() {
        let turns = AttemptTurns::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut first = pin!(turns.enter(false));
        let std::task::Poll::Ready(first) = first.as_mut().poll(&mut context) else { panic!("no turn at once") };
        let mut suspect = pin!(turns.enter(true));
        assert!(suspect.as_mut().poll(&mut context).is_pending(), "another attempt runs");
        let mut later = pin!(turns.enter(false));
        assert!(later.as_mut().poll(&mut context).is_pending(), "the suspect attempt is next");
        drop(first);
        let std::task::Poll::Ready(suspect) = suspect.as_mut().poll(&mut context) else { panic!("no turn alone") };
        assert!(later.as_mut().poll(&mut context).is_pending(), "nothing runs beside the suspect attempt");
        drop(suspect);
        assert!(later.as_mut().poll(&mut context).is_ready());
    }
}
