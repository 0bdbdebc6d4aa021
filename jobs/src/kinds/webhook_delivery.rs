//! `webhook.deliver`: calls a subscribed webhook with the events after its position, in the order of the audit log. A job
//! delivers for one turn; while events are left, the next job follows.

use super::action::ActionExecute;
use crate::domain::ConnectionId;
use queue::{JobKind, RetryPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The kind of job; see [`Args`] and [`Output`].
pub struct WebhookDelivery;

impl JobKind for WebhookDelivery {
    const NAME: &'static str = "webhook.deliver";
    const QUEUE: &'static str = ActionExecute::QUEUE;
    /// A turn of 20 seconds, and the calls in progress at its end.
    const TIMEOUT: Duration = Duration::from_secs(90);

    type Args = Args;
    type Output = Output;

    /// A receiver may be unavailable for half a day; then its subscription is suspended.
    fn retry_policy() -> RetryPolicy {
        RetryPolicy {
            max_attempts: 16,
            base: Duration::from_secs(2),
            cap: Duration::from_secs(4 * 3600),
            floor: Duration::from_millis(500),
        }
    }
}

/// The job's arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    pub connection_id: ConnectionId,
}

/// The output of the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WebhookDeliveryOutput")]
pub struct Output {
    pub connection_id: ConnectionId,
    /// Events that the webhook accepted.
    #[schemars(range(min = 0))]
    pub delivered: i64,
}
