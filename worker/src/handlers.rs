//! One handler per job kind, and the registry of the worker: [`registry`].

pub mod action;
mod answer;
pub mod ask;
pub mod backfill;
mod connected;
pub mod connection_test;
mod corrections;
mod documents;
pub mod draft;
pub(crate) mod model_failure;
pub mod triage;
pub mod triage_batch;
pub mod webhook_delivery;

use crate::{
    config::WorkerConfig,
    fixtures,
    messages::LoadError,
    metrics::WorkerMetrics,
    providers::Providers,
    recording::{Recorder, RecordingError},
    watch::memory::ReadMemory,
};
use action::{ActionHandler, ActionMetrics};
use ask::ModelAccess;
use backfill::BackfillHandler;
use base::{
    clock::Clock,
    db::{self, Unavailability},
    telemetry::chain,
};
use connection_test::ConnectionTestHandler;
use draft::{DraftHandler, DraftMetrics};
use llm::{Models, config::ModelError};
use queue::Failure;
use queue::runtime::handler::Registry;
use triage::{
    TriageHandler, TriageMetrics,
    shadow::{ShadowHandler, ShadowMetrics},
};
use triage_batch::TriageBatchHandler;
use webhook_delivery::WebhookDeliveryHandler;

/// The handlers of a worker could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("could not set up the models")]
    Model(#[source] ModelError),
    #[error("could not use LLM_RECORD_DIR")]
    Recording(#[source] RecordingError),
    #[error("could not register the metrics of triage")]
    TriageMetrics(#[source] prometheus::Error),
    #[error("could not register the metrics of shadow mode")]
    ShadowMetrics(#[source] prometheus::Error),
    #[error("could not register the metrics of drafts")]
    DraftMetrics(#[source] prometheus::Error),
    #[error("could not register the metrics of actions")]
    ActionMetrics(#[source] prometheus::Error),
}

/// The handlers of a worker, and the models that they ask.
pub struct Handlers {
    pub registry: Registry,
    /// None of handlers that ask no model.
    pub access: Option<ModelAccess>,
    /// Shared with the watches.
    pub memory: ReadMemory,
    /// Shared with the watches, so that the sessions of an account are counted together. None of handlers that open none.
    pub providers: Option<Providers>,
}

impl From<Registry> for Handlers {
    fn from(registry: Registry) -> Self {
        Self {
            registry,
            access: None,
            memory: ReadMemory::new(),
            providers: None,
        }
    }
}

/// Builds the handlers of this worker.
///
/// # Errors
/// If a handler cannot be set up from the configuration.
pub fn registry(config: &WorkerConfig, metrics: &WorkerMetrics) -> Result<Handlers, RegistryError> {
    let models = Models::from_config(
        &config.llm,
        &metrics.registry,
        config.naming,
        Clock::System,
        fixtures::SHIPPED,
    )
    .map_err(RegistryError::Model)?;
    metrics.assistant.show_llm_mode(config.llm.mode());
    let recorder = config.record.as_deref().map(Recorder::open).transpose();
    let access = ModelAccess::new(
        models,
        config.prices.clone(),
        config.lanes,
        config.rate,
        metrics.spend.clone(),
    )
    .sealed_by(config.keys.clone())
    .recorded_by(recorder.map_err(RegistryError::Recording)?);
    let triage =
        TriageMetrics::register(&metrics.registry).map_err(RegistryError::TriageMetrics)?;
    let shadow =
        ShadowMetrics::register(&metrics.registry).map_err(RegistryError::ShadowMetrics)?;
    let providers = Providers::new(
        config.keys.clone(),
        config.guard,
        config.smtp_helo_name.clone(),
    );
    let memory = ReadMemory::new();
    let action =
        ActionMetrics::register(&metrics.registry).map_err(RegistryError::ActionMetrics)?;
    let draft = DraftMetrics::register(&metrics.registry).map_err(RegistryError::DraftMetrics)?;
    let registry = Registry::default()
        .with(TriageHandler::new(access.clone(), triage).compared(config.shadow.clone()))
        .with(ShadowHandler::new(
            access.clone(),
            config.shadow.prompt,
            shadow,
        ))
        .with(TriageBatchHandler)
        .with(
            DraftHandler::new(access.clone(), config.draft_floor, draft)
                .with_calendars(providers.clone()),
        )
        .with(ConnectionTestHandler::new(providers.clone()))
        .with(BackfillHandler::new(providers.clone(), memory.clone()))
        .with(WebhookDeliveryHandler::new(providers.clone()))
        .with(ActionHandler::new(providers.clone(), action));
    Ok(Handlers {
        registry,
        access: Some(access),
        memory,
        providers: Some(providers),
    })
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        // The source of a parser's error may quote the email, so that only the errors' own texts are logged.
        let detail = match &error {
            LoadError::Parse(refused) => refused.to_string(),
            other => other.to_string(),
        };
        match error.refusal() {
            Ok((code, message)) => Self::permanent(code, message, detail),
            Err(error) => unavailable(&error),
        }
    }
}

/// Converts a database error into a failure. A database that does not serve costs no attempt. Other errors are retried, even
/// permanent ones: a deployment fixes a wrong statement, and the email must not be lost.
fn unavailable(error: &sqlx::Error) -> Failure {
    const MESSAGE: &str = "Something went wrong on our side; the job will be retried.";
    if Unavailability::of(error).is_some() {
        return Failure::deferred("database_unavailable", MESSAGE, chain(error));
    }
    let code = if db::is_transient(error) {
        "database_unavailable"
    } else {
        "internal_error"
    };
    Failure::transient(code, MESSAGE, chain(error))
}

/// A value of ours that JSON cannot hold, or a stored one that does not fit: no retry changes that.
fn internal(error: &serde_json::Error) -> Failure {
    Failure::permanent(
        "internal_error",
        "Something went wrong on our side.",
        chain(error),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages;
    use base::env::Env;
    use jobs::{domain::mail::MailFormat, kinds, store::messages::StoredMessage};
    use queue::FailureClass;
    use std::collections::BTreeSet;

    #[tokio::test]
    async fn failure_to_parse_does_not_quote_the_email() {
        let stored = StoredMessage {
            format: MailFormat::Envelope,
            source: br#"{"hunter2": 1}"#.to_vec(),
        };
        let failure = Failure::from(messages::parse(Some(stored)).await.err().unwrap());
        assert_eq!(failure.code, "unparsable_email");
        assert!(!failure.detail.contains("hunter2"), "{}", failure.detail);
    }

    #[test]
    fn database_that_does_not_serve_costs_no_attempt() {
        let class = |error: &sqlx::Error| unavailable(error).class;
        assert_eq!(class(&sqlx::Error::PoolTimedOut), FailureClass::Deferred);
        assert_eq!(class(&sqlx::Error::RowNotFound), FailureClass::Transient);
    }

    fn config(name: &str, value: &str) -> WorkerConfig {
        let vars = [
            ("DATABASE_URL", "postgres://127.0.0.1/postroom"),
            (name, value),
        ];
        WorkerConfig::from_env(Env::from_vars(vars)).unwrap()
    }

    #[test]
    fn registry_has_a_handler_for_exactly_the_kinds_of_the_table() {
        let config = config("LLM_TESTING_MODE", "true");
        let handlers = registry(&config, &WorkerMetrics::new().unwrap()).unwrap();
        let registry = handlers.registry;
        let handled: BTreeSet<_> = registry.kinds().into_iter().collect();
        assert_eq!(handled, kinds::names().into_iter().collect());
    }

    #[test]
    fn model_mode_is_shown_as_one_of_two() {
        for (name, value, live) in [("LLM_TESTING_MODE", "true", 0), ("LLM_API_KEY", "k7", 1)] {
            let metrics = WorkerMetrics::new().unwrap();
            registry(&config(name, value), &metrics).unwrap();
            let value = |mode| metrics.assistant.llm_mode.with_label_values(&[mode]).get();
            assert_eq!((value("live"), value("testing")), (live, 1 - live));
        }
    }
}
