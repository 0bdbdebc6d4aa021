//! Answering many callers with one piece of work: [`Coalescer`].
//!
//! A commit costs the same for one row as for a hundred. While one batch is under way the next callers queue up; then
//! all of them are taken together. An idle coalescer takes a lone caller at once: nothing waits for company.
//!
//! A caller that goes away takes nothing with it: the work is done in a task of the tracker, and only its answer is lost.
//! Holds no SQL; what a batch does is the closure's.

use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Callers that may wait beside those whom the lanes have taken.
const QUEUED: usize = 1024;

/// The longest that a caller waits for a place in the queue.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much one lane takes at a time: the last of a batch waits for all. Not measured against other sizes.
pub const BATCH: usize = 128;

/// A handle for asking; cheap to clone.
pub struct Coalescer<Q, A> {
    inbox: mpsc::Sender<Asked<Q, A>>,
}

/// A request, and where its answer goes.
pub struct Asked<Q, A> {
    pub request: Q,
    pub reply: Reply<A>,
}

/// Answers one caller.
pub struct Reply<A>(oneshot::Sender<A>);

impl<A> Reply<A> {
    pub fn send(self, answer: A) {
        // Whoever no longer listens will ask again.
        drop(self.0.send(answer));
    }
}

/// The caller was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Nothing was done, and nothing will be.
    #[error("too many requests wait for the database")]
    Overloaded,
    /// The process stops, or the work panicked: it may have been done or not.
    #[error("the work ended without an answer")]
    Lost,
}

impl<Q: Send + 'static, A: Send + 'static> Coalescer<Q, A> {
    /// Starts `lanes` tasks that take what has gathered and have `work` answer it, each one batch at a time. They end
    /// when `stop` is set and what was asked before is answered.
    pub fn spawn<F, W>(
        lanes: usize,
        tracker: &TaskTracker,
        stop: &CancellationToken,
        work: F,
    ) -> Self
    where
        F: Fn(Vec<Asked<Q, A>>) -> W + Clone + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let (inbox, asked) = mpsc::channel(QUEUED);
        let asked = Arc::new(Mutex::new(asked));
        for _ in 0..lanes {
            let lane = run_lane(asked.clone(), tracker.clone(), stop.clone(), work.clone());
            tracker.spawn(lane);
        }
        Self { inbox }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// If there was no place in the queue for 2 s, or the work died.
    pub async fn ask(&self, request: Q) -> Result<A, Unanswered> {
        let (reply, answer) = oneshot::channel();
        let asked = Asked {
            request,
            reply: Reply(reply),
        };
        match self.inbox.send_timeout(asked, PATIENCE).await {
            Ok(()) => answer.await.map_err(|_| Unanswered::Lost),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(Unanswered::Overloaded),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Unanswered::Lost),
        }
    }
}

async fn run_lane<Q, A, F, W>(
    asked: Arc<Mutex<mpsc::Receiver<Asked<Q, A>>>>,
    tracker: TaskTracker,
    stop: CancellationToken,
    work: F,
) where
    Q: Send + 'static,
    A: Send + 'static,
    F: Fn(Vec<Asked<Q, A>>) -> W,
    W: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut batch = Vec::new();
        {
            let mut asked = asked.lock().await;
            tokio::select! {
                biased;
                taken = asked.recv_many(&mut batch, BATCH) => if taken == 0 { return },
                () = stop.cancelled() => {
                    asked.close();
                    if asked.recv_many(&mut batch, BATCH).await == 0 { return }
                }
            }
        }
        // In a task of its own: a panic is the end of this batch and not of the lane.
        if tracker.spawn(work(batch)).await.is_err() {
            tracing::error!("a batch panicked; its callers were not answered");
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
