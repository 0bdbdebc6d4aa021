//! Whether a process can do its work on this database: its schema fits, it takes writes, and the role may write.

use crate::schema::{SchemaError, check_versions};
use base::db::{self, Unavailability};
use queue::operate::readiness;
use sqlx::{PgConnection, PgPool};
use std::time::Duration;
use tokio::time::timeout;

/// The longest wait for a connection. A new one takes about seven round trips, and says nothing about how quickly the database
/// answers.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest time for the answers: three round trips on a new connection, two on one that was used.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1500);

/// Why a process cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error("the schema cannot be used")]
    Schema(#[source] SchemaError),
    #[error("the database would refuse the work")]
    Database(#[source] readiness::NotReady),
    #[error("the database gives no connection")]
    NoConnection(#[source] sqlx::Error),
    #[error("the database answers too late")]
    Slow,
}

impl NotReady {
    /// Says in a few words what is wrong, for a probe's answer.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Schema(error) => error.reason(),
            Self::Database(error) => error.reason(),
            Self::NoConnection(error) => Unavailability::of(error)
                .unwrap_or(Unavailability::Unreachable)
                .as_str(),
            Self::Slow => Unavailability::Slow.as_str(),
        }
    }
}

/// Checks the schema, and that the role may write to `tables`.
///
/// # Errors
/// Why not, within six seconds.
pub async fn check(pool: &PgPool, tables: &[&str]) -> Result<(), NotReady> {
    match timeout(ACQUIRE_TIMEOUT, pool.acquire()).await {
        Ok(Ok(mut connection)) => {
            if let Ok(checked) = timeout(ANSWER_TIMEOUT, ask(&mut connection, tables)).await {
                return checked;
            }
        }
        // A pool that waited does not say why.
        Ok(Err(sqlx::Error::PoolTimedOut)) | Err(_) => {}
        Ok(Err(error)) => return Err(NotReady::NoConnection(error)),
    }
    match db::try_connect(&pool.connect_options()).await {
        Ok(()) => Err(NotReady::Slow),
        Err(error) => Err(NotReady::NoConnection(error)),
    }
}

async fn ask(connection: &mut PgConnection, tables: &[&str]) -> Result<(), NotReady> {
    let versions = check_versions(connection).await;
    versions.map_err(NotReady::Schema)?;
    let writes = readiness::check(connection, tables).await;
    writes.map_err(NotReady::Database)
}
