//! Watches mailboxes: [`Watcher`] takes the leases of mailboxes that are due, and reads each in a task of its own until the
//! worker stops or loses the lease. One account has one session, so that the limits of mail servers are kept.
//!
//! `account` is one mailbox, `check` the reading of one folder, `refused` what happens to an email that its server does not send. Enqueues triage jobs and runs none.

mod account;
pub(crate) mod check;
pub(crate) mod groups;
pub mod memory;
pub(crate) mod refused;

use crate::{metrics::AssistantMetrics, providers::Providers};
use base::telemetry::chain;
use jobs::store::watches;
use memory::ReadMemory;
use queue::runtime::engine::Engine;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::MissedTickBehavior};

/// How long a silent worker keeps a mailbox.
const LEASE: Duration = Duration::from_secs(90);
/// How often a lease is renewed, whatever happens meanwhile.
const RENEW: Duration = Duration::from_secs(30);
/// Mailboxes taken at once, so that workers that start together share them.
const CLAIM: usize = 20;

/// How mailboxes are watched.
#[derive(Clone, Copy, Debug)]
pub struct WatchConfig {
    /// How often each folder is checked, whether or not its server reports changes.
    pub poll: Duration,
    /// The most mailboxes that this process watches.
    pub accounts: usize,
    /// Emails that the server received longer ago are not read: whether they were read before may be forgotten.
    pub retention_days: i32,
}

/// What the tasks of all mailboxes share.
pub struct Watcher {
    pub engine: Arc<Engine>,
    pub providers: Providers,
    pub metrics: AssistantMetrics,
    pub memory: ReadMemory,
    pub config: WatchConfig,
}

impl Watcher {
    /// Takes mailboxes until the worker stops. Returns without waiting for their tasks, which the tracker knows.
    pub async fn run(self: Arc<Self>) {
        let free = Arc::new(Semaphore::new(self.config.accounts));
        let mut ticks = tokio::time::interval(self.engine.config.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.engine.stopping.cancelled() => return,
                _ = ticks.tick() => {}
            }
            // Without this the loop could hang on a database that does not answer, and the worker could not stop.
            tokio::select! {
                () = self.engine.stopping.cancelled() => return,
                () = self.take(&free) => {}
            }
        }
    }

    async fn take(self: &Arc<Self>, free: &Arc<Semaphore>) {
        let limit = free.available_permits().min(CLAIM);
        if limit == 0 {
            return;
        }
        let claimed = async {
            let mut conn = self.engine.pool.acquire().await?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            watches::claim(&mut conn, self.engine.worker, LEASE, limit).await
        };
        let leases = match claimed.await {
            Ok(leases) => leases,
            Err(error) => {
                tracing::warn!(error = chain(&error), "could not take mailboxes to watch");
                return;
            }
        };
        for lease in leases {
            let Ok(permit) = free.clone().try_acquire_owned() else {
                return;
            };
            let watcher = self.clone();
            self.engine.tracker.spawn(async move {
                watcher.watch(lease).await;
                drop(permit);
            });
        }
    }
}
