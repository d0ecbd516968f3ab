//! `doctor`: checks the configuration, the machine, the database and the network, and suggests fixes.
//!
//! Every check adds findings to [`Findings`]. A failed check never keeps the others from running.

pub mod backups;
pub mod console;
pub mod database;
pub mod deliveries;
pub mod directories;
mod edi_answers;
pub mod findings;
pub mod machine;
pub mod network;
pub mod secret_rotation;
pub mod tls;
pub mod units;

use crate::clock::Clock;
use crate::config::{Config, SecretLoading};
use crate::presentation::times::TimeFormat;
use deliveries::DeliveryQueues;
pub(crate) use findings::{FindingState, Findings};
use std::path::Path;

/// Runs all checks on the configuration at `path`, and on the machine that it describes.
///
/// # Errors
/// If the asynchronous runtime cannot be started. What a check finds is no error.
pub fn run_checks(path: &Path, times: TimeFormat) -> anyhow::Result<Findings> {
    let mut findings = Findings::new(times);
    if let Some(config) = check_configuration(path, &mut findings) {
        machine::check_machine(&config, &mut findings);
        units::check_units(&config, &mut findings);
        directories::check_directories(&config, &mut findings);
        tls::check_tls(&config, &mut findings);
        let queues = DeliveryQueues::read(&config);
        let unreachable = network::check_network(&config, &queues, &mut findings)?;
        database::check_database(&config, &queues, &unreachable, &mut findings);
        console::check_console(&config, &mut findings);
        check_rotations(&config, &mut findings);
    }
    Ok(findings)
}

/// Adds a finding for every error of the configuration. Returns None if the file cannot be read.
fn check_configuration(path: &Path, findings: &mut Findings) -> Option<Config> {
    let text = match Config::read_text(path) {
        Ok(text) => text,
        Err(error) => {
            findings.add_failure(
                "configuration",
                error.to_string(),
                if path.exists() {
                    "`sudo novex-ingest doctor`; or name another file with --config."
                } else {
                    "`novex-ingest setup` writes one; or name another file with --config."
                },
            );
            return None;
        }
    };
    let (config, errors) = Config::parse_recoverable(path, &text, SecretLoading::All);
    if errors.errors.is_empty() {
        findings.add_passed("configuration", path.display().to_string());
    }
    for error in &errors.errors {
        findings.add_failure(
            "configuration",
            format!("line {}: {} {}", error.line, error.key, error.message),
            error.hint.clone(),
        );
    }
    for warning in &config.warnings {
        let (check, state) = if warning.is_secret_exposed {
            ("secrets", FindingState::Failed)
        } else {
            ("configuration", FindingState::Warning)
        };
        findings.push(check, state, warning.message.clone(), &warning.hint);
    }
    if !errors.errors.iter().any(|error| error.key.contains("secrets"))
        && !config.warnings.iter().any(|warning| warning.is_secret_exposed)
    {
        findings.add_passed("secrets", "all exist, and no other user can read them");
    }
    Some(config)
}

/// Reports each source with several secrets: whether the old ones can go.
fn check_rotations(config: &Config, findings: &mut Findings) {
    let now = Clock::system().now();
    for rotation in secret_rotation::list_rotations(config) {
        findings.add_info("secrets", rotation.describe(), rotation.describe_next_step(now));
    }
}
