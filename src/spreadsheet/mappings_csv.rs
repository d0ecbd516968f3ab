//! The CSV file of product mappings, which `mappings export` writes and `mappings import` reads.

use crate::spreadsheet::cells::{restore_cell, write_csv};
use crate::spreadsheet::csv_text::{CsvDialect, CsvRow, CsvSeparator, LineError, read_csv_rows};
use crate::store::erp::mappings::ProductMapping;
use crate::text::clean_code;
use std::collections::HashMap;
use std::io;

/// Columns of the file.
pub const CSV_COLUMNS: [&str; 6] = ["shop_domain", "variant_id", "sku", "item", "factor", "note"];
/// The mappings of a file, and how the file was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingsFile {
    pub dialect: CsvDialect,
    pub mappings: Vec<ProductMapping>,
    /// Line of each mapping in the file.
    pub lines: Vec<u64>,
}

/// Writes mappings with commas, in UTF-8. [`read_mappings_csv`] returns equal ones.
pub fn write_mappings_csv(mappings: Vec<ProductMapping>, out: impl io::Write) -> anyhow::Result<()> {
    let rows = mappings.into_iter().map(|mapping| {
        vec![
            mapping.shop_domain,
            mapping.variant_id.map_or(String::new(), |id| id.to_string()),
            mapping.sku.unwrap_or_default(),
            mapping.item,
            mapping.factor,
            mapping.note.unwrap_or_default(),
        ]
    });
    write_csv(out, &CSV_COLUMNS, rows)
}

/// Returns all mappings of a file, or all its errors with their lines.
pub fn read_mappings_csv(bytes: &[u8]) -> Result<MappingsFile, Vec<LineError>> {
    let count_known_names = |first: &csv::StringRecord| first.iter().filter_map(find_column).count();
    let rows = read_csv_rows(bytes, count_known_names).map_err(|error| vec![error])?;
    let Some((header, rows, dialect)) = rows.rows.split_first().map(|(first, others)| (first, others, rows.dialect))
    else {
        return Err(vec![LineError::new(1, "the file is empty")]);
    };
    let columns = find_columns(header)?;
    let (mut mappings, mut errors) = (Vec::new(), Vec::new());
    let (mut lines, mut known_lines) = (Vec::new(), HashMap::new());
    for row in rows {
        match read_mapping(row, &columns, dialect.separator) {
            Ok(mapping) => {
                let product = (mapping.shop_domain.clone(), mapping.variant_id, mapping.sku.clone());
                if let Some(earlier) = known_lines.insert(product, row.line) {
                    errors.push(LineError::new(row.line, format!("maps the same product as line {earlier}")));
                }
                mappings.push(mapping);
                lines.push(row.line);
            }
            Err(message) => errors.push(LineError::new(row.line, message)),
        }
    }
    if errors.is_empty() { Ok(MappingsFile { dialect, mappings, lines }) } else { Err(errors) }
}

/// Returns the place of a column in [`CSV_COLUMNS`]. `Shop Domain` is `shop_domain`.
fn find_column(name: &str) -> Option<usize> {
    let words: Vec<&str> =
        name.split(|letter: char| letter.is_whitespace() || letter == '_' || letter == '-').collect();
    let name = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_");
    CSV_COLUMNS.iter().position(|column| column.eq_ignore_ascii_case(&name))
}

/// Returns the column of each field of the header, None for a blank one, or all errors of the header.
fn find_columns(header: &CsvRow) -> Result<Vec<Option<usize>>, Vec<LineError>> {
    let mut errors = Vec::new();
    let mut columns = Vec::new();
    for name in &header.fields {
        let column = find_column(name);
        if column.is_none() && !name.is_empty() {
            errors.push(format!("the column {name:?} is unknown; known are {}", CSV_COLUMNS.join(", ")));
        }
        if column.is_some() && columns.contains(&column) {
            errors.push(format!("the column {name:?} is there twice"));
        }
        columns.push(column);
    }
    let has_column = |name: &str| columns.contains(&find_column(name));
    for name in ["shop_domain", "item"].into_iter().filter(|name| !has_column(name)) {
        errors.push(format!("the first line has no column {name}"));
    }
    if !has_column("variant_id") && !has_column("sku") {
        errors.push("the first line has neither a column variant_id nor sku".to_owned());
    }
    if errors.is_empty() {
        return Ok(columns);
    }
    Err(errors.into_iter().map(|message| LineError::new(header.line, message)).collect())
}

fn read_mapping(row: &CsvRow, columns: &[Option<usize>], separator: CsvSeparator) -> Result<ProductMapping, String> {
    if row.fields.len() > columns.len() {
        return Err(format!(
            "has {} fields, and the first line has {}: put a value that contains the separator in double quotes",
            row.fields.len(),
            columns.len()
        ));
    }
    let mut values: [Option<String>; CSV_COLUMNS.len()] = Default::default();
    for (field, column) in row.fields.iter().zip(columns) {
        match column {
            _ if field.is_empty() => {}
            Some(column) => values[*column] = Some(restore_cell(field)),
            None => return Err(format!("the value {field:?} has no column name in the first line")),
        }
    }
    let [shop_domain, variant_id, sku, item, factor, note] = values;
    let variant_id = variant_id.map(|text| {
        text.parse::<i64>().map_err(|_| {
            format!(
                "the variant_id {text:?} is not a whole number; a spreadsheet rounds long numbers: format the column \
                 as text"
            )
        })
    });
    validate_mapping(
        &shop_domain.unwrap_or_default(),
        variant_id.transpose()?,
        sku,
        item.unwrap_or_default(),
        factor.map_or_else(|| Ok("1".to_owned()), |factor| read_factor(&factor, separator))?,
        note,
    )
    .map_err(|problems| problems.join("; "))
}

/// Returns the mapping, or all its errors.
pub fn validate_mapping(
    shop_domain: &str,
    variant_id: Option<i64>,
    sku: Option<String>,
    item: String,
    factor: String,
    note: Option<String>,
) -> Result<ProductMapping, Vec<String>> {
    let sku = sku.map(|sku| clean_code(&sku)).filter(|sku| !sku.is_empty());
    let mut problems = Vec::new();
    if !shop_domain.contains('.') {
        problems.push("the shop must be its domain, NAME.myshopify.com".to_owned());
    }
    if variant_id.is_some() == sku.is_some() {
        problems.push("give either variant_id or sku".to_owned());
    }
    if item.is_empty() {
        problems.push("the item is missing".to_owned());
    }
    let (whole, fraction) = factor.split_once('.').unwrap_or((&factor, "0"));
    let fits = |text: &str| is_digits(text) && text.len() <= 6;
    if !fits(whole) || !fits(fraction) || factor.bytes().all(|byte| b"0.".contains(&byte)) {
        problems.push(format!(
            "the factor {factor:?} is not a decimal number over 0 with at most six digits on each side of the point"
        ));
    }
    let mapping = ProductMapping { shop_domain: shop_domain.to_ascii_lowercase(), variant_id, sku, item, factor, note };
    if problems.is_empty() { Ok(mapping) } else { Err(problems) }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns a factor with a decimal point and without marks between thousands: `1234.5` for `1.234,5`.
///
/// One mark before three digits can be either: `1,500`. A point in a file with commas and a comma in a file with
/// semicolons is decimal; all others are an error. Text that is no number is returned as it is.
fn read_factor(text: &str, separator: CsvSeparator) -> Result<String, String> {
    let mut marks: Vec<char> = text.chars().filter(|letter| !letter.is_ascii_digit()).collect();
    let decimal = match marks.as_slice() {
        [mark @ (',' | '.')] => {
            let (whole, rest) = text.split_once(*mark).unwrap_or((text, ""));
            let can_be_thousands = rest.len() == 3 && (1..=3).contains(&whole.len()) && !whole.starts_with('0');
            let is_usual = matches!((separator, mark), (CsvSeparator::Comma, '.') | (CsvSeparator::Semicolon, ','));
            if can_be_thousands && !is_usual {
                let short = rest.trim_end_matches('0');
                let decimal =
                    if short.len() == 3 { format!("{whole}.{rest}0") } else { format!("{whole}.{short:0<1}") };
                return Err(format!("the factor {text:?} can mean {decimal} or {whole}{rest}: write one of the two"));
            }
            marks.pop()
        }
        // The last mark is decimal if it differs from those before it.
        [first, .., last @ (',' | '.')] if first != last => marks.pop(),
        _ => None,
    };
    let (whole, fraction) = match decimal.and_then(|mark| text.rsplit_once(mark)) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let Some(whole) = join_thousands(whole, &marks) else { return Ok(text.to_owned()) };
    Ok(fraction.map_or_else(|| whole.clone(), |fraction| format!("{whole}.{fraction}")))
}

/// Returns the digits of a whole number whose thousands are separated by one kind of mark; None for other text.
fn join_thousands(text: &str, marks: &[char]) -> Option<String> {
    let Some(mark) = marks.first() else { return Some(text.to_owned()) };
    let is_known = matches!(mark, ',' | '.' | ' ' | '\u{a0}' | '\u{202f}' | '\'' | '’');
    if !is_known || marks.iter().any(|other| other != mark) {
        return None;
    }
    let groups: Vec<&str> = text.split(*mark).collect();
    let (first, others) = groups.split_first()?;
    let fits = is_digits(first) && first.len() <= 3 && others.iter().all(|group| is_digits(group) && group.len() == 3);
    fits.then(|| groups.concat())
}
