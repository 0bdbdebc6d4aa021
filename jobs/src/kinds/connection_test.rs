//! `connection.test`: whether a connection works, tried at the provider. The result says so server by server; the job fails
//! only for reasons of our own.

use super::action::ActionExecute;
use crate::domain::{ConnectionId, words::words};
use crate::queue::{JobKind, RetryPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The kind of job; see [`Args`] and [`Output`].
pub struct ConnectionTest;

impl JobKind for ConnectionTest {
    const NAME: &'static str = "connection.test";
    const QUEUE: &'static str = ActionExecute::QUEUE;
    /// Two servers, each with some slow steps.
    const TIMEOUT: Duration = Duration::from_secs(180);

    type Args = Args;
    type Output = Output;

    fn retry_policy() -> RetryPolicy {
        RetryPolicy {
            max_attempts: 3,
            ..ActionExecute::retry_policy()
        }
    }
}

words! {
    /// What was tried.
    #[schemars(rename = "ConnectionCheckKind")]
    Tried {
        /// Connecting, and signing in.
        Smtp = "smtp",
        /// Connecting, and signing in.
        Imap = "imap",
        /// Asking whether there is a calendar.
        Caldav = "caldav",
        /// A signed call of the type `connection.test`.
        Webhook = "webhook",
    }
}

/// What the job carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    pub connection_id: ConnectionId,
}

/// The job's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConnectionTestOutput")]
pub struct Output {
    pub connection_id: ConnectionId,
    /// Everything that was tried worked.
    pub ok: bool,
    pub tried: Vec<Finding>,
}

/// What became of one try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConnectionCheck")]
pub struct Finding {
    pub what: Tried,
    pub ok: bool,
    /// Why it did not work, as a code; `null` if it did.
    pub code: Option<String>,
}
