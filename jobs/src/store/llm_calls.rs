//! `llm_calls`: one row per request to a model, written before it is sent: its cost, never its text.
//!
//! [`admit`] writes the row unless the lane is open or the lease is lost, [`settle`] completes it, and [`mark_lost`] does so
//! for requests whose worker died.

use crate::domain::{
    ApiKeyId,
    llm::{ModelName, Tier},
};
use async_trait::async_trait;
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use queue::{
    Lease,
    operate::retention::walk::{AgedTable, block_number},
};
use sqlx::{PgConnection, PgPool};
use std::ops::Range;
use uuid::Uuid;

/// A request that is about to be sent.
pub struct NewLlmCall<'a> {
    /// The id under which the provider sees it.
    pub id: Uuid,
    pub lease: Lease,
    pub kind: &'a str,
    /// The API key that submitted the job.
    pub api_key: Option<ApiKeyId>,
    /// `triage`, `triage.repair`.
    pub step: &'a str,
    pub provider: &'a str,
    pub model: &'a str,
    pub prompt_version: &'a str,
    pub prompt_sha256: [u8; 32],
    pub prompt_bytes: i32,
    /// The number of the request within its call, from 1.
    pub tries: i32,
    pub reserved: Amount,
    /// How long the answer to a probe is awaited.
    pub timeout_seconds: f64,
}

/// Tokens and their cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub tokens: i64,
    /// Millionths of a US dollar; none if the model has no price.
    pub micros: Option<i64>,
}

/// Whose budgets cover a request.
#[derive(Clone, Copy, Debug)]
pub struct Spender<'a> {
    pub tenant: TenantId,
    pub kind: &'a str,
    /// The API key that submitted the job.
    pub api_key: Option<ApiKeyId>,
}

/// Whether a request may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    Admitted,
    /// Another worker holds the job now.
    LeaseLost,
    LaneOpen {
        reason: String,
        until: DateTime<Utc>,
    },
}

/// Inserts a request, unless its lane is open or its lease is lost. On an open lane that is due, the request becomes the probe.
pub async fn admit(
    conn: &mut PgConnection,
    call: &NewLlmCall<'_>,
) -> Result<Admission, sqlx::Error> {
    let Lease {
        tenant,
        job,
        attempt,
        ..
    } = call.lease;
    // Reads the lane in the statement that writes the intent: what one worker was told, all others obey from that commit on.
    let row = sqlx::query!(
        r#"
        with held as (
            select from jobs where tenant_id = $1 and id = $3 and attempt = $4 and state = 'running'
        ), lane as (
            select reason, greatest(until, probe_until) as until from llm_lanes
            where provider = $6 and model = $7 and reason is not null
        ), probe as (
            update llm_lanes
            set probe_id = $2, probe_until = now() + make_interval(secs => $15), changed_at = now()
            where provider = $6 and model = $7 and reason is not null and until <= now()
              and (probe_until is null or probe_until <= now()) and exists (select from held)
            returning true
        ), intent as (
            insert into llm_calls (
                tenant_id, id, job_id, attempt, step, provider, model, prompt_version, prompt_sha256, prompt_bytes,
                response_bytes, input_tokens, output_tokens, cached_tokens, tries, duration_ms, outcome, kind, billing,
                reserved_tokens, reserved_micros, api_key_id)
            select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0, 0, $11, 0, 'in_flight', $12, 'reserved', $13, $14, $16
            from held
            where not exists (select from lane) or exists (select from probe)
            returning id
        )
        select exists (select from held) as "held!", exists (select from intent) as "admitted!",
            (select reason from lane) as reason, (select until from lane) as until
        "#,
        tenant.0,
        call.id,
        job.0,
        attempt,
        call.step,
        call.provider,
        call.model,
        call.prompt_version,
        &call.prompt_sha256,
        call.prompt_bytes,
        call.tries,
        call.kind,
        call.reserved.tokens,
        call.reserved.micros,
        call.timeout_seconds,
        call.api_key.map(|key| key.0),
    )
    .fetch_one(conn)
    .await?;
    Ok(match (row.reason, row.until) {
        _ if row.admitted => Admission::Admitted,
        _ if !row.held => Admission::LeaseLost,
        (Some(reason), Some(until)) => Admission::LaneOpen { reason, until },
        (Some(_), None) | (None, _) => {
            return Err(sqlx::Error::Protocol(
                "a request was refused without a reason".into(),
            ));
        }
    })
}

/// Why a request is recorded without being sent by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// A batch will send it; its reservation is held until the batch has ended.
    Batched,
    /// The answer of before is used, which costs nothing.
    Cached,
}

/// Inserts a request that is not sent by itself. The caller holds the job's lease.
pub async fn insert_unsent(
    conn: &mut PgConnection,
    call: &NewLlmCall<'_>,
    why: Unsent,
) -> Result<(), sqlx::Error> {
    let (outcome, billing, cost_micros, tier) = match why {
        Unsent::Batched => ("in_flight", "reserved", None, Tier::Batch),
        Unsent::Cached => ("ok", "settled", Some(0), Tier::Cache),
    };
    sqlx::query!(
        "insert into llm_calls (
             tenant_id, id, job_id, attempt, step, provider, model, prompt_version, prompt_sha256, prompt_bytes,
             response_bytes, input_tokens, output_tokens, cached_tokens, tries, duration_ms, outcome, kind, billing,
             reserved_tokens, reserved_micros, cost_micros, api_key_id, tier)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0, 0, $11, 0, $12, $13, $14, $15, $16, $17, $18, $19)",
        call.lease.tenant.0,
        call.id,
        call.lease.job.0,
        call.lease.attempt,
        call.step,
        call.provider,
        call.model,
        call.prompt_version,
        &call.prompt_sha256,
        call.prompt_bytes,
        call.tries,
        outcome,
        call.kind,
        billing,
        call.reserved.tokens,
        call.reserved.micros,
        cost_micros,
        call.api_key.map(|key| key.0),
        tier.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How a request ended.
pub struct EndedLlmCall<'a> {
    pub id: Uuid,
    /// The model that answered, if there is an answer.
    pub model: Option<&'a str>,
    pub response_bytes: i32,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cached_tokens: i64,
    pub duration_ms: i64,
    /// `ok` or the class of the error.
    pub outcome: &'a str,
    pub possibly_billed: bool,
    pub tier: Tier,
    pub cost_micros: Option<i64>,
}

/// What a request had reserved, and what it used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledCall {
    pub tenant: TenantId,
    pub kind: String,
    pub api_key: Option<ApiKeyId>,
    pub reserved: Amount,
    pub used: Amount,
}

impl SettledCall {
    /// Returns whose budgets covered it.
    pub fn spender(&self) -> Spender<'_> {
        Spender {
            tenant: self.tenant,
            kind: &self.kind,
            api_key: self.api_key,
        }
    }
}

/// Completes a request in flight. A possibly billed one counts as having used what it reserved. `None` if it was completed
/// before.
pub async fn settle(
    conn: &mut PgConnection,
    tenant: TenantId,
    call: &EndedLlmCall<'_>,
) -> Result<Option<SettledCall>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        update llm_calls
        set model = coalesce($3, model), response_bytes = $4, input_tokens = $5, output_tokens = $6, cached_tokens = $7,
            duration_ms = $8, outcome = $9,
            billing = case when $10 then 'possibly_billed' else 'settled' end,
            cost_micros = case when $10 then reserved_micros else $11 end, tier = $12
        where tenant_id = $1 and id = $2 and billing = 'reserved'
        returning kind, api_key_id as "api_key: ApiKeyId", reserved_tokens, reserved_micros, cost_micros
        "#,
        tenant.0,
        call.id,
        call.model,
        call.response_bytes,
        call.input_tokens,
        call.output_tokens,
        call.cached_tokens,
        call.duration_ms,
        call.outcome,
        call.possibly_billed,
        call.cost_micros,
        call.tier.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| SettledCall {
        tenant,
        kind: row.kind,
        api_key: row.api_key,
        reserved: Amount {
            tokens: row.reserved_tokens,
            micros: row.reserved_micros,
        },
        used: Amount {
            tokens: if call.possibly_billed {
                row.reserved_tokens
            } else {
                call.input_tokens + call.output_tokens
            },
            micros: row.cost_micros,
        },
    }))
}

/// Completes requests whose attempt no longer runs and that no batch holds, as possibly billed, in every tenant: their worker
/// died.
pub async fn mark_lost(
    conn: &mut PgConnection,
    limit: i64,
) -> Result<Vec<SettledCall>, sqlx::Error> {
    // An attempt that ended in order settles its requests within moments of its end.
    let rows = sqlx::query!(
        r#"
        with lost as (
            select call.tenant_id, call.id from llm_calls call
            where billing = 'reserved' and call.created_at < now() - interval '5 seconds'
              and not exists (
                  select from jobs where jobs.tenant_id = call.tenant_id and jobs.id = call.job_id
                    and jobs.attempt = call.attempt and jobs.state = 'running')
              and not exists (
                  select from llm_batch_items item where item.call_id = call.id and item.state in ('waiting', 'sent'))
            order by call.created_at
            limit $1
            for update skip locked
        )
        update llm_calls
        set billing = 'possibly_billed', outcome = 'lost', cost_micros = reserved_micros
        from lost
        where llm_calls.tenant_id = lost.tenant_id and llm_calls.id = lost.id
        returning llm_calls.tenant_id as "tenant: TenantId", kind, api_key_id as "api_key: ApiKeyId", reserved_tokens,
            reserved_micros
        "#,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let reserved = Amount {
                tokens: row.reserved_tokens,
                micros: row.reserved_micros,
            };
            SettledCall {
                tenant: row.tenant,
                kind: row.kind,
                api_key: row.api_key,
                reserved,
                used: reserved,
            }
        })
        .collect())
}

/// What a job's failed requests say about it.
#[derive(Clone, Copy, Debug)]
pub struct FailureFacts {
    /// When the job began to wait: its first attempt since it was submitted or retried by hand.
    pub waits_since: DateTime<Utc>,
    /// Attempts since then in which a request failed.
    pub failed_attempts: i64,
    pub now: DateTime<Utc>,
}

/// Reads what a job's failed requests say about it.
pub async fn failure_facts(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
) -> Result<FailureFacts, sqlx::Error> {
    sqlx::query_as!(
        FailureFacts,
        r#"
        with began as (
            select coalesce(min(coalesce(started_at, ended_at)), now()) as at from job_attempts
            where job_id = $2 and tenant_id = $1 and ended_at > coalesce(
                (select max(at) from job_events where tenant_id = $1 and job_id = $2 and kind = 'retried'), '-infinity')
        )
        select began.at as "waits_since!", now() as "now!",
            (select count(distinct attempt) from llm_calls
             where tenant_id = $1 and job_id = $2 and outcome <> 'ok' and created_at >= began.at) as "failed_attempts!"
        from began
        "#,
        tenant.0,
        job.0,
    )
    .fetch_one(conn)
    .await
}

/// Whether a request of this job to this lane ended with this outcome, by which the provider rejected it, and the lane has closed
/// since: others were answered.
pub async fn rejected_alone(
    conn: &mut PgConnection,
    (tenant, job): (TenantId, JobId),
    lane: ModelName<'_>,
    outcome: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
               select from llm_calls call
               join llm_lanes lane on lane.provider = call.provider and lane.model = call.model
               where call.tenant_id = $1 and call.job_id = $2 and call.outcome = $3
                 and call.provider = $4 and call.model = $5
                 and lane.closed_at > call.created_at
           ) as "alone!""#,
        tenant.0,
        job.0,
        outcome,
        lane.provider,
        lane.model,
    )
    .fetch_one(conn)
    .await
}

/// The requests whose retention is over. It is longer than a month, because budgets count those of a month.
pub struct OldCalls<'a> {
    pub pool: &'a PgPool,
    pub days: i32,
}

#[async_trait]
impl AgedTable for OldCalls<'_> {
    async fn blocks(&self) -> Result<u64, sqlx::Error> {
        let blocks = sqlx::query_scalar!(
            r#"select pg_relation_size('llm_calls') / current_setting('block_size')::bigint as "blocks!""#
        )
        .fetch_one(self.pool)
        .await?;
        Ok(u64::try_from(blocks).unwrap_or_default())
    }

    async fn first_aged_block(&self) -> Result<Option<u64>, sqlx::Error> {
        let found = sqlx::query_scalar!(
            r#"select (ctid::text::point)[0]::bigint as "block!" from llm_calls
               where created_at < now() - make_interval(days => $1) and billing <> 'reserved' limit 1"#,
            self.days,
        )
        .fetch_optional(self.pool)
        .await?;
        Ok(found.map(|block| u64::try_from(block).unwrap_or_default()))
    }

    async fn prune(&self, blocks: Range<u64>) -> Result<u64, sqlx::Error> {
        let done = sqlx::query!(
            "delete from llm_calls
             where ctid >= format('(%s,0)', $1::bigint)::tid and ctid < format('(%s,0)', $2::bigint)::tid
               and created_at + interval '0' < now() - make_interval(days => $3) and billing <> 'reserved'",
            block_number(blocks.start),
            block_number(blocks.end),
            self.days,
        )
        .execute(self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}
