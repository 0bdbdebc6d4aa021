//! Counts drafts, once their writes are committed.

use jobs::kinds::draft::DraftOutcome;
use prometheus::Registry;

base::metrics! {
    /// The metrics of drafts.
    pub struct DraftCounters {
        /// Draft jobs ended, by outcome.
        drafts_total: IntCounterVec [outcome],
    }
}

/// The metrics of drafts, with all series declared.
#[derive(Clone)]
pub struct DraftMetrics(DraftCounters);

impl DraftMetrics {
    /// # Errors
    /// If a name is registered twice, which is a mistake in the code.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = DraftCounters::register(registry)?;
        // A series that appears with its first event hides that event from `rate`.
        for outcome in DraftOutcome::ALL {
            counters.drafts_total.with_label_values(&[outcome.as_str()]);
        }
        Ok(Self(counters))
    }

    pub(super) fn ended(&self, outcome: DraftOutcome) {
        self.0
            .drafts_total
            .with_label_values(&[outcome.as_str()])
            .inc();
    }
}
