//! A job for the writer thread, and the answer to it.

use crate::store::StoreError;
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::oneshot;

/// The class of a write: whether a nearly full disk refuses it, and whether its commit wakes the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteClass {
    /// Stores something new. Refused if the disk is nearly full; the commit wakes the workers.
    Insert,
    /// Makes stored rows due again. Runs until the disk is full, so that work can finish; the commit wakes the workers.
    Wake,
    /// Changes or deletes stored rows. Runs until the disk is full, so that work can finish.
    Maintain,
}

/// The result of a job that the writer thread has not yet committed.
pub struct PendingWrite<T>(oneshot::Receiver<Result<T, StoreError>>);

impl<T> PendingWrite<T> {
    /// Waits for the commit and returns the job's result.
    ///
    /// # Errors
    /// The job's own error, or the reason why its transaction was not committed.
    pub async fn committed(self) -> Result<T, StoreError> {
        self.0.await.unwrap_or(Err(StoreError::ShuttingDown))
    }
}

/// A job as the writer thread sees it: a closure whose result type is hidden.
pub(super) trait WriteJob: Send {
    fn class(&self) -> WriteClass;
    /// Returns true if no caller waits for the result any more: the sender got a 503.
    fn is_abandoned(&self) -> bool;
    /// Runs the closure inside a savepoint. The writer thread rolls the savepoint back if this returns an error.
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;
    /// Sends the result to the caller, or `transaction_error` if the transaction failed as a whole.
    fn send_result(self: Box<Self>, transaction_error: Option<&StoreError>);
}

struct ClosureJob<T, F> {
    class: WriteClass,
    closure: Option<F>,
    result: Option<Result<T, StoreError>>,
    /// None if no caller waits for the result.
    reply: Option<oneshot::Sender<Result<T, StoreError>>>,
}

/// Returns a job and the handle that waits for its result.
pub(super) fn new_job<T: Send + 'static>(
    class: WriteClass,
    closure: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
) -> (Box<dyn WriteJob>, PendingWrite<T>) {
    let (reply, pending) = oneshot::channel();
    (Box::new(ClosureJob { class, closure: Some(closure), result: None, reply: Some(reply) }), PendingWrite(pending))
}

/// Returns a job without a caller that waits for it.
pub(super) fn new_detached_job(
    class: WriteClass,
    closure: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
) -> Box<dyn WriteJob> {
    Box::new(ClosureJob { class, closure: Some(closure), result: None, reply: None })
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T, StoreError> + Send> WriteJob for ClosureJob<T, F> {
    fn class(&self) -> WriteClass {
        self.class
    }

    fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let Some(closure) = self.closure.take() else { return Ok(()) };
        // A panic in one job must not end the thread that stores all events.
        let result = catch_unwind(AssertUnwindSafe(|| closure(connection))).unwrap_or(Err(StoreError::JobPanicked));
        let outcome = result.as_ref().map(drop).map_err(Clone::clone);
        self.result = Some(result);
        outcome
    }

    fn send_result(self: Box<Self>, transaction_error: Option<&StoreError>) {
        let result = match (transaction_error, self.result) {
            // The job's own error is more exact than the error of the transaction after it.
            (_, Some(Err(error))) => Err(error),
            (Some(error), _) => Err(error.clone()),
            (None, Some(Ok(value))) => Ok(value),
            (None, None) => Err(StoreError::ShuttingDown),
        };
        if let Some(reply) = self.reply {
            // The receiver may be gone: the sender got a 503 meanwhile and tries again.
            let _ = reply.send(result);
        }
    }
}
