//! Giving the application's database role what it needs and no more: `postroom-api admin grant`.

use crate::store::grants::{self, DbRole, Standing};
use sqlx::PgPool;

/// Nothing was granted.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    #[error("there is no role {0}; create it first: create role {0} login")]
    NoSuchRole(DbRole),
    /// The promise that audit entries are never changed could not be kept.
    #[error(
        "role {0} is a superuser or owns the tables, so grants cannot hold it back; use another"
    )]
    AboveGrants(DbRole),
    #[error("could not grant")]
    Database(#[from] sqlx::Error),
}

/// Grants `role` the reading and writing of rows, and of the audit log only the adding.
///
/// # Errors
/// When the role is missing or above all grants, or the database refuses.
pub async fn grant(pool: &PgPool, role: &DbRole) -> Result<(), GrantError> {
    let mut conn = pool.acquire().await?;
    match grants::standing(&mut conn, role).await? {
        Standing::Missing => Err(GrantError::NoSuchRole(role.clone())),
        Standing::AboveGrants => Err(GrantError::AboveGrants(role.clone())),
        Standing::Bound => Ok(grants::grant_application(&mut conn, role).await?),
    }
}
