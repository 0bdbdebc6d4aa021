//! Whether a process can do its work on this database: its schema fits, it takes writes, and the role may write.

use crate::schema::{SchemaError, check_versions};
use base::db::Unavailability;
use queue::operate::readiness;
use sqlx::PgPool;
use std::time::Duration;
use tokio::time::timeout;

/// The longest wait for a connection. A new one takes about seven round trips.
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
    #[error("the database did not answer in time")]
    Late,
}

impl NotReady {
    /// Says in a few words what is wrong, for a probe's answer.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Schema(error) => error.reason(),
            Self::Database(error) => error.reason(),
            Self::Late => Unavailability::Unreachable.as_str(),
        }
    }
}

/// Checks the schema, and that the role may write to `tables`.
///
/// # Errors
/// Why not.
pub async fn check(pool: &PgPool, tables: &[&str]) -> Result<(), NotReady> {
    // A new connection costs some round trips, and says nothing about how quickly the database answers.
    let mut connection = match timeout(ACQUIRE_TIMEOUT, pool.acquire()).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(NotReady::Database(readiness::NotReady::Ask(error))),
        Err(_) => return Err(NotReady::Late),
    };
    let asked = async {
        let versions = check_versions(&mut connection).await;
        versions.map_err(NotReady::Schema)?;
        let writes = readiness::check(&mut connection, tables).await;
        writes.map_err(NotReady::Database)
    };
    timeout(ANSWER_TIMEOUT, asked)
        .await
        .unwrap_or(Err(NotReady::Late))
}
