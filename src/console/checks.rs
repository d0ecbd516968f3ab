//! The checks of `doctor`, which the console runs from time to time: some of them ask other machines.

use crate::clock::Timestamp;
use crate::config::Config;
use crate::doctor::{self, Findings};
use crate::presentation::times::TimeFormat;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::time::Instant;

/// Interval of the checks while somebody looks.
const CHECK_INTERVAL: Duration = Duration::from_mins(5);

/// Findings of the last checks.
#[derive(Default)]
pub struct MachineChecks(RwLock<ChecksState>);

#[derive(Default)]
struct ChecksState {
    last: Option<CheckResult>,
    started_at: Option<Instant>,
}

/// Findings and their time.
#[derive(Clone)]
pub struct CheckResult {
    pub at: Timestamp,
    pub findings: Arc<Findings>,
}

impl MachineChecks {
    /// Returns the last findings; None before the first checks end.
    pub fn last(&self) -> Option<CheckResult> {
        self.0.read().expect("nothing panics while it holds the lock").last.clone()
    }

    /// Returns whether new checks are due, and marks them as started.
    fn begin(&self, is_forced: bool) -> bool {
        let mut state = self.0.write().expect("nothing panics while it holds the lock");
        let is_due = state.started_at.is_none_or(|started| is_forced || started.elapsed() > CHECK_INTERVAL);
        if is_due {
            state.started_at = Some(Instant::now());
        }
        is_due
    }

    /// Runs the checks if they are due, or if `is_forced`. Blocks for seconds if a machine does not answer.
    pub fn run_if_due(&self, config: &Config, now: Timestamp, is_forced: bool) {
        if !self.begin(is_forced) {
            return;
        }
        match doctor::run_checks(&config.path, TimeFormat::detect(false)) {
            Ok(findings) => {
                let result = CheckResult { at: now, findings: Arc::new(findings) };
                self.0.write().expect("nothing panics while it holds the lock").last = Some(result);
            }
            Err(error) => tracing::warn!("the console could not check the machine: {error:#}"),
        }
    }
}
