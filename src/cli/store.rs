//! Opens the database for a command that writes, and closes it again; names the operator.

use crate::app::build;
use crate::config::Config;
use crate::runtime;
use crate::store::Store;

/// Opens the existing database, runs `task` on this thread, and closes the writer.
pub(crate) fn with_store<T>(config: &Config, task: impl AsyncFnOnce(&Store) -> anyhow::Result<T>) -> anyhow::Result<T> {
    runtime::block_on(run_with_store(config, task))?
}

/// Like [`with_store`], with a thread pool for tasks that run at the same time.
pub(crate) fn with_store_multi_thread<T>(
    config: &Config,
    task: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    runtime::block_on_multi_thread(run_with_store(config, task))
}

async fn run_with_store<T>(config: &Config, task: impl AsyncFnOnce(&Store) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let store = build::open_existing_store(config)?;
    let result = task(&store).await;
    // The writer commits what it has accepted, also after a failed task.
    store.writer.close().await;
    result
}

/// Returns `user@host` of the person who runs a command: `by`, else the user who called sudo, else the current user.
pub(crate) fn name_operator(by: Option<&str>) -> String {
    let read_variable = |name: &str| std::env::var(name).ok().filter(|user| !user.is_empty());
    let current_user =
        || read_variable("SUDO_USER").or_else(|| read_variable("USER")).unwrap_or_else(look_up_current_user);
    format!("{}@{}", by.map_or_else(current_user, str::to_owned), rustix::system::uname().nodename().to_string_lossy())
}

/// Returns the name of the user whose rights this process has. `id` asks the same directories as a login, such as LDAP.
/// Cron and `systemd-run` set none of the variables.
fn look_up_current_user() -> String {
    let output = std::process::Command::new("id").arg("-un").output();
    let name = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    if name.is_empty() { format!("uid {}", rustix::process::geteuid().as_raw()) } else { name }
}
