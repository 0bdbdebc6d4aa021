//! Work that can wait for hours is asked for in batches: parked meanwhile, paid for once at half the price, and done all the same
//! when a batch brings no answer.

use crate::{
    lanes::{email, put_budgets, until_count},
    support::{
        Client, TestDb,
        batch_server::{BatchServer, Dialect, Mode},
        client::send,
        system::{TestApi, Worker, metric},
        wait::SOON,
    },
};
use base::env::Env;
use jobs::{commands::llm::captures, secrets::KeyRing, store::llm_captures};
use reqwest::Method;
use serde_json::{Value, json};
use std::{ops::Range, time::Duration};

/// What the 400 tokens in and 40 out of the server cost in a batch and in an ordinary request, in millionths of a dollar.
const BATCHED: i64 = 240;
const ORDINARY: i64 = 480;

/// Several ticks of the duty, each of a second.
const AFTERWARDS: Duration = Duration::from_secs(60);

struct Setup {
    db: TestDb,
    server: BatchServer,
    _api: TestApi,
    client: Client,
}

impl Setup {
    async fn with(mode: Mode) -> Self {
        Self::speaking(Dialect::OpenAi, mode).await
    }

    async fn speaking(dialect: Dialect, mode: Mode) -> Self {
        let db = TestDb::new().await;
        let server = BatchServer::start(dialect, mode).await;
        let api = TestApi::start(&db).await;
        let client = api.sign_in(&db).await;
        Self {
            db,
            server,
            _api: api,
            client,
        }
    }

    async fn worker(&self) -> Worker {
        self.server.worker(&self.db, &[]).await
    }

    /// Submits emails that can wait; the ids of their jobs.
    async fn submit(&self, numbers: Range<usize>) -> Vec<String> {
        let mut jobs = Vec::new();
        for n in numbers {
            let request = self.client.submission(&email(n), &format!("email-{n}"));
            let answer = send(request.query(&[("urgency", "whenever")])).await;
            assert_eq!(answer.status, 202, "{}", answer.text);
            jobs.push(answer.body["id"].as_str().expect("an id").to_owned());
        }
        jobs
    }

    async fn until(&self, sql: &'static str, count: i64) {
        until_count(&self.db, AFTERWARDS, sql, count).await;
    }

    async fn until_parked(&self, jobs: i64) {
        self.until(
            "select count(*) from jobs join job_attempts last on last.job_id = jobs.id and last.attempt = jobs.attempt
             where state = 'scheduled' and error_code = 'llm_batched'",
            jobs,
        )
        .await;
    }

    /// Every job has succeeded by its model, without a counted attempt, and nothing is left of batches and reservations.
    async fn assert_done(&self, jobs: i64) {
        let succeeded =
            "select count(*) from finished_jobs where state = 'succeeded' and errors = 0";
        self.until(succeeded, jobs).await;
        for (sql, wanted) in [
            (
                "select count(*) from triage_results where source = 'llm' and not degraded",
                jobs,
            ),
            (
                "select count(*) from llm_calls where billing <> 'settled'",
                0,
            ),
            ("select count(*) from llm_batches", 0),
            (
                "select count(*) from llm_batch_items where state in ('waiting', 'sent')",
                0,
            ),
            (
                "select count(*) from llm_batch_items where body is not null",
                0,
            ),
            (
                "select coalesce(sum(reserved_micros + reserved_tokens), 0)::bigint from llm_budgets",
                0,
            ),
        ] {
            assert_eq!(self.db.one::<i64>(sql).await, wanted, "{sql}");
        }
    }

    /// The requests that were recorded, as tier, outcome and cost.
    async fn recorded(&self) -> Vec<(String, String, i64)> {
        let sql = "select coalesce(jsonb_agg(jsonb_build_array(tier, outcome, cost_micros) order by tier, outcome), '[]')
                   from llm_calls";
        serde_json::from_value(self.db.one(sql).await).expect("triples")
    }

    /// Of three requests, a batch answered none, and each was then made by itself.
    async fn assert_made_one_by_one(&self) {
        let expected = [
            row("batch", "batch_expired", 0),
            row("batch", "batch_expired", 0),
            row("batch", "transient", 0),
            row("standard", "ok", ORDINARY),
            row("standard", "ok", ORDINARY),
            row("standard", "ok", ORDINARY),
        ];
        assert_eq!(self.recorded().await, expected);
    }
}

fn row(tier: &str, outcome: &str, cost: i64) -> (String, String, i64) {
    (tier.to_owned(), outcome.to_owned(), cost)
}

/// The files of OpenAI's first batch.
const FILES: [&str; 2] = ["file-0", "output-batch_0000"];

#[tokio::test]
async fn batch_of_gemini_judges_emails_at_half_the_price_and_is_deleted() {
    let setup = Setup::speaking(Dialect::Gemini, Mode::Answers).await;
    let _worker = setup.worker().await;
    setup.submit(0..3).await;
    setup.assert_done(3).await;
    let server = &setup.server;
    assert_eq!(server.singles(), 0);
    assert_eq!(server.batches().iter().sum::<usize>(), 3);
    assert_eq!(server.deleted().len(), server.batches().len());
    assert_eq!(setup.recorded().await, vec![row("batch", "ok", BATCHED); 3]);
    for request in server.requests() {
        let config = &request["request"]["generationConfig"];
        assert_eq!(config["responseMimeType"], "application/json", "{request}");
    }
}

#[tokio::test]
async fn requests_that_a_batch_of_gemini_did_not_answer_are_made_one_by_one() {
    let setup = Setup::speaking(Dialect::Gemini, Mode::Works).await;
    setup.submit(0..3).await;
    let slowly = [("LLM_BATCH_SECONDS", "3")];
    let _worker = setup.server.worker(&setup.db, &slowly).await;
    setup.server.has_batches(1).await;
    setup.server.turns_to(Mode::Expires);
    setup.assert_done(3).await;
    assert_eq!(
        (setup.server.batches(), setup.server.singles()),
        (vec![3], 3)
    );
    setup.assert_made_one_by_one().await;
}

#[tokio::test]
async fn batch_of_gemini_whose_reply_was_lost_is_found_by_its_name() {
    let setup = Setup::speaking(Dialect::Gemini, Mode::LosesReply).await;
    let _worker = setup.worker().await;
    setup.submit(0..1).await;
    setup.server.has_batches(1).await;
    setup.server.turns_to(Mode::Answers);
    setup.assert_done(1).await;
    assert_eq!(
        (setup.server.batches(), setup.server.singles()),
        (vec![1], 0)
    );
}

#[tokio::test]
async fn emails_that_can_wait_are_judged_by_one_batch_at_half_the_price() {
    let setup = Setup::with(Mode::Works).await;
    let budgets =
        json!({"budgets": [{"kind": "*", "period": "day", "max_cost_micros": 1_000_000}]});
    put_budgets(&setup.client, &budgets).await;
    let jobs = setup.submit(0..3).await;
    let worker = setup.worker().await;
    setup.until_parked(3).await;
    setup.server.has_batches(1).await;
    let counted = async |name, labels| metric(worker.ops, name, labels).await;
    setup
        .db
        .execute("update llm_batches set created_at = created_at - interval '1 hour'")
        .await;
    assert!(counted("postroom_llm_batches_open", &[]).await > 0.5);
    assert!(counted("postroom_llm_batch_oldest_seconds", &[]).await > 3599.5);
    let reserved: i64 = setup
        .db
        .one("select reserved_micros from llm_budgets")
        .await;
    assert!(reserved > 3 * BATCHED, "{reserved}");
    let running = "select count(*) from jobs where state = 'running'";
    assert_eq!(
        setup.db.one::<i64>(running).await,
        0,
        "a parked job holds no slot"
    );
    let why = setup
        .client
        .get(&format!("/v1/jobs/{}/explain", jobs[0]))
        .await;
    assert_eq!(
        why.body["reasons"][0]["error_code"], "llm_batched",
        "{}",
        why.text
    );

    setup.server.turns_to(Mode::Answers);
    setup.assert_done(3).await;
    assert_eq!(
        (setup.server.batches(), setup.server.singles()),
        (vec![3], 0)
    );
    assert!(counted("postroom_llm_batches_open", &[]).await < 0.5);
    assert!(counted("postroom_llm_batch_oldest_seconds", &[]).await < 0.5);
    let ok = [("outcome", "ok")];
    let ended = counted("postroom_llm_batch_requests_total", &ok).await;
    assert!((ended - 3.0).abs() < 0.5, "{ended}");
    assert_eq!(setup.recorded().await, vec![row("batch", "ok", BATCHED); 3]);
    let spent: i64 = setup.db.one("select spent_micros from llm_budgets").await;
    assert_eq!(spent, 3 * BATCHED);
    assert_eq!(
        setup.server.deleted(),
        FILES,
        "the provider keeps no email that was judged"
    );
    let usage = setup.client.get("/v1/usage").await;
    assert_eq!(usage.body["days"][0]["tier"], "batch", "{}", usage.text);
    let job = setup.client.job(&jobs[0]).await;
    assert_eq!(job["output"]["llm"]["cost_micros"], BATCHED, "{job}");
    for request in setup.server.requests() {
        assert_eq!(request["body"]["service_tier"], Value::Null, "{request}");
        assert_eq!(request["body"]["response_format"]["type"], "json_schema");
    }
}

#[tokio::test]
async fn requests_that_a_batch_did_not_answer_are_made_one_by_one() {
    let setup = Setup::with(Mode::Expires).await;
    let _worker = setup.worker().await;
    setup.submit(0..3).await;
    setup.assert_done(3).await;
    assert_eq!(setup.server.singles(), 3);
    setup.assert_made_one_by_one().await;
}

#[tokio::test]
async fn server_without_batches_gets_ordinary_requests() {
    let setup = Setup::with(Mode::Lacks).await;
    let _worker = setup.worker().await;
    setup.submit(0..2).await;
    setup.assert_done(2).await;
    assert_eq!(
        (setup.server.batches(), setup.server.singles()),
        (vec![], 2)
    );
}

#[tokio::test]
async fn batch_whose_reply_was_lost_is_found_and_not_paid_for_twice() {
    let setup = Setup::with(Mode::LosesReply).await;
    let _worker = setup.worker().await;
    setup.submit(0..2).await;
    setup.server.has_batches(1).await;
    setup.server.turns_to(Mode::Answers);
    setup.assert_done(2).await;
    assert_eq!(
        (setup.server.batches(), setup.server.singles()),
        (vec![2], 0)
    );
}

#[tokio::test]
async fn batch_of_a_killed_worker_is_continued_by_another() {
    let setup = Setup::with(Mode::Works).await;
    let mut worker = setup.worker().await;
    setup.submit(0..2).await;
    setup.server.has_batches(1).await;
    setup.until_parked(2).await;
    worker.process.kill();
    // As if it had died before it recorded what it made.
    setup
        .db
        .execute("update llm_batches set provider_id = null, due_at = now() - interval '1 second'")
        .await;
    setup.server.turns_to(Mode::Answers);
    let _other = setup.worker().await;
    setup.assert_done(2).await;
    assert_eq!(
        (setup.server.batches(), setup.server.singles()),
        (vec![2], 0)
    );
    assert_eq!(setup.recorded().await, vec![row("batch", "ok", BATCHED); 2]);
}

#[tokio::test]
async fn answer_of_a_batch_is_used_although_the_prompt_has_changed_meanwhile() {
    let setup = Setup::with(Mode::Works).await;
    setup
        .db
        .execute("update users set email = 'owner@acme.example'")
        .await;
    let _worker = setup.worker().await;
    setup.submit(0..1).await;
    setup.server.has_batches(1).await;
    setup.until_parked(1).await;
    let memory =
        json!({"level": "semantic", "key": "hours", "value": {"note": "No meetings on Fridays."}});
    let request = setup.client.request(Method::PUT, "/v1/memory");
    let stored = send(request.json(&memory)).await;
    assert!(stored.status.is_success(), "{}", stored.text);
    setup.server.turns_to(Mode::Answers);
    setup.assert_done(1).await;
    assert_eq!(setup.server.singles(), 0, "it was paid for");
}

#[tokio::test]
async fn requests_are_made_one_by_one_when_no_batch_can_be_made_for_hours() {
    let setup = Setup::with(Mode::Fails).await;
    let _worker = setup.worker().await;
    setup.submit(0..1).await;
    setup.until("select count(*) from llm_batches", 1).await;
    setup.until_parked(1).await;
    setup
        .db
        .execute("update llm_batches set created_at = now() - interval '3 hours'")
        .await;
    setup.assert_done(1).await;
    assert_eq!(
        (setup.server.batches(), setup.server.singles()),
        (vec![], 1)
    );
}

#[tokio::test]
async fn cancelled_job_leaves_before_its_batch_and_frees_its_budget() {
    let setup = Setup::with(Mode::Works).await;
    let budgets =
        json!({"budgets": [{"kind": "*", "period": "day", "max_cost_micros": 1_000_000}]});
    put_budgets(&setup.client, &budgets).await;
    let slowly = [("LLM_BATCH_SECONDS", "600")];
    let _worker = setup.server.worker(&setup.db, &slowly).await;
    let jobs = setup.submit(0..1).await;
    setup.until_parked(1).await;
    let cancel = setup
        .client
        .request(Method::POST, &format!("/v1/jobs/{}/cancel", jobs[0]));
    let answer = send(cancel.header("Idempotency-Key", "cancel")).await;
    assert!(answer.status.is_success(), "{}", answer.text);
    setup.until("select count(*) from llm_batch_items", 0).await;
    assert_eq!(setup.recorded().await, [row("batch", "cancelled", 0)]);
    let reserved: i64 = setup
        .db
        .one("select reserved_micros from llm_budgets")
        .await;
    assert_eq!((reserved, setup.server.batches()), (0, vec![]));
}

#[tokio::test]
async fn email_beyond_the_budget_waits_for_it_and_is_in_no_batch() {
    let setup = Setup::with(Mode::Answers).await;
    let budgets = json!({"budgets": [{"kind": "*", "period": "day", "max_cost_micros": 10}]});
    put_budgets(&setup.client, &budgets).await;
    let _worker = setup.worker().await;
    setup.submit(0..1).await;
    let waits = "select count(*) from job_attempts where error_code = 'llm_over_budget'";
    until_count(&setup.db, SOON, waits, 1).await;
    assert_eq!(
        setup
            .db
            .one::<i64>("select count(*) from llm_batch_items")
            .await,
        0
    );
}

#[tokio::test]
async fn question_of_a_batch_is_kept_with_its_answer_for_a_tenant_that_wants_it() {
    const KEYS: &str = "k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let setup = Setup::with(Mode::Answers).await;
    let db = &setup.db;
    db.execute("update tenants set prompt_capture_days = 7")
        .await;
    let keys = [("CREDENTIAL_KEYS", KEYS)];
    let _worker = setup.server.worker(db, &keys).await;
    setup.submit(0..1).await;
    setup.assert_done(1).await;
    let mut conn = db.pool().acquire().await.expect("a connection");
    let call = db.one("select call_id from llm_captures").await;
    let tenant = setup.client.tenant;
    let sealed = llm_captures::find(&mut conn, tenant, call).await;
    let sealed = sealed.expect("the database answers").expect("it was kept");
    let ring = KeyRing::from_env(&mut Env::from_vars(keys)).expect("keys");
    let exchange = captures::open(&ring, tenant, call, &sealed).expect("it opens");
    let asked = exchange.messages.iter().map(|message| &message.content);
    assert!(asked.clone().any(|text| text.contains("When can we meet")));
    let answer = exchange.answer.expect("an answer");
    assert!(answer.contains("A person asks"), "{answer}");
}
