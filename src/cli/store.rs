//! Opens the database for a command that writes, and closes it again; names the operator.

use crate::app::{build, runtime};
use crate::config::Config;
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
    let current_user =
        || std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "unknown".to_owned());
    format!("{}@{}", by.map_or_else(current_user, str::to_owned), rustix::system::uname().nodename().to_string_lossy())
}
