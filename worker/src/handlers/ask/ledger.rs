//! Records the requests of a job: [`JobLedger`]. Each is written before it is sent, with the most that it may use, and is not
//! sent while its lane is open, a budget does not cover it or the model's rate is reached.
//!
//! Holds no connection while a request is in flight.

mod lane;

use super::{access::ModelAccess, large, small};
use async_trait::async_trait;
use base::{TenantId, telemetry::chain};
use chrono::TimeDelta;
use jobs::domain::llm::{ModelName, Tier, rate};
use jobs::kinds::api_key_of;
use jobs::store::{
    llm_budgets::{self, Reservation},
    llm_calls::{self, Admission, Amount, EndedLlmCall, NewLlmCall, SettledCall, Spender},
    llm_checkpoints::CheckpointKey,
    llm_lanes,
    llm_rates::{self, RateDecision, RatedRequest, turns},
};
use llm::{
    LlmError, Model, NotAdmitted, RequestLedger, ServiceTier, TokenUsage,
    ledger::{FailedRequest, Intent},
    limits_left::{Left, LimitsLeft},
};
use queue::runtime::handler::JobContext;
use sqlx::PgConnection;
use std::time::Duration;
use uuid::Uuid;

/// How much longer than its timeout the answer to a probe is awaited: the time to record it.
const PROBE_MARGIN: Duration = Duration::from_secs(5);

/// What an estimate of tokens divides the most that a request may use by: a token has about four bytes, and answers stay
/// far below their limit.
const TOKEN_BYTES: i64 = 4;

/// Records the requests of one question to one model.
pub(super) struct JobLedger<'a> {
    pub(super) ctx: &'a JobContext,
    pub(super) access: &'a ModelAccess,
    pub(super) model: &'a Model,
    pub(super) key: CheckpointKey<'static>,
    pub(super) version: &'static str,
    /// Under which the answer is stored for the same question.
    pub(super) cache: Option<[u8; 32]>,
}

#[async_trait]
impl RequestLedger for JobLedger<'_> {
    async fn admit(&self, intent: &Intent<'_>) -> Result<(), LlmError> {
        match self.try_admit(intent).await {
            Ok(None) => Ok(()),
            Ok(Some(refusal)) => Err(LlmError::NotAdmitted(refusal)),
            Err(error) => Err(LlmError::Ledger {
                source: error.into(),
            }),
        }
    }

    async fn failed(&self, failed: &FailedRequest<'_>) {
        // The request has ended and its result counts: maintenance completes the row if this does not.
        if let Err(error) = self.try_fail(failed).await {
            tracing::warn!(
                error = chain(&error),
                client_request_id = %failed.id,
                "could not record how a request to the model ended; it counts as possibly billed"
            );
        }
    }
}

impl JobLedger<'_> {
    async fn try_admit(&self, intent: &Intent<'_>) -> Result<Option<NotAdmitted>, sqlx::Error> {
        let job = &self.ctx.job;
        // At the price of the standard tier, as which a request ends for which the cheaper one has no room.
        let reserved = reservation(self.access, intent, ServiceTier::Standard);
        let call = NewLlmCall {
            id: intent.id,
            lease: job.lease,
            kind: &job.kind,
            api_key: api_key_of(&job.args),
            step: self.key.step,
            provider: intent.provider,
            model: intent.model,
            prompt_version: self.version,
            prompt_sha256: self.key.request_hash,
            prompt_bytes: small(intent.prompt_bytes),
            tries: small(intent.number.into()),
            reserved,
            timeout_seconds: (intent.timeout + PROBE_MARGIN).as_secs_f64(),
        };
        let mut tx = self.ctx.pool.begin().await?;
        match llm_calls::admit(&mut tx, &call).await? {
            Admission::Admitted => {}
            Admission::LeaseLost => return Ok(Some(NotAdmitted::LeaseLost)),
            Admission::LaneOpen { reason, until } => {
                let reason = known_class(&reason);
                return Ok(Some(NotAdmitted::LaneOpen { reason, until }));
            }
        }
        // A refusal drops the transaction, and with it the row and the probe.
        let spender = Spender {
            tenant: job.lease.tenant,
            kind: &job.kind,
            api_key: call.api_key,
        };
        match llm_budgets::reserve(&mut tx, spender, reserved).await? {
            Reservation::Covered => {}
            Reservation::Exceeded { until } => return Ok(Some(NotAdmitted::OverBudget { until })),
            Reservation::PriceUnknown { until } => {
                return Ok(Some(NotAdmitted::PriceUnknown { until }));
            }
        }
        let rated = self.rated(asked_by(intent), reserved);
        // Last, because all workers wait for this lock.
        if self.access.rate.is_unlimited() {
            tx.commit().await?;
            return Ok(None);
        }
        match llm_rates::take(&mut tx, &rated).await? {
            RateDecision::Admitted { waited } => {
                tx.commit().await?;
                if let Some(waited) = waited.and_then(|waited| waited.to_std().ok()) {
                    self.model.rate_waited(waited);
                }
                Ok(None)
            }
            RateDecision::Refused => {
                tx.rollback().await?;
                let mut conn = self.ctx.pool.acquire().await?;
                let until = turns::queue_up(&mut conn, &rated).await?;
                self.model.rate_reached();
                Ok(Some(NotAdmitted::RateReached { until }))
            }
        }
    }

    fn rated<'b>(&self, name: ModelName<'b>, reserved: Amount) -> RatedRequest<'b> {
        RatedRequest {
            name,
            tenant: self.ctx.job.lease.tenant,
            job: self.ctx.job.lease.job,
            tokens: reserved.tokens / TOKEN_BYTES,
            rate: self.access.rate,
        }
    }

    async fn try_fail(&self, failed: &FailedRequest<'_>) -> Result<(), sqlx::Error> {
        let job = &self.ctx.job;
        let lane = ModelName {
            provider: failed.provider,
            model: failed.model,
        };
        let usage = failed.usage.unwrap_or_default();
        let mut tx = self.ctx.pool.begin().await?;
        let job = (job.lease.tenant, job.lease.job);
        let outcome = lane::record(&mut tx, job, failed, self.access.lanes).await?;
        let ended = EndedLlmCall {
            id: failed.id,
            model: None,
            response_bytes: small(failed.response_bytes),
            input_tokens: large(usage.input),
            output_tokens: large(usage.output),
            cached_tokens: large(usage.cache_read),
            duration_ms: i64::try_from(failed.duration.as_millis()).unwrap_or(i64::MAX),
            outcome,
            possibly_billed: failed.may_be_billed(),
            tier: recorded(failed.tier),
            cost_micros: micros(self.access, lane, failed.tier, usage),
        };
        self.settle(&mut tx, &ended, failed.limits).await?;
        tx.commit().await
    }

    /// Records a request that was answered. The caller stores the answer in the same transaction.
    pub(super) async fn succeeded(
        &self,
        conn: &mut PgConnection,
        request: Uuid,
        answer: &Answered<'_>,
    ) -> Result<(), sqlx::Error> {
        let usage = answer.usage;
        let asked = self.asked();
        let tier = answer.tier;
        let price = |model: &str| {
            let provider = asked.provider;
            micros(self.access, ModelName { provider, model }, tier, usage)
        };
        let ended = EndedLlmCall {
            id: request,
            model: Some(answer.model),
            response_bytes: small(answer.response_bytes),
            input_tokens: large(usage.input),
            output_tokens: large(usage.output),
            cached_tokens: large(usage.cache_read),
            duration_ms: i64::try_from(answer.duration.as_millis()).unwrap_or(i64::MAX),
            outcome: "ok",
            possibly_billed: false,
            tier: recorded(tier),
            // A proxy may answer under a name of its own.
            cost_micros: price(answer.model).or_else(|| price(asked.model)),
        };
        // The lane before the budgets before the rate, everywhere: locks that are taken in one order do not deadlock.
        llm_lanes::record_success(conn, asked, request).await?;
        self.settle(conn, &ended, answer.limits).await
    }

    /// The name of the model that is asked.
    fn asked(&self) -> ModelName<'_> {
        ModelName {
            provider: self.model.provider_name(),
            model: self.model.model_name(),
        }
    }

    /// Completes the row of a request, and replaces its reservation and what it counted by what it used.
    async fn settle(
        &self,
        conn: &mut PgConnection,
        ended: &EndedLlmCall<'_>,
        limits: LimitsLeft,
    ) -> Result<(), sqlx::Error> {
        let lane = self.asked();
        let tenant = self.ctx.job.lease.tenant;
        let Some(settled) = settle_call(conn, self.access, lane, tenant, ended).await? else {
            return Ok(());
        };
        let (reserved, used) = (settled.reserved, settled.used);
        let is_known = ended.input_tokens + ended.output_tokens > 0;
        if self.access.rate.tokens.is_some() && is_known {
            let more = used.tokens - reserved.tokens / TOKEN_BYTES;
            llm_rates::correct(&mut *conn, lane, more).await?;
        }
        let left = provider_left(limits);
        if left.lowers(self.access.rate) {
            llm_rates::lower(conn, lane, left).await?;
        }
        Ok(())
    }
}

/// Completes the row of a request and replaces what it had reserved by what it used; none if that was done before.
pub(super) async fn settle_call(
    conn: &mut PgConnection,
    access: &ModelAccess,
    lane: ModelName<'_>,
    tenant: TenantId,
    ended: &EndedLlmCall<'_>,
) -> Result<Option<SettledCall>, sqlx::Error> {
    let Some(settled) = llm_calls::settle(conn, tenant, ended).await? else {
        return Ok(None);
    };
    access.spend.ended(lane, ended, &settled);
    let (reserved, used) = (settled.reserved, settled.used);
    llm_budgets::settle(conn, settled.spender(), reserved, used).await?;
    Ok(Some(settled))
}

/// Returns the most that a request may use, at the price of this tier.
pub(super) fn reservation(access: &ModelAccess, intent: &Intent<'_>, tier: ServiceTier) -> Amount {
    let most = TokenUsage {
        input: intent.max_input_tokens,
        output: intent.max_output_tokens.into(),
        ..TokenUsage::default()
    };
    let model = asked_by(intent);
    let all_written = TokenUsage {
        cache_write: most.input,
        ..most
    };
    Amount {
        tokens: large(most.total()),
        // A provider decides what it writes to its cache, which may cost more than plain input.
        micros: micros(access, model, tier, most).max(micros(access, model, tier, all_written)),
    }
}

/// Returns the price of what a request used; none if it is not known. The model is one of ours, or the name in an answer.
pub(super) fn micros(
    access: &ModelAccess,
    ModelName { provider, model }: ModelName<'_>,
    tier: ServiceTier,
    usage: TokenUsage,
) -> Option<i64> {
    let ours = access.model(provider, model);
    let priced = ours.map_or(model, Model::requested_name);
    let micros = access.prices.micros(provider, priced, tier, usage);
    micros.map(|micros| i64::try_from(micros).unwrap_or(i64::MAX))
}

fn asked_by<'a>(intent: &Intent<'a>) -> ModelName<'a> {
    ModelName {
        provider: intent.provider,
        model: intent.model,
    }
}

/// The part of an answer that is recorded.
pub(super) struct Answered<'a> {
    pub(super) model: &'a str,
    pub(super) usage: TokenUsage,
    pub(super) tier: ServiceTier,
    pub(super) response_bytes: u64,
    pub(super) limits: LimitsLeft,
    pub(super) duration: Duration,
}

pub(super) const fn recorded(tier: ServiceTier) -> Tier {
    match tier {
        ServiceTier::Standard => Tier::Standard,
        ServiceTier::Flex => Tier::Flex,
        ServiceTier::Batch => Tier::Batch,
    }
}

/// Returns what the provider has left in the words of rates.
fn provider_left(limits: LimitsLeft) -> rate::LimitsLeft {
    let left = |left: Left| rate::Left {
        units: large(left.units),
        unit_renewed_in: TimeDelta::from_std(left.unit_renewed_in).unwrap_or(TimeDelta::MAX),
    };
    rate::LimitsLeft {
        requests: limits.requests.map(left),
        tokens: limits.tokens.map(left),
    }
}

/// Returns the class as this version names it.
fn known_class(reason: &str) -> &'static str {
    const CLASSES: [&str; 9] = [
        "transient",
        "rate_limited",
        "quota_exhausted",
        "auth",
        "bad_request",
        "do_not_retry",
        "invalid_reply",
        "timeout",
        "connect",
    ];
    let known = CLASSES.into_iter().find(|class| *class == reason);
    known.unwrap_or("transient")
}
