//! Any invoice or ship notice for any order. The written document can be read back.
//!
//! The input is the document, a line of dashes, and the file with the order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novex_ingest::internals::edi::file::read_edi_file;
use novex_ingest::internals::edi::outbound::ErpDocument;
use novex_ingest::internals::edi::outbound::order_balance::OrderBalance;
use novex_ingest::internals::edi::outbound::partner_rules::PartnerRules;
use novex_ingest::internals::edi::outbound_document::OutboundContent;
use novex_ingest::internals::edi::revisions::{ChangeQuantities, ReceivedDocument, fold_documents};
use novex_ingest::internals::edi::rsx::tree;
use novex_ingest::internals::edi::x12::write::ControlNumbers;

const AT: &str = "2026-11-24T10:41:00.000Z";

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (document, order_file) = text.split_once("\n---\n").unwrap_or((text, ""));
    let orders = read_edi_file(order_file.as_bytes()).documents.into_iter().filter_map(|part| part.order);
    let received: Vec<ReceivedDocument> = orders
        .map(|order| ReceivedDocument {
            order,
            event_id: 1,
            document_position: 1,
            received_on: "2026-11-25".to_owned(),
        })
        .collect();
    let order = OrderBalance::new(fold_documents(&received, ChangeQuantities::Total), Vec::new());
    for kind in ["810", "856"] {
        let Ok(document) = ErpDocument::parse_json(kind, document) else { continue };
        let orders = vec![order.clone(); document.order_references().len()];
        for lenient in [false, true] {
            let Ok(prepared) = document.prepare(&orders, lenient, AT, &PartnerRules::default()) else { continue };
            match prepared.document.content {
                OutboundContent::X12(draft) => {
                    let text = draft.write_interchange(ControlNumbers { interchange: 1, group: 1 }, AT);
                    assert_eq!(read_edi_file(text.as_bytes()).kind, kind, "{text}");
                }
                OutboundContent::Text(text) if prepared.document.file_name.ends_with("xml") => {
                    tree::parse_rsx_xml(&text).expect("the written XML is well-formed");
                }
                OutboundContent::Text(text) => {
                    tree::parse_rsx_json(text.as_bytes()).expect("the written JSON is well-formed");
                }
            }
        }
    }
});
