//! `/v1/memory` as a client sees it.

use crate::support::{
    Client, TestDb,
    client::{TestResponse, send},
    system::TestApi,
};
use jobs::domain::session::Role;
use reqwest::Method;
use serde_json::{Value, json};

async fn put(client: &Client, body: &Value, seen: Option<i32>) -> TestResponse {
    let mut request = client.request(Method::PUT, "/v1/memory").json(body);
    if let Some(version) = seen {
        request = request.header("If-Match", format!("\"{version}\""));
    }
    send(request).await
}

async fn ask(client: &Client, method: Method, path: &str, seen: i32) -> TestResponse {
    send(
        client
            .request(method, path)
            .header("If-Match", format!("\"{seen}\"")),
    )
    .await
}

fn sign_off(value: &str) -> Value {
    json!({"level": "procedural", "key": "sign-off", "value": value})
}

#[tokio::test]
async fn note_is_remembered_once_and_replaced_only_by_who_has_seen_it() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let first = put(&client, &sign_off("Cheers"), None).await;
    assert_eq!(
        (first.status.as_u16(), first.header("etag")),
        (201, Some("\"1\"")),
        "{}",
        first.text
    );
    let again = put(&client, &sign_off("Cheers"), None).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &first.body));
    put(&client, &sign_off("Best"), None).await.assert_problem(
        428,
        "PRECONDITION_REQUIRED",
        "unseen",
    );
    put(&client, &sign_off("Best"), Some(7))
        .await
        .assert_problem(412, "PRECONDITION_FAILED", "stale");
    let other = json!({"level": "procedural", "key": "greeting", "value": "Hi"});
    put(&client, &other, Some(1))
        .await
        .assert_problem(412, "PRECONDITION_FAILED", "there is none");
    let second = put(&client, &sign_off("Best"), Some(1)).await;
    assert_eq!(
        (second.status.as_u16(), second.header("etag")),
        (200, Some("\"2\""))
    );
    assert_ne!(second.body["id"], first.body["id"]);
    let listed = client.get("/v1/memory").await;
    assert_eq!(listed.body["items"], json!([second.body]));
    // A draft may have cited the former one.
    let former = client
        .get(&format!(
            "/v1/memory/{}",
            first.body["id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(
        (&former.body["status"], &former.body["value"]),
        (&json!("superseded"), &json!("Cheers"))
    );
}

#[tokio::test]
async fn pins_are_put_and_taken_and_what_is_deleted_is_gone_with_its_words() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let body = json!({"level": "episodic", "scope": "sender", "scope_value": "Ada@Client.com",
        "key": "last call", "value": {"what": "the heron contract"}});
    let stored = put(&client, &body, None).await;
    assert_eq!(stored.body["scope_value"], "ada@client.com");
    assert!(stored.body["expires_at"].is_string());
    let path = format!("/v1/memory/{}", stored.body["id"].as_str().unwrap());
    let pinned = ask(&client, Method::POST, &format!("{path}/pin"), 1).await;
    assert_eq!(
        (
            &pinned.body["pinned"],
            &pinned.body["version"],
            &pinned.body["expires_at"]
        ),
        (&json!(true), &json!(2), &Value::Null)
    );
    let again = ask(&client, Method::POST, &format!("{path}/pin"), 2).await;
    assert_eq!(again.body["version"], 2);
    for what in ["pin", "unpin"] {
        let refused = ask(&client, Method::POST, &format!("{path}/{what}"), 1).await;
        refused.assert_problem(412, "PRECONDITION_FAILED", what);
    }
    let free = ask(&client, Method::POST, &format!("{path}/unpin"), 2).await;
    assert!(free.body["expires_at"].is_string());
    send(client.request(Method::DELETE, &path))
        .await
        .assert_problem(428, "PRECONDITION_REQUIRED", "unseen");
    ask(&client, Method::DELETE, &path, 1).await.assert_problem(
        412,
        "PRECONDITION_FAILED",
        "stale",
    );
    let deleted = ask(&client, Method::DELETE, &path, 3).await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
    client
        .get(&path)
        .await
        .assert_problem(404, "NOT_FOUND", "after the end");
    ask(&client, Method::DELETE, &path, 3)
        .await
        .assert_problem(404, "NOT_FOUND", "twice");
    assert!(!db.dump().await.contains("heron"));
    // The key is free for something else.
    assert_eq!(put(&client, &body, None).await.status, 201);
}

#[tokio::test]
async fn list_is_paged_filtered_and_the_user_s_own() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let colleague = client.colleague(&db, Role::Member).await;
    for n in 0..4 {
        let note =
            json!({"level": "semantic", "key": format!("fact {n}"), "value": n, "pinned": n == 2});
        assert_eq!(put(&client, &note, None).await.status, 201);
    }
    let theirs = json!({"level": "semantic", "key": "fact 0", "value": "theirs"});
    assert_eq!(put(&colleague, &theirs, None).await.status, 201);
    let keys = |page: &TestResponse| -> Vec<String> {
        let items = page.body["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["key"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = client.get("/v1/memory?limit=3").await;
    assert_eq!(keys(&first), ["fact 3", "fact 2", "fact 1"]);
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = client
        .get(&format!("/v1/memory?limit=3&cursor={cursor}"))
        .await;
    assert_eq!(
        (keys(&second), &second.body["next_cursor"]),
        (vec!["fact 0".to_owned()], &Value::Null)
    );
    assert_eq!(
        keys(
            &client
                .get("/v1/memory?pinned=true&level=semantic&scope=global")
                .await
        ),
        ["fact 2"]
    );
    assert!(keys(&client.get("/v1/memory?level=episodic").await).is_empty());
    for refused in [
        colleague
            .get(&format!("/v1/memory?limit=3&cursor={cursor}"))
            .await,
        client
            .get(&format!("/v1/memory?pinned=true&cursor={cursor}"))
            .await,
        client.get("/v1/memory?level=all").await,
    ] {
        refused.assert_problem(
            400,
            "INVALID_PARAMETER",
            "another list's cursor, or no level",
        );
    }
}

#[tokio::test]
async fn another_user_s_memory_is_not_there() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let stored = put(&client, &sign_off("Cheers"), None).await;
    let path = format!("/v1/memory/{}", stored.body["id"].as_str().unwrap());
    for other in [
        client.colleague(&db, Role::Owner).await,
        api.sign_in(&db).await,
    ] {
        other
            .get(&path)
            .await
            .assert_problem(404, "NOT_FOUND", "read");
        ask(&other, Method::DELETE, &path, 1)
            .await
            .assert_problem(404, "NOT_FOUND", "delete");
        ask(&other, Method::POST, &format!("{path}/pin"), 1)
            .await
            .assert_problem(404, "NOT_FOUND", "pin");
        assert_eq!(other.get("/v1/memory").await.body["items"], json!([]));
    }
    client
        .get("/v1/memory/nonsense")
        .await
        .assert_problem(404, "NOT_FOUND", "no id");
    assert_eq!(client.get(&path).await.body, stored.body);
}

#[tokio::test]
async fn bad_note_is_refused_with_a_pointer() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let note = |over: Value| {
        let mut note = sign_off("Cheers");
        for (field, value) in over.as_object().unwrap() {
            note[field] = value.clone();
        }
        note
    };
    for (over, pointer) in [
        (json!({"level": "long-term"}), "/level"),
        (json!({"key": " "}), "/key"),
        (json!({"key": "k".repeat(201)}), "/key"),
        (json!({"value": null}), "/value"),
        (json!({"value": "v".repeat(4_000)}), "/value"),
        (json!({"scope": "sender"}), "/scope_value"),
        (json!({"scope_value": "x"}), "/scope_value"),
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), "/expires_at"),
        (json!({"provenance": "user"}), "/provenance"),
    ] {
        let refused = put(&client, &note(over.clone()), None).await;
        refused.assert_problem(422, "INVALID_BODY", &over.to_string());
        assert_eq!(
            refused.body["errors"][0]["pointer"], pointer,
            "{}",
            refused.text
        );
    }
    // Long when the database writes it out.
    let numbers = note(json!({"value": vec![1e300; 500]}));
    assert_eq!(put(&client, &numbers, None).await.status, 201);
}

#[tokio::test]
async fn what_is_done_to_the_memory_is_audited_and_told_without_its_words() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let body = json!({"level": "semantic", "scope": "topic", "scope_value": "heron", "key": "heron price", "value": "heron 7"});
    let stored = put(&client, &body, None).await;
    let path = format!("/v1/memory/{}", stored.body["id"].as_str().unwrap());
    let pinned = ask(&client, Method::POST, &format!("{path}/pin"), 1).await;
    let deleted = ask(&client, Method::DELETE, &path, 2).await;
    for (answer, action) in [
        (stored, "memory.stored"),
        (pinned, "memory.pinned"),
        (deleted, "memory.deleted"),
    ] {
        let request = answer.header("x-request-id").unwrap();
        let log = client.get(&format!("/v1/audit?request_id={request}")).await;
        assert_eq!(log.body["items"][0]["action"], action);
        assert!(!log.text.contains("heron"), "{}", log.text);
    }
    let entries: String = db
        .one("select string_agg(verb || ': ' || rationale, ', ' order by id) from history_entries where user_id is not null")
        .await;
    assert_eq!(
        entries,
        "stored: semantic memory, topic, pinned: semantic memory, topic, deleted: semantic memory, topic"
    );
}

#[tokio::test]
async fn auditor_has_a_memory_to_read_and_none_to_write() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let auditor = owner.colleague(&db, Role::Auditor).await;
    assert_eq!(auditor.get("/v1/memory").await.status, 200);
    put(&auditor, &sign_off("Cheers"), None)
        .await
        .assert_problem(403, "FORBIDDEN", "an auditor");
}
