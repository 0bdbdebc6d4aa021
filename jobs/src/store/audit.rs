//! `audit_entries` and `audit_batches`: inserted and read as one log; no function of this crate changes them.
//!
//! Start with [`insert`]. Entries about a change are written in its transaction; entries about a refusal on a
//! connection of their own, because the refused request's transaction is rolled back.

pub mod client_ids;
mod successes;

pub use crate::domain::audit::NewAuditEntry;
use crate::domain::{AuditEntryId, ResourceKind};
use base::TenantId;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use std::fmt;
use successes::request_hash;
pub use successes::settle_succeeded;
use uuid::Uuid;

/// A stored entry.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    pub id: AuditEntryId,
    pub at: DateTime<Utc>,
    pub actor_kind: String,
    pub actor_id: Option<Uuid>,
    pub session_id: Option<Uuid>,
    pub action: String,
    pub resource_kind: String,
    pub resource_id: String,
    pub request_id: Option<String>,
    pub trace_id: Option<String>,
    pub job_id: Option<Uuid>,
    pub attempt: Option<i32>,
    pub outcome: String,
    pub dry_run: bool,
    pub error_code: Option<String>,
    pub detail: Value,
    /// The transaction that wrote it.
    pub xid: i64,
    /// Its number within the transaction.
    pub seq: i64,
}

/// A place in a tenant's log, in the order of commits. Set by the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub xid: i64,
    pub seq: i64,
}

impl Position {
    /// Before the first entry.
    pub const START: Self = Self { xid: 0, seq: 0 };

    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse().ok().filter(|_| plain)
        };
        let (xid, seq) = text.split_once('.')?;
        Some(Self {
            xid: number(xid)?,
            seq: number(seq)?,
        })
    }

    /// Packs it into the id of a cursor.
    pub fn to_uuid(self) -> Uuid {
        Uuid::from_u64_pair(self.xid.cast_unsigned(), self.seq.cast_unsigned())
    }

    /// Unpacks it; places that cannot be are before the first entry.
    pub fn from_uuid(id: Uuid) -> Self {
        let (xid, seq) = id.as_u64_pair();
        match (i64::try_from(xid), i64::try_from(seq)) {
            (Ok(xid), Ok(seq)) => Self { xid, seq },
            _ => Self::START,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.xid, self.seq)
    }
}

impl AuditEntry {
    pub const fn position(&self) -> Position {
        Position {
            xid: self.xid,
            seq: self.seq,
        }
    }
}

/// Inserts entries in their order, in one statement, and beside them the ids that clients gave their requests. The database makes
/// the entries' ids, times and places.
///
/// # Errors
/// When the database refuses. The caller's transaction is then lost on purpose: nothing happens unrecorded.
pub async fn insert(conn: &mut PgConnection, entries: &[NewAuditEntry]) -> Result<(), sqlx::Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let column = |get: fn(&NewAuditEntry) -> String| entries.iter().map(get).collect::<Vec<_>>();
    let optional =
        |get: fn(&NewAuditEntry) -> Option<String>| entries.iter().map(get).collect::<Vec<_>>();
    let optional_id =
        |get: fn(&NewAuditEntry) -> Option<Uuid>| entries.iter().map(get).collect::<Vec<_>>();
    let tenants: Vec<Uuid> = entries.iter().map(|e| e.tenant.0).collect();
    let attempts: Vec<Option<i32>> = entries.iter().map(|e| e.attempt.map(|a| a.1)).collect();
    let dry_runs: Vec<bool> = entries.iter().map(|e| e.dry_run).collect();
    let details: Vec<Value> = entries
        .iter()
        .map(|e| e.detail.clone().into_json())
        .collect();
    sqlx::query!(
        r#"
        with named as (
            insert into client_request_ids (tenant_id, request_id, client_request_id, actor_id)
            select distinct on (tenant_id, request_id) tenant_id, request_id, client_request_id, actor_id
            from unnest($1::uuid[], $7::text[], $16::text[], $3::uuid[])
                as given (tenant_id, request_id, client_request_id, actor_id)
            where request_id is not null and client_request_id is not null
        )
        insert into audit_entries (
            tenant_id, actor_kind, actor_id, session_id, action, resource_kind, resource_id,
            request_id, trace_id, job_id, attempt, outcome, dry_run, error_code, detail)
        select *
        from unnest(
            $1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $8::text[],
            $7::text[], $9::text[], $10::uuid[], $11::int[], $12::text[], $13::bool[], $14::text[], $15::jsonb[])
        "#,
        &tenants,
        &column(|e| e.actor.kind().to_owned()),
        &optional_id(|e| e.actor.id()) as &[Option<Uuid>],
        &optional_id(|e| e.actor.session()) as &[Option<Uuid>],
        &column(|e| e.action.as_str().to_owned()),
        &column(|e| e.resource.0.as_str().to_owned()),
        &optional(|e| e.request_id.clone()) as &[Option<String>],
        &optional(resource_id) as &[Option<String>],
        &optional(|e| e.trace_id.clone()) as &[Option<String>],
        &optional_id(|e| e.attempt.map(|a| a.0.0)) as &[Option<Uuid>],
        &attempts as &[Option<i32>],
        &column(|e| e.outcome.as_str().to_owned()),
        &dry_runs,
        &optional(|e| e.error_code.clone()) as &[Option<String>],
        &details,
        &optional(|e| e.client_request_id.clone()) as &[Option<String>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An attempt names its job once: half of all entries are about a job, and the log is the largest table.
fn resource_id(entry: &NewAuditEntry) -> Option<String> {
    let (kind, id) = &entry.resource;
    let is_job =
        *kind == ResourceKind::Job && entry.attempt.is_some_and(|(job, _)| job.to_string() == *id);
    (!is_job).then(|| id.clone())
}

/// Lists a tenant's entries in the order of their commits, after `after`, at most `limit`. Entries of transactions that
/// began while an older one is still open follow later, so that a reader who continues misses none.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    after: Position,
    limit: i64,
) -> Result<Vec<AuditEntry>, sqlx::Error> {
    list_until(conn, tenant, after, None, limit).await
}

/// As [`list`], and none after `until`.
pub async fn list_until(
    conn: &mut PgConnection,
    tenant: TenantId,
    after: Position,
    until: Option<Position>,
    limit: i64,
) -> Result<Vec<AuditEntry>, sqlx::Error> {
    // Of the batches only those that can have a place on the page: no more rows than the page has entries, and none behind
    // those whose entries fill it. The first of them may end before the page begins.
    sqlx::query_as!(
        AuditEntry,
        r#"
        select id as "id!: AuditEntryId", at as "at!", actor_kind as "actor_kind!", actor_id, session_id, action as "action!",
            resource_kind as "resource_kind!", coalesce(resource_id, job_id::text) as "resource_id!", request_id, trace_id,
            job_id, attempt, outcome as "outcome!", dry_run as "dry_run!", error_code, detail as "detail!",
            xid::text::bigint as "xid!", seq as "seq!"
        from (
            (select * from audit_entries
             where tenant_id = $1 and (xid, seq) > ($2::bigint::text::xid8, $3::bigint)
                 and ($4::bigint is null or (xid, seq) <= ($4::bigint::text::xid8, $5::bigint))
                 and xid < pg_snapshot_xmin(pg_current_snapshot())
             order by xid, seq
             limit $6)
            union all
            select entry.*
            from (
                select xid, seq, sum(entries) over (order by xid, seq) - entries as entries_before
                from audit_batches
                where tenant_id = $1 and (xid, seq) > ($2::bigint::text::xid8, $3::bigint - 1000)
                    and ($4::bigint is null or (xid, seq) <= ($4::bigint::text::xid8, $5::bigint))
                    and xid < pg_snapshot_xmin(pg_current_snapshot())
                order by xid, seq
                limit $6 + 1
            ) page
            join audit_batches batch on batch.tenant_id = $1 and batch.xid = page.xid and batch.seq = page.seq
            cross join lateral audit_entries_of(batch) entry
            where page.entries_before < $6 + 1000
        ) log
        where (xid, seq) > ($2::bigint::text::xid8, $3::bigint)
            and ($4::bigint is null or (xid, seq) <= ($4::bigint::text::xid8, $5::bigint))
        order by xid, seq
        limit $6
        "#,
        tenant.0,
        after.xid,
        after.seq,
        until.map(|until| until.xid),
        until.map(|until| until.seq),
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Whether a batch with entries after `after` and up to `until` has other hashes than its request ids do. No seal covers them,
/// and a look-up by request id finds only what they name.
pub async fn has_wrong_hashes(
    conn: &mut PgConnection,
    tenant: TenantId,
    after: Position,
    until: Position,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from audit_batches
            where tenant_id = $1 and (xid, seq) > ($2::bigint::text::xid8, $3::bigint - 1000)
                and (xid, seq) <= ($4::bigint::text::xid8, $5::bigint)
                and request_hashes is distinct from case when request_ids is not null then array(
                    select ('x' || left(encode(sha256(convert_to(id, 'UTF8')), 'hex'), 8))::bit(32)::int
                    from unnest(request_ids) with ordinality as request (id, nth)
                    order by nth) end
        ) as "has!"
        "#,
        tenant.0,
        after.xid,
        after.seq,
        until.xid,
        until.seq,
    )
    .fetch_one(conn)
    .await
}

/// Returns the transaction from which on entries may still be added: readers see those of older ones.
pub async fn watermark(conn: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "xid!""#)
        .fetch_one(conn)
        .await
}

/// Finds a position before the tenant's entries of this moment and later. Begins at the newest seal that is older, so that it
/// passes few entries.
pub async fn before(
    conn: &mut PgConnection,
    tenant: TenantId,
    moment: DateTime<Utc>,
) -> Result<Position, sqlx::Error> {
    let found = sqlx::query_as!(
        Position,
        r#"
        with sealed as (
            select last_xid, last_seq from audit_seals
            where tenant_id = $1 and sealed_at <= $2
            order by position desc limit 1
        )
        select found.xid::text::bigint as "xid!", found.seq - 1 as "seq!"
        from (
            (select e.xid, e.seq from audit_entries e
             where e.tenant_id = $1 and e.at >= $2
                and (e.xid, e.seq) > (coalesce((select last_xid from sealed), '0'::xid8), coalesce((select last_seq from sealed), 0))
             order by e.xid, e.seq limit 1)
            union all
            (select b.xid, b.seq from audit_batches b
             where b.tenant_id = $1 and b.at >= $2
                and (b.xid, b.seq) > (coalesce((select last_xid from sealed), '0'::xid8), coalesce((select last_seq from sealed), 0) - 1000)
             order by b.xid, b.seq limit 1)
        ) found
        order by found.xid, found.seq
        limit 1
        "#,
        tenant.0,
        moment,
    )
    .fetch_optional(&mut *conn)
    .await?;
    match found {
        Some(position) => Ok(position),
        // Nothing is that new: from now on.
        None => watermark(conn).await.map(|xid| Position { xid, seq: 0 }),
    }
}

/// Lists what one HTTP request caused, in the order of its ids: in the API, in its jobs and in their attempts. The request
/// is named by our id or by its client's, which may name several. Reads every entry that is committed: a request is looked
/// up afterwards, not followed.
pub async fn by_request_id(
    conn: &mut PgConnection,
    tenant: TenantId,
    request_id: &str,
    after: Option<AuditEntryId>,
    limit: i64,
) -> Result<Vec<AuditEntry>, sqlx::Error> {
    let mut ids = client_ids::ours(conn, tenant, request_id).await?;
    ids.push(request_id.to_owned());
    let hashes: Vec<i32> = ids.iter().map(|id| request_hash(id)).collect();
    sqlx::query_as!(
        AuditEntry,
        r#"
        select id as "id!: AuditEntryId", at as "at!", actor_kind as "actor_kind!", actor_id, session_id, action as "action!",
            resource_kind as "resource_kind!", coalesce(resource_id, job_id::text) as "resource_id!", request_id, trace_id,
            job_id, attempt, outcome as "outcome!", dry_run as "dry_run!", error_code, detail as "detail!",
            xid::text::bigint as "xid!", seq as "seq!"
        from (
            (select * from audit_entries where tenant_id = $1 and request_id = any ($2) and id > $3 order by id limit $4)
            union all
            select entry.*
            from audit_batches batch cross join lateral audit_entries_of(batch) entry
            where batch.tenant_id = $1 and batch.request_hashes && $5 and entry.request_id = any ($2) and entry.id > $3
        ) log
        order by id
        limit $4
        "#,
        tenant.0,
        &ids,
        after.map_or(Uuid::nil(), |id| id.0),
        limit,
        &hashes,
    )
    .fetch_all(conn)
    .await
}
