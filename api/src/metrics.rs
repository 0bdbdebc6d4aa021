//! What this process counts. A field's comment is its HELP text; labels come from closed sets only.

use crate::route_table::RouteTable;
use base::db::{self, PgPool};
use jobs::commands::{approvals::decide::DecisionKind, sessions::authenticate::Refusal};
use prometheus::IntGauge;
use queue::signals::listener::Listener;

/// Most answers take milliseconds; a long poll takes up to half a minute.
const SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 45.0,
];

/// People decide within minutes or within days; after two weeks nobody does.
const DECISIONS: [f64; 10] = [
    10.0,
    60.0,
    300.0,
    900.0,
    3_600.0,
    14_400.0,
    43_200.0,
    86_400.0,
    345_600.0,
    1_209_600.0,
];

/// Why the process closes connections.
const CLOSED: [&str; 4] = ["evicted", "malformed", "refused", "unread"];

base::metrics! {
    /// The API's metrics.
    #[derive(Debug)]
    pub struct ApiMetrics {
        /// Requests answered.
        http_requests_total: IntCounterVec [operation, status],
        /// Time from a request's head to its response's head, in seconds.
        http_request_duration_seconds: HistogramVec [operation] = &SECONDS,
        /// Requests in progress.
        http_requests_in_flight: IntGauge,
        /// Jobs submitted, by whether they were new.
        jobs_enqueued_total: IntCounterVec [kind, outcome],
        /// Requests that repeated an earlier one, by the layer that noticed.
        duplicates_suppressed_total: IntCounterVec [layer],
        /// Sessions opened.
        sessions_opened_total: IntCounterVec [method],
        /// Requests refused for lack of a valid session or credential.
        auth_failures_total: IntCounterVec [reason],
        /// Approvals decided by people.
        approvals_total: IntCounterVec [decision],
        /// Time from a proposal to its decision, in seconds.
        approval_latency_seconds: Histogram = &DECISIONS,
        /// Requests that wait for a job to end.
        long_polls_waiting: IntGauge,
        /// Open event streams.
        event_streams_open: IntGauge,
        /// Connections that the process closed: `refused` and `evicted` for lack of room, `unread` responses, `malformed` requests.
        http_connections_closed_total: IntCounterVec [reason],
        /// Bytes of the bodies of requests that have not ended.
        http_body_bytes: IntGauge,
        /// Connections of this process to the database.
        db_pool_connections: IntGaugeVec [state],
        /// Whether notifications arrive (1) or the process only polls (0).
        listener_alive: IntGauge,
        /// Seconds until the first certificate of the served chain expires, below 0 if it has; absent without TLS.
        tls_expires_seconds: IntGaugeVec [listener],
    }
}

/// Counts something as going on until it is dropped: by its end, by a panic, or by a client that left.
#[derive(Debug)]
pub struct InProgress(IntGauge);

impl InProgress {
    pub fn begin(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl ApiMetrics {
    /// Creates the series that boards and alerts watch before anything happened to them.
    pub fn declare(&self, table: &RouteTable, kinds: &[&str]) {
        for operation in table.operations() {
            self.http_request_duration_seconds
                .with_label_values(&[operation.name]);
        }
        for kind in kinds {
            for outcome in ["inserted", "existing"] {
                self.jobs_enqueued_total.with_label_values(&[kind, outcome]);
            }
        }
        for decision in DecisionKind::ALL {
            self.approvals_total.with_label_values(&[decision.as_str()]);
        }
        for reason in CLOSED {
            self.http_connections_closed_total
                .with_label_values(&[reason]);
        }
        // The first reused token must be seen as an increase.
        self.auth_failures_total
            .with_label_values(&[Refusal::Reused.as_str()]);
        for layer in ["request", "job"] {
            self.duplicates_suppressed_total.with_label_values(&[layer]);
        }
    }

    /// Counts a connection that the process closed, for one of [`CLOSED`].
    pub fn closed(&self, reason: &'static str) {
        self.http_connections_closed_total
            .with_label_values(&[reason])
            .inc();
    }

    /// Brings the gauges up to date that are read rather than counted.
    pub fn refresh(&self, pool: &PgPool, listener: &Listener, body_bytes: usize) {
        let connections = db::connections(pool);
        self.db_pool_connections
            .with_label_values(&["idle"])
            .set(connections.idle);
        self.db_pool_connections
            .with_label_values(&["used"])
            .set(connections.used);
        self.listener_alive.set(i64::from(listener.is_alive()));
        self.http_body_bytes
            .set(i64::try_from(body_bytes).unwrap_or(i64::MAX));
    }
}
