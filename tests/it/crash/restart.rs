//! Restarts: of every process, and of Postgres under running ones. What was answered stays true.

use super::*;
use crate::support::system::Api;
use dev::postgres::{Cluster, Durability};
use nix::sys::signal::Signal;
use reqwest::StatusCode;

/// A Postgres that this test may stop and crash.
async fn own_cluster() -> (Cluster, TestDb) {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(Durability::ThrowAway))
        .await
        .expect("starting a cluster does not panic")
        .expect("start a cluster");
    let db = TestDb::on(&cluster.url("postgres")).await;
    (cluster, db)
}

#[tokio::test]
async fn sessions_jobs_and_results_outlive_every_process() {
    let (cluster, db) = own_cluster().await;
    let model = FakeModel::start([says()]).await;
    let (api, first) = tokio::join!(Api::spawn(&db), model.worker(&db, &[]));
    let client = api.sign_in(&db).await;
    let id = client.submitted(&mail(), "before").await;
    let before = client.finished(&id).await;
    for process in [first.process, api.process] {
        process.signal(Signal::SIGTERM);
        let ended = process.ended().await;
        assert!(ended.status.success(), "{}", ended.stderr);
    }
    cluster.restart().expect("restart Postgres");

    let (api, _worker) = tokio::join!(Api::spawn(&db), model.worker(&db, &[]));
    let client = client.at(api.addr);
    assert_eq!(client.job(&id).await, before);
    let replayed = client.submit(&mail(), "before").await;
    assert_eq!(replayed.body["id"], id.as_str(), "the key is remembered");
    let next = client
        .submitted(&crate::support::corpus::fixture("meeting-request"), "after")
        .await;
    assert_eq!(client.finished(&next).await["state"], "succeeded");
}

#[tokio::test]
async fn crash_of_postgres_loses_nothing_that_was_acknowledged() {
    let (cluster, db) = own_cluster().await;
    let model = FakeModel::start([holds(), says()]).await;
    let (mut api, mut one) = tokio::join!(Api::spawn(&db), model.worker(&db, &[]));
    let client = api.sign_in(&db).await;
    let running = client.submitted(&mail(), "running").await;
    model.asked(1).await;

    cluster.kill().expect("crash Postgres");
    let refused = client.submit(&fixture("invoice-due"), "while-away").await;
    assert_eq!(
        refused.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        refused.body
    );
    assert!(
        refused.retry_after().is_some(),
        "the answer says when to come back"
    );
    model.release();
    cluster.restart().expect("start Postgres again");

    assert_eq!(client.finished(&running).await["state"], "succeeded");
    let retried = eventually(SOON, async || {
        let answer = client.submit(&fixture("invoice-due"), "while-away").await;
        if answer.status == StatusCode::ACCEPTED {
            Ok(answer)
        } else {
            Err(answer.body.to_string())
        }
    })
    .await;
    let id = retried.body["id"].as_str().unwrap();
    assert_eq!(client.finished(id).await["state"], "succeeded");
    assert!(
        api.process.is_running() && one.process.is_running(),
        "neither process ended for it"
    );
    assert_eq!(db.one::<i64>("select count(*) from finished_jobs").await, 2);
    assert_eq!(
        db.one::<i64>("select count(*) from triage_results").await,
        2
    );
}
