//! Runtimes for the async part of a command.

use anyhow::Context;

/// Runs a task to its end on this thread.
pub fn block_on<T>(task: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.context("the async runtime cannot be started")?.block_on(task))
}

/// Runs a task to its end, with a thread pool for tasks that run at the same time.
pub fn block_on_multi_thread<T>(task: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Runtime::new().context("the async runtime cannot be started")?;
    let result = runtime.block_on(task);
    // A handler that hangs must not keep the process: the worker has released its event.
    runtime.shutdown_background();
    result
}
