//! Work that can wait is asked for as a cheaper request, counts at its price, and is done all the same where there is none.

use super::*;
use crate::{
    drafts::generated::post,
    lanes::email,
    support::{Client, client::TestResponse},
};
use serde_json::Value;

/// A model of the shipped prices with a cheaper tier.
const MODEL: (&str, &str) = ("LLM_MODEL", "gpt-5.4-mini");
/// What the 400 tokens in and 40 out of the fake model cost, in millionths of a dollar.
const FLEX: i64 = 240;
const STANDARD: i64 = 480;

async fn submit(client: &Client, n: usize, urgency: &str) -> TestResponse {
    let request = client.submission(&email(n), &format!("email-{n}"));
    send(request.query(&[("urgency", urgency)])).await
}

async fn finished(client: &Client, answer: &TestResponse) -> Value {
    assert_eq!(answer.status, 202, "{}", answer.text);
    let id = answer.body["id"].as_str().expect("an id");
    let job = client.finished(id).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    job
}

/// The requests that were recorded, as tier and cost, in their order.
async fn recorded(db: &TestDb) -> Vec<(String, i64)> {
    let sql = "select jsonb_agg(jsonb_build_array(tier, cost_micros) order by created_at, id) from llm_calls";
    let rows: Value = db.one(sql).await;
    serde_json::from_value(rows).expect("pairs")
}

#[tokio::test]
async fn email_that_can_wait_is_judged_at_the_cheaper_price() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = model.worker(&db, &[MODEL]).await;
    let soon = finished(&client, &submit(&client, 1, "soon").await).await;
    let now = finished(&client, &submit(&client, 2, "now").await).await;
    assert_eq!(model.field(0, "service_tier"), "flex");
    assert_eq!(model.field(1, "service_tier"), Value::Null);
    let cost = |job: &Value| job["output"]["llm"]["cost_micros"].as_i64();
    assert_eq!((cost(&soon), cost(&now)), (Some(FLEX), Some(STANDARD)));
    let expected = [("flex".to_owned(), FLEX), ("standard".to_owned(), STANDARD)];
    assert_eq!(recorded(&db).await, expected);

    let usage = client.get("/v1/usage").await.body;
    let by_tier = |tier: &str| {
        let days = usage["days"].as_array().expect("days");
        let day = days.iter().find(|day| day["tier"] == tier);
        day.and_then(|day| day["cost_micros"].as_i64())
    };
    assert_eq!(
        (by_tier("flex"), by_tier("standard")),
        (Some(FLEX), Some(STANDARD))
    );
}

#[tokio::test]
async fn email_without_room_for_it_is_judged_by_an_ordinary_request_in_the_same_attempt() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::LacksRoom]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = model.worker(&db, &[MODEL]).await;
    let job = finished(&client, &submit(&client, 1, "soon").await).await;
    assert_eq!(job["attempts"], 1, "{job}");
    assert_eq!(model.calls(), 2);
    assert_eq!(recorded(&db).await, [("standard".to_owned(), STANDARD)]);
    let failures: i64 = db
        .one("select coalesce(sum(failures), 0) from llm_lanes")
        .await;
    assert_eq!(failures, 0, "a provider without room is available");
}

#[tokio::test]
async fn draft_that_can_wait_is_cheaper_and_one_under_its_name_is_the_same_job() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = model.worker(&db, &[MODEL]).await;
    let draft = |urgency: &str| {
        json!({
            "mode": "compose", "to": ["bob@client.example"], "intent": "Thank Bob.", "external_id": "thanks",
            "urgency": urgency,
        })
    };
    let asked = post(&client, "/v1/jobs/draft", &draft("soon")).await;
    finished(&client, &asked).await;
    assert_eq!(recorded(&db).await, [("flex".to_owned(), FLEX)]);
    let again = post(&client, "/v1/jobs/draft", &draft("now")).await;
    assert_eq!(
        (again.status.as_u16(), &again.body["id"]),
        (200, &asked.body["id"])
    );
    let unknown = post(&client, "/v1/jobs/draft", &draft("yesterday")).await;
    assert_eq!(unknown.status, 422, "{}", unknown.text);
}

#[tokio::test]
async fn reply_to_an_email_that_can_wait_can_wait_too() {
    let db = TestDb::new().await;
    let verdict = crate::support::model::VERDICT.replace("notify", "respond");
    let model = FakeModel::start([Reply::Says(verdict), Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = model.worker(&db, &[MODEL]).await;
    finished(&client, &submit(&client, 1, "soon").await).await;
    model.asked(2).await;
    assert_eq!(model.field(1, "service_tier"), "flex");
}
