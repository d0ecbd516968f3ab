//! Events that nothing handles: completed, with a note, and kept like any other.

use super::{Done, Event, Handler, Trouble};

/// The end of the table of routes.
pub struct Unhandled;

impl Handler for Unhandled {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let note = format!("stored only: nothing handles {} {}", event.source, event.topic);
        Ok(Done::note(note))
    }
}
