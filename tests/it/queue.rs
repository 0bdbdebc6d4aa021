//! The queue's statements on a real database: enqueue, claim, fence, settle, rescue, elect.

mod bulk;
mod cancel;
mod children;
mod dedupe;
mod enqueuer;
mod examples;
mod fairness;
mod limits;
mod locks;
mod operate;
mod plan;
mod poll;
mod resume;

use crate::support::{
    TestDb,
    claim::{LEASE, claim_jobs},
};
use base::{JobId, TenantId, WorkerId};
use jobs::commands::jobs::AuditRecorder;
use queue::runtime::recorder::rescue_recorded;
use queue::{
    EnqueueError, Enqueued, ExternalId, Failure, Job, JobState, JobView, Lease, NewJob, Outcome,
    SettleError, Settled,
    claim::{
        Capacity, Claim, FairnessTurn, claim,
        poll::{LeaseWindow, poll},
    },
    enqueue::{bulk::enqueue_many, enqueue},
    lease, settle, settle_succeeded, view,
};
use serde_json::{Value, json};
use std::{collections::HashSet, time::Duration};

fn new_job(tenant: TenantId) -> NewJob {
    NewJob {
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
        request_id: Some("req-12345678".into()),
        client_request_id: None,
        traceparent: None,
    }
}

async fn put(db: &TestDb, job: &NewJob) -> Result<Enqueued, EnqueueError> {
    let mut conn = db.pool().acquire().await.unwrap();
    enqueue(&mut conn, job).await
}

async fn take(db: &TestDb, limit: u32) -> Vec<Job> {
    take_for(db, limit, LEASE).await
}

async fn take_for(db: &TestDb, limit: u32, lease: Duration) -> Vec<Job> {
    claim_jobs(db, ("test", "test.noop"), limit, lease).await
}

/// Polls once and returns the queues in which due jobs became available.
async fn promote(db: &TestDb) -> Vec<String> {
    poll(db.pool(), &[], &[], LEASE, LeaseWindow::All)
        .await
        .unwrap()
        .promoted
}

async fn view(db: &TestDb, job: &NewJob) -> JobView {
    let mut conn = db.pool().acquire().await.unwrap();
    view::find(&mut conn, job.tenant, job.id)
        .await
        .unwrap()
        .expect("the job exists")
}

async fn end(db: &TestDb, lease: Lease, outcome: &Outcome) -> Result<Settled, SettleError> {
    let failure = Failure::transient("test_failure", "It failed.", "detail");
    let failure = (!matches!(outcome, Outcome::Succeeded { .. })).then_some(&failure);
    let mut conn = db.pool().acquire().await.unwrap();
    settle(&mut conn, lease, outcome, failure).await
}

fn succeeded() -> Outcome {
    Outcome::Succeeded {
        output: json!({ "done": true }),
    }
}

#[tokio::test]
async fn jobs_are_claimed_by_priority_then_time_then_id() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let (mut low, mut urgent) = (new_job(tenant), new_job(tenant));
    (low.priority, urgent.priority) = (4, 1);
    let (first, second) = (new_job(tenant), new_job(tenant));
    for job in [&low, &first, &second, &urgent] {
        put(&db, job).await.unwrap();
    }
    db.execute("update jobs set run_at = '2026-01-01' where state = 'available'")
        .await;
    let claimed: Vec<JobId> = take(&db, 10)
        .await
        .iter()
        .map(|job| job.lease.job)
        .collect();
    assert_eq!(claimed, [urgent.id, first.id, second.id, low.id]);
    assert!(
        take(&db, 10).await.is_empty(),
        "a claimed job is not claimed again"
    );
}

#[tokio::test]
async fn parallel_claims_never_share_a_job() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    for _ in 0..60 {
        put(&db, &new_job(tenant)).await.unwrap();
    }
    let (a, b, c) = tokio::join!(take(&db, 30), take(&db, 30), take(&db, 30));
    let all: Vec<JobId> = [a, b, c]
        .into_iter()
        .flatten()
        .map(|job| job.lease.job)
        .collect();
    assert_eq!(all.len(), 60);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 60);
}

#[tokio::test]
async fn scheduled_job_is_not_claimed_before_its_time() {
    let db = TestDb::new().await;
    let mut later = new_job(TenantId::new());
    #[expect(
        clippy::disallowed_methods,
        reason = "compared with the database's clock"
    )]
    let now = chrono::Utc::now();
    later.run_at = Some(now + chrono::TimeDelta::hours(1));
    put(&db, &later).await.unwrap();
    assert_eq!(view(&db, &later).await.state, JobState::Scheduled);
    assert!(promote(&db).await.is_empty());
    assert!(take(&db, 10).await.is_empty());
    db.execute("update jobs set run_at = now()").await;
    assert_eq!(promote(&db).await, ["test"]);
    assert_eq!(take(&db, 10).await.len(), 1);
}

#[tokio::test]
async fn same_external_id_and_request_is_the_same_job() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let mut first = new_job(tenant);
    first.external = Some(ExternalId {
        id: "mail-1".into(),
        fingerprint: [1; 32],
    });
    let mut again = NewJob {
        id: JobId::new(),
        ..first.clone()
    };
    assert_eq!(
        put(&db, &first).await.unwrap(),
        Enqueued::Inserted(first.id)
    );
    assert_eq!(
        put(&db, &again).await.unwrap(),
        Enqueued::Existing(first.id)
    );

    again.external = Some(ExternalId {
        id: "mail-1".into(),
        fingerprint: [2; 32],
    });
    let error = put(&db, &again).await.unwrap_err();
    assert!(
        matches!(error, EnqueueError::KeyReused { existing } if existing == first.id),
        "{error}"
    );

    let elsewhere = NewJob {
        id: JobId::new(),
        tenant: TenantId::new(),
        ..first.clone()
    };
    assert_eq!(
        put(&db, &elsewhere).await.unwrap(),
        Enqueued::Inserted(elsewhere.id)
    );
}

#[tokio::test]
async fn external_id_outlives_the_job_row() {
    let db = TestDb::new().await;
    let mut first = new_job(TenantId::new());
    first.external = Some(ExternalId {
        id: "mail-1".into(),
        fingerprint: [1; 32],
    });
    put(&db, &first).await.unwrap();
    let lease = take(&db, 1).await[0].lease;
    end(&db, lease, &succeeded()).await.unwrap();
    db.execute("update finished_jobs set finished_at = now() - interval '40 days'")
        .await;
    let month = Duration::from_secs(30 * 24 * 3600);
    assert_eq!(db.prune_finished(month).await, 1);
    let again = NewJob {
        id: JobId::new(),
        ..first.clone()
    };
    assert_eq!(
        put(&db, &again).await.unwrap(),
        Enqueued::Existing(first.id)
    );
}

#[tokio::test]
async fn enqueue_commits_with_the_callers_transaction() {
    let db = TestDb::new().await;
    let mut job = new_job(TenantId::new());
    job.external = Some(ExternalId {
        id: "mail-1".into(),
        fingerprint: [1; 32],
    });
    let mut transaction = db.pool().begin().await.unwrap();
    enqueue(&mut transaction, &job).await.unwrap();
    transaction.rollback().await.unwrap();
    assert!(take(&db, 1).await.is_empty());
    assert_eq!(put(&db, &job).await.unwrap(), Enqueued::Inserted(job.id));
}

#[tokio::test]
async fn settled_job_shows_its_output_and_leaves_the_hot_table() {
    let db = TestDb::new().await;
    let job = new_job(TenantId::new());
    put(&db, &job).await.unwrap();
    let lease = take(&db, 1).await[0].lease;
    assert_eq!(view(&db, &job).await.state, JobState::Running);
    assert_eq!(
        end(&db, lease, &succeeded()).await.unwrap(),
        Settled::Written
    );
    let found = view(&db, &job).await;
    assert_eq!(
        (found.state, found.attempts, found.output),
        (JobState::Succeeded, 1, Some(json!({ "done": true })))
    );
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 0);
}

#[tokio::test]
async fn settle_whose_reply_was_lost_is_recognised_on_retry() {
    let db = TestDb::new().await;
    for outcome in [
        succeeded(),
        Outcome::Retried {
            delay: Duration::ZERO,
        },
        Outcome::Interrupted,
        Outcome::Discarded,
    ] {
        put(&db, &new_job(TenantId::new())).await.unwrap();
        let lease = take(&db, 1).await[0].lease;
        assert_eq!(end(&db, lease, &outcome).await.unwrap(), Settled::Written);
        assert_eq!(
            end(&db, lease, &outcome).await.unwrap(),
            Settled::AlreadySettled,
            "{outcome:?}"
        );
        db.execute("delete from jobs").await;
    }
}

#[tokio::test]
async fn ghost_of_a_rescued_attempt_writes_nothing() {
    let db = TestDb::new().await;
    let job = new_job(TenantId::new());
    put(&db, &job).await.unwrap();
    let ghost_job = take(&db, 1).await.remove(0);
    let ghost = ghost_job.lease;
    db.execute("update jobs set lease_until = now() - interval '1 second'")
        .await;
    let rescued = rescue_recorded(db.pool(), &AuditRecorder::shared(), None, 10)
        .await
        .unwrap();
    assert_eq!(
        (rescued.len(), rescued[0].attempt, rescued[0].poisoned),
        (1, ghost.attempt, false)
    );

    let refused = async || {
        for outcome in [
            succeeded(),
            Outcome::Retried {
                delay: Duration::ZERO,
            },
            Outcome::Discarded,
            Outcome::Interrupted,
        ] {
            let error = end(&db, ghost, &outcome).await.unwrap_err();
            assert!(matches!(error, SettleError::LeaseLost { .. }), "{error}");
        }
    };
    refused().await;
    let owner_job = take(&db, 1).await.remove(0);
    let owner = owner_job.lease;
    refused().await;
    let output = json!("of the ghost");
    // Where the ghost left the row, and where its successor did.
    for place in [ghost_job.place, owner_job.place] {
        let late = Job {
            place,
            ..ghost_job.clone()
        };
        let unsettled = settle_succeeded(db.pool(), &[(&late, &output)]).await;
        assert_eq!(unsettled.unwrap(), HashSet::from([ghost.job]));
    }
    db.execute("update jobs set lease_until = 'tomorrow'").await;
    let kept = lease::renew(db.pool(), &[ghost], LEASE).await.unwrap();
    assert_eq!(kept, HashSet::new());
    let untouched: bool = db.one("select lease_until = 'tomorrow' from jobs").await;
    assert!(untouched, "a ghost extended the lease of its successor");
    let kept = lease::renew(db.pool(), &[ghost, owner], LEASE)
        .await
        .unwrap();
    assert_eq!(kept, HashSet::from([owner]));
    let mut conn = db.pool().acquire().await.unwrap();
    assert!(!lease::lock_if_held(&mut conn, ghost).await.unwrap());
    assert!(lease::lock_if_held(&mut conn, owner).await.unwrap());
    assert_eq!(
        end(&db, owner, &succeeded()).await.unwrap(),
        Settled::Written
    );
}

#[tokio::test]
async fn attempt_number_is_not_reused_after_an_interruption() {
    let db = TestDb::new().await;
    let job = new_job(TenantId::new());
    put(&db, &job).await.unwrap();
    let first = take(&db, 1).await[0].lease;
    end(&db, first, &Outcome::Interrupted).await.unwrap();
    assert_eq!(
        view(&db, &job).await.attempts,
        0,
        "an interruption does not count"
    );
    let second = take(&db, 1).await[0].lease;
    assert!(second.attempt > first.attempt);
    assert!(end(&db, first, &succeeded()).await.is_err());
}

#[tokio::test]
async fn job_that_kills_its_worker_three_times_is_discarded_as_poison() {
    let db = TestDb::new().await;
    let job = new_job(TenantId::new());
    put(&db, &job).await.unwrap();
    for crash in 1..=3 {
        // From the second crash on it waits for a random time, so as not to start beside the same jobs again.
        let waiting = "select count(*) from jobs where state = 'retryable' and run_at < now() + interval '20 s'";
        assert_eq!(db.one::<i64>(waiting).await, i64::from(crash == 3));
        db.execute("update jobs set state = 'available' where state = 'retryable'")
            .await;
        assert_eq!(take(&db, 1).await.len(), 1, "claim {crash}");
        db.execute("update jobs set lease_until = now() - interval '1 second'")
            .await;
        assert_eq!(
            rescue_recorded(db.pool(), &AuditRecorder::shared(), None, 10)
                .await
                .unwrap()[0]
                .poisoned,
            crash == 3
        );
    }
    let found = view(&db, &job).await;
    assert_eq!(
        (found.state, found.error.unwrap().code.as_str()),
        (JobState::Discarded, "poison")
    );
    assert_eq!(
        db.one::<i64>("select count(*) from job_attempts where outcome = 'crashed'")
            .await,
        3
    );
    assert_eq!(
        db.one::<i64>("select count(*) from audit_log where request_id = 'req-12345678'")
            .await,
        3,
        "each lost attempt is audited under the request that started the job"
    );
}

#[tokio::test]
async fn job_that_stores_progress_may_crash_and_fail_as_often_again() {
    let db = TestDb::new().await;
    put(&db, &new_job(TenantId::new())).await.unwrap();
    db.execute("update jobs set errors = 2, crashes = 2").await;
    let job = take(&db, 1).await.remove(0);
    assert!(job.is_last_attempt());
    let mut conn = db.pool().acquire().await.unwrap();
    lease::renew_allowances(&mut conn, job.lease, 3)
        .await
        .unwrap();
    let allowed: String = db
        .one("select max_attempts || ' ' || max_crashes from jobs")
        .await;
    assert_eq!(allowed, "5 5");
    lease::renew_allowances(&mut conn, job.lease, 1)
        .await
        .unwrap();
    assert_eq!(db.one::<i32>("select max_attempts from jobs").await, 5);
}

#[tokio::test]
async fn retried_job_waits_counts_its_error_and_shows_the_reason() {
    let db = TestDb::new().await;
    let job = new_job(TenantId::new());
    put(&db, &job).await.unwrap();
    let lease = take(&db, 1).await[0].lease;
    end(
        &db,
        lease,
        &Outcome::Retried {
            delay: Duration::from_secs(60),
        },
    )
    .await
    .unwrap();
    let found = view(&db, &job).await;
    assert_eq!((found.state, found.attempts), (JobState::Retryable, 1));
    assert_eq!(found.error.unwrap().message, "It failed.");
    promote(&db).await;
    assert!(take(&db, 1).await.is_empty());
    let wait: f64 = db
        .one("select extract(epoch from run_at - now())::float8 from jobs")
        .await;
    assert!((55.0..=60.0).contains(&wait), "{wait}");
}

#[tokio::test]
async fn queue_needs_no_table_but_those_of_its_own_schema() {
    let db = TestDb::unmigrated().await;
    queue::schema::create(db.pool()).await.unwrap();
    let job = new_job(TenantId::new());
    put(&db, &job).await.unwrap();
    assert!(promote(&db).await.is_empty());
    let claimed = take(&db, 1).await;
    end(&db, claimed[0].lease, &succeeded()).await.unwrap();
    assert_eq!(view(&db, &job).await.state, JobState::Succeeded);
}

#[tokio::test]
async fn tables_and_functions_of_the_queue_s_own_schema_are_those_of_the_migrations() {
    const SCHEMA: &str = "select jsonb_object_agg(name, definition) from (
        select table_name, jsonb_object_agg(column_name, concat_ws(' ', data_type, is_nullable, column_default))
        from information_schema.columns where table_schema = 'public' group by table_name
        union all
        select proname, to_jsonb(prosrc) from pg_proc where pronamespace = 'public'::regnamespace) made (name, definition)";
    let (alone, migrated) = (TestDb::unmigrated().await, TestDb::new().await);
    queue::schema::create(alone.pool()).await.unwrap();
    // A second start finds everything.
    queue::schema::create(alone.pool()).await.unwrap();
    let (own, all): (Value, Value) = (alone.one(SCHEMA).await, migrated.one(SCHEMA).await);
    let own = own.as_object().unwrap();
    assert!(own.contains_key("jobs") && own.contains_key("settle_succeeded"));
    for (name, definition) in own {
        assert_eq!(definition, &all[name], "{name}");
    }
}
