//! Cancellation of waiting and running jobs.

use super::*;
use queue::{
    Dedupe, DedupePolicy,
    run::cancel::{Cancelled, cancel, requested},
};

async fn stop(db: &TestDb, job: &NewJob) -> Cancelled {
    let mut conn = db.pool().acquire().await.unwrap();
    cancel(&mut conn, job.tenant, job.id).await.unwrap()
}

#[tokio::test]
async fn waiting_job_is_cancelled_at_once_and_never_claimed() {
    let db = TestDb::new().await;
    let job = new_job(TenantId::new());
    put(&db, &job).await.unwrap();
    assert_eq!(stop(&db, &job).await, Cancelled::Now);
    let found = view(&db, &job).await;
    assert_eq!(
        (found.state, found.error.unwrap().code.as_str()),
        (JobState::Cancelled, "cancelled")
    );
    assert!(take(&db, 10).await.is_empty());
    let again = stop(&db, &job).await;
    assert_eq!(again, Cancelled::AlreadyEnded(JobState::Cancelled));
}

#[tokio::test]
async fn cancel_request_of_a_running_job_reaches_its_worker_only() {
    let db = TestDb::new().await;
    let job = new_job(TenantId::new());
    put(&db, &job).await.unwrap();
    let lease = take(&db, 1).await[0].lease;
    assert_eq!(stop(&db, &job).await, Cancelled::Requested);
    assert_eq!(requested(db.pool(), lease.worker).await.unwrap(), [job.id]);
    let other = requested(db.pool(), WorkerId::new()).await.unwrap();
    assert!(other.is_empty());
    end(&db, lease, &Outcome::Cancelled).await.unwrap();
    assert_eq!(view(&db, &job).await.state, JobState::Cancelled);
}

#[tokio::test]
async fn another_tenants_job_cannot_be_cancelled() {
    let db = TestDb::new().await;
    let job = new_job(TenantId::new());
    put(&db, &job).await.unwrap();
    let stranger = NewJob {
        tenant: TenantId::new(),
        ..job.clone()
    };
    assert_eq!(stop(&db, &stranger).await, Cancelled::NotFound);
    assert_eq!(take(&db, 1).await.len(), 1);
}

/// Cancels a running job, and settles it with an outcome that would return it to the queue.
async fn settle_cancelled(outcome: Outcome) {
    let db = TestDb::new().await;
    let job = new_job(TenantId::new());
    put(&db, &job).await.unwrap();
    let lease = take(&db, 1).await[0].lease;
    assert_eq!(stop(&db, &job).await, Cancelled::Requested);
    let settled = end(&db, lease, &outcome).await.unwrap();
    assert_eq!(settled, Settled::Cancelled);
    let found = view(&db, &job).await;
    assert_eq!(found.state, JobState::Cancelled);
    assert_eq!(found.error.unwrap().code, "cancelled");
    let again = end(&db, lease, &outcome).await.unwrap();
    assert_eq!(again, Settled::AlreadySettled, "the reply was lost");
}

#[tokio::test]
async fn cancelled_job_that_fails_does_not_run_again() {
    let delay = Duration::from_secs(1);
    settle_cancelled(Outcome::Retried { delay }).await;
}

#[tokio::test]
async fn cancelled_job_that_is_snoozed_does_not_run_again() {
    let until = chrono::DateTime::UNIX_EPOCH;
    settle_cancelled(Outcome::Snoozed { until }).await;
}

#[tokio::test]
async fn cancelled_job_that_is_interrupted_does_not_run_again() {
    settle_cancelled(Outcome::Interrupted).await;
}

#[tokio::test]
async fn cancelled_job_whose_worker_dies_does_not_run_again() {
    let db = TestDb::new().await;
    let job = new_job(TenantId::new());
    put(&db, &job).await.unwrap();
    take(&db, 1).await;
    stop(&db, &job).await;
    db.execute("update jobs set lease_until = now() - interval '1 second'")
        .await;
    let rescued = rescue_recorded(db.pool(), &AuditRecorder::shared(), None, 10)
        .await
        .unwrap();
    assert!(rescued[0].cancel_requested && !rescued[0].poisoned);
    assert_eq!(view(&db, &job).await.state, JobState::Cancelled);
    assert_eq!(
        db.one::<String>("select action from audit_entries order by id desc limit 1")
            .await,
        "job.cancelled"
    );
}

#[tokio::test]
async fn cancelled_job_with_a_dedupe_key_leaves_the_older_one_that_waits() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let keyed = || NewJob {
        dedupe: Some(Dedupe {
            key: "inbox".into(),
            policy: DedupePolicy::KeepWaiting,
        }),
        ..new_job(tenant)
    };
    let (older, newer) = (keyed(), keyed());
    put(&db, &older).await.unwrap();
    let first = take(&db, 1).await[0].lease;
    put(&db, &newer).await.unwrap();
    let second = take(&db, 1).await[0].lease;
    let waits = Outcome::Interrupted;
    assert_eq!(end(&db, first, &waits).await.unwrap(), Settled::Written);
    assert_eq!(stop(&db, &newer).await, Cancelled::Requested);
    assert_eq!(end(&db, second, &waits).await.unwrap(), Settled::Cancelled);
    let states = [view(&db, &older).await.state, view(&db, &newer).await.state];
    assert_eq!(states, [JobState::Available, JobState::Cancelled]);
}
