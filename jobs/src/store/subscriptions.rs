//! `subscriptions`: which events of jobs a webhook gets, and up to where in the audit log it has them.

use crate::domain::{
    ConnectionId, UserId,
    subscription::{JobEndEvent, SubscriptionStatus},
};
use crate::store::audit::Position;
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use queue::Job;
use sqlx::{PgConnection, PgExecutor};

/// A stored subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSubscription {
    pub connection: ConnectionId,
    pub events: Vec<JobEndEvent>,
    pub status: SubscriptionStatus,
    /// Why it is not active, or none.
    pub last_error: Option<String>,
    /// What stands up to here was delivered, or is not wanted.
    pub position: Position,
    /// The job that delivers, or did so last.
    pub delivery_job: Option<JobId>,
    pub delivered: i64,
    pub last_delivered_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

struct Row {
    connection: ConnectionId,
    events: Vec<String>,
    status: SubscriptionStatus,
    last_error: Option<String>,
    position_xid: i64,
    position_seq: i64,
    delivery_job: Option<JobId>,
    delivered: i64,
    last_delivered_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for StoredSubscription {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            connection: row.connection,
            events: known(&row.events)?,
            status: row.status,
            last_error: row.last_error,
            position: Position {
                xid: row.position_xid,
                seq: row.position_seq,
            },
            delivery_job: row.delivery_job,
            delivered: row.delivered,
            last_delivered_at: row.last_delivered_at,
            created_at: row.created_at,
        })
    }
}

fn known(events: &[String]) -> Result<Vec<JobEndEvent>, sqlx::Error> {
    let known = |event: &String| {
        JobEndEvent::parse(event)
            .ok_or_else(|| sqlx::Error::Decode(format!("unknown event {event}").into()))
    };
    events.iter().map(known).collect()
}

/// Subscribes the connection from now on, or changes its events; one that was not active continues where it stopped.
pub async fn put(
    conn: &mut PgConnection,
    tenant: TenantId,
    connection: ConnectionId,
    events: &[JobEndEvent],
) -> Result<(), sqlx::Error> {
    let events: Vec<String> = events.iter().map(ToString::to_string).collect();
    // Behind the oldest transaction that is open nothing is added to the log: what commits from now on stands after it.
    sqlx::query!(
        "insert into subscriptions (tenant_id, connection_id, events, position_xid, position_seq)
         values ($1, $2, $3, pg_snapshot_xmin(pg_current_snapshot()), 0)
         on conflict (tenant_id, connection_id) do update
         set events = excluded.events, status = 'active', last_error = null, updated_at = now(),
             delivery_job_id = case when subscriptions.status = 'active' then subscriptions.delivery_job_id end",
        tenant.0,
        connection.0,
        &events,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Delivers again what stands after this position. A job that delivers at the moment moves no position any more.
pub async fn rewind(
    conn: &mut PgConnection,
    tenant: TenantId,
    connection: ConnectionId,
    position: Position,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update subscriptions
         set position_xid = $3::bigint::text::xid8, position_seq = $4, status = 'active', last_error = null,
             delivery_job_id = null, updated_at = now()
         where tenant_id = $1 and connection_id = $2",
        tenant.0,
        connection.0,
        position.xid,
        position.seq,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn delete(
    conn: &mut PgConnection,
    tenant: TenantId,
    connection: ConnectionId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from subscriptions where tenant_id = $1 and connection_id = $2",
        tenant.0,
        connection.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    connection: ConnectionId,
) -> Result<Option<StoredSubscription>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select connection_id as "connection: ConnectionId", events, status as "status: SubscriptionStatus", last_error,
            position_xid::text::bigint as "position_xid!", position_seq, delivery_job_id as "delivery_job: JobId",
            delivered, last_delivered_at, created_at
        from subscriptions where tenant_id = $1 and connection_id = $2
        "#,
        tenant.0,
        connection.0,
    )
    .fetch_optional(conn)
    .await?;
    row.map(StoredSubscription::try_from).transpose()
}

/// Whether there is an active subscription at all.
pub async fn any_active<'c>(executor: impl PgExecutor<'c>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from subscriptions where status = 'active') as "any!""#
    )
    .fetch_one(executor)
    .await
}

/// Counts the subscriptions of all tenants that are not closed, per status; those without any are left out.
///
/// # Errors
/// When the database does not answer, or contains a text that this version does not know.
pub async fn count<'c>(
    executor: impl PgExecutor<'c>,
) -> Result<Vec<(SubscriptionStatus, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select s.status as "status: SubscriptionStatus", count(*) as "count!"
        from subscriptions s
        join tenants t on t.id = s.tenant_id
        where t.status <> 'closed'
        group by s.status
        "#
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.status, row.count))
        .collect())
}

/// Locks up to `limit` active subscriptions after which the log goes on and for which no job delivers. Their connection is
/// not revoked, and their tenant is not paused.
pub async fn lock_due(
    conn: &mut PgConnection,
    limit: i64,
) -> Result<Vec<(TenantId, StoredSubscription)>, sqlx::Error> {
    // An `exists` would become a join that reads the log from its beginning.
    let rows = sqlx::query!(
        r#"
        select s.tenant_id as "tenant: TenantId", s.connection_id as "connection: ConnectionId", s.events,
            s.status as "status: SubscriptionStatus", s.last_error, s.position_xid::text::bigint as "position_xid!", s.position_seq,
            s.delivery_job_id as "delivery_job: JobId", s.delivered, s.last_delivered_at, s.created_at
        from subscriptions s
        join connections c on c.tenant_id = s.tenant_id and c.id = s.connection_id
        join users u on u.tenant_id = c.tenant_id and u.id = c.user_id and u.status = 'active'
        join tenants t on t.id = s.tenant_id
        cross join lateral (
            (select from audit_entries e
             where e.tenant_id = s.tenant_id and (e.xid, e.seq) > (s.position_xid, s.position_seq)
                and e.xid < pg_snapshot_xmin(pg_current_snapshot())
             order by e.xid, e.seq limit 1)
            union all
            (select from audit_batches b
             where b.tenant_id = s.tenant_id and (b.xid, b.seq) > (s.position_xid, s.position_seq - 1000)
                and (b.xid, b.seq + b.entries - 1) > (s.position_xid, s.position_seq)
                and b.xid < pg_snapshot_xmin(pg_current_snapshot())
             order by b.xid, b.seq limit 1)
            limit 1
        ) next
        where s.status = 'active' and c.status <> 'revoked' and t.status in ('trial', 'active')
            and not exists (select from jobs j where j.tenant_id = s.tenant_id and j.id = s.delivery_job_id)
        order by s.tenant_id, s.connection_id
        limit $1
        for update of s skip locked
        "#,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let stored = Row {
                connection: row.connection,
                events: row.events,
                status: row.status,
                last_error: row.last_error,
                position_xid: row.position_xid,
                position_seq: row.position_seq,
                delivery_job: row.delivery_job,
                delivered: row.delivered,
                last_delivered_at: row.last_delivered_at,
                created_at: row.created_at,
            };
            Ok((row.tenant, stored.try_into()?))
        })
        .collect()
}

/// Names the job that delivers from now on. The caller holds the row.
pub async fn assign(
    conn: &mut PgConnection,
    tenant: TenantId,
    connection: ConnectionId,
    job: JobId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update subscriptions set delivery_job_id = $3 where tenant_id = $1 and connection_id = $2",
        tenant.0,
        connection.0,
        job.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Moves the position over entries that are not wanted. The caller holds the row.
pub async fn skip(
    conn: &mut PgConnection,
    tenant: TenantId,
    connection: ConnectionId,
    to: Position,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update subscriptions set position_xid = $3::bigint::text::xid8, position_seq = $4
         where tenant_id = $1 and connection_id = $2",
        tenant.0,
        connection.0,
        to.xid,
        to.seq,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Moves the position after `delivered` events were delivered. False if another job delivers by now, or none: then nothing
/// was moved. The caller's transaction holds the job.
pub async fn advance(
    conn: &mut PgConnection,
    job: &Job,
    connection: ConnectionId,
    to: Position,
    delivered: i64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update subscriptions
         set position_xid = $3::bigint::text::xid8, position_seq = $4, delivered = delivered + $5,
             last_delivered_at = case when $5 > 0 then now() else last_delivered_at end
         where tenant_id = $1 and connection_id = $2 and delivery_job_id = $6 and status = 'active'",
        job.lease.tenant.0,
        connection.0,
        to.xid,
        to.seq,
        delivered,
        job.lease.job.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// An active subscription whose job was given up.
#[derive(Clone, Debug)]
pub struct Undeliverable {
    pub tenant: TenantId,
    pub connection: ConnectionId,
    /// Whose connection it is.
    pub user: UserId,
    pub job: JobId,
    pub error_code: Option<String>,
}

/// Locks up to `limit` active subscriptions whose job was discarded.
pub async fn lock_undeliverable(
    conn: &mut PgConnection,
    limit: i64,
) -> Result<Vec<Undeliverable>, sqlx::Error> {
    sqlx::query_as!(
        Undeliverable,
        r#"
        select s.tenant_id as "tenant: TenantId", s.connection_id as "connection: ConnectionId",
            c.user_id as "user: UserId", j.id as "job: JobId", j.error_code
        from subscriptions s
        join connections c on c.tenant_id = s.tenant_id and c.id = s.connection_id
        join finished_jobs j on j.tenant_id = s.tenant_id and j.id = s.delivery_job_id
        where s.status = 'active' and j.state = 'discarded'
        order by s.tenant_id, s.connection_id
        limit $1
        for update of s skip locked
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Ends or suspends an active subscription; false if it was not active.
pub async fn stop(
    conn: &mut PgConnection,
    tenant: TenantId,
    connection: ConnectionId,
    status: SubscriptionStatus,
    code: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update subscriptions set status = $3, last_error = $4, delivery_job_id = null, updated_at = now()
         where tenant_id = $1 and connection_id = $2 and status = 'active'",
        tenant.0,
        connection.0,
        status.as_str(),
        code,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
