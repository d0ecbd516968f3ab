//! Reads lists of networks.

use crate::config::reader::ConfigTable;
use crate::server::reputation::{Network, NetworkError};

/// Reads a list of networks in CIDR notation.
pub(crate) fn read_networks(table: &mut ConfigTable<'_>, key: &str) -> Vec<Network> {
    let mut networks = Vec::new();
    for text in table.read_texts(key) {
        match text.value.parse() {
            Ok(network) => networks.push(network),
            Err(NetworkError) => table.report_error_at(
                &text,
                format!("{:?} is not a network", text.value),
                "Write it like \"192.0.2.0/24\" or \"2001:db8::/32\".",
            ),
        }
    }
    networks
}
