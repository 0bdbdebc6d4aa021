//! What the parts of a running worker share, and its loops: claim, lease, cancel, wake, beat.
//!
//! See [`Engine`]. Each loop is a task of its own with a shutdown arm; none of them ends because the database is away.

mod cancel_loop;
mod claim_loop;
mod duty_loop;
mod heartbeat_loop;
mod lease_loop;
mod leases;
mod rescue_loop;
mod wake_loop;

pub use leases::{Held, Word};

use crate::runtime::{
    config::RuntimeConfig, duty::Duty, handler::Registry, metrics::RuntimeMetrics,
    recorder::Recorder, settle_batch::Batcher,
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
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A worker process: one identity, one pool, one set of leases.
pub struct Engine {
    pub worker: WorkerId,
    pub config: RuntimeConfig,
    pub pool: PgPool,
    /// For single statements on the queue itself, which must not wait behind the handlers' work.
    pub queue_pool: PgPool,
    pub registry: Registry,
    pub metrics: RuntimeMetrics,
    /// Records ended attempts in the transaction that ends them.
    pub recorder: Recorder,
    pub duties: Vec<Box<dyn Duty>>,
    pub notifier: Notifier,
    pub listener: Listener,
    pub clock: Clock,
    pub held: Held,
    pub batcher: Batcher,
    pub tracker: TaskTracker,
    /// Stop claiming; what runs may go on.
    pub stopping: CancellationToken,
    /// The grace period is over: what still runs is handed back.
    pub grace_over: CancellationToken,
    /// Every attempt has ended: the loops that served them may end too.
    pub drained: CancellationToken,
    /// An attempt was put off: the next look at the queue may have to come sooner.
    pub rescheduled: Notify,
    /// The first lease that was seen to have expired.
    pub expired: watch::Sender<Option<DateTime<Utc>>>,
    /// Some maintenance duty is due.
    pub duty_due: Notify,
    /// Whether limits on running jobs are in force, as of the last look.
    limited: AtomicBool,
    queues: HashMap<&'static str, Queue>,
}

struct Queue {
    slots: Arc<Semaphore>,
    /// Holds a permit when a signal came while the claim loop was busy, so that none is missed.
    wake: Notify,
    /// Its claims look for jobs themselves from time to time, because looking is costly; so it is taken to be until the first
    /// claim.
    looks_itself: AtomicBool,
}

/// A claimed job on its way to its handler.
pub struct Claimed {
    pub job: Arc<Job>,
    /// Given back when the attempt is settled, which lets the next job be claimed.
    pub slot: OwnedSemaphorePermit,
    /// What may be heard of it while it is held.
    pub word: Word,
}

/// What [`Engine::new`] is made of.
pub struct Parts {
    pub config: RuntimeConfig,
    pub pool: PgPool,
    /// For single statements on the queue itself, which must not wait behind the handlers' work.
    pub queue_pool: PgPool,
    pub registry: Registry,
    pub metrics: RuntimeMetrics,
    /// Records ended attempts in the transaction that ends them.
    pub recorder: Recorder,
    pub duties: Vec<Box<dyn Duty>>,
    pub notifier: Notifier,
    pub listener: Listener,
    pub clock: Clock,
    pub tracker: TaskTracker,
}

impl Engine {
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts {
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
                    Queue {
                        slots: Arc::new(Semaphore::new(slots)),
                        wake: Notify::new(),
                        looks_itself: AtomicBool::new(true),
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
        let worker = WorkerId::new();
        let batcher = Batcher::spawn(queue_pool.clone(), recorder.clone(), &tracker);
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
            held: Held::default(),
            batcher,
            tracker,
            stopping: CancellationToken::new(),
            grace_over: CancellationToken::new(),
            drained: CancellationToken::new(),
            rescheduled: Notify::new(),
            expired: watch::Sender::default(),
            duty_due: Notify::new(),
            limited: AtomicBool::new(false),
            queues,
        })
    }

    /// Starts the loops that serve all queues.
    pub fn start(self: &Arc<Self>) {
        self.tracker.spawn(lease_loop::run(self.clone()));
        self.tracker.spawn(cancel_loop::run(self.clone()));
        self.tracker.spawn(wake_loop::run(self.clone()));
        self.tracker.spawn(heartbeat_loop::run(self.clone()));
        self.tracker.spawn(rescue_loop::run(self.clone()));
        self.tracker.spawn(duty_loop::run(self.clone()));
    }

    /// Starts claiming jobs of one queue into the channel that is returned.
    pub fn claim_from(self: &Arc<Self>, queue: &'static str) -> mpsc::Receiver<Claimed> {
        // As many places as slots: the claim loop never waits for the channel while it holds leases.
        let (jobs, claimed) = mpsc::channel(self.queue(queue).slots.available_permits().max(1));
        self.tracker
            .spawn(claim_loop::run(self.clone(), queue, jobs));
        claimed
    }

    /// Makes the claim loop of a queue look again.
    pub fn wake(&self, queue: &str) {
        if let Some(queue) = self.queues.get(queue) {
            queue.wake.notify_one();
        }
    }

    /// Whether claims have to heed limits.
    pub fn is_limited(&self) -> bool {
        self.limited.load(Ordering::Relaxed)
    }

    fn set_limited(&self, limited: bool) {
        self.limited.store(limited, Ordering::Relaxed);
    }

    /// Takes in whether a queue's claims look for jobs themselves from time to time.
    fn set_looks_itself(&self, queue: &str, looks: bool) {
        let looks_itself = &self.queue(queue).looks_itself;
        looks_itself.store(looks, Ordering::Relaxed);
        let shown = self
            .metrics
            .claims_vacuum_blocked
            .with_label_values(&[queue]);
        if looks && shown.get() == 0 {
            tracing::warn!(
                queue,
                "claims step around what vacuum may not remove: is a transaction open for long?"
            );
        }
        shown.set(i64::from(looks));
    }

    fn queue(&self, queue: &str) -> &Queue {
        self.queues
            .get(queue)
            .expect("queues are those of the registry")
    }
}
