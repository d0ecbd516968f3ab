//! Measures reading of purchase orders in X12, RSX XML and RSX JSON, from bytes to the model with all faults.
//!
//! `cargo bench --bench edi`

#![expect(clippy::cast_precision_loss, reason = "printed figures of counts far below 2^52")]

use novex_ingest::internals::edi::file;
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

fn main() {
    println!("{:<9} {:>7} {:>10} {:>9} {:>7}", "format", "lines", "bytes", "ms", "MB/s");
    for lines in [10, 1_000, 20_000] {
        for (format, text) in
            [("x12", x12_order(lines)), ("rsx-xml", rsx_xml_order(lines)), ("rsx-json", rsx_json_order(lines))]
        {
            let document = file::read_edi_file(text.as_bytes());
            let order = document.documents[0].order.as_ref().expect("an order without faults");
            assert!(order.lines.len() == lines && document.all_faults().count() == 0);
            let (mut runs, start) = (0_u32, Instant::now());
            while start.elapsed() < Duration::from_millis(700) {
                black_box(file::read_edi_file(black_box(text.as_bytes())));
                runs += 1;
            }
            let seconds = start.elapsed().as_secs_f64() / f64::from(runs);
            let speed = text.len() as f64 / seconds / 1e6;
            println!("{format:<9} {lines:>7} {:>10} {:>9.3} {speed:>7.0}", text.len(), seconds * 1e3);
        }
    }
}

fn x12_order(lines: usize) -> String {
    let mut set =
        String::from("BEG*00*SA*PO1**20261124~\nDTM*002*20261201~\nN1*ST*Acme DC 5*92*0005~\nN4*Solon*OH*44139*US~\n");
    for line in 1..=lines {
        writeln!(
            set,
            "PO1*{line}*10*CA*19.95**BP*B{line}*VN*V{line}*UK*10614141000011~\nPID*F****Strawberry jam {line}~\nPO4*6~"
        )
        .unwrap();
    }
    writeln!(set, "CTT*{lines}~").unwrap();
    format!(
        "ISA*00*          *00*          *ZZ*ACMERETAIL     *ZZ*NOVEX          *261124*1041*U*00401*000000055*0*P*>~\n\
         GS*PO*ACMERETAIL*NOVEX*20261124*1041*7*X*004010~\nST*850*0001~\n{set}SE*{}*0001~\nGE*1*7~\nIEA*1*000000055~\n",
        set.lines().count() + 2
    )
}

fn rsx_xml_order(lines: usize) -> String {
    let mut text = String::from(
        "<?xml version=\"1.0\"?>\n<Orders xmlns=\"http://www.spscommerce.com/RSX\"><Order><Header><OrderHeader>\
         <TradingPartnerId>ACMERETAIL</TradingPartnerId><PurchaseOrderNumber>PO1</PurchaseOrderNumber></OrderHeader></Header>\n",
    );
    for line in 1..=lines {
        writeln!(
            text,
            "<LineItem><OrderLine><LineSequenceNumber>{line}</LineSequenceNumber><BuyerPartNumber>B{line}</BuyerPartNumber>\
             <GTIN>10614141000011</GTIN><OrderQty>10</OrderQty><OrderQtyUOM>CA</OrderQtyUOM><PurchasePrice>19.95</PurchasePrice>\
             </OrderLine></LineItem>"
        )
        .unwrap();
    }
    text + "</Order></Orders>"
}

fn rsx_json_order(lines: usize) -> String {
    let items: Vec<String> = (1..=lines)
        .map(|line| {
            format!(
                r#"{{"OrderLine":{{"LineSequenceNumber":"{line}","BuyerPartNumber":"B{line}","GTIN":"10614141000011","OrderQty":10.0,"OrderQtyUOM":"CA","PurchasePrice":19.95}}}}"#
            )
        })
        .collect();
    format!(
        r#"{{"Header":{{"OrderHeader":{{"TradingPartnerId":"ACMERETAIL","PurchaseOrderNumber":"PO1"}}}},"LineItem":[{}]}}"#,
        items.join(",")
    )
}
