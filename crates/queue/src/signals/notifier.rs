//! [`Notifier`]: notifies other processes by NOTIFY, coalesced, after the commit, on a pooled connection.
//!
//! A lost notification costs a poll interval, never a job: every receiver also polls.

use base::{JobId, telemetry::chain};
use sqlx::PgPool;
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The one channel of all signals; the payload is `<topic> <id>`, or `finished <id>,<id>,…`.
pub(super) const CHANNEL: &str = "queue_signals";

/// While the queue is busy, workers claim without a signal, so one wake-up per queue and interval is enough.
const THROTTLE: Duration = Duration::from_millis(4);

/// Signals per statement: each costs every listener.
const BATCH: usize = 16;
/// Finished jobs per signal. A payload has less than 8,000 bytes.
const JOBS: usize = 200;
/// Finished jobs that wait to be notified, beyond which others are not: their waiters also poll.
const MAX_FINISHED: usize = 2000;

/// A handle for sending signals; cheap to clone, never blocks.
#[derive(Clone)]
pub struct Notifier {
    messages: mpsc::UnboundedSender<Message>,
}

enum Message {
    Signal(String),
    Finished(JobId),
}

impl Notifier {
    /// Starts the sender. It ends when `stop` is set and all earlier signals are sent.
    pub fn spawn(pool: PgPool, tracker: &TaskTracker, stop: CancellationToken) -> Self {
        let (messages, inbox) = mpsc::unbounded_channel();
        tracker.spawn(send_loop(pool, inbox, stop));
        Self { messages }
    }

    /// Notifies workers that a job of this queue is available.
    pub fn job_available(&self, queue: &str) {
        self.send(Message::Signal(format!("available {queue}")));
    }

    /// Notifies workers that a job of this queue was scheduled, so that they poll in time for it.
    pub fn job_scheduled(&self, queue: &str) {
        self.send(Message::Signal(format!("scheduled {queue}")));
    }

    /// Notifies those who wait for the job that it is finished.
    pub fn job_finished(&self, job: JobId) {
        self.send(Message::Finished(job));
    }

    /// Notifies the job's worker that its cancellation was requested.
    pub fn cancel_requested(&self, job: JobId) {
        self.send(Message::Signal(format!("cancel {job}")));
    }

    /// Sends a signal of the program, which listeners receive as [`super::listener::Signal::Custom`].
    ///
    /// `topic` is one word, other than the topics of the queue.
    pub fn custom(&self, topic: &'static str, payload: impl std::fmt::Display) {
        self.send(Message::Signal(format!("{topic} {payload}")));
    }

    fn send(&self, message: Message) {
        // Fails only while the process is stopping; other processes notice at their next poll.
        drop(self.messages.send(message));
    }
}

async fn send_loop(
    pool: PgPool,
    mut inbox: mpsc::UnboundedReceiver<Message>,
    stop: CancellationToken,
) {
    let mut received = Vec::new();
    let mut pending = Pending::default();
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
        while let Ok(message) = inbox.try_recv() {
            received.push(message);
        }
        received.drain(..).for_each(|message| pending.add(message));
        let payloads = pending.take();
        if let Err(error) = notify(&pool, &payloads).await {
            tracing::warn!(
                error = chain(&error),
                signals = payloads.len(),
                "could not notify listeners; they notice at their next poll"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(THROTTLE) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// What is to be sent.
#[derive(Default)]
struct Pending {
    signals: BTreeSet<String>,
    finished: VecDeque<JobId>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.signals.is_empty() && self.finished.is_empty()
    }

    fn add(&mut self, message: Message) {
        match message {
            Message::Signal(payload) => {
                self.signals.insert(payload);
            }
            Message::Finished(job) if self.finished.len() < MAX_FINISHED => {
                self.finished.push_back(job);
            }
            Message::Finished(_) => {}
        }
    }

    /// Takes the payloads of one statement; signals go before finished jobs, which come in large numbers.
    fn take(&mut self) -> Vec<String> {
        let mut payloads = Vec::new();
        while payloads.len() < BATCH
            && let Some(payload) = self.signals.pop_first()
        {
            payloads.push(payload);
        }
        while payloads.len() < BATCH && !self.finished.is_empty() {
            let jobs = self.finished.len().min(JOBS);
            let jobs: Vec<String> = self
                .finished
                .drain(..jobs)
                .map(|job| job.to_string())
                .collect();
            payloads.push(format!("finished {}", jobs.join(",")));
        }
        payloads
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_jobs_share_payloads_that_fit_and_the_others_go_first() {
        let mut pending = Pending::default();
        let jobs: Vec<JobId> = (0..450).map(|_| JobId::new()).collect();
        for job in &jobs {
            pending.add(Message::Finished(*job));
        }
        pending.add(Message::Signal("available triage".to_owned()));
        pending.add(Message::Signal("available triage".to_owned()));
        let payloads = pending.take();
        assert_eq!(payloads.len(), 4);
        assert_eq!(payloads[0], "available triage");
        assert!(payloads.iter().all(|payload| payload.len() < 8000));
        let ids = payloads[1..]
            .iter()
            .flat_map(|payload| payload["finished ".len()..].split(','));
        assert!(ids.map(str::to_owned).eq(jobs.iter().map(JobId::to_string)));
        assert!(pending.is_empty());
    }

    #[test]
    fn finished_jobs_beyond_the_limit_are_left_to_polls() {
        let mut pending = Pending::default();
        for _ in 0..MAX_FINISHED + 1 {
            pending.add(Message::Finished(JobId::new()));
        }
        assert_eq!(pending.finished.len(), MAX_FINISHED);
        assert_eq!(pending.take().len(), MAX_FINISHED / JOBS);
    }
}
