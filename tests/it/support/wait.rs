//! Waiting for something that will happen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest wait of a test. Reaching it is a failure, so it can be long.
pub const WAIT_MAX: Duration = Duration::from_mins(3);

/// Waits until `condition` holds; after [`WAIT_MAX`] panics with `report`, such as a log.
pub fn wait_until(mut condition: impl FnMut() -> bool, report: impl Fn() -> String) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < WAIT_MAX, "waited {WAIT_MAX:?}: {}", report());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sets a flag when it goes out of scope, so that threads which wait for the flag also end after a failed assertion.
pub struct SetOnDrop<'f>(pub &'f AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
