//! What a provider's error means for the job: [`refusal_or_failure`].

use crate::handlers::unavailable;
use crate::providers::ProviderError;
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{commands::connections::connect, store::connections::StoredConnection};
use queue::Failure;
use queue::runtime::handler::JobContext;

/// How long a job waits for a new secret before it tries again. Waiting uses no attempt.
const REAUTH_WAIT: TimeDelta = TimeDelta::seconds(30);

/// Returns the code and the user's message of a permanent refusal, else the failure that retries the job.
///
/// Only a fault of the provider uses an attempt. A rejected secret marks the connection, which then needs a new one.
pub(in crate::handlers) async fn refusal_or_failure(
    ctx: &JobContext,
    connection: &StoredConnection,
    error: ProviderError,
) -> Result<(&'static str, String), Failure> {
    Err(match error {
        ProviderError::Permanent { code, message } => return Ok((code, message)),
        ProviderError::Retryable { code, detail } | ProviderError::Unknown { code, detail } => {
            Failure::transient(
                code,
                "The provider is unavailable at the moment; the job will be retried.",
                detail,
            )
        }
        ProviderError::Reauth { code } => {
            connect::refuse(&ctx.pool, &ctx.job, connection, code)
                .await
                .map_err(|error| unavailable(&error))?;
            Failure::rate_limited(
                ctx.clock.now() + REAUTH_WAIT,
                "reauth_required",
                "The account rejects its password; the job continues once you enter a new one.",
                code,
            )
        }
        ProviderError::RateLimited { until } => limited(until),
        ProviderError::Throttled { wait } => limited(ctx.clock.now() + wait),
    })
}

fn limited(until: DateTime<Utc>) -> Failure {
    Failure::rate_limited(
        until,
        "provider_rate",
        "The provider limits the rate of requests; the job continues automatically.",
        "rate limited by the provider",
    )
}
