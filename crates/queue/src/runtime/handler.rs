//! What a kind of job must bring, and the one place where a kind's name becomes code.

use crate::runtime::reporter::{ReportError, Reporter};
use crate::{Failure, Job, JobKind, NewJob, RetryPolicy};
use async_trait::async_trait;
use base::clock::Clock;
use serde::Deserialize;
use sqlx::{PgConnection, PgPool};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// What a handler knows of the attempt it runs in.
#[derive(Clone)]
pub struct JobContext {
    pub job: Arc<Job>,
    pub pool: PgPool,
    pub clock: Clock,
    /// Set when the lease is lost, the job is cancelled or the worker stops: return soon.
    pub cancelled: CancellationToken,
    pub progress: Reporter,
}

impl JobContext {
    /// Says how far the attempt is: a share of 0 to 1 and a note of at most 200 characters, for the job's owner.
    ///
    /// Waits for nothing; of reports that follow each other closely the last is written.
    ///
    /// # Errors
    /// If the report is out of bounds, or an earlier one found the lease lost. A handler may ignore it.
    pub fn report(&self, progress: f32, note: &str) -> Result<(), ReportError> {
        self.progress.report(progress, note)
    }
}

/// The good end of an attempt: the job's output, and the writes that commit with it.
pub struct Settlement {
    pub output: serde_json::Value,
    /// What else is to be written with the outcome.
    pub writes: Option<Box<dyn Writes>>,
    /// Jobs to be enqueued with the outcome.
    pub follow_ups: Vec<NewJob>,
    /// The job has not ended: it waits for the follow-ups and then runs again.
    pub waits: bool,
}

impl Settlement {
    /// Nothing but an output.
    pub fn of(output: serde_json::Value) -> Self {
        Self {
            output,
            writes: None,
            follow_ups: Vec::new(),
            waits: false,
        }
    }

    /// Enqueues the jobs as children and lets this one wait for their ends, without a slot; then it runs again, with
    /// [`Job::children`] to tell and [`crate::run::children::outcomes`] to read. A child whose external id names a job
    /// that is there already is not waited for.
    ///
    /// # Panics
    /// If there are none: nothing would tell the next run from the first.
    pub fn wait_for(children: Vec<NewJob>) -> Self {
        assert!(!children.is_empty(), "a job that waits needs children");
        Self {
            follow_ups: children,
            waits: true,
            ..Self::of(serde_json::Value::Null)
        }
    }

    /// Enqueues more work with the outcome, and waits for none of it.
    #[must_use]
    pub fn then(mut self, follow_ups: Vec<NewJob>) -> Self {
        self.follow_ups = follow_ups;
        self
    }

    /// Whether nothing commits with the outcome, so that it may be settled together with others.
    pub fn is_plain(&self) -> bool {
        self.writes.is_none() && self.follow_ups.is_empty() && !self.waits
    }

    #[must_use]
    pub fn with(mut self, writes: impl Writes + 'static) -> Self {
        self.writes = Some(Box::new(writes));
        self
    }
}

/// Domain writes of a settlement. Applied inside the settling transaction, after the lease was checked there; may be
/// applied again in a new transaction if the first could not commit, so it must not change `self` or touch anything else.
#[async_trait]
pub trait Writes: Send + Sync {
    async fn apply(&self, conn: &mut PgConnection, job: &Job) -> Result<(), sqlx::Error>;

    /// Called once the transaction has committed: the place to count what was written.
    fn committed(&self) {}
}

/// Work on jobs of one kind.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    type Kind: JobKind;

    /// Runs one attempt. Holds no transaction and no connection over an outbound call.
    ///
    /// # Errors
    /// A [`Failure`] says whether another attempt may succeed, and what user and operator may read of it.
    async fn run(
        &self,
        ctx: &JobContext,
        args: <Self::Kind as JobKind>::Args,
    ) -> Result<Settlement, Failure>;
}

#[async_trait]
trait ErasedHandler: Send + Sync {
    async fn run(&self, ctx: &JobContext) -> Result<Settlement, Failure>;
}

struct Decode<H>(H);

#[async_trait]
impl<H: Handler> ErasedHandler for Decode<H> {
    async fn run(&self, ctx: &JobContext) -> Result<Settlement, Failure> {
        let args =
            Deserialize::deserialize(&ctx.job.args).map_err(|error: serde_json::Error| {
                Failure::permanent(
                    "undecodable_args",
                    "The job's arguments cannot be read by this version of the worker.",
                    error.to_string(),
                )
            })?;
        self.0.run(ctx, args).await
    }
}

/// A registered kind.
#[derive(Clone)]
pub struct Registered {
    pub queue: &'static str,
    pub timeout: Duration,
    pub retry_policy: RetryPolicy,
    handler: Arc<dyn ErasedHandler>,
}

impl Registered {
    /// See [`Handler::run`].
    ///
    /// # Errors
    /// As [`Handler::run`]; arguments that do not decode are a permanent failure.
    pub async fn run(&self, ctx: &JobContext) -> Result<Settlement, Failure> {
        self.handler.run(ctx).await
    }
}

/// Kind name → handler: the only dynamic dispatch on the way of a job.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: HashMap<&'static str, Registered>,
}

impl Registry {
    /// # Panics
    /// If the kind is registered already: two handlers for one kind is a mistake in `main`.
    #[must_use]
    pub fn with<H: Handler>(mut self, handler: H) -> Self {
        let registered = Registered {
            queue: H::Kind::QUEUE,
            timeout: H::Kind::TIMEOUT,
            retry_policy: H::Kind::retry_policy(),
            handler: Arc::new(Decode(handler)),
        };
        let former = self.kinds.insert(H::Kind::NAME, registered);
        assert!(
            former.is_none(),
            "kind {} is registered twice",
            H::Kind::NAME
        );
        self
    }

    pub fn get(&self, kind: &str) -> Option<&Registered> {
        self.kinds.get(kind)
    }

    /// The kinds of a queue that have a handler.
    pub fn kinds_of(&self, queue: &str) -> Vec<String> {
        let of_queue = self.kinds.iter().filter(|(_, kind)| kind.queue == queue);
        of_queue.map(|(name, _)| (*name).to_owned()).collect()
    }

    pub fn kinds(&self) -> Vec<&'static str> {
        self.kinds.keys().copied().collect()
    }

    /// The queues that have a handler, each once, in alphabetical order.
    pub fn queues(&self) -> Vec<&'static str> {
        let mut queues: Vec<_> = self.kinds.values().map(|kind| kind.queue).collect();
        queues.sort_unstable();
        queues.dedup();
        queues
    }
}
