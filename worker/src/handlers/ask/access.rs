//! What handlers need to call a model: [`ModelAccess`].

use jobs::domain::llm::{LanePolicy, rate::Rate};
use llm::{Model, Prices};
use std::sync::Arc;

/// The model, its prices, and how often it is asked at most, and while it is away. Clones share everything.
#[derive(Clone)]
pub struct ModelAccess {
    pub(in crate::handlers) model: Model,
    pub(in crate::handlers) prices: Arc<Prices>,
    pub(in crate::handlers) lanes: LanePolicy,
    pub(in crate::handlers) rate: Rate,
}

impl ModelAccess {
    pub fn new(model: Model, prices: Prices, lanes: LanePolicy, rate: Rate) -> Self {
        Self {
            model,
            prices: Arc::new(prices),
            lanes,
            rate,
        }
    }
}

/// With the shipped prices, the default policy and no rate.
impl From<Model> for ModelAccess {
    fn from(model: Model) -> Self {
        Self::new(
            model,
            Prices::shipped(),
            LanePolicy::default(),
            Rate::default(),
        )
    }
}
