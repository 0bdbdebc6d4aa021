//! Parent jobs that wait for their children.

use super::*;

/// Enqueues a child for each word, waits for them, and returns their states.
pub(super) async fn raise(ctx: &JobContext, family: &str) -> Result<Settlement, Failure> {
    if ctx.job.children == 0 {
        let children = family.split(' ').skip(1).map(|word| {
            let word = if word == "nul" { "\u{0}" } else { word };
            NewJob::of::<Probe>(ctx.job.lease.tenant, &word.to_owned()).expect("a word is JSON")
        });
        return Ok(Settlement::wait_for(children.collect()));
    }
    let mut conn = ctx.pool.acquire().await.expect("the pool is open");
    let ended = children::outcomes(&mut conn, ctx.job.lease.tenant, ctx.job.lease.job)
        .await
        .expect("the database answers");
    let states: Vec<_> = ended.iter().map(|child| child.state).collect();
    Ok(Settlement::of(json!(states)))
}

#[tokio::test]
async fn parent_waits_without_a_slot_and_resumes_after_its_last_child_in_any_state() {
    let db = TestDb::new().await;
    // With one slot, the children run only if their parent releases it.
    let running = start(&db, &[("WORKER_SLOTS", "1")]).await;
    let parent = put(&db, "parent plain permanent fine fails").await;
    let seen = finished(&db, &parent).await;
    assert_eq!(seen.state, JobState::Succeeded);
    let states = json!(["succeeded", "discarded", "succeeded", "discarded"]);
    assert_eq!(seen.output, Some(states));
    let children = seen.children.unwrap();
    assert_eq!((children.total, children.ended, children.failed), (4, 4, 2));
    assert_eq!(seen.attempts, 1, "waiting does not count as an attempt");
    let audited: i64 = db
        .one("select count(*) from audit_entries where action = 'job.waiting'")
        .await;
    assert_eq!(audited, 1);
    running.stop().await;
}

#[tokio::test]
async fn parent_of_many_children_that_end_at_once_resumes_once() {
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
async fn follow_up_jobs_commit_with_their_settle_or_not_at_all() {
    let db = TestDb::new().await;
    let running = start(&db, &[]).await;
    // Postgres refuses a child: the settle is rolled back, and the attempt is settled as failed.
    let parent = put(&db, "parent plain nul").await;
    let seen = finished(&db, &parent).await;
    assert_eq!(seen.state, JobState::Discarded);
    assert_eq!(seen.error.unwrap().code, "internal_error");
    let jobs: i64 = db.one("select count(*) from finished_jobs").await;
    assert_eq!(jobs, 1, "no child was inserted");
    running.stop().await;
}
