//! `/metrics`: the figures of this process, of the database and of the machine, in the text format of Prometheus.
//!
//! A scrape reads stored counts within the time of a query. If the database does not answer in time, the figures of the
//! process are sent all the same, and `novex_ingest_database_readable` is 0.

mod exposition;
mod families;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::console::ConsoleState;
use crate::console::metrics::exposition::encode_families;
use crate::console::metrics::families::{list_database_families, list_machine_families, list_process_families};
use crate::files::{parent_directory, with_suffix};
use crate::store::db::backup;
use crate::store::events::gauges::read_gauges;
use crate::tls::certificates::locate_certificate_files;
use crate::tls::expiry::read_certificate_info;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use std::fs;
use std::sync::Arc;

/// Figures of the files of this machine; `None`: one that cannot be read.
#[derive(Debug, Clone, Default)]
struct MachineGauges {
    wal_bytes: u64,
    disk_free_bytes: Option<u64>,
    /// Listener and seconds until its certificate expires.
    certificates: Vec<(&'static str, i64)>,
    backup_age_seconds: Option<u64>,
}

/// Sends all figures.
pub async fn send_metrics(State(state): State<Arc<ConsoleState>>) -> Response {
    let now = state.store.clock.now();
    let gauges = state.read(move |connection| read_gauges(connection, now)).await;
    let machine_state = state.clone();
    let machine = tokio::task::spawn_blocking(move || read_machine_gauges(&machine_state.config, now)).await;
    let mut families = list_process_families(&state.server);
    families.extend(list_database_families(gauges.as_ref().ok()));
    families.extend(list_machine_families(&machine.unwrap_or_default()));
    let content_type = HeaderValue::from_static(exposition::CONTENT_TYPE);
    ([(CONTENT_TYPE, content_type)], encode_families(families)).into_response()
}

fn read_machine_gauges(config: &Config, now: Timestamp) -> MachineGauges {
    let database = &config.store.path;
    let listeners = [("public", &config.tls), ("console", &config.console.tls)];
    let certificates = listeners.into_iter().filter_map(|(listener, tls)| {
        let info = read_certificate_info(&locate_certificate_files(tls)).ok()?;
        Some((listener, info.not_after.as_second() - now.as_second()))
    });
    let backups = backup::list_backups(database).into_iter();
    let modified = backups.filter_map(|path| fs::metadata(path).and_then(|data| data.modified()).ok());
    let disk = rustix::fs::statvfs(parent_directory(database));
    MachineGauges {
        wal_bytes: fs::metadata(with_suffix(database, "-wal")).map_or(0, |data| data.len()),
        disk_free_bytes: disk.ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
        certificates: certificates.collect(),
        backup_age_seconds: modified.max().and_then(|at| at.elapsed().ok()).map(|age| age.as_secs()),
    }
}
