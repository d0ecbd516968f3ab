//! EDI files → `purchase_orders` and what belongs to them.
//!
//! Orders and changes are taken, whatever they are written in. One broken order of a file keeps none of the others from being
//! taken; a file of which nothing can be taken fails for good, with the place of each fault.

use crate::formats::edi::{self, Document};
use crate::formats::fault::{Fault, Severity};
use crate::formats::x12::acknowledge;
use crate::handlers::{Done, Event, Handler, Trouble};
use crate::store::changes::{Change, Subject};

/// Every file.
pub struct Files;

/// What goes out: it is written already, and handed on to `sps.outgoing`.
pub struct Sent;

impl Handler for Sent {
    fn plan(&self, _event: &Event<'_>) -> Result<Done, Trouble> {
        Ok(Done::default())
    }
}

/// Faults that are named in an event's note or error; all of them are in `edi_faults`.
const NAMED: usize = 3;

impl Handler for Files {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let document = edi::read(event.body);
        let mut done = Done::default();
        let (mut taken, mut refused, mut kept) = (Vec::new(), 0, 0);
        for (index, part) in document.parts.iter().enumerate() {
            let place = i64::try_from(index).map_or(i64::MAX, |index| index + 1);
            match &part.order {
                Some(order) => {
                    taken.push(order.number.clone());
                    done.subjects.push(Subject::new("purchase_order", order.number.as_str()));
                    done.changes.push(Change::PurchaseOrder(place, Box::new(order.clone())));
                }
                None if part.is_refused() => refused += 1,
                None => kept += 1,
            }
        }
        let faults = placed(&document);
        let said = said(&faults);
        if !faults.is_empty() {
            done.changes.push(Change::EdiFaults(faults));
        }
        done.changes.extend(acknowledge::answers(&document, event.body_hash).into_iter().map(Change::Send));
        if taken.is_empty() && (refused > 0 || document.faults.iter().any(|fault| fault.severity == Severity::Error)) {
            let error = format!("nothing of this file could be taken: {said}");
            return Err(Trouble::Rejected { error, done: Box::new(done) });
        }
        let mut note = Vec::new();
        if refused > 0 {
            note.push(format!("{refused} of {} orders could not be taken", refused + taken.len()));
        }
        if kept > 0 && taken.is_empty() {
            note.push(format!("stored only: nothing handles a {}", document.kind));
        }
        if !said.is_empty() {
            note.push(said);
        }
        done.note = (!note.is_empty()).then(|| note.join("; "));
        Ok(done)
    }
}

/// All faults, each with its part; 0 is the file itself.
fn placed(document: &Document) -> Vec<(i64, Fault)> {
    let groups = document.groups.iter().flat_map(|group| &group.faults);
    let of_file = document.faults.iter().chain(groups).map(|fault| (0, fault.clone()));
    let of_parts = document.parts.iter().enumerate().flat_map(|(index, part)| {
        let place = i64::try_from(index).map_or(i64::MAX, |index| index + 1);
        part.faults.iter().map(move |fault| (place, fault.clone()))
    });
    of_file.chain(of_parts).collect()
}

/// The worst of them, in words.
fn said(faults: &[(i64, Fault)]) -> String {
    let mut worst: Vec<&(i64, Fault)> = faults.iter().collect();
    worst.sort_by_key(|(_, fault)| std::cmp::Reverse(fault.severity));
    let mut said: Vec<String> = worst.iter().take(NAMED).map(|(_, fault)| fault.to_string()).collect();
    if faults.len() > NAMED {
        said.push(format!("and {} more in edi_faults", faults.len() - NAMED));
    }
    said.join("; ")
}
