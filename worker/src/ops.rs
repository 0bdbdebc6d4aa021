//! Serves `/metrics`, `/livez` and `/readyz` to operators, on a separate address.

use crate::{gauges::Gauges, handlers::ask::ModelAccess, metrics::WorkerMetrics};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base::telemetry::chain;
use chrono::SecondsFormat;
use jobs::{
    readiness,
    store::llm_lanes::{self, StoredLane},
};
use prometheus::{Encoder, TextEncoder};
use queue::runtime::engine::Engine;
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::timeout};

/// Reading the lanes of the models takes no longer.
const LANES_TIMEOUT: Duration = Duration::from_secs(1);
/// The tables without which no job can be claimed and settled.
const WRITTEN: [&str; 9] = [
    "queue_pauses",
    "queue_limits",
    "maintenance_duties",
    "workers",
    "jobs",
    "finished_jobs",
    "job_attempts",
    "audit_entries",
    "audit_batches",
];

/// Serves until the attempts have ended, so that a draining worker is still scraped.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    engine: Arc<Engine>,
    metrics: WorkerMetrics,
    access: Option<ModelAccess>,
    listener: TcpListener,
) -> std::io::Result<()> {
    let drained = engine.drained.clone();
    let router = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(Ops {
            engine,
            metrics,
            access,
            gauges: Arc::new(Gauges::new()),
        });
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { drained.cancelled().await })
        .await
}

/// The state of the routes.
#[derive(Clone)]
struct Ops {
    engine: Arc<Engine>,
    metrics: WorkerMetrics,
    /// The models that are configured.
    access: Option<ModelAccess>,
    gauges: Arc<Gauges>,
}

async fn show_metrics(State(ops): State<Ops>) -> Response {
    let Ops {
        engine,
        metrics,
        access,
        gauges,
    } = &ops;
    let refused = engine.database.refused_outcomes();
    metrics
        .runtime
        .outcomes_refused
        .set(i64::try_from(refused).unwrap_or(i64::MAX));
    metrics.runtime.refresh(&engine.pool, &engine.listener);
    gauges
        .refresh(engine, metrics, |lane| is_asked(access.as_ref(), lane))
        .await;
    let mut text = Vec::new();
    match TextEncoder::new().encode(&metrics.registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(error = chain(&error), "could not encode the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn readyz(State(Ops { engine, access, .. }): State<Ops>) -> Response {
    if engine.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    // What the loops met comes first: it also tells of rights and tables that no probe knows.
    if let Some(reason) = engine.database.unavailability() {
        return refuse(reason.as_str());
    }
    match readiness::check(&engine.pool, &WRITTEN).await {
        Ok(()) => ready(&engine, access.as_ref()).await.into_response(),
        Err(error) => {
            tracing::warn!(error = chain(&error), "not ready");
            refuse(error.reason())
        }
    }
}

fn refuse(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
}

/// Returns whether the lane is that of a model that is configured. Another one stops nobody.
fn is_asked(access: Option<&ModelAccess>, lane: &StoredLane) -> bool {
    access.is_some_and(|access| access.asks(lane))
}

/// Returns what is ready with restrictions: a worker does its other work while a model is not asked.
async fn ready(engine: &Engine, access: Option<&ModelAccess>) -> String {
    let mut text = "ok\n".to_owned();
    let lanes = match timeout(LANES_TIMEOUT, llm_lanes::list(&engine.pool)).await {
        Ok(Ok(lanes)) => lanes,
        Ok(Err(error)) => {
            tracing::warn!(%error, "could not read the lanes of the models");
            return text;
        }
        Err(_) => {
            tracing::warn!("reading the lanes of the models timed out");
            return text;
        }
    };
    for lane in lanes.into_iter().filter(|lane| is_asked(access, lane)) {
        if let (Some(reason), Some(until)) = (lane.reason, lane.until) {
            let until = until.to_rfc3339_opts(SecondsFormat::Secs, true);
            text += &format!(
                "the model {}/{} is not asked before {until}: {reason}\n",
                lane.provider, lane.model
            );
        }
    }
    text
}
