//! Testing a connection, in a job: only workers open outbound connections.

use crate::commands::jobs::submit_triage::SubmitOutcome;
use crate::domain::ResourceKind;
use crate::{
    domain::{
        AuditAction, ConnectionId, Detail, NewAuditEntry, Session, connection::ConnectionStatus,
    },
    kinds::connection_test::{Args, ConnectionTest},
    store::{audit, connections},
};
use base::telemetry;
use queue::{
    Dedupe, DedupePolicy, EnqueueError, Enqueued, JobKind, JobView, NewJob, enqueue::enqueue,
    signals::notifier::Notifier, view,
};
use sqlx::PgPool;

/// A request to test a connection.
pub struct TestConnection<'a> {
    pub session: &'a Session,
    pub connection: ConnectionId,
    pub request_id: &'a str,
    pub traceparent: &'a str,
}

/// No test was enqueued.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    #[error("there is no such connection")]
    NotFound,
    #[error("could not enqueue the test")]
    Enqueue(#[from] EnqueueError),
    #[error("could not ask for the test")]
    Database(#[from] sqlx::Error),
}

/// Enqueues the test, or finds one that waits already.
///
/// # Errors
/// If the connection is not the user's or was revoked, or the database refuses.
pub async fn test_connection(
    pool: &PgPool,
    notifier: &Notifier,
    request: &TestConnection<'_>,
) -> Result<(JobView, SubmitOutcome), TestError> {
    let session = request.session;
    let mut tx = pool.begin().await?;
    connections::find(&mut tx, session.tenant, request.connection)
        .await?
        .filter(|found| found.user == session.user && found.status != ConnectionStatus::Revoked)
        .ok_or(TestError::NotFound)?;
    let args = Args {
        connection_id: request.connection,
    };
    let job = NewJob {
        dedupe: Some(Dedupe {
            key: request.connection.to_string(),
            policy: DedupePolicy::KeepWaiting,
        }),
        request_id: Some(request.request_id.to_owned()),
        client_request_id: session.client_request(),
        traceparent: Some(request.traceparent.to_owned()),
        ..NewJob::of::<ConnectionTest>(session.tenant, &args)
            .map_err(|error| sqlx::Error::Encode(Box::new(error)))?
    };
    let (view, how) = match enqueue(&mut tx, &job).await? {
        Enqueued::Inserted(_) | Enqueued::Replacing { .. } => (
            view::inserted(&mut tx, &job).await?,
            SubmitOutcome::Inserted,
        ),
        Enqueued::Existing(waiting) => {
            let view = view::find(&mut tx, session.tenant, waiting).await?;
            (
                view.ok_or(sqlx::Error::RowNotFound)?,
                SubmitOutcome::Existing,
            )
        }
    };
    audit::insert(&mut tx, &[submitted(request, &view, how)]).await?;
    tx.commit().await?;
    if how == SubmitOutcome::Inserted {
        notifier.job_available(ConnectionTest::QUEUE);
    }
    Ok((view, how))
}

fn submitted(request: &TestConnection<'_>, job: &JobView, how: SubmitOutcome) -> NewAuditEntry {
    let session = request.session;
    let mut entry = session
        .audit(AuditAction::JobSubmitted, ResourceKind::Job, job.id)
        .with_request(Some(request.request_id))
        .with_detail(
            Detail::new()
                .word("kind", ConnectionTest::NAME)
                .flag("existing", how == SubmitOutcome::Existing),
        );
    entry = entry.with_trace(telemetry::trace_id(request.traceparent));
    entry
}
