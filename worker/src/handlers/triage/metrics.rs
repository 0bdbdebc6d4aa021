//! What triage counts, once its writes are committed.

use jobs::domain::{
    judgement::{Disposition, Source},
    risk::Risk,
};
use prometheus::{IntCounterVec, Opts, Registry};

/// Counters of decisions and of the approvals they ask for.
#[derive(Clone)]
pub struct TriageMetrics {
    triage_decisions_total: IntCounterVec,
    approvals_created_total: IntCounterVec,
}

impl TriageMetrics {
    /// # Errors
    /// If a name is registered twice, which is a mistake in the code.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            triage_decisions_total: IntCounterVec::new(
                Opts::new(
                    "triage_decisions_total",
                    "Mails judged, by who decided and what it asks of attention.",
                ),
                &["source", "disposition"],
            )?,
            approvals_created_total: IntCounterVec::new(
                Opts::new(
                    "approvals_created_total",
                    "Actions put before a person, by their risk.",
                ),
                &["risk"],
            )?,
        };
        registry.register(Box::new(metrics.triage_decisions_total.clone()))?;
        registry.register(Box::new(metrics.approvals_created_total.clone()))?;
        // A series that appears with its first event hides that event from `rate`.
        for source in Source::ALL {
            for disposition in Disposition::ALL {
                metrics
                    .triage_decisions_total
                    .with_label_values(&[source.as_str(), disposition.as_str()]);
            }
        }
        for risk in Risk::ALL {
            metrics
                .approvals_created_total
                .with_label_values(&[risk.as_str()]);
        }
        Ok(metrics)
    }

    pub(super) fn decided(&self, source: Source, disposition: Disposition) {
        self.triage_decisions_total
            .with_label_values(&[source.as_str(), disposition.as_str()])
            .inc();
    }

    pub(super) fn approval_created(&self, risk: Risk) {
        self.approvals_created_total
            .with_label_values(&[risk.as_str()])
            .inc();
    }
}
