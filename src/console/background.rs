//! Work that takes minutes: it runs once at a time on a thread for blocking work, and pages show its result.

use crate::backup_files::FinishedBackup;
use crate::clock::Timestamp;
use crate::store::audit::system_log::AuditVerification;
use std::sync::Mutex;

/// The check of the audit trail.
pub type AuditCheck = BackgroundRun<AuditVerification>;
/// A backup that a person asked for.
pub type BackupRun = BackgroundRun<FinishedBackup>;

/// The present or last run of one kind of work. A restart forgets it.
pub struct BackgroundRun<T>(Mutex<Option<RunState<T>>>);

/// State of a run.
#[derive(Debug, Clone)]
pub struct RunState<T> {
    pub started_at: Timestamp,
    /// Time and result; None while it runs.
    pub end: Option<(Timestamp, Result<T, String>)>,
}

impl<T> Default for BackgroundRun<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> BackgroundRun<T> {
    /// Returns the present or last run.
    pub fn last(&self) -> Option<RunState<T>> {
        self.0.lock().expect("nothing panics while it holds the lock").clone()
    }

    /// Marks a run as started; returns false if one runs already.
    pub fn begin(&self, now: Timestamp) -> bool {
        let mut state = self.0.lock().expect("nothing panics while it holds the lock");
        if state.as_ref().is_some_and(|run| run.end.is_none()) {
            return false;
        }
        *state = Some(RunState { started_at: now, end: None });
        true
    }

    /// Stores the result of the run.
    pub fn finish(&self, result: Result<T, String>, now: Timestamp) {
        if let Some(run) = self.0.lock().expect("nothing panics while it holds the lock").as_mut() {
            run.end = Some((now, result));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time() {
        let (run, now) = (BackgroundRun::<u8>::default(), Timestamp::UNIX_EPOCH);
        assert!(run.begin(now));
        assert!(!run.begin(now));
        run.finish(Ok(7), now);
        assert_eq!(run.last().unwrap().end, Some((now, Ok(7))));
        assert!(run.begin(now));
        assert_eq!(run.last().unwrap().end, None);
    }
}
