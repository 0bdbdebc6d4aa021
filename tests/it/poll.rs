//! Polling a job: at once or with a wait for its end, without holding connections, and only the tenant's own.

use crate::support::{
    Client, TestDb,
    client::{TestResponse, send},
    corpus, eventually,
    system::{TestApi, metric},
    wait::SOON,
};
use futures::future::join_all;
use jobs::commands::sessions::signals::announce_revoked;
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

async fn submitted(client: &Client) -> String {
    client.submitted(&corpus::generated(1).bytes, "k").await
}

/// Finishes every job as a worker would, without notifications.
async fn finish(db: &TestDb, state: &str, code: &str) {
    db.execute(&format!(
        "with ended as (delete from jobs returning *)
         insert into finished_jobs (id, tenant_id, kind, queue, state, priority, attempt, errors, crashes, max_attempts,
             args, run_at, created_at, request_id, output, error_code, error_message)
         select id, tenant_id, kind, queue, '{state}', priority, 1, 0, 0, max_attempts,
             args, run_at, created_at, request_id, '{{\"connection_id\": \"0198c1d2-0000-7000-8000-000000000000\", \"ok\": true, \"tried\": []}}', {code}, 'What to do.' from ended"
    ))
    .await;
}

#[tokio::test]
async fn job_is_cancelled_once_and_only_by_its_owner() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let stranger = api.sign_in(&db).await;
    let id = submitted(&client).await;
    let path = format!("/v1/jobs/{id}/cancel");

    let foreign = send(stranger.request(Method::POST, &path)).await;
    assert_eq!(foreign.status, 404);
    for _ in 0..2 {
        let cancelled = send(client.request(Method::POST, &path)).await;
        assert_eq!(cancelled.status, 200);
        assert_eq!(cancelled.body["state"], "cancelled");
    }
    let audited: i64 = db
        .one("select count(*) from audit_entries where action = 'job.cancelled'")
        .await;
    assert_eq!(audited, 1);
}

#[tokio::test]
async fn cancellation_is_requested_of_a_running_job_and_refused_for_a_finished_one() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = submitted(&client).await;
    let path = format!("/v1/jobs/{id}/cancel");

    db.execute(
        "update jobs set state = 'running', attempt = 1, worker_id = gen_random_uuid(), lease_until = now() + interval '1 h'",
    )
    .await;
    let asked = send(client.request(Method::POST, &path)).await;
    assert_eq!(asked.status, 202);
    assert_eq!(asked.body["state"], "running");
    finish(&db, "succeeded", "null").await;
    let late = send(client.request(Method::POST, &path)).await;
    late.assert_problem(409, "CONFLICT", "a job that has ended");
}

async fn waiting(api: &TestApi, polls: f64) {
    eventually(SOON, async || {
        let waiting = metric(api.ops, "postroom_long_polls_waiting", &[]).await;
        ((waiting - polls).abs() < f64::EPSILON)
            .then_some(())
            .ok_or_else(|| format!("{waiting} wait"))
    })
    .await;
}

/// Starts waiting for the job in a task of its own.
fn wait_for(client: &Client, id: &str, seconds: u32) -> tokio::task::JoinHandle<TestResponse> {
    let request = client.request(Method::GET, &format!("/v1/jobs/{id}?wait={seconds}"));
    tokio::spawn(send(request))
}

#[tokio::test]
async fn job_is_shown_in_its_state_with_a_retry_after() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = submitted(&client).await;
    let path = format!("/v1/jobs/{id}");

    let pending = client.get(&path).await;
    assert_eq!(pending.body["state"], "available");
    assert_eq!(
        (&pending.body["attempts"], &pending.body["max_attempts"]),
        (&json!(0), &json!(5))
    );
    assert_eq!(pending.retry_after(), Some(1));
    db.execute(
        "update jobs set state = 'retryable', errors = 1, run_at = now() + interval '10 minutes'",
    )
    .await;
    let later = client.get(&path).await;
    assert_eq!(later.body["attempts"], 1);
    assert_eq!(later.retry_after(), Some(60));

    finish(&db, "succeeded", "null").await;
    let done = client.get(&path).await;
    assert_eq!(done.body["state"], "succeeded");
    assert_eq!(done.body["output"]["ok"], true);
    assert_eq!(done.retry_after(), None);
    assert!(done.body["finished_at"].is_string());
}

#[tokio::test]
async fn failed_job_shows_its_reason_to_the_user() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = submitted(&client).await;
    finish(&db, "discarded", "'unparsable'").await;
    let job = client.job(&id).await;
    assert_eq!(job["state"], "discarded");
    assert_eq!(
        job["error"],
        json!({"code": "unparsable", "message": "What to do."})
    );
}

#[tokio::test]
async fn unchanged_job_is_not_sent_again() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let path = format!("/v1/jobs/{}", submitted(&client).await);
    let first = client.get(&path).await;
    let etag = first.header("etag").unwrap().to_owned();
    let ask = async |known: String| {
        send(
            client
                .request(Method::GET, &path)
                .header("If-None-Match", known),
        )
        .await
    };
    for known in [
        etag.clone(),
        format!("W/{etag}"),
        format!("\"other\", {etag}"),
        "*".to_owned(),
    ] {
        let answer = ask(known.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (304, ""),
            "{known}"
        );
        assert_eq!(answer.header("etag"), Some(etag.as_str()));
    }
    db.execute("update jobs set errors = 1").await;
    let changed = ask(etag.clone()).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(etag.as_str()));
}

#[tokio::test]
async fn job_of_another_tenant_looks_like_a_missing_one() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let stranger = api.sign_in(&db).await;
    let id = submitted(&owner).await;
    assert_eq!(
        owner.get(&format!("/v1/jobs/{id}")).await.status,
        200,
        "the 404 below would prove nothing"
    );
    let never = uuid::Uuid::now_v7().to_string();
    let ask = async |id: &str, query: &str| {
        let request = stranger
            .request(Method::GET, &format!("/v1/jobs/{id}{query}"))
            .header("X-Request-Id", "the-same-id");
        let answer = send(request).await;
        answer.assert_problem(404, "NOT_FOUND", id);
        let headers: Vec<String> = answer
            .headers
            .iter()
            .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect();
        // The answer repeats the requested path and names the request; nothing else may differ.
        let request = answer.header("x-request-id").unwrap();
        let text = answer.text.replace(id, "ID").replace(request, "REQUEST");
        (headers, text)
    };
    let foreign = ask(&id, "").await;
    assert_eq!(foreign, ask(&never, "").await);
    assert_eq!(foreign, ask(&id, "?wait=30").await);
    let garbled = ask("no-id-at-all-but-of-thirty-six-chars", "").await;
    assert_eq!(foreign, garbled);
}

#[tokio::test]
async fn wait_ends_when_the_job_does() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = submitted(&client).await;
    let poll = wait_for(&client, &id, 30);
    waiting(&api, 1.0).await;
    finish(&db, "succeeded", "null").await;
    let finished = Instant::now();
    api.app.notifier.job_finished(id.parse().unwrap());
    let answer = poll.await.unwrap();
    assert_eq!(answer.body["state"], "succeeded");
    assert!(
        finished.elapsed() < Duration::from_secs(10),
        "{:?}",
        finished.elapsed()
    );
    waiting(&api, 0.0).await;
}

#[tokio::test]
async fn wait_ends_without_a_notification() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = submitted(&client).await;
    let poll = wait_for(&client, &id, 30);
    waiting(&api, 1.0).await;
    finish(&db, "succeeded", "null").await;
    let finished = Instant::now();
    assert_eq!(poll.await.unwrap().body["state"], "succeeded");
    assert!(
        finished.elapsed() < Duration::from_secs(10),
        "{:?}",
        finished.elapsed()
    );
}

#[tokio::test]
async fn wait_that_times_out_returns_the_job_in_its_state() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let path = format!("/v1/jobs/{}", submitted(&client).await);
    let started = Instant::now();
    let answer = send(
        client
            .request(Method::GET, &path)
            .header("Prefer", "respond-async, wait=1"),
    )
    .await;
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        (answer.status.as_u16(), &answer.body["state"]),
        (200, &json!("available"))
    );
    assert_eq!(answer.header("preference-applied"), Some("wait=1"));
    for query in ["?wait=soon", "?wait=-1", "?wait=1&wait=1", "?waite=1"] {
        let refused = client.get(&format!("{path}{query}")).await;
        refused.assert_problem(400, "INVALID_PARAMETER", query);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_waits_hold_no_connection_of_a_pool_of_two() {
    let db = TestDb::new().await;
    let api = TestApi::start_with(&db, &[("DATABASE_MAX_CONNECTIONS", "2")]).await;
    let client = api.sign_in(&db).await;
    let id = submitted(&client).await;
    let polls: Vec<_> = (0..20).map(|_| wait_for(&client, &id, 30)).collect();
    waiting(&api, 20.0).await;
    let used = async || {
        metric(
            api.ops,
            "postroom_db_pool_connections",
            &[("state", "used")],
        )
        .await
    };
    eventually(SOON, async || {
        let used = used().await;
        (used < 1.0)
            .then_some(())
            .ok_or_else(|| format!("{used} connections are held"))
    })
    .await;
    // Other requests are served meanwhile.
    let other = client.submit(&corpus::generated(2).bytes, "other").await;
    assert_eq!(other.status, 202, "{}", other.text);
    finish(&db, "succeeded", "null").await;
    api.app.notifier.job_finished(id.parse().unwrap());
    for answer in join_all(polls).await {
        assert_eq!(answer.unwrap().body["state"], "succeeded");
    }
}

#[tokio::test]
async fn stopping_api_answers_its_waiting_requests() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = submitted(&client).await;
    let poll = wait_for(&client, &id, 30);
    waiting(&api, 1.0).await;
    let stopping = Instant::now();
    api.stop().await;
    let answer = poll.await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.body["state"]),
        (200, &json!("available"))
    );
    assert!(
        stopping.elapsed() < Duration::from_secs(15),
        "{:?}",
        stopping.elapsed()
    );
}

#[tokio::test]
async fn wait_ends_with_its_session() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = submitted(&client).await;
    let poll = wait_for(&client, &id, 30);
    waiting(&api, 1.0).await;
    // Notified until it is received: the listener may still be connecting.
    eventually(SOON, async || {
        announce_revoked(&api.app.notifier, client.session);
        if poll.is_finished() {
            Ok(())
        } else {
            Err("still waiting".to_owned())
        }
    })
    .await;
    poll.await
        .unwrap()
        .assert_problem(401, "UNAUTHENTICATED", "revoked while waiting");
}
