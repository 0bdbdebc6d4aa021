//! What handlers need to call models: [`ModelAccess`].

use jobs::domain::llm::LanePolicy;
use llm::{Model, Models, Prices};
use std::sync::Arc;

/// The models, their prices, and how often one is asked while it is away. Clones share everything.
#[derive(Clone)]
pub struct ModelAccess {
    pub(in crate::handlers) models: Models,
    pub(in crate::handlers) prices: Arc<Prices>,
    pub(in crate::handlers) lanes: LanePolicy,
}

impl ModelAccess {
    pub fn new(models: Models, prices: Prices, lanes: LanePolicy) -> Self {
        Self {
            models,
            prices: Arc::new(prices),
            lanes,
        }
    }
}

/// One model, with the shipped prices and the default policy.
impl From<Model> for ModelAccess {
    fn from(model: Model) -> Self {
        Self::new(model.into(), Prices::shipped(), LanePolicy::default())
    }
}
