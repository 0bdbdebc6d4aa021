//! Several models: the next one is asked while the first is unavailable, and nothing hides that it is.

use super::{OFTEN, submit_drafts, submit_emails, text_of, until_all_wait, until_count};
use crate::support::{
    Client, TestDb,
    model::{FakeModel, Reply},
    system::{TestApi, Worker, metric, metrics},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A worker process with these models, and the folder of its file.
pub(super) async fn worker(db: &TestDb, models: &Value, probes: (&str, &str)) -> (Worker, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("models.json");
    std::fs::write(&path, models.to_string()).unwrap();
    let variables = [
        ("LLM_MODELS_FILE", path.to_str().unwrap()),
        ("KEY_OF_THE_TESTS", "key-of-the-tests"),
        probes,
    ];
    (Worker::spawn_with(db, &variables).await, folder)
}

/// Two models, of which the second is the first one's fallback.
fn two(first: &FakeModel, second: &FakeModel) -> Value {
    json!({
        "default": "one",
        "models": {"one": first.entry("first-1", &["two"]), "two": second.entry("second-1", &[])},
    })
}

async fn triaged(client: &Client, n: usize) -> Value {
    let name = format!("email-{n}");
    let id = client.submitted(&super::email(n), &name).await;
    client.finished(&id).await["output"].clone()
}

#[tokio::test]
async fn fallback_is_asked_while_the_first_lane_is_open_and_the_first_again_after_its_probe() {
    let db = TestDb::new().await;
    let first = FakeModel::start([Reply::Refuses(429, Some(250))]).await;
    let second = FakeModel::start([Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let (worker, _folder) = worker(&db, &two(&first, &second), OFTEN).await;
    for n in 0..3 {
        let output = triaged(&client, n).await;
        assert_eq!(output["source"], "llm", "{output}");
        assert_eq!(output["llm"]["model"], "second-1", "{output}");
    }
    assert_eq!(first.calls(), 1, "it is not asked before its time");
    assert_eq!(second.calls(), 3);
    let attempts = "select max(attempt)::bigint from finished_jobs where kind = 'triage.email'";
    assert_eq!(
        db.one::<i64>(attempts).await,
        1,
        "the fallback is asked in the same attempt"
    );

    // That the first one is unavailable is not hidden.
    let labels = [("model", "first-1"), ("cause", "provider")];
    assert!(metric(worker.ops, "postroom_llm_lane_open", &labels).await > 0.5);
    let ready = text_of(worker.ops, "readyz").await;
    assert!(
        ready.contains("the model openai/first-1 is not asked before"),
        "{ready}"
    );
    let labels = [("model", "first-1"), ("reason", "rate_limited")];
    let passed_on = metric(worker.ops, "postroom_llm_fallbacks_total", &labels).await;
    assert!(passed_on > 2.5, "{passed_on}");

    first.turns_to(Reply::Fits);
    db.execute("update llm_lanes set until = now()").await;
    for n in 3..5 {
        let output = triaged(&client, n).await;
        assert_eq!(output["llm"]["model"], "first-1", "{output}");
    }
    assert_eq!(second.calls(), 3);
    let open = "select count(*) from llm_lanes where reason is not null";
    assert_eq!(db.one::<i64>(open).await, 0);
}

#[tokio::test]
async fn fallback_is_not_asked_to_repair_the_answer_of_another_model() {
    let db = TestDb::new().await;
    let first = FakeModel::start([Reply::Says("I cannot say.".into())]).await;
    let second = FakeModel::start([Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let (_worker, _folder) = worker(&db, &two(&first, &second), OFTEN).await;
    let output = triaged(&client, 0).await;
    assert_eq!((first.calls(), second.calls()), (2, 0), "{output}");
    assert_eq!(output["source"], "fallback", "{output}");
}

#[tokio::test]
async fn job_waits_while_all_lanes_are_open_and_continues_with_the_one_that_closes_first() {
    let db = TestDb::new().await;
    let first = FakeModel::start([Reply::Refuses(401, None)]).await;
    let second = FakeModel::start([Reply::Refuses(503, None)]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let (_worker, _folder) = worker(&db, &two(&first, &second), OFTEN).await;
    submit_emails(&client, 0..6).await;
    submit_drafts(&client, 2).await;
    until_all_wait(&db, 8).await;
    second.turns_to(Reply::Fits);
    let done = "select count(*) from finished_jobs where state = 'succeeded' and errors = 0
             and kind in ('triage.email', 'draft.generate') and output->'llm'->>'model' = 'second-1'";
    until_count(&db, super::AFTERWARDS, done, 8).await;
    let open =
        "select string_agg(model || ' ' || reason, ',') from llm_lanes where reason is not null";
    assert_eq!(db.one::<String>(open).await, "first-1 auth");
}

#[tokio::test]
async fn tasks_and_tenants_have_models_of_their_own() {
    let db = TestDb::new().await;
    let small = FakeModel::start([Reply::Fits]).await;
    let large = FakeModel::start([Reply::Fits]).await;
    let eu = FakeModel::start([Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let other = api.sign_in(&db).await;
    let newest = "select id::text from tenants order by id desc limit 1";
    let of_other: String = db.one(newest).await;
    let models = json!({
        "default": "large",
        "tasks": {"triage": "small"},
        "tenants": {of_other: {"default": "eu"}},
        "models": {
            "small": small.entry("small-1", &[]),
            "large": large.entry("large-1", &[]),
            "eu": eu.entry("eu-1", &[]),
        },
    });
    let (_worker, _folder) = worker(&db, &models, OFTEN).await;
    assert_eq!(triaged(&client, 0).await["llm"]["model"], "small-1");
    assert_eq!(triaged(&other, 0).await["llm"]["model"], "eu-1");
    submit_drafts(&client, 1).await;
    large.asked(1).await;
    assert_eq!((small.calls(), eu.calls()), (1, 1));
}

#[tokio::test]
async fn same_model_of_two_accounts_has_two_lanes_and_one_that_is_not_configured_any_more_stops_nobody()
 {
    let db = TestDb::new().await;
    let first = FakeModel::start([Reply::Refuses(429, Some(250))]).await;
    let second = FakeModel::start([Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let models = json!({
        "default": "one",
        "models": {"one": first.entry("same-1", &["two"]), "two": second.entry("same-1", &[])},
    });
    let (former, _folder) = worker(&db, &models, OFTEN).await;
    let output = triaged(&client, 0).await;
    assert_eq!(output["llm"]["model"], "same-1", "{output}");
    assert_eq!((first.calls(), second.calls()), (1, 1));
    let ready = text_of(former.ops, "readyz").await;
    assert!(ready.contains("openai/same-1@one is not asked"), "{ready}");
    assert!(!ready.contains("@two"), "{ready}");

    let only = json!({"default": "two", "models": {"two": second.entry("same-1", &[])}});
    let (now, _folder) = worker(&db, &only, OFTEN).await;
    assert_eq!(text_of(now.ops, "readyz").await, "ok\n");
    let labels = [("model", "same-1@one"), ("cause", "provider")];
    let text = metrics(now.ops).await;
    assert!(
        !text.contains("same-1@one\",provider=\"openai\"} 1"),
        "{labels:?}: {text}"
    );
}
