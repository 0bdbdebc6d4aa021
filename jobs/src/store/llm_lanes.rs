//! `llm_lanes`: whether a provider with a model is asked, for all workers. [`super::llm_calls::admit`] obeys it.

use crate::domain::llm::{Lane, LaneEffect, LanePolicy, ModelName};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// A lane with its name.
#[derive(Clone, Debug)]
pub struct StoredLane {
    pub provider: String,
    pub model: String,
    /// The class of the failure that opened it; none if it is closed.
    pub reason: Option<String>,
    pub until: Option<DateTime<Utc>>,
    /// It is open, its time has come, and no request probes it.
    pub awaits_probe: bool,
    /// When it closed, if that was in the last minutes: jobs may still wait for it.
    pub closed_lately: Option<DateTime<Utc>>,
}

/// Records what a failed request says about its provider, and returns the lane's new state.
pub async fn record_failure(
    conn: &mut PgConnection,
    ModelName { provider, model }: ModelName<'_>,
    reason: &str,
    effect: LaneEffect,
    policy: LanePolicy,
) -> Result<Option<Lane>, sqlx::Error> {
    if effect == LaneEffect::Nothing {
        return Ok(None);
    }
    sqlx::query!(
        "insert into llm_lanes (provider, model) values ($1, $2) on conflict do nothing",
        provider,
        model,
    )
    .execute(&mut *conn)
    .await?;
    // clock_timestamp, because the wait for the lock may have taken a while.
    let row = sqlx::query!(
        r#"select reason, until, failures, clock_timestamp() as "now!"
           from llm_lanes where provider = $1 and model = $2 for update"#,
        provider,
        model,
    )
    .fetch_one(&mut *conn)
    .await?;
    let lane = Lane {
        reason: row.reason,
        until: row.until,
        failures: row.failures,
    };
    let Some(next) = lane.after_failure(reason, effect, row.now, policy) else {
        return Ok(Some(lane));
    };
    sqlx::query!(
        "update llm_lanes
         set reason = $3, until = $4, failures = $5, probe_id = null, probe_until = null, changed_at = now()
         where provider = $1 and model = $2",
        provider,
        model,
        next.reason,
        next.until,
        next.failures,
    )
    .execute(conn)
    .await?;
    Ok(Some(next))
}

/// Records that a request succeeded. Closes the lane if the request probed it: one that was sent before the lane opened
/// says nothing about the provider now.
pub async fn record_success(
    conn: &mut PgConnection,
    ModelName { provider, model }: ModelName<'_>,
    request: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update llm_lanes
         set failures = 0, reason = null, until = null, probe_id = null, probe_until = null, changed_at = now(),
             closed_at = case when reason is null then closed_at else now() end
         where provider = $1 and model = $2
           and (probe_id = $3 or (reason is null and failures > 0))",
        provider,
        model,
        request,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets another request probe the lane if this one did: it ended without saying anything about the provider.
pub async fn release_probe(
    conn: &mut PgConnection,
    ModelName { provider, model }: ModelName<'_>,
    request: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update llm_lanes set probe_id = null, probe_until = null, changed_at = now()
         where provider = $1 and model = $2 and probe_id = $3",
        provider,
        model,
        request,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes lanes that an operator had to mend due for a probe: a worker has started, perhaps with a new key.
pub async fn probe_now(pool: &PgPool, reasons: &[&str]) -> Result<(), sqlx::Error> {
    let reasons: Vec<String> = reasons.iter().map(|reason| (*reason).to_owned()).collect();
    sqlx::query!(
        "update llm_lanes set until = now(), probe_id = null, probe_until = null, changed_at = now()
         where reason = any($1) and until > now()",
        &reasons,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Lists all lanes that ever failed, in the order of their names.
pub async fn list(pool: &PgPool) -> Result<Vec<StoredLane>, sqlx::Error> {
    sqlx::query_as!(
        StoredLane,
        r#"select provider, model, reason, until,
               (reason is not null and until <= now() and (probe_until is null or probe_until <= now())) as "awaits_probe!",
               case when reason is null and closed_at > now() - interval '10 minutes' then closed_at end as closed_lately
           from llm_lanes order by provider, model"#,
    )
    .fetch_all(pool)
    .await
}

/// Returns when the lane may be probed; none if it is closed.
pub async fn open_until(
    conn: &mut PgConnection,
    ModelName { provider, model }: ModelName<'_>,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select until from llm_lanes where provider = $1 and model = $2",
        provider,
        model,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.flatten())
}
