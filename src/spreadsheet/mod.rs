//! Files of spreadsheets: the CSV that people import and export. The command line and the console share it.
//!
//! [`cells`] keeps text of others from becoming a formula, [`csv_text`] reads whatever a spreadsheet writes, and
//! [`mappings_csv`] is the file of product mappings.

pub mod cells;
pub mod csv_text;
pub mod mappings_csv;
