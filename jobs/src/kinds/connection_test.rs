//! `connection.test`: tries a connection at its provider. The result has a finding per server; the job fails only for
//! reasons of our own.

use super::action::ActionExecute;
use crate::domain::ConnectionId;
use base::str_enum;
use queue::{JobKind, RetryPolicy};
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

str_enum! {
    /// What was checked.
    #[schemars(rename = "ConnectionCheckKind")]
    Tried {
        /// Connect and log in.
        Smtp = "smtp",
        /// Connect and log in.
        Imap = "imap",
        /// Find the calendar.
        Caldav = "caldav",
        /// A signed call of the type `connection.test`.
        Webhook = "webhook",
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
#[schemars(rename = "ConnectionTestOutput")]
pub struct Output {
    pub connection_id: ConnectionId,
    /// Whether every check passed.
    pub ok: bool,
    pub tried: Vec<Finding>,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConnectionCheck")]
pub struct Finding {
    pub what: Tried,
    pub ok: bool,
    /// The code of the failure; null if it worked.
    pub code: Option<String>,
}
