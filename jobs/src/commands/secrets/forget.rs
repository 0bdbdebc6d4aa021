//! Giving up what a lost key seals: [`forget_key`]. Without it no process would start, and nobody could enter anything anew.

use super::BATCH;
use crate::{
    commands::sessions::signals::announce_revoked,
    domain::{Actor, AuditAction, NewAuditEntry, ResourceKind, session::RevokeReason},
    store::{audit, connections, llm_captures, second_factors, sessions},
};
use queue::signals::notifier::Notifier;
use sqlx::PgPool;

/// Why a connection has no secret.
const KEY_LOST: &str = "key_lost";

/// What was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// They wait for their users to enter the secrets again.
    pub connections: usize,
    pub second_factors: usize,
    /// What models were asked and answered.
    pub captures: u64,
}

/// Erases the secrets that this key seals and asks for them anew, deletes the exchanges with models that it seals, and removes the second factors, whose users' sessions end:
/// what the factor protected is open to a thief who knows the password.
///
/// # Errors
/// If the database refuses; batches that were committed stay.
pub async fn forget_key(
    pool: &PgPool,
    notifier: &Notifier,
    id: &str,
) -> Result<Forgotten, sqlx::Error> {
    let mut forgotten = Forgotten::default();
    loop {
        let mut conn = pool.acquire().await?;
        let deleted = llm_captures::delete_sealed_by(&mut conn, id, BATCH).await?;
        if deleted == 0 {
            break;
        }
        forgotten.captures += deleted;
    }
    loop {
        let mut tx = pool.begin().await?;
        let lost = connections::erase_sealed_by(&mut tx, id, KEY_LOST, BATCH).await?;
        if lost.is_empty() {
            break;
        }
        let entries: Vec<_> = lost
            .iter()
            .map(|&(tenant, connection)| {
                let action = AuditAction::ConnectionRefused;
                let kind = ResourceKind::Connection;
                NewAuditEntry::new(tenant, Actor::Cli, action, kind, connection).failed(KEY_LOST)
            })
            .collect();
        audit::insert(&mut tx, &entries).await?;
        tx.commit().await?;
        forgotten.connections += lost.len();
    }
    loop {
        let mut tx = pool.begin().await?;
        let lost = second_factors::delete_sealed_by(&mut tx, id, BATCH).await?;
        if lost.is_empty() {
            return Ok(forgotten);
        }
        let (mut entries, mut ended) = (Vec::new(), Vec::new());
        for &(tenant, user) in &lost {
            let reason = RevokeReason::SecondFactor;
            ended.extend(sessions::revoke_all(&mut tx, tenant, user, None, reason).await?);
            let action = AuditAction::SecondFactorReset;
            let kind = ResourceKind::User;
            entries.push(NewAuditEntry::new(tenant, Actor::Cli, action, kind, user));
        }
        audit::insert(&mut tx, &entries).await?;
        tx.commit().await?;
        for session in ended {
            announce_revoked(notifier, session);
        }
        forgotten.second_factors += lost.len();
    }
}
