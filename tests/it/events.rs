//! What happened to a job, in one order that can be taken up after any event.

mod http;
mod log;
mod reports;

use crate::support::TestDb;
use base::{JobId, TenantId, WorkerId};
use queue::{
    Failure, Job, Lease, NewJob, Outcome,
    claim::{Claim, Room, Turn, claim},
    enqueue::enqueue,
    run::{
        cancel::{Cancelled, cancel},
        progress::{self, Progress},
    },
    settle,
    view::{
        dead_letters::requeue,
        events::{self, Event, EventId, What},
    },
};
use serde_json::json;
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(30);

/// A job in a database of its own, and what can be done to it.
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
        let kinds = ["test.noop".to_owned()];
        let request = Claim {
            worker: WorkerId::new(),
            queue: "test",
            kinds: &kinds,
            lease: LEASE,
            limit: 1,
            turn: Turn::default(),
            priorities: &[1, 2, 3, 4],
            room: &Room::UNLIMITED,
        };
        let mut jobs: Vec<Job> = claim(self.db.pool(), &request).await.unwrap().jobs;
        jobs.pop().expect("the job waits").lease
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

    async fn requeue(&self) {
        let mut conn = self.db.pool().acquire().await.unwrap();
        let back = requeue(&mut conn, &[(self.tenant, self.id)]).await.unwrap();
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
        traceparent: None,
    };
    let mut conn = db.pool().acquire().await.unwrap();
    enqueue(&mut conn, &job).await.unwrap();
    job.id
}

/// Ids and kinds, as `1.2.3 progress 0.5 note`.
fn told(events: &[Event]) -> Vec<String> {
    let tell = |event: &Event| {
        let what = match &event.what {
            What::Created => "created".to_owned(),
            What::AttemptStarted { worker } => {
                assert!(worker.is_some());
                "started".to_owned()
            }
            What::Progress(progress) => format!("{} {}", progress.value(), progress.note()),
            What::CancelRequested => "cancel requested".to_owned(),
            What::AttemptEnded { outcome, .. } => outcome.clone(),
            What::Finished { state, .. } => format!("{}, the end", state.as_str()),
            What::Retried => "retried".to_owned(),
        };
        format!("{} {what}", event.id)
    };
    events.iter().map(tell).collect()
}
