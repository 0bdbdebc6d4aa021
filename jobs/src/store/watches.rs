//! `mailbox_watches` and `watched_folders`: the leases of watched mailboxes, and how far their folders were read.
//!
//! Every write of a watching worker names its [`WatchLease`]: after another worker took over, it matches no row. Leases and
//! checks end by the database's clock, as those of jobs do: workers need not agree about the time.

pub mod folders;
pub mod readers;

use crate::domain::{ConnectionId, UserId, watch::FolderName};
use base::{TenantId, WorkerId};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use std::time::Duration;

/// The right of one worker to watch one mailbox, until it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchLease {
    pub tenant: TenantId,
    pub connection: ConnectionId,
    pub worker: WorkerId,
    pub epoch: i64,
    /// Emails that the server received before are not read.
    pub since: DateTime<Utc>,
}

/// A watch as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredWatch {
    pub since: DateTime<Utc>,
    pub failures: i32,
    pub last_error: Option<String>,
    pub next_check_at: DateTime<Utc>,
    /// Whether no worker has the mailbox although its check is due since three minutes: a lease, and a few polls.
    pub is_overdue: bool,
    pub created_at: DateTime<Utc>,
}

/// Watches a mailbox from then on, or changes since when. A worker that watches it loses its lease, because it knows the
/// earlier time.
pub async fn upsert(
    conn: &mut PgConnection,
    tenant: TenantId,
    connection: ConnectionId,
    since: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into mailbox_watches (tenant_id, connection_id, since) values ($1, $2, $3)
         on conflict (tenant_id, connection_id) do update
         set since = excluded.since, next_check_at = now(), failures = 0, last_error = null,
             lease_worker = null, lease_until = null, epoch = mailbox_watches.epoch + 1",
        tenant.0,
        connection.0,
        since,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets up to `limit` emails that were read longer ago than this, and a day more, because the clock of a mail server may
/// differ from ours. Watches do not read emails that old again.
pub async fn purge_fetched(
    conn: &mut PgConnection,
    days: i32,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from fetched_emails where ctid = any(array(
             select ctid from fetched_emails where fetched_at < now() - make_interval(days => $1 + 1)
             order by fetched_at limit $2 for update skip locked))",
        days,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Finds the user of the oldest account whose watch or backfill read an email with this content.
pub async fn reader_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    content_hash: &[u8; 32],
) -> Result<Option<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select c.user_id as "user: UserId"
        from connections c
        join fetched_emails f on f.tenant_id = c.tenant_id and f.connection_id = c.id and f.content_hash = $2
        join users u on u.tenant_id = c.tenant_id and u.id = c.user_id and u.status = 'active'
        where c.tenant_id = $1
        order by c.id
        limit 1
        "#,
        tenant.0,
        content_hash,
    )
    .fetch_optional(conn)
    .await
}

/// Ends a watch, its folders and cursors with it. What was read stays known. False if there is none.
pub async fn delete(
    conn: &mut PgConnection,
    tenant: TenantId,
    connection: ConnectionId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from mailbox_watches where tenant_id = $1 and connection_id = $2",
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
) -> Result<Option<StoredWatch>, sqlx::Error> {
    sqlx::query_as!(
        StoredWatch,
        r#"
        select since, failures, last_error, next_check_at, created_at,
            next_check_at < now() - interval '3 minutes' and coalesce(lease_until < now(), true) as "is_overdue!"
        from mailbox_watches where tenant_id = $1 and connection_id = $2
        "#,
        tenant.0,
        connection.0,
    )
    .fetch_optional(conn)
    .await
}

/// Takes the leases of up to `limit` mailboxes that are due and that nobody watches, the longest due first. Tenants that are
/// paused or closed are left out: nothing runs for them.
pub async fn claim(
    conn: &mut PgConnection,
    worker: WorkerId,
    lease: Duration,
    limit: i64,
) -> Result<Vec<WatchLease>, sqlx::Error> {
    sqlx::query_as!(
        WatchLease,
        r#"
        with due as (
            select w.tenant_id, w.connection_id
            from mailbox_watches w
            join connections c on c.tenant_id = w.tenant_id and c.id = w.connection_id
            join tenants t on t.id = w.tenant_id and t.status in ('trial', 'active')
            where w.next_check_at <= now() and (w.lease_until is null or w.lease_until < now())
                and c.status in ('active', 'degraded')
            order by w.next_check_at, w.connection_id
            limit $3
            for update of w skip locked
        )
        update mailbox_watches w
        set lease_worker = $1, lease_until = now() + make_interval(secs => $2), epoch = w.epoch + 1
        from due
        where w.tenant_id = due.tenant_id and w.connection_id = due.connection_id
        returning w.tenant_id as "tenant: TenantId", w.connection_id as "connection: ConnectionId",
            w.lease_worker as "worker!: WorkerId", w.epoch, w.since
        "#,
        worker.0,
        lease.as_secs_f64(),
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Extends the lease; inside a transaction, also keeps every other worker out until its end. False if it was lost, or if the
/// watch or its connection ended.
pub async fn renew<'c>(
    executor: impl PgExecutor<'c>,
    lease: &WatchLease,
    length: Duration,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update mailbox_watches set lease_until = now() + make_interval(secs => $5)
         where tenant_id = $1 and connection_id = $2 and lease_worker = $3 and epoch = $4
             and exists (select from connections c join tenants t on t.id = c.tenant_id
                 where c.tenant_id = $1 and c.id = $2 and c.status in ('active', 'degraded')
                     and t.status in ('trial', 'active'))",
        lease.tenant.0,
        lease.connection.0,
        lease.worker.0,
        lease.epoch,
        length.as_secs_f64(),
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records that a check of all folders succeeded.
pub async fn record_success<'c>(
    executor: impl PgExecutor<'c>,
    lease: &WatchLease,
    next_in: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update mailbox_watches set failures = 0, last_error = null, next_check_at = now() + make_interval(secs => $5)
         where tenant_id = $1 and connection_id = $2 and lease_worker = $3 and epoch = $4",
        lease.tenant.0,
        lease.connection.0,
        lease.worker.0,
        lease.epoch,
        next_in.as_secs_f64(),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Counts a failed check and gives the lease back; the failures so far, if the lease was still held. The caller sets when it
/// is tried again.
pub async fn record_failure(
    conn: &mut PgConnection,
    lease: &WatchLease,
    code: &str,
) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        "update mailbox_watches set failures = failures + 1, last_error = $5
         where tenant_id = $1 and connection_id = $2 and lease_worker = $3 and epoch = $4
         returning failures",
        lease.tenant.0,
        lease.connection.0,
        lease.worker.0,
        lease.epoch,
        code,
    )
    .fetch_optional(conn)
    .await
}

/// Gives the lease back; any worker may take it after `next_in`.
pub async fn release<'c>(
    executor: impl PgExecutor<'c>,
    lease: &WatchLease,
    next_in: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update mailbox_watches set lease_worker = null, lease_until = null, next_check_at = now() + make_interval(secs => $5)
         where tenant_id = $1 and connection_id = $2 and lease_worker = $3 and epoch = $4",
        lease.tenant.0,
        lease.connection.0,
        lease.worker.0,
        lease.epoch,
        next_in.as_secs_f64(),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The watched folders of all tenants, and the age in seconds of the oldest check among them. A folder that was never checked
/// counts from its creation; accounts that wait for a password and tenants that are paused are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Staleness {
    pub folders: i64,
    /// Of them, those that the server does not list. They have no age: only their users can bring them back.
    pub missing: i64,
    pub oldest_seconds: i64,
}

pub async fn staleness<'c>(executor: impl PgExecutor<'c>) -> Result<Staleness, sqlx::Error> {
    sqlx::query_as!(
        Staleness,
        r#"
        select count(*) as "folders!",
            count(*) filter (where f.last_error = 'folder_missing') as "missing!",
            coalesce(extract(epoch from now() - min(coalesce(f.checked_at, f.created_at))
                filter (where f.last_error is distinct from 'folder_missing')), 0)::bigint as "oldest_seconds!"
        from watched_folders f
        join connections c on c.tenant_id = f.tenant_id and c.id = f.connection_id
        join tenants t on t.id = f.tenant_id
        where c.status in ('active', 'degraded') and t.status in ('trial', 'active')
        "#
    )
    .fetch_one(executor)
    .await
}

/// Remembers emails by their content; returns those that were not known.
pub async fn remember(
    conn: &mut PgConnection,
    (tenant, connection): (TenantId, ConnectionId),
    emails: &[(crate::domain::MessageId, [u8; 32])],
) -> Result<Vec<crate::domain::MessageId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into fetched_emails (tenant_id, connection_id, message_id, content_hash)
        select $1, $2, * from unnest($3::uuid[], $4::bytea[])
        on conflict do nothing
        returning message_id as "id: crate::domain::MessageId"
        "#,
        tenant.0,
        connection.0,
        &emails.iter().map(|(id, _)| id.0).collect::<Vec<_>>(),
        &emails
            .iter()
            .map(|(_, hash)| hash.to_vec())
            .collect::<Vec<_>>(),
    )
    .fetch_all(conn)
    .await
}

/// The folders of a request that are not watched yet, and those to keep.
pub async fn set_folders(
    conn: &mut PgConnection,
    tenant: TenantId,
    connection: ConnectionId,
    names: &[FolderName],
) -> Result<(), sqlx::Error> {
    let names: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    sqlx::query!(
        "delete from watched_folders
         where tenant_id = $1 and connection_id = $2 and folder <> all ($3::text[])",
        tenant.0,
        connection.0,
        &names,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "insert into watched_folders (tenant_id, connection_id, folder)
         select $1, $2, * from unnest($3::text[])
         on conflict do nothing",
        tenant.0,
        connection.0,
        &names,
    )
    .execute(conn)
    .await?;
    Ok(())
}
