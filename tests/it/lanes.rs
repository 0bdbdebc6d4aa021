//! A model that is unavailable costs nothing: real workers stop asking it, jobs wait without using up attempts, and everything is done
//! after it is back.

mod fallbacks;
mod matrix;
mod one_email;
mod outage;

use crate::support::{
    Client, TestDb, eventually,
    model::{FakeModel, Reply},
    system::{TestApi, metric},
    wait::SOON,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The duty that releases jobs has a tick of five seconds, and several of them pass.
const AFTERWARDS: Duration = Duration::from_secs(90);

/// Workers probe a model that is unavailable every second.
const OFTEN: (&str, &str) = ("LLM_PROBE_SECONDS", "1");

pub(crate) fn email(n: usize) -> Vec<u8> {
    format!(
        "Message-ID: <{n}@client.example>\nFrom: Alice <alice@client.example>\nTo: owner@acme.example\n\
         Subject: Appointment {n}\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\nWhen can we meet about {n}?"
    )
    .into_bytes()
}

pub(crate) async fn submit_emails(client: &Client, numbers: std::ops::Range<usize>) {
    for n in numbers {
        client.submitted(&email(n), &format!("email-{n}")).await;
    }
}

async fn submit_drafts(client: &Client, count: usize) {
    for n in 0..count {
        let body = json!({
            "mode": "compose", "to": ["bob@client.example"], "intent": format!("Thank Bob for letter {n}."),
        });
        let asked = crate::drafts::generated::post(client, "/v1/jobs/draft", &body).await;
        assert_eq!(asked.status, 202, "{}", asked.text);
    }
}

pub(crate) async fn until_count(db: &TestDb, deadline: Duration, sql: &'static str, wanted: i64) {
    eventually(deadline, async || match db.one::<i64>(sql).await {
        count if count == wanted => Ok(()),
        count => Err(format!("{count} instead of {wanted}: {sql}")),
    })
    .await;
}

/// All jobs wait, and none of them runs.
async fn until_all_wait(db: &TestDb, jobs: i64) {
    until_count(
        db,
        SOON,
        "select count(*) from jobs where state = 'scheduled'",
        jobs,
    )
    .await;
}

/// Every job has succeeded, without a fallback and without a counted attempt.
async fn assert_all_done(db: &TestDb, emails: i64, drafts: i64) {
    let done =
        "select count(*) from finished_jobs where kind in ('triage.email', 'draft.generate')";
    until_count(db, AFTERWARDS, done, emails + drafts).await;
    for (sql, wanted) in [
        (
            "select count(*) from finished_jobs where state = 'succeeded' and errors = 0 and crashes = 0
                 and kind in ('triage.email', 'draft.generate')",
            emails + drafts,
        ),
        (
            "select count(*) from triage_results where source = 'llm' and not degraded",
            emails,
        ),
        ("select count(*) from drafts", drafts),
        ("select count(*) from llm_calls where billing <> 'settled'", 0),
        ("select count(*) from llm_lanes where reason is not null", 0),
    ] {
        assert_eq!(db.one::<i64>(sql).await, wanted, "{sql}");
    }
}

#[tokio::test]
async fn outage_of_a_provider_loses_nothing_and_is_probed_at_most_once_a_second() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Refuses(503, None)]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let variables = [OFTEN, ("WORKER_SLOTS", "4")];
    let _one = model.worker(&db, &variables).await;
    let _other = model.worker(&db, &variables).await;
    submit_emails(&client, 0..60).await;
    submit_drafts(&client, 10).await;
    until_all_wait(&db, 70).await;
    let burst = model.calls();
    // Two queues with four slots in two workers: one request of each may be under way when the first three have failed.
    assert!(burst <= 2 * 4 * 2 + 8, "{burst} requests");

    let started = Instant::now();
    model.asked(burst + 2).await;
    let probed = model.calls() - burst;
    assert!(
        Duration::from_secs(1) * u32::try_from(probed - 1).unwrap() <= started.elapsed(),
        "{probed} probes in {:?}",
        started.elapsed()
    );
    model.turns_to(Reply::Fits);
    assert_all_done(&db, 60, 10).await;
    let recorded: i64 = db.one("select count(*) from llm_calls").await;
    assert_eq!(recorded, i64::try_from(model.calls()).unwrap());
}

#[tokio::test]
async fn wrong_key_stops_the_lane_until_a_worker_starts_with_another() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Refuses(401, None)]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let worker = model.worker(&db, &[("WORKER_SLOTS", "1")]).await;
    submit_emails(&client, 0..6).await;
    until_all_wait(&db, 6).await;
    assert_eq!(model.calls(), 1, "the key is tried once");

    let open = async |cause| {
        let labels = [("model", "fake-1"), ("cause", cause)];
        metric(worker.ops, "postroom_llm_lane_open", &labels).await
    };
    assert!(open("operator").await > 0.5 && open("provider").await < 0.5);
    let ready = text_of(worker.ops, "readyz").await;
    assert!(
        ready.starts_with("ok\n") && ready.contains("the model openai/fake-1 is not asked before"),
        "{ready}"
    );
    let waiting: String = db.one("select id::text from jobs limit 1").await;
    let why = client
        .get(&format!("/v1/jobs/{waiting}/explain"))
        .await
        .body;
    assert_eq!(why["reasons"][0]["error_code"], "llm_stopped", "{why}");

    drop(worker);
    model.turns_to(Reply::Fits);
    let _mended = model.worker(&db, &[]).await;
    assert_all_done(&db, 6, 0).await;
    assert_eq!(model.calls(), 7);
}

async fn text_of(ops: std::net::SocketAddr, path: &str) -> String {
    let response = crate::support::client::http()
        .get(format!("http://{ops}/{path}"))
        .send()
        .await
        .unwrap();
    response.text().await.unwrap()
}

#[tokio::test]
async fn wait_that_one_worker_gets_is_obeyed_by_all() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Refuses(429, Some(250))]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _one = model.worker(&db, &[OFTEN]).await;
    submit_emails(&client, 0..1).await;
    until_all_wait(&db, 1).await;
    assert_eq!(model.calls(), 1);
    let _other = model.worker(&db, &[OFTEN]).await;
    submit_emails(&client, 1..40).await;
    until_all_wait(&db, 40).await;
    assert_eq!(model.calls(), 1, "nobody asks before the time");
    let early = "select count(*) from jobs where run_at < now() + interval '200 seconds'";
    assert_eq!(db.one::<i64>(early).await, 0);

    // The time has come: one probe, and then everybody.
    model.turns_to(Reply::Fits);
    db.execute("update llm_lanes set until = now()").await;
    assert_all_done(&db, 40, 0).await;
}

#[tokio::test]
async fn request_of_a_killed_worker_is_on_record_and_its_reservation_comes_free() {
    let db = TestDb::new().await;
    let model = FakeModel::start([
        Reply::Holds(crate::support::model::VERDICT.to_owned()),
        Reply::Fits,
    ])
    .await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let body = json!({"budgets": [{"kind": "*", "period": "day", "max_tokens": 1_000_000}]});
    put_budgets(&client, &body).await;
    let mut first = model.worker(&db, &[]).await;
    submit_emails(&client, 0..1).await;
    model.asked(1).await;
    let reserved =
        "select count(*) from llm_calls where billing = 'reserved' and reserved_tokens > 0";
    assert_eq!(
        db.one::<i64>(reserved).await,
        1,
        "it is on record before its answer"
    );
    let held: i64 = db.one("select reserved_tokens from llm_budgets").await;
    assert!(held > 0);
    first.process.kill();

    let _second = model.worker(&db, &[]).await;
    let lost =
        "select count(*) from llm_calls where billing = 'possibly_billed' and outcome = 'lost'";
    until_count(&db, SOON, lost, 1).await;
    until_count(
        &db,
        SOON,
        "select count(*) from finished_jobs where state = 'succeeded'",
        1,
    )
    .await;
    let budget = client.get("/v1/budgets").await.body["items"][0].clone();
    assert_eq!(budget["reserved_tokens"], 0, "{budget}");
    assert_eq!(budget["spent_tokens"], held + 440, "{budget}");
    let usage = client.get("/v1/usage").await.body;
    assert_eq!(usage["total"]["requests"], 2, "{usage}");
    assert_eq!(usage["total"]["possibly_billed_requests"], 1, "{usage}");
}

/// Replaces the budgets of the client's tenant.
pub(crate) async fn put_budgets(client: &Client, body: &Value) -> Value {
    let request = client.request(reqwest::Method::PUT, "/v1/budgets");
    let answer = crate::support::client::send(request.json(body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}
