//! The event log of a job: one sequence that a reader can resume after any event.

mod http;
mod log;
mod reports;

use crate::support::{TestDb, claim::claim_job};
use base::{JobId, TenantId};
use queue::{
    Failure, Lease, NewJob, Outcome,
    enqueue::enqueue,
    run::{
        cancel::{Cancelled, cancel},
        progress::{self, Progress},
    },
    settle,
    view::{
        dead_letters::retry,
        events::{self, Event, EventId, EventKind},
    },
};
use serde_json::json;
use std::time::Duration;

/// A job in a database of its own, and the operations on it.
struct Case {
    db: TestDb,
    tenant: TenantId,
    id: JobId,
}

impl Case {
    async fn new() -> Self {
        let (db, tenant) = (TestDb::new().await, TenantId::new());
        let id = put(&db, tenant).await;
        Self { db, tenant, id }
    }

    async fn claim(&self) -> Lease {
        claim_job(&self.db, ("test", "test.noop")).await.lease
    }

    async fn report(&self, lease: Lease, value: f32, note: &str) -> bool {
        let progress = Progress::new(value, note).unwrap();
        progress::report(self.db.pool(), lease, &progress)
            .await
            .unwrap()
    }

    async fn end(&self, lease: Lease, outcome: Outcome) {
        let failure = Failure::transient("test_failure", "It failed.", "detail");
        let failure = (!matches!(outcome, Outcome::Succeeded { .. })).then_some(&failure);
        let mut tx = self.db.pool().begin().await.unwrap();
        settle(&mut tx, lease, &outcome, failure).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn cancel(&self) -> Cancelled {
        let mut conn = self.db.pool().acquire().await.unwrap();
        cancel(&mut conn, self.tenant, self.id).await.unwrap()
    }

    async fn retry(&self) {
        let mut conn = self.db.pool().acquire().await.unwrap();
        let back = retry(&mut conn, &[(self.tenant, self.id)]).await.unwrap();
        assert_eq!(back.len(), 1);
    }

    async fn read(&self, after: Option<EventId>, limit: i64) -> Vec<Event> {
        let mut conn = self.db.pool().acquire().await.unwrap();
        events::read(&mut conn, self.tenant, self.id, after, limit)
            .await
            .unwrap()
    }

    async fn all(&self) -> Vec<Event> {
        self.read(None, 1000).await
    }
}

async fn put(db: &TestDb, tenant: TenantId) -> JobId {
    let job = NewJob {
        id: JobId::new(),
        tenant,
        kind: "test.noop",
        queue: "test",
        args: json!({}),
        priority: 3,
        run_at: None,
        max_attempts: 3,
        external: None,
        dedupe: None,
        parent: None,
        request_id: None,
        client_request_id: None,
        traceparent: None,
    };
    let mut conn = db.pool().acquire().await.unwrap();
    enqueue(&mut conn, &job).await.unwrap();
    job.id
}

/// Returns ids and kinds as text, such as `1.2.3 0.5 note`.
fn lines(events: &[Event]) -> Vec<String> {
    let line = |event: &Event| {
        let kind = match &event.kind {
            EventKind::Created => "created".to_owned(),
            EventKind::AttemptStarted { worker } => {
                assert!(worker.is_some());
                "started".to_owned()
            }
            EventKind::Progress(progress) => format!("{} {}", progress.value(), progress.note()),
            EventKind::CancelRequested => "cancel requested".to_owned(),
            EventKind::AttemptEnded { outcome, .. } => outcome.clone(),
            EventKind::Finished { state, .. } => format!("{}, final", state.as_str()),
            EventKind::Retried => "retried".to_owned(),
        };
        format!("{} {kind}", event.id)
    };
    events.iter().map(line).collect()
}
