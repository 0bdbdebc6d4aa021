//! Cold mail: a model may say `cold` of a sender whom the tenant does not know, and of nobody else.

use super::{ModelTurn, TestWorker, answer};
use serde_json::json;

const OFFER: &[u8] =
    b"Message-ID: <9@sales.example>\nFrom: Chad <Chad@sales.example>\nTo: owner@acme.example\n\
    Subject: Grow your pipeline\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\nHave you got ten minutes?";

fn cold() -> ModelTurn {
    answer(|reply| {
        reply["category"] = json!("cold");
        reply["disposition"] = json!("ignore");
        reply["actions"] = json!([]);
        reply["entities"] = json!({"people": [], "amounts": [], "dates": []});
    })
}

async fn result(worker: &TestWorker) -> String {
    let result = "select category || ' ' || disposition from triage_results";
    worker.acme.db.one(result).await
}

#[tokio::test]
async fn message_of_an_unknown_sender_is_cold_when_the_model_says_so() {
    let worker = TestWorker::open(None, [cold()]).await;
    worker.triage(OFFER, |_| ()).await;
    assert_eq!(result(&worker).await, "cold ignore");
}

#[tokio::test]
async fn message_of_a_contact_is_not_cold_and_is_shown() {
    let worker = TestWorker::open(None, [cold()]).await;
    worker.acme
        .db
        .execute(
            "insert into contacts (tenant_id, id, name, name_key, email, email_key)
             select id, gen_random_uuid(), 'Chad', 'chad', 'chad@sales.example', 'chad@sales.example' from tenants",
        )
        .await;
    worker.triage(OFFER, |_| ()).await;
    assert_eq!(result(&worker).await, "fyi notify");
}
