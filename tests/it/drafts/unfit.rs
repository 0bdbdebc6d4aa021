//! A draft that was given up because of the model's answers.

use super::generated::post;
use crate::support::{
    TestDb,
    client::send,
    model::{FakeModel, Reply},
    system::TestApi,
};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn retried_draft_is_asked_for_anew_after_unfit_answers() {
    let db = TestDb::new().await;
    let unfit = Reply::Says("I cannot say.".into());
    let model = FakeModel::start([unfit.clone(), unfit, Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = model.worker(&db, &[]).await;
    let body = json!({"mode": "compose", "to": ["bob@client.example"], "intent": "Thank Bob."});
    let asked = post(&client, "/v1/jobs/draft", &body).await;
    let id = asked.body["id"].as_str().unwrap().to_owned();
    let given_up = client.finished(&id).await;
    assert_eq!(
        (&given_up["state"], &given_up["error"]["code"]),
        (&json!("discarded"), &json!("draft_unusable")),
        "{given_up}"
    );
    let kept: i64 = db.one("select count(*) from llm_checkpoints").await;
    assert_eq!((model.calls(), kept), (2, 0));

    let retry = format!("/v1/jobs/{id}/retry");
    let retried = send(client.request(Method::POST, &retry)).await;
    assert_eq!(retried.status, 202, "{}", retried.text);
    let drafted = client.finished(&id).await;
    assert_eq!(drafted["output"]["outcome"], "drafted", "{drafted}");
    assert_eq!(model.calls(), 3);
}
