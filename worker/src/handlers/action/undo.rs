//! Undoes the effects of an approval, latest first.

use super::load::not_begun;
use super::outcomes::ledger_failure;
use super::provider_error::refusal_or_failure;
use crate::effects::{Effect, LocalEffect, ProviderContext, RemoteEffect, effect_of};
use crate::handlers::unavailable;
use crate::providers::{ProviderError, Providers};
use async_trait::async_trait;
use base::TenantId;
use jobs::{
    commands::{
        approvals::execute::{ExecutionEnd, begin_undo},
        effects::{
            LedgerError,
            compensate::{begin_compensation, end_compensation},
            local::{Refusal, Reversal, undo as undo_locally},
        },
    },
    domain::{
        ApprovalId, EffectId, action::ActionType, connection::ConnectionStatus,
        effect::EffectStatus, gate::Gate,
    },
    kinds::action::{ActionError, ActionOutcome, ActionResult},
    store::{
        connections,
        effects::{self, StoredEffect},
    },
};
use queue::Failure;
use queue::runtime::handler::JobContext;
use sqlx::PgConnection;

/// Undoes what can be undone and returns the outcome of each effect.
pub(super) async fn undo(
    ctx: &JobContext,
    providers: &Providers,
    approval: ApprovalId,
) -> Result<(Vec<ActionOutcome>, ExecutionEnd), Failure> {
    begin_undo(&ctx.pool, &ctx.job, approval)
        .await
        .map_err(not_begun)?;
    let mut conn = ctx
        .pool
        .acquire()
        .await
        .map_err(|error| unavailable(&error))?;
    let done = effects::of_approval(&mut conn, ctx.job.lease.tenant, approval)
        .await
        .map_err(|error| unavailable(&error))?;
    drop(conn);
    let mut outcomes = Vec::new();
    let mut ending = ExecutionEnd::Undone;
    for (index, effect) in done.iter().rev().enumerate() {
        let Some(outcome) = undo_one(
            &ProviderContext::new(ctx, providers),
            index,
            approval,
            effect,
        )
        .await?
        else {
            continue;
        };
        if let Some(error) = &outcome.error {
            ending = ExecutionEnd::NotUndone(error.code.clone(), error.message.clone());
        }
        outcomes.push(outcome);
    }
    Ok((outcomes, ending))
}

async fn undo_one(
    providers: &ProviderContext<'_>,
    index: usize,
    approval: ApprovalId,
    effect: &StoredEffect,
) -> Result<Option<ActionOutcome>, Failure> {
    let is_undoable = matches!(
        effect.status,
        EffectStatus::Succeeded
            | EffectStatus::Compensating
            | EffectStatus::Compensated
            | EffectStatus::CompensationFailed
    );
    let (Some(kind), true) = (ActionType::parse(&effect.kind), is_undoable) else {
        return Ok(None);
    };
    let outcome = ActionOutcome {
        index,
        r#type: kind,
        risk: kind.spec().risk,
        gate: Gate::Approval,
        result: ActionResult::Undone,
        effect_id: Some(effect.id),
        approval_id: Some(approval),
        receipt: None,
        error: None,
    };
    let spec = kind.spec();
    let refused = match spec.compensable.then(|| effect_of(spec.executor)) {
        None => Some((
            "not_compensable".to_owned(),
            "This action cannot be undone.".to_owned(),
        )),
        Some(Effect::Remote(remote)) => undo_remote(providers, remote, effect.id).await?,
        Some(Effect::Local(local)) => {
            let reversal = BoundEffect(local);
            let ctx = providers.ctx;
            undo_locally(&ctx.pool, &ctx.job, effect.id, &reversal)
                .await
                .map_err(ledger_failure)?
                .and_then(Result::err)
                .map(|(code, message)| (code.to_owned(), message))
        }
    };
    Ok(Some(match refused {
        None => outcome,
        Some((code, message)) => ActionOutcome {
            result: ActionResult::Failed,
            error: Some(ActionError { code, message }),
            ..outcome
        },
    }))
}

/// Undoes a remote effect by the connection that it was performed with. Returns the code and message of a refusal.
async fn undo_remote(
    providers: &ProviderContext<'_>,
    remote: &'static dyn RemoteEffect,
    id: EffectId,
) -> Result<Option<(String, String)>, Failure> {
    let (ctx, tenant) = (providers.ctx, providers.ctx.job.lease.tenant);
    let Some(done) = begin_compensation(&ctx.pool, &ctx.job, id)
        .await
        .map_err(ledger_failure)?
    else {
        return Ok(None);
    };
    let read = async {
        let mut conn = ctx.pool.acquire().await?;
        match done.connection {
            Some(id) => connections::find(&mut conn, tenant, id).await,
            None => Ok(None),
        }
    };
    let connection = read
        .await
        .map_err(|error: sqlx::Error| unavailable(&error))?;
    let connection = connection.filter(|found| found.status != ConnectionStatus::Revoked);
    let refused = match connection {
        None => Some((
            "connection_revoked",
            "The account was disconnected.".to_owned(),
        )),
        Some(connection) => match remote.undo(providers, &connection, &done).await {
            Ok(()) => None,
            Err(error) if is_exhausted(ctx, &error) => Some((error.code(), NOT_UNDONE.to_owned())),
            Err(error) => Some(refusal_or_failure(ctx, &connection, error).await?),
        },
    };
    let code = refused.as_ref().map(|(code, _)| *code);
    let write = || end_compensation(&ctx.pool, &ctx.job, id, code);
    ctx.store(write, LedgerError::is_transient)
        .await
        .map_err(ledger_failure)?;
    Ok(refused.map(|(code, message)| (code.to_owned(), message)))
}

/// Returns whether no attempt is left.
fn is_exhausted(ctx: &JobContext, error: &ProviderError) -> bool {
    let lost = matches!(
        error,
        ProviderError::Retryable { .. } | ProviderError::Unknown { .. }
    );
    lost && ctx.job.is_last_attempt()
}

const NOT_UNDONE: &str = "All attempts to undo this failed.";

/// A local effect as a reversal.
struct BoundEffect(&'static dyn LocalEffect);

#[async_trait]
impl Reversal for BoundEffect {
    async fn undo(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal> {
        self.0.undo(conn, tenant, done).await
    }
}
