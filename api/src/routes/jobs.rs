//! Jobs: [`submit`] one, [`poll`] it, read its [`attempts`], [`explain`] why it waits, stream its [`events`], [`list`] many,
//! [`cancel`] and [`retry`]. [`JobBody`] is a job as JSON.

mod attempts;
mod cancel;
mod captures;
mod events;
mod explain;
mod list;
mod names;
mod poll;
mod retry;
pub(crate) mod submit;

pub(crate) use names::{JobKindName, QueueName};
pub(crate) use retry::RetriedJobs;

use crate::{App, error::ApiError, route_table::Route};
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::{commands::jobs::read, domain::Session, kinds::JobOutput};
use queue::{JobError, JobState, JobView, run::progress::Progress, view::Children};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

pub fn routes() -> Vec<Route> {
    let mut routes = vec![
        poll::route(),
        cancel::route(),
        attempts::route(),
        captures::route(),
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
    #[schemars(with = "JobKindName")]
    kind: String,
    state: JobState,
    /// Attempts that counted, the running one included; 0 before the first.
    #[schemars(range(min = 0))]
    attempts: i32,
    #[schemars(range(min = 1))]
    max_attempts: i32,
    /// 1 is the most urgent, 4 the least.
    #[schemars(range(min = 1, max = 4))]
    priority: i16,
    created_at: DateTime<Utc>,
    /// The earliest start of the next attempt.
    run_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    /// The result of a job that succeeded; null too if it has the words of a draft that you may not read.
    #[schemars(with = "Option<JobOutput>")]
    output: Option<Value>,
    /// Why it was discarded, or why its last attempt failed.
    error: Option<JobFailure>,
    /// What the running attempt reported, or how many of its child jobs have ended.
    progress: Option<JobProgress>,
    /// The request that submitted it.
    request_id: Option<String>,
    /// The id that the client gave that request.
    client_request_id: Option<String>,
    /// The job that enqueued this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<JobId>,
    /// Only of a job that enqueued others and waits, or waited, for them.
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
    #[schemars(range(min = 0, max = 1))]
    value: f32,
    note: String,
}

/// Paths of this job.
#[derive(Debug, Serialize, JsonSchema)]
struct JobLinks {
    #[serde(rename = "self")]
    this: String,
    /// Waits for the end of the job, at most 30 seconds.
    wait: String,
    /// Streams its events.
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
    /// The progress of a job that waits for its children.
    fn of_children(job: &JobView) -> Option<Self> {
        let children = job.children.filter(|_| !job.state.is_terminal())?;
        let ended = children.ended.min(children.total.into());
        let value = ended as f32 / children.total.max(1) as f32;
        Some(Self {
            value,
            note: format!("{ended} of {} child jobs have ended", children.total),
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
            attempts: job.attempts,
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
            client_request_id: job.client_request_id.clone(),
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

async fn find(app: &App, session: &Session, id: JobId) -> Result<JobView, ApiError> {
    let mut conn = app.pool.acquire().await?;
    read::find(&mut conn, session, id)
        .await?
        .ok_or_else(ApiError::not_found)
}
