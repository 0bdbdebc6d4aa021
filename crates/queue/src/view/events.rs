//! The event log of a job: one sequence of the events stored in `job_events` and those derived from its rows.
//!
//! Only events that no other row shows are stored, so that a job that succeeds at once costs nothing more. An [`EventId`]
//! does not depend on the table in which the job's row lies, and later events sort later: reading after any event returns
//! exactly the rest.

mod id;

pub use id::{EventId, NotAnEventId};

use crate::{JobError, JobState, run::progress::Progress};
use base::{JobId, TenantId, WorkerId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// An event of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: EventId,
    pub at: DateTime<Utc>,
    pub kind: EventKind,
}

/// What happened to the job.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    Created,
    AttemptStarted {
        worker: Option<WorkerId>,
    },
    Progress(Progress),
    /// The cancellation of the running job was requested. A waiting job finishes at once.
    CancelRequested,
    AttemptEnded {
        /// As in [`super::attempts::AttemptView`].
        outcome: String,
        error: Option<JobError>,
    },
    /// The last event, unless the job is retried; then [`Self::Retried`] replaces it.
    Finished {
        state: JobState,
        error: Option<JobError>,
    },
    /// The finished job was returned to the queue.
    Retried,
}

/// Lists up to `limit` events of the tenant's job after `after`, or from the first on. Empty if the job does not exist.
///
/// # Errors
/// If the database fails, or holds an event that this version does not know.
pub async fn read(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
    after: Option<EventId>,
    limit: i64,
) -> Result<Vec<Event>, sqlx::Error> {
    // One statement sees one snapshot, so a job that moves between the tables meanwhile is found in exactly one of them.
    // A job's end takes the next number of its attempt, and its retry the one after that (dead_letters::retry).
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
    /// Converts the row; fails on an event that this version does not know.
    fn event(self) -> Result<Event, sqlx::Error> {
        let unknown = format!("unknown event {} {:?}", self.kind, self.outcome);
        let error = self.error_code.map(|code| JobError {
            code,
            message: self.error_message.unwrap_or_default(),
        });
        let kind = match self.kind.as_str() {
            "created" => Some(EventKind::Created),
            "attempt_started" => Some(EventKind::AttemptStarted {
                worker: self.worker,
            }),
            "progress" => Progress::stored(self.progress, self.note).map(EventKind::Progress),
            "cancel_requested" => Some(EventKind::CancelRequested),
            "attempt_ended" => self
                .outcome
                .map(|outcome| EventKind::AttemptEnded { outcome, error }),
            "finished" => self
                .outcome
                .and_then(|state| JobState::parse(&state))
                .map(|state| EventKind::Finished { state, error }),
            "retried" => Some(EventKind::Retried),
            _ => None,
        };
        Ok(Event {
            id: EventId {
                attempt: self.attempt,
                rank: self.rank,
                seq: self.seq,
            },
            at: self.at,
            kind: kind.ok_or_else(|| sqlx::Error::Decode(unknown.into()))?,
        })
    }
}
