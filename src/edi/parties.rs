//! Finds the trading partner of an EDI file without reading its orders.

use crate::edi::file::decode_text;
use crate::edi::rsx::{RsxNode, tree};
use crate::edi::x12::envelope::find_interchange_parties;
use std::collections::BTreeSet;

/// Returns the trading partner of a file, as `purchase_orders.partner` has it.
///
/// That is `TradingPartnerId` of RSX. In X12 it is the sender of a received file (ISA06), and the receiver of a file
/// that novex-ingest sends (ISA08). A file of several partners, or of none, has no partner.
#[must_use]
pub fn find_partner(bytes: &[u8], is_outbound: bool) -> Option<String> {
    let text = decode_text(bytes);
    let text = text.trim_start();
    let mut partners = BTreeSet::new();
    match text.chars().next() {
        Some('<') => collect_trading_partners(&tree::parse_rsx_xml(text).ok()?, &mut partners),
        Some('{' | '[') => collect_trading_partners(&tree::parse_rsx_json(text.as_bytes()).ok()?.0, &mut partners),
        _ => partners.extend(
            find_interchange_parties(text)
                .into_iter()
                .map(|parties| if is_outbound { parties.receiver } else { parties.sender }),
        ),
    }
    partners.remove("");
    if partners.len() > 1 { None } else { partners.pop_first() }
}

fn collect_trading_partners(node: &RsxNode, partners: &mut BTreeSet<String>) {
    if node.name == "TradingPartnerId" {
        partners.insert(node.text.clone());
    }
    node.children.iter().for_each(|child| collect_trading_partners(child, partners));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISA: &str =
        "ISA*00*          *00*          *ZZ*ACMERETAIL     *ZZ*NOVEX          *261124*1041*U*00401*000000055*0*P*>~";

    #[test]
    fn partner_is_the_other_side_of_the_file() {
        let x12 = format!("{ISA}GS*PO*ACMERETAIL*NOVEX*20261124*1041*7*X*004010~");
        assert_eq!(find_partner(x12.as_bytes(), false).as_deref(), Some("ACMERETAIL"));
        assert_eq!(find_partner(x12.as_bytes(), true).as_deref(), Some("NOVEX"));
        let xml = "<Orders><Order><Header><OrderHeader><TradingPartnerId>ACME &amp; Co</TradingPartnerId></OrderHeader>\
                   </Header></Order></Orders>";
        assert_eq!(find_partner(xml.as_bytes(), false).as_deref(), Some("ACME & Co"));
        let json = br#"{"Header":{"InvoiceHeader":{"TradingPartnerId":"ACME"}}}"#;
        assert_eq!(find_partner(json, true).as_deref(), Some("ACME"));
    }

    #[test]
    fn file_of_several_partners_or_of_none_has_no_partner() {
        let two = format!("{ISA}IEA*0*000000055~{}IEA*0*000000055~", ISA.replace("ACMERETAIL", "OTHER     "));
        assert_eq!(find_partner(two.as_bytes(), false), None);
        assert_eq!(find_partner(two.as_bytes(), true).as_deref(), Some("NOVEX"));
        for text in ["", "<html><p>", "{}", "GS*PO*A*B*20261124*1041*7*X*004010~ST*850*1~", "a,b\n1,2\n", "\u{feff}"] {
            assert_eq!(find_partner(text.as_bytes(), false), None, "{text}");
        }
    }
}
