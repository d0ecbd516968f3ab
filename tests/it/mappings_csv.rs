//! The CSV file of product mappings: the files of spreadsheets are read as they are, or the error has the fix.

use crate::support::seed::seeded_config;
use crate::support::{Home, SHOP, order_body};
use novex_ingest::internals::spreadsheet::mappings_csv::{read_mappings_csv, write_mappings_csv};
use novex_ingest::internals::store::erp::mappings::ProductMapping;
use proptest::prelude::*;
use std::fs;

const HEADER: &str = "shop_domain;variant_id;sku;item;factor;note";

/// How a spreadsheet encodes text.
#[derive(Debug, Clone, Copy)]
enum Encoding {
    Utf8,
    Utf8WithMark,
    Utf16,
    Utf16BigEndian,
    Utf16WithoutMark,
    Windows,
}

impl Encoding {
    fn encode(self, text: &str) -> Vec<u8> {
        let units = |mark: &str, to_bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            format!("{mark}{text}").encode_utf16().flat_map(to_bytes).collect()
        };
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf8WithMark => format!("\u{feff}{text}").into_bytes(),
            Self::Utf16 => units("\u{feff}", u16::to_le_bytes),
            Self::Utf16BigEndian => units("\u{feff}", u16::to_be_bytes),
            Self::Utf16WithoutMark => units("", u16::to_le_bytes),
            // Latin-1 is the part of Windows-1252 whose bytes are the code points.
            Self::Windows => {
                text.chars().map(|letter| if letter == '€' { 0x80 } else { u8::try_from(letter).unwrap() }).collect()
            }
        }
    }
}

fn read(bytes: &[u8]) -> Vec<ProductMapping> {
    read_mappings_csv(bytes).unwrap_or_else(|errors| panic!("{errors:?}")).mappings
}

fn read_errors(bytes: &[u8]) -> String {
    let errors = read_mappings_csv(bytes).unwrap_err();
    let lines: Vec<String> = errors.iter().map(|error| format!("{}: {}\n", error.line, error.message)).collect();
    lines.concat()
}

/// Returns the factor of a file with one mapping, or the error.
fn read_one_factor(separator: char, factor: &str) -> Result<String, String> {
    let text = format!("{HEADER}\na.b;;J;G;\"{factor}\";\n").replace(';', &separator.to_string());
    match read_mappings_csv(text.as_bytes()) {
        Ok(file) => Ok(file.mappings[0].factor.clone()),
        Err(errors) => Err(errors[0].message.clone()),
    }
}

#[test]
fn factor_is_read_if_only_one_number_is_meant() {
    for (separator, factor, expected) in [
        (';', "0,5", "0.5"),
        (';', "1,500", "1.500"),
        (';', "1.234,5", "1234.5"),
        (';', "12.5", "12.5"),
        (';', "1\u{a0}234,5", "1234.5"),
        (';', "1.234.567,25", ""),
        (',', "1.500", "1.500"),
        (',', "0,5", "0.5"),
        (',', "1,234.5", "1234.5"),
        (',', "12 500", "12500"),
        (',', "12’500", "12500"),
        ('\t', "0,250", "0.250"),
        ('\t', "1234,500", "1234.500"),
    ] {
        let found = read_one_factor(separator, factor);
        if expected.is_empty() {
            assert!(found.clone().unwrap_err().contains("at most six digits"), "{factor}: {found:?}");
        } else {
            assert_eq!(found.as_deref(), Ok(expected), "{factor} in a file with {separator:?}");
        }
    }
    for (separator, factor, readings) in [
        (';', "1.500", "1.5 or 1500"),
        (',', "1,234", "1.2340 or 1234"),
        ('\t', "12.000", "12.0 or 12000"),
        ('\t', "12,000", "12.0 or 12000"),
    ] {
        let message = read_one_factor(separator, factor).unwrap_err();
        assert_eq!(message, format!("the factor {factor:?} can mean {readings}: write one of the two"));
        for reading in readings.split(" or ") {
            read_one_factor(separator, reading).unwrap();
        }
    }
    for wrong in ["1,2,3", "1.23.456", "-1", "1e3", "½", "0,0", "1 23", "1,234.567.8", ",5", "5,"] {
        assert!(read_one_factor(';', wrong).unwrap_err().contains("is not a decimal number"), "{wrong}");
    }
}

#[test]
fn files_of_european_excel_are_read_as_they_are() {
    let rows = "Shop Domain;SKU;Item;Factor;Note;;\r\nA.myshopify.com;Müsli;G 1;0,5;10 €;;\r\n;;;;;;\r\n";
    for (text, encoding, dialect) in [
        (rows.to_owned(), Encoding::Windows, "semicolon-separated, Windows-1252"),
        (format!("sep=;\r\n{rows}"), Encoding::Windows, "semicolon-separated, Windows-1252"),
        (rows.replace("\r\n", "\r"), Encoding::Utf8WithMark, "semicolon-separated, UTF-8"),
        (rows.replace(';', "\t"), Encoding::Utf16, "tab-separated, UTF-16"),
        (rows.replace(',', "@").replace(';', ",").replace('@', "."), Encoding::Utf8, "comma-separated, UTF-8"),
    ] {
        let file = read_mappings_csv(&encoding.encode(&text)).unwrap_or_else(|errors| panic!("{errors:?}"));
        assert_eq!(file.dialect.to_string(), dialect);
        let [mapping] = &file.mappings[..] else { panic!("{:?}", file.mappings) };
        let found =
            (mapping.shop_domain.as_str(), mapping.sku.as_deref(), mapping.item.as_str(), mapping.note.as_deref());
        assert_eq!(found, ("a.myshopify.com", Some("Müsli"), "G 1", Some("10 €")));
        assert_eq!(mapping.factor, "0.5");
    }
}

#[test]
fn error_names_the_line_and_the_fix() {
    let semicolons = |rows: &str| read_errors(format!("sep=;\r\n\r\n{HEADER}\r\n{rows}").as_bytes());
    assert_eq!(
        semicolons("a.b;;J;G;1.500;\r\n\r\na.b;;K;G;1;\"two\r\nlines\"\r\na.b;x;;G;1;\r\na.b;;J;G;1;;\r\n"),
        "4: the factor \"1.500\" can mean 1.5 or 1500: write one of the two\n\
         8: the variant_id \"x\" is not a whole number; a spreadsheet rounds long numbers: format the column as text\n\
         9: has 7 fields, and the first line has 6: put a value that contains the separator in double quotes\n"
    );
    assert_eq!(semicolons("a.b;;J;G;1;\r\na.b;;J;H;1;\r\n"), "5: maps the same product as line 4\n");
    for swallowing in ["a.b;;J;G;1;\"open\r\na.b;;K;G;1;\r\n", "a.b;;J;G;1;\"open\r\na.b;;K;G;1;\"x\"\r\n"] {
        assert_eq!(
            semicolons(swallowing),
            "4: a double quote opens a value, and none closes it: close it, or remove it\n"
        );
    }
    for workbook in [b"PK\x03\x04xlsx".as_slice(), b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1xls"] {
        let message = read_errors(workbook);
        assert!(message.starts_with("1: the file is a workbook") && message.contains("CSV UTF-8"), "{message}");
    }
    let rows = "shop_domain,sku,item\na.b,J,";
    for (bytes, expected) in [
        ([rows.as_bytes(), b"M\xc3\xbcsli\na.b,K,M\xfcsli\n"].concat(), "3: is not UTF-8, which the rest"),
        ([rows.as_bytes(), b"M\x81\n"].concat(), "2: is neither UTF-8 nor Windows-1252"),
        ([b"\xef\xbb\xbf", rows.as_bytes(), b"\xfc\n"].concat(), "2: is not UTF-8, which the rest"),
        ([&Encoding::Utf16.encode(rows)[..], b"\0\xd8\n\0"].concat(), "2: is not UTF-16"),
        ([rows.as_bytes(), b"G\0\n"].concat(), "2: is not text"),
        (b"sep=|\nshop_domain|sku|item\n".to_vec(), "1: the separator \"|\" is not"),
        (b"".to_vec(), "1: the file is empty"),
        (b"shop domain;SKU;Item;SKU;Menge\n".to_vec(), "1: the column \"SKU\" is there twice\n1: the column \"Menge\""),
        (b"shop_domain,sku,item,\na.b,J,G,12\n".to_vec(), "2: the value \"12\" has no column name"),
    ] {
        let message = read_errors(&bytes);
        assert!(message.starts_with(expected), "{expected} is not in {message}");
    }
}

/// A mapping that the table can have, without blanks around its values.
fn any_mapping() -> impl Strategy<Value = ProductMapping> {
    // Without letters whose bytes in Windows-1252 are also UTF-8: no reader can distinguish these.
    let text = "(['=+@-]{0,2}[A-Za-z0-9üß\"';,.= -]{0,8}[a-z0-9\"',;])?";
    let text = text.prop_map(|text| text.trim().to_owned());
    let product = prop_oneof![any::<i64>().prop_map(Ok), text.clone().prop_map(|sku| Err(format!("S{sku}")))];
    let factor = "[1-9][0-9]{0,5}(\\.[0-9]{1,6})?|0\\.[0-9]{0,5}[1-9]";
    (product, text.clone(), factor, text).prop_map(|(product, item, factor, note)| ProductMapping {
        shop_domain: "acme-foods.myshopify.com".to_owned(),
        variant_id: product.clone().ok(),
        sku: product.err(),
        item: if item.is_empty() { "G".to_owned() } else { item },
        factor,
        note: Some(note).filter(|note| !note.is_empty()),
    })
}

fn any_encoding() -> impl Strategy<Value = Encoding> {
    prop::sample::select(vec![
        Encoding::Utf8,
        Encoding::Utf8WithMark,
        Encoding::Utf16,
        Encoding::Utf16BigEndian,
        Encoding::Utf16WithoutMark,
        Encoding::Windows,
    ])
}

/// Returns the exported file as a spreadsheet saves it again: with its separator, decimal mark and encoding.
fn save_by_spreadsheet(exported: &[u8], separator: u8, decimal: &str, encoding: Encoding) -> Vec<u8> {
    let mut writer =
        csv::WriterBuilder::new().delimiter(separator).terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for (index, record) in csv::ReaderBuilder::new().has_headers(false).from_reader(exported).records().enumerate() {
        let mut fields: Vec<String> = record.unwrap().iter().map(str::to_owned).collect();
        if index > 0 {
            fields[4] = fields[4].replace('.', decimal);
        }
        writer.write_record(fields).unwrap();
    }
    encoding.encode(&String::from_utf8(writer.into_inner().unwrap()).unwrap())
}

proptest! {
    #![proptest_config(seeded_config(300))]
    #[test]
    fn exported_mappings_are_imported_unchanged(
        mappings in prop::collection::vec(any_mapping(), 0..6),
        encoding in any_encoding(),
        (separator, decimal) in prop::sample::select(vec![(b',', "."), (b';', ","), (b'\t', ","), (b'\t', ".")]),
    ) {
        let mut seen = std::collections::BTreeSet::new();
        let mappings: Vec<ProductMapping> =
            mappings.into_iter().filter(|mapping| seen.insert((mapping.variant_id, mapping.sku.clone()))).collect();
        let mut exported = Vec::new();
        write_mappings_csv(mappings.clone(), &mut exported).unwrap();
        prop_assert_eq!(&read(&exported), &mappings);
        let saved = save_by_spreadsheet(&exported, separator, decimal, encoding);
        let is_ambiguous = |mapping: &ProductMapping| {
            let (whole, fraction) = mapping.factor.split_once('.').unwrap_or((&mapping.factor, ""));
            separator == b'\t' && fraction.len() == 3 && whole.len() <= 3 && whole != "0"
        };
        match read_mappings_csv(&saved) {
            Ok(file) => prop_assert_eq!(&file.mappings, &mappings),
            Err(errors) => {
                prop_assert!(errors.iter().all(|error| error.message.contains("can mean")), "{:?}", errors);
                prop_assert_eq!(errors.len(), mappings.iter().filter(|mapping| is_ambiguous(mapping)).count());
            }
        }
    }
}

#[test]
fn unknown_shops_and_products_are_named_and_saved() {
    let home = Home::new("");
    let daemon = home.serve();
    let before = home.run(&["mappings", "add", "--shop", SHOP, "--sku", "X", "--item", "G"]);
    let warning = String::from_utf8(before.stderr).unwrap();
    assert_eq!(
        warning,
        format!("warning: no order or product of {SHOP} is stored yet, so its products were not checked\n")
    );
    let body = String::from_utf8(order_body(7)).unwrap().replace("\"sku\":", "\"variant_id\":5,\"sku\":");
    let order: serde_json::Value = serde_json::from_str(&body).unwrap();
    let line = &order["line_items"][0];
    assert!(line["sku"].is_string() && line["variant_id"].is_number(), "{line}");
    daemon.send_order("one", body.as_bytes());
    home.wait_until_processed();
    let (sku, variant) = (line["sku"].as_str().unwrap(), line["variant_id"].to_string());
    let other = sku.replace('-', "");
    let file = home.path("items.csv");
    let near = SHOP.replace("acme", "acne");
    fs::write(
        &file,
        format!("{HEADER}\r\n{SHOP};;{sku};G;0,5;\r\n{SHOP};{variant};;G;;\r\n{SHOP};;{other};G;1;\r\n{SHOP};4;;G;1;\r\n{near};;{sku};G;1;\r\n"),
    )
    .unwrap();
    let path = file.display().to_string();
    let expected = format!(
        "warning: the SKU {other} is on no stored order or product of {SHOP}: its mapping fits nothing yet. Did you mean {sku}?\n\
         warning: the variant 4 is on no stored order or product of {SHOP}: its mapping fits nothing yet.\n\
         warning: the shop {near} is not configured and has no orders: its mappings fit no order. Did you mean {SHOP}?\n"
    );
    for dry_run in [true, false] {
        let mut arguments = vec!["mappings", "import", &path];
        arguments.extend(dry_run.then_some("--dry-run"));
        let output = home.run(&arguments);
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.starts_with("Read as semicolon-separated, UTF-8."), "{printed}");
        let saved = home.sql("SELECT count(*) FROM shopify_product_mappings");
        assert_eq!(saved, if dry_run { "1" } else { "6" });
    }
    daemon.stop();
}
