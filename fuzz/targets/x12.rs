//! Any bytes as an X12 file. The target reads the envelope and the orders, writes the acknowledgement and reads it
//! back. It also describes the bytes as the payload of a delivery.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novex_ingest::internals::delivery::payload::PayloadFormat;
use novex_ingest::internals::edi::file::read_edi_file;
use novex_ingest::internals::edi::parties::find_partner;
use novex_ingest::internals::edi::revisions::{ChangeQuantities, ReceivedDocument, fold_documents};
use novex_ingest::internals::edi::x12::acknowledgement::{draft_acknowledgement, is_acknowledgement_due};
use novex_ingest::internals::edi::x12::write::ControlNumbers;

fuzz_target!(|input: &[u8]| {
    let _ = (PayloadFormat::detect(input), find_partner(input, false), find_partner(input, true));
    let file = read_edi_file(input);
    for group in 0..file.groups.len() {
        if is_acknowledgement_due(&file, group) {
            let acknowledgement = draft_acknowledgement(&file, group)
                .write_interchange(ControlNumbers { interchange: 1, group: 1 }, "2026-11-24T10:41:00Z");
            let read_back = read_edi_file(acknowledgement.as_bytes());
            assert!(read_back.documents.len() == 1 && read_back.kind == "997", "{acknowledgement}");
        }
    }
    let received: Vec<ReceivedDocument> = file
        .documents
        .into_iter()
        .zip(1..)
        .filter_map(|(document, document_position)| {
            document.order.map(|order| ReceivedDocument {
                order,
                event_id: 1,
                document_position,
                received_on: "2026-11-25".to_owned(),
            })
        })
        .collect();
    let meanings = [ChangeQuantities::Total, ChangeQuantities::Delta, ChangeQuantities::Left];
    let _ = fold_documents(&received, meanings[input.len() % 3]).open_lines_total();
});
