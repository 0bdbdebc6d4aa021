//! The HTTP API of Postroom: accepts work and shows its results. Start with [`router`].
//!
//! `route_table` declares every operation, `routes` holds their handlers, `pipeline` wraps every request, `extract` parses
//! at the edge, `error` is every failure, `reference` the API's description of itself. `server` serves users, `ops` serves
//! probes and metrics. Calls no model, touches no mailbox, holds no SQL: `jobs` stores the work and the worker executes it.

pub mod access;
pub mod admin;
pub mod admission;
pub mod cli;
pub mod config;
pub mod context;
pub mod cursor;
mod database_clock;
pub mod database_state;
pub mod error;
pub mod etag;
pub mod extract;
pub mod fingerprint;
pub mod metrics;
pub mod openapi;
pub mod ops;
pub mod output;
pub mod pipeline;
pub mod proxies;
pub mod reference;
pub mod route_table;
pub mod routes;
pub mod serve;
pub mod server;
pub mod slots;

use crate::{
    admission::Admission,
    config::ApiConfig,
    database_state::DatabaseState,
    error::ApiError,
    metrics::ApiMetrics,
    reference::Reference,
    route_table::RouteTable,
    server::{Limits, tls::Tls},
    slots::Slots,
};
use axum::{Router, middleware};
use base::{TenantId, clock::Clock, db::PgPool};
use jobs::commands::{
    jobs::Submitter,
    sessions::{
        authenticate::SessionReader,
        denials::Denials,
        hashing::{PasswordHasher, Verifier},
    },
};
use jobs::domain::UserId;
use prometheus::Registry;
use queue::signals::{listener::Listener, notifier::Notifier};
use std::sync::Arc;
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
    /// Where the metrics are registered, for the scrape.
    pub registry: Registry,
    pub clock: Clock,
    /// Without it, HTTP is plain.
    pub tls: Option<Arc<Tls>>,
    /// Why the database lately refused requests.
    pub database: DatabaseState,
    pub table: RouteTable,
    pub reference: Reference,
    pub limits: Limits,
    pub hasher: PasswordHasher,
    /// Keeps refused requests from filling the audit log.
    pub denials: Denials,
    /// The open event streams of each user.
    pub streams: Slots<(TenantId, UserId)>,
    /// The requests of each user that wait for a job to end.
    pub polls: Slots<(TenantId, UserId)>,
    /// Requests that write, and other tasks that must end before the process.
    pub tracker: TaskTracker,
    /// Set when the process stops: it accepts nothing new, and waiting requests respond with the present state.
    pub stopping: CancellationToken,
    /// What requests in progress have taken.
    pub admission: Arc<Admission>,
}

impl App {
    /// What verifies a person who logs in or confirms their password.
    pub fn verifier(&self) -> Verifier<'_> {
        Verifier {
            hasher: &self.hasher,
            keys: self.config.keys.as_ref(),
        }
    }
}

/// Shared by all requests.
pub type AppState = Arc<App>;

/// Serves the operations of the route table and nothing else.
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
