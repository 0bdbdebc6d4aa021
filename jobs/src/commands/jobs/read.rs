//! Reading a job for a request: [`find`]. Every user sees the jobs of their tenant, but not the words of another user's draft in
//! the output of the jobs that wrote or sent it.

use crate::{
    domain::Session,
    kinds::{action::ActionExecute, draft::DraftGenerate},
    store::drafts::outputs,
};
use base::JobId;
use queue::{JobKind, JobView, view};
use sqlx::PgConnection;

/// Finds a job of the session's tenant, without its output if that has words which the session may not read.
pub async fn find(
    conn: &mut PgConnection,
    session: &Session,
    id: JobId,
) -> Result<Option<JobView>, sqlx::Error> {
    let tenant = session.tenant;
    let Some(mut job) = view::find(conn, tenant, id).await? else {
        return Ok(None);
    };
    let may_have_words =
        job.output.is_some() && [DraftGenerate::NAME, ActionExecute::NAME].contains(&&*job.kind);
    let whose = (tenant, session.reader());
    if may_have_words && outputs::is_hidden(conn, whose, session.api_key(), id).await? {
        job.output = None;
    }
    Ok(Some(job))
}
