//! `/settings`: the configuration in force, certificates and backups. Its folder has the pages of accounts and tokens.

pub mod account;
pub mod passwords;
pub mod tokens;
pub mod totp;
pub mod users;

use crate::access::Role;
use crate::backup_files::{self, FinishedBackup};
use crate::backup_target::BackupTarget;
use crate::clock::{Timestamp, format_timestamp};
use crate::config::Config;
use crate::config::reader::EffectiveSetting;
use crate::console::ConsoleState;
use crate::console::components::{build_action, build_notice};
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_page, build_time};
use crate::console::pages::{redirect_to, show_store_error};
use crate::doctor::backups::{find_newest_backup, find_nightly_directory};
use crate::presentation::program::complete_commands;
use crate::presentation::quantities::{format_bytes, format_duration};
use crate::text::format_count;
use crate::tls::expiry::{CertificateInfo, read_certificate_info};
use crate::tls::{TlsSettings, certificates};
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use std::path::PathBuf;
use std::sync::Arc;

/// Path of the page, under which its folder has the others.
pub(crate) const PATH: &str = "/settings";

/// A certificate with its file, as the page shows it.
struct ShownCertificate {
    user: &'static str,
    file: PathBuf,
    info: Result<CertificateInfo, String>,
}

/// What the page reads from files.
struct MachineState {
    certificates: Vec<ShownCertificate>,
    backup_directory: PathBuf,
    /// The newest backup with its age in seconds.
    newest_backup: Option<(PathBuf, u64)>,
}

fn read_machine_state(config: &Config) -> MachineState {
    let read = |user: &'static str, tls: &TlsSettings| {
        let files = certificates::locate_certificate_files(tls);
        let info = read_certificate_info(&files).map_err(|error| format!("{error:#}"));
        ShownCertificate { user, file: files.certificate, info }
    };
    let backup_directory = find_nightly_directory(config);
    MachineState {
        certificates: vec![read("Webhooks", &config.tls), read("Console", &config.console.tls)],
        newest_backup: find_newest_backup(&backup_directory),
        backup_directory,
    }
}

/// Shows the settings of the machine.
pub async fn show_settings(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
) -> Response {
    let reading = state.clone();
    let Ok(machine) = tokio::task::spawn_blocking(move || read_machine_state(&reading.config)).await else {
        return show_store_error(&crate::store::StoreError::ShuttingDown);
    };
    let content = html! {
        h1 { "Settings" }
        (build_links(&user))
        (build_certificates(&machine.certificates, state.store.clock.now()))
        (build_backups(&state, &machine, &user))
        (build_configuration(&state.config))
    };
    build_page("Settings", PATH, &user, &content).into_response()
}

fn build_links(user: &CurrentUser) -> Markup {
    html! {
        ul {
            li { a href="/settings/account" { "My account" } ": password, one-time codes, sessions" }
            @if user.has_role(Role::Admin) {
                li { a href="/settings/users" { "Users" } }
                li { a href="/settings/tokens" { "API tokens" } }
            }
        }
    }
}

fn build_certificates(certificates: &[ShownCertificate], now: Timestamp) -> Markup {
    html! {
        section {
            h2 { "Certificates" }
            div class="scroll" tabindex="0" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Of" } th scope="col" { "Names" } th scope="col" { "Valid until" }
                            th scope="col" { "Left" } th scope="col" { "File" }
                        }
                    }
                    tbody { @for certificate in certificates { (build_certificate_row(certificate, now)) } }
                }
            }
        }
    }
}

fn build_certificate_row(certificate: &ShownCertificate, now: Timestamp) -> Markup {
    html! {
        tr {
            th scope="row" { (certificate.user) }
            @match &certificate.info {
                Ok(info) => {
                    td { (info.names.join(", ")) @if info.is_self_signed { " (self-signed)" } }
                    td { (build_time(&format_timestamp(info.not_after))) }
                    td {
                        @if info.days_left(now) < 0 { span class="status failed" { "expired" } }
                        @else { (format_count(info.days_left(now), "day", "days")) }
                    }
                }
                Err(error) => { td colspan="3" class="text" { (error) } }
            }
            td class="text" { (certificate.file.display()) }
        }
    }
}

fn build_backups(state: &ConsoleState, machine: &MachineState, user: &CurrentUser) -> Markup {
    let run = state.backup_run.last();
    let is_running = run.as_ref().is_some_and(|run| run.end.is_none());
    html! {
        section id="backups" {
            h2 { "Backups" }
            @match &machine.newest_backup {
                Some((file, age)) => {
                    p { "The newest is " (format_duration(*age)) " old: " code class="text" { (file.display()) } }
                }
                None => { p { "There is none in " code { (machine.backup_directory.display()) } "." } }
            }
            @if let Some(run) = &run {
                @match &run.end {
                    None => {
                        p role="status" {
                            "A backup is made since " (build_time(&format_timestamp(run.started_at)))
                            ". Open this page again to see the result."
                        }
                    }
                    Some((_, Ok(backup))) => { (build_notice(true, &describe_backup(backup))) }
                    Some((_, Err(error))) => { (build_notice(false, &complete_commands(error))) }
                }
            }
            @if !is_running && user.has_role(Role::Admin) {
                (build_action(user, "/settings/backup", "Back up now", &[]))
            }
        }
    }
}

fn describe_backup(backup: &FinishedBackup) -> String {
    let (file, size) = (backup.file.display(), format_bytes(backup.summary.bytes));
    format!("{file}: verified, {size}, {}", format_count(backup.summary.events, "event", "events"))
}

/// Makes a backup in the background, as `backup DIRECTORY/` does. It removes no older one.
pub async fn back_up_now(State(state): State<Arc<ConsoleState>>, Extension(user): Extension<CurrentUser>) -> Response {
    let target = "/settings#backups";
    if !state.backup_run.begin(state.store.clock.now()) {
        return redirect_to(target);
    }
    let recorded = state.store.record_action(user.to_actor(), ("DATABASE", "BACKUP"), "backups".to_owned(), None).await;
    if let Err(error) = recorded {
        state.backup_run.finish(Err(error.to_string()), state.store.clock.now());
        return show_store_error(&error);
    }
    drop(tokio::task::spawn_blocking(move || {
        let result = make_nightly_backup(&state.config).map_err(|error| format!("{error:#}"));
        state.backup_run.finish(result, state.store.clock.now());
    }));
    redirect_to(target)
}

fn make_nightly_backup(config: &Config) -> anyhow::Result<FinishedBackup> {
    let place = BackupTarget::Directory(find_nightly_directory(config));
    place.create(&config.store.path)?;
    let lineage = backup_files::read_lineage(&config.store.path)?;
    backup_files::make_backup(&config.store.path, place, &lineage, config.store.min_free_bytes)
}

fn build_configuration(config: &Config) -> Markup {
    let table_of =
        |setting: &EffectiveSetting| setting.key.rsplit_once('.').map_or(String::new(), |(table, _)| table.to_owned());
    let groups = config.settings.chunk_by(|one, other| table_of(one) == table_of(other));
    html! {
        section {
            h2 { "Configuration" }
            p {
                "From " code class="text" { (config.path.display()) } ", read at the start of the daemon. Places of \
                 secrets are shown, never the secrets; of a URL only its host."
            }
            @for group in groups {
                @if let Some(first) = group.first() {
                    h3 { "[" (table_of(first)) "]" }
                    dl class="fields" {
                        @for setting in group {
                            dt { (setting.key.rsplit('.').next().unwrap_or_default()) }
                            dd { (setting.value) @if setting.is_default { span class="text" { " (default)" } } }
                        }
                    }
                }
            }
        }
    }
}
