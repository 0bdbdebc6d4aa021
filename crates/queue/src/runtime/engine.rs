//! [`Engine`]: the state that the parts of a running worker share.

use crate::runtime::{
    config::RuntimeConfig,
    database_state::DatabaseState,
    duty::Duty,
    handler::Registry,
    leases::{AttemptSignal, LeaseTable},
    metrics::{KindMetrics, RuntimeMetrics},
    recorder::Recorder,
    settle_batch::Batcher,
};
use crate::{
    Job,
    signals::{listener::Listener, notifier::Notifier},
};
use base::{WorkerId, clock::Clock};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A worker process: one id, its connections and its leases.
pub struct Engine {
    pub worker: WorkerId,
    pub config: RuntimeConfig,
    pub pool: PgPool,
    /// For single statements on the queue, which must not wait for connections that handlers use.
    pub queue_pool: PgPool,
    pub registry: Registry,
    pub metrics: RuntimeMetrics,
    /// Records ended attempts in the transaction that ends them.
    pub recorder: Recorder,
    pub duties: Vec<Arc<dyn Duty>>,
    pub notifier: Notifier,
    pub listener: Listener,
    pub clock: Clock,
    pub leases: LeaseTable,
    pub database: DatabaseState,
    pub batcher: Batcher,
    pub tracker: TaskTracker,
    /// Set when the worker stops claiming; running jobs continue.
    pub stopping: CancellationToken,
    /// Set when the grace period is over: running jobs are handed back.
    pub grace_over: CancellationToken,
    /// Set when every attempt has ended, and with them the loops that served them.
    pub drained: CancellationToken,
    /// Notified when an attempt was rescheduled, so that the next poll may be due sooner.
    pub rescheduled: Notify,
    /// The end of the first expired lease that a poll found.
    pub expired: watch::Sender<Option<DateTime<Utc>>>,
    /// Notified when a duty is due.
    pub duty_due: Notify,
    /// Notified when the database's clock was set forward: all leases must be renewed.
    pub clock_jumped: Notify,
    /// Whether limits on running jobs are in force, as of the last poll.
    limited: AtomicBool,
    queues: HashMap<&'static str, QueueState>,
    kinds: HashMap<&'static str, KindMetrics>,
}

/// The state of one queue in this worker.
pub(super) struct QueueState {
    pub(super) slots: Arc<Semaphore>,
    /// Wakes the claim loop. Keeps a permit for a signal that comes while the loop is busy.
    pub(super) wake: Notify,
    /// The claim loop rescans by itself, because vacuum is blocked and scans are slow; also before the first claim.
    pub(super) rescans: AtomicBool,
}

/// A claimed job before its handler runs.
pub struct ClaimedJob {
    pub job: Arc<Job>,
    /// Released when the attempt is settled, so that the next job can be claimed.
    pub slot: OwnedSemaphorePermit,
    /// Signals to the attempt while its lease is held.
    pub signal: Arc<AttemptSignal>,
}

/// The arguments of [`Engine::new`].
pub struct EngineParts {
    pub config: RuntimeConfig,
    pub pool: PgPool,
    /// For single statements on the queue, which must not wait for connections that handlers use.
    pub queue_pool: PgPool,
    pub registry: Registry,
    pub metrics: RuntimeMetrics,
    /// Records ended attempts in the transaction that ends them.
    pub recorder: Recorder,
    pub duties: Vec<Arc<dyn Duty>>,
    pub notifier: Notifier,
    pub listener: Listener,
    pub clock: Clock,
    pub tracker: TaskTracker,
}

impl Engine {
    pub fn new(parts: EngineParts) -> Arc<Self> {
        let EngineParts {
            config,
            pool,
            queue_pool,
            registry,
            metrics,
            recorder,
            duties,
            notifier,
            listener,
            clock,
            tracker,
        } = parts;
        let slots = usize::try_from(config.slots).expect("a u32 fits into a usize");
        let queues: HashMap<_, _> = registry
            .queues()
            .into_iter()
            .map(|queue| {
                (
                    queue,
                    QueueState {
                        slots: Arc::new(Semaphore::new(slots)),
                        wake: Notify::new(),
                        rescans: AtomicBool::new(true),
                    },
                )
            })
            .collect();
        for queue in queues.keys() {
            metrics
                .worker_slots
                .with_label_values(&[queue])
                .set(i64::from(config.slots));
        }
        let kinds = registry
            .kinds()
            .into_iter()
            .filter_map(|kind| Some((kind, metrics.of_kind(kind, registry.get(kind)?.queue))))
            .collect();
        let database = DatabaseState::at_start(config.lease);
        let worker = WorkerId::new();
        let drained = CancellationToken::new();
        let batcher = Batcher::spawn(
            queue_pool.clone(),
            recorder.clone(),
            &tracker,
            drained.clone(),
        );
        Arc::new(Self {
            worker,
            config,
            pool,
            queue_pool,
            registry,
            metrics,
            recorder,
            duties,
            notifier,
            listener,
            clock,
            leases: LeaseTable::default(),
            database,
            batcher,
            tracker,
            stopping: CancellationToken::new(),
            grace_over: CancellationToken::new(),
            drained,
            rescheduled: Notify::new(),
            expired: watch::Sender::default(),
            duty_due: Notify::new(),
            clock_jumped: Notify::new(),
            limited: AtomicBool::new(false),
            queues,
            kinds,
        })
    }

    /// Wakes the claim loop of a queue.
    pub fn wake(&self, queue: &str) {
        if let Some(queue) = self.queues.get(queue) {
            queue.wake.notify_one();
        }
    }

    /// Whether claims must apply limits.
    pub fn is_limited(&self) -> bool {
        self.limited.load(Ordering::Relaxed)
    }

    pub(super) fn set_limited(&self, limited: bool) {
        self.limited.store(limited, Ordering::Relaxed);
    }

    /// Records whether the claim loop of a queue rescans by itself, and shows it in the metrics.
    pub(super) fn set_rescans(&self, queue: &str, rescans: bool) {
        self.queue(queue).rescans.store(rescans, Ordering::Relaxed);
        let shown = self
            .metrics
            .claims_vacuum_blocked
            .with_label_values(&[queue]);
        if rescans && shown.get() == 0 {
            tracing::warn!(
                queue,
                "claims on this queue scan slowly: a long-running transaction blocks vacuum, or the database is slow"
            );
        }
        shown.set(i64::from(rescans));
    }

    /// The metrics of a kind that has a handler.
    pub(super) fn metrics_of(&self, kind: &str) -> &KindMetrics {
        self.kinds.get(kind).expect("the kind has a handler")
    }

    pub(super) fn queue(&self, queue: &str) -> &QueueState {
        self.queues.get(queue).expect("the queue has a handler")
    }
}
