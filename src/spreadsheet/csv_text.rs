//! CSV files as spreadsheets write them: finds the encoding and the separator, and splits the text into records.
//!
//! A European Excel writes semicolons, Windows-1252 ("CSV") or UTF-16 with tabs ("Unicode text").

use encoding_rs::{UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::borrow::Cow;
use std::fmt;

/// How to save a file so that it can be read.
const SAVE_HINT: &str = "save it as \"CSV UTF-8 (comma)\"; in Excel: File, Save As; in LibreOffice: File, Save As, Text \
                         CSV; in Numbers: File, Export To, CSV";
/// Bytes that Windows-1252 does not use.
const UNUSED_WINDOWS_BYTES: [u8; 5] = [0x81, 0x8d, 0x8f, 0x90, 0x9d];

/// An error in a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    pub line: u64,
    pub message: String,
}

impl LineError {
    pub fn new(line: u64, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CsvEncoding {
    Utf8,
    Utf16,
    Windows1252,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CsvSeparator {
    Comma,
    Semicolon,
    Tab,
}

impl CsvSeparator {
    /// All separators, the preferred one first.
    const ALL: [Self; 3] = [Self::Comma, Self::Semicolon, Self::Tab];

    fn as_byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
        }
    }
}

/// How a file is written, in words: `comma-separated, UTF-8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CsvDialect {
    pub encoding: CsvEncoding,
    pub separator: CsvSeparator,
}

impl fmt::Display for CsvDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = match self.separator {
            CsvSeparator::Comma => "comma",
            CsvSeparator::Semicolon => "semicolon",
            CsvSeparator::Tab => "tab",
        };
        let encoding = match self.encoding {
            CsvEncoding::Utf8 => "UTF-8",
            CsvEncoding::Utf16 => "UTF-16",
            CsvEncoding::Windows1252 => "Windows-1252",
        };
        write!(f, "{separator}-separated, {encoding}")
    }
}

/// A record with the number of its first line. Blanks around its fields are removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvRow {
    pub line: u64,
    pub fields: csv::StringRecord,
}

/// The records of a file, without blank ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvRows {
    pub dialect: CsvDialect,
    pub rows: Vec<CsvRow>,
}

/// Reads a file. `count_known_names` returns how many fields of a first record are names of columns; the separator with
/// the most is the right one.
pub fn read_csv_rows(
    bytes: &[u8],
    count_known_names: impl Fn(&csv::StringRecord) -> usize,
) -> Result<CsvRows, LineError> {
    let (text, encoding) = decode_csv_bytes(bytes)?;
    let (stated, table) = read_separator_line(&text)?;
    let first_line = if stated.is_some() { 2 } else { 1 };
    let separator = match stated {
        Some(separator) => separator,
        None => detect_separator(table, count_known_names)?,
    };
    check_quotes(table, separator, first_line)?;
    let rows = split_rows(table, separator, first_line, usize::MAX)?;
    Ok(CsvRows { dialect: CsvDialect { encoding, separator }, rows })
}

/// Returns the text of a file without its byte order mark.
fn decode_csv_bytes(bytes: &[u8]) -> Result<(Cow<'_, str>, CsvEncoding), LineError> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        let message = format!("the file is a workbook of a spreadsheet (.xlsx, .xls, .ods or .numbers): {SAVE_HINT}");
        return Err(LineError::new(1, message));
    }
    let (text, encoding) = match bytes {
        [0xff, 0xfe, rest @ ..] => (decode_utf16(UTF_16LE, rest)?, CsvEncoding::Utf16),
        [0xfe, 0xff, rest @ ..] => (decode_utf16(UTF_16BE, rest)?, CsvEncoding::Utf16),
        [0xef, 0xbb, 0xbf, rest @ ..] => (decode_utf8(rest, true)?, CsvEncoding::Utf8),
        // The first character of a file is in ASCII: a column's name, a quote or `sep=`.
        [first, 0, ..] if *first != 0 => (decode_utf16(UTF_16LE, bytes)?, CsvEncoding::Utf16),
        [0, second, ..] if *second != 0 => (decode_utf16(UTF_16BE, bytes)?, CsvEncoding::Utf16),
        _ if std::str::from_utf8(bytes).is_ok() => (decode_utf8(bytes, false)?, CsvEncoding::Utf8),
        _ => (decode_utf8(bytes, false)?, CsvEncoding::Windows1252),
    };
    match text.find('\0') {
        Some(at) => Err(LineError::new(count_lines(&text.as_bytes()[..at]), format!("is not text: {SAVE_HINT}"))),
        None => Ok((text, encoding)),
    }
}

fn decode_utf16<'a>(encoding: &'static encoding_rs::Encoding, bytes: &'a [u8]) -> Result<Cow<'a, str>, LineError> {
    encoding.decode_without_bom_handling_and_without_replacement(bytes).ok_or_else(|| {
        let (text, _) = encoding.decode_without_bom_handling(bytes);
        let valid = text.split('\u{fffd}').next().unwrap_or_default();
        LineError::new(count_lines(valid.as_bytes()), format!("is not UTF-16, which the file begins with: {SAVE_HINT}"))
    })
}

/// Decodes UTF-8, or else Windows-1252. Bytes that fit neither, or a mix of both, are an error.
fn decode_utf8(bytes: &[u8], is_marked: bool) -> Result<Cow<'_, str>, LineError> {
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(Cow::Borrowed(text)),
        Err(error) => error.valid_up_to(),
    };
    if is_marked || bytes.utf8_chunks().any(|chunk| !chunk.valid().is_ascii()) {
        let message = format!("is not UTF-8, which the rest of the file is: {SAVE_HINT}");
        return Err(LineError::new(count_lines(&bytes[..valid]), message));
    }
    if let Some(at) = bytes.iter().position(|byte| UNUSED_WINDOWS_BYTES.contains(byte)) {
        let message = format!("is neither UTF-8 nor Windows-1252: {SAVE_HINT}");
        return Err(LineError::new(count_lines(&bytes[..at]), message));
    }
    Ok(WINDOWS_1252.decode_without_bom_handling(bytes).0)
}

/// Returns the number of the line that follows `before`.
fn count_lines(before: &[u8]) -> u64 {
    1 + count_line_ends(before)
}

/// Counts line ends: `\n`, `\r\n`, and `\r` alone, which Excel for Mac writes.
fn count_line_ends(bytes: &[u8]) -> u64 {
    let mut count = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if *byte == b'\r' || *byte == b'\n' && (index == 0 || bytes[index - 1] != b'\r') {
            count += 1;
        }
    }
    count
}

/// Returns the separator of Excel's first line `sep=;`, and the text after this line.
fn read_separator_line(text: &str) -> Result<(Option<CsvSeparator>, &str), LineError> {
    let end = text.find(['\r', '\n']).unwrap_or(text.len());
    let (line, rest) = text.split_at(end);
    let line = line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).unwrap_or(line);
    let Some(value) = line.get(..4).filter(|name| name.eq_ignore_ascii_case("sep=")).map(|_| &line[4..]) else {
        return Ok((None, text));
    };
    let separator = CsvSeparator::ALL.into_iter().find(|separator| value.as_bytes() == [separator.as_byte()]);
    let Some(separator) = separator else {
        return Err(LineError::new(1, format!("the separator {value:?} is not a comma, a semicolon or a tab")));
    };
    let rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(['\r', '\n'])).unwrap_or(rest);
    Ok((Some(separator), rest))
}

fn detect_separator(
    text: &str,
    count_known_names: impl Fn(&csv::StringRecord) -> usize,
) -> Result<CsvSeparator, LineError> {
    let mut best = (CsvSeparator::Comma, (0, 0));
    for separator in CsvSeparator::ALL {
        let first = split_rows(text, separator, 1, 1)?;
        let score = first.first().map_or((0, 0), |row| (count_known_names(&row.fields), row.fields.len()));
        if score > best.1 {
            best = (separator, score);
        }
    }
    Ok(best.0)
}

/// Checks that each quote that opens a value is closed at its end. Else later lines would become part of the value.
fn check_quotes(text: &str, separator: CsvSeparator, first_line: u64) -> Result<(), LineError> {
    let bytes = text.as_bytes();
    let is_value_end = |byte: u8| byte == separator.as_byte() || byte == b'\r' || byte == b'\n';
    let (mut opened, mut is_value_start, mut at) = (None, true, 0);
    let refuse = |opened: usize| {
        let message = "a double quote opens a value, and none closes it: close it, or remove it";
        Err(LineError::new(first_line + count_line_ends(&bytes[..opened]), message))
    };
    while at < bytes.len() {
        match opened {
            Some(_) if bytes[at..].starts_with(b"\"\"") => at += 1,
            Some(start) if bytes[at] == b'"' => {
                let next = bytes[at + 1..].iter().find(|byte| **byte != b' ');
                if next.is_some_and(|byte| !is_value_end(*byte)) {
                    return refuse(start);
                }
                (opened, is_value_start) = (None, false);
            }
            Some(_) => {}
            None if bytes[at] == b'"' && is_value_start => opened = Some(at),
            None => is_value_start = is_value_end(bytes[at]),
        }
        at += 1;
    }
    opened.map_or(Ok(()), refuse)
}

/// Returns at most `rows_max` records that are not blank.
fn split_rows(text: &str, separator: CsvSeparator, first_line: u64, rows_max: usize) -> Result<Vec<CsvRow>, LineError> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator.as_byte())
        .has_headers(false)
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(text.as_bytes());
    let (mut rows, mut fields) = (Vec::new(), csv::StringRecord::new());
    let (mut line, mut counted) = (first_line, 0);
    loop {
        let is_read = reader.read_record(&mut fields);
        // Blank lines before a record belong to its position. A line break in a quoted field is a line of the file.
        let start = fields.position().and_then(|at| usize::try_from(at.byte()).ok()).unwrap_or_default();
        let start = start.clamp(counted, text.len());
        let start = start + text.as_bytes()[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        line += count_line_ends(&text.as_bytes()[counted..start]);
        counted = start;
        match is_read {
            Err(error) => return Err(LineError::new(line, format!("is not CSV: {error}"))),
            Ok(false) => return Ok(rows),
            Ok(true) => {}
        }
        if fields.iter().any(|field| !field.is_empty()) {
            rows.push(CsvRow { line, fields: fields.clone() });
            if rows.len() == rows_max {
                return Ok(rows);
            }
        }
    }
}
