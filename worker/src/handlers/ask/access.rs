//! What handlers need to call a model: [`ModelAccess`].

use jobs::domain::llm::LanePolicy;
use llm::{Model, Prices};
use std::sync::Arc;

/// The model, its prices, and how often it is asked while it is away. Clones share everything.
#[derive(Clone)]
pub struct ModelAccess {
    pub(in crate::handlers) model: Model,
    pub(in crate::handlers) prices: Arc<Prices>,
    pub(in crate::handlers) lanes: LanePolicy,
}

impl ModelAccess {
    pub fn new(model: Model, prices: Prices, lanes: LanePolicy) -> Self {
        Self {
            model,
            prices: Arc::new(prices),
            lanes,
        }
    }
}

/// With the shipped prices and the default policy.
impl From<Model> for ModelAccess {
    fn from(model: Model) -> Self {
        Self::new(model, Prices::shipped(), LanePolicy::default())
    }
}
