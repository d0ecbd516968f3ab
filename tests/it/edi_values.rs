//! No value of an order vanishes: each is in a field of the order, in an extra, or in a fault. Real samples and
//! generated documents are read, value by value.

use crate::support::edi_files::interchange;
use crate::support::order_parts::write_xml;
use crate::support::seed::seeded_config;
use novex_ingest::internals::edi::decimal;
use novex_ingest::internals::edi::file;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Values that the field itself implies: free text, the buyer's currency, kinds of a number, a SCAC, formats of a
/// date, the total, the outer and the inner pack.
const IMPLIED: [&str; 12] = ["2", "F", "BY", "TE", "FX", "EM", "D8", "RD8", "DT", "TT", "OU", "IN"];

/// Every text of a JSON value, and the elements of whole segments that are kept as one text.
fn collect_texts(value: &Value, texts: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            texts.insert(text.clone());
            let parts = text.split(['*', ' ', ',']).chain(text.split('T')).chain(text.split(", "));
            texts.extend(parts.map(|part| part.trim().to_owned()));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, texts)),
        Value::Object(map) => map.values().for_each(|item| collect_texts(item, texts)),
        _ => {}
    }
}

/// Every text that the reader keeps of a file: its orders and its faults.
fn read_texts(bytes: &[u8]) -> BTreeSet<String> {
    let document = file::read_edi_file(bytes);
    let mut texts = BTreeSet::new();
    for part in &document.documents {
        collect_texts(&json!(part.order), &mut texts);
    }
    texts.extend(document.all_faults().map(|fault| fault.message.clone()));
    texts
}

/// Returns true if a value is among the texts as it is or in the form in which a field has it.
fn is_kept(value: &str, texts: &BTreeSet<String>) -> bool {
    let digits = |text: &str| text.chars().all(|letter| letter.is_ascii_digit());
    let mut forms = vec![value.to_owned()];
    forms.extend(decimal::normalize_decimal(value));
    forms.extend(decimal::parse_n2(value).map(|(amount, _)| amount));
    if digits(value) && value.len() >= 4 {
        let day = if value.len() == 6 { format!("20{value}") } else { value.to_owned() };
        if day.len() >= 8 {
            forms.push(format!("{}-{}-{}", &day[..4], &day[4..6], &day[6..8]));
        }
        forms.push(format!("{}:{}", &value[..2], &value[2..4]));
        forms.extend(value.get(4..6).map(|seconds| format!("{}:{}:{seconds}", &value[..2], &value[2..4])));
    }
    let period = value.split_once('-').filter(|(from, until)| digits(from) && digits(until) && from.len() >= 6);
    let is_period = period.is_some_and(|(from, until)| is_kept(from, texts) && is_kept(until, texts));
    // A time with its zone is in two fields, a fault quotes the value.
    let zoned = value.len() > 8 && texts.contains(&value[..8]) && texts.contains(&value[8..]);
    zoned
        || is_period
        || IMPLIED.contains(&value)
        || forms.iter().any(|form| texts.contains(form))
        || (value.len() > 3 && texts.iter().any(|text| text.contains(value)))
}

/// Returns the values of the orders and changes of a file, each with its place.
fn list_x12_values(text: &str) -> Vec<(String, String)> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let Some(element) = text.chars().nth(3) else { return Vec::new() };
    // ISA16 is one character; the terminator follows it.
    let last = text.split(element).nth(16).unwrap_or_default();
    let Some(segment) = last.chars().nth(1) else { return Vec::new() };
    let mut values = Vec::new();
    let mut is_order = false;
    for part in text.split(segment) {
        let mut elements = part.trim().split(element);
        let id = elements.next().unwrap_or_default().to_ascii_uppercase();
        // A component separator at the end of a segment has no meaning.
        let elements: Vec<&str> = elements.map(|text| text.trim().trim_end_matches('~')).collect();
        match id.as_str() {
            "ST" => is_order = elements.first().is_some_and(|kind| ["850", "860", "875", "876"].contains(kind)),
            "SE" => is_order = false,
            _ if is_order => {
                let stated = elements.iter().enumerate().filter(|(_, value)| !value.is_empty());
                values.extend(stated.map(|(index, value)| (format!("{id}{:02}", index + 1), (*value).to_owned())));
            }
            _ => {}
        }
    }
    values
}

fn list_json_values(value: &Value, path: &str, values: &mut Vec<(String, String)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| list_json_values(item, path, values)),
        Value::Object(map) => {
            map.iter().for_each(|(name, item)| list_json_values(item, &format!("{path}/{name}"), values));
        }
        Value::Null => {}
        Value::String(text) => values.push((path.to_owned(), text.trim().to_owned())),
        other => values.push((path.to_owned(), other.to_string())),
    }
    values.retain(|(_, text)| !text.is_empty());
}

fn list_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).map(|entries| entries.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default();
    files.sort();
    files
}

#[test]
fn every_value_of_the_samples_is_kept() {
    let Some(folder) = std::env::var_os("NOVEX_SAMPLES").map(PathBuf::from) else {
        println!("skipped: NOVEX_SAMPLES names no directory of real payloads");
        return;
    };
    let mut lost = Vec::new();
    let mut counted = 0;
    for path in [list_files(&folder.join("x12/850")), list_files(&folder.join("sps-rsx-json"))].concat() {
        let bytes = fs::read(&path).unwrap();
        let document = file::read_edi_file(&bytes);
        if document.documents.iter().all(|part| part.order.is_none()) {
            continue;
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut values = Vec::new();
        match serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')) {
            Ok(tree) => list_json_values(&tree, "", &mut values),
            Err(_) => values = list_x12_values(&text),
        }
        let texts = read_texts(&bytes);
        counted += values.len();
        let gone = values.into_iter().filter(|(_, value)| !is_kept(value, &texts));
        lost.extend(gone.map(|(place, value)| format!("{}: {place} {value:?}", path.display())));
    }
    assert!(counted > 1_000, "{counted} values were compared");
    assert!(lost.is_empty(), "{} of {counted} values are lost:\n{}", lost.len(), lost.join("\n"));
}

/// Segments of an order with and without a field in the model, and one that no set has.
const SEGMENT_IDS: [&str; 56] = [
    "REF", "PER", "DTM", "SAC", "ITD", "TD5", "TD1", "TD3", "TD4", "FOB", "N9", "MSG", "MTX", "NTE", "MEA", "TXI",
    "CSH", "DIS", "PWK", "MAN", "TC2", "LIN", "SCH", "SDQ", "CTP", "PO3", "PO4", "QTY", "AMT", "N1", "N2", "N3", "N4",
    "PID", "PKG", "CUR", "CTB", "ADV", "INC", "TAX", "SLN", "CTT", "QQQ", "LDT", "G22", "G23", "G25", "G61", "G62",
    "G66", "G69", "G70", "G72", "G73", "G76", "G53",
];

prop_compose! {
    /// A segment whose elements are all different words, except for the numbers that a set must have.
    fn segment()(id in prop::sample::select(SEGMENT_IDS.to_vec()), present in prop::collection::vec(any::<bool>(), 22), salt in 0..u32::MAX)
        -> String {
        let element = |position: usize, is_present: bool| match (id, position) {
            ("N1", 1) => "ST".to_owned(),
            ("SLN", 4 | 6) | ("PO4", 1 | 2 | 14) | ("G70", 1 | 2 | 10) | ("CTP", 3) => position.to_string(),
            _ if !is_present => String::new(),
            _ => format!("{id}V{position}X{salt}"),
        };
        let elements: Vec<String> =
            present.iter().enumerate().map(|(index, is_present)| element(index + 1, *is_present)).collect();
        format!("{id}*{}", elements.join("*"))
    }
}

/// A tree below an element of RSX: names that the reader knows and others, all texts different.
fn rsx_tree() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 30] = [
        "References",
        "ReferenceQual",
        "ReferenceID",
        "Description",
        "Contacts",
        "ContactTypeCode",
        "PrimaryPhone",
        "Dates",
        "DateTimeQualifier",
        "Time",
        "Address",
        "AddressTypeCode",
        "AddressName",
        "City",
        "PaymentTerms",
        "TermsType",
        "ChargesAllowances",
        "AllowChrgCode",
        "Notes",
        "Note",
        "PhysicalDetails",
        "PackQualifier",
        "Subline",
        "SublineItemDetail",
        "BuyerPartNumber",
        "ProductID",
        "PartNumber",
        "CarrierInformation",
        "CarrierAlphaCode",
        "Other",
    ];
    let leaf = (0..u64::MAX).prop_map(|number| json!(format!("text{number}")));
    leaf.prop_recursive(4, 40, 6, |inner| {
        let entry = (prop::sample::select(NAMES.to_vec()), inner);
        prop::collection::vec(entry, 0..6).prop_map(|entries| {
            let mut map = serde_json::Map::new();
            for (name, value) in entries {
                // The same name again is a list.
                match map.get_mut(name) {
                    Some(Value::Array(items)) => items.push(value),
                    _ => drop(map.insert(name.to_owned(), Value::Array(vec![value]))),
                }
            }
            Value::Object(map)
        })
    })
}

proptest! {
    #![proptest_config(seeded_config(150))]

    #[test]
    fn every_value_of_generated_x12_is_kept(
        header in prop::collection::vec(segment(), 0..12), line in prop::collection::vec(segment(), 0..12), kind in 0..4,
    ) {
        let goods = "G68*10*CA*2.5*001061414100*VN*A1*UP*106141410001*BR1*25000*CA*G68V12*G68V13";
        let (begin, first, kind) = match kind {
            0 => ("BCH*04*SA*PO1***20261124*BCHV7*BCHV8*BCHV9", "POC*1*CA*10*9*CA*2.5*UM*VN*A1", "860"),
            1 => ("BEG*00*SA*PO1**20261124*BEGV6*BEGV7*BEGV8", "PO1*1*10*CA*2.5*UM*VN*A1*QQ", "850"),
            2 => ("G50*N*20261124*PO1*G50V4*G50V5*G50V6*SA", goods, "875"),
            _ => ("G92*QI*20261124*PO1*G92V4", goods, "876"),
        };
        // Totals end the lines.
        let is_of_line = |segment: &&String| !segment.starts_with("CTT") && !segment.starts_with("G76");
        let set: Vec<String> = std::iter::once(begin.to_owned())
            .chain(header.iter().filter(is_of_line).cloned())
            .chain([first.to_owned()])
            .chain(line)
            .collect();
        let text = interchange(kind, &[set]);
        let document = file::read_edi_file(text.as_bytes());
        prop_assert!(document.documents[0].order.is_some(), "{:?}", document.all_faults().collect::<Vec<_>>());
        let texts = read_texts(text.as_bytes());
        for (place, value) in list_x12_values(&text) {
            prop_assert!(is_kept(&value, &texts), "{place} {value:?} is lost\n{text}\n{texts:?}");
        }
    }

    #[test]
    fn every_value_of_generated_rsx_is_kept(header in rsx_tree(), line in rsx_tree(), order_header in rsx_tree(), order_line in rsx_tree()) {
        let with = |tree: &Value, fields: Value| {
            let mut map = tree.as_object().cloned().unwrap_or_default();
            map.extend(fields.as_object().unwrap().clone());
            Value::Object(map)
        };
        let order_header = with(&order_header, json!({"TradingPartnerId": "ACMERETAIL", "PurchaseOrderNumber": "PO1"}));
        let order_line = with(&order_line, json!({"OrderQty": "10", "VendorPartNumber": "A1"}));
        let tree = json!({
            "Header": with(&header, json!({"OrderHeader": order_header})), "Meta": {"IsDropShip": "True"},
            "LineItem": [with(&line, json!({"OrderLine": order_line}))],
        });
        let mut xml = String::new();
        write_xml("Order", &tree, &mut xml);
        for text in [tree.to_string(), xml] {
            let texts = read_texts(text.as_bytes());
            let mut values = Vec::new();
            list_json_values(&tree, "", &mut values);
            for (place, value) in values {
                prop_assert!(is_kept(&value, &texts), "{place} {value:?} is lost\n{text}");
            }
        }
    }
}

/// A hostile file cannot fill the database with extras; the excess is named.
#[test]
fn extras_are_limited_and_the_excess_is_named() {
    let begin = ["BEG*00*SA*PO1**20261124".to_owned(), "PO1*1*10*CA*5**VN*A1".to_owned()];
    let set = [begin.to_vec(), vec!["MEA*PD*G*5*LB".to_owned(); 20_100]].concat();
    let notes: Vec<Value> = (0..20_100).map(|number| json!({"Other": number.to_string()})).collect();
    let rsx = json!({"Header": {"OrderHeader": {"TradingPartnerId": "ACMERETAIL", "PurchaseOrderNumber": "PO1"}},
        "LineItem": [{"OrderLine": {"OrderQty": "10"}, "Notes": notes}]});
    for text in [interchange("850", &[set]), rsx.to_string()] {
        let document = file::read_edi_file(text.as_bytes());
        let order = document.documents[0].order.as_ref().unwrap();
        assert_eq!(order.extras.len() + order.lines[0].extras.len(), 20_000);
        let excess = "the order has more than 20000 values without a column: only its file has the others";
        assert_eq!(order.findings, [excess]);
        assert!(document.all_faults().any(|fault| fault.message == excess));
    }
}

/// Attributes of XML, which RSX does not have, and values around the orders are kept or named too.
#[test]
fn values_outside_of_elements_and_orders_are_kept_or_named() {
    let xml = "<Orders note='to all' xmlns='http://www.spscommerce.com/RSX'><Order version='7.7.1'><Header><OrderHeader>\
               <TradingPartnerId>ACMERETAIL</TradingPartnerId><PurchaseOrderNumber>PO1</PurchaseOrderNumber></OrderHeader>\
               </Header><LineItem><OrderLine><OrderQty uom='LB'>10</OrderQty></OrderLine></LineItem></Order></Orders>";
    let document = file::read_edi_file(xml.as_bytes());
    let order = document.documents[0].order.as_ref().unwrap();
    assert_eq!((order.extras[0].location.as_str(), order.extras[0].value.as_str()), ("@version", "7.7.1"));
    let of_line = &order.lines[0].extras[0];
    assert_eq!((of_line.location.as_str(), of_line.value.as_str()), ("OrderLine/OrderQty/@uom", "LB"));
    let named: Vec<String> = document.all_faults().map(ToString::to_string).collect();
    assert_eq!(named, ["@note: \"to all\" belongs to no order: it is not stored"]);
}
