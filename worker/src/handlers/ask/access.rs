//! What handlers need to call a model: [`ModelAccess`].

use super::recorded::RecordedAnswers;
use crate::{config::ModelConfig, fixtures, recording::Recorder};
use base::clock::Clock;
use jobs::domain::llm::LanePolicy;
use llm::{Model, Prices, config::ModelError};
use prometheus::Registry;
use std::sync::Arc;

/// The model, its prices, and how often it is asked while it is away. Clones share everything.
#[derive(Clone)]
pub struct ModelAccess {
    pub(in crate::handlers) model: Model,
    pub(in crate::handlers) prices: Arc<Prices>,
    pub(in crate::handlers) lanes: LanePolicy,
    /// Writes each exchange to disk, in development.
    pub(super) recorder: Option<Recorder>,
    /// Answers in place of the model, in a replay.
    pub(super) recorded: Option<RecordedAnswers>,
}

impl ModelAccess {
    pub fn new(model: Model, prices: Prices, lanes: LanePolicy) -> Self {
        Self {
            model,
            prices: Arc::new(prices),
            lanes,
            recorder: None,
            recorded: None,
        }
    }

    /// Has each exchange written to disk.
    #[must_use]
    pub fn recorded_by(self, recorder: Option<Recorder>) -> Self {
        Self { recorder, ..self }
    }

    /// Has these answers stand in for the model.
    #[must_use]
    pub fn answered_by(self, answers: RecordedAnswers) -> Self {
        Self {
            recorded: Some(answers),
            ..self
        }
    }

    /// Builds the model for a program that is no worker; nobody reads its metrics.
    ///
    /// # Errors
    /// If the model cannot be set up.
    pub fn of_config(config: &ModelConfig) -> Result<Self, ModelError> {
        let registry = Registry::new();
        let model = Model::from_config(&config.llm, &registry, Clock::System, fixtures::SHIPPED)?;
        Ok(Self::new(
            model,
            config.prices.clone(),
            LanePolicy::default(),
        ))
    }

    /// Returns the provider and the model's name, as the configuration has them.
    pub fn names(&self) -> (&str, &str) {
        (self.model.provider_name(), self.model.model_name())
    }
}

/// With the shipped prices and the default policy.
impl From<Model> for ModelAccess {
    fn from(model: Model) -> Self {
        Self::new(model, Prices::shipped(), LanePolicy::default())
    }
}
