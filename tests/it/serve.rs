//! The API as a process: what it needs to start, how it is migrated, how it ends.

use crate::support::{
    TestDb,
    client::{http, send},
    corpus, eventually,
    process::Process,
    system::{Api, Setup, TestApi, metric},
    wait::SOON,
};
use api::route_table::{Access, Route};
use axum::http::Method;
use base::clock::Clock;
use chrono::TimeDelta;
use futures::future::join_all;
use nix::sys::signal::Signal;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Notify;

/// Everything `serve` needs, on free ports.
fn variables(url: &str) -> [(&str, &str); 3] {
    [
        ("DATABASE_URL", url),
        ("API_ADDR", "127.0.0.1:0"),
        ("API_OPS_ADDR", "127.0.0.1:0"),
    ]
}

/// The variables given, and words of what is said about them.
type Refusal<'a> = (Vec<(&'a str, &'a str)>, &'a [&'a str]);

#[tokio::test]
async fn eight_migrating_processes_apply_each_file_once_and_say_so() {
    let db = TestDb::unmigrated().await;
    let url = db.url();
    let runs = (0..8)
        .map(|_| Process::spawn("postroom-api", &["migrate"], &[("DATABASE_URL", &url)]).ended());
    let mut applied = 0;
    for run in join_all(runs).await {
        assert!(run.status.success(), "{}", run.stderr);
        assert!(
            run.stdout.ends_with("the schema is up to date\n")
                || run.stdout.contains("nothing to apply"),
            "{}",
            run.stdout
        );
        applied += run
            .stdout
            .strip_prefix("applied ")
            .and_then(|text| text.split(' ').next()?.parse().ok())
            .unwrap_or(0);
    }
    assert_eq!(applied, jobs::MIGRATOR.iter().count());
}

#[tokio::test]
async fn api_that_cannot_serve_ends_and_says_why() {
    let fresh = TestDb::unmigrated().await;
    let newer = TestDb::new().await;
    newer
        .execute(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
             values (9999, 'of the future', true, '', 0);
             update schema_compatibility set oldest_known_migration = 9999",
        )
        .await;
    let (fresh_url, newer_url) = (fresh.url(), newer.url());
    let mut dev_mode = variables(&newer_url).to_vec();
    dev_mode.push(("DEV_MODE", "true"));
    let cases: [Refusal<'_>; 6] = [
        (vec![], &["DATABASE_URL: is not set", "example"]),
        (
            vec![("API_ADDR", "sekret"), ("SESSION_IDLE_SECONDS", "-1")],
            &["DATABASE_URL", "API_ADDR", "SESSION_IDLE_SECONDS"],
        ),
        (dev_mode, &["DEV_MODE"]),
        (
            variables("postgres://nobody:sekret@127.0.0.1:1/none").to_vec(),
            &["could not connect to the database"],
        ),
        (
            variables(&fresh_url).to_vec(),
            &["the first is 1", "postroom-api migrate"],
        ),
        (
            variables(&newer_url).to_vec(),
            &["migration 9999", "older than the database"],
        ),
    ];
    for (variables, words) in cases {
        let ended = Process::spawn("postroom-api", &["serve"], &variables)
            .ended()
            .await;
        assert!(!ended.status.success(), "{words:?}");
        for word in words {
            assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
        }
        assert!(
            !ended.stderr.contains("sekret") && !ended.stderr.contains("\"listening\""),
            "{}",
            ended.stderr
        );
        assert_eq!(ended.stdout, "");
    }
}

#[tokio::test]
async fn terminated_api_answers_who_waits_and_ends_well() {
    let db = TestDb::new().await;
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    let id = client.submitted(&corpus::generated(1).bytes, "k").await;
    let poll = client.request(reqwest::Method::GET, &format!("/v1/jobs/{id}?wait=30"));
    let poll = tokio::spawn(send(poll));
    eventually(SOON, async || {
        let waiting = metric(api.ops, "postroom_long_polls_waiting", &[]).await;
        (waiting > 0.0)
            .then_some(())
            .ok_or_else(|| "nobody waits".to_owned())
    })
    .await;
    api.process.signal(Signal::SIGTERM);
    let answer = poll.await.unwrap();
    assert_eq!(answer.body["state"], "available", "{}", answer.text);
    let ended = api.process.ended().await;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}

#[tokio::test]
async fn draining_api_is_not_ready_accepts_nobody_and_ends_with_its_last_request() {
    let db = TestDb::new().await;
    let release = Arc::new(Notify::new());
    let gate = release.clone();
    let gated = Route::new(Method::POST, "/gated", "gated", Access::Public, move || {
        let gate = gate.clone();
        async move {
            gate.notified().await;
            "done"
        }
    });
    let setup = Setup {
        more_routes: vec![gated],
        ..Setup::default()
    };
    let api = TestApi::start_as(&db, setup).await;
    let (app, addr, ops) = (api.app.clone(), api.addr, api.ops);
    let last = tokio::spawn(send(http().post(format!("http://{addr}/gated"))));
    eventually(SOON, async || {
        let tasks = app.tracker.len();
        (tasks == 1)
            .then_some(())
            .ok_or_else(|| format!("{tasks} tasks"))
    })
    .await;
    let stopped = tokio::spawn(api.stop());
    eventually(SOON, async || {
        let ready = send(http().get(format!("http://{ops}/readyz"))).await;
        (ready.text == "draining\n").then_some(()).ok_or(ready.text)
    })
    .await;
    eventually(SOON, async || {
        let refused = http()
            .get(format!("http://{addr}/openapi.json"))
            .send()
            .await;
        refused
            .is_err()
            .then_some(())
            .ok_or_else(|| "still accepting".to_owned())
    })
    .await;
    assert!(!stopped.is_finished());
    release.notify_one();
    assert_eq!(last.await.unwrap().text, "done");
    stopped.await.unwrap();
}

#[tokio::test]
async fn api_goes_by_the_clock_of_the_database() {
    let db = TestDb::new().await;
    // The database is two hours ahead for statements that ask for its clock.
    db.execute(
        "create function clock_timestamp() returns timestamptz volatile language sql as
             $$ select pg_catalog.clock_timestamp() + interval '2 hours' $$;
         do $$ begin
             execute format('alter database %I set search_path = public, pg_catalog', current_database());
         end $$",
    )
    .await;
    let api = Api::spawn(&db).await;
    assert!(api.process.log().contains("goes by the database's"));
    let client = api.sign_in(&db).await;
    let in_hours = |hours| (Clock::System.now() + TimeDelta::hours(hours)).to_rfc3339();
    let propose = async |start: i64| {
        let body = json!({
            "title": "Focus", "start_at": in_hours(start), "end_at": in_hours(start + 1),
        });
        send(
            client
                .request(reqwest::Method::POST, "/v1/blocks")
                .json(&body),
        )
        .await
    };
    let past = propose(0).await;
    assert_eq!(past.status, 409, "{}", past.text);
    let ahead = propose(3).await;
    assert_eq!(ahead.status, 201, "{}", ahead.text);
}
