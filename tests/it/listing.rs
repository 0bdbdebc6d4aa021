//! Seeing one's jobs, and only one's own: page by page, attempt by attempt, why they wait, and trying again.

use crate::support::{
    Client, TestDb,
    client::{TestResponse, send},
    system::TestApi,
};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// Puts a job of the client's tenant where a worker that gave it up would have put it.
pub(crate) async fn discarded(db: &TestDb, client: &Client, kind: &str, code: &str) -> String {
    let (id, tenant) = (Uuid::now_v7(), client.tenant);
    db.execute(&format!(
        "insert into finished_jobs (id, tenant_id, kind, queue, state, priority, attempt, errors, crashes, max_attempts,
             args, run_at, created_at, error_code, error_message)
         values ('{id}', '{tenant}', '{kind}', 'test', 'discarded', 3, 5, 5, 1, 5, '{{}}', now(), now(), '{code}', 'What to do.');
         insert into job_attempts (job_id, attempt, tenant_id, outcome, error_code, error_message)
         values ('{id}', 4, '{tenant}', 'retried', '{code}', 'Again.'),
                ('{id}', 5, '{tenant}', 'discarded', '{code}', 'What to do.')"
    ))
    .await;
    id.to_string()
}

async fn waiting(db: &TestDb, client: &Client, state: &str, run_at: &str) -> String {
    let (id, tenant) = (Uuid::now_v7(), client.tenant);
    db.execute(&format!(
        "insert into jobs (id, tenant_id, kind, queue, state, max_attempts, args, run_at)
         values ('{id}', '{tenant}', 'test.noop', 'test', '{state}', 5, '{{}}', {run_at})"
    ))
    .await;
    id.to_string()
}

async fn post(client: &Client, path: &str, body: Option<Value>) -> TestResponse {
    let request = client.request(Method::POST, path);
    send(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn jobs_of_both_tables_are_listed_once_newest_first_page_by_page() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (owner, stranger) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(discarded(&db, &owner, "test.noop", "bad").await);
        expected.push(waiting(&db, &owner, "available", "now()").await);
        waiting(&db, &stranger, "available", "now()").await;
    }
    expected.reverse();
    let (mut path, mut seen, mut pages) = ("/v1/jobs?limit=2".to_owned(), Vec::new(), 0);
    loop {
        let page = owner.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        seen.extend(ids(&page.body));
        pages += 1;
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/jobs?limit=2&cursor={cursor}");
        stranger
            .get(&path)
            .await
            .assert_problem(400, "INVALID_PARAMETER", "a foreign cursor");
        owner
            .get(&format!("{path}&state=available"))
            .await
            .assert_problem(400, "INVALID_PARAMETER", "a cursor of another list");
    }
    assert_eq!((pages, seen), (3, expected));

    let some = owner.get("/v1/jobs?state=available").await;
    assert_eq!(ids(&some.body).len(), 3);
    assert_eq!(ids(&owner.get("/v1/dead-letters").await.body).len(), 3);
    assert!(ids(&owner.get("/v1/jobs?kind=test.other").await.body).is_empty());
    let none = "/v1/jobs?created_before=2020-01-01T00:00:00Z";
    assert!(ids(&owner.get(none).await.body).is_empty());
    for bad in [
        "limit=0",
        "limit=201",
        "state=lost",
        "nothing=1",
        "kind=%00",
    ] {
        let refused = owner.get(&format!("/v1/jobs?{bad}")).await;
        refused.assert_problem(400, "INVALID_PARAMETER", bad);
    }
}

#[tokio::test]
async fn nothing_is_said_or_done_about_a_job_of_somebody_else() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (owner, stranger) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let id = discarded(&db, &owner, "test.noop", "bad").await;
    for path in ["attempts", "explain"] {
        let path = format!("/v1/jobs/{id}/{path}");
        assert_eq!(owner.get(&path).await.status, 200, "{path}");
        let refused = stranger.get(&path).await;
        refused.assert_problem(404, "NOT_FOUND", &path);
    }
    let retry = format!("/v1/jobs/{id}/retry");
    let refused = post(&stranger, &retry, None).await;
    refused.assert_problem(404, "NOT_FOUND", &retry);
    let nothing = post(&stranger, "/v1/dead-letters/retry", Some(json!({}))).await;
    assert_eq!(nothing.body, json!({"jobs": [], "left": 0}));
    assert_eq!(owner.job(&id).await["state"], "discarded");
}

#[tokio::test]
async fn discarded_job_is_retried_once_and_keeps_its_id_and_its_attempts() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = discarded(&db, &client, "test.noop", "bad").await;
    let retry = format!("/v1/jobs/{id}/retry");
    let retried = post(&client, &retry, None).await;
    assert_eq!(retried.status, 202, "{}", retried.text);
    assert_eq!(
        (
            &retried.body["id"],
            &retried.body["state"],
            &retried.body["attempts"]
        ),
        (&json!(id), &json!("available"), &json!(0)),
        "no failure is counted against it any more"
    );
    let fence: i32 = db
        .one("select attempt from jobs where errors = 0 and crashes = 0")
        .await;
    assert_eq!(fence, 5, "the fence of former workers stays shut");
    post(&client, &retry, None)
        .await
        .assert_problem(409, "CONFLICT", "it waits already");

    let attempts = client.get(&format!("/v1/jobs/{id}/attempts")).await.body;
    let outcomes: Vec<&Value> = attempts["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| &attempt["outcome"])
        .collect();
    assert_eq!(outcomes, [&json!("retried"), &json!("discarded")]);
    let audited: i64 = db
        .one("select count(*) from audit_entries where action = 'job.retry_requested'")
        .await;
    assert_eq!(audited, 1);
}

#[tokio::test]
async fn retry_by_filter_takes_only_what_fits() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let fits = discarded(&db, &client, "test.noop", "bad").await;
    let other_code = discarded(&db, &client, "test.noop", "worse").await;
    let other_kind = discarded(&db, &client, "test.other", "bad").await;
    let filter = json!({"kind": "test.noop", "error_code": "bad"});
    let done = post(&client, "/v1/dead-letters/retry", Some(filter)).await;
    assert_eq!(done.status, 202, "{}", done.text);
    assert_eq!(done.body, json!({"jobs": [fits], "left": 0}));
    for id in [other_code, other_kind] {
        assert_eq!(client.job(&id).await["state"], "discarded");
    }
    let unknown = json!({"kinds": "test.noop"});
    post(&client, "/v1/dead-letters/retry", Some(unknown))
        .await
        .assert_problem(422, "INVALID_BODY", "a filter that does not exist");
}

#[tokio::test]
async fn job_that_does_not_run_says_why() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let explain = async |id: &str| {
        let answer = client.get(&format!("/v1/jobs/{id}/explain")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body["reasons"].as_array().unwrap().clone()
    };
    let first = waiting(&db, &client, "available", "now()").await;
    let second = waiting(&db, &client, "available", "now()").await;
    let later = waiting(&db, &client, "scheduled", "now() + interval '1 hour'").await;
    assert_eq!(explain(&first).await[0]["ahead"], 0);
    assert_eq!(explain(&second).await[0]["ahead"], 1);
    assert_eq!(explain(&later).await[0]["code"], "waits_for_time");
    assert_eq!(explain(&first).await[1]["code"], "no_worker");
    let stopping = |stopping: bool| {
        format!(
            "insert into workers (id, host, queues, slots, running, version, started_at, stopping)
             values (gen_random_uuid(), 'host', '{{test}}', 1, 0, '1', now(), {stopping})"
        )
    };
    db.execute(&stopping(true)).await;
    assert_eq!(explain(&first).await[1]["code"], "no_worker");
    db.execute(&stopping(false)).await;
    assert_eq!(explain(&first).await.len(), 1);
    db.execute(
        "insert into job_attempts (job_id, attempt, tenant_id, outcome, error_code)
         select id, 0, tenant_id, 'snoozed', 'rate_limited' from jobs where state = 'scheduled'",
    )
    .await;
    let snoozed = &explain(&later).await[0];
    assert_eq!(
        (&snoozed["code"], &snoozed["error_code"]),
        (&json!("snoozed"), &json!("rate_limited"))
    );

    db.execute(&format!(
        "update jobs set state = 'running', worker_id = gen_random_uuid(), lease_until = now() + interval '1 minute'
         where id = '{first}';
         insert into queue_limits (scope, name, max_running) values ('tenant', '*', 1);
         insert into queue_pauses (queue, reason) values ('test', 'maintenance')"
    ))
    .await;
    assert_eq!(explain(&first).await[0]["code"], "running");
    let both = explain(&second).await;
    assert_eq!(both[0]["code"], "queue_paused");
    let message = both[0]["message"].as_str().unwrap();
    assert!(
        !message.contains("maintenance"),
        "an operator's words: {message}"
    );
    assert_eq!(
        (&both[1]["code"], &both[1]["scope"]),
        (&json!("limit_reached"), &json!("tenant"))
    );
    db.execute("update queue_limits set max_running = 0").await;
    let paused = &explain(&second).await[1];
    assert_eq!(
        (&paused["code"], &paused["max_running"]),
        (&json!("tenant_paused"), &json!(null))
    );
    let ended = discarded(&db, &client, "test.noop", "bad").await;
    assert_eq!(explain(&ended).await[0]["code"], "ended");
}
