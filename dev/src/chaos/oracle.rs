//! Checks the promises after a chaos run, in the database and the clients' log. See [`Oracle`].
//!
//! Has its own SQL: an oracle that shared the queue's statements would share their errors. Changes nothing.

use super::clients::Log;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Row};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Checks one database.
pub struct Oracle {
    pool: PgPool,
}

/// One promise and its violations.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub promise: &'static str,
    /// The jobs, keys or effects that violate it.
    pub violations: Vec<String>,
}

impl Verdict {
    pub fn is_kept(&self) -> bool {
        self.violations.is_empty()
    }
}

/// `$1` are the accepted jobs. Every statement returns one text per violation.
const PROMISES: [(&str, &str); 10] = [
    (
        "no accepted job is lost",
        "select id::text from unnest($1::uuid[]) as acknowledged (id)
         where not exists (select from jobs where jobs.id = acknowledged.id)
           and not exists (select from finished_jobs where finished_jobs.id = acknowledged.id)",
    ),
    (
        "every accepted job ended exactly once",
        "select id::text from (
             select id from unnest($1::uuid[]) as acknowledged (id)
             union select id from jobs union select id from finished_jobs
         ) accepted
         where (select count(*) from finished_jobs where finished_jobs.id = accepted.id) <> 1
            or exists (select from jobs where jobs.id = accepted.id)",
    ),
    (
        "every ended job has exactly one audit entry of its end, and the reverse",
        "select coalesce(finished.id, audited.job_id)::text
         from finished_jobs finished
         full join (
             select job_id, max(action) as action, max(attempt) as attempt, count(*) as entries from audit_log
             where resource_kind = 'job' and action in ('job.succeeded', 'job.discarded', 'job.cancelled')
             group by job_id
         ) audited on audited.job_id = finished.id
         where (audited.entries, audited.action, audited.attempt)
             is distinct from (1::bigint, 'job.' || finished.state, finished.attempt)",
    ),
    (
        "every accepted job has exactly one audit entry of its submission",
        "select coalesce(accepted.id, audited.id)::text
         from (select id from jobs union all select id from finished_jobs) accepted
         full join (
             select coalesce(job_id, resource_id::uuid) as id, count(*) as entries from audit_log
             where resource_kind = 'job' and action = 'job.submitted' group by 1
         ) audited on audited.id = accepted.id
         where accepted.id is null or audited.entries is distinct from 1",
    ),
    (
        "attempts are numbered without gaps, and the last one ended the job",
        "with attempts as (
             select job_id, attempt from job_attempts union select id, attempt from finished_jobs
         )
         select finished.id::text from finished_jobs finished
         where (select (min(attempt), max(attempt), count(*)) from attempts where job_id = finished.id)
             is distinct from (1, finished.attempt, finished.attempt::bigint)",
    ),
    (
        "no two attempts of a job overlap",
        "with attempts as (
             select job_id, attempt, started_at, ended_at from job_attempts
             union all
             select id, attempt, started_at, finished_at from finished_jobs finished
             where not exists (
                 select from job_attempts audited where audited.job_id = finished.id and audited.attempt = finished.attempt)
         ), in_order as (
             select *, lag(ended_at) over (partition by job_id order by attempt) as before from attempts
         )
         select job_id || ' attempt ' || attempt from in_order where before > started_at or started_at > ended_at",
    ),
    (
        "every ended attempt has exactly one audit entry",
        "with attempts as (
             select job_id, attempt from job_attempts union select id, attempt from finished_jobs
         ), audited as (
             select job_id, attempt, count(*) as entries from audit_log
             where resource_kind = 'job' and attempt is not null and action in ('job.succeeded', 'job.retried',
                 'job.snoozed', 'job.waiting', 'job.interrupted', 'job.discarded', 'job.rescued', 'job.cancelled')
             group by job_id, attempt
         )
         select coalesce(attempts.job_id, audited.job_id) || ' attempt ' || coalesce(attempts.attempt, audited.attempt)
         from attempts full join audited using (job_id, attempt)
         where attempts.job_id is null or audited.entries is distinct from 1",
    ),
    (
        "only the attempt that ended the job wrote results",
        "select distinct job_id || ' attempt ' || entry.attempt
         from audit_log entry join finished_jobs finished on finished.id = entry.job_id
         where entry.resource_kind <> 'job' and entry.attempt is not null
           and (entry.attempt <> finished.attempt or finished.state <> 'succeeded')",
    ),
    (
        "every effect exists at most once",
        "select 'result of email ' || encode(content_hash, 'hex') from triage_results
         group by tenant_id, content_hash, ruleset_version, mode having count(*) > 1
         union all
         select 'results of job ' || job_id from triage_results group by job_id having count(*) > 1
         union all
         select 'action ' || encode(fingerprint, 'hex') || ' on message ' || message_id from proposed_actions
         group by tenant_id, message_id, fingerprint having count(*) > 1
         union all
         select 'approval ' || encode(payload_hash, 'hex') || ' of job ' || job_id from approvals
         group by job_id, payload_hash having count(*) > 1
         union all
         select 'history of job ' || job_id from history_entries where verb = 'triaged'
         group by job_id having count(*) > 1",
    ),
    (
        "exactly the succeeded jobs have a result",
        "select coalesce(finished.id, result.job_id)::text
         from (select id from finished_jobs where state = 'succeeded') finished
         full join triage_results result on result.job_id = finished.id
         where finished.id is null or result.job_id is null",
    ),
];

impl Oracle {
    /// Connects to the database.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn at(database_url: &str) -> Result<Self, sqlx::Error> {
        let pool = PgPoolOptions::new().max_connections(2);
        Ok(Self {
            pool: pool.connect(database_url).await?,
        })
    }

    /// Counts the jobs that have not ended.
    pub async fn unfinished(&self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar("select count(*) from jobs")
            .fetch_one(&self.pool)
            .await
    }

    /// Counts the ended jobs by state.
    pub async fn ends(&self) -> Result<BTreeMap<String, i64>, sqlx::Error> {
        let rows = sqlx::raw_sql("select state, count(*) from finished_jobs group by state")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    /// Counts the attempts that did not end their job, by outcome.
    pub async fn lost_attempts(&self) -> Result<BTreeMap<String, i64>, sqlx::Error> {
        let rows = sqlx::raw_sql("select outcome, count(*) from job_attempts group by outcome")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    /// Checks all promises against the database and the responses that the clients received.
    pub async fn judge(&self, log: &Log) -> Result<Vec<Verdict>, sqlx::Error> {
        let acknowledged: BTreeSet<Uuid> = log.answers.values().flatten().copied().collect();
        let acknowledged: Vec<Uuid> = acknowledged.into_iter().collect();
        let mut verdicts = vec![one_job_per_key(log), one_key_per_job(log), answered(log)];
        for (promise, sql) in PROMISES {
            let violations = sqlx::query_scalar(sql)
                .bind(&acknowledged)
                .fetch_all(&self.pool)
                .await?;
            verdicts.push(Verdict {
                promise,
                violations,
            });
        }
        Ok(verdicts)
    }
}

fn one_job_per_key(log: &Log) -> Verdict {
    let several = |ids: &Vec<Uuid>| ids.iter().any(|id| *id != ids[0]);
    let violations = log.answers.iter().filter(|(_, ids)| several(ids));
    Verdict {
        promise: "one idempotency key always gives the same job",
        violations: violations
            .map(|(key, ids)| format!("{key}: {ids:?}"))
            .collect(),
    }
}

fn one_key_per_job(log: &Log) -> Verdict {
    let mut keys: BTreeMap<Uuid, Vec<&str>> = BTreeMap::new();
    for (key, ids) in &log.answers {
        for id in BTreeSet::from_iter(ids) {
            keys.entry(*id).or_default().push(key);
        }
    }
    let violations = keys.iter().filter(|(_, keys)| keys.len() > 1);
    Verdict {
        promise: "two emails never share a job",
        violations: violations
            .map(|(id, keys)| format!("{id}: {keys:?}"))
            .collect(),
    }
}

fn answered(log: &Log) -> Verdict {
    let mut violations = log.refused.clone();
    violations.extend((0..log.unanswered).map(|_| "a request without an answer".to_owned()));
    Verdict {
        promise: "every request was eventually answered, and none rejected",
        violations,
    }
}
