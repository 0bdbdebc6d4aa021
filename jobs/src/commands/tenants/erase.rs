//! Forgetting a closed tenant: [`export_tenant`] first, then [`erase_tenant`].

use crate::{
    domain::{Actor, AuditAction, Detail, NewAuditEntry, ResourceKind, tenant::TenantStatus},
    store::{
        audit,
        tenant_rows::{self, TenantTable},
        tenants,
    },
};
use base::TenantId;
use futures::StreamExt;
use queue::operate::limits::{self, Scope};
use sqlx::{Connection, PgConnection, PgPool};

/// Rows per transaction.
const BATCH: i64 = 5000;

/// Tables whose rows open something or are of no use elsewhere.
const NOT_EXPORTED: [&str; 6] = [
    "api_key_tokens",
    "llm_captures",
    "llm_checkpoints",
    "password_resets",
    "recovery_codes",
    "request_keys",
];

/// The tenant was not erased, or not completely: run it again.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    #[error("there is no such tenant")]
    NotFound,
    #[error("the tenant is {}; close it first", .0.as_str())]
    NotClosed(TenantStatus),
    #[error("a job of the tenant is still running; wait for its end")]
    Running,
    #[error(
        "could not delete the rows of {table}; a role that owns the tables may, the application's may not"
    )]
    Delete {
        table: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("could not erase the tenant")]
    Database(#[from] sqlx::Error),
}

/// Deletes every row of a closed tenant, in small batches, and forgets its name; returns how many rows it deleted. The audit
/// log stays, with its seals: it holds no words of anybody. Of a tenant that was erased before, it deletes what came later.
///
/// # Errors
/// See [`EraseError`]. What was deleted before stays deleted.
pub async fn erase_tenant(pool: &PgPool, tenant: TenantId) -> Result<u64, EraseError> {
    let mut conn = pool.acquire().await?;
    let tables = tenant_rows::tables(&mut conn).await?;
    let mut deleted = 0;
    loop {
        check_erasable(&mut conn, tenant).await?;
        for table in &tables {
            deleted += empty(&mut conn, tenant, table).await?;
        }
        // What was under way when the tenant was closed may have written into tables that were empty already. Its
        // transaction refers to the tenant's row or has changed a row of another table, such as its job: the lock waits for
        // the one and the deletion for the other, and once no table has a row, none can follow.
        let mut tx = conn.begin().await?;
        tenant_rows::allow_erasure(&mut tx, tenant).await?;
        tenants::lock_alone(&mut tx, tenant).await?;
        let mut late = 0;
        for table in &tables {
            late += delete(&mut tx, tenant, table).await?;
        }
        deleted += late;
        if late == 0 {
            forget(&mut tx, tenant, deleted).await?;
            tx.commit().await?;
            return Ok(deleted);
        }
        tx.commit().await?;
    }
}

async fn check_erasable(conn: &mut PgConnection, tenant: TenantId) -> Result<(), EraseError> {
    let mut tx = conn.begin().await?;
    match tenants::lock_status(&mut tx, tenant).await {
        Ok(TenantStatus::Closed) => {}
        Ok(open) => return Err(EraseError::NotClosed(open)),
        Err(sqlx::Error::RowNotFound) => return Err(EraseError::NotFound),
        Err(error) => return Err(error.into()),
    }
    // None starts: a closed tenant may run 0 jobs.
    if tenant_rows::any_running(&mut tx, tenant).await? {
        return Err(EraseError::Running);
    }
    tx.commit().await?;
    Ok(())
}

/// Deletes all rows of the tenant in a table, in transactions of its own; returns how many.
async fn empty(
    conn: &mut PgConnection,
    tenant: TenantId,
    table: &TenantTable,
) -> Result<u64, EraseError> {
    let mut deleted = 0;
    loop {
        let mut tx = conn.begin().await?;
        tenant_rows::allow_erasure(&mut tx, tenant).await?;
        let rows = delete(&mut tx, tenant, table).await?;
        tx.commit().await?;
        deleted += rows;
        if rows < BATCH.unsigned_abs() {
            return Ok(deleted);
        }
    }
}

async fn delete(
    conn: &mut PgConnection,
    tenant: TenantId,
    table: &TenantTable,
) -> Result<u64, EraseError> {
    tenant_rows::delete(conn, tenant, table, BATCH)
        .await
        .map_err(|source| EraseError::Delete {
            table: table.name().to_owned(),
            source,
        })
}

/// Forgets the tenant's name, and records the erasure.
async fn forget(
    conn: &mut PgConnection,
    tenant: TenantId,
    deleted: u64,
) -> Result<(), sqlx::Error> {
    tenants::forget_slug(conn, tenant).await?;
    // Nothing is left that it would stop.
    limits::remove(&mut *conn, Scope::Tenant, &tenant.to_string()).await?;
    let (action, kind) = (AuditAction::TenantErased, ResourceKind::Tenant);
    let rows = i64::try_from(deleted).unwrap_or(i64::MAX);
    let entry = NewAuditEntry::new(tenant, Actor::Cli, action, kind, tenant)
        .with_detail(Detail::new().count("rows", rows));
    audit::insert(conn, &[entry]).await
}

/// Passes all rows of a tenant to `line`, each as one line of JSON, parents before those that refer to them, from one
/// snapshot. Secrets are left out; the audit log has an export of its own, with its proofs.
///
/// # Errors
/// If the database does not answer, or `line` fails.
pub async fn export_tenant<E: From<sqlx::Error>>(
    pool: &PgPool,
    tenant: TenantId,
    mut line: impl FnMut(String) -> Result<(), E>,
) -> Result<(), E> {
    let mut tx = pool.begin().await?;
    tenant_rows::read_one_snapshot(&mut tx).await?;
    let own = tenant_rows::own_row(&mut tx, tenant).await?;
    line(tenant_rows::exported("tenants", &own))?;
    let tables = tenant_rows::tables(&mut tx).await?;
    for table in tables.iter().rev() {
        if NOT_EXPORTED.contains(&table.name()) {
            continue;
        }
        let mut rows = tenant_rows::rows(&mut tx, tenant, table);
        while let Some(row) = rows.next().await {
            line(tenant_rows::exported(table.name(), &row?))?;
        }
    }
    Ok(())
}
