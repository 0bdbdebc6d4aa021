//! The operators' listener: `/metrics`, `/livez`, `/readyz`. Not for users, so it has its own address.

use crate::{
    AppState,
    server::{self, Served},
};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base::telemetry::chain;
use jobs::readiness;
use prometheus::{Encoder, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The tables without which no work can be accepted.
const WRITTEN: [&str; 6] = [
    "sessions",
    "jobs",
    "job_keys",
    "request_keys",
    "messages",
    "audit_entries",
];

/// Serves until `drained`: a stopping process is still scraped and answers that it is not ready. Has connections of its own,
/// so that users cannot take them.
pub async fn serve(app: AppState, listener: TcpListener, drained: CancellationToken) {
    let served = Served {
        router: Router::new(),
        limits: app.limits.for_operators(),
        proxies: app.config.trusted_proxies.clone(),
        metrics: app.metrics.clone(),
        // Probes and scrapers are inside.
        tls: None,
    };
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(app);
    server::serve(listener, Served { router, ..served }, drained).await;
}

async fn metrics(State(app): State<AppState>) -> Response {
    app.metrics
        .refresh(&app.pool, &app.listener, app.admission.body_bytes());
    if let Some(tls) = &app.tls {
        let left = tls.expires() - app.clock.now().timestamp();
        let gauge = &app.metrics.tls_expires_seconds;
        gauge.with_label_values(&["api"]).set(left);
    }
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
    // What requests met comes first: it tells of tables and a full disk that no probe knows.
    if let Some(reason) = app.database.unavailability() {
        return refuse(reason.as_str());
    }
    match readiness::check(&app.pool, &WRITTEN).await {
        // Without notifications, waiting requests poll: the process is ready, but operators should see it.
        Ok(()) if !app.listener.is_alive() => "ok, but the listener is down\n".into_response(),
        Ok(()) => "ok\n".into_response(),
        Err(error) => {
            tracing::warn!(error = chain(&error), "not ready");
            refuse(error.reason())
        }
    }
}
