//! The progress reports of attempts.

use super::*;
use crate::support::{eventually, wait::SOON};
use queue::runtime::reporter::{ReportError, Reporter};
use queue::{settle::rescue::rescue, view};
use tokio_util::sync::CancellationToken;

impl Case {
    async fn progress(&self) -> Option<Progress> {
        let mut conn = self.db.pool().acquire().await.unwrap();
        let job = view::find(&mut conn, self.tenant, self.id).await.unwrap();
        job.unwrap().progress
    }

    async fn expire(&self) {
        self.db
            .execute("update jobs set lease_until = now() - interval '1 s'")
            .await;
        let mut conn = self.db.pool().acquire().await.unwrap();
        assert_eq!(rescue(&mut conn, None, 10).await.unwrap().len(), 1);
    }

    fn reporter(&self, lease: Lease) -> (Reporter, CancellationToken) {
        let cancelled = CancellationToken::new();
        let pool = self.db.pool().clone();
        (Reporter::new(pool, lease, cancelled.clone()), cancelled)
    }

    async fn reports(&self) -> i64 {
        self.db
            .one("select count(*) from job_events where kind = 'progress'")
            .await
    }
}

#[tokio::test]
async fn report_of_an_attempt_that_lost_its_lease_writes_nothing() {
    let case = Case::new().await;
    let ghost = case.claim().await;
    case.expire().await;
    assert!(!case.report(ghost, 0.5, "from the grave").await);
    let heir = case.claim().await;
    assert!(!case.report(ghost, 0.5, "from the grave").await);
    assert_eq!((case.progress().await, case.reports().await), (None, 0));
    assert!(case.report(heir, 0.25, "alive").await);
    assert_eq!(case.progress().await.unwrap().note(), "alive");
}

#[tokio::test]
async fn progress_is_that_of_the_running_attempt() {
    let case = Case::new().await;
    let lease = case.claim().await;
    assert!(case.report(lease, 0.5, "half").await);
    assert!(case.progress().await.is_some());
    case.expire().await;
    assert_eq!(case.progress().await, None, "after a crash");
    for outcome in [
        Outcome::Interrupted,
        Outcome::Retried {
            delay: Duration::ZERO,
        },
    ] {
        let lease = case.claim().await;
        assert_eq!(case.progress().await, None);
        assert!(case.report(lease, 0.5, "half").await);
        case.end(lease, outcome.clone()).await;
        assert_eq!(case.progress().await, None, "after {outcome:?}");
    }
}

#[tokio::test]
async fn last_of_many_reports_is_written_and_few_others() {
    let case = Case::new().await;
    let (reporter, cancelled) = case.reporter(case.claim().await);
    for step in 0..=100_u8 {
        reporter
            .report(f32::from(step) / 100.0, &format!("step {step}"))
            .unwrap();
    }
    eventually(SOON, async || {
        let seen = case.progress().await;
        match &seen {
            Some(progress) if progress.note() == "step 100" => Ok(()),
            _ => Err(format!("{seen:?}")),
        }
    })
    .await;
    assert_eq!(case.reports().await, 1);
    assert!(!cancelled.is_cancelled());
}

#[tokio::test]
async fn next_report_fails_after_the_lease_was_lost() {
    let case = Case::new().await;
    let (reporter, cancelled) = case.reporter(case.claim().await);
    case.expire().await;
    reporter.report(0.1, "unaware").unwrap();
    cancelled.cancelled().await;
    assert_eq!(reporter.report(0.2, "late"), Err(ReportError::LeaseLost));
    assert_eq!(case.reports().await, 0);
}

#[tokio::test]
async fn events_are_pruned_with_their_job() {
    let case = Case::new().await;
    let lease = case.claim().await;
    assert!(case.report(lease, 0.5, "half").await);
    case.end(lease, Outcome::Succeeded { output: json!(1) })
        .await;
    let other = Case {
        id: put(&case.db, case.tenant).await,
        ..case
    };
    let lease = other.claim().await;
    assert!(other.report(lease, 0.5, "half").await);
    let pruned = other.db.prune_finished(Duration::ZERO).await;
    assert_eq!((pruned, other.reports().await), (1, 1));
}
