//! `rule_sets`: every version of a tenant's rules; an index keeps at most one active.

use crate::domain::UserId;
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::HashMap;

/// A version of a tenant's rules.
#[derive(Clone, Debug)]
pub struct StoredRuleSet {
    /// Counts from 1.
    pub version: i32,
    pub yaml: String,
    pub active: bool,
    pub created_by: UserId,
    pub created_at: DateTime<Utc>,
}

/// Finds the active version's number; 0 if the tenant has no rules.
pub async fn active_version(conn: &mut PgConnection, tenant: TenantId) -> Result<i32, sqlx::Error> {
    let version = sqlx::query_scalar!(
        "select version from rule_sets where tenant_id = $1 and active",
        tenant.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(version.unwrap_or(0))
}

/// The active versions at one time.
#[derive(Debug)]
pub struct ActiveVersions {
    /// Tenants without rules are left out.
    pub versions: HashMap<TenantId, i32>,
    /// The transaction's time, which everything it writes carries.
    pub at: DateTime<Utc>,
}

/// Finds the number of each tenant's active version.
pub async fn active_versions(
    conn: &mut PgConnection,
    tenants: &[TenantId],
) -> Result<ActiveVersions, sqlx::Error> {
    let row = sqlx::query!(
        r#"select now() as "at!", coalesce(array_agg(tenant_id), '{}') as "tenants!",
                  coalesce(array_agg(version), '{}') as "versions!"
           from rule_sets where tenant_id = any($1) and active"#,
        &tenants.iter().map(|tenant| tenant.0).collect::<Vec<_>>(),
    )
    .fetch_one(conn)
    .await?;
    let tenants = row.tenants.into_iter().map(TenantId);
    Ok(ActiveVersions {
        versions: tenants.zip(row.versions).collect(),
        at: row.at,
    })
}

pub async fn active(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<StoredRuleSet>, sqlx::Error> {
    sqlx::query_as!(
        StoredRuleSet,
        r#"
        select version, yaml, active, created_by as "created_by: UserId", created_at
        from rule_sets
        where tenant_id = $1 and active
        "#,
        tenant.0,
    )
    .fetch_optional(conn)
    .await
}

pub async fn by_version(
    conn: &mut PgConnection,
    tenant: TenantId,
    version: i32,
) -> Result<Option<StoredRuleSet>, sqlx::Error> {
    sqlx::query_as!(
        StoredRuleSet,
        r#"
        select version, yaml, active, created_by as "created_by: UserId", created_at
        from rule_sets
        where tenant_id = $1 and version = $2
        "#,
        tenant.0,
        version,
    )
    .fetch_optional(conn)
    .await
}

/// Locks the tenant's rules against other writers until the transaction ends; the first version has no row to lock.
pub async fn lock(conn: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('rule_sets ' || $1::uuid::text, 0))",
        tenant.0,
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Deactivates the active version.
pub async fn deactivate(conn: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update rule_sets set active = false where tenant_id = $1 and active",
        tenant.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Inserts the next version as the active one. The caller holds [`lock`] and has deactivated the former one.
pub async fn insert_next(
    conn: &mut PgConnection,
    tenant: TenantId,
    yaml: &str,
    created_by: UserId,
) -> Result<StoredRuleSet, sqlx::Error> {
    sqlx::query_as!(
        StoredRuleSet,
        r#"
        insert into rule_sets (tenant_id, version, yaml, active, created_by)
        select $1, coalesce(max(version), 0) + 1, $2, true, $3 from rule_sets where tenant_id = $1
        returning version, yaml, active, created_by as "created_by: UserId", created_at
        "#,
        tenant.0,
        yaml,
        created_by.0,
    )
    .fetch_one(conn)
    .await
}
