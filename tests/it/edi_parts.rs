//! The parts of an order: each in X12, in RSX as XML and in RSX as JSON, as it is stored, flagged and shown.

use crate::support::Home;
use crate::support::edi_files::interchange;
use crate::support::order_parts::{BEGIN, attention, fold, plain_line, read_rsx, read_x12, with_line_fields};
use novex_ingest::internals::edi::file;
use novex_ingest::internals::edi::purchase_order::{EdiContact, PurchaseOrder, PurchaseOrderLine};
use novex_ingest::internals::edi::revisions::{ChangeQuantities, ReceivedDocument, fold_documents};
use serde_json::{Value, json};
use std::fs;

fn list_extras(order: &PurchaseOrder) -> Vec<(String, String, String)> {
    let extras = order.extras.iter().cloned();
    extras.map(|extra| (extra.location, extra.name.unwrap_or_default(), extra.value)).collect()
}

/// What follows an address belongs to it; the numbers of the order are found there too.
#[test]
fn parts_of_an_address_are_kept_with_it() {
    let x12 = read_x12(&[
        "N1*ST*Acme DC*92*0012",
        "N3*1 Dock Road",
        "N4*Columbus*OH*43217*US*RG*9",
        "REF*DP*028",
        "REF*IA*99887**ZZ>1",
        "PER*DC*Ada*TE*555-0100*TE*555-0101",
        "DTM*002*20261201*1330*ET",
        "TD5**2*ABCD*M*Route 7",
        "FOB*CC*DE*Dock*01*FOB",
        "TD1*CTN*12",
        "N1*BT*Acme",
        "N4*Columbus*OH*43217",
        "N4*Dayton*OH*45401",
        "PO1*1*10*CA*5**VN*A1",
        "CTT*1",
    ]);
    assert_eq!((x12.department.as_deref(), x12.vendor.as_deref()), (Some("028"), Some("99887")));
    let owner = Some("ST 0012");
    assert!(x12.references.iter().all(|part| part.address.as_deref() == owner) && x12.references.len() == 2);
    assert_eq!((x12.contacts[0].address.as_deref(), x12.contacts[0].phone.as_deref()), (owner, Some("555-0100")));
    let date = &x12.dates[0];
    assert_eq!(
        (date.time.as_deref(), date.zone.as_deref(), date.address.as_deref()),
        (Some("13:30"), Some("ET"), owner)
    );
    assert_eq!((x12.carriers[0].address.as_deref(), x12.instructions[0].address.as_deref()), (owner, owner));
    assert_eq!(x12.addresses[1].city.as_deref(), Some("Columbus"), "a second N4 replaces nothing");
    let extras = list_extras(&x12);
    for (location, name, value) in [
        ("N405", "city, address ST 0012", "RG"),
        ("REF04", "reference IA, address ST 0012", "ZZ>1"),
        ("FOB04", "freight CC, address ST 0012", "01"),
        ("TD1", "packages and weight, address ST 0012", "CTN*12"),
        ("N4", "city, address BT Acme", "Dayton*OH*45401"),
    ] {
        assert!(extras.contains(&(location.into(), name.into(), value.into())), "{location}: {extras:?}");
    }
    let rsx = read_rsx(
        &json!({"Address": [{"AddressTypeCode": "ST", "AddressLocationNumber": "0012", "LocationID": "East gate",
            "References": {"ReferenceQual": "DP", "ReferenceID": "028"},
            "Contacts": {"ContactTypeCode": "DC", "PrimaryPhone": "555-0100", "ContactReference": "ext 4"},
            "Dates": {"DateTimeQualifier": "002", "Date": "2026-12-01", "Time": "13:30:00-05:00"}}],
            "References": {"ReferenceQual": "IA", "ReferenceID": "99887"}}),
        &plain_line(),
        &Value::Null,
    );
    assert_eq!((rsx.department.as_deref(), rsx.vendor.as_deref()), (Some("028"), Some("99887")));
    assert_eq!((rsx.contacts[0].address.as_deref(), rsx.dates[0].zone.as_deref()), (owner, Some("-05:00")));
    let extras = list_extras(&rsx);
    assert!(extras.contains(&("Header/Address/LocationID".into(), String::new(), "East gate".into())), "{extras:?}");
    // The order's own number outranks that of an address; two addresses that contradict each other give none.
    let own = read_x12(&["REF*DP*019", "N1*ST*Acme*92*1", "REF*DP*028", "PO1*1*10*CA*5**VN*A1"]);
    assert_eq!(own.department.as_deref(), Some("019"));
    let two = ["N1*ST*A*92*1", "REF*DP*1", "N1*BY*B*92*2", "REF*DP*2", "PO1*1*10*CA*5**VN*A1"];
    assert_eq!(read_x12(&two).department, None);
    assert_eq!(attention(&read_x12(&two)), "the reference DP states 1 and 2: neither is taken");
}

#[test]
fn parts_of_an_address_of_a_line_belong_to_the_line() {
    let order =
        read_x12(&["PO1*1*10*CA*5**VN*A1", "N1*BY*Store*92*7", "REF*ST*7", "PER*IC*Ada", "PO1*2*1*CA*5**VN*A2"]);
    let line = &order.lines[0];
    assert_eq!(line.references[0].address.as_deref(), Some("BY 7"));
    assert_eq!(line.contacts[0].name.as_deref(), Some("Ada"));
    assert!(order.references.is_empty() && order.lines[1].references.is_empty());
}

/// The price is where the sender states it, and contradictions are flagged.
#[test]
fn price_apart_from_the_line_is_read() {
    let x12 = read_x12(&["PO1*1*10*CA***VN*A1", "CTP*RS*RES*39.99", "CTP**UCP*27.50"]);
    let without = with_line_fields(plain_line(), &json!({"PurchasePrice": null}));
    let with_prices = |prices: Value| {
        let mut line = without.clone();
        line["PriceInformation"] = prices;
        read_rsx(&json!({}), &line, &Value::Null)
    };
    let prices =
        json!([{"PriceTypeIDCode": "RES", "UnitPrice": "39.99"}, {"PriceTypeIDCode": "UCP", "UnitPrice": "27.5"}]);
    for order in [x12, with_prices(prices)] {
        assert_eq!(order.lines[0].price.as_deref(), Some("27.5"));
        assert_eq!(order.lines[0].prices.len(), 2, "the retail price is kept");
        assert_eq!((attention(&order), fold(&order).open_lines_total().as_deref()), (String::new(), Some("275")));
    }
    let contradiction = read_x12(&["PO1*1*10*CA*28**VN*A1", "CTP**UCP*27.50"]);
    assert_eq!(attention(&contradiction), "line 1 states the prices 28 and 27.5 (unit cost price (UCP))");
    let mut line = plain_line();
    line["PriceInformation"] = json!([{"PriceTypeIDCode": "UCP", "UnitPrice": "27.5"}]);
    assert!(attention(&read_rsx(&json!({}), &line, &Value::Null)).contains("states the prices 5 and 27.5"));
}

fn list_ids(line: &PurchaseOrderLine) -> [Option<&str>; 4] {
    [line.buyer_item(), line.vendor_item(), line.upc(), line.gtin()]
}

#[test]
fn every_product_id_is_kept_and_known_ones_have_columns() {
    let x12 = read_x12(&["PO1*1*10*CA*5**UC*012345678905*PI*77*GE*JAM**LOOSE*UN*10614141000019", "LIN**VP*A1"]);
    assert_eq!(list_ids(&x12.lines[0]), [Some("77"), Some("A1"), Some("012345678905"), Some("10614141000019")]);
    let fields = json!({"VendorPartNumber": null, "NatlDrugCode": "51456-299",
        "ProductID": [{"PartNumberQual": "PI", "PartNumber": "77"}, {"PartNumber": "LOOSE"}]});
    let rsx = read_rsx(&json!({}), &with_line_fields(plain_line(), &fields), &Value::Null);
    assert_eq!(list_ids(&rsx.lines[0]), [Some("77"), None, None, None]);
    for order in [x12, rsx] {
        assert!(order.lines[0].ids.iter().any(|id| id.qualifier.is_empty() && id.value == "LOOSE"));
    }
    // UC is by the standard a suffix of a UPC.
    assert_eq!(read_x12(&["PO1*1*10*CA*5**UC*2"]).lines[0].upc(), None);
}

/// An element that is left out or too many moves the qualifiers.
#[test]
fn product_ids_are_aligned_by_their_qualifiers() {
    for segment in ["PO1*1*10*CA*5*UP*012345678905*VN*A1", "PO1*1*10*CA*5***UP*012345678905*VN*A1"] {
        let order = read_x12(&[segment]);
        assert_eq!(list_ids(&order.lines[0]), [None, Some("A1"), Some("012345678905"), None], "{segment}");
        assert_eq!((order.lines[0].price_basis.as_deref(), attention(&order)), (None, String::new()));
    }
    // Price and basis are left out with their separators, or the price alone is.
    for (segment, basis) in [
        ("PO1*1*10*CA*UP*012345678905*VN*A1", None),
        ("PO1*1*10*CA*PE*UP*012345678905*VN*A1", Some("PE")),
        ("PO1*1*10*CA**UP*012345678905*VN*A1", None),
    ] {
        let order = read_x12(&[segment]);
        let line = &order.lines[0];
        assert_eq!(list_ids(line), [None, Some("A1"), Some("012345678905"), None], "{segment}");
        assert_eq!((line.price.as_deref(), line.price_basis.as_deref()), (None, basis), "{segment}");
        assert_eq!((line.quantity.as_deref(), attention(&order)), (Some("10"), String::new()), "{segment}");
    }
    let shifted = read_x12(&["PO1*1*10*CA*ZZ*KIT*XYZ*77"]);
    assert_eq!(attention(&shifted), "line 1: PO104 is \"ZZ\", which is not a price: an element of the line is missing");
    assert_eq!(shifted.lines[0].price, None);
    let unclear = read_x12(&["PO1*1*10*CA*5*PE*012345678905*A1*XYZ"]);
    assert!(
        attention(&unclear).contains("which is none: an element of the line is missing"),
        "{}",
        attention(&unclear)
    );
}

/// Each number of a contact belongs to it, with its kind.
#[test]
fn every_number_of_a_contact_is_kept_with_it() {
    let x12 = read_x12(&[
        "PER*BD*Ada*TE*555-0100*TE*555-0101*EM*ada@acme.example",
        "PER*IC*Bob*CP*555-0102*FX*555-0103*FX*555-0104",
        "PER*DC*Cy*UR**XX*9",
        "PO1*1*10*CA*5**VN*A1",
        "PER*SR*Di*EM*di@acme.example*EM*sales@acme.example",
    ]);
    let contact = json!({"ContactTypeCode": "BD", "ContactName": "Ada", "PrimaryPhone": "555-0100",
        "PrimaryEmail": "ada@acme.example", "ContactReference": "ext 4",
        "AdditionalContactDetails": [{"ContactQual": "TE", "ContactID": "555-0101"}]});
    let rsx = read_rsx(&json!({"Contacts": contact}), &plain_line(), &Value::Null);
    let numbers = |contact: &EdiContact| -> Vec<String> {
        contact.others.iter().map(|number| format!("{} {}", number.qualifier, number.value)).collect()
    };
    for order in [&x12, &rsx] {
        let ada = &order.contacts[0];
        assert_eq!((ada.phone.as_deref(), ada.email.as_deref()), (Some("555-0100"), Some("ada@acme.example")));
        assert_eq!(numbers(ada), ["TE 555-0101"]);
    }
    assert_eq!(x12.contacts[1].fax.as_deref(), Some("555-0103"));
    assert_eq!(numbers(&x12.contacts[1]), ["CP 555-0102", "FX 555-0104"]);
    assert_eq!(numbers(&x12.contacts[2]), ["XX 9"]);
    assert_eq!(numbers(&x12.lines[0].contacts[0]), ["EM sales@acme.example"]);
    let extras = |order| list_extras(order).into_iter().map(|(location, ..)| location).collect::<Vec<_>>();
    assert_eq!(extras(&x12), ["PER03"], "a kind without a number");
    assert_eq!(extras(&rsx), ["Header/Contacts/ContactReference"]);
}

/// Sets and kits have their components, with everything below them.
#[test]
fn components_are_kept_below_their_line() {
    let x12 = read_x12(&[
        "PO1*1*10*AS*55**VN*BOX",
        "SLN*1**I*2*EA*10***VN*JAM",
        "PID*F****Jam 6 oz",
        "DTM*002*20261201",
        "SDQ*EA*92*0002*12*0004*8",
        "SLN*2**I*1*EA****VN*HONEY*UP*012345678905",
        "PO4*6",
        "MEA*PD*G*5*LB",
        "PO1*2*1*CA*5**VN*A2",
    ]);
    let [jam, honey] = x12.lines[0].components.as_slice() else { panic!("{:?}", x12.lines[0]) };
    assert_eq!((jam.quantity.as_deref(), jam.price.as_deref()), (Some("2"), Some("10")));
    assert_eq!((jam.description.as_deref(), jam.schedules.len(), jam.dates.len()), (Some("Jam 6 oz"), 2, 1));
    assert_eq!((honey.upc(), honey.pack.as_deref()), (Some("012345678905"), Some("6")));
    assert_eq!(x12.lines[0].all_extras()[0].name.as_deref(), Some("measurement, component 2"));
    assert!(x12.lines[0].schedules.is_empty() && x12.lines[1].components.is_empty());
    let subline = json!({"SublineItemDetail": {"LineSequenceNumber": "1", "VendorPartNumber": "JAM", "QtyPer": "2",
        "QtyPerUOM": "EA", "PurchasePrice": "10", "Gender": "none"}, "Dates": {"DateTimeQualifier": "002", "Date": "2026-12-01"}});
    for wrapped in [json!({"Subline": [subline]}), json!({"Sublines": {"Subline": [subline]}})] {
        let mut line = plain_line();
        line.as_object_mut().unwrap().extend(wrapped.as_object().unwrap().clone());
        let rsx = read_rsx(&json!({}), &line, &Value::Null);
        let jam = &rsx.lines[0].components[0];
        assert_eq!((jam.vendor_item(), jam.quantity.as_deref(), jam.dates.len()), (Some("JAM"), Some("2"), 1));
        assert_eq!(jam.extras[0].location, "SublineItemDetail/Gender");
    }
}

/// The quantities of the stores, and what else the sender adds up.
#[test]
fn stated_sums_that_do_not_fit_need_attention() {
    let line = "PO1*1*100*CA*5**VN*A1";
    for (segments, wanted) in [
        (&[line, "SDQ*CA*92*0002*40*0004*60"][..], ""),
        (
            &[line, "SDQ*CA*92*0002*40*0004*50"],
            "line 1: the quantities of the locations add up to 90 CA, the line states 100 CA",
        ),
        (
            &[line, "SDQ*EA*92*0002*40*0004*60"],
            "line 1: the quantities of the locations are in EA, the line's is in CA",
        ),
        (
            &[line, "SCH*60*CA***002*20261201", "SCH*30*CA***002*20261208"],
            "line 1: the quantities of the dates add up to 90 CA, the line states 100 CA",
        ),
        (&[line, "CTT*1*100"], ""),
        (&[line, "CTT*1*90"], "the quantities add up to 100, CTT02 states \"90\""),
        (&[line, "CTT*2"], "the document has 1 line, CTT01 states \"2\""),
        (&[line, "CTT*1", "AMT*TT*500"], ""),
        (&[line, "CTT*1", "AMT*TT*501"], "the lines add up to 500, AMT*TT states \"501\""),
        (&["SAC*A*C310***1000", line, "CTT*1", "AMT*TT*490"], ""),
        (&["SAC*A*C310****3*2", line, "CTT*1", "AMT*TT*490"], ""),
        (&[line, "AMT*1*499", "CTT*1"], "line 1: quantity times price is 500, AMT*1 states \"499\""),
        (&[line, "CTT*1", "AMT*1*500"], ""),
        (&["PO1*1**CA*5**VN*A1"], "line 1 has no quantity"),
    ] {
        assert_eq!(attention(&read_x12(segments)), wanted, "{segments:?}");
    }
    let odd = read_x12(&[line, "SDQ*CA*92*0002*40*0004"]);
    assert!(attention(&odd).contains("add up to 40 CA"), "{}", attention(&odd));
    assert_eq!(odd.lines[0].extras[0].value, "0004");
    let amounts = read_x12(&[line, "CTT*1", "AMT*TT*500", "AMT*GV*520"]);
    assert_eq!((amounts.stated_total.as_deref(), amounts.amounts[0].qualifier.as_str()), (Some("500"), "GV"));
    let places = |quantities: [&str; 2]| {
        let mut line = plain_line();
        line["QuantitiesSchedulesLocations"] = json!([{"TotalQtyUOM": "CA", "LocationQuantity": [
            {"Location": "1", "Qty": quantities[0]}, {"Location": "2", "Qty": quantities[1]}]}]);
        line
    };
    for (line, summary, wanted) in [
        (places(["4", "6"]), json!({"TotalAmount": "50", "TotalLineItemNumber": "1", "TotalQuantity": "10"}), ""),
        (
            places(["4", "5"]),
            Value::Null,
            "line 1: the quantities of the locations add up to 9 CA, the line states 10 CA",
        ),
        (plain_line(), json!({"TotalAmount": "51"}), "the lines add up to 50, Summary/TotalAmount states \"51\""),
        (
            plain_line(),
            json!({"TotalQuantity": "9"}),
            "the quantities add up to 10, Summary/TotalQuantity states \"9\"",
        ),
        (
            plain_line(),
            json!({"TotalLineItemNumber": "2"}),
            "the document has 1 line, Summary/TotalLineItemNumber states \"2\"",
        ),
        (with_line_fields(plain_line(), &json!({"OrderQty": null})), Value::Null, "line 1 has no quantity"),
    ] {
        assert_eq!(attention(&read_rsx(&json!({}), &line, &summary)), wanted);
    }
}

/// A later change settles a finding about a line, and makes one.
#[test]
fn findings_of_lines_follow_the_changes() {
    let order = read_x12(&["PO1*1*100*CA*5**VN*A1", "SDQ*CA*92*0002*40*0004*50"]);
    let change = interchange(
        "860",
        &[vec!["BCH*04*SA*PO1***20261124*****20261125".into(), "POC*1*QD*90*90*CA*5**VN*A1".into()]],
    );
    let change = file::read_edi_file(change.as_bytes()).documents[0].order.clone().unwrap();
    let received = |order: PurchaseOrder, event_id| ReceivedDocument {
        order,
        event_id,
        document_position: 1,
        received_on: "2026-11-25".to_owned(),
    };
    assert!(fold(&order).attention().is_some());
    let changed = fold_documents(&[received(order, 1), received(change, 2)], ChangeQuantities::Total);
    assert_eq!((changed.order.lines[0].quantity.as_deref(), changed.attention()), (Some("90"), None));
}

#[test]
fn set_with_missing_segments_needs_attention() {
    let text = interchange("850", &[vec![BEGIN.to_owned(), "PO1*1*10*CA*5**VN*A1".to_owned()]]);
    let text = text.replace("SE*4*", "SE*6*");
    let order = file::read_edi_file(text.as_bytes()).documents[0].order.clone().unwrap();
    assert_eq!(attention(&order), "the set has 4 segments, SE01 states \"6\"");
}

/// The case pack is that of the ordered unit, the inner pack is separate.
#[test]
fn packs_are_not_confused() {
    let rsx = |packs: Value| {
        let mut line = plain_line();
        line["PhysicalDetails"] = packs;
        let line = read_rsx(&json!({}), &line, &Value::Null).lines.remove(0);
        (line.pack, line.inner_pack)
    };
    let x12 = |segments: &[&str]| {
        let line = read_x12(&[&["PO1*1*10*CA*5**VN*A1"], segments].concat()).lines.remove(0);
        (line.pack, line.inner_pack)
    };
    let packs = |pack: Option<&str>, inner: Option<&str>| (pack.map(str::to_owned), inner.map(str::to_owned));
    let inner = json!({"PackQualifier": "IN", "PackValue": "6"});
    let outer = json!({"PackQualifier": "OU", "PackValue": "24"});
    assert_eq!(rsx(json!([inner, outer])), packs(Some("24"), Some("6")));
    assert_eq!(rsx(json!([{"PackValue": "6"}, outer])), packs(Some("24"), None));
    assert_eq!(rsx(json!([inner])), packs(None, Some("6")));
    assert_eq!(rsx(json!([{"PackQualifier": "PL", "PackValue": "480"}])), packs(None, None));
    assert_eq!(x12(&["PO4*24*340*GR***********6"]), packs(Some("24"), Some("6")));
    assert_eq!(x12(&["PO4**************6"]), packs(None, Some("6")));
    assert_eq!(x12(&["PO4*6", "PO4*24"]), packs(None, None), "nobody knows which of them is the case");
}

/// Fields of the RSX header without a column are kept.
#[test]
fn fields_of_the_rsx_header_are_kept() {
    let header = json!({"OrderHeader": {"CustomerOrderNumber": "#514943", "ShipCompleteCode": "Y", "Division": "019",
        "JobNumber": "J7", "PurchaseOrderDate": "2026-11-04T10:30:00"}});
    let order = read_rsx(&header, &plain_line(), &Value::Null);
    let references: Vec<_> =
        order.references.iter().map(|part| (part.qualifier.as_str(), part.value.as_deref().unwrap())).collect();
    assert_eq!(references, [("CO", "#514943"), ("19", "019")]);
    assert_eq!(order.ordered_on.as_deref(), Some("2026-11-04"));
    let extras = list_extras(&order);
    for (location, value) in
        [("ShipCompleteCode", "Y"), ("JobNumber", "J7"), ("PurchaseOrderDate", "2026-11-04T10:30:00")]
    {
        let extra = (format!("Header/OrderHeader/{location}"), String::new(), value.to_owned());
        assert!(extras.contains(&extra), "{extras:?}");
    }
}

/// Extras, components, percentages and other ids are in the tables, in `sps show`, and can be mapped.
#[test]
fn parts_without_a_column_are_stored_shown_and_mapped() {
    let home = Home::new("");
    fs::create_dir(home.path("in")).unwrap();
    let source = home.path("in").display().to_string();
    home.configure(&format!("[sps]\n[[sps.sources]]\nname = \"acme\"\nurl = \"file://{source}\"\nsettle = \"0s\"\n"));
    home.serve().stop();
    let set = [
        BEGIN,
        "SAC*A*I170****3*5",
        "SAC*C*D240******0.25",
        "N1*ST*Acme DC*92*0012",
        "REF*DP*028",
        "REF*IA*99887",
        "PER*DC*Ada*TE*555-0100*CP*555-0101",
        "PO1*1*100*CA*5*PE*PL*7*ZZ*KIT",
        "MEA*PD*G*5*LB",
        "SLN*1**I*2*EA****VN*JAM",
        "PO1*2*10*EA*2**VN*A2",
        "CUR*BY*USD",
        "PO4*24*340*GR",
        "SDQ*EA*92*0002*4*0004*5",
    ];
    let set = set.iter().map(|text| (*text).to_owned()).collect();
    fs::write(home.path("in/po.edi"), interchange("850", &[set])).unwrap();
    home.run_ok(&["sps", "poll"]);
    home.run_ok(&["work", "--once"]);
    assert_eq!(
        home.sql("SELECT position, location, name, value FROM purchase_order_extras ORDER BY position, ordinal"),
        "1|MEA|measurement|PD*G*5*LB"
    );
    assert_eq!(
        home.sql("SELECT group_concat(value) FROM purchase_order_parts WHERE kind = 'allowance'"),
        "5 %,0.25 per unit"
    );
    assert_eq!(home.sql("SELECT code, value FROM purchase_order_parts WHERE kind = 'component'"), "JAM|2");
    assert_eq!(home.sql("SELECT pack_size, currency FROM purchase_order_lines WHERE position = 2"), "340 GR|USD");
    let paper = home.run_ok(&["sps", "show", "PO1"]);
    for printed in [
        "delivery (DC): Ada, 555-0100, mobile phone (CP) 555-0101 [ST 0012]",
        "measurement, MEA: PD*G*5*LB",
        "component 1, 2 each (EA), vendor's item JAM (VN), relationship I",
        "trade discount (I170), 5 %",
        "4 each (EA), for 0002",
        "line 2: the quantities of the locations add up to 9 EA, the line states 10 EA",
        "none: the amount of line 1 is not certain, because its price is per each (PE), its quantity is in case (CA)",
    ] {
        assert!(
            paper.split_whitespace().collect::<Vec<_>>().join(" ").contains(printed),
            "{printed} is not in\n{paper}"
        );
    }
    assert_eq!(home.sql("SELECT other_ids FROM unmapped_purchase_lines WHERE other_ids IS NOT NULL"), "PL 7, ZZ KIT");
    assert!(home.run_ok(&["sps", "map", "item", "KIT", "FG-1", "--by", "zz"]).contains("1 order line has this item"));
    assert_eq!(home.sql("SELECT item FROM purchase_order_lines WHERE position = 1"), "FG-1");
    // The numbers behind an address go back to the retailer.
    let invoice = json!({"invoice_number": "I1", "invoice_date": "2026-11-25", "purchase_order": "PO1", "total": "20.00",
        "lines": [{"line": "2", "quantity": 10}]});
    fs::write(home.path("invoice.json"), invoice.to_string()).unwrap();
    let invoice = home.run_ok(&["sps", "send", "810", &home.path("invoice.json").display().to_string(), "--check"]);
    assert!(invoice.contains("REF*DP*028~") && invoice.contains("REF*IA*99887~"), "{invoice}");
    home.sql("DELETE FROM sps_item_mappings");
    assert_eq!(home.sql("SELECT count(*) FROM purchase_order_lines WHERE item IS NOT NULL"), "0");
    assert!(!home.run(&["sps", "map", "item", "KIT", "FG-1", "--by", "a b"]).status.success());
}
