//! How work is asked for and seen: the HTTP API of Postroom. Start with [`router`].
//!
//! `route_table` declares every operation, `routes` holds their handlers, `pipeline` is what happens to every request,
//! `extract` parses at the edge, `error` is every failure. Serving is `server` (users) and `ops` (operators).
//! Never calls a model, touches no mailbox, holds no SQL: work is handed to `jobs` and done by the worker.

pub mod access;
pub mod admin;
pub mod cli;
pub mod config;
pub mod context;
pub mod cursor;
pub mod error;
pub mod extract;
pub mod fingerprint;
pub mod metrics;
pub mod openapi;
pub mod ops;
pub mod pipeline;
pub mod route_table;
pub mod routes;
pub mod serve;
pub mod server;
pub mod streams;

use crate::{
    config::ApiConfig, error::ApiError, metrics::ApiMetrics, route_table::RouteTable,
    server::Limits, streams::Streams,
};
use axum::{Router, middleware};
use base::{clock::Clock, db::PgPool};
use jobs::commands::{
    jobs::Submitter,
    sessions::{authenticate::SessionReader, denials::Denials, hashing::PasswordHasher},
};
use queue::signals::{listener::Listener, notifier::Notifier};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Everything a handler may use.
pub struct App {
    pub config: ApiConfig,
    pub pool: PgPool,
    pub notifier: Notifier,
    pub submitter: Submitter,
    pub sessions: SessionReader,
    pub listener: Listener,
    pub metrics: ApiMetrics,
    pub clock: Clock,
    pub table: RouteTable,
    pub limits: Limits,
    pub hasher: PasswordHasher,
    /// Keeps refused requests from filling the audit log.
    pub denials: Denials,
    /// Who follows jobs.
    pub streams: Streams,
    /// Requests that write, and whatever else must end before the process does.
    pub tracker: TaskTracker,
    /// Set when the process is to stop: nothing new is accepted and waiting requests answer with what they know.
    pub stopping: CancellationToken,
    /// One permit per request being worked on; none left means 503.
    pub admission: Arc<Semaphore>,
}

/// Shared by all requests.
pub type AppState = Arc<App>;

/// The operations of the route table and nothing else.
pub fn router(app: AppState, operations: Router<AppState>) -> Router {
    operations
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(async || {
            ApiError::new(
                error::Code::MethodNotAllowed,
                "Use one of the methods in the Allow header.",
            )
        })
        .layer(middleware::from_fn_with_state(
            app.clone(),
            pipeline::handle,
        ))
        .with_state(app)
}
