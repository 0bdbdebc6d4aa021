//! What was done for an approval, taken back: the latest effect first.

use super::carry_out::ledger;
use super::halt::halt;
use super::load::not_begun;
use crate::effects::{Far, LocalEffect, Remote, Way, way_of};
use crate::handlers::unavailable;
use crate::providers::{ProviderError, Providers};
use async_trait::async_trait;
use base::TenantId;
use jobs::{
    commands::{
        approvals::execute::{Ending, begin_undo},
        effects::{
            compensate::{begin_compensation, end_compensation},
            local::{Refusal, Reversal, undo as take_back_locally},
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

/// Takes back what can be, and says what became of each effect.
pub(super) async fn undo(
    ctx: &JobContext,
    providers: &Providers,
    approval: ApprovalId,
) -> Result<(Vec<ActionOutcome>, Ending), Failure> {
    begin_undo(&ctx.pool, &ctx.job, approval)
        .await
        .map_err(not_begun)?;
    let mut conn = ctx
        .pool
        .acquire()
        .await
        .map_err(|error| unavailable(&error))?;
    let done = effects::of_approval(&mut conn, ctx.job.tenant, approval)
        .await
        .map_err(|error| unavailable(&error))?;
    drop(conn);
    let mut outcomes = Vec::new();
    let mut ending = Ending::Undone;
    for (index, effect) in done.iter().rev().enumerate() {
        let Some(outcome) = one(&Far { ctx, providers }, index, approval, effect).await? else {
            continue;
        };
        if let Some(error) = &outcome.error {
            ending = Ending::NotUndone(error.code.clone(), error.message.clone());
        }
        outcomes.push(outcome);
    }
    Ok((outcomes, ending))
}

async fn one(
    far: &Far<'_>,
    index: usize,
    approval: ApprovalId,
    effect: &StoredEffect,
) -> Result<Option<ActionOutcome>, Failure> {
    let standing = matches!(
        effect.status,
        EffectStatus::Succeeded
            | EffectStatus::Compensating
            | EffectStatus::Compensated
            | EffectStatus::CompensationFailed
    );
    let (Some(kind), true) = (ActionType::parse(&effect.kind), standing) else {
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
    let refused = match spec.compensable.then(|| way_of(spec.executor)) {
        None => Some((
            "not_compensable".to_owned(),
            "This cannot be taken back.".to_owned(),
        )),
        Some(Way::Remote(remote)) => remotely(far, remote, effect.id).await?,
        Some(Way::Local(local)) => {
            let reversal = Bound(local);
            let ctx = far.ctx;
            take_back_locally(&ctx.pool, &ctx.job, effect.id, &reversal)
                .await
                .map_err(ledger)?
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

/// Takes back what left the house by the connection that it left by; says what was in the way.
async fn remotely(
    far: &Far<'_>,
    remote: &'static dyn Remote,
    id: EffectId,
) -> Result<Option<(String, String)>, Failure> {
    let (ctx, tenant) = (far.ctx, far.ctx.job.tenant);
    let Some(done) = begin_compensation(&ctx.pool, &ctx.job, id)
        .await
        .map_err(ledger)?
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
    let standing = connection.filter(|found| found.status != ConnectionStatus::Revoked);
    let refused = match standing {
        None => Some((
            "connection_revoked",
            "The account was disconnected.".to_owned(),
        )),
        Some(connection) => match remote.revert(far, &connection, &done).await {
            Ok(()) => None,
            Err(error) if worn_out(ctx, &error) => Some((error.code(), NOT_UNDONE.to_owned())),
            Err(error) => Some(halt(ctx, &connection, error).await?),
        },
    };
    let code = refused.as_ref().map(|(code, _)| *code);
    end_compensation(&ctx.pool, &ctx.job, id, code)
        .await
        .map_err(ledger)?;
    Ok(refused.map(|(code, message)| (code.to_owned(), message)))
}

/// Whether there is no use in coming back for it.
fn worn_out(ctx: &JobContext, error: &ProviderError) -> bool {
    let lost = matches!(
        error,
        ProviderError::Retryable { .. } | ProviderError::Unknown { .. }
    );
    lost && ctx.job.is_last_attempt()
}

const NOT_UNDONE: &str = "It could not be taken back, however often it was tried.";

struct Bound(&'static dyn LocalEffect);

#[async_trait]
impl Reversal for Bound {
    async fn revert(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal> {
        self.0.revert(conn, tenant, done).await
    }
}
