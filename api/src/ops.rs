//! The operators' listener: `/metrics`, `/livez`, `/readyz`. Not for users, so it has its own address.

use crate::AppState;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base::{db::Unavailability, telemetry::chain};
use jobs::readiness;
use prometheus::{Encoder, TextEncoder};
use std::time::Duration;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

/// A probe that takes longer has failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// The tables without which no work can be accepted.
const WRITTEN: [&str; 5] = [
    "jobs",
    "job_keys",
    "request_keys",
    "messages",
    "audit_entries",
];

/// Serves until `drained`: a stopping process is still scraped and answers that it is not ready.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    app: AppState,
    listener: TcpListener,
    drained: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(app);
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { drained.cancelled().await })
        .await
}

async fn metrics(State(app): State<AppState>) -> Response {
    app.metrics.refresh(&app.pool, &app.listener);
    let mut text = Vec::new();
    match TextEncoder::new().encode(&app.registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(error = chain(&error), "could not encode the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn readyz(State(app): State<AppState>) -> Response {
    let refuse = |why: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response();
    if app.stopping.is_cancelled() {
        return refuse("draining");
    }
    match timeout(PROBE_TIMEOUT, readiness::check(&app.pool, &WRITTEN)).await {
        // Without notifications, waiting requests poll: the process is ready, but operators should see it.
        Ok(Ok(())) if !app.listener.is_alive() => "ok, but the listener is down\n".into_response(),
        Ok(Ok(())) => "ok\n".into_response(),
        Ok(Err(error)) => {
            tracing::warn!(error = chain(&error), "not ready");
            refuse(error.reason())
        }
        Err(_) => refuse(Unavailability::Unreachable.as_str()),
    }
}
