//! Reading EDI: written X12 and RSX is read back unchanged, changes fold into one order in any sequence, and foreign
//! samples are read.

use crate::support::edi_files::{change_set, interchange, order_set};
use crate::support::seed::seeded_config;
use novex_ingest::internals::edi::fault::FaultSeverity;
use novex_ingest::internals::edi::file;
use novex_ingest::internals::edi::file::EdiFormat;
use novex_ingest::internals::edi::purchase_order::{
    AllowanceCharge, DocumentOrigin, EdiAddress, EdiDate, EdiReference, LineSchedule, ProductId, PurchaseOrder,
    PurchaseOrderLine,
};
use novex_ingest::internals::edi::revisions::{
    ChangeQuantities, OrderStatus, ReceivedDocument, RevisionOutcome, fold_documents,
};
use novex_ingest::internals::edi::x12::acknowledgement;
use novex_ingest::internals::edi::x12::write::ControlNumbers;
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::path::PathBuf;

fn x12(order: &PurchaseOrder) -> String {
    let compact = |day: &Option<String>| day.clone().unwrap_or_default().replace('-', "");
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut set = vec![format!(
        "BEG*{}*{}*{}*{}*{}",
        order.purpose,
        text(&order.kind),
        order.number,
        order.release,
        compact(&order.ordered_on)
    )];
    if let Some(currency) = &order.currency {
        set.push(format!("CUR*BY*{currency}"));
    }
    let reference = |part: &EdiReference| format!("REF*{}*{}", part.qualifier, text(&part.value));
    let date = |part: &EdiDate| format!("DTM*{}*{}", part.qualifier, compact(&part.on));
    let allowance = |part: &AllowanceCharge| {
        let cents = part
            .amount
            .as_deref()
            .map(|amount| novex_ingest::internals::edi::decimal::format_n2(amount.parse().unwrap()));
        format!("SAC*{}*{}***{}", part.kind, text(&part.code), cents.unwrap_or_default())
    };
    let address = |part: &EdiAddress, set: &mut Vec<String>| {
        set.push(format!("N1*{}*{}*{}*{}", part.kind, text(&part.name), text(&part.id_qualifier), text(&part.id)));
        set.extend(part.more_names.iter().map(|name| format!("N2*{name}")));
        set.extend(part.lines.iter().map(|line| format!("N3*{line}")));
        set.push(format!(
            "N4*{}*{}*{}*{}",
            text(&part.city),
            text(&part.state),
            text(&part.postal_code),
            text(&part.country)
        ));
    };
    set.extend(order.references.iter().map(reference));
    set.extend(order.allowances.iter().map(allowance));
    set.extend(order.dates.iter().map(date));
    set.extend(order.notes.iter().map(|note| format!("MSG*{note}")));
    for part in &order.addresses {
        address(part, &mut set);
    }
    for line in &order.lines {
        let mut first =
            format!("PO1*{}*{}*{}*{}*", text(&line.number), text(&line.quantity), text(&line.unit), text(&line.price));
        for id in &line.ids {
            write!(first, "*{}*{}", id.qualifier, id.value).unwrap();
        }
        set.push(first);
        if let Some(description) = &line.description {
            set.push(format!("PID*F****{description}"));
        }
        set.extend(line.references.iter().map(reference));
        set.extend(line.allowances.iter().map(allowance));
        for part in &line.schedules {
            set.push(format!("SDQ*{}*92*{}*{}", text(&part.unit), text(&part.location), part.quantity));
        }
        set.extend(line.dates.iter().map(date));
        for part in &line.addresses {
            address(part, &mut set);
        }
    }
    set.push(format!("CTT*{}", order.lines.len()));
    if let Some(total) = &order.stated_total {
        set.push(format!("AMT*TT*{total}"));
    }
    interchange("850", &[set])
}

/// Returns the order as RSX 7.7 in JSON; the XML has the same tree.
fn rsx_tree(order: &PurchaseOrder) -> Value {
    let object = |fields: &[(&str, Option<Value>)]| {
        Value::Object(
            fields.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?))).collect::<Map<_, _>>(),
        )
    };
    let text = |value: &Option<String>| value.clone().map(Value::from);
    let date = |part: &EdiDate| object(&[("DateTimeQualifier", Some(json!(part.qualifier))), ("Date", text(&part.on))]);
    let reference = |part: &EdiReference| {
        object(&[("ReferenceQual", Some(json!(part.qualifier))), ("ReferenceID", text(&part.value))])
    };
    let allowance = |part: &AllowanceCharge| {
        object(&[
            ("AllowChrgIndicator", Some(json!(part.kind))),
            ("AllowChrgCode", text(&part.code)),
            ("AllowChrgAmt", text(&part.amount)),
        ])
    };
    let address = |part: &EdiAddress| {
        let mut fields = vec![
            ("AddressTypeCode", Some(json!(part.kind))),
            ("LocationCodeQualifier", text(&part.id_qualifier)),
            ("AddressLocationNumber", text(&part.id)),
            ("AddressName", text(&part.name)),
            ("City", text(&part.city)),
            ("State", text(&part.state)),
            ("PostalCode", text(&part.postal_code)),
            ("Country", text(&part.country)),
        ];
        let more_names = part.more_names.iter().map(|name| Some(json!(name)));
        fields.extend(["AddressAlternateName", "AddressAlternateName2"].into_iter().zip(more_names));
        fields.extend(["Address1", "Address2"].into_iter().zip(part.lines.iter().map(|line| Some(json!(line)))));
        object(&fields)
    };
    let lines: Vec<Value> = order
        .lines
        .iter()
        .map(|line| {
            let ids: Vec<Value> =
                line.ids.iter().map(|id| json!({"PartNumberQual": id.qualifier, "PartNumber": id.value})).collect();
            json!({
                "OrderLine": object(&[
                    ("LineSequenceNumber", text(&line.number)), ("OrderQty", text(&line.quantity)), ("OrderQtyUOM", text(&line.unit)),
                    ("PurchasePrice", text(&line.price)), ("ProductID", Some(json!(ids))),
                ]),
                "Dates": line.dates.iter().map(date).collect::<Vec<_>>(),
                "References": line.references.iter().map(reference).collect::<Vec<_>>(),
                "ChargesAllowances": line.allowances.iter().map(allowance).collect::<Vec<_>>(),
                "Address": line.addresses.iter().map(address).collect::<Vec<_>>(),
                "ProductOrItemDescription": line.description.iter().map(|text| json!({"ProductDescription": text})).collect::<Vec<_>>(),
                "QuantitiesSchedulesLocations": line.schedules.iter().map(|part| json!({
                    "TotalQtyUOM": part.unit, "LocationCodeQualifier": part.location_qualifier, "LocationQuantity": [{"Location": part.location, "Qty": part.quantity}]
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "Header": {
            "OrderHeader": object(&[
                ("TradingPartnerId", Some(json!(order.partner))), ("PurchaseOrderNumber", Some(json!(order.number))),
                ("TsetPurposeCode", Some(json!(order.purpose))), ("PrimaryPOTypeCode", text(&order.kind)),
                ("ReleaseNumber", Some(json!(order.release))), ("PurchaseOrderDate", text(&order.ordered_on)),
                ("BuyersCurrency", text(&order.currency)),
            ]),
            "Dates": order.dates.iter().map(date).collect::<Vec<_>>(),
            "References": order.references.iter().map(reference).collect::<Vec<_>>(),
            "ChargesAllowances": order.allowances.iter().map(allowance).collect::<Vec<_>>(),
            "Address": order.addresses.iter().map(address).collect::<Vec<_>>(),
            "Notes": order.notes.iter().map(|note| json!({"Note": note})).collect::<Vec<_>>(),
        },
        "LineItem": lines,
        "Summary": object(&[("TotalAmount", text(&order.stated_total)), ("TotalLineItemNumber", Some(json!(order.lines.len().to_string())))]),
    })
}

fn xml(name: &str, value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| xml(name, item, text)),
        Value::Object(map) => {
            write!(text, "<{name}>").unwrap();
            map.iter().for_each(|(name, value)| xml(name, value, text));
            write!(text, "</{name}>").unwrap();
        }
        Value::Null => {}
        other => {
            let plain = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            let safe = plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            write!(text, "<{name}>{safe}</{name}>").unwrap();
        }
    }
}

prop_compose! {
    fn day()(year in 1990..2090_i32, month in 1..=12_u8, day in 1..=28_u8) -> String {
        format!("{year:04}-{month:02}-{day:02}")
    }
}

/// Text that both formats can hold: without X12's separators.
fn words() -> impl Strategy<Value = String> {
    "[A-Za-z0-9äÖ#&<.,'/-]([A-Za-z0-9äÖ#&<.,' /-]{0,18}[A-Za-z0-9äÖ#&<.,'/-])?"
}

fn number() -> impl Strategy<Value = String> {
    (0..10_000_000_u64, 0..4_u32).prop_map(|(digits, scale)| {
        novex_ingest::internals::edi::decimal::normalize_decimal(&format!(
            "{}.{:0width$}",
            digits / 10_u64.pow(scale),
            digits % 10_u64.pow(scale),
            width = scale as usize
        ))
        .unwrap()
    })
}

fn cents() -> impl Strategy<Value = String> {
    (0..10_000_000_u64).prop_map(|cents| {
        novex_ingest::internals::edi::decimal::normalize_decimal(&format!("{}.{:02}", cents / 100, cents % 100))
            .unwrap()
    })
}

prop_compose! {
    fn dates()(list in prop::collection::vec(("[0-9]{3}", day()), 0..3)) -> Vec<EdiDate> {
        list.into_iter().map(|(qualifier, on)| EdiDate { qualifier, on: Some(on), ..EdiDate::default() }).collect()
    }
}

prop_compose! {
    fn references()(list in prop::collection::vec(("(DX|ZZ|CO|19)", words()), 0..3)) -> Vec<EdiReference> {
        list.into_iter().map(|(qualifier, value)| EdiReference { qualifier, value: Some(value), ..EdiReference::default() }).collect()
    }
}

prop_compose! {
    fn allowances()(list in prop::collection::vec(("[AC]", "[A-H][0-9]{3}", cents()), 0..2)) -> Vec<AllowanceCharge> {
        list.into_iter().map(|(kind, code, amount)| AllowanceCharge { kind, code: Some(code), amount: Some(amount), ..AllowanceCharge::default() }).collect()
    }
}

prop_compose! {
    fn addresses()(list in prop::collection::vec(("(ST|BT|BY)", words(), "[0-9]{4}", [prop::collection::vec(words(), 0..2), prop::collection::vec(words(), 0..2)], words(), "[0-9]{5}"), 0..2))
        -> Vec<EdiAddress> {
        list.into_iter().map(|(kind, name, id, [more_names, lines], city, zip)| EdiAddress {
            kind, name: Some(name), more_names, id_qualifier: Some("92".into()), id: Some(id), lines, city: Some(city), state: Some("MN".into()),
            postal_code: Some(zip), country: Some("US".into()),
        }).collect()
    }
}

prop_compose! {
    fn line()(
        number in prop::option::of("[0-9]{1,6}"), quantity in self::number(), price in prop::option::of(self::number()),
        ids in prop::collection::vec(("(BP|VN|UP|UK|ZQ)", words()), 0..5), description in prop::option::of(words()),
        dates in dates(), references in references(), allowances in allowances(), addresses in addresses(),
        schedules in prop::collection::vec(("[0-9]{4}", self::number()), 0..3),
    ) -> PurchaseOrderLine {
        PurchaseOrderLine {
            number, quantity: Some(quantity), unit: Some("CA".into()), price,
            ids: ids.into_iter().map(|(qualifier, value)| ProductId { qualifier, value }).collect(),
            description, dates, references, allowances, addresses,
            schedules: schedules.into_iter().map(|(location, quantity)| LineSchedule {
                location: Some(location), location_qualifier: Some("92".into()), quantity, unit: Some("CA".into()), ..LineSchedule::default()
            }).collect(),
            ..PurchaseOrderLine::default()
        }
    }
}

prop_compose! {
    fn order()(
        number in "[A-Z0-9]{1,22}", release in "[0-9]{0,4}", ordered_on in day(), currency in prop::option::of("[A-Z]{3}"),
        dates in dates(), references in references(), allowances in allowances(), addresses in addresses(),
        notes in prop::collection::vec(words(), 0..2), lines in prop::collection::vec(line(), 1..6), total in prop::option::of(self::number()),
    ) -> PurchaseOrder {
        // A total that the lines do not add up to is a fault.
        let sum: Decimal = lines.iter().filter_map(PurchaseOrderLine::exact_amount).sum();
        let total = total.map(|_| sum.normalize().to_string());
        PurchaseOrder {
            partner: "ACMERETAIL".into(), number, release, purpose: "00".into(), kind: Some("SA".into()), ordered_on: Some(ordered_on),
            currency, dates, references, allowances, addresses, notes, stated_lines: Some(lines.len().to_string()), lines, stated_total: total,
            ..PurchaseOrder::default()
        }
    }
}

proptest! {
    #![proptest_config(seeded_config(200))]

    /// Any order is read back unchanged from all three formats.
    #[test]
    fn written_order_is_read_back_unchanged(order in order()) {
        let tree = rsx_tree(&order);
        let mut as_xml = String::from("<?xml version=\"1.0\"?><Orders xmlns=\"http://www.spscommerce.com/RSX\">");
        xml("Order", &tree, &mut as_xml);
        as_xml.push_str("</Orders>");
        for text in [x12(&order), tree.to_string(), as_xml] {
            let mut document = file::read_edi_file(text.as_bytes());
            if let Some(order) = &mut document.documents[0].order {
                // The origin depends on the format.
                order.origin = DocumentOrigin::default();
            }
            let faults: Vec<_> = document.all_faults().collect();
            prop_assert!(faults.is_empty(), "{faults:?}\n{text}");
            prop_assert_eq!(document.kind.as_str(), "850");
            prop_assert_eq!(document.documents.len(), 1);
            prop_assert_eq!(document.documents[0].order.as_ref(), Some(&order), "{}", text);
        }
    }

    /// The same documents give the same order in any sequence; only the event ids differ.
    #[test]
    fn changes_fold_equally_in_any_sequence(order in order(), seed in any::<u64>()) {
        let change = |sequence: &str, lines: Vec<PurchaseOrderLine>| PurchaseOrder {
            is_change: true, number: order.number.clone(), partner: order.partner.clone(), purpose: "04".into(),
            sequence: Some(sequence.into()), lines, ..PurchaseOrder::default()
        };
        let line = |code: &str, quantity: &str| PurchaseOrderLine {
            number: order.lines[0].number.clone(), ids: order.lines[0].ids.clone(), change: Some(code.into()),
            quantity: Some(quantity.into()), ..PurchaseOrderLine::default()
        };
        let added = PurchaseOrderLine { number: Some("990".into()), change: Some("AI".into()), quantity: Some("5".into()), ..PurchaseOrderLine::default() };
        let mut received = vec![
            order.clone(), change("1", vec![line("CA", "7")]), change("2", vec![line("QI", "9"), added]), change("3", vec![line("DI", "0")]),
        ];
        let fold_all = |orders: &[PurchaseOrder]| {
            let received: Vec<ReceivedDocument> = orders.iter().zip(1..).map(|(order, event_id)| ReceivedDocument { order: order.clone(), event_id, document_position: 1, received_on: "2026-11-25".to_owned() }).collect();
            let mut state = fold_documents(&received, ChangeQuantities::Total);
            state.event_id = None;
            state.revisions.iter_mut().for_each(|step| step.event_id = 0);
            state
        };
        let expected = fold_all(&received);
        fastrand::Rng::with_seed(seed).shuffle(&mut received);
        prop_assert_eq!(fold_all(&received), expected);
    }

    /// No input makes a reader panic.
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        drop(file::read_edi_file(&bytes));
        drop(file::read_edi_file(&[b"ISA*00*          *00*          *ZZ*A              *ZZ*B              *261124*1041*U*00401*000000055*0*P*>~", bytes.as_slice()].concat()));
    }
}

fn received(text: &str, event_id: i64) -> ReceivedDocument {
    let order = file::read_edi_file(text.as_bytes()).documents.remove(0).order.expect("an order");
    ReceivedDocument { order, event_id, document_position: 1, received_on: "2026-11-25".to_owned() }
}

#[test]
fn changes_apply_by_their_code() {
    let first = received(&interchange("850", &[order_set("PO1", 3)]), 1);
    let change = received(
        &interchange(
            "860",
            &[change_set(
                "PO1",
                "2",
                &[
                    "POC*1*QI*12*12*CA",
                    "POC*0002*PC***CA*21",
                    "POC*3*DI",
                    "POC*4*AI*5*5*EA*1.5**BP*B9",
                    "POC**CA*8*8*CA***BP*NONE",
                    "POC*2*XX*20",
                ],
            )],
        ),
        2,
    );
    let state = fold_documents(&[change.clone(), first.clone()], ChangeQuantities::Total);
    let lines: Vec<_> = state
        .order
        .lines
        .iter()
        .zip(&state.line_statuses)
        .map(|(line, status)| (line.quantity.as_deref().unwrap(), line.price.as_deref().unwrap(), *status))
        .collect();
    assert_eq!(
        lines,
        [
            ("12", "19.95", OrderStatus::Open),
            ("20", "21", OrderStatus::Open),
            ("30", "19.95", OrderStatus::Cancelled),
            ("5", "1.5", OrderStatus::Open)
        ]
    );
    let printed: Vec<_> = state.revisions.iter().map(|step| (step.outcome, step.message.as_str())).collect();
    assert_eq!(printed[0], (RevisionOutcome::Applied, "quantity 10 → 12"));
    assert_eq!(
        (printed[4].0, printed[5].0),
        (RevisionOutcome::Unclear, RevisionOutcome::Unclear),
        "an ambiguous change is not guessed"
    );
    assert!(state.attention().unwrap().contains("2 changes are unclear"));
    assert_eq!(state.open_lines_total().as_deref(), Some("666.9"));
    // A partner that writes the quantity to add or to remove.
    let delta = fold_documents(&[first.clone(), change], ChangeQuantities::Delta);
    assert_eq!(delta.order.lines[0].quantity.as_deref(), Some("22"));
    // QI with a smaller quantity: an error, or such a partner. The order is flagged.
    let less = received(&interchange("860", &[change_set("PO1", "1", &["POC*1*QI*2*2*CA"])]), 3);
    assert_eq!(
        fold_documents(&[first.clone(), less], ChangeQuantities::Total).revisions[0].outcome,
        RevisionOutcome::Unclear
    );
    // A change waits for its order; a cancellation cancels the whole order.
    let cancel = received(&interchange("860", &[vec!["BCH*01*SA*PO1***20261124".to_owned()]]), 4);
    assert_eq!(fold_documents(std::slice::from_ref(&cancel), ChangeQuantities::Total).status, OrderStatus::Waiting);
    assert_eq!(fold_documents(&[cancel, first], ChangeQuantities::Total).status, OrderStatus::Cancelled);
}

/// A fault names its place. A rejected set does not prevent the others from being accepted. The 997 reports the same by
/// the rules of X12.
#[test]
fn faults_have_a_place_and_appear_in_the_acknowledgement() {
    let mut broken = order_set("PO2", 2);
    broken[4] = "PO1*1*many*CA*19.95**BP*B1".to_owned();
    let mut with_total = order_set("A-NUMBER-THAT-IS-TOO-LONG-BY-FAR", 1);
    with_total.push("CTT*9".to_owned());
    let text = interchange("850", &[order_set("PO1", 1), broken, with_total]).replace("SE*10*0003", "SE*99*0003");
    let document = file::read_edi_file(text.as_bytes());
    let accepted: Vec<bool> = document.documents.iter().map(|part| part.order.is_some()).collect();
    assert_eq!(accepted, [true, false, true]);
    let worst: Vec<String> =
        document.all_faults().filter(|fault| fault.severity == FaultSeverity::Error).map(ToString::to_string).collect();
    assert_eq!(worst, ["line 17, segment 6, PO102: the quantity is \"many\", which is not a number"]);
    let response = acknowledgement::draft_acknowledgement(&document, 0)
        .write_interchange(ControlNumbers { interchange: 41, group: 42 }, "2026-11-25T09:30:00Z");
    let segments: Vec<&str> = response.lines().collect();
    assert_eq!(segments[0].len(), 106, "ISA has its fixed length");
    assert!(
        segments[0].contains("*ZZ*NOVEX          *ZZ*ACMERETAIL     *261125*0930*U*00401*000000041*0*P*>~"),
        "{response}"
    );
    assert_eq!(segments[1], "GS*FA*NOVEX*ACMERETAIL*20261125*0930*42*X*004010~");
    let body = &segments[2..segments.len() - 3];
    assert_eq!(
        body,
        [
            "ST*997*0001~",
            "AK1*PO*7~",
            "AK2*850*0001~",
            "AK5*A~",
            "AK2*850*0002~",
            "AK3*PO1*6**8~",
            "AK4*2*330*6~",
            "AK5*R*5~",
            "AK2*850*0003~",
            "AK3*BEG*2**8~",
            "AK4*3*324*5*A-NUMBER-THAT-IS-TOO-LONG-BY-FAR~",
            "AK5*E*4*5~",
            "AK9*P*3*3*2~"
        ]
    );
    assert_eq!(segments[segments.len() - 3..], ["SE*14*0001~", "GE*1*42~", "IEA*1*000000041~"]);
    // Our own reader reads the written 997 without faults, and does not acknowledge it.
    let back = file::read_edi_file(response.as_bytes());
    assert_eq!((back.kind.as_str(), back.all_faults().count()), ("997", 0));
    assert!(!acknowledgement::is_acknowledgement_due(&back, 0));
}

/// Foreign samples: sound ones give their orders, broken ones a fault, none a panic.
#[test]
fn foreign_samples_are_read() {
    let Some(folder) = std::env::var_os("NOVEX_SAMPLES").map(PathBuf::from) else { return };
    let mut seen = 0;
    for part in ["x12/850", "x12/other", "sps-rsx-json"] {
        for entry in std::fs::read_dir(folder.join(part)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let document = file::read_edi_file(&std::fs::read(&path).unwrap());
            seen += 1;
            assert_ne!(document.format, EdiFormat::Unknown, "{name}");
            let orders: Vec<&PurchaseOrder> =
                document.documents.iter().filter_map(|part| part.order.as_ref()).collect();
            let is_order = matches!(document.kind.as_str(), "850" | "860");
            let errors = document.all_faults().filter(|fault| fault.severity == FaultSeverity::Error).count();
            assert!(
                !is_order || orders.len() == document.documents.len() || errors > 0,
                "{name}: neither an order nor a fault"
            );
            for order in orders {
                assert!(
                    !order.number.is_empty() && !order.partner.is_empty() && !order.lines.is_empty(),
                    "{name}: {order:?}"
                );
            }
            if part == "x12/850" && name.contains("Issue") {
                assert!(
                    errors > 0 && document.all_faults().any(|fault| fault.location == "BEG"),
                    "{name}: contains no order"
                );
            }
        }
    }
    assert!(seen > 40, "{seen} samples");
}
