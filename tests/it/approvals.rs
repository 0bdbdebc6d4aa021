//! Approvals over HTTP: every decision names the version it was made on, and no state is left but by the one table.

mod expiry;
mod locks;
pub(crate) mod seed;

use crate::support::{
    Client, TestDb,
    client::{TestResponse, send},
    system::TestApi,
};
use futures::future::join_all;
use jobs::domain::session::Role;
use reqwest::Method;
use seed::propose;
use serde_json::{Value, json};

/// A decision about `version`, not sent yet.
pub(crate) fn decision(
    client: &Client,
    id: &str,
    what: &str,
    version: i32,
) -> reqwest::RequestBuilder {
    let path = format!("/v1/approvals/{id}/{what}");
    client
        .request(Method::POST, &path)
        .header("If-Match", format!("\"{version}\""))
}

pub(crate) async fn decide(client: &Client, id: &str, what: &str, version: i32) -> TestResponse {
    send(decision(client, id, what, version)).await
}

async fn edit(client: &Client, id: &str, version: i32, patch: Value) -> TestResponse {
    send(decision(client, id, "edit", version).json(&json!({ "patch": patch }))).await
}

#[tokio::test]
async fn approval_is_read_with_everything_a_person_needs_to_decide() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = propose(&db, client.tenant, "Pay Ada").await;
    let read = client.get(&format!("/v1/approvals/{id}")).await;
    assert_eq!(
        (read.status.as_u16(), read.header("etag")),
        (200, Some("\"1\""))
    );
    assert_eq!(
        (
            &read.body["kind"],
            &read.body["status"],
            &read.body["summary"],
            &read.body["risk"]
        ),
        (
            &json!("create_task"),
            &json!("proposed"),
            &json!("Pay Ada"),
            &json!("medium")
        )
    );
    assert_eq!(read.body["payload"]["params"], json!({"title": "Pay Ada"}));
    assert_eq!(
        read.body["message"],
        json!({
            "id": read.body["payload"]["source_ids"]["email_message_id"],
            "from": null,
            "subject": null,
        }),
        "an email that was not triaged"
    );
    assert_eq!(read.body["confidence"], 0.9);
    assert_eq!(read.body["actions"], json!(["approve", "edit", "reject"]));
}

#[tokio::test]
async fn list_is_paged_filtered_and_the_tenant_s_own() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let stranger = api.sign_in(&db).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(propose(&db, client.tenant, &format!("Task {n}")).await);
    }
    propose(&db, stranger.tenant, "Theirs").await;
    ids.reverse();
    assert_eq!(decide(&client, &ids[1], "reject", 1).await.status, 200);
    let seen = |page: &TestResponse| -> Vec<String> {
        let items = page.body["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = client.get("/v1/approvals?limit=3").await;
    assert_eq!(seen(&first), ids[..3]);
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = client
        .get(&format!("/v1/approvals?limit=3&cursor={cursor}"))
        .await;
    assert_eq!(seen(&second), ids[3..]);
    assert_eq!(second.body["next_cursor"], Value::Null);
    let rejected = client
        .get("/v1/approvals?status=rejected&kind=create_task")
        .await;
    assert_eq!(seen(&rejected), [ids[1].clone()]);
    assert!(seen(&client.get("/v1/approvals?kind=send").await).is_empty());
    let refused = client
        .get(&format!("/v1/approvals?status=rejected&cursor={cursor}"))
        .await;
    refused.assert_problem(400, "INVALID_PARAMETER", "the cursor of another list");
    let refused = client.get("/v1/approvals?status=done").await;
    refused.assert_problem(400, "INVALID_PARAMETER", "no such status");
}

#[tokio::test]
async fn another_tenant_s_approval_is_not_there() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let stranger = api.sign_in(&db).await;
    let id = propose(&db, client.tenant, "Pay").await;
    let read = stranger.get(&format!("/v1/approvals/{id}")).await;
    read.assert_problem(404, "NOT_FOUND", "read");
    for what in ["reject", "undo"] {
        decide(&stranger, &id, what, 1)
            .await
            .assert_problem(404, "NOT_FOUND", what);
    }
    let edited = edit(&stranger, &id, 1, json!({"title": "x"})).await;
    edited.assert_problem(404, "NOT_FOUND", "edit");
    for id in ["0198c1d2-0000-7000-8000-000000000000", "nonsense"] {
        decide(&client, id, "reject", 1)
            .await
            .assert_problem(404, "NOT_FOUND", id);
    }
    let now = client.get(&format!("/v1/approvals/{id}")).await;
    assert_eq!(
        (&now.body["status"], &now.body["version"]),
        (&json!("proposed"), &json!(1))
    );
}

#[tokio::test]
async fn decision_names_the_version_it_was_made_on() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = propose(&db, client.tenant, "Pay").await;
    let path = format!("/v1/approvals/{id}/reject");
    for header in [None, Some("*")] {
        let mut request = client.request(Method::POST, &path);
        if let Some(value) = header {
            request = request.header("If-Match", value);
        }
        send(request)
            .await
            .assert_problem(428, "PRECONDITION_REQUIRED", &format!("{header:?}"));
    }
    let edited = edit(
        &client,
        &id,
        1,
        json!({"title": "Pay Ada", "due": "Friday"}),
    )
    .await;
    assert_eq!(
        (edited.status.as_u16(), edited.header("etag")),
        (200, Some("\"2\""))
    );
    assert_eq!(
        edited.body["payload"]["params"],
        json!({"title": "Pay Ada", "due": "Friday"})
    );
    assert_eq!(
        (&edited.body["summary"], &edited.body["status"]),
        (&json!("Pay Ada"), &json!("proposed"))
    );
    decide(&client, &id, "reject", 1)
        .await
        .assert_problem(412, "PRECONDITION_FAILED", "version 1");
    assert_eq!(
        decide(&client, &id, "reject", 2).await.body["status"],
        "rejected"
    );
}

#[tokio::test]
async fn edit_rehashes_what_would_be_executed() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = propose(&db, client.tenant, "Pay").await;
    let edited = edit(&client, &id, 1, json!({"title": "Pay Ada"})).await;
    let hash = jobs::domain::action::canonical_sha256(&edited.body["payload"]);
    let stored: Vec<u8> = db.one("select payload_hash from approvals").await;
    assert_eq!(stored, hash);
}

#[tokio::test]
async fn bad_edit_is_refused_with_pointers_and_changes_nothing() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = propose(&db, client.tenant, "Pay").await;
    let refused = edit(
        &client,
        &id,
        1,
        json!({"title": null, "a/b": "x", "due": []}),
    )
    .await;
    refused.assert_problem(422, "INVALID_BODY", "three faults");
    let faults: Vec<_> = refused.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            (
                error["pointer"].as_str().unwrap(),
                error["code"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        faults,
        [
            ("/patch/title", "MISSING_FIELD"),
            ("/patch/due", "NOT_TEXT"),
            ("/patch/a~1b", "UNKNOWN_FIELD")
        ]
    );
    for (body, status, code) in [
        (json!({}), 422, "INVALID_BODY"),
        (json!({"patch": "x"}), 422, "INVALID_BODY"),
        (json!({"patch": {}, "title": "x"}), 422, "INVALID_BODY"),
        (
            json!({"patch": {"title": "a\u{0}b"}}),
            400,
            "MALFORMED_JSON",
        ),
    ] {
        let refused = send(decision(&client, &id, "edit", 1).json(&body)).await;
        refused.assert_problem(status, code, &body.to_string());
    }
    let now = client.get(&format!("/v1/approvals/{id}")).await;
    assert_eq!(
        (&now.body["version"], &now.body["summary"]),
        (&json!(1), &json!("Pay"))
    );
}

#[tokio::test]
async fn what_was_skipped_is_only_undone_and_a_decision_on_the_first_round_is_stale_in_the_second()
{
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = propose(&db, client.tenant, "Pay").await;
    decide(&client, &id, "undo", 1)
        .await
        .assert_problem(409, "CONFLICT", "nothing to undo");
    let rejected = decide(&client, &id, "reject", 1).await;
    assert!(rejected.body["decided_by"].is_string() && rejected.body["decided_at"].is_string());
    for refused in [
        decide(&client, &id, "reject", 1).await,
        edit(&client, &id, 1, json!({})).await,
    ] {
        refused.assert_problem(409, "CONFLICT", "after a rejection");
        assert!(
            refused.body["detail"]
                .as_str()
                .unwrap()
                .contains("rejected"),
            "{}",
            refused.text
        );
    }
    let back = decide(&client, &id, "undo", 1).await;
    assert_eq!(
        (&back.body["status"], &back.body["version"]),
        (&json!("proposed"), &json!(2))
    );
    assert_eq!(
        (&back.body["decided_by"], &back.body["decided_at"]),
        (&Value::Null, &Value::Null)
    );
    decide(&client, &id, "reject", 1)
        .await
        .assert_problem(412, "PRECONDITION_FAILED", "round one");
    assert_eq!(decide(&client, &id, "reject", 2).await.status, 200);
}

#[tokio::test]
async fn of_decisions_at_the_same_moment_one_is_made() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = propose(&db, client.tenant, "Pay").await;
    let answers = join_all((0..12).map(|n| {
        let (client, id) = (&client, &id);
        async move {
            if n % 2 == 0 {
                decide(client, id, "reject", 1).await
            } else {
                edit(client, id, 1, json!({"title": format!("Task {n}")})).await
            }
        }
    }))
    .await;
    let made = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(made, 1);
    let refusals = answers
        .iter()
        .filter(|answer| [409, 412].contains(&answer.status.as_u16()));
    assert_eq!(refusals.count(), 11);
    let entries: i64 = db
        .one("select count(*) from history_entries where verb in ('rejected', 'edited')")
        .await;
    assert_eq!(entries, 1);
}

#[tokio::test]
async fn every_decision_is_in_the_audit_log_under_its_request_and_holds_no_words() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = propose(&db, client.tenant, "Pay Ada").await;
    let mut requests = Vec::new();
    for answer in [
        edit(&client, &id, 1, json!({"title": "Pay Grace"})).await,
        decide(&client, &id, "reject", 2).await,
        decide(&client, &id, "undo", 2).await,
    ] {
        assert_eq!(answer.status, 200, "{}", answer.text);
        requests.push(answer.header("x-request-id").unwrap().to_owned());
    }
    for (request, action) in
        requests
            .iter()
            .zip(["approval.edited", "approval.rejected", "approval.reopened"])
    {
        let log = client.get(&format!("/v1/audit?request_id={request}")).await;
        let entry = &log.body["items"][0];
        assert_eq!(
            (&entry["action"], &entry["resource_id"]),
            (&json!(action), &json!(id))
        );
        assert_eq!(
            (&entry["actor_kind"], &entry["outcome"]),
            (&json!("user"), &json!("ok"))
        );
        assert!(!log.text.contains("Pay"), "{}", log.text);
    }
    let entries: String = db
        .one("select string_agg(verb, ' ' order by id) from history_entries")
        .await;
    assert_eq!(entries, "edited rejected reopened");
}

#[tokio::test]
async fn auditor_reads_approvals_and_decides_none() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let id = propose(&db, owner.tenant, "Pay").await;
    let auditor = owner.colleague(&db, Role::Auditor).await;
    let member = owner.colleague(&db, Role::Member).await;
    assert_eq!(
        auditor.get(&format!("/v1/approvals/{id}")).await.status,
        200
    );
    decide(&auditor, &id, "reject", 1)
        .await
        .assert_problem(403, "FORBIDDEN", "an auditor");
    assert_eq!(decide(&member, &id, "reject", 1).await.status, 200);
}

#[tokio::test]
async fn choice_that_is_not_offered_is_refused() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = propose(&db, client.tenant, "Pay").await;
    db.execute("update approvals set actions = '{approve}'")
        .await;
    decide(&client, &id, "reject", 1)
        .await
        .assert_problem(409, "CONFLICT", "reject");
    edit(&client, &id, 1, json!({}))
        .await
        .assert_problem(409, "CONFLICT", "edit");
}
