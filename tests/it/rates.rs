//! A model is asked at most as often as the operator allows, by all workers together: jobs beyond that wait for their turn, use
//! up no attempt and hold no slot, and tenants take turns.

use crate::{
    lanes::{email, submit_emails, until_count},
    support::{
        TestDb, eventually,
        model::{FakeModel, Reply},
        system::{TestApi, metric},
        wait::SOON,
    },
};
use std::time::Duration;

/// The two workers' rate, a request every third of a second.
const RATE: (&str, &str) = ("LLM_REQUESTS_PER_MINUTE", "180");
/// What a bucket of that rate holds: a twentieth of it.
const BUCKET: usize = 9;
const MINUTE: Duration = Duration::from_secs(60);

/// Every job has succeeded in an attempt that counted, and no other counted.
async fn assert_all_judged(db: &TestDb, deadline: Duration, emails: i64) {
    let done = "select count(*) from finished_jobs where kind = 'triage.email'";
    until_count(db, deadline, done, emails).await;
    for (sql, wanted) in [
        (
            "select count(*) from finished_jobs
             where state = 'succeeded' and errors = 0 and crashes = 0 and kind = 'triage.email'",
            emails,
        ),
        (
            "select count(*) from triage_results where source = 'llm' and not degraded",
            emails,
        ),
        (
            "select count(*) from llm_rate_turns where taken_at is null",
            0,
        ),
    ] {
        assert_eq!(db.one::<i64>(sql).await, wanted, "{sql}");
    }
}

/// Two workers judge 30 emails; the model's first replies are given.
async fn judged_at_the_rate(replies: impl IntoIterator<Item = Reply>) -> (TestDb, FakeModel) {
    let db = TestDb::new().await;
    let model = FakeModel::start(replies).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    submit_emails(&client, 0..30).await;
    let variables = [RATE, ("LLM_PROBE_SECONDS", "1")];
    let one = model.worker(&db, &variables).await;
    let _other = model.worker(&db, &variables).await;
    assert_all_judged(&db, MINUTE, 30).await;
    let most = model.most_calls_in(Duration::from_secs(5));
    // 15 in five seconds, what the bucket held, and one that was under way.
    assert!(most <= 15 + BUCKET + 1, "{most} requests in five seconds");
    let labels = [("provider", "openai"), ("model", "fake-1")];
    let limit = metric(one.ops, "postroom_llm_rate_limit", &labels).await;
    assert!((limit - 180.0).abs() < 0.5, "{limit}");
    (db, model)
}

#[tokio::test]
async fn rate_of_a_model_is_kept_by_two_workers_together() {
    let (db, model) = judged_at_the_rate([Reply::Fits]).await;
    assert_eq!(model.calls(), 30);
    let refused = "select count(*) from job_attempts where error_code = 'llm_rate_reached' and outcome = 'snoozed'";
    let refused: i64 = db.one(refused).await;
    // Each job that waits is refused once; a turn that came late may be refused again.
    assert!((15..=40).contains(&refused), "{refused} refusals");
}

#[tokio::test]
async fn rate_is_kept_while_the_provider_asks_to_wait() {
    let limited = |seconds| Reply::Refuses(429, seconds);
    let replies = [
        Reply::Fits,
        Reply::Fits,
        limited(Some(1)),
        Reply::Fits,
        limited(None),
        Reply::Fits,
    ];
    let (_, model) = judged_at_the_rate(replies).await;
    assert!(model.calls() >= 32, "{}", model.calls());
}

#[tokio::test]
async fn rate_is_shared_by_the_tenants_in_turn() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let large = api.sign_in(&db).await;
    let small = api.sign_in(&db).await;
    submit_emails(&large, 0..60).await;
    let _worker = model.worker(&db, &[RATE, ("WORKER_SLOTS", "64")]).await;
    let queued = "select count(*) from llm_rate_turns";
    eventually(SOON, async || match db.one::<i64>(queued).await {
        count if count >= 40 => Ok(()),
        count => Err(format!("{count} of 40 wait")),
    })
    .await;
    let mut of_small = Vec::new();
    for n in 100..106 {
        of_small.push(small.submitted(&email(n), &format!("email-{n}")).await);
    }
    for id in &of_small {
        small.finished(id).await;
    }
    let waiting = "select count(*) from jobs where kind = 'triage.email'";
    // Six turns of the small tenant take twelve turns and those that were assigned before it came.
    let left: i64 = db.one(waiting).await;
    assert!(left >= 10, "{left} jobs of the large tenant are left");
    until_count(&db, SOON, waiting, 0).await;
}

#[tokio::test]
async fn job_that_waits_for_its_turn_says_so_and_names_the_model() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    // One request a minute.
    let worker = model.worker(&db, &[("LLM_REQUESTS_PER_MINUTE", "1")]).await;
    submit_emails(&client, 0..4).await;
    let done = "select count(*) from finished_jobs where kind = 'triage.email'";
    until_count(&db, SOON, done, 1).await;
    let waits = "select count(*) from jobs where state = 'scheduled'";
    until_count(&db, SOON, waits, 3).await;
    let waiting: String = db
        .one("select id::text from jobs where state = 'scheduled' limit 1")
        .await;
    let why = client
        .get(&format!("/v1/jobs/{waiting}/explain"))
        .await
        .body;
    let reason = &why["reasons"][0];
    assert_eq!(reason["code"], "snoozed", "{why}");
    assert_eq!(reason["error_code"], "llm_rate_reached", "{why}");
    let message = reason["message"].as_str().unwrap();
    assert!(
        message.starts_with("The rate of requests to fake-1 is reached"),
        "{message}"
    );
    let labels = [("provider", "openai"), ("model", "fake-1")];
    let read = async |name| metric(worker.ops, name, &labels).await;
    assert!((read("postroom_llm_rate_waiting").await - 3.0).abs() < 0.5);
    assert!(read("postroom_llm_rate_reached_total").await > 2.5);
    let running: i64 = db
        .one("select count(*) from jobs where state = 'running'")
        .await;
    assert_eq!((running, model.calls()), (0, 1), "no slot is held");
}

#[tokio::test]
async fn tokens_of_a_minute_are_limited_and_corrected_by_their_usage() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    // The smallest allowed: a single request is more than a bucket holds.
    let _worker = model
        .worker(&db, &[("LLM_TOKENS_PER_MINUTE", "1000")])
        .await;
    submit_emails(&client, 0..2).await;
    until_count(
        &db,
        SOON,
        "select count(*) from finished_jobs where kind = 'triage.email'",
        1,
    )
    .await;
    until_count(&db, SOON, "select count(*) from llm_rate_turns", 1).await;
    assert_eq!(model.calls(), 1);
    // 440 tokens of 1000 were used: 26.4 s from the request, and not the minutes that its estimate would take.
    let full_in: f64 = db
        .one(
            "select extract(epoch from rate.tokens_full_at - call.created_at)::float8
             from llm_rates rate, llm_calls call",
        )
        .await;
    assert!((24.0..28.0).contains(&full_in), "{full_in}");
}

#[tokio::test]
async fn provider_that_says_that_nothing_is_left_is_not_asked_before_its_time() {
    let db = TestDb::new().await;
    let model = FakeModel::start([
        Reply::FitsWith(&[
            ("x-ratelimit-limit-requests", "4"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "40s"),
        ]),
        Reply::Fits,
    ])
    .await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = model.worker(&db, &[RATE]).await;
    submit_emails(&client, 0..1).await;
    let done = "select count(*) from finished_jobs where kind = 'triage.email'";
    until_count(&db, SOON, done, 1).await;
    submit_emails(&client, 1..3).await;
    until_count(&db, SOON, "select count(*) from llm_rate_turns", 2).await;
    assert_eq!(model.calls(), 1);
    until_count(&db, SOON, done, 3).await;
    // Four requests in 40 s are renewed one by one; after that our own rate applies again.
    let pause: f64 = db
        .one(
            "select extract(epoch from max(created_at) - min(created_at))::float8
             from (select created_at from llm_calls order by created_at limit 2) first_two",
        )
        .await;
    assert!((10.0..20.0).contains(&pause), "{pause}");
}

/// The provider of two workers never gets more than 1.1 times the rate in any minute. In a full run only, because it takes two
/// minutes.
#[tokio::test]
async fn rate_of_a_minute_is_kept_over_300_jobs() {
    if std::env::var_os("POSTROOM_FULL").is_none() {
        return;
    }
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Fits, Reply::Refuses(429, Some(2)), Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    submit_emails(&client, 0..300).await;
    let variables = [
        ("LLM_REQUESTS_PER_MINUTE", "150"),
        ("LLM_PROBE_SECONDS", "1"),
    ];
    let _one = model.worker(&db, &variables).await;
    let _other = model.worker(&db, &variables).await;
    assert_all_judged(&db, Duration::from_secs(150), 300).await;
    let most = model.most_calls_in(MINUTE);
    assert!(most <= 165, "{most} requests in a minute");
}
