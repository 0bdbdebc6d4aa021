//! [`Notifier`]: notifies other processes by NOTIFY, coalesced, after the commit, on a pooled connection.
//!
//! A lost notification costs a poll interval, never a job: every receiver also polls.

use base::JobId;
use sqlx::PgPool;
use std::{collections::BTreeSet, time::Duration};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The one channel of all signals; the payload is `<topic> <id>`.
pub(super) const CHANNEL: &str = "queue_signals";

/// While the queue is busy, workers claim without a signal, so one wake-up per queue and interval is enough.
const THROTTLE: Duration = Duration::from_millis(2);

/// Signals per statement, and so at most 8,000 a second: each costs every listener.
const BATCH: usize = 16;
/// Pending signals beyond which finished jobs are not notified.
const MAX_PENDING: usize = 512;

/// A handle for sending signals; cheap to clone, never blocks.
#[derive(Clone)]
pub struct Notifier {
    signals: mpsc::UnboundedSender<String>,
}

impl Notifier {
    /// Starts the sender. It ends when `stop` is set and all earlier signals are sent.
    pub fn spawn(pool: PgPool, tracker: &TaskTracker, stop: CancellationToken) -> Self {
        let (signals, inbox) = mpsc::unbounded_channel();
        tracker.spawn(send_loop(pool, inbox, stop));
        Self { signals }
    }

    /// Notifies workers that a job of this queue is available.
    pub fn job_available(&self, queue: &str) {
        self.send(format!("available {queue}"));
    }

    /// Notifies workers that a job of this queue was scheduled, so that they poll in time for it.
    pub fn job_scheduled(&self, queue: &str) {
        self.send(format!("scheduled {queue}"));
    }

    /// Notifies those who wait for the job that it is finished.
    pub fn job_finished(&self, job: JobId) {
        self.send(format!("finished {job}"));
    }

    /// Notifies the job's worker that its cancellation was requested.
    pub fn cancel_requested(&self, job: JobId) {
        self.send(format!("cancel {job}"));
    }

    /// Sends a signal of the program, which listeners receive as [`super::listener::Signal::Custom`].
    ///
    /// `topic` is one word, other than the topics of the queue.
    pub fn custom(&self, topic: &'static str, payload: impl std::fmt::Display) {
        self.send(format!("{topic} {payload}"));
    }

    fn send(&self, payload: String) {
        // Fails only while the process is stopping; other processes notice at their next poll.
        drop(self.signals.send(payload));
    }
}

async fn send_loop(
    pool: PgPool,
    mut inbox: mpsc::UnboundedReceiver<String>,
    stop: CancellationToken,
) {
    let mut received = Vec::new();
    let mut pending: BTreeSet<String> = BTreeSet::new();
    loop {
        if pending.is_empty() {
            tokio::select! {
                biased;
                count = inbox.recv_many(&mut received, 1000) => if count == 0 { return },
                () = stop.cancelled() => {
                    inbox.close();
                    if inbox.recv_many(&mut received, 1000).await == 0 { return }
                }
            }
        }
        while let Ok(payload) = inbox.try_recv() {
            received.push(payload);
        }
        for payload in received.drain(..) {
            // Only finished jobs come in such numbers; their waiters also poll.
            if pending.len() < MAX_PENDING || !payload.starts_with("finished") {
                pending.insert(payload);
            }
        }
        let mut payloads: Vec<String> = Vec::with_capacity(BATCH);
        while payloads.len() < BATCH
            && let Some(payload) = pending.pop_first()
        {
            payloads.push(payload);
        }
        if let Err(error) = notify(&pool, &payloads).await {
            tracing::warn!(%error, signals = payloads.len(), "could not notify listeners; they notice at their next poll");
        }
        tokio::select! {
            () = tokio::time::sleep(THROTTLE) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Sends all payloads with one statement.
///
/// The commit does not wait for the disk, which took a third of the time from an enqueue to its handler. A crash of Postgres
/// may lose these signals, and every listener polls when its connection comes back.
async fn notify(pool: &PgPool, payloads: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select set_config('synchronous_commit', 'off', true), pg_notify($1, payload) from unnest($2::text[]) as payload",
        CHANNEL,
        payloads
    )
    .fetch_all(pool)
    .await
    .map(|_| ())
}
