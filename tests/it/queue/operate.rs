//! Operations: the election for duties, and pauses.

use super::*;
use queue::operate::{duties::claim_due, pause};

#[tokio::test]
async fn duty_is_claimed_by_one_of_many_workers_and_not_before_its_next_tick() {
    let db = TestDb::new().await;
    let hour = [("sweep", Duration::from_secs(3600))];
    let elect = || async {
        claim_due(db.pool(), WorkerId::new(), &hour)
            .await
            .unwrap()
            .len()
    };
    let (a, b, c, d) = tokio::join!(elect(), elect(), elect(), elect());
    assert_eq!(a + b + c + d, 1);
    db.execute("update maintenance_duties set due_at = now()")
        .await;
    let (a, b, c, d) = tokio::join!(elect(), elect(), elect(), elect());
    assert_eq!(a + b + c + d, 1);
}

#[tokio::test]
async fn paused_queue_accepts_jobs_and_hands_out_none_until_it_is_resumed() {
    let db = TestDb::new().await;
    put(&db, &new_job(TenantId::new())).await.unwrap();
    let running = take(&db, 1).await[0].lease;
    pause::pause(db.pool(), "test", "the provider is down")
        .await
        .unwrap();
    put(&db, &new_job(TenantId::new())).await.unwrap();
    let (a, b, c) = tokio::join!(take(&db, 1), take(&db, 1), take(&db, 1));
    assert!(
        a.is_empty() && b.is_empty() && c.is_empty(),
        "no worker claims a job"
    );
    assert_eq!(pause::running(db.pool(), "test").await.unwrap(), 1);
    assert_eq!(
        end(&db, running, &succeeded()).await.unwrap(),
        Settled::Written,
        "running jobs continue"
    );
    assert_eq!(pause::running(db.pool(), "test").await.unwrap(), 0);
    let pauses = pause::paused(db.pool()).await.unwrap();
    assert_eq!(
        (pauses[0].queue.as_str(), pauses[0].reason.as_str()),
        ("test", "the provider is down")
    );
    assert!(pause::resume(db.pool(), "test").await.unwrap());
    assert!(
        !pause::resume(db.pool(), "test").await.unwrap(),
        "the queue was not paused any more"
    );
    assert_eq!(take(&db, 1).await.len(), 1);
}

#[tokio::test]
async fn duty_that_ran_in_the_future_is_due_because_the_clock_was_set_back() {
    let db = TestDb::new().await;
    let hour = [("sweep", Duration::from_secs(3600))];
    let is_due = || async {
        let names = ["sweep".to_owned()];
        let poll = poll(db.pool(), &[], &names, LEASE, LeaseWindow::All);
        poll.await.unwrap().duty_due
    };
    let elect = || async {
        let elected = claim_due(db.pool(), WorkerId::new(), &hour).await;
        elected.unwrap().len()
    };
    assert_eq!((is_due().await, elect().await), (true, 1));
    assert_eq!((is_due().await, elect().await), (false, 0));
    db.execute("update maintenance_duties set due_at = due_at + interval '1 day', last_run_at = last_run_at + interval '1 day'")
        .await;
    assert_eq!((is_due().await, elect().await), (true, 1));
    assert_eq!((is_due().await, elect().await), (false, 0));
}
