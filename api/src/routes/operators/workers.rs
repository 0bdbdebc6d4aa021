//! Worker processes by their heartbeats: `GET /v1/admin/workers`.

use crate::{
    AppState,
    error::ApiError,
    extract::List,
    route_table::{Access, Route},
    routes::jobs::QueueName,
};
use axum::{Json, extract::State, http::Method};
use base::WorkerId;
use chrono::{DateTime, Utc};
use jobs::domain::session::Scope;
use queue::operate::workers::{self, WorkerInfo};
use schemars::JsonSchema;
use serde::Serialize;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/admin/workers",
            "list_workers",
            Access::Operators(Scope::OperatorsRead),
            list_workers,
        )
        .summary("List the workers that sent a heartbeat in the last ten minutes")
        .answer::<List<WorkerBody>>(200, "The workers, oldest first"),
    ]
}

/// A worker process, as of its last heartbeat.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Worker")]
struct WorkerBody {
    id: WorkerId,
    host: String,
    #[schemars(with = "Vec<QueueName>")]
    queues: Vec<String>,
    /// How many jobs of each queue it runs at once.
    #[schemars(range(min = 0))]
    slots: i32,
    /// Jobs that it held at its last heartbeat.
    #[schemars(range(min = 0))]
    running: i32,
    /// Whether it claims no more jobs and exits after its running ones.
    stopping: bool,
    version: String,
    started_at: DateTime<Utc>,
    /// Its last heartbeat; one is sent every 15 seconds.
    seen_at: DateTime<Utc>,
    /// Whether heartbeats are missing: dead, frozen or disconnected. Its jobs are rescued when their leases expire.
    silent: bool,
}

async fn list_workers(State(app): State<AppState>) -> Result<Json<List<WorkerBody>>, ApiError> {
    Ok(List::of(workers::list(&app.pool).await?))
}

impl From<WorkerInfo> for WorkerBody {
    fn from(worker: WorkerInfo) -> Self {
        Self {
            id: worker.id,
            host: worker.host,
            queues: worker.queues,
            slots: worker.slots,
            running: worker.running,
            stopping: worker.stopping,
            version: worker.version,
            started_at: worker.started_at,
            seen_at: worker.seen_at,
            silent: worker.silent,
        }
    }
}
