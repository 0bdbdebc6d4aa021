//! Jobs: asking for one ([`submit`]), looking at one ([`poll`], [`attempts`], [`explain`]), following it ([`events`]) or at many ([`list`]),
//! stopping ([`cancel`]) and trying again ([`retry`]). What a job looks like is [`JobBody`].

mod attempts;
mod cancel;
mod events;
mod explain;
mod list;
mod poll;
mod retry;
pub(crate) mod submit;

use crate::{App, error::ApiError, route_table::Route};
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::{domain::Session, kinds::JobOutput};
use queue::{
    JobError, JobState, JobView,
    run::progress::Progress,
    view::{self, Children},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

pub fn routes() -> Vec<Route> {
    let mut routes = vec![
        poll::route(),
        cancel::route(),
        attempts::route(),
        explain::route(),
        events::route(),
    ];
    routes.extend(submit::routes());
    routes.extend(list::routes());
    routes.extend(retry::routes());
    routes
}

/// A job as its owner sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Job")]
pub(crate) struct JobBody {
    id: JobId,
    /// `triage.email`, `triage.batch`, `draft.generate`, `action.execute` or `connection.test`.
    kind: String,
    state: JobState,
    /// Attempts that counted, the running one included; 0 before the first.
    attempt: i32,
    max_attempts: i32,
    /// 1 is the most urgent, 4 the least.
    priority: i16,
    created_at: DateTime<Utc>,
    /// Not before then.
    run_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    /// The result of a job that succeeded.
    #[schemars(with = "Option<JobOutput>")]
    output: Option<Value>,
    /// Why it was given up, or why its last attempt failed.
    error: Option<JobFailure>,
    /// What the running attempt has reported, or how many of the children that it waits for have ended.
    progress: Option<JobProgress>,
    /// The request that asked for it.
    request_id: Option<String>,
    /// The job that enqueued this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<JobId>,
    /// Of a job that waits, or waited, for others that it enqueued.
    #[serde(skip_serializing_if = "Option::is_none")]
    children: Option<Children>,
    links: JobLinks,
}

/// Why a job failed, for its owner.
#[derive(Debug, Serialize, JsonSchema)]
struct JobFailure {
    /// Stable and machine-readable.
    code: String,
    message: String,
}

/// How far a job is.
#[derive(Debug, Serialize, JsonSchema)]
struct JobProgress {
    /// From 0 to 1.
    value: f32,
    note: String,
}

/// Where to go from here.
#[derive(Debug, Serialize, JsonSchema)]
struct JobLinks {
    #[serde(rename = "self")]
    this: String,
    /// Answers when the job has ended, or after 30 s.
    wait: String,
    /// Tells what happens to it as it happens.
    events: String,
}

impl JobFailure {
    fn of(error: &JobError) -> Self {
        Self {
            code: error.code.clone(),
            message: error.message.clone(),
        }
    }
}

impl JobProgress {
    fn of(progress: &Progress) -> Self {
        Self {
            value: progress.value(),
            note: progress.note().to_owned(),
        }
    }
}

impl JobProgress {
    /// A job that waits for others is as far as they are.
    fn of_children(job: &JobView) -> Option<Self> {
        let children = job.children.filter(|_| !job.state.is_terminal())?;
        let ended = children.ended.min(children.total.into());
        let share = ended as f32 / children.total.max(1) as f32;
        Some(Self {
            value: share,
            note: format!("{ended} of {} jobs have ended", children.total),
        })
    }
}

impl JobBody {
    fn to_bytes(job: &JobView) -> Vec<u8> {
        let path = path(job.id);
        let body = Self {
            id: job.id,
            kind: job.kind.clone(),
            state: job.state,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            priority: job.priority,
            created_at: job.created_at,
            run_at: job.run_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            output: job.output.clone(),
            error: job.error.as_ref().map(JobFailure::of),
            progress: job
                .progress
                .as_ref()
                .map(JobProgress::of)
                .or_else(|| JobProgress::of_children(job)),
            request_id: job.request_id.clone(),
            parent: job.parent,
            children: job.children,
            links: JobLinks {
                wait: format!("{path}?wait=30"),
                events: format!("{path}/events"),
                this: path,
            },
        };
        serde_json::to_vec(&body).expect("a job has only string keys")
    }
}

fn path(job: JobId) -> String {
    format!("/v1/jobs/{job}")
}

/// What is no id names no job: the same answer as for a job of somebody else.
fn job_id(text: &str) -> Result<JobId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found())
}

async fn find(app: &App, session: &Session, id: JobId) -> Result<JobView, ApiError> {
    let mut conn = app.pool.acquire().await?;
    view::find(&mut conn, session.tenant, id)
        .await?
        .ok_or_else(ApiError::not_found)
}
