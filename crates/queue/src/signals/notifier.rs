//! Telling other processes that something happened: NOTIFY, coalesced, after the commit, on a connection of the pool
//! that is held for one statement.
//!
//! A lost notification costs a poll interval, never a job: everything that listens also polls.

use base::JobId;
use sqlx::PgPool;
use std::{collections::BTreeSet, time::Duration};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// One channel for all signals: `<verb> <id>` in the payload. LISTEN on more of them would buy nothing.
pub(super) const CHANNEL: &str = "postroom";

/// While the queue is busy, workers look by themselves: at most one wake-up per queue and interval is worth its commit.
const THROTTLE: Duration = Duration::from_millis(2);

/// Signals per statement, and so at most 8,000 a second: every one of them is work for every listener.
const AT_ONCE: usize = 16;
/// Signals that may wait for their statement; of a greater flood the ends of jobs are not told.
const WAITING: usize = 512;

/// A handle for sending signals; cheap to clone, never blocks.
#[derive(Clone)]
pub struct Notifier {
    signals: mpsc::UnboundedSender<String>,
}

impl Notifier {
    /// Starts the sender. It ends when `stop` is set and what was handed in before is sent.
    pub fn spawn(pool: PgPool, tracker: &TaskTracker, stop: CancellationToken) -> Self {
        let (signals, inbox) = mpsc::unbounded_channel();
        tracker.spawn(send_loop(pool, inbox, stop));
        Self { signals }
    }

    /// A job of this queue may be claimed.
    pub fn job_available(&self, queue: &str) {
        self.send(format!("available {queue}"));
    }

    /// A job of this queue was enqueued for later: workers learn until when they may sleep.
    pub fn job_scheduled(&self, queue: &str) {
        self.send(format!("scheduled {queue}"));
    }

    pub fn job_finished(&self, job: JobId) {
        self.send(format!("finished {job}"));
    }

    /// A running job is not wanted any more.
    pub fn cancel_requested(&self, job: JobId) {
        self.send(format!("cancel {job}"));
    }

    /// A signal of the program's own, which listeners receive as [`super::listener::Signal::Custom`].
    ///
    /// `topic` is one word that is not one of the queue's.
    pub fn custom(&self, topic: &'static str, payload: impl std::fmt::Display) {
        self.send(format!("{topic} {payload}"));
    }

    fn send(&self, payload: String) {
        // Nobody receives only once the process is stopping; the pollers of other processes will notice.
        drop(self.signals.send(payload));
    }
}

async fn send_loop(
    pool: PgPool,
    mut inbox: mpsc::UnboundedReceiver<String>,
    stop: CancellationToken,
) {
    let mut received = Vec::new();
    let mut waiting: BTreeSet<String> = BTreeSet::new();
    loop {
        if waiting.is_empty() {
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
            // Ends of jobs alone come in floods; beyond what can be told, those who wait will look for themselves.
            if waiting.len() < WAITING || !payload.starts_with("finished") {
                waiting.insert(payload);
            }
        }
        let mut payloads: Vec<String> = Vec::with_capacity(AT_ONCE);
        while payloads.len() < AT_ONCE
            && let Some(payload) = waiting.pop_first()
        {
            payloads.push(payload);
        }
        if let Err(error) = notify(&pool, &payloads).await {
            tracing::warn!(%error, signals = payloads.len(), "could not notify; listeners will notice at their next poll");
        }
        tokio::select! {
            () = tokio::time::sleep(THROTTLE) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Sends all payloads with one statement and one commit. The commit is told to everybody before it is on disk: what a
/// crash of Postgres takes with it are signals, and every listener looks for itself when its connection comes back.
/// Waiting for the disk was a third of the time from an enqueue to its handler.
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
