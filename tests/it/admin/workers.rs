//! Workers that say they are there, and those that do not any more.

use crate::support::{
    TestDb,
    corpus::fixture,
    eventually,
    model::{FakeModel, Reply, VERDICT},
    system::{Api, Worker},
    wait::SOON,
};
use nix::sys::signal::Signal;
use queue::operate::workers::{self, list};

/// The workers of the list, once it is as wanted.
async fn listed(
    db: &TestDb,
    what: &str,
    wanted: impl Fn(&[workers::WorkerInfo]) -> bool,
) -> Vec<workers::WorkerInfo> {
    eventually(SOON, async || {
        let found = list(db.pool()).await.expect("list the workers");
        if wanted(&found) {
            Ok(found)
        } else {
            Err(format!("not yet: {what}: {found:?}"))
        }
    })
    .await
}

#[tokio::test]
async fn worker_is_listed_from_its_start_to_its_orderly_end() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Holds(VERDICT.to_owned())]).await;
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    let worker = model
        .worker(
            &db,
            &[("WORKER_SLOTS", "7"), ("WORKER_GRACE_SECONDS", "20")],
        )
        .await;
    let found = listed(&db, "one worker", |found| found.len() == 1).await;
    let there = &found[0];
    assert!(!there.host.is_empty() && !there.stopping && !there.silent);
    assert_eq!(there.queues, ["action", "draft", "triage"]);
    assert_eq!((there.slots, there.running), (7, 0));

    client.submitted(&fixture("plain-question"), "beats").await;
    model.asked(1).await;
    worker.process.signal(Signal::SIGTERM);
    let found = listed(&db, "it says that it stops", |found| {
        found.iter().all(|worker| worker.stopping)
    })
    .await;
    assert_eq!((found.len(), found[0].running), (1, 1));
    model.release();
    assert!(worker.process.ended().await.status.success());
    let left: i64 = db.one("select count(*) from workers").await;
    assert_eq!(left, 0, "it struck itself out");
}

#[tokio::test]
async fn killed_worker_falls_silent_and_is_forgotten() {
    let db = TestDb::new().await;
    let mut worker = Worker::spawn(&db).await;
    listed(&db, "one worker", |found| found.len() == 1).await;
    worker.process.kill();
    db.execute("update workers set seen_at = now() - interval '1 minute'")
        .await;
    let found = list(db.pool()).await.expect("list the workers");
    assert!(found.len() == 1 && found[0].silent, "{found:?}");

    db.execute("update workers set seen_at = now() - interval '11 minutes'; update maintenance_duties set due_at = now()")
        .await;
    assert_eq!(list(db.pool()).await.expect("list the workers"), []);
    let _other = Worker::spawn(&db).await;
    eventually(SOON, async || {
        let old: i64 = db
            .one("select count(*) from workers where seen_at < now() - interval '5 minutes'")
            .await;
        (old == 0)
            .then_some(())
            .ok_or_else(|| "its row is still there".to_owned())
    })
    .await;
}
