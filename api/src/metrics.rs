//! What this process counts. A field's comment is its HELP text; labels come from closed sets only.

use crate::route_table::RouteTable;
use base::db::{self, PgPool};
use jobs::commands::approvals::decide::DecisionKind;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
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

/// The API's metrics, registered in one registry.
#[derive(Clone, Debug)]
pub struct ApiMetrics {
    pub registry: Registry,
    /// Requests answered.
    pub http_requests_total: IntCounterVec,
    /// Time from a request's head to its answer's head, in seconds.
    pub http_request_duration_seconds: HistogramVec,
    /// Requests being worked on.
    pub http_requests_in_flight: IntGauge,
    /// Jobs asked for, by whether they were new.
    pub jobs_enqueued_total: IntCounterVec,
    /// Requests that asked for what was asked before, by what noticed.
    pub duplicates_suppressed_total: IntCounterVec,
    /// Sessions opened.
    pub sessions_opened_total: IntCounterVec,
    /// Requests refused for want of a valid session or credential.
    pub auth_failures_total: IntCounterVec,
    /// Decisions of people about approvals.
    pub approvals_total: IntCounterVec,
    /// Time from a proposal to a person's yes or no, in seconds.
    pub approval_latency_seconds: Histogram,
    /// Requests that wait for a job to end.
    pub long_polls_waiting: IntGauge,
    /// Streams of events that are open.
    pub event_streams_open: IntGauge,
    /// Connections of this process to the database.
    pub db_pool_connections: IntGaugeVec,
    /// Whether notifications are heard (1) or the process lives by polling (0).
    pub listener_alive: IntGauge,
}

/// Counts something as going on until it is dropped: by its end, by a panic, or by a client that left.
#[derive(Debug)]
pub struct Ongoing(IntGauge);

impl Ongoing {
    pub fn begin(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl ApiMetrics {
    /// # Errors
    /// If a name is registered twice, which is a mistake in the code.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let gauge = |name: &str, help: &str| {
            let metric = IntGauge::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let http_request_duration_seconds = HistogramVec::new(
            HistogramOpts::new(
                "http_request_duration_seconds",
                "Time from a request's head to its answer's head, in seconds.",
            )
            .buckets(SECONDS.to_vec()),
            &["operation"],
        )?;
        registry.register(Box::new(http_request_duration_seconds.clone()))?;
        let db_pool_connections = IntGaugeVec::new(
            Opts::new(
                "db_pool_connections",
                "Connections of this process to the database.",
            ),
            &["state"],
        )?;
        registry.register(Box::new(db_pool_connections.clone()))?;
        let approval_latency_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "approval_latency_seconds",
                "Time from a proposal to a person's yes or no, in seconds.",
            )
            .buckets(DECISIONS.to_vec()),
        )?;
        registry.register(Box::new(approval_latency_seconds.clone()))?;
        Ok(Self {
            http_requests_total: counters(
                "http_requests_total",
                "Requests answered.",
                &["operation", "status"],
            )?,
            http_request_duration_seconds,
            http_requests_in_flight: gauge("http_requests_in_flight", "Requests being worked on.")?,
            jobs_enqueued_total: counters(
                "jobs_enqueued_total",
                "Jobs asked for, by whether they were new.",
                &["kind", "outcome"],
            )?,
            duplicates_suppressed_total: counters(
                "duplicates_suppressed_total",
                "Requests that asked for what was asked before, by what noticed.",
                &["layer"],
            )?,
            sessions_opened_total: counters(
                "sessions_opened_total",
                "Sessions opened.",
                &["method"],
            )?,
            auth_failures_total: counters(
                "auth_failures_total",
                "Requests refused for want of a valid session or credential.",
                &["reason"],
            )?,
            approvals_total: counters(
                "approvals_total",
                "Decisions of people about approvals.",
                &["decision"],
            )?,
            approval_latency_seconds,
            long_polls_waiting: gauge(
                "long_polls_waiting",
                "Requests that wait for a job to end.",
            )?,
            event_streams_open: gauge("event_streams_open", "Streams of events that are open.")?,
            db_pool_connections,
            listener_alive: gauge(
                "listener_alive",
                "Whether notifications are heard (1) or the process lives by polling (0).",
            )?,
            registry,
        })
    }

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
        for layer in ["request", "job"] {
            self.duplicates_suppressed_total.with_label_values(&[layer]);
        }
    }

    /// Brings the gauges up to date that are read rather than counted.
    pub fn refresh(&self, pool: &PgPool, listener: &Listener) {
        let connections = db::connections(pool);
        self.db_pool_connections
            .with_label_values(&["idle"])
            .set(connections.idle);
        self.db_pool_connections
            .with_label_values(&["used"])
            .set(connections.used);
        self.listener_alive.set(i64::from(listener.is_alive()));
    }
}
