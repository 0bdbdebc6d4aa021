//! What was done for an approval, taken back: the latest effect first.

use super::carry_out::ledger;
use super::load::not_begun;
use crate::effects::{LocalEffect, Way, way_of};
use crate::handler::JobContext;
use crate::handlers::unavailable;
use async_trait::async_trait;
use jobs::{
    commands::{
        carry_out::{Ending, begin_undo},
        effect_ledger::local::{Refusal, Reversal, take_back as take_back_locally},
    },
    domain::{
        ApprovalId, TenantId,
        action::ActionType,
        effect::EffectStatus,
        gate::{Gate, base_risk},
    },
    kinds::action::{ActionError, ActionOutcome, ActionResult},
    queue::Failure,
    store::effects::{self, StoredEffect},
};
use sqlx::PgConnection;

/// Takes back what can be, and says what became of each effect.
pub(super) async fn take_back(
    ctx: &JobContext,
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
        let Some(outcome) = one(ctx, index, approval, effect).await? else {
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
    ctx: &JobContext,
    index: usize,
    approval: ApprovalId,
    effect: &StoredEffect,
) -> Result<Option<ActionOutcome>, Failure> {
    let standing = matches!(
        effect.status,
        EffectStatus::Succeeded | EffectStatus::Compensated
    );
    let (Some(kind), true) = (ActionType::parse(&effect.kind), standing) else {
        return Ok(None);
    };
    let outcome = ActionOutcome {
        index,
        r#type: kind,
        risk: base_risk(kind),
        gate: Gate::Approval,
        result: ActionResult::Undone,
        effect_id: Some(effect.id),
        approval_id: Some(approval),
        receipt: None,
        error: None,
    };
    let refused = match way_of(kind).filter(|_| kind.is_compensable()) {
        // What has left the house is not called back.
        None | Some(Way::Remote(_)) => Some((
            "not_compensable".to_owned(),
            "This cannot be taken back.".to_owned(),
        )),
        Some(Way::Local(local)) => {
            let reversal = Bound(local);
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
