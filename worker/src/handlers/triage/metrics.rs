//! Counts triage decisions and approvals, once their writes are committed.

use jobs::domain::{
    judgement::{Disposition, Source},
    risk::Risk,
};
use prometheus::Registry;

base::metrics! {
    /// The metrics of triage.
    pub struct TriageCounters {
        /// Emails judged, by source of the decision and disposition.
        triage_decisions_total: IntCounterVec [source, disposition],
        /// Approvals created by triage, by risk.
        approvals_created_total: IntCounterVec [risk],
    }
}

/// The metrics of triage, with all series declared.
#[derive(Clone)]
pub struct TriageMetrics(TriageCounters);

impl TriageMetrics {
    /// # Errors
    /// If a name is registered twice, which is a mistake in the code.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = TriageCounters::register(registry)?;
        // A series that appears with its first event hides that event from `rate`.
        for source in Source::ALL {
            for disposition in Disposition::ALL {
                counters
                    .triage_decisions_total
                    .with_label_values(&[source.as_str(), disposition.as_str()]);
            }
        }
        for risk in Risk::ALL {
            counters
                .approvals_created_total
                .with_label_values(&[risk.as_str()]);
        }
        Ok(Self(counters))
    }

    pub(super) fn decided(&self, source: Source, disposition: Disposition) {
        self.0
            .triage_decisions_total
            .with_label_values(&[source.as_str(), disposition.as_str()])
            .inc();
    }

    pub(super) fn approval_created(&self, risk: Risk) {
        self.0
            .approvals_created_total
            .with_label_values(&[risk.as_str()])
            .inc();
    }
}
