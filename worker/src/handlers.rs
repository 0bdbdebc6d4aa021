//! One handler per kind of job, and the registry that `main` works with.

pub mod triage;

use crate::{
    config::WorkerConfig,
    handler::Registry,
    llm::{Model, config::ModelError},
    metrics::WorkerMetrics,
};
use jobs::clock::Clock;
use triage::{TriageHandler, TriageMetrics};

/// The handlers of a worker could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("could not set up the model")]
    Model(#[source] ModelError),
    #[error("could not register the metrics of triage")]
    TriageMetrics(#[source] prometheus::Error),
}

/// The handlers of this worker.
///
/// # Errors
/// If a handler cannot be set up from the configuration.
pub fn registry(config: &WorkerConfig, metrics: &WorkerMetrics) -> Result<Registry, RegistryError> {
    let model = Model::from_config(&config.llm, &metrics.registry, Clock::System)
        .map_err(RegistryError::Model)?;
    let triage =
        TriageMetrics::register(&metrics.registry).map_err(RegistryError::TriageMetrics)?;
    Ok(Registry::default().with(TriageHandler::new(model, triage)))
}
