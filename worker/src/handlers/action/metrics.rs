//! Counts actions, once their outcomes are committed.

use jobs::{domain::action::ActionType, kinds::action::ActionResult};
use prometheus::Registry;

base::metrics! {
    /// The metrics of actions.
    pub struct ActionCounters {
        /// Actions ended, by type and result.
        actions_total: IntCounterVec [type, result],
    }
}

/// The metrics of actions, with all series declared.
#[derive(Clone)]
pub struct ActionMetrics(ActionCounters);

impl ActionMetrics {
    /// # Errors
    /// If a name is registered twice, which is a mistake in the code.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = ActionCounters::register(registry)?;
        // A series that appears with its first event hides that event from `rate`.
        for kind in ActionType::ALL {
            for result in ActionResult::ALL {
                counters
                    .actions_total
                    .with_label_values(&[kind.as_str(), result.as_str()]);
            }
        }
        Ok(Self(counters))
    }

    pub(super) fn ended(&self, kind: ActionType, result: ActionResult) {
        self.0
            .actions_total
            .with_label_values(&[kind.as_str(), result.as_str()])
            .inc();
    }
}
