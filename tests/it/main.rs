//! Behaviour tests: they drive the real binary over real TLS and look at its database with the system's sqlite3.
//!
//! One binary, because it links once. Each file is a theme.

/// House rules that the compiler does not keep: imports go one way, who may open connections, documents are complete.
mod activation;
mod architecture;
/// Attempts through the library: the schedule, troubles of every kind, the fence.
mod attempts;
/// Keycloak's events and their trail: every listener's shape, tampering, cuts, alerts.
mod audit;
mod backup;
/// Every command, for people and with `--json`; the configuration's mistakes; exit statuses.
mod cli;
/// kill -9, a lock held by somebody else, a full disk: nothing acknowledged is lost.
mod crash;
/// Handing on: to a server, a program and a directory that fail, hang, go away and come back.
mod destinations;
mod disk;
mod doctor;
mod edi;
mod edi_faults;
mod edi_files;
mod edit;
mod erp;
/// What each topic writes, row by row.
mod golden;
mod handing_on;
/// Every limit on connections, headers and bodies, and what hostile clients get.
mod limits;
/// The queue's state machine against a model of it.
mod model;
/// Who else uses the file, the directory and the queue: other processes, a reading shell, a holder that wakes up late.
mod neighbours;
/// The operator's daily tools: mappings, search, tail, retries of many.
mod operating;
/// Erasing what Shopify asks to be erased, from the bytes of the file too; customers' requests for their data.
mod privacy;
/// The ERP's tables do not depend on the order of events, nor on how often each comes.
mod projection;
/// Workers as processes: claims, deaths, takeovers.
mod prune;
mod queue;
/// Deliveries: the matrix of signatures and bodies, duplicates, conflicts, refusals.
mod receive;
/// Real payloads from a directory that NOVEX_SAMPLES names.
mod samples;
/// The certificate: self-signed, reloaded, broken; protocol versions.
mod setup;
mod sftp;
mod sps;
mod sps_api;
mod sps_send;
mod sps_send_odd;
mod tls;
mod util;
