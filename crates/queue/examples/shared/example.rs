//! What all examples share: the connection, the tables, and waiting for a job.

use base::{
    db::{self, PoolConfig},
    env::Env,
};
use queue::{JobView, NewJob, schema, view};
use sqlx::PgPool;
use std::time::Duration;

/// Connects to `DATABASE_URL` and creates the queue's tables there.
pub(crate) async fn database() -> anyhow::Result<(PoolConfig, PgPool)> {
    let mut env = Env::from_process();
    let config = PoolConfig::with_connections(&mut env, 4, "queue-example");
    let config = env.finish(config)?;
    let pool = db::connect(&config).await?;
    schema::create(&pool).await?;
    Ok((config, pool))
}

/// Waits until the job is finished, and returns it.
pub(crate) async fn finished(pool: &PgPool, job: &NewJob) -> anyhow::Result<JobView> {
    loop {
        let mut conn = pool.acquire().await?;
        let found = view::find(&mut conn, job.tenant, job.id).await?;
        drop(conn);
        if let Some(view) = found.filter(|view| view.state.is_terminal()) {
            return Ok(view);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
