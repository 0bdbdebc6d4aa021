//! `GET /v1/admin/workers`: who works, as far as was heard lately.

use crate::{
    AppState,
    error::ApiError,
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use base::WorkerId;
use chrono::{DateTime, Utc};
use jobs::domain::session::Scope;
use queue::operate::workers;
use schemars::JsonSchema;
use serde::Serialize;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/admin/workers",
            "list_workers",
            Access::Fleet(Scope::FleetRead),
            list_workers,
        )
        .summary("List the workers that were heard of in the last ten minutes")
        .answer::<Workers>(200, "The workers, the oldest first"),
    ]
}

#[derive(Serialize, JsonSchema)]
struct Workers {
    items: Vec<WorkerBody>,
}

/// A worker process as it was heard of last.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Worker")]
struct WorkerBody {
    id: WorkerId,
    host: String,
    queues: Vec<String>,
    /// Jobs of each queue that it runs at the same time.
    slots: i32,
    /// Jobs that it held when it was last heard of.
    running: i32,
    /// It claims nothing more and ends when its jobs have.
    stopping: bool,
    version: String,
    started_at: DateTime<Utc>,
    /// It speaks every 15 seconds.
    seen_at: DateTime<Utc>,
    /// It has missed its turns: dead, frozen or cut off. Its jobs come back when their leases expire.
    silent: bool,
}

async fn list_workers(State(app): State<AppState>) -> Result<Json<Workers>, ApiError> {
    let items = workers::list(&app.pool)
        .await?
        .into_iter()
        .map(|worker| WorkerBody {
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
        })
        .collect();
    Ok(Json(Workers { items }))
}
