//! Records a call that has ended, [`record_call`], in one transaction that holds the job's lease: a worker that lost the job
//! stores no answer. It completes the record of the request, stores the answer and writes the audit entry. In development the
//! exchange is written to disk too, [`write_exchange`].

use super::{
    AskError,
    capture::{self, CapturedCall},
    large,
    ledger::{Answered, JobLedger},
};
use crate::recording::{Exchange, Recorder, rendered};
use base::{hex, telemetry::chain};
use jobs::{
    commands::audit::JobAudit,
    domain::{AuditAction, Detail, ResourceKind},
    store::{audit, llm_answers, llm_checkpoints},
};
use llm::{Call, CallCost, Completion, LlmError};
use queue::{lease, runtime::handler::JobContext};
use sqlx::PgConnection;

/// An ended call.
pub(super) struct EndedCall<'a> {
    pub(super) version: &'static str,
    pub(super) cost: CallCost,
    pub(super) call: &'a Call<'a>,
    pub(super) result: Result<&'a Completion, &'a LlmError>,
}

/// Completes the record of an answered request, stores its answer and writes the audit entry of the call.
pub(super) async fn record_call(
    ctx: &JobContext,
    ledger: &JobLedger<'_>,
    ended: &EndedCall<'_>,
) -> Result<(), AskError> {
    if let Err(LlmError::Cancelled) = ended.result {
        return Ok(());
    }
    let job = &ctx.job;
    let mut tx = ctx.pool.begin().await?;
    let is_held = lease::lock_if_held(&mut tx, job.lease).await?;
    if let Ok(completion) = ended.result {
        // Also after the lease was lost: the answer is dropped, and its cost is not.
        let answer = Answered {
            model: &completion.model,
            usage: ended.cost.last_usage,
            tier: completion.tier,
            response_bytes: completion.response_bytes,
            limits: ended.cost.last_limits,
            duration: completion.duration,
        };
        ledger
            .succeeded(&mut tx, ended.cost.last_request, &answer)
            .await?;
    }
    if is_held {
        if let Ok(completion) = ended.result {
            let kept = serde_json::to_value(completion)
                .map_err(|error| sqlx::Error::Encode(error.into()))?;
            llm_checkpoints::insert(&mut tx, job.lease.tenant, ledger.key, &kept).await?;
            if let Some(hash) = ledger.cache {
                llm_answers::put(&mut tx, job.lease.tenant, hash, &kept).await?;
            }
        }
        let of = CapturedCall {
            tenant: job.lease.tenant,
            job: job.lease.job,
            step: ledger.key.step,
            call: ended.cost.last_request,
        };
        let answer = ended.result.map_err(LlmError::class);
        capture::keep(&mut tx, ledger.access, of, ended.call, Some(answer)).await?;
        audit_call(&mut tx, ctx, ledger, ended).await?;
    }
    tx.commit().await?;
    if is_held {
        Ok(())
    } else {
        Err(AskError::LeaseLost)
    }
}

async fn audit_call(
    conn: &mut PgConnection,
    ctx: &JobContext,
    ledger: &JobLedger<'_>,
    ended: &EndedCall<'_>,
) -> Result<(), sqlx::Error> {
    let completion = ended.result.ok();
    let CallCost {
        usage, duration, ..
    } = ended.cost;
    let model = ledger.model;
    let detail = Detail::new()
        .word("step", ledger.key.step)
        .name("provider", model.provider_name())
        .name(
            "model",
            completion.map_or(model.model_name(), |completion| &completion.model),
        )
        .name("prompt_version", ended.version)
        .count("input_tokens", large(usage.input))
        .count("output_tokens", large(usage.output))
        .count(
            "duration_ms",
            i64::try_from(duration.as_millis()).unwrap_or(i64::MAX),
        );
    let mut entry = ctx
        .job
        .audit(
            AuditAction::LlmCalled,
            ResourceKind::LlmCall,
            ended.cost.last_request,
        )
        .with_detail(detail);
    if let Err(error) = ended.result {
        entry = entry.failed(error.class());
    }
    audit::insert(conn, &[entry]).await
}

/// Writes the question and its answer to disk, in development. The answer counts also if that fails.
pub(super) async fn write_exchange(
    recorder: &Recorder,
    call: &Call<'_>,
    ledger: &JobLedger<'_>,
    result: Result<&Completion, &LlmError>,
) {
    let (messages, schema) = rendered(&call.prompt, &call.schema);
    let exchange = Exchange {
        recorded_at: ledger.ctx.clock.now(),
        job: call.job.0,
        kind: ledger.ctx.job.kind.clone(),
        step: ledger.key.step.to_owned(),
        attempt: call.attempt,
        provider: ledger.model.provider_name().to_owned(),
        model: ledger.model.model_name().to_owned(),
        prompt_version: ledger.version.to_owned(),
        prompt_sha256: hex(&ledger.key.request_hash),
        messages,
        schema,
        answer: result.ok().cloned(),
        failure: result.err().map(|error| error.class().to_owned()),
    };
    if let Err(error) = recorder.write(exchange).await {
        let error = chain(&error);
        tracing::warn!(error, "could not write an exchange to LLM_RECORD_DIR");
    }
}
