//! The measured job kind: [`Noop`] does nothing, so that only the queue is measured.

use async_trait::async_trait;
use base::TenantId;
use queue::runtime::handler::{Handler, JobContext, Settlement};
use queue::{Failure, JobKind, NewJob, RetryPolicy};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

pub(super) struct Noop;

/// Succeeds immediately; reports the pick-up time of each job with `sent_us`, in microseconds.
pub(super) struct NoopHandler {
    pub(super) pickups: mpsc::UnboundedSender<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Args {
    pub(super) n: u64,
    /// Start of the enqueue, in microseconds since 1970; both processes share one clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sent_us: Option<u64>,
}

impl JobKind for Noop {
    const NAME: &'static str = "bench.noop";
    const QUEUE: &'static str = "bench";
    const TIMEOUT: Duration = Duration::from_secs(60);
    type Args = Args;
    type Output = ();

    fn retry_policy() -> RetryPolicy {
        RetryPolicy {
            max_attempts: 5,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            floor: Duration::from_secs(1),
        }
    }
}

#[async_trait]
impl Handler for NoopHandler {
    type Kind = Noop;

    async fn run(&self, _: &JobContext, args: Args) -> Result<Settlement, Failure> {
        if let Some(sent) = args.sent_us {
            // The receiver is closed only while the process ends.
            let _ = self.pickups.send(now_us().saturating_sub(sent));
        }
        Ok(Settlement::of(Value::Null))
    }
}

/// Returns the microseconds since 1970.
pub(super) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or_default()
}

/// Makes jobs of several tenants in turn, as in production.
#[derive(Clone)]
pub(super) struct Jobs {
    tenants: Vec<TenantId>,
    next: u64,
}

impl Jobs {
    pub(super) fn of_tenants(tenants: usize) -> Self {
        Self {
            tenants: (0..tenants).map(|_| TenantId::new()).collect(),
            next: 0,
        }
    }

    pub(super) fn one(&mut self, sent_us: Option<u64>) -> Result<NewJob, serde_json::Error> {
        let n = self.next;
        self.next += 1;
        let place = usize::try_from(n).unwrap_or_default() % self.tenants.len();
        NewJob::of::<Noop>(self.tenants[place], &Args { n, sent_us })
    }

    pub(super) fn many(&mut self, count: usize) -> Result<Vec<NewJob>, serde_json::Error> {
        (0..count).map(|_| self.one(None)).collect()
    }
}
