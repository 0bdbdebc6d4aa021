//! An answer is used again for the same question of the same tenant, if the tenant wants so.

use super::*;
use crate::{lanes::email, support::Client};
use jobs::commands::tenants::forget::forget_old_emails;
use serde_json::Value;

async fn put_settings(client: &Client, seconds: Value) -> u16 {
    let settings = json!({
        "trust_mode": "training_wheels", "sending_disabled": false, "email_retention_days": 7,
        "answer_cache_seconds": seconds,
    });
    let request = client.request(Method::PUT, "/v1/settings").json(&settings);
    send(request).await.status.as_u16()
}

/// Judges the same email once more; its job.
async fn judge(client: &Client, key: &str) -> Value {
    let request = client.submission(&email(1), key);
    let answer = send(request.query(&[("force", "true")])).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let job = client
        .finished(answer.body["id"].as_str().expect("an id"))
        .await;
    assert_eq!(job["output"]["source"], "llm", "{job}");
    job
}

#[tokio::test]
async fn same_question_is_asked_again_unless_the_tenant_wants_its_answer_kept() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = model.worker(&db, &[("LLM_MODEL", "gpt-4.1-mini")]).await;
    judge(&client, "first").await;
    judge(&client, "second").await;
    assert_eq!(model.calls(), 2, "it is off by default");
    let kept = "select count(*) from llm_answers";
    assert_eq!(db.one::<i64>(kept).await, 0);

    assert_eq!(put_settings(&client, json!(3600)).await, 200);
    judge(&client, "third").await;
    let again = judge(&client, "fourth").await;
    assert_eq!(model.calls(), 3);
    let llm = &again["output"]["llm"];
    assert_eq!(
        (&llm["calls"], &llm["cost_micros"]),
        (&json!(0), &json!(0)),
        "{llm}"
    );
    assert_eq!(llm["model"], "gpt-4.1-mini", "{llm}");
    let usage = client.get("/v1/usage").await;
    let days = usage.body["days"].as_array().expect("days");
    let cached = days
        .iter()
        .find(|day| day["tier"] == "cache")
        .expect("a row");
    assert_eq!(
        (&cached["requests"], &cached["cost_micros"]),
        (&json!(1), &json!(0))
    );

    db.execute("update llm_answers set created_at = now() - interval '1 hour'")
        .await;
    judge(&client, "fifth").await;
    assert_eq!(model.calls(), 4, "the answer is too old");

    let other = api.sign_in(&db).await;
    assert_eq!(put_settings(&other, json!(3600)).await, 200);
    judge(&other, "other").await;
    assert_eq!(model.calls(), 5, "another tenant has answers of its own");
}

#[tokio::test]
async fn kept_answers_are_deleted_with_the_emails_and_when_it_is_switched_off() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = model.worker(&db, &[]).await;
    let kept = "select count(*) from llm_answers";
    for seconds in [59, 86_401, 0] {
        assert_eq!(put_settings(&client, json!(seconds)).await, 422);
    }
    assert_eq!(put_settings(&client, json!(60)).await, 200);
    judge(&client, "first").await;
    assert_eq!(db.one::<i64>(kept).await, 1);
    db.execute("update messages set received_at = now() - interval '8 days'")
        .await;
    forget_old_emails(db.pool(), client.tenant, 100)
        .await
        .unwrap();
    assert_eq!(db.one::<i64>(kept).await, 0, "forgotten with the email");

    judge(&client, "second").await;
    assert_eq!(db.one::<i64>(kept).await, 1);
    assert_eq!(put_settings(&client, Value::Null).await, 200);
    assert_eq!(db.one::<i64>(kept).await, 0, "switched off");
}
