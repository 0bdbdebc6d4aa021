//! Looks for expired leases go on from the last one, and the table is gone through where the index is full of litter.

use super::*;
use crate::support::wait::{SOON, eventually};
use chrono::TimeDelta;
use queue::claim::{
    dead_tuples::Survey,
    poll::{Look, survey_leases},
};

async fn look_since(db: &TestDb, since: Since) -> Look {
    look(db.pool(), &[], &[], LEASE, since).await.unwrap()
}

/// One job whose lease has expired an hour ago.
async fn lost_job(db: &TestDb) -> Job {
    put(db, &new_job(TenantId::new())).await.unwrap();
    let job = take(db, 1).await.remove(0);
    db.execute("update jobs set lease_until = now() - interval '1 hour'")
        .await;
    job
}

#[tokio::test]
async fn expired_lease_is_told_with_its_end_and_not_to_looks_from_later_on() {
    let db = TestDb::new().await;
    assert_eq!(look_since(&db, Since::Ever).await.expired, None);
    lost_job(&db).await;
    let seen = look_since(&db, Since::Ever).await;
    let end = seen.expired.expect("it has expired");
    assert!((seen.at - end - TimeDelta::hours(1)).abs() < TimeDelta::minutes(1));
    assert_eq!(look_since(&db, Since::At(end)).await.expired, Some(end));
    let later = Since::At(end + TimeDelta::seconds(1));
    assert_eq!(look_since(&db, later).await.expired, None);
    let ago = |hours| Since::Lately(Duration::from_hours(hours));
    assert_eq!(look_since(&db, ago(2)).await.expired, Some(end));
    assert_eq!(look_since(&db, ago(1)).await.expired, None);
}

#[tokio::test]
async fn only_what_expired_since_then_is_rescued() {
    let db = TestDb::new().await;
    let lost = lost_job(&db).await;
    let end = look_since(&db, Since::Ever).await.expired.unwrap();
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
async fn survey_of_the_table_finds_the_first_lease_that_expired() {
    let db = TestDb::new().await;
    let mut survey = Survey::default();
    lost_job(&db).await;
    let end = look_since(&db, Since::Ever).await.expired;
    let found = survey_leases(db.pool(), &mut survey).await.unwrap();
    assert_eq!(found, end);
    rescue_recorded(db.pool(), &AuditRecorder::shared(), end, 10)
        .await
        .unwrap();
    eventually(SOON, async || {
        let found = survey_leases(db.pool(), &mut survey).await.unwrap();
        assert_eq!(found, None, "it was rescued");
        let through = survey.rounds() > 0;
        through
            .then_some(())
            .ok_or_else(|| "not gone through yet".to_owned())
    })
    .await;
}
