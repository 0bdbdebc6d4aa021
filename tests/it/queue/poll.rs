//! Polls find expired leases from the last one on, and block-range scans find them while vacuum is blocked.

use super::*;
use crate::support::wait::{SOON, eventually};
use chrono::TimeDelta;
use queue::claim::{
    dead_tuples::TableScan,
    poll::{Poll, scan_leases},
};

async fn poll_leases(db: &TestDb, window: LeaseWindow) -> Poll {
    poll(db.pool(), &[], &[], LEASE, window).await.unwrap()
}

/// Enqueues and claims a job whose lease expired an hour ago.
async fn lost_job(db: &TestDb) -> Job {
    put(db, &new_job(TenantId::new())).await.unwrap();
    let job = take(db, 1).await.remove(0);
    db.execute("update jobs set lease_until = now() - interval '1 hour'")
        .await;
    job
}

#[tokio::test]
async fn expired_lease_is_reported_with_its_end_and_only_within_the_window() {
    let db = TestDb::new().await;
    assert_eq!(poll_leases(&db, LeaseWindow::All).await.expired, None);
    lost_job(&db).await;
    let found = poll_leases(&db, LeaseWindow::All).await;
    let end = found.expired.expect("it has expired");
    assert!((found.polled_at - end - TimeDelta::hours(1)).abs() < TimeDelta::minutes(1));
    assert_eq!(
        poll_leases(&db, LeaseWindow::From(end)).await.expired,
        Some(end)
    );
    let later = LeaseWindow::From(end + TimeDelta::seconds(1));
    assert_eq!(poll_leases(&db, later).await.expired, None);
    let ago = |hours| LeaseWindow::Last(Duration::from_hours(hours));
    assert_eq!(poll_leases(&db, ago(2)).await.expired, Some(end));
    assert_eq!(poll_leases(&db, ago(1)).await.expired, None);
}

#[tokio::test]
async fn rescue_takes_only_leases_that_expired_since_the_given_time() {
    let db = TestDb::new().await;
    let lost = lost_job(&db).await;
    let end = poll_leases(&db, LeaseWindow::All).await.expired.unwrap();
    let later = end + TimeDelta::seconds(1);
    let rescued = rescue_recorded(db.pool(), &AuditRecorder::shared(), Some(later), 10)
        .await
        .unwrap();
    assert!(rescued.is_empty());
    let rescued = rescue_recorded(db.pool(), &AuditRecorder::shared(), Some(end), 10)
        .await
        .unwrap();
    assert_eq!(rescued[0].job, lost.lease.job);
}

#[tokio::test]
async fn table_scan_finds_the_first_expired_lease() {
    let db = TestDb::new().await;
    let mut scan = TableScan::default();
    lost_job(&db).await;
    let end = poll_leases(&db, LeaseWindow::All).await.expired;
    let found = scan_leases(db.pool(), &mut scan).await.unwrap();
    assert_eq!(found, end);
    rescue_recorded(db.pool(), &AuditRecorder::shared(), end, 10)
        .await
        .unwrap();
    eventually(SOON, async || {
        let found = scan_leases(db.pool(), &mut scan).await.unwrap();
        assert_eq!(found, None, "it was rescued");
        let through = scan.rounds() > 0;
        through
            .then_some(())
            .ok_or_else(|| "the scan has not passed through the table yet".to_owned())
    })
    .await;
}

#[tokio::test]
async fn job_with_a_valid_lease_is_not_rescued() {
    let db = TestDb::new().await;
    put(&db, &new_job(TenantId::new())).await.unwrap();
    take(&db, 1).await;
    assert!(
        rescue_recorded(db.pool(), &AuditRecorder::shared(), None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}
