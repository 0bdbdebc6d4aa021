//! What drafts count, once their writes are committed.

use jobs::kinds::draft::DraftOutcome;
use prometheus::{IntCounterVec, Opts, Registry};

/// Counters of what became of the wish for a mail.
#[derive(Clone)]
pub struct DraftMetrics {
    drafts_total: IntCounterVec,
}

impl DraftMetrics {
    /// # Errors
    /// If a name is registered twice, which is a mistake in the code.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let drafts_total = IntCounterVec::new(
            Opts::new(
                "drafts_total",
                "Mails that were to be written, by what came of it.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(drafts_total.clone()))?;
        // A series that appears with its first event hides that event from `rate`.
        for outcome in DraftOutcome::ALL {
            drafts_total.with_label_values(&[outcome.as_str()]);
        }
        Ok(Self { drafts_total })
    }

    pub(super) fn ended(&self, outcome: DraftOutcome) {
        self.drafts_total
            .with_label_values(&[outcome.as_str()])
            .inc();
    }
}
