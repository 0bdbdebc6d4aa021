//! The operators' listener: `/metrics`, `/livez`, `/readyz`. Not for users, so it has an address of its own.

use crate::metrics::WorkerMetrics;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base::telemetry::chain;
use prometheus::{Encoder, TextEncoder};
use queue::runtime::engine::Engine;
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::timeout};

/// A probe that waits longer than this is a failed probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves until the attempts have ended: a draining worker is still scraped.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    engine: Arc<Engine>,
    metrics: WorkerMetrics,
    listener: TcpListener,
) -> std::io::Result<()> {
    let drained = engine.drained.clone();
    let router = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(Ops { engine, metrics });
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { drained.cancelled().await })
        .await
}

/// What the routes answer from.
#[derive(Clone)]
struct Ops {
    engine: Arc<Engine>,
    metrics: WorkerMetrics,
}

async fn show_metrics(State(Ops { engine, metrics }): State<Ops>) -> Response {
    let queues = engine.registry.queues();
    let refreshed = async {
        metrics
            .runtime
            .refresh(&engine.pool, &engine.listener, &queues)
            .await?;
        metrics.assistant.refresh(&engine.pool).await
    };
    match timeout(PROBE_TIMEOUT, refreshed).await {
        Ok(Ok(())) => {}
        // The counters are still worth a scrape; the gauges keep their last values.
        Ok(Err(error)) => {
            tracing::warn!(%error, "could not read the queue's sample for the metrics");
        }
        Err(_) => tracing::warn!("reading the queue's sample for the metrics took too long"),
    }
    let mut text = Vec::new();
    match TextEncoder::new().encode(&metrics.registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(error = chain(&error), "could not encode the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn readyz(State(Ops { engine, .. }): State<Ops>) -> Response {
    if engine.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    match timeout(PROBE_TIMEOUT, jobs::schema::check_schema(&engine.pool)).await {
        Ok(Ok(())) => "ok\n".into_response(),
        Ok(Err(error)) => {
            tracing::warn!(error = chain(&error), "not ready");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "the database cannot be used\n",
            )
                .into_response()
        }
        Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database does not answer\n",
        )
            .into_response(),
    }
}
