//! Contacts: one address is one contact.

use crate::support::records::{change, delete, listed, made, make, restore};
use crate::support::{TestDb, system::TestApi};
use serde_json::{Value, json};

#[tokio::test]
async fn address_is_one_contact_s_and_names_may_meet() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (client, stranger) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let ada = json!({"name": "Ada", "email": "Ada@example.com"});
    let id = made(&client, "contacts", &ada).await;
    let refused = make(
        &client,
        "contacts",
        &json!({"name": "Eda", "email": "ada@EXAMPLE.com"}),
    )
    .await;
    refused.assert_problem(409, "CONFLICT", "taken");
    for _ in 0..2 {
        made(&client, "contacts", &json!({"name": "Ada"})).await;
    }
    made(&stranger, "contacts", &ada).await;
    assert_eq!(
        listed(&client, "/v1/contacts?email=ADA@example.com", "id").await,
        std::slice::from_ref(&id)
    );
    assert_eq!(listed(&client, "/v1/contacts", "name").await.len(), 3);
    let path = format!("/v1/contacts/{id}");
    for answer in [
        stranger.get(&path).await,
        change(&stranger, &path, 1, &json!({"name": "x"})).await,
        delete(&stranger, &path, 1).await,
    ] {
        answer.assert_problem(404, "NOT_FOUND", "a stranger");
    }
}

#[tokio::test]
async fn contact_is_changed_deleted_and_restored_unless_its_address_was_taken() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = made(
        &client,
        "contacts",
        &json!({"name": "Ada", "email": "ada@example.com"}),
    )
    .await;
    let path = format!("/v1/contacts/{id}");
    let changed = change(
        &client,
        &path,
        1,
        &json!({"notes": "VIP", "name": "Ada L."}),
    )
    .await;
    assert_eq!(
        (
            &changed.body["email"],
            &changed.body["notes"],
            &changed.body["name"]
        ),
        (&json!("ada@example.com"), &json!("VIP"), &json!("Ada L."))
    );
    delete(&client, &path, 2).await;
    let other = made(
        &client,
        "contacts",
        &json!({"name": "Eda", "email": "ADA@example.com"}),
    )
    .await;
    let refused = restore(&client, &path, 3).await;
    refused.assert_problem(409, "CONFLICT", "taken");
    let freed = change(
        &client,
        &format!("/v1/contacts/{other}"),
        1,
        &json!({"email": null}),
    )
    .await;
    assert_eq!(freed.body["email"], Value::Null);
    assert_eq!(restore(&client, &path, 3).await.status, 200);
    for (body, pointer) in [
        (json!({"name": ""}), "/name"),
        (json!({"name": "x", "email": "nobody"}), "/email"),
    ] {
        let refused = make(&client, "contacts", &body).await;
        refused.assert_problem(422, "INVALID_BODY", pointer);
        assert_eq!(refused.body["errors"][0]["pointer"], pointer);
    }
    let refused = client.get("/v1/contacts?email=nobody").await;
    refused.assert_problem(400, "INVALID_PARAMETER", "no address");
    let entries: i64 = db
        .one("select count(*) from audit_entries where detail::text ~ 'ada|Ada'")
        .await;
    assert_eq!(entries, 0);
}
