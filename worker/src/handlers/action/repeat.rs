//! An action that was executed before. One that was undone is executed again: [`key_after_undone`]. A change of a mailbox or
//! of a calendar also if it is no longer in place: [`key_of_repeat`]. Label, unlabel, label is three changes although the first
//! and the third are equal, and an event that its user deleted is created again; whether a change is still in place is
//! known to the provider only.

use super::remote::look_up;
use crate::effects::{Lookup, ProviderContext, RemoteEffect};
use crate::handlers::unavailable;
use jobs::{
    domain::{
        action::canonical_sha256,
        effect::{EffectStatus, NewEffect},
    },
    store::effects::{StoredEffect, by_key::find_by_key},
};
use queue::{Failure, runtime::handler::JobContext};
use serde_json::json;

/// Returns the key for this change: its own, or one that follows from the last equal change if that is no longer in place.
///
/// Two jobs that repeat the same change get the same key, so that it is made once.
pub(super) async fn key_of_repeat(
    providers: &ProviderContext<'_>,
    effect: &'static dyn RemoteEffect,
    new: &NewEffect,
) -> Result<[u8; 32], Failure> {
    let mut key = new.key;
    loop {
        let Some(last) = find(providers.ctx, &key).await? else {
            return Ok(key);
        };
        let next = key_after(&last);
        let repeats = match last.status {
            EffectStatus::Compensated => true,
            // Made by an earlier attempt of this job, which may have to wait for its other effects.
            EffectStatus::Succeeded if last.job == providers.ctx.job.lease.job => false,
            EffectStatus::Succeeded => {
                find(providers.ctx, &next).await?.is_some()
                    || matches!(look_up(providers, effect, &last).await?, Lookup::NotDone)
            }
            EffectStatus::Intent
            | EffectStatus::InFlight
            | EffectStatus::Bounced
            | EffectStatus::FailedPermanent
            | EffectStatus::Retryable
            | EffectStatus::Unknown
            | EffectStatus::Reconciling
            | EffectStatus::NeedsHuman
            | EffectStatus::Compensating
            | EffectStatus::CompensationFailed => false,
        };
        if !repeats {
            return Ok(key);
        }
        key = next;
    }
}

/// Returns the key of this effect, or one that follows from the last equal effect if that was undone.
pub(super) async fn key_after_undone(
    ctx: &JobContext,
    new: &NewEffect,
) -> Result<[u8; 32], Failure> {
    let mut key = new.key;
    while let Some(last) = find(ctx, &key).await?
        && last.status == EffectStatus::Compensated
    {
        key = key_after(&last);
    }
    Ok(key)
}

fn key_after(last: &StoredEffect) -> [u8; 32] {
    canonical_sha256(&json!({ "repeats": last.id }))
}

async fn find(ctx: &JobContext, key: &[u8; 32]) -> Result<Option<StoredEffect>, Failure> {
    let read = async {
        let mut conn = ctx.pool.acquire().await?;
        find_by_key(&mut conn, ctx.job.lease.tenant, key).await
    };
    read.await.map_err(|error| unavailable(&error))
}
