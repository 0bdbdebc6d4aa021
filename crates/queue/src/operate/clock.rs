//! Lets a process go by the database's clock where its own machine's is wrong: [`follow`].
//!
//! A worker does so with each poll; this is for processes that do not poll.

use base::clock;
use chrono::TimeDelta;
use sqlx::PgPool;
use std::time::{Duration, Instant};

/// A later answer may be as wrong as the clock it is compared with.
const LATE: Duration = Duration::from_secs(1);

/// Reads the database's clock, and lets [`clock::Clock::System`] follow it if the two differ by seconds. Returns how far the
/// database is ahead if that changed.
pub async fn follow(pool: &PgPool) -> Result<Option<TimeDelta>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let asked = Instant::now();
    let now = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
        .fetch_one(&mut *connection)
        .await?;
    if asked.elapsed() > LATE {
        return Ok(None);
    }
    Ok(clock::follow(now))
}
