//! Holding a queue still over HTTP, on all workers at once.

use super::{audited, post, with_operators};
use crate::support::{
    Client, TestDb,
    corpus::fixture,
    eventually,
    model::{FakeModel, Reply, VERDICT},
    system::{Worker, metric},
    wait::SOON,
};
use queue::view::stats;
use serde_json::{Value, json};

async fn queue(operator: &Client) -> Value {
    let answer = operator.get("/v1/admin/queues").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["items"][0].clone()
}

/// Claims that brought nothing, of one worker.
async fn empty_claims(worker: &Worker) -> f64 {
    metric(worker.ops, "postroom_claims_total", &[("result", "empty")]).await
}

/// Waits until every worker has looked for work in vain more often than this.
async fn looked_in_vain(workers: &[Worker], before: &[f64]) {
    for (worker, before) in workers.iter().zip(before) {
        eventually(SOON, async || {
            let claims = empty_claims(worker).await;
            (claims > *before)
                .then_some(())
                .ok_or_else(|| format!("{claims} empty claims"))
        })
        .await;
    }
}

#[tokio::test]
async fn drained_queue_stands_still_on_three_workers_until_it_goes_on() {
    let db = TestDb::new().await;
    let (_api, operator) = with_operators(&db).await;
    let (holds, says) = (VERDICT.to_owned(), VERDICT.to_owned());
    let model = FakeModel::start([Reply::Holds(holds), Reply::Says(says)]).await;
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(model.worker(&db, &[]).await);
    }
    looked_in_vain(&workers, &[0.0; 3]).await;
    let running = operator.submitted(&fixture("plain-question"), "runs").await;
    model.asked(1).await;

    let why = json!({"reason": "the provider is down"});
    let drained = post(&operator, "/v1/admin/queues/triage/drain", &why).await;
    assert_eq!(drained.status, 200, "{}", drained.text);
    assert_eq!(drained.body["running"], 1, "{}", drained.text);
    assert_eq!(drained.body["paused"]["reason"], "the provider is down");

    let mut before = Vec::new();
    for worker in &workers {
        before.push(empty_claims(worker).await);
    }
    let mut waiting = Vec::new();
    for mail in ["invoice-due", "meeting-request"] {
        waiting.push(operator.submitted(&fixture(mail), mail).await);
    }
    looked_in_vain(&workers, &before).await;
    model.release();
    assert_eq!(operator.finished(&running).await["state"], "succeeded");
    eventually(SOON, async || match queue(&operator).await {
        drained if drained["running"] == 0 => Ok(()),
        busy => Err(busy.to_string()),
    })
    .await;
    let untouched: i64 = db
        .one("select count(*) from jobs where state = 'available' and attempt = 0")
        .await;
    assert_eq!(untouched, 2, "accepted, and started by nobody");

    let resumed = post(&operator, "/v1/admin/queues/triage/resume", &json!({})).await;
    assert_eq!(resumed.status, 200, "{}", resumed.text);
    assert_eq!(resumed.body["paused"], Value::Null);
    for id in waiting {
        assert_eq!(operator.finished(&id).await["state"], "succeeded");
    }
    assert!(
        audited(&db).await.contains("queue.paused triage")
            && audited(&db).await.contains("queue.resumed triage")
    );
}

#[tokio::test]
async fn going_on_wakes_workers_that_would_look_much_later() {
    let db = TestDb::new().await;
    let (_api, operator) = with_operators(&db).await;
    let seldom = [
        ("LLM_TESTING_MODE", "true"),
        ("WORKER_POLL_SECONDS", "600"),
        ("WORKER_LEASE_SECONDS", "1800"),
    ];
    let worker = [Worker::spawn_with(&db, &seldom).await];
    eventually(SOON, async || {
        let alive = metric(worker[0].ops, "postroom_listener_alive", &[]).await;
        (alive > 0.0)
            .then_some(())
            .ok_or_else(|| "hears nothing yet".to_owned())
    })
    .await;
    let why = json!({"reason": "a pause"});
    let paused = post(&operator, "/v1/admin/queues/triage/pause", &why).await;
    assert_eq!(paused.status, 200, "{}", paused.text);
    let before = empty_claims(&worker[0]).await;
    let id = operator
        .submitted(&fixture("meeting-request"), "wakes")
        .await;
    looked_in_vain(&worker, &[before]).await;
    post(&operator, "/v1/admin/queues/triage/resume", &json!({})).await;
    assert_eq!(operator.finished(&id).await["state"], "succeeded");
}

#[tokio::test]
async fn queues_tell_how_full_they_are() {
    let db = TestDb::new().await;
    let (_api, operator) = with_operators(&db).await;
    let uncounted = queue(&operator).await;
    assert_eq!(
        (
            &uncounted["name"],
            &uncounted["depth"],
            &uncounted["counted_at"]
        ),
        (&json!("triage"), &json!({}), &Value::Null)
    );
    operator
        .submitted(&fixture("meeting-request"), "waits")
        .await;
    let queues = ["triage".to_owned()];
    stats::sample(db.pool(), &queues).await.unwrap();
    let counted = queue(&operator).await;
    assert_eq!(counted["depth"]["available"], 1, "{counted}");
    assert_eq!(counted["depth"]["running"], 0, "{counted}");
    assert!(counted["counted_at"].is_string() && counted["oldest_available_seconds"].is_f64());
}

#[tokio::test]
async fn job_that_an_operator_stopped_is_counted_and_is_not_the_oldest() {
    let db = TestDb::new().await;
    let (_api, operator) = with_operators(&db).await;
    operator
        .submitted(&fixture("meeting-request"), "waits")
        .await;
    let queues = ["triage".to_owned()];
    let sampled = async || {
        stats::sample(db.pool(), &queues).await.unwrap();
        let queue = queue(&operator).await;
        let is_oldest = queue["oldest_available_seconds"].is_f64();
        (queue["depth"]["available"].as_i64(), is_oldest)
    };
    assert_eq!(sampled().await, (Some(1), true));
    let why = json!({"reason": "a release"});
    post(&operator, "/v1/admin/queues/triage/pause", &why).await;
    assert_eq!(sampled().await, (Some(1), false));
    post(&operator, "/v1/admin/queues/triage/resume", &json!({})).await;
    db.execute(
        "insert into queue_limits (scope, name, max_running)
         select 'tenant', tenant_id::text, 0 from jobs union all values ('tenant', '*', 1)",
    )
    .await;
    assert_eq!(sampled().await, (Some(1), false));
    db.execute("update queue_limits set max_running = 1").await;
    assert_eq!(sampled().await, (Some(1), true));
}

#[tokio::test]
async fn queue_that_does_not_exist_or_a_reason_that_is_none_changes_nothing() {
    let db = TestDb::new().await;
    let (_api, operator) = with_operators(&db).await;
    let why = json!({"reason": "r"});
    for what in ["pause", "drain", "resume"] {
        let path = format!("/v1/admin/queues/traige/{what}");
        let refused = post(&operator, &path, &why).await;
        refused.assert_problem(404, "NOT_FOUND", what);
    }
    let long = "x".repeat(501);
    for reason in ["", "  ", "two\nlines", &long] {
        let why = json!({"reason": reason});
        let refused = post(&operator, "/v1/admin/queues/triage/pause", &why).await;
        refused.assert_problem(422, "INVALID_BODY", reason);
        assert_eq!(refused.body["errors"][0]["pointer"], "/reason");
    }
    let paused: i64 = db.one("select count(*) from queue_pauses").await;
    assert_eq!((paused, audited(&db).await.as_str()), (0, ""));
}
