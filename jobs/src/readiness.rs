//! Whether a process can do its work on this database: its schema fits, it takes writes, and the role may write.

use crate::schema::{SchemaError, check_schema};
use queue::operate::readiness;
use sqlx::PgPool;

/// Why a process cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error("the schema cannot be used")]
    Schema(#[source] SchemaError),
    #[error("the database would refuse the work")]
    Database(#[source] readiness::NotReady),
}

impl NotReady {
    /// Says in a few words what is wrong, for a probe's answer.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Schema(error) => error.reason(),
            Self::Database(error) => error.reason(),
        }
    }
}

/// Checks the schema, and that the role may write to `tables`.
///
/// # Errors
/// Why not.
pub async fn check(pool: &PgPool, tables: &[&str]) -> Result<(), NotReady> {
    check_schema(pool).await.map_err(NotReady::Schema)?;
    readiness::check(pool, tables)
        .await
        .map_err(NotReady::Database)
}
