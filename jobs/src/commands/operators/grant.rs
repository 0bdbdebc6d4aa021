//! Granting the application's database role what it needs and no more: `postroom-api admin grant`.

use crate::store::grants::{self, DbRole, RoleRestriction};
use sqlx::PgPool;

/// Nothing was granted.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    #[error("there is no role {0}; create it first: create role {0} login")]
    NoSuchRole(DbRole),
    /// The role could still change audit entries.
    #[error(
        "role {0} is a superuser or owns the tables, so grants cannot hold it back; use another"
    )]
    AboveGrants(DbRole),
    #[error("could not grant")]
    Database(#[from] sqlx::Error),
}

/// Grants `role` reading and writing of rows, and of the audit log only inserting and reading.
///
/// # Errors
/// If the role is missing or is a superuser, or the database refuses.
pub async fn grant(pool: &PgPool, role: &DbRole) -> Result<(), GrantError> {
    let mut conn = pool.acquire().await?;
    match grants::restriction(&mut conn, role).await? {
        RoleRestriction::Missing => Err(GrantError::NoSuchRole(role.clone())),
        RoleRestriction::AboveGrants => Err(GrantError::AboveGrants(role.clone())),
        RoleRestriction::Bound => Ok(grants::grant_application(&mut conn, role).await?),
    }
}
