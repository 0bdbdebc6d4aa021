//! Postgres is away for a while: afterwards everything is as quick as before, and no attempt was counted.

use super::{email, own_cluster};
use crate::support::{
    client::http,
    corpus::fixture,
    eventually,
    model::{FakeModel, Reply, VERDICT},
    system::Api,
    wait::SOON,
};
use std::time::{Duration, Instant};

/// Long enough for the pools to close what was idle.
const OUTAGE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn api_answers_at_once_when_postgres_is_back() {
    let (cluster, db) = own_cluster().await;
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    cluster.kill().expect("crash Postgres");
    let away = Instant::now();
    while away.elapsed() < OUTAGE {
        let answer = client.get("/v1/jobs?limit=1").await;
        assert_eq!(answer.status, 503, "{}", answer.text);
    }
    cluster.restart().expect("start Postgres again");
    let back = Instant::now();
    eventually(SOON, async || {
        let asked = Instant::now();
        let answer = client.get("/v1/jobs?limit=1").await;
        if answer.status == 200 && asked.elapsed() < Duration::from_secs(1) {
            Ok(())
        } else {
            Err(answer.text)
        }
    })
    .await;
    assert!(
        back.elapsed() < Duration::from_secs(5),
        "{:?}",
        back.elapsed()
    );
    assert!(
        http()
            .get(format!("http://{}/readyz", api.ops))
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
}

#[tokio::test]
async fn job_that_runs_during_an_outage_is_not_taken_for_one_that_kills_workers() {
    let (cluster, db) = own_cluster().await;
    let holds = || Reply::Holds(VERDICT.to_owned());
    let model = FakeModel::start([holds()]).await;
    let lease = [("WORKER_LEASE_SECONDS", "1")];
    let (api, _one, _two) = tokio::join!(
        Api::spawn(&db),
        model.worker(&db, &lease),
        model.worker(&db, &lease)
    );
    let client = api.sign_in(&db).await;
    let id = client
        .submitted(&fixture("plain-question"), "running")
        .await;
    model.asked(1).await;
    cluster.kill().expect("crash Postgres");
    // Longer than the lease.
    tokio::time::timeout(Duration::from_secs(3), std::future::pending::<()>())
        .await
        .unwrap_err();
    cluster.restart().expect("start Postgres again");
    model.release();
    let job = client.finished(&id).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    let crashes: i64 = db
        .one("select sum(crashes)::bigint from finished_jobs")
        .await;
    assert_eq!(crashes, 0, "an outage is no crash");
    assert_eq!(client.submit(&email(1), "k").await.status, 202);
}

#[tokio::test]
async fn job_whose_worker_went_down_with_the_server_is_not_taken_for_one_that_kills_workers() {
    let (cluster, db) = own_cluster().await;
    let model = FakeModel::start([Reply::Holds(VERDICT.to_owned())]).await;
    let lease = [("WORKER_LEASE_SECONDS", "1")];
    let (api, one) = tokio::join!(Api::spawn(&db), model.worker(&db, &lease));
    let client = api.sign_in(&db).await;
    let id = client
        .submitted(&fixture("plain-question"), "running")
        .await;
    model.asked(1).await;
    // The next crash would be the last.
    db.execute("update jobs set crashes = max_crashes - 1")
        .await;
    drop(one);
    cluster.kill().expect("crash Postgres");
    cluster.restart().expect("start Postgres again");
    model.release();
    let _two = model.worker(&db, &lease).await;
    let job = client.finished(&id).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    let crashes: i64 = db
        .one("select sum(crashes)::bigint from finished_jobs")
        .await;
    assert_eq!(
        crashes, 2,
        "a machine that goes down is no crash of the job"
    );
}
