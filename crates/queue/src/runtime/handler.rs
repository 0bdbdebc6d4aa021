//! [`Handler`]: the code that runs jobs of a kind, and [`Registry`], which finds it by the kind's name.

use crate::runtime::{
    reporter::{ReportError, Reporter},
    storing::Storing,
};
use crate::{Failure, Job, JobKind, NewJob, RetryPolicy};
use async_trait::async_trait;
use base::clock::Clock;
use serde::Deserialize;
use sqlx::{PgConnection, PgPool};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// The attempt that a handler runs.
#[derive(Clone)]
pub struct JobContext {
    pub job: Arc<Job>,
    pub pool: PgPool,
    pub clock: Clock,
    /// Set when the lease is lost, the job is cancelled or the worker stops: return soon.
    pub cancelled: CancellationToken,
    pub progress: Reporter,
    pub storing: Storing,
}

impl JobContext {
    /// Reports progress to the job's owner: a share from 0 to 1 and a note of at most 200 characters.
    ///
    /// Never waits; of several reports in quick succession, the last is written.
    ///
    /// # Errors
    /// If the report is out of bounds, or an earlier one found that the lease was lost. A handler may ignore the error.
    pub fn report(&self, progress: f32, note: &str) -> Result<(), ReportError> {
        self.progress.report(progress, note)
    }

    /// Stores what must not be lost, such as that an email was sent: repeats `write` while its error is transient.
    ///
    /// Does not end when the token is set, but the handler is dropped a moment later: then `write` may or may not have
    /// been committed. The time does not count towards the timeout of the kind, which would end in a failed attempt.
    ///
    /// # Errors
    /// The first error of `write` that is not transient.
    pub async fn store<T, E: std::error::Error + 'static, W: Future<Output = Result<T, E>>>(
        &self,
        write: impl FnMut() -> W,
        is_transient: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        self.storing.store(write, is_transient).await
    }
}

/// The result of a successful attempt: the job's output, and the writes that commit with it.
pub struct Settlement {
    pub output: serde_json::Value,
    /// Writes that commit with the outcome.
    pub writes: Option<Box<dyn SettleWrites>>,
    /// Jobs that are enqueued with the outcome.
    pub follow_ups: Vec<NewJob>,
    /// The job is not finished: it waits for the follow-ups and then runs again.
    pub waits: bool,
}

impl Settlement {
    /// A result with an output and no writes.
    pub fn of(output: serde_json::Value) -> Self {
        Self {
            output,
            writes: None,
            follow_ups: Vec::new(),
            waits: false,
        }
    }

    /// Enqueues the jobs as children and makes this one wait until they have finished, without holding a slot.
    ///
    /// Then this job runs again: [`Job::children`] is above zero, and [`crate::run::children::outcomes`] reads the results. A
    /// child whose external id names an existing job is not waited for.
    ///
    /// # Panics
    /// If there are no children: nothing would distinguish the next run from the first.
    pub fn wait_for(children: Vec<NewJob>) -> Self {
        assert!(!children.is_empty(), "a job that waits needs children");
        Self {
            follow_ups: children,
            waits: true,
            ..Self::of(serde_json::Value::Null)
        }
    }

    /// Enqueues more jobs with the outcome, without waiting for them. One whose external id names an existing job, even of another
    /// request, is not enqueued.
    #[must_use]
    pub fn then(mut self, follow_ups: Vec<NewJob>) -> Self {
        self.follow_ups = follow_ups;
        self
    }

    /// Whether the outcome commits alone, so that it may be settled in a batch.
    pub fn is_plain(&self) -> bool {
        self.writes.is_none() && self.follow_ups.is_empty() && !self.waits
    }

    /// Adds writes that commit with the outcome.
    #[must_use]
    pub fn with(mut self, writes: impl SettleWrites + 'static) -> Self {
        self.writes = Some(Box::new(writes));
        self
    }
}

/// Writes that commit with an attempt's outcome, in the settling transaction, which has checked the lease.
///
/// They are applied again in a new transaction if the first did not commit, so they must have no effect outside of it.
#[async_trait]
pub trait SettleWrites: Send + Sync {
    /// Applies the writes.
    ///
    /// # Errors
    /// An error that a retry does not mend makes the attempt fail.
    async fn apply(&self, conn: &mut PgConnection, job: &Job) -> Result<(), sqlx::Error>;

    /// Called after the commit, for example to count what was written.
    fn committed(&self) {}
}

/// The code that runs jobs of one kind.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    type Kind: JobKind;

    /// Runs one attempt. Hold no transaction and no connection during an outbound call.
    ///
    /// # Errors
    /// A [`Failure`] says whether another attempt may succeed, and describes the error for user and operator.
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

/// Decodes the arguments of a job for its handler.
struct DecodingHandler<H>(H);

#[async_trait]
impl<H: Handler> ErasedHandler for DecodingHandler<H> {
    async fn run(&self, ctx: &JobContext) -> Result<Settlement, Failure> {
        match Deserialize::deserialize(&ctx.job.args) {
            Ok(args) => self.0.run(ctx, args).await,
            Err(error) => Err(undecodable(ctx, &error)),
        }
    }
}

/// How long a job with arguments that this worker cannot read is left to a newer one.
const UPGRADE_TIMEOUT: Duration = Duration::from_hours(24);

/// The job may come from a newer version whose workers are not up yet, so it waits for them. A day later no upgrade is under
/// way any more, and the arguments are wrong.
fn undecodable(ctx: &JobContext, error: &serde_json::Error) -> Failure {
    let age = ctx.clock.now() - ctx.job.created_at;
    if age.to_std().is_ok_and(|age| age > UPGRADE_TIMEOUT) {
        Failure::permanent(
            "undecodable_args",
            "The job's arguments cannot be read by this version of the worker.",
            error.to_string(),
        )
    } else {
        Failure::deferred(
            "undecodable_args",
            "The job's arguments cannot be read by this version of the worker. The job waits for a newer one.",
            error.to_string(),
        )
    }
}

/// A kind with its handler.
#[derive(Clone)]
pub struct RegisteredKind {
    pub queue: &'static str,
    pub timeout: Duration,
    pub retry_policy: RetryPolicy,
    handler: Arc<dyn ErasedHandler>,
}

impl RegisteredKind {
    /// Runs one attempt, as [`Handler::run`].
    ///
    /// # Errors
    /// As [`Handler::run`]; arguments that do not decode defer the job, and are a permanent failure after a day.
    pub async fn run(&self, ctx: &JobContext) -> Result<Settlement, Failure> {
        self.handler.run(ctx).await
    }
}

/// The handlers by the names of their kinds.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: HashMap<&'static str, RegisteredKind>,
}

impl Registry {
    /// Adds a handler.
    ///
    /// # Panics
    /// If the kind has a handler already.
    #[must_use]
    pub fn with<H: Handler>(mut self, handler: H) -> Self {
        let registered = RegisteredKind {
            queue: H::Kind::QUEUE,
            timeout: H::Kind::TIMEOUT,
            retry_policy: H::Kind::retry_policy(),
            handler: Arc::new(DecodingHandler(handler)),
        };
        let former = self.kinds.insert(H::Kind::NAME, registered);
        assert!(former.is_none(), "kind {} has two handlers", H::Kind::NAME);
        self
    }

    /// Finds a kind by its name.
    pub fn get(&self, kind: &str) -> Option<&RegisteredKind> {
        self.kinds.get(kind)
    }

    /// Lists the kinds of a queue that have a handler, in alphabetical order.
    pub fn kinds_of(&self, queue: &str) -> Vec<String> {
        let of_queue = self.kinds.iter().filter(|(_, kind)| kind.queue == queue);
        let mut names: Vec<_> = of_queue.map(|(name, _)| (*name).to_owned()).collect();
        names.sort_unstable();
        names
    }

    /// Lists all kinds that have a handler.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.kinds.keys().copied().collect()
    }

    /// Lists the queues that have a handler, in alphabetical order.
    pub fn queues(&self) -> Vec<&'static str> {
        let mut queues: Vec<_> = self.kinds.values().map(|kind| kind.queue).collect();
        queues.sort_unstable();
        queues.dedup();
        queues
    }
}
