//! `audit_seals`: inserted and read. A seal covers a tenant's entries up to its own last one.
//!
//! `sealed_at` is covered by no hash and proves nothing: it only spares readers who look for a time the older entries.
//!
//! Seals only what is behind the watermark: older than every transaction that is still open.

use super::audit::Position;
use crate::domain::audit::seal::{Head, SealHash, Sealed};
use base::TenantId;
use sqlx::PgConnection;

/// A stored seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    pub sealed: Sealed,
    /// The last entry that it covers.
    pub last: Position,
    pub hash: SealHash,
    /// Counts the seals of all tenants, from 1.
    pub number: i64,
    pub chain: SealHash,
}

/// Lets one process seal at a time, until the transaction ends.
pub async fn lock(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('audit: seal', 0))")
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// Lists up to `limit` tenants with entries that no seal covers yet, those first whose newest seal is oldest.
pub async fn unsealed_tenants(
    conn: &mut PgConnection,
    limit: i64,
) -> Result<Vec<TenantId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select tenants.id as "tenant: TenantId"
        from tenants
        left join lateral (
            select last_xid, last_seq, sealed_at from audit_seals
            where tenant_id = tenants.id order by position desc limit 1
        ) newest on true
        where exists (
            select from audit_entries e
            where e.tenant_id = tenants.id
                and (e.xid, e.seq) > (coalesce(newest.last_xid, '0'::xid8), coalesce(newest.last_seq, 0))
                and e.xid < pg_snapshot_xmin(pg_current_snapshot()))
        or exists (
            select from audit_batches b
            where b.tenant_id = tenants.id
                and (b.xid, b.seq) > (coalesce(newest.last_xid, '0'::xid8), coalesce(newest.last_seq, 0) - 1000)
                and (b.xid, b.seq + b.entries - 1) > (coalesce(newest.last_xid, '0'::xid8), coalesce(newest.last_seq, 0))
                and b.xid < pg_snapshot_xmin(pg_current_snapshot()))
        order by newest.sealed_at nulls first
        limit $1
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Finds the tenant's newest seal.
pub async fn newest_of(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<Seal>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select tenant_id as "tenant: TenantId", position, last_xid::text::bigint as "last_xid!", last_seq, entries, root,
            hash, number, chain
        from audit_seals where tenant_id = $1 order by position desc limit 1
        "#,
        tenant.0,
    )
    .fetch_optional(conn)
    .await?;
    row.map(Seal::try_from).transpose()
}

/// Lists seals of all tenants in the order of their numbers, after `after`, at most `limit`.
pub async fn list(
    conn: &mut PgConnection,
    after: i64,
    limit: i64,
) -> Result<Vec<Seal>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select tenant_id as "tenant: TenantId", position, last_xid::text::bigint as "last_xid!", last_seq, entries, root,
            hash, number, chain
        from audit_seals where number > $1 order by number limit $2
        "#,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Seal::try_from).collect()
}

/// Finds the newest seal of all tenants; number 0 if there is none.
pub async fn head(conn: &mut PgConnection) -> Result<Head, sqlx::Error> {
    let row = sqlx::query!("select number, chain from audit_seals order by number desc limit 1")
        .fetch_optional(conn)
        .await?;
    row.map_or(Ok(Head::default()), |row| {
        Ok(Head {
            number: row.number,
            chain: known(&row.chain)?,
        })
    })
}

/// Inserts a seal. The caller holds [`lock`].
pub async fn insert(
    conn: &mut PgConnection,
    sealed: &Sealed,
    last: Position,
    hash: SealHash,
    head: Head,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into audit_seals (tenant_id, position, last_xid, last_seq, entries, root, hash, number, chain)
         values ($1, $2, $3::bigint::text::xid8, $4, $5, $6, $7, $8, $9)",
        sealed.tenant.0,
        sealed.position,
        last.xid,
        last.seq,
        sealed.entries,
        &sealed.root.0,
        &hash.0,
        head.number,
        &head.chain.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

struct Row {
    tenant: TenantId,
    position: i64,
    last_xid: i64,
    last_seq: i64,
    entries: i32,
    root: Vec<u8>,
    hash: Vec<u8>,
    number: i64,
    chain: Vec<u8>,
}

impl TryFrom<Row> for Seal {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            sealed: Sealed {
                tenant: row.tenant,
                position: row.position,
                entries: row.entries,
                root: known(&row.root)?,
            },
            last: Position {
                xid: row.last_xid,
                seq: row.last_seq,
            },
            hash: known(&row.hash)?,
            number: row.number,
            chain: known(&row.chain)?,
        })
    }
}

fn known(bytes: &[u8]) -> Result<SealHash, sqlx::Error> {
    SealHash::from_column(bytes)
        .ok_or_else(|| sqlx::Error::Decode("a hash in audit_seals has not 32 bytes".into()))
}
