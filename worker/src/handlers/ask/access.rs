//! What handlers need to call models: [`ModelAccess`].

use super::metrics::SpendMetrics;
use jobs::domain::llm::{LanePolicy, rate::Rate};
use llm::{Model, Models, Prices};
use prometheus::Registry;
use std::sync::Arc;

/// The models, their prices, and how often one is asked at most, and while it is away. Clones share everything.
#[derive(Clone)]
pub struct ModelAccess {
    pub(in crate::handlers) models: Models,
    pub(in crate::handlers) prices: Arc<Prices>,
    pub(in crate::handlers) lanes: LanePolicy,
    pub(in crate::handlers) rate: Rate,
    pub(in crate::handlers) spend: SpendMetrics,
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
            SpendMetrics::register(&Registry::new()).expect("the names differ"),
        )
    }
}
