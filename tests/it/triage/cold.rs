//! Cold mail: a model may say `cold` of a sender whom the tenant does not know, and of nobody else.

use super::{Desk, Turn, answer};
use serde_json::json;

const OFFER: &[u8] =
    b"Message-ID: <9@sales.example>\nFrom: Chad <Chad@sales.example>\nTo: owner@acme.example\n\
    Subject: Grow your pipeline\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\nHave you got ten minutes?";

fn cold() -> Turn {
    answer(|reply| {
        reply["category"] = json!("cold");
        reply["disposition"] = json!("ignore");
        reply["actions"] = json!([]);
        reply["entities"] = json!({"people": [], "amounts": [], "dates": []});
    })
}

async fn result(desk: &Desk) -> String {
    let result = "select category || ' ' || disposition from triage_results";
    desk.office.db.one(result).await
}

#[tokio::test]
async fn message_of_an_unknown_sender_is_cold_when_the_model_says_so() {
    let desk = Desk::open(None, [cold()]).await;
    desk.triage(OFFER, |_| ()).await;
    assert_eq!(result(&desk).await, "cold ignore");
}

#[tokio::test]
async fn message_of_a_contact_is_not_cold_and_is_shown() {
    let desk = Desk::open(None, [cold()]).await;
    desk.office
        .db
        .execute(
            "insert into contacts (tenant_id, id, name, name_key, email, email_key)
             select id, gen_random_uuid(), 'Chad', 'chad', 'chad@sales.example', 'chad@sales.example' from tenants",
        )
        .await;
    desk.triage(OFFER, |_| ()).await;
    assert_eq!(result(&desk).await, "fyi notify");
}
