//! Meanings of the codes that retailers use on orders, in words for people. RSX uses X12's codes.
//!
//! Source: the code lists of X12 4010 and 5010, as public partner guides of retailers print them. A code that is not
//! here is shown as it is.

mod goods;

pub use goods::{PRODUCT_IDS, SEGMENTS};

/// Codes of one data element, each with its meaning.
#[derive(Debug, Clone, Copy)]
pub struct CodeList(&'static [(&'static str, &'static str)]);

impl CodeList {
    /// Creates a list of codes with their meanings.
    pub(crate) const fn new(codes: &'static [(&'static str, &'static str)]) -> Self {
        Self(codes)
    }

    /// Returns the meaning of a code, or None if it is not in the list.
    #[must_use]
    pub fn find(self, code: &str) -> Option<&'static str> {
        self.0.iter().find(|(known, _)| *known == code).map(|(_, meaning)| *meaning)
    }

    /// Returns the meaning with the code beside it, `ship to (ST)`, or the code alone.
    #[must_use]
    pub fn describe(self, code: &str) -> String {
        self.find(code).map_or_else(|| code.to_owned(), |meaning| format!("{meaning} ({code})"))
    }
}

/// Length of the purpose of a document (353).
pub const PURPOSE_LENGTH: usize = 2;
/// Length of the qualifier of a date (374).
pub const DATE_QUALIFIER_LENGTH: usize = 3;

/// Returns a code of digits with the leading zeros that its list has. Senders of JSON write `1` for `01`.
#[must_use]
pub fn restore_leading_zeros(code: &str, length: usize) -> String {
    let is_number = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { format!("{code:0>length$}") } else { code.to_owned() }
}

/// Types of an order: BEG02 (92).
pub const ORDER_TYPES: CodeList = CodeList(&[
    ("BK", "blanket order"),
    ("CF", "confirmation"),
    ("DS", "drop ship"),
    ("IN", "information copy"),
    ("KN", "cross-dock order"),
    ("NE", "new order"),
    ("OS", "special order"),
    ("PR", "promotion"),
    ("RE", "reorder"),
    ("RL", "release"),
    ("RO", "rush order"),
    ("SA", "stand-alone order"),
]);

/// Units of measure (355).
pub const UNITS: CodeList = CodeList(&[
    ("BG", "bag"),
    ("BO", "bottle"),
    ("BX", "box"),
    ("CA", "case"),
    ("CN", "can"),
    ("CT", "carton"),
    ("DZ", "dozen"),
    ("EA", "each"),
    ("GA", "gallon"),
    ("GR", "gram"),
    ("JR", "jar"),
    ("KG", "kilogram"),
    ("LB", "pound"),
    ("LT", "liter"),
    ("OZ", "ounce"),
    ("PC", "piece"),
    ("PK", "package"),
    ("PL", "pallet"),
    ("PR", "pair"),
    ("RL", "roll"),
    ("ST", "set"),
    ("TY", "tray"),
    ("UN", "unit"),
]);

/// Bases of a price: PO105 (639).
pub const PRICE_BASES: CodeList = CodeList(&[
    ("CA", "catalog"),
    ("CP", "current price"),
    ("CT", "contract"),
    ("DZ", "per dozen"),
    ("FX", "fixed price"),
    ("HF", "per 100 feet"),
    ("HP", "per hundred"),
    ("HT", "per 100,000"),
    ("LC", "catalog price per hundred"),
    ("LD", "catalog price per dozen"),
    ("LE", "catalog price per each"),
    ("LM", "catalog price per thousand"),
    ("ML", "per milliliter"),
    ("NC", "no charge"),
    ("NT", "net"),
    ("PD", "per dozen"),
    ("PE", "per each"),
    ("PF", "per foot"),
    ("PG", "per gram"),
    ("PK", "per kilogram"),
    ("PL", "per liter"),
    ("PN", "per ten"),
    ("PO", "per ounce"),
    ("PP", "per pound"),
    ("PR", "promotion"),
    ("PT", "per ton"),
    ("PY", "per yard"),
    ("QE", "quoted price per each"),
    ("QH", "quoted price per hundred"),
    ("QS", "quoted price per thousand"),
    ("QT", "quoted"),
    ("RC", "retail price per hundred"),
    ("RD", "retail price per dozen"),
    ("RE", "retail price per each"),
    ("RM", "retail price per thousand"),
    ("RS", "resale price"),
    ("RT", "retail"),
    ("SR", "suggested retail"),
    ("ST", "standard"),
    ("TC", "contract price per hundred"),
    ("TD", "contract price per dozen"),
    ("TE", "contract price per each"),
    ("TM", "contract price per thousand"),
    ("TP", "per thousand"),
    ("TT", "per 10,000"),
    ("UM", "per unit"),
    ("WC", "wholesale price per hundred"),
    ("WD", "wholesale price per dozen"),
    ("WE", "wholesale price per each"),
    ("WM", "wholesale price per thousand"),
]);

/// Kinds of a price: CTP02 (236).
pub const PRICES: CodeList = CodeList(&[
    ("ALT", "alternate price"),
    ("CAT", "catalog price"),
    ("CON", "contract price"),
    ("CUP", "confirmed unit price"),
    ("DIS", "distributor's price"),
    ("FCP", "future price"),
    ("INV", "invoice price"),
    ("LPR", "list price"),
    ("MSR", "suggested retail price"),
    ("NET", "net price"),
    ("PBQ", "price from a quantity"),
    ("PRO", "producer's price"),
    ("PRP", "promotional price"),
    ("QTE", "quoted price"),
    ("RES", "resale price"),
    ("RTL", "retail price"),
    ("UCP", "unit cost price"),
    ("WHL", "wholesale price"),
]);

/// Meanings of an amount: AMT01 (522).
pub const AMOUNTS: CodeList =
    CodeList(&[("1", "total of the line or lines"), ("GV", "gross value"), ("N", "net"), ("TT", "total of the order")]);

/// Roles of an address: N101 (98).
pub const ROLES: CodeList = CodeList(&[
    ("BT", "bill to"),
    ("BY", "buyer"),
    ("CA", "carrier"),
    ("CN", "consignee"),
    ("OB", "ordered by"),
    ("PW", "pick up at"),
    ("RI", "remit to"),
    ("SE", "seller"),
    ("SF", "ship from"),
    ("SN", "store"),
    ("SO", "sold to"),
    ("ST", "ship to"),
    ("SU", "supplier"),
    ("UC", "ultimate consignee"),
    ("VN", "vendor"),
    ("WH", "warehouse"),
    ("Z7", "mark for"),
]);

/// Issuers of the id of an address: N103 (66).
pub const ID_ISSUERS: CodeList =
    CodeList(&[("1", "DUNS"), ("9", "DUNS+4"), ("91", "seller's id"), ("92", "buyer's id"), ("UL", "GLN")]);

/// Meanings of a date: DTM01 (374) with three digits, G6201 (432) with two.
pub const DATES: CodeList = CodeList(&[
    ("01", "cancel after"),
    ("02", "delivery requested"),
    ("04", "purchase order"),
    ("07", "effective"),
    ("10", "shipment requested"),
    ("11", "shipped"),
    ("15", "promotion begins"),
    ("16", "promotion ends"),
    ("17", "delivery expected"),
    ("37", "ship not before"),
    ("38", "ship not later than"),
    ("53", "deliver not before"),
    ("54", "deliver not later than"),
    ("68", "delivery requested"),
    ("69", "pickup scheduled"),
    ("70", "delivery scheduled"),
    ("001", "cancel after"),
    ("002", "delivery requested"),
    ("003", "invoice"),
    ("004", "purchase order"),
    ("007", "effective"),
    ("010", "shipment requested"),
    ("011", "shipped"),
    ("015", "promotion begins"),
    ("016", "promotion ends"),
    ("017", "delivery expected"),
    ("036", "expires"),
    ("037", "ship not before"),
    ("038", "ship not later than"),
    ("061", "cancel if not delivered by"),
    ("063", "deliver not after"),
    ("064", "deliver not before"),
    ("067", "delivery scheduled"),
    ("068", "shipment scheduled"),
    ("069", "delivery promised"),
    ("071", "delivery requested from"),
    ("074", "delivery requested until"),
    ("077", "delivery requested in the week of"),
    ("106", "required by"),
    ("118", "pickup requested"),
    ("175", "cancel if not shipped by"),
    ("177", "cancellation"),
    ("196", "begins"),
    ("197", "ends"),
]);

/// Kinds of a reference: REF01 (128).
pub const REFERENCES: CodeList = CodeList(&[
    ("11", "account"),
    ("19", "division"),
    ("AH", "agreement"),
    ("BM", "bill of lading"),
    ("CN", "carrier's number"),
    ("CO", "customer order"),
    ("CT", "contract"),
    ("DP", "department"),
    ("IA", "vendor number"),
    ("IT", "customer number"),
    ("IV", "invoice"),
    ("L1", "letters or notes"),
    ("LO", "load"),
    ("LT", "lot"),
    ("MR", "merchandise type"),
    ("PD", "promotion"),
    ("PO", "purchase order"),
    ("ST", "store"),
    ("VR", "vendor id"),
    ("ZZ", "mutually defined"),
]);

/// Functions of a contact: PER01 (366).
pub const CONTACTS: CodeList = CodeList(&[
    ("AP", "accounts payable"),
    ("BD", "buyer"),
    ("DC", "delivery"),
    ("IC", "information"),
    ("OC", "orders"),
    ("RE", "receiving"),
    ("SD", "shipping"),
]);

/// Kinds of payment terms: ITD01 (336).
pub const TERMS: CodeList = CodeList(&[
    ("01", "basic"),
    ("02", "end of month"),
    ("03", "fixed date"),
    ("05", "no discount"),
    ("08", "discount offered"),
    ("09", "proximo"),
    ("14", "as agreed before"),
]);

/// Dates from which the days of payment terms count: ITD02 (333).
pub const TERMS_BASES: CodeList = CodeList(&[
    ("1", "shipment"),
    ("2", "delivery"),
    ("3", "the invoice's date"),
    ("4", "a stated date"),
    ("5", "receipt of the invoice"),
    ("8", "transmission of the invoice"),
    ("15", "receipt of the goods"),
]);

/// Allowances and charges: SAC02 (1300), G7201 (340).
pub const ALLOWANCES: CodeList = CodeList(&[
    ("1", "free goods"),
    ("4", "fuel"),
    ("43", "display"),
    ("50", "lump sum"),
    ("51", "trade discount"),
    ("52", "quantity discount"),
    ("53", "freight"),
    ("54", "pickup"),
    ("55", "warehouse"),
    ("57", "vehicle load"),
    ("58", "unsaleable goods"),
    ("64", "full truckload"),
    ("65", "new item"),
    ("66", "slotting"),
    ("67", "new distribution"),
    ("90", "performance"),
    ("93", "co-op credit"),
    ("95", "swell"),
    ("97", "cents off"),
    ("100", "advertising"),
    ("105", "pallets"),
    ("499", "other allowance"),
    ("501", "taxes"),
    ("503", "special handling"),
    ("504", "freight"),
    ("505", "insurance"),
    ("512", "pallets"),
    ("514", "surcharge"),
    ("516", "delivery"),
    ("518", "service"),
    ("999", "other charge"),
    ("A260", "advertising"),
    ("B210", "co-op credit"),
    ("B950", "damaged goods"),
    ("C000", "defective goods"),
    ("C310", "discount"),
    ("D170", "free goods"),
    ("D240", "freight"),
    ("D500", "handling"),
    ("D980", "insurance"),
    ("E730", "new item"),
    ("E740", "new store"),
    ("F050", "other"),
    ("F340", "pickup"),
    ("F800", "promotion"),
    ("F910", "quantity discount"),
    ("G740", "service"),
    ("H850", "tax"),
    ("I170", "trade discount"),
    ("I410", "unsaleable goods"),
    ("I530", "volume discount"),
]);

/// Settlements of an allowance or charge: SAC12 (331).
pub const HANDLINGS: CodeList = CodeList(&[
    ("01", "bill back"),
    ("02", "off the invoice"),
    ("04", "credited to the customer"),
    ("05", "paid by the vendor"),
    ("06", "paid by the customer"),
]);

/// Methods of transport: TD504 (91).
pub const TRANSPORTS: CodeList = CodeList(&[
    ("A", "air"),
    ("AE", "air express"),
    ("B", "barge"),
    ("D", "postal service"),
    ("H", "customer picks up"),
    ("J", "motor"),
    ("K", "backhaul"),
    ("L", "contract carrier"),
    ("LT", "less than a truckload"),
    ("M", "motor"),
    ("P", "private carrier"),
    ("R", "rail"),
    ("S", "ocean"),
    ("T", "best way"),
    ("U", "package service"),
    ("X", "intermodal"),
]);

/// Payers of the freight: FOB01 (146).
pub const FREIGHT_PAYERS: CodeList = CodeList(&[
    ("CC", "freight collect"),
    ("DF", "paid by the buyer and the seller"),
    ("PB", "customer picks up"),
    ("PC", "freight prepaid and charged to the customer"),
    ("PP", "freight prepaid by the seller"),
    ("PU", "pickup"),
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_stands_beside_its_meaning() {
        assert_eq!(DATES.describe("002"), "delivery requested (002)");
        assert_eq!(DATES.describe("zz9"), "zz9");
    }

    #[test]
    fn each_code_is_listed_once() {
        for list in [
            crate::edi::document_purpose::PURPOSES,
            ORDER_TYPES,
            UNITS,
            PRICE_BASES,
            PRICES,
            AMOUNTS,
            ROLES,
            ID_ISSUERS,
            DATES,
            REFERENCES,
            CONTACTS,
            TERMS,
            TERMS_BASES,
            ALLOWANCES,
            HANDLINGS,
            TRANSPORTS,
            FREIGHT_PAYERS,
            PRODUCT_IDS,
            SEGMENTS,
        ] {
            assert!(list.0.iter().map(|(code, _)| code).is_sorted_by(|one, other| one != other));
            let codes: std::collections::BTreeSet<&str> = list.0.iter().map(|(code, _)| *code).collect();
            assert_eq!(codes.len(), list.0.len());
        }
    }
}
