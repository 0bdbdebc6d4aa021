//! What a delivering job does with the database: reads the next events ([`next`]), moves the position ([`advance`]), and ends
//! a subscription whose webhook is gone ([`end_gone`]).

use super::tell_owner;
use crate::{
    commands::audit::JobAudit,
    domain::{
        AuditAction, ConnectionId, ResourceKind,
        subscription::{JobEnd, JobEndEvent, SubscriptionStatus},
    },
    kinds::is_announced,
    store::{
        audit::{self, AuditEntry, Position},
        connections::{self, StoredConnection},
        subscriptions,
    },
};
use base::{JobId, TenantId};
use queue::{Job, lease, view};
use sqlx::{PgConnection, PgPool};
use std::collections::HashMap;
use uuid::Uuid;

/// Entries that are read at once.
const ENTRIES: i64 = 200;

/// A part of the audit log: its wanted events in order, and where it ends.
#[derive(Clone, Debug)]
pub struct Batch {
    pub events: Vec<(Position, JobEnd)>,
    /// Of the last entry that was read; none if there is none.
    pub last: Option<Position>,
}

/// A webhook and the next events for it.
#[derive(Clone, Debug)]
pub struct NextDelivery {
    pub connection: StoredConnection,
    pub batch: Batch,
}

/// Whether the position moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advanced {
    Moved,
    /// The subscription was ended, suspended or rewound.
    Stopped,
    /// Another attempt runs.
    LeaseLost,
}

/// Reads the next events of the subscription that this job delivers. `None` if it no longer does.
pub async fn next(
    pool: &PgPool,
    job: &Job,
    connection: ConnectionId,
) -> Result<Option<NextDelivery>, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let subscription = subscriptions::find(&mut conn, job.lease.tenant, connection).await?;
    let Some(subscription) = subscription.filter(|found| {
        found.status == SubscriptionStatus::Active && found.delivery_job == Some(job.lease.job)
    }) else {
        return Ok(None);
    };
    let Some(connection) = connections::find(&mut conn, job.lease.tenant, connection).await? else {
        return Ok(None);
    };
    let (after, events) = (subscription.position, &subscription.events);
    let batch = read(&mut conn, job.lease.tenant, after, events).await?;
    Ok(Some(NextDelivery { connection, batch }))
}

/// Reads the log after a position and keeps the wanted events of jobs that are still stored. Deliveries are left out: they
/// would cause the next ones.
pub(super) async fn read(
    conn: &mut PgConnection,
    tenant: TenantId,
    after: Position,
    wanted: &[JobEndEvent],
) -> Result<Batch, sqlx::Error> {
    let entries = audit::list(conn, tenant, after, ENTRIES).await?;
    let ends: Vec<(&AuditEntry, JobEndEvent, JobId)> = entries
        .iter()
        .filter_map(|entry| {
            let event = JobEndEvent::parse(&entry.action).filter(|event| wanted.contains(event))?;
            let job = entry.resource_id.parse::<Uuid>().ok()?;
            Some((entry, event, JobId(job)))
        })
        .collect();
    let jobs: Vec<JobId> = ends.iter().map(|(_, _, job)| *job).collect();
    let kinds = if jobs.is_empty() {
        HashMap::new()
    } else {
        view::kinds(conn, tenant, &jobs).await?
    };
    let events = ends
        .into_iter()
        .filter_map(|(entry, event, job)| {
            let kind = kinds.get(&job).filter(|kind| is_announced(kind))?;
            let end = JobEnd {
                entry: entry.id,
                event,
                job,
                kind: kind.clone(),
                error_code: entry.error_code.clone(),
                at: entry.at,
            };
            Some((entry.position(), end))
        })
        .collect();
    Ok(Batch {
        events,
        last: entries.last().map(AuditEntry::position),
    })
}

/// Moves the position under the job's lease, so that of two attempts only the one that holds it moves anything.
pub async fn advance(
    pool: &PgPool,
    job: &Job,
    connection: ConnectionId,
    to: Position,
    delivered: i64,
) -> Result<Advanced, sqlx::Error> {
    let mut tx = pool.begin().await?;
    if !lease::lock_if_held(&mut tx, job.lease).await? {
        return Ok(Advanced::LeaseLost);
    }
    if !subscriptions::advance(&mut tx, job, connection, to, delivered).await? {
        return Ok(Advanced::Stopped);
    }
    tx.commit().await?;
    Ok(Advanced::Moved)
}

/// Ends the subscription of a webhook that answered that it is gone, and tells its owner.
pub async fn end_gone(
    pool: &PgPool,
    job: &Job,
    connection: &StoredConnection,
    code: &'static str,
) -> Result<(), sqlx::Error> {
    const TITLE: &str = "A webhook is gone: its subscription has ended";
    const RATIONALE: &str = "The receiver answered with status 410. Subscribe the webhook again if this was a mistake: it continues where it stopped, with the events of jobs that are still stored.";
    let mut tx = pool.begin().await?;
    if !lease::lock_if_held(&mut tx, job.lease).await? {
        return Ok(());
    }
    let (tenant, id, ended) = (job.lease.tenant, connection.id, SubscriptionStatus::Ended);
    if subscriptions::stop(&mut tx, tenant, id, ended, Some(code)).await? {
        let about = (id, job.lease.job);
        tell_owner(&mut tx, tenant, connection.user, about, (TITLE, RATIONALE)).await?;
        let entry = job
            .audit(AuditAction::SubscriptionEnded, ResourceKind::Connection, id)
            .failed(code);
        audit::insert(&mut tx, &[entry]).await?;
    }
    tx.commit().await
}
