//! Interchanges of unusual form: odd separators, an ISA of another length, several in one file, cut files.

use crate::support::edi_files::{interchange, order_set};
use novex_ingest::internals::edi::fault::FaultSeverity;
use novex_ingest::internals::edi::file::read_edi_file;
use novex_ingest::internals::edi::purchase_order::PurchaseOrder;

/// Returns the only order of a file, and the messages of all faults.
fn read_one_order(text: &str) -> (PurchaseOrder, Vec<String>) {
    let file = read_edi_file(text.as_bytes());
    assert_eq!(file.documents.len(), 1, "{text}");
    let faults = read_faults(text);
    let order = file.documents.into_iter().next().and_then(|document| document.order);
    (order.expect(text), faults)
}

fn read_faults(text: &str) -> Vec<String> {
    read_edi_file(text.as_bytes()).all_faults().map(ToString::to_string).collect()
}

#[test]
fn any_separators_give_the_same_order() {
    let whole = interchange("850", &[order_set("PO1", 3)]);
    let (expected, faults) = read_one_order(&whole);
    assert_eq!((expected.lines.len(), faults), (3, Vec::new()));
    for (element, component, segment) in [
        ("|", ":", "'"),
        ("\u{1d}", "\u{1f}", "\u{1c}"),
        ("^", "<", "\n"),
        ("+", "@", "!"),
        ("§", "¤", "Ö"),
        ("*", "\\", "\u{85}"),
        ("\t", ">", "~"),
        ("\t", ">", "\n"),
        ("\t", "\u{1f}", "\u{1c}"),
        ("\u{b}", ">", "~"),
        ("\u{1}", ">", "\u{2}"),
    ] {
        let odd = whole.replace('\n', "").replace('*', element).replacen('>', component, 1).replace('~', segment);
        assert_eq!(read_one_order(&odd), (expected.clone(), Vec::new()), "{odd:?}");
    }
}

/// An ISA has 105 characters and its terminator; some senders pad an element too little or too much.
#[test]
fn isa_of_another_length_is_read_with_a_warning() {
    let whole = interchange("850", &[order_set("PO1", 3)]);
    let (expected, _) = read_one_order(&whole);
    for (receiver, length) in [("NOVEX         ", 104), ("NOVEX                   ", 114), ("NOVEX", 95)] {
        let text = whole.replacen("NOVEX          ", receiver, 1);
        assert_eq!(text.find('~'), Some(length));
        let (order, faults) = read_one_order(&text);
        assert_eq!(order, expected);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains(&format!("ISA has {length} characters instead of 105")), "{faults:?}");
    }
}

#[test]
fn isa_inside_a_value_begins_no_interchange() {
    for name in ["ISA", "ISA Foods", "ISA-ISA 00", "VISA", "ISA|00|", "ISA>00>"] {
        let mut set = order_set("PO1", 2);
        set[3] = format!("N1*ST*{name}*92*ISA");
        set.insert(4, format!("N3*{name}*{name}"));
        set.push(format!("REF*ZZ*{name}"));
        let (last, count) = (set.pop().unwrap(), set.len());
        set.insert(2, last);
        assert_eq!(set.len(), count + 1);
        let flat = interchange("850", &[set]);
        for text in [flat.clone(), flat.replace('\n', ""), flat.replace('~', "")] {
            let (order, faults) = read_one_order(&text);
            assert_eq!(faults, Vec::<String>::new(), "{text}");
            assert_eq!(order.lines.len(), 2);
            let address = &order.addresses[0];
            assert_eq!((address.name.as_deref(), address.id.as_deref()), (Some(name), Some("ISA")));
        }
    }
}

#[test]
fn two_interchanges_in_one_file_keep_their_senders() {
    let one = interchange("850", &[order_set("PO1", 1)]);
    let two = interchange("850", &[order_set("PO2", 2)])
        .replace("ACMERETAIL ", "OTHERSHOPS ")
        .replace("000000055", "000000056")
        .replace('*', "|")
        .replace("~\n", "\u{1c}");
    for text in [format!("{one}{two}"), format!("{one}\u{1a}\r\n{two}\u{1a}"), format!("{two}{one}")] {
        let file = read_edi_file(text.as_bytes());
        assert_eq!(read_faults(&text), Vec::<String>::new());
        let mut found: Vec<(String, String, usize)> = file
            .documents
            .iter()
            .filter_map(|document| document.order.as_ref())
            .map(|order| (order.number.clone(), order.origin.sender.1.clone(), order.lines.len()))
            .collect();
        found.sort();
        let expected = [("PO1".to_owned(), "ACMERETAIL".to_owned(), 1), ("PO2".to_owned(), "OTHERSHOPS".to_owned(), 2)];
        assert_eq!(found, expected);
        assert_eq!(file.groups.len(), 2, "each interchange gets its own acknowledgement");
    }
}

/// A transfer can end at any byte. A file that lacks a part is never read without a fault.
#[test]
fn cut_file_has_a_fault_wherever_it_is_cut() {
    let whole = interchange("850", &[order_set("PO1", 3)]);
    let trailer = whole.rfind("IEA*1*000000055").unwrap() + "IEA*1*000000055".len();
    let set_end = whole.find("SE*").unwrap();
    for cut in 0..whole.len() {
        let file = read_edi_file(&whole.as_bytes()[..cut]);
        let faults = read_faults(&whole[..cut]);
        assert_eq!(faults.is_empty(), cut >= trailer, "cut at {cut}: {faults:?}");
        if cut < set_end {
            assert!(file.has_unread_part(), "cut at {cut}: {faults:?}");
            assert!(file.all_faults().any(|fault| fault.severity == FaultSeverity::Error), "cut at {cut}: {faults:?}");
        }
    }
}
