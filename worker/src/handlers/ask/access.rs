//! What handlers need to call models: [`ModelAccess`].

use super::{metrics::SpendMetrics, recorded::RecordedAnswers};
use crate::{config::ModelConfig, fixtures, prompts::TRIAGE_TASK, recording::Recorder};
use base::{TenantId, clock::Clock};
use jobs::{
    domain::llm::{LanePolicy, ModelName, rate::Rate},
    secrets::KeyRing,
    store::llm_lanes::StoredLane,
};
use llm::{Model, Models, Naming, Prices, config::ModelError};
use prometheus::Registry;
use std::sync::Arc;

/// The models, their prices, and how often one is asked at most, and while it is unavailable. Clones share everything.
#[derive(Clone)]
pub struct ModelAccess {
    pub(in crate::handlers) models: Models,
    pub(in crate::handlers) prices: Arc<Prices>,
    pub(in crate::handlers) lanes: LanePolicy,
    pub(in crate::handlers) rate: Rate,
    pub(in crate::handlers) spend: SpendMetrics,
    /// Seal exchanges for tenants that want them kept.
    pub(super) keys: Option<KeyRing>,
    /// Writes each exchange to disk, in development.
    pub(super) recorder: Option<Recorder>,
    /// Answers in place of the model, in a replay.
    pub(super) recorded: Option<RecordedAnswers>,
}

impl ModelAccess {
    pub fn new(
        models: Models,
        prices: Prices,
        lanes: LanePolicy,
        rate: Rate,
        spend: SpendMetrics,
    ) -> Self {
        Self {
            models,
            prices: Arc::new(prices),
            lanes,
            rate,
            spend,
            keys: None,
            recorder: None,
            recorded: None,
        }
    }

    /// Gives it what seals exchanges.
    #[must_use]
    pub fn sealed_by(self, keys: Option<KeyRing>) -> Self {
        Self { keys, ..self }
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
        let models = Models::from_config(
            &config.llm,
            &registry,
            Naming::default(),
            Clock::System,
            fixtures::SHIPPED,
        )?;
        let prices = config.prices.clone();
        Ok(Self::new(
            models,
            prices,
            LanePolicy::default(),
            Rate::default(),
            SpendMetrics::unread(),
        ))
    }

    /// Finds a model by the names of its provider and its own.
    pub(crate) fn model(&self, provider: &str, model: &str) -> Option<&Model> {
        self.models.find(provider, model)
    }

    /// Whether the lane is that of a model that is configured.
    pub(crate) fn asks(&self, lane: &StoredLane) -> bool {
        self.model(&lane.provider, &lane.model).is_some()
    }

    /// Returns the model that triages for everybody, without its fallbacks.
    pub(in crate::handlers) fn first_of_triage(&self) -> &Model {
        // No tenant with models of its own has a new id.
        &self.models.route(TenantId::new(), TRIAGE_TASK).first
    }

    /// Returns the name of the model that triages.
    pub fn name(&self) -> ModelName<'_> {
        let model = self.first_of_triage();
        ModelName {
            provider: model.provider_name(),
            model: model.model_name(),
        }
    }
}

/// One model, with the shipped prices, the default policy and no rate. Its costs are counted for nobody.
impl From<Model> for ModelAccess {
    fn from(model: Model) -> Self {
        Self::new(
            model.into(),
            Prices::shipped(),
            LanePolicy::default(),
            Rate::default(),
            SpendMetrics::unread(),
        )
    }
}
