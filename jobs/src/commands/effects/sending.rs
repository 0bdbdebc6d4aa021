//! The last check before an external effect: [`begin_sending`] checks the tenant's switches, the user, the connection, its
//! rate and other replies to the same email in the transaction that marks the effect as in flight.

use super::{LedgerError, held, holder, record};
use crate::{
    domain::{
        AuditAction, ConnectionId, EffectId,
        action::ActionType,
        connection::ConnectionStatus,
        effect::{EffectStatus, EffectStep},
        tenant::{TenantStatus, UserStatus},
    },
    store::{drafts::replies, effects, tenants, users},
};
use chrono::{DateTime, Utc};
use queue::Job;
use sqlx::PgPool;

/// The code of an effect that waits for its user, who is suspended.
pub const USER_SUSPENDED: &str = "user_suspended";

/// Whether the effect may begin now.
#[derive(Clone, Debug, PartialEq)]
pub enum Sending {
    /// Send these bytes, which were rendered by the first attempt.
    Go(Vec<u8>),
    /// Not before then; nothing was begun.
    Wait {
        until: DateTime<Utc>,
        code: &'static str,
    },
    /// Never over this connection.
    ConnectionGone,
    /// Never: another reply to the same email has begun.
    OtherReply,
}

/// Commits that the effect is in flight over this connection. Messages count against its hourly limit; two that begin
/// at once are counted one after the other.
///
/// # Errors
/// [`LedgerError::NotHeld`] if the lease is lost or another attempt has the effect: then do nothing.
pub async fn begin_sending(
    pool: &PgPool,
    job: &Job,
    (id, kind): (EffectId, ActionType),
    connection: ConnectionId,
) -> Result<Sending, LedgerError> {
    let mut tx = held(pool, job).await?;
    let Some(locked) = effects::lock_connection(&mut tx, job.lease.tenant, connection).await?
    else {
        return Ok(Sending::ConnectionGone);
    };
    let wait = |until, code| Ok(Sending::Wait { until, code });
    let switches = tenants::lock_switches(&mut tx, job.lease.tenant).await?;
    match switches.status {
        TenantStatus::Trial | TenantStatus::Active => {}
        TenantStatus::Paused | TenantStatus::Closed => {
            return wait(locked.in_a_minute, "tenant_paused");
        }
    }
    if switches.sending_disabled {
        return wait(locked.in_a_minute, "sending_disabled");
    }
    // Users are suspended under the lock of their tenant: after the suspension has returned, nothing more begins.
    match users::get(&mut tx, job.lease.tenant, locked.user).await? {
        Some(user) if user.status == UserStatus::Active => {}
        Some(_) => return wait(locked.in_a_minute, USER_SUSPENDED),
        None => return Ok(Sending::ConnectionGone),
    }
    match locked.status {
        ConnectionStatus::Active | ConnectionStatus::Degraded => {}
        ConnectionStatus::ReauthRequired => {
            return wait(locked.in_a_minute, "reauth_required");
        }
        ConnectionStatus::Revoked => return Ok(Sending::ConnectionGone),
    }
    if kind.spec().executor.is_message() {
        let tenant = job.lease.tenant;
        if let Some(draft) = replies::lock(&mut tx, tenant, id).await?
            && replies::has_other(&mut tx, tenant, draft).await?
        {
            return Ok(Sending::OtherReply);
        }
        let limit = locked.sends_per_hour;
        if let Some(until) = effects::limited_until(&mut tx, tenant, connection, limit).await? {
            return wait(until, "sending_rate");
        }
    }
    let from = EffectStatus::Intent;
    let to = from.after(EffectStep::Begin)?;
    let Some(rendered) = effects::begin(&mut tx, holder(job), id, connection).await? else {
        return Err(LedgerError::NotHeld);
    };
    record(&mut tx, job, AuditAction::EffectBegun, id, to, None).await?;
    tx.commit().await?;
    Ok(Sending::Go(rendered))
}
