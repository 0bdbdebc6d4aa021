//! The last look before something leaves the house: [`begin_sending`] asks for the tenant's switch, the connection and its
//! rate in the transaction that says `in_flight`.

use super::{LedgerError, held, holder, record};
use crate::{
    domain::{
        Action, ConnectionId, EffectId,
        action::ActionType,
        connection::ConnectionStatus,
        effect::{EffectStatus, EffectStep},
    },
    store::{effects, tenants},
};
use chrono::{DateTime, Utc};
use queue::Job;
use sqlx::PgPool;

/// Whether it may leave now.
#[derive(Clone, Debug, PartialEq)]
pub enum Sending {
    /// These bytes, which were rendered when it was first meant to be done.
    Go(Vec<u8>),
    /// Not before then; nothing was begun.
    Wait {
        until: DateTime<Utc>,
        code: &'static str,
    },
    /// Never by this connection.
    ConnectionGone,
}

/// Commits that it is about to be done by this connection; its hourly rate is one of mails. Two that are begun at once are counted one after the other.
///
/// # Errors
/// [`LedgerError::NotHeld`] if the lease is lost or the effect is not this attempt's to begin: then do nothing.
pub async fn begin_sending(
    pool: &PgPool,
    job: &Job,
    (id, kind): (EffectId, ActionType),
    connection: ConnectionId,
) -> Result<Sending, LedgerError> {
    let mut tx = held(pool, job).await?;
    let Some(line) = effects::lock_line(&mut tx, job.tenant, connection).await? else {
        return Ok(Sending::ConnectionGone);
    };
    let wait = |until, code| Ok(Sending::Wait { until, code });
    if tenants::sending_disabled(&mut tx, job.tenant).await? {
        return wait(line.in_a_minute, "sending_disabled");
    }
    match ConnectionStatus::parse(&line.status) {
        Some(ConnectionStatus::Active | ConnectionStatus::Degraded) => {}
        Some(ConnectionStatus::ReauthRequired) => return wait(line.in_a_minute, "reauth_required"),
        Some(ConnectionStatus::Revoked) | None => return Ok(Sending::ConnectionGone),
    }
    if kind.spec().executor.is_message()
        && let Some(until) =
            effects::full_until(&mut tx, job.tenant, connection, line.sends_per_hour).await?
    {
        return wait(until, "sending_rate");
    }
    let from = EffectStatus::Intent;
    let to = from.after(EffectStep::Begin)?;
    let Some(rendered) = effects::take_off(&mut tx, holder(job), id, connection).await? else {
        return Err(LedgerError::NotHeld);
    };
    record(&mut tx, job, Action::EFFECT_BEGUN, id, to, None).await?;
    tx.commit().await?;
    Ok(Sending::Go(rendered))
}
