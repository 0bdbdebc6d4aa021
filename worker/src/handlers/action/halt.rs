//! What a provider's refusal means for the job: [`halt`].

use crate::handlers::unavailable;
use crate::providers::ProviderError;
use chrono::TimeDelta;
use jobs::{commands::connections::connect, store::connections::StoredConnection};
use queue::Failure;
use queue::runtime::handler::JobContext;

/// How long a job waits for a new secret before it looks again. Waiting burns no attempt.
const REAUTH_WAIT: TimeDelta = TimeDelta::seconds(30);

/// The code and the user's message if it was refused for good; a failure if the job is to come back, which then burns an
/// attempt only if the provider is at fault. A connection whose secret is refused asks for a new one from now on.
pub(super) async fn halt(
    ctx: &JobContext,
    connection: &StoredConnection,
    error: ProviderError,
) -> Result<(&'static str, String), Failure> {
    Err(match error {
        ProviderError::Permanent { code, message } => return Ok((code, message)),
        ProviderError::Retryable { code, detail } | ProviderError::Unknown { code, detail } => {
            Failure::transient(
                code,
                "The provider could not do it now; the job will be tried again.",
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
                "The account asks for its password again; the job goes on when it has it.",
                code,
            )
        }
        ProviderError::RateLimited { until } => Failure::rate_limited(
            until,
            "provider_rate",
            "The provider asks for a pause; the job goes on by itself.",
            "rate limited by the provider",
        ),
    })
}
