//! Whose fault a rejected request is: [`of`].
//!
//! A rejection looks the same if the configuration is wrong and if only this email is rejected, by a firewall or a filter.
//! What happened to other jobs since the job's earlier requests to the same lane tells them apart.

use super::effects::Subject;
use base::{JobId, TenantId};
use jobs::{domain::llm::ModelName, store::llm_calls};
use llm::LlmError;
use sqlx::PgConnection;

/// The outcome of a 403 to a job that got one before, with the lane closed in between. Only a second one counts against the
/// job: otherwise a key that is mended and breaks again would drop every job that waited for it.
const FORBIDDEN_AGAIN: &str = "auth_again";

/// Decides whose fault a failed request of this job is.
pub(in crate::handlers) async fn of(
    conn: &mut PgConnection,
    of: (TenantId, JobId),
    lane: ModelName<'_>,
    error: &LlmError,
) -> Result<Subject, sqlx::Error> {
    let rejected_before = match error {
        LlmError::BadRequest { .. } => "bad_request",
        LlmError::Auth { status: 403 } => FORBIDDEN_AGAIN,
        _ => return Ok(Subject::Provider),
    };
    let is_alone = llm_calls::rejected_alone(conn, of, lane, rejected_before).await?;
    Ok(if is_alone {
        Subject::Job
    } else {
        Subject::Provider
    })
}

/// Returns the outcome by which a failed request is recorded, which [`of`] reads when the job's next one fails.
pub(in crate::handlers) async fn outcome(
    conn: &mut PgConnection,
    of: (TenantId, JobId),
    lane: ModelName<'_>,
    error: &LlmError,
) -> Result<&'static str, sqlx::Error> {
    let class = error.class();
    if matches!(error, LlmError::Auth { status: 403 })
        && llm_calls::rejected_alone(conn, of, lane, class).await?
    {
        return Ok(FORBIDDEN_AGAIN);
    }
    Ok(class)
}
