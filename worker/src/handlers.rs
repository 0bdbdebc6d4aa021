//! One handler per kind of job, and the registry that `main` works with.

use crate::{config::WorkerConfig, handler::Registry, metrics::WorkerMetrics};

/// The handlers of this worker.
///
/// # Errors
/// If a handler cannot be set up from the configuration.
pub fn registry(
    _config: &WorkerConfig,
    _metrics: &WorkerMetrics,
) -> Result<Registry, anyhow::Error> {
    Ok(Registry::default())
}
