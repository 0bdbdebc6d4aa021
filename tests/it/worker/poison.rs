//! A job that kills its workers, as the metrics of the worker that discards it show it, and one that fails and makes progress.

use super::*;
use crate::support::claim::claim_job;
use queue::lease;

#[tokio::test]
async fn poison_job_counts_as_discarded_so_that_its_alert_fires() {
    let db = TestDb::new().await;
    let job = put(&db, "good").await;
    // As a worker does that dies at once.
    claim_job(&db, (Probe::QUEUE, Probe::NAME)).await;
    db.execute("update jobs set lease_until = now() - interval '1 s', crashes = max_crashes - 1")
        .await;
    let running = start(&db, &[]).await;
    let seen = finished(&db, &job).await;
    assert_eq!(seen.error.unwrap().code.as_str(), "poison");
    until("the poison is counted", async || {
        running.finished("discarded") == 1
    })
    .await;
    assert_eq!(running.starts(), 0);
    running.stop().await;
}

/// Fails after it has stored progress, which it does in what would be the job's last attempt.
pub(super) async fn progress(ctx: &JobContext) -> Failure {
    if ctx.job.is_last_attempt() {
        let mut conn = ctx.pool.acquire().await.unwrap();
        lease::renew_allowances(&mut conn, ctx.job.lease, 3)
            .await
            .unwrap();
    }
    Failure::transient("progresses", "It came further.", "detail")
}

#[tokio::test]
async fn job_that_stores_progress_in_its_last_attempt_is_not_discarded_by_it() {
    let db = TestDb::new().await;
    let running = start(&db, &[]).await;
    let job = put(&db, "progresses").await;
    let seen = finished(&db, &job).await;
    assert_eq!((seen.state, running.starts()), (JobState::Succeeded, 5));
    running.stop().await;
}
