//! What requests to models cost: [`SpendMetrics`]. Labels come from closed sets: tenants have `GET /v1/usage`.

use jobs::{
    commands::llm::LostRequests,
    domain::llm::{ModelName, Tier},
    kinds::triage::LlmUsage,
    store::llm_calls::{EndedLlmCall, SettledCall},
};
use prometheus::Registry;

/// From a hundredth of a cent to a dollar.
const USD: &[f64] = &[0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0];
/// Why money was spent without a usable answer.
const REASONS: [&str; 3] = ["retry", "timeout", "lost"];

base::metrics! {
    /// What requests to models cost, as far as their prices are known.
    pub struct SpendMetrics {
        /// Cost of requests to models, in US dollars; possibly billed ones count with the most that they can cost.
        llm_cost_usd_total: CounterVec [provider, model],
        /// The part of the cost that brought no answer, in US dollars: failed requests (retry), timeouts, and workers that died (lost).
        llm_wasted_usd_total: CounterVec [reason],
        /// Requests of batches ended, by outcome; those without an answer are sent one by one.
        llm_batch_requests_total: IntCounterVec [provider, model, outcome],
        /// Cost of all requests of a job that was answered, in US dollars.
        llm_job_cost_usd: HistogramVec [kind] = USD,
    }
}

impl SpendMetrics {
    /// Registers the metrics and creates the series that are known before the first request, so that a panel shows 0 and no gap.
    ///
    /// # Errors
    /// If a name is registered twice, which is a mistake in the code.
    pub fn declared(registry: &Registry, kinds: &[&str]) -> Result<Self, prometheus::Error> {
        let metrics = Self::register(registry)?;
        for reason in REASONS {
            metrics.llm_wasted_usd_total.with_label_values(&[reason]);
        }
        for kind in kinds {
            metrics.llm_job_cost_usd.with_label_values(&[*kind]);
        }
        Ok(metrics)
    }

    /// The metrics of a program that nobody scrapes.
    pub(super) fn unread() -> Self {
        Self::register(&Registry::new()).expect("the names differ")
    }

    /// Counts a request that has ended.
    pub(super) fn ended(
        &self,
        ModelName { provider, model }: ModelName<'_>,
        ended: &EndedLlmCall<'_>,
        settled: &SettledCall,
    ) {
        let cost = usd(settled.used.micros.unwrap_or(0));
        self.llm_cost_usd_total
            .with_label_values(&[provider, model])
            .inc_by(cost);
        if ended.tier == Tier::Batch {
            self.llm_batch_requests_total
                .with_label_values(&[provider, model, ended.outcome])
                .inc();
        }
        let reason = match ended.outcome {
            "ok" => return,
            _ if ended.possibly_billed => "timeout",
            _ => "retry",
        };
        self.llm_wasted_usd_total
            .with_label_values(&[reason])
            .inc_by(cost);
    }

    /// Counts requests whose workers died.
    pub fn lost(&self, lost: &LostRequests) {
        self.llm_wasted_usd_total
            .with_label_values(&["lost"])
            .inc_by(usd(lost.micros));
    }

    /// Counts a job that was answered.
    pub(super) fn answered(&self, kind: &str, usage: &LlmUsage) {
        if let Some(micros) = usage.cost_micros {
            let micros = i64::try_from(micros).unwrap_or(i64::MAX);
            self.llm_job_cost_usd
                .with_label_values(&[kind])
                .observe(usd(micros));
        }
    }
}

fn usd(micros: i64) -> f64 {
    micros.max(0) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::TenantId;
    use jobs::store::llm_calls::Amount;
    use uuid::Uuid;

    const NAME: ModelName<'_> = ModelName {
        provider: "p",
        model: "m",
    };

    #[test]
    fn money_without_an_answer_is_counted_by_its_reason() {
        let metrics = SpendMetrics::declared(&Registry::new(), &[]).unwrap();
        for (outcome, possibly_billed) in
            [("ok", false), ("timeout", true), ("invalid_reply", false)]
        {
            let ended = EndedLlmCall {
                id: Uuid::nil(),
                model: None,
                response_bytes: 0,
                input_tokens: 0,
                output_tokens: 0,
                cached_tokens: 0,
                duration_ms: 0,
                outcome,
                possibly_billed,
                tier: Tier::Standard,
                cost_micros: None,
            };
            let amount = Amount {
                tokens: 0,
                micros: Some(2_000_000),
            };
            let settled = SettledCall {
                api_key: None,
                tenant: TenantId(Uuid::nil()),
                kind: String::new(),
                reserved: amount,
                used: amount,
            };
            metrics.ended(NAME, &ended, &settled);
        }
        metrics.lost(&LostRequests {
            requests: 1,
            micros: 500_000,
        });
        let wasted = |reason| {
            metrics
                .llm_wasted_usd_total
                .with_label_values(&[reason])
                .get()
        };
        let close = |is: f64, wanted: f64| (is - wanted).abs() < 1e-9;
        assert!(close(wasted("timeout"), 2.0) && close(wasted("retry"), 2.0));
        assert!(close(wasted("lost"), 0.5));
        let all = metrics
            .llm_cost_usd_total
            .with_label_values(&["p", "m"])
            .get();
        assert!(close(all, 6.0), "{all}");
    }
}
