//! What actions count, once their outcomes are committed.

use jobs::{domain::action::ActionType, kinds::action::ActionResult};
use prometheus::{IntCounterVec, Opts, Registry};

/// Counters of what was done.
#[derive(Clone)]
pub struct ActionMetrics {
    actions_total: IntCounterVec,
}

impl ActionMetrics {
    /// # Errors
    /// If a name is registered twice, which is a mistake in the code.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            actions_total: IntCounterVec::new(
                Opts::new(
                    "actions_total",
                    "Actions that came to an end, by type and by what became of them.",
                ),
                &["type", "result"],
            )?,
        };
        registry.register(Box::new(metrics.actions_total.clone()))?;
        // A series that appears with its first event hides that event from `rate`.
        for kind in ActionType::ALL {
            for result in ActionResult::ALL {
                metrics
                    .actions_total
                    .with_label_values(&[kind.as_str(), result.as_str()]);
            }
        }
        Ok(metrics)
    }

    pub(super) fn ended(&self, kind: ActionType, result: ActionResult) {
        self.actions_total
            .with_label_values(&[kind.as_str(), result.as_str()])
            .inc();
    }
}
