//! A job's event log: one order over what its rows tell of it and what was noted while it ran.
//!
//! Only what no other row tells is written down, in `job_events`; the rest is derived, so that a good job costs nothing
//! more. An event's [`EventId`] does not depend on where the job's row lies, and what happens later sorts later: reading
//! on after any event gives exactly the rest.

mod id;

pub use id::{EventId, NotAnEventId};

use crate::{JobError, JobState, run::progress::Progress};
use base::{JobId, TenantId, WorkerId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: EventId,
    pub at: DateTime<Utc>,
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Created,
    AttemptStarted {
        worker: Option<WorkerId>,
    },
    Progress(Progress),
    /// Somebody wants the running job stopped. A waiting one is simply finished.
    CancelRequested,
    AttemptEnded {
        /// As in [`super::attempts::AttemptView`].
        outcome: String,
        error: Option<JobError>,
    },
    /// Nothing will follow unless somebody puts the job back in line; of a job that was put back, only its return is told.
    Finished {
        state: JobState,
        error: Option<JobError>,
    },
    /// Somebody put the job back in line.
    Retried,
}

/// Up to `limit` events of the tenant's job after this one, or from the first on. None for a job that does not exist.
///
/// # Errors
/// If the database cannot be asked, or holds an event this version does not know.
pub async fn read(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
    after: Option<EventId>,
    limit: i64,
) -> Result<Vec<Event>, sqlx::Error> {
    // One statement sees one snapshot, so a job that is being moved between the tables is found in exactly one of them.
    // An end takes the next number of its attempt, and its return the one after that (dead_letters::requeue).
    let after = after.unwrap_or(EventId::BEFORE_ALL);
    let rows = sqlx::query_as!(
        Row,
        r#"select attempt as "attempt!", rank as "rank!", seq as "seq!", at as "at!", kind as "kind!",
                  worker_id as "worker: WorkerId", outcome, progress, note, error_code, error_message
           from (
               select 0 as attempt, 0 as rank, 0 as seq, created_at as at, 'created' as kind, null::uuid as worker_id,
                      null::text as outcome, null::real as progress, null::text as note, null::text as error_code,
                      null::text as error_message
               from (
                   select created_at from jobs where tenant_id = $1 and id = $2
                   union all
                   select created_at from finished_jobs where tenant_id = $1 and id = $2
               ) job
               union all
               select attempt, 1, 0, coalesce(started_at, ended_at), 'attempt_started', worker_id,
                      null, null, null, null, null
               from job_attempts where tenant_id = $1 and job_id = $2 and attempt >= $3
               union all
               select attempt, 1, 0, started_at, 'attempt_started', worker_id, null, null, null, null, null
               from jobs where tenant_id = $1 and id = $2 and state = 'running'
               union all
               select attempt, 1, 0, coalesce(started_at, finished_at), 'attempt_started', worker_id,
                      null, null, null, null, null
               from finished_jobs where tenant_id = $1 and id = $2 and state = 'succeeded'
               union all
               select attempt, case when kind = 'retried' then 4 else 2 end, seq, at, kind, null,
                      null, progress, note, null, null
               from job_events where tenant_id = $1 and job_id = $2 and attempt >= $3
               union all
               select attempt, 3, 0, ended_at, 'attempt_ended', worker_id, outcome, null, null, error_code, error_message
               from job_attempts where tenant_id = $1 and job_id = $2 and attempt >= $3
               union all
               select attempt, 3, 0, finished_at, 'attempt_ended', worker_id, state, null, null, null, null
               from finished_jobs where tenant_id = $1 and id = $2 and state = 'succeeded'
               union all
               select attempt, 4, 1 + coalesce(
                          (select max(seq) from job_events event
                           where event.tenant_id = $1 and event.job_id = $2 and event.attempt = finished_jobs.attempt), 0),
                      finished_at, 'finished', null, state, null, null, error_code, error_message
               from finished_jobs where tenant_id = $1 and id = $2
           ) event
           where (attempt, rank, seq) > ($3, $4, $5)
           order by attempt, rank, seq
           limit $6"#,
        tenant.0,
        job.0,
        after.attempt,
        after.rank,
        after.seq,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::event).collect()
}

struct Row {
    attempt: i32,
    rank: i32,
    seq: i32,
    at: DateTime<Utc>,
    kind: String,
    worker: Option<WorkerId>,
    outcome: Option<String>,
    progress: Option<f32>,
    note: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
}

impl Row {
    /// Fails on what this version does not know.
    fn event(self) -> Result<Event, sqlx::Error> {
        let unknown = format!("unknown event {} {:?}", self.kind, self.outcome);
        let error = self.error_code.map(|code| JobError {
            code,
            message: self.error_message.unwrap_or_default(),
        });
        let what = match self.kind.as_str() {
            "created" => Some(What::Created),
            "attempt_started" => Some(What::AttemptStarted {
                worker: self.worker,
            }),
            "progress" => Progress::stored(self.progress, self.note).map(What::Progress),
            "cancel_requested" => Some(What::CancelRequested),
            "attempt_ended" => self
                .outcome
                .map(|outcome| What::AttemptEnded { outcome, error }),
            "finished" => self
                .outcome
                .and_then(|state| JobState::parse(&state))
                .map(|state| What::Finished { state, error }),
            "retried" => Some(What::Retried),
            _ => None,
        };
        Ok(Event {
            id: EventId {
                attempt: self.attempt,
                rank: self.rank,
                seq: self.seq,
            },
            at: self.at,
            what: what.ok_or_else(|| sqlx::Error::Decode(unknown.into()))?,
        })
    }
}
