//! Parents in the queue: what wakes them, and what does not.

use super::*;
use queue::{
    claim::poll::{LeaseWindow, poll},
    run::children,
};

/// A claimed parent that waits for two children, which are enqueued.
async fn family(db: &TestDb) -> (NewJob, [NewJob; 2]) {
    let parent = new_job(TenantId::new());
    put(db, &parent).await.unwrap();
    let lease = take(db, 1).await[0].lease;
    let child = || NewJob {
        parent: Some(parent.id),
        ..new_job(parent.tenant)
    };
    let children = [child(), child()];
    for child in &children {
        put(db, child).await.unwrap();
    }
    end(db, lease, &Outcome::Waiting { children: 2 })
        .await
        .unwrap();
    (parent, children)
}

async fn is_available(db: &TestDb, job: &NewJob) -> bool {
    view(db, job).await.state == JobState::Available
}

#[tokio::test]
async fn parent_is_resumed_by_its_last_child_only() {
    let db = TestDb::new().await;
    let (parent, _) = family(&db).await;
    for left in [1, 0] {
        let lease = take(&db, 1).await[0].lease;
        end(&db, lease, &succeeded()).await.unwrap();
        let resumed = children::resume_parent(db.pool(), parent.tenant, parent.id)
            .await
            .unwrap();
        assert_eq!(resumed.is_some(), left == 0);
        assert_eq!(is_available(&db, &parent).await, left == 0);
    }
    let again = children::resume_parent(db.pool(), parent.tenant, parent.id)
        .await
        .unwrap();
    assert_eq!(again, None);
}

#[tokio::test]
async fn parent_is_resumed_by_the_next_poll() {
    let db = TestDb::new().await;
    let (parent, _) = family(&db).await;
    let queues = ["test".to_owned()];
    let poll_once = async || {
        poll(
            db.pool(),
            &queues,
            &[],
            Duration::from_secs(10),
            LeaseWindow::All,
        )
        .await
        .unwrap()
    };
    let first = take(&db, 1).await[0].lease;
    end(&db, first, &succeeded()).await.unwrap();
    poll_once().await;
    assert!(
        !is_available(&db, &parent).await,
        "one child has not finished"
    );
    let last = take(&db, 1).await[0].lease;
    end(&db, last, &Outcome::Discarded).await.unwrap();
    assert_eq!(poll_once().await.promoted, ["test"]);
    assert!(is_available(&db, &parent).await);
    let again = &take(&db, 1).await[0];
    assert_eq!((again.lease.job, again.children), (parent.id, 2));
    let waited = again.started_at - again.run_at;
    let since = again.started_at - again.created_at;
    assert!(
        waited < since,
        "waiting for children does not count as queue time"
    );
}

#[tokio::test]
async fn cancelled_job_does_not_wait_for_children() {
    let db = TestDb::new().await;
    let job = new_job(TenantId::new());
    put(&db, &job).await.unwrap();
    let lease = take(&db, 1).await[0].lease;
    let mut conn = db.pool().acquire().await.unwrap();
    queue::run::cancel::cancel(&mut conn, job.tenant, job.id)
        .await
        .unwrap();
    let settled = end(&db, lease, &Outcome::Waiting { children: 1 }).await;
    assert_eq!(settled.unwrap(), Settled::Cancelled);
}
