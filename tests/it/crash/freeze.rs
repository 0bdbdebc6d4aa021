//! Workers that freeze, stop in order or share a queue: one holder at a time, and only a holder writes.

use super::*;
use crate::support::system::{Api, metric};
use nix::sys::signal::Signal;

#[tokio::test]
async fn frozen_worker_that_wakes_after_its_lease_writes_nothing() {
    let db = TestDb::new().await;
    let model = FakeModel::start([holds(), says()]).await;
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    let frozen = model.worker(&db, &[("WORKER_LEASE_SECONDS", "1")]).await;
    let id = client.submitted(&mail(), "frozen").await;
    model.asked(1).await;
    frozen.process.signal(Signal::SIGSTOP);

    let _other = model.worker(&db, &[]).await;
    let job = assert_ended_once(&db, &client, &id).await;
    // The answer arrives at the very moment the first worker wakes up.
    model.release();
    frozen.process.signal(Signal::SIGCONT);
    eventually(SOON, async || {
        let lost = metric(
            frozen.ops,
            "postroom_lease_lost_total",
            &[("kind", "triage.email")],
        )
        .await;
        if lost > 0.0 {
            Ok(())
        } else {
            Err("it has not noticed yet".to_owned())
        }
    })
    .await;
    assert_eq!(assert_ended_once(&db, &client, &id).await, job);
}

#[tokio::test]
async fn stopped_worker_hands_its_job_back_without_burning_an_attempt() {
    let db = TestDb::new().await;
    let model = FakeModel::start([holds(), says()]).await;
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    let stopping = model.worker(&db, &[("WORKER_GRACE_SECONDS", "0.2")]).await;
    let id = client.submitted(&mail(), "stopped").await;
    model.asked(1).await;
    stopping.process.signal(Signal::SIGTERM);
    let ended = stopping.process.ended().await;
    assert!(ended.status.success(), "{}", ended.stderr);

    let counted: i64 = db.one("select (errors + crashes)::bigint from jobs").await;
    assert_eq!(counted, 0, "an interruption is no failure");
    let _other = model.worker(&db, &[]).await;
    let job = assert_ended_once(&db, &client, &id).await;
    assert_eq!(job["attempts"], 1, "{job}");
}

#[tokio::test]
async fn stopping_worker_lets_its_job_end_within_the_grace_period() {
    let db = TestDb::new().await;
    let model = FakeModel::start([holds()]).await;
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    let stopping = model.worker(&db, &[]).await;
    let id = client.submitted(&mail(), "graceful").await;
    model.asked(1).await;
    stopping.process.signal(Signal::SIGTERM);
    eventually(SOON, async || {
        let log = stopping.process.log();
        if log.contains("\"stopping\"") {
            Ok(())
        } else {
            Err(log)
        }
    })
    .await;
    model.release();
    let ended = stopping.process.ended().await;
    assert!(ended.status.success(), "{}", ended.stderr);
    let job = assert_ended_once(&db, &client, &id).await;
    assert_eq!(job["attempts"], 1, "{job}");
}

#[tokio::test]
async fn living_workers_never_run_a_job_twice() {
    const JOBS: usize = 40;
    let db = TestDb::new().await;
    let model = FakeModel::start([says()]).await;
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    // Leases that a slow renewal would lose, and more slots than jobs on either side.
    let lease = [("WORKER_LEASE_SECONDS", "2")];
    let (one, two) = tokio::join!(model.worker(&db, &lease), model.worker(&db, &lease));
    let mut ids = Vec::new();
    for n in 0..JOBS {
        ids.push(client.submitted(&numbered(n), &format!("shared-{n}")).await);
    }
    for id in &ids {
        assert_eq!(client.finished(id).await["state"], "succeeded");
    }
    assert_eq!(model.calls(), JOBS);
    assert_eq!(
        db.one::<i64>("select count(*) from finished_jobs where attempt = 1")
            .await,
        40
    );
    for process in [&one, &two] {
        assert!(metric(process.ops, "postroom_lease_lost_total", &[]).await < 1.0);
    }
}

/// The same question, but another email.
fn numbered(n: usize) -> Vec<u8> {
    let mail = String::from_utf8(mail()).expect("the fixture is ASCII");
    mail.replace("Thursday", &format!("day {n}"))
        .replace("7f3a1b60", &format!("7f3a1b60-{n}"))
        .into_bytes()
}
