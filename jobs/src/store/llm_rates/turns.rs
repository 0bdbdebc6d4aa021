//! `llm_rate_turns`: the jobs that wait for a model's rate. [`queue_up`] is for a job that was refused, and
//! `commands::llm::turns` assigns the turns.

use super::{RatedRequest, TURN_SECONDS, configure};
use crate::domain::llm::{ModelName, rate::AssignedTurn};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use queue::operate::release::DueJob;
use sqlx::PgConnection;

/// Queues a job that the rate refused, behind those of its tenant; one that was refused before keeps its place. Returns when
/// it tries again if no turn is assigned to it.
///
/// Not for the transaction that was refused: that one is rolled back.
pub async fn queue_up(
    conn: &mut PgConnection,
    request: &RatedRequest<'_>,
) -> Result<DateTime<Utc>, sqlx::Error> {
    // Two statements: in one, the lock of the rate might come after that of the turn, and turns are assigned in the other order.
    configure(conn, request).await?;
    let row = sqlx::query!(
        r#"
        with turn as (
            insert into llm_rate_turns (tenant_id, job_id, provider, model, tokens) values ($3, $4, $1, $2, $5)
            on conflict (tenant_id, job_id, provider, model)
            do update set turn_at = null, taken_at = null, tokens = excluded.tokens
        )
        select now() as "now!", count(*) as "waiting!" from llm_rate_turns
        where provider = $1 and model = $2 and taken_at is null
        "#,
        request.name.provider,
        request.name.model,
        request.tenant.0,
        request.job.0,
        request.tokens,
    )
    .fetch_one(conn)
    .await?;
    let waiting = i32::try_from(row.waiting).unwrap_or(i32::MAX);
    Ok(row.now + request.rate.longest_wait(request.tokens, waiting))
}

/// A model that jobs wait for.
#[derive(Clone, Debug)]
pub struct AwaitedModel {
    pub provider: String,
    pub model: String,
}

impl AwaitedModel {
    pub fn name(&self) -> ModelName<'_> {
        ModelName {
            provider: &self.provider,
            model: &self.model,
        }
    }
}

/// Lists the models with jobs that wait for a turn. Those whose lane is open are left out: nobody asks them.
pub async fn awaited(conn: &mut PgConnection) -> Result<Vec<AwaitedModel>, sqlx::Error> {
    sqlx::query_as!(
        AwaitedModel,
        "select provider, model from llm_rates rate
         where exists (select from llm_rate_turns turn
                 where turn.provider = rate.provider and turn.model = rate.model
                   and turn.taken_at is null and turn.turn_at is null)
           and not exists (select from llm_lanes lane
                 where lane.provider = rate.provider and lane.model = rate.model and lane.reason is not null)
         order by provider, model"
    )
    .fetch_all(conn)
    .await
}

/// Lists the assigned turns that were not taken yet, with what their requests count.
pub async fn assigned(
    conn: &mut PgConnection,
    ModelName { provider, model }: ModelName<'_>,
) -> Result<Vec<AssignedTurn>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select turn_at as "turn_at!", tokens from llm_rate_turns
           where provider = $1 and model = $2 and taken_at is null and turn_at > now() - make_interval(secs => $3)
           order by turn_at"#,
        provider,
        model,
        TURN_SECONDS,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| AssignedTurn {
            at: row.turn_at,
            tokens: row.tokens,
        })
        .collect())
}

/// A job that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub struct WaitingJob {
    pub tenant: TenantId,
    pub job: JobId,
    pub tokens: i64,
}

/// Lists the jobs whose turn is next: the tenants in turn, the one whose turn is longest ago first, and the jobs of each by
/// priority and age.
pub async fn next(
    conn: &mut PgConnection,
    ModelName { provider, model }: ModelName<'_>,
    limit: i64,
) -> Result<Vec<WaitingJob>, sqlx::Error> {
    sqlx::query_as!(
        WaitingJob,
        r#"
        with waiting as (
            select turn.tenant_id, turn.job_id, turn.tokens, turn.queued_at,
                row_number() over (partition by turn.tenant_id order by job.priority, turn.queued_at, turn.job_id) as place
            from llm_rate_turns turn
            join jobs job on job.tenant_id = turn.tenant_id and job.id = turn.job_id and job.state = 'scheduled'
            where turn.provider = $1 and turn.model = $2 and turn.turn_at is null and turn.taken_at is null
        ), served as (
            select tenant_id, max(turn_at) as last_at from llm_rate_turns
            where provider = $1 and model = $2 and turn_at is not null
            group by tenant_id
        )
        select tenant_id as "tenant: TenantId", job_id as "job: JobId", tokens
        from waiting left join served using (tenant_id)
        order by place, last_at nulls first, queued_at, job_id
        limit $3
        "#,
        provider,
        model,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Assigns turns.
pub async fn assign(
    conn: &mut PgConnection,
    ModelName { provider, model }: ModelName<'_>,
    turns: &[DueJob],
) -> Result<(), sqlx::Error> {
    let tenants: Vec<_> = turns.iter().map(|turn| turn.tenant.0).collect();
    let jobs: Vec<_> = turns.iter().map(|turn| turn.job.0).collect();
    let times: Vec<_> = turns.iter().map(|turn| turn.at).collect();
    sqlx::query!(
        "update llm_rate_turns turn set turn_at = given.at
         from unnest($3::uuid[], $4::uuid[], $5::timestamptz[]) as given (tenant_id, job_id, at)
         where turn.provider = $1 and turn.model = $2
           and turn.tenant_id = given.tenant_id and turn.job_id = given.job_id and turn.taken_at is null",
        provider,
        model,
        &tenants,
        &jobs,
        &times,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes up to `limit` turns, in every tenant, that are over for ten minutes or whose job has ended.
pub async fn purge(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from llm_rate_turns where ctid = any(array(
             select ctid from llm_rate_turns turn
             where turn_at < now() - interval '10 minutes'
                or (taken_at is null and not exists (
                    select from jobs where jobs.tenant_id = turn.tenant_id and jobs.id = turn.job_id))
             limit $1 for update skip locked))",
        limit,
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}
