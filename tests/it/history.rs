//! `GET /v1/history`: what was decided and done, for those who may read it.

use crate::{
    approvals::{decide, seed::propose},
    support::{
        Client, TestDb,
        client::{TestResponse, send},
        system::TestApi,
    },
};
use jobs::domain::session::Role;
use reqwest::Method;
use serde_json::{Value, json};

fn entries(page: &TestResponse) -> Vec<(String, String)> {
    let items = page.body["items"].as_array().unwrap();
    let word = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
    items
        .iter()
        .map(|item| (word(item, "verb"), word(item, "object_kind")))
        .collect()
}

fn line(verb: &str, kind: &str) -> (String, String) {
    (verb.to_owned(), kind.to_owned())
}

async fn remember(client: &Client) {
    let note = json!({"level": "semantic", "key": "sign-off", "value": "Cheers"});
    let stored = send(client.request(Method::PUT, "/v1/memory").json(&note)).await;
    assert_eq!(stored.status, 201, "{}", stored.text);
}

#[tokio::test]
async fn each_reads_their_own_lines_and_those_of_everybody_in_the_tenant() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let colleague = owner.colleague(&db, Role::Auditor).await;
    let stranger = api.sign_in(&db).await;
    let id = propose(&db, owner.tenant, "Pay Ada").await;
    assert_eq!(decide(&owner, &id, "reject", 1).await.status, 200);
    remember(&owner).await;
    let own = owner.get("/v1/history").await;
    assert_eq!(
        entries(&own),
        [line("stored", "memory"), line("rejected", "approval")]
    );
    assert_eq!(
        (
            &own.body["items"][1]["rationale"],
            &own.body["items"][1]["object_id"]
        ),
        (&json!("Create a task"), &json!(id))
    );
    assert_eq!(
        entries(&colleague.get("/v1/history").await),
        [line("rejected", "approval")]
    );
    assert!(entries(&stranger.get("/v1/history").await).is_empty());
}

#[tokio::test]
async fn it_is_paged_and_filtered_by_object_verb_and_time() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let (first, second) = (
        propose(&db, client.tenant, "One").await,
        propose(&db, client.tenant, "Two").await,
    );
    for (id, what, version) in [
        (&first, "reject", 1),
        (&first, "undo", 1),
        (&second, "reject", 1),
    ] {
        assert_eq!(decide(&client, id, what, version).await.status, 200);
    }
    remember(&client).await;
    let page = client.get("/v1/history?limit=3").await;
    assert_eq!(entries(&page).len(), 3);
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let rest = client
        .get(&format!("/v1/history?limit=3&cursor={cursor}"))
        .await;
    assert_eq!(
        (entries(&rest), &rest.body["next_cursor"]),
        (vec![line("rejected", "approval")], &Value::Null)
    );
    let of_first = client
        .get(&format!(
            "/v1/history?object_kind=approval&object_id={first}"
        ))
        .await;
    assert_eq!(
        entries(&of_first),
        [line("reopened", "approval"), line("rejected", "approval")]
    );
    assert_eq!(
        entries(&client.get("/v1/history?verb=rejected").await).len(),
        2
    );
    assert_eq!(
        entries(&client.get("/v1/history?since=2020-01-01T00:00:00Z").await).len(),
        4
    );
    assert!(entries(&client.get("/v1/history?since=2100-01-01T00:00:00Z").await).is_empty());
    for bad in [
        format!("verb=rejected&cursor={cursor}"),
        "object_id=7".into(),
        "since=monday".into(),
    ] {
        let refused = client.get(&format!("/v1/history?{bad}")).await;
        refused.assert_problem(400, "INVALID_PARAMETER", &bad);
    }
}
