//! Parents that wait for the jobs they enqueued.

use super::*;

#[tokio::test]
async fn parent_waits_without_a_slot_and_goes_on_when_its_last_child_has_ended_however() {
    let db = TestDb::new().await;
    // With one slot the children run only if their parent leaves it to them.
    let running = start(&db, &[("WORKER_SLOTS", "1")]).await;
    let parent = put(&db, "parent plain permanent fine fails").await;
    let seen = finished(&db, &parent).await;
    assert_eq!(seen.state, JobState::Succeeded);
    let states = json!(["succeeded", "discarded", "succeeded", "discarded"]);
    assert_eq!(seen.output, Some(states));
    let children = seen.children.unwrap();
    assert_eq!((children.total, children.ended, children.failed), (4, 4, 2));
    assert_eq!(seen.attempt, 1, "waiting costs no attempt");
    let audited: i64 = db
        .one("select count(*) from audit_entries where action = 'job.waiting'")
        .await;
    assert_eq!(audited, 1);
    running.stop().await;
}

#[tokio::test]
async fn parent_of_many_that_end_at_once_goes_on_once() {
    let db = TestDb::new().await;
    let running = start(&db, &[("WORKER_SLOTS", "50")]).await;
    let family = format!("parent{}", " plain".repeat(100));
    let parents = [put(&db, &family).await, put(&db, &family).await];
    for parent in parents {
        let output = finished(&db, &parent).await.output.unwrap();
        assert_eq!(output.as_array().unwrap().len(), 100);
    }
    assert_eq!(running.starts(), 204);
    running.stop().await;
}

#[tokio::test]
async fn follow_ups_are_enqueued_with_the_settle_that_asks_for_them_or_not_at_all() {
    let db = TestDb::new().await;
    let running = start(&db, &[]).await;
    // A child that Postgres refuses: nothing of the settle is kept, and the attempt is settled as failed.
    let parent = put(&db, "parent plain nul").await;
    let seen = finished(&db, &parent).await;
    assert_eq!(seen.state, JobState::Discarded);
    assert_eq!(seen.error.unwrap().code, "internal_error");
    let jobs: i64 = db.one("select count(*) from finished_jobs").await;
    assert_eq!(jobs, 1, "no child was left behind");
    running.stop().await;
}
