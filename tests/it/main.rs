//! Behaviour tests: they drive the real binary over real TLS and look at its database with the system's sqlite3.
//!
//! One binary, because it links once. Each file is a theme.

mod acme;
mod acme_words;
mod activation;
mod any_certificate;
mod architecture;
mod attempts;
mod audit;
mod backup;
mod cli;
mod crash;
mod destinations;
mod disk;
mod doctor;
mod edi;
mod edi_faults;
mod edi_files;
mod edit;
mod erp;
mod golden;
mod handing_on;
mod limits;
mod model;
mod neighbours;
mod odd_boxes;
mod operating;
mod privacy;
mod projection;
mod prune;
mod queue;
mod receive;
mod reload;
mod samples;
mod setup;
mod sftp;
mod sps;
mod sps_api;
mod sps_send;
mod sps_send_odd;
mod tls;
mod util;
