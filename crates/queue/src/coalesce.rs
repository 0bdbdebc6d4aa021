//! [`Coalescer`]: answers many concurrent callers with one batch of work.
//!
//! A commit costs the same for one row as for a hundred. While one batch runs, the next callers queue up and are then taken
//! together. An idle coalescer takes a single caller at once: there is no timer.
//!
//! Work runs in tasks of the tracker, so a caller that is dropped loses only its reply. Holds no SQL; the closure does the work.

use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Callers that may wait for a lane.
const MAX_WAITING: usize = 1024;

/// How long a caller waits for a place among them.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Requests per batch; the last one of a batch waits for all. Other sizes were not measured.
pub const BATCH: usize = 128;

/// A handle for calling; cheap to clone.
pub struct Coalescer<Q, A> {
    inbox: mpsc::Sender<PendingRequest<Q, A>>,
}

/// A request and where its reply goes.
pub struct PendingRequest<Q, A> {
    pub request: Q,
    pub reply: Reply<A>,
}

/// Sends one caller its reply.
pub struct Reply<A>(oneshot::Sender<A>);

impl<A> Reply<A> {
    pub fn send(self, answer: A) {
        // A caller that was dropped has no use for it.
        drop(self.0.send(answer));
    }
}

/// The caller got no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoalesceError {
    /// The request was not taken, and nothing was done.
    #[error("too many requests are waiting for the database")]
    Overloaded,
    /// The process is stopping or the work panicked: it may or may not be done.
    #[error("the work ended without a reply")]
    Lost,
}

impl<Q: Send + 'static, A: Send + 'static> Coalescer<Q, A> {
    /// Starts `lanes` tasks, each of which passes one batch of waiting requests at a time to `work`. They end when `stop` is
    /// set and all earlier requests have their reply.
    pub fn spawn<F, W>(
        lanes: usize,
        tracker: &TaskTracker,
        stop: &CancellationToken,
        work: F,
    ) -> Self
    where
        F: Fn(Vec<PendingRequest<Q, A>>) -> W + Clone + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let (inbox, pending) = mpsc::channel(MAX_WAITING);
        let pending = Arc::new(Mutex::new(pending));
        for _ in 0..lanes {
            let lane = run_lane(pending.clone(), tracker.clone(), stop.clone(), work.clone());
            tracker.spawn(lane);
        }
        Self { inbox }
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// If too many callers waited for 2 s, or the work ended without a reply.
    pub async fn call(&self, request: Q) -> Result<A, CoalesceError> {
        let (reply, answer) = oneshot::channel();
        let pending = PendingRequest {
            request,
            reply: Reply(reply),
        };
        match self.inbox.send_timeout(pending, TIMEOUT).await {
            Ok(()) => answer.await.map_err(|_| CoalesceError::Lost),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(CoalesceError::Overloaded),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(CoalesceError::Lost),
        }
    }
}

async fn run_lane<Q, A, F, W>(
    pending: Arc<Mutex<mpsc::Receiver<PendingRequest<Q, A>>>>,
    tracker: TaskTracker,
    stop: CancellationToken,
    work: F,
) where
    Q: Send + 'static,
    A: Send + 'static,
    F: Fn(Vec<PendingRequest<Q, A>>) -> W,
    W: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut batch = Vec::new();
        {
            let mut pending = pending.lock().await;
            tokio::select! {
                biased;
                taken = pending.recv_many(&mut batch, BATCH) => if taken == 0 { return },
                () = stop.cancelled() => {
                    pending.close();
                    if pending.recv_many(&mut batch, BATCH).await == 0 { return }
                }
            }
        }
        // In a task of its own, so that a panic ends this batch and not the lane.
        if tracker.spawn(work(batch)).await.is_err() {
            tracing::error!("a batch panicked; its callers got no reply");
        }
    }
}

impl<Q, A> Clone for Coalescer<Q, A> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
        }
    }
}
