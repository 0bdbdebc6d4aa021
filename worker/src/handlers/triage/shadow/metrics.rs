//! Counts comparisons of judgements.

use jobs::kinds::triage_shadow::{ComparedField, ShadowOutcome};
use prometheus::Registry;

base::metrics! {
    /// The metrics of shadow mode.
    pub struct ShadowCounters {
        /// Emails judged by a second model or prompt as well, by the outcome of the comparison.
        shadow_judgements_total: IntCounterVec [outcome],
        /// Fields of judgements compared, by whether both judgements agree.
        shadow_fields_total: IntCounterVec [field, agreed],
    }
}

/// The metrics of shadow mode, with all series declared.
#[derive(Clone)]
pub struct ShadowMetrics(ShadowCounters);

impl ShadowMetrics {
    /// # Errors
    /// If a name is registered twice, which is a mistake in the code.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = ShadowCounters::register(registry)?;
        // A series that appears with its first event hides that event from `rate`.
        for outcome in ShadowOutcome::ALL {
            counters
                .shadow_judgements_total
                .with_label_values(&[outcome.as_str()]);
        }
        for field in ComparedField::ALL {
            for agreed in ["true", "false"] {
                counters
                    .shadow_fields_total
                    .with_label_values(&[field.as_str(), agreed]);
            }
        }
        Ok(Self(counters))
    }

    pub(super) fn compared(&self, outcome: ShadowOutcome, differs: &[ComparedField]) {
        self.0
            .shadow_judgements_total
            .with_label_values(&[outcome.as_str()])
            .inc();
        if outcome == ShadowOutcome::Unanswered {
            return;
        }
        for field in ComparedField::ALL {
            let agreed = if differs.contains(field) {
                "false"
            } else {
                "true"
            };
            self.0
                .shadow_fields_total
                .with_label_values(&[field.as_str(), agreed])
                .inc();
        }
    }
}
