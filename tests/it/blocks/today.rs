//! A block for an inbox item: one for each user, however often and by whom it is requested.

use super::{decide, propose, waiting};
use crate::support::{
    Client, TestDb,
    client::{TestResponse, send},
    system::TestApi,
};
use futures::future::join_all;
use jobs::domain::session::Role;
use reqwest::Method;
use serde_json::{Value, json};

async fn add(client: &Client, id: &str, body: &Value) -> TestResponse {
    let path = format!("/v1/inbox/{id}/add-to-today");
    send(client.request(Method::POST, &path).json(body)).await
}

#[tokio::test]
async fn twenty_requests_to_add_an_item_at_once_make_one_block_recorded_and_audited_once() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = waiting(&db, &client, "Pay Ada").await;
    let body = json!({});
    let answers = join_all((0..20).map(|_| add(&client, &id, &body))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    let same = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((made, same), (1, 19));
    let block = &answers[0].body;
    assert!(
        answers
            .iter()
            .all(|answer| answer.body["id"] == block["id"])
    );
    assert_eq!(
        (
            &block["title"],
            &block["inbox_item_id"],
            &block["status"],
            &block["outside_hours"],
            answers[0].header("etag")
        ),
        (
            &json!("Pay Ada"),
            &json!(id),
            &json!("proposed"),
            &json!(false),
            Some("\"1\"")
        )
    );
    let written: String = db
        .one(
            "select (select count(*) from blocks) || ' ' ||
                 (select count(*) from audit_entries where action = 'block.proposed' and request_id is not null)
                 || ' ' || (select count(*) from history_entries where object_kind = 'block')",
        )
        .await;
    assert_eq!(written, "1 1 1");
    // A colleague's day is another one.
    let colleague = client.colleague(&db, Role::Member).await;
    assert_eq!(add(&colleague, &id, &json!({})).await.status, 201);
    // A rejected block may be requested again, with any duration.
    let first = block["id"].as_str().unwrap();
    assert_eq!(decide(&client, first, "reject", 1).await.status, 200);
    let anew = add(&client, &id, &json!({"minutes": 60})).await;
    assert_eq!(anew.status, 201, "{}", anew.text);
    let time = |field: &str| -> chrono::DateTime<chrono::Utc> {
        anew.body[field].as_str().unwrap().parse().unwrap()
    };
    assert_eq!((time("end_at") - time("start_at")).num_minutes(), 60);
}

#[tokio::test]
async fn item_that_is_settled_hidden_or_another_tenant_s_gets_no_time() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (client, stranger) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let id = waiting(&db, &client, "Pay Ada").await;
    for body in [json!({"minutes": 4}), json!({"minutes": 481})] {
        let refused = add(&client, &id, &body).await;
        refused.assert_problem(422, "INVALID_BODY", &body.to_string());
        assert_eq!(refused.body["errors"][0]["pointer"], "/minutes");
    }
    for unknown in [&id, "7", &uuid::Uuid::now_v7().to_string()] {
        add(&stranger, unknown, &json!({}))
            .await
            .assert_problem(404, "NOT_FOUND", unknown);
    }
    let body = json!({"title": "Theirs", "minutes": 30, "inbox_item_id": id});
    let refused = propose(&stranger, &body).await;
    refused.assert_problem(422, "INVALID_BODY", "another tenant's item");
    assert_eq!(refused.body["errors"][0]["pointer"], "/inbox_item_id");
    // A colleague's own.
    let colleague = client.colleague(&db, Role::Member).await;
    db.execute(
        "update inbox_items set owner_id = (select user_id from sessions order by created_at desc limit 1)",
    )
    .await;
    add(&client, &id, &json!({}))
        .await
        .assert_problem(404, "NOT_FOUND", "a colleague's own");
    propose(&client, &body)
        .await
        .assert_problem(422, "INVALID_BODY", "a colleague's own");
    let auditor = client.colleague(&db, Role::Auditor).await;
    add(&auditor, &id, &json!({}))
        .await
        .assert_problem(403, "FORBIDDEN", "an auditor");
    db.execute("update inbox_items set state = 'completed'")
        .await;
    let settled = add(&colleague, &id, &json!({})).await;
    settled.assert_problem(409, "CONFLICT", "it is done");
    assert!(settled.text.contains("completed"), "{}", settled.text);
    let blocks: i64 = db.one("select count(*) from blocks").await;
    assert_eq!(blocks, 0);
}
