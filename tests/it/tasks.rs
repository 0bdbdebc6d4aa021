//! Tasks: made once, titled once in their project, changed under their version.

use crate::support::records::{change, delete, listed, made, make, make_with_key, restore};
use crate::support::{Client, TestDb, client::send, system::TestApi};
use futures::future::join_all;
use jobs::domain::session::Role;
use reqwest::Method;
use serde_json::{Value, json};

async fn open() -> (TestDb, TestApi, Client) {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    (db, api, client)
}

#[tokio::test]
async fn task_is_made_with_what_was_said_and_the_usual_for_the_rest() {
    let (_db, _api, client) = open().await;
    let answer = make(&client, "tasks", &json!({"title": " Pay  Ada "})).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("etag")),
        (201, Some("\"1\""))
    );
    let id = answer.body["id"].as_str().unwrap();
    assert_eq!(
        answer.header("location"),
        Some(format!("/v1/tasks/{id}").as_str())
    );
    let read = client.get(&format!("/v1/tasks/{id}")).await;
    assert_eq!(
        (&read.body, read.header("etag")),
        (&answer.body, Some("\"1\""))
    );
    assert_eq!(
        (
            &read.body["title"],
            &read.body["status"],
            &read.body["priority"]
        ),
        (&json!("Pay Ada"), &json!("ready"), &json!("medium"))
    );
    let full = json!({
        "title": "Order paper", "project": "TestTenant", "status": "ToDo", "priority": "urgent", "due_on": "2026-12-04",
        "notes": "A4",
    });
    let full = make(&client, "tasks", &full).await;
    assert_eq!(full.status, 201, "{}", full.text);
    assert_eq!(
        (
            &full.body["status"],
            &full.body["due_on"],
            &full.body["notes"]
        ),
        (&json!("ready"), &json!("2026-12-04"), &json!("A4"))
    );
    let project = full.body["project_id"].as_str().unwrap();
    assert_eq!(listed(&client, "/v1/projects", "id").await, [project]);
}

#[tokio::test]
async fn same_request_makes_one_task_and_is_answered_with_the_same_bytes() {
    let (db, _api, client) = open().await;
    let body = json!({"title": "Pay"});
    let answers = join_all((0..8).map(|_| make_with_key(&client, "tasks", "k1", &body))).await;
    for answer in &answers {
        assert_eq!(
            (answer.status.as_u16(), &answer.text),
            (201, &answers[0].text)
        );
    }
    let replayed = answers
        .iter()
        .filter(|answer| answer.header("idempotent-replayed") == Some("true"));
    assert_eq!(replayed.count(), 7);
    assert_eq!(db.one::<i64>("select count(*) from tasks").await, 1);
    let other = make_with_key(&client, "tasks", "k1", &json!({"title": "Else"})).await;
    other.assert_problem(422, "IDEMPOTENCY_KEY_REUSED", "another body");
    let request = client.request(Method::POST, "/v1/tasks").json(&body);
    send(request)
        .await
        .assert_problem(400, "IDEMPOTENCY_KEY_MISSING", "no key");
}

#[tokio::test]
async fn refused_request_does_not_use_its_key_up() {
    let (_db, _api, client) = open().await;
    let first = made(&client, "tasks", &json!({"title": "Pay"})).await;
    let again = json!({"title": "PAY"});
    let refused = make_with_key(&client, "tasks", "k", &again).await;
    refused.assert_problem(409, "CONFLICT", "taken");
    delete(&client, &format!("/v1/tasks/{first}"), 1).await;
    assert_eq!(
        make_with_key(&client, "tasks", "k", &again).await.status,
        201
    );
}

#[tokio::test]
async fn title_is_its_own_in_its_project_however_it_is_written() {
    let (db, api, client) = open().await;
    let task = |title: &str, project: Option<&str>| json!({"title": title, "project": project});
    made(&client, "tasks", &task("Größe ändern", None)).await;
    made(&client, "tasks", &task("Größe ändern", Some("Web"))).await;
    for (title, project) in [("GRÖSSE ÄNDERN", None), ("größe  ändern", Some("WEB"))] {
        let refused = make(&client, "tasks", &task(&title.replace("SS", "ß"), project)).await;
        refused.assert_problem(409, "CONFLICT", title);
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.to_lowercase().contains("größe ändern"), "{detail}");
    }
    made(&client, "tasks", &task("Größe ändern", Some("Print"))).await;
    // Nobody else's business.
    let stranger = api.sign_in(&db).await;
    made(&stranger, "tasks", &task("Größe ändern", None)).await;
}

#[tokio::test]
async fn of_tasks_of_one_title_made_at_the_same_moment_one_is_made() {
    let (db, _api, client) = open().await;
    let body = json!({"title": "Pay", "project": "Bills"});
    let answers = join_all((0..12).map(|_| make(&client, "tasks", &body))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.assert_problem(409, "CONFLICT", "the others");
    }
    assert_eq!(db.one::<i64>("select count(*) from tasks").await, 1);
    assert_eq!(db.one::<i64>("select count(*) from projects").await, 1);
}

#[tokio::test]
async fn change_names_the_version_it_was_made_on_and_changes_only_what_it_names() {
    let (_db, _api, client) = open().await;
    let body = json!({"title": "Pay", "notes": "soon", "due_on": "2026-12-04", "project": "Bills"});
    let id = made(&client, "tasks", &body).await;
    let path = format!("/v1/tasks/{id}");
    let patch = json!({"status": "doing"});
    for header in [None, Some("*")] {
        let mut request = client.request(Method::PATCH, &path).json(&patch);
        if let Some(value) = header {
            request = request.header("If-Match", value);
        }
        let refused = send(request).await;
        refused.assert_problem(428, "PRECONDITION_REQUIRED", &format!("{header:?}"));
    }
    let changed = change(&client, &path, 1, &patch).await;
    assert_eq!(
        (changed.status.as_u16(), changed.header("etag")),
        (200, Some("\"2\""))
    );
    assert_eq!(
        (
            &changed.body["status"],
            &changed.body["title"],
            &changed.body["notes"],
            &changed.body["due_on"]
        ),
        (
            &json!("doing"),
            &json!("Pay"),
            &json!("soon"),
            &json!("2026-12-04")
        )
    );
    for stale in [
        change(&client, &path, 1, &patch).await,
        delete(&client, &path, 1).await,
    ] {
        stale.assert_problem(412, "PRECONDITION_FAILED", "version 1");
    }
    let cleared = json!({"notes": null, "due_on": null, "project_id": null, "title": "Pay Ada"});
    let cleared = change(&client, &path, 2, &cleared).await;
    assert_eq!(cleared.status, 200, "{}", cleared.text);
    for field in ["notes", "due_on", "project_id"] {
        assert_eq!(cleared.body[field], Value::Null, "{field}");
    }
    assert_eq!(
        (&cleared.body["status"], &cleared.body["title"]),
        (&json!("doing"), &json!("Pay Ada"))
    );
}

#[tokio::test]
async fn change_applies_if_one_of_the_versions_it_names_is_the_present() {
    let (_db, _api, client) = open().await;
    let id = made(&client, "tasks", &json!({"title": "Pay"})).await;
    let path = format!("/v1/tasks/{id}");
    let naming = async |etags: &str| {
        let request = client
            .request(Method::PATCH, &path)
            .header("If-Match", etags);
        send(request.json(&json!({"status": "doing"}))).await
    };
    for none in ["\"2\", \"3\"", "W/\"1\"", "\"2\", W/\"1\""] {
        let stale = naming(none).await;
        stale.assert_problem(412, "PRECONDITION_FAILED", none);
    }
    let changed = naming("\"7\", \"1\"").await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.header("etag"), Some("\"2\""));
}

#[tokio::test]
async fn change_that_names_nothing_leaves_the_version_and_is_not_recorded() {
    let (db, _api, client) = open().await;
    for (kind, body) in [
        ("tasks", json!({"title": "Pay"})),
        ("projects", json!({"name": "Bills"})),
        ("contacts", json!({"name": "Ada"})),
    ] {
        let id = made(&client, kind, &body).await;
        let path = format!("/v1/{kind}/{id}");
        let before = client.get(&path).await;
        let recorded =
            "select (select count(*) from audit_entries) + (select count(*) from history_entries)";
        let entries: i64 = db.one(recorded).await;
        let changed = change(&client, &path, 1, &json!({})).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        assert_eq!(changed.header("etag"), Some("\"1\""), "{kind}");
        assert_eq!(changed.body, before.body, "{kind}");
        assert_eq!(db.one::<i64>(recorded).await, entries, "{kind}");
        let stale = change(&client, &path, 2, &json!({})).await;
        stale.assert_problem(412, "PRECONDITION_FAILED", kind);
    }
}

#[tokio::test]
async fn of_changes_at_the_same_moment_one_is_made() {
    let (_db, _api, client) = open().await;
    let id = made(&client, "tasks", &json!({"title": "Pay"})).await;
    let path = format!("/v1/tasks/{id}");
    let answers = join_all((0..8).map(|n| {
        let (client, path) = (&client, &path);
        async move {
            match n % 2 {
                0 => change(client, path, 1, &json!({"notes": n.to_string()})).await,
                _ => delete(client, path, 1).await,
            }
        }
    }))
    .await;
    let made = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(made, 1);
    assert_eq!(client.get(&path).await.body["version"], 2);
}

#[tokio::test]
async fn title_that_was_taken_meanwhile_is_neither_given_nor_restored() {
    let (_db, _api, client) = open().await;
    let first = made(&client, "tasks", &json!({"title": "Pay"})).await;
    let path = format!("/v1/tasks/{first}");
    let gone = delete(&client, &path, 1).await;
    assert!(gone.body["deleted_at"].is_string(), "{}", gone.text);
    let second = made(&client, "tasks", &json!({"title": "pay"})).await;
    let refused = restore(&client, &path, 2).await;
    refused.assert_problem(409, "CONFLICT", "restore");
    let third = made(&client, "tasks", &json!({"title": "Else"})).await;
    let refused = change(
        &client,
        &format!("/v1/tasks/{third}"),
        1,
        &json!({"title": "PAY"}),
    )
    .await;
    refused.assert_problem(409, "CONFLICT", "rename");
    delete(&client, &format!("/v1/tasks/{second}"), 1).await;
    let back = restore(&client, &path, 2).await;
    assert_eq!(
        (back.status.as_u16(), &back.body["deleted_at"]),
        (200, &Value::Null)
    );
    let refused = restore(&client, &path, 3).await;
    refused.assert_problem(409, "CONFLICT", "not deleted");
}

#[tokio::test]
async fn what_is_deleted_is_read_and_not_listed_or_changed() {
    let (_db, _api, client) = open().await;
    let id = made(&client, "tasks", &json!({"title": "Pay"})).await;
    let path = format!("/v1/tasks/{id}");
    delete(&client, &path, 1).await;
    assert!(listed(&client, "/v1/tasks", "id").await.is_empty());
    assert_eq!(client.get(&path).await.header("etag"), Some("\"2\""));
    for refused in [
        change(&client, &path, 2, &json!({"title": "x"})).await,
        delete(&client, &path, 2).await,
    ] {
        refused.assert_problem(409, "CONFLICT", "deleted");
    }
}

#[tokio::test]
async fn list_is_paged_filtered_and_the_tenant_s_own() {
    let (db, api, client) = open().await;
    let stranger = api.sign_in(&db).await;
    made(&stranger, "tasks", &json!({"title": "Theirs"})).await;
    for n in 0..4 {
        let status = if n == 2 { "done" } else { "doing" };
        let project = (n < 2).then_some("P");
        made(
            &client,
            "tasks",
            &json!({"title": format!("T{n}"), "status": status, "project": project}),
        )
        .await;
    }
    let first = client.get("/v1/tasks?limit=3").await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    assert_eq!(first.body["items"].as_array().unwrap().len(), 3);
    let rest = client
        .get(&format!("/v1/tasks?limit=3&cursor={cursor}"))
        .await;
    assert_eq!(rest.body["items"][0]["title"], "T0");
    assert_eq!(rest.body["next_cursor"], Value::Null);
    assert_eq!(
        listed(&client, "/v1/tasks?status=done", "title").await,
        ["T2"]
    );
    let project = listed(&client, "/v1/projects", "id").await.remove(0);
    let of_project = format!("/v1/tasks?project={project}");
    assert_eq!(listed(&client, &of_project, "title").await, ["T1", "T0"]);
    assert!(listed(&stranger, &of_project, "title").await.is_empty());
    let refused = client
        .get(&format!("/v1/tasks?status=done&cursor={cursor}"))
        .await;
    refused.assert_problem(400, "INVALID_PARAMETER", "the cursor of another list");
}

#[tokio::test]
async fn another_tenant_s_task_and_project_are_not_there() {
    let (db, api, client) = open().await;
    let stranger = api.sign_in(&db).await;
    let id = made(
        &client,
        "tasks",
        &json!({"title": "Pay", "project": "Bills"}),
    )
    .await;
    let project = listed(&client, "/v1/projects", "id").await.remove(0);
    let path = format!("/v1/tasks/{id}");
    for refused in [
        stranger.get(&path).await,
        change(&stranger, &path, 1, &json!({"title": "x"})).await,
        delete(&stranger, &path, 1).await,
        restore(&stranger, &path, 1).await,
        delete(&stranger, &format!("/v1/projects/{project}"), 1).await,
        client.get("/v1/tasks/nonsense").await,
    ] {
        refused.assert_problem(404, "NOT_FOUND", &refused.text);
    }
    let refused = make(
        &stranger,
        "tasks",
        &json!({"title": "x", "project_id": project}),
    )
    .await;
    refused.assert_problem(422, "INVALID_BODY", "their project");
    assert_eq!(refused.body["errors"][0]["pointer"], "/project_id");
    assert_eq!(client.get(&path).await.body["version"], 1);
}

#[tokio::test]
async fn bad_body_is_refused_with_a_pointer() {
    let (_db, _api, client) = open().await;
    let nobody = "0198c1d2-0000-7000-8000-000000000000";
    for (body, pointer) in [
        (json!({}), "/title"),
        (json!({"title": " "}), "/title"),
        (json!({"title": "x".repeat(201)}), "/title"),
        (json!({"title": "a\u{7}b"}), "/title"),
        (json!({"title": "x", "status": "later"}), "/status"),
        (json!({"title": "x", "priority": "asap"}), "/priority"),
        (json!({"title": "x", "due_on": "Friday"}), "/due_on"),
        (json!({"title": "x", "notes": "n".repeat(1001)}), "/notes"),
        (json!({"title": "x", "project": ""}), "/project"),
        (
            json!({"title": "x", "project": "P", "project_id": nobody}),
            "/project",
        ),
        (json!({"title": "x", "project_id": nobody}), "/project_id"),
        (json!({"title": "x", "message_id": nobody}), "/message_id"),
        (json!({"title": "x", "colour": "red"}), "/colour"),
    ] {
        let refused = make(&client, "tasks", &body).await;
        refused.assert_problem(422, "INVALID_BODY", &body.to_string());
        let at = refused.body["errors"][0]["pointer"].as_str();
        assert_eq!(at, Some(pointer), "{}", refused.text);
    }
    let id = made(&client, "tasks", &json!({"title": "x"})).await;
    let refused = change(
        &client,
        &format!("/v1/tasks/{id}"),
        1,
        &json!({"title": ""}),
    )
    .await;
    refused.assert_problem(422, "INVALID_BODY", "a change");
}

#[tokio::test]
async fn every_change_is_audited_without_words_and_recorded_in_the_history() {
    let (db, _api, client) = open().await;
    let id = made(&client, "tasks", &json!({"title": "Pay Ada"})).await;
    let path = format!("/v1/tasks/{id}");
    let changed = change(&client, &path, 1, &json!({"notes": "secret words"})).await;
    delete(&client, &path, 2).await;
    restore(&client, &path, 3).await;
    let request = changed.header("x-request-id").unwrap();
    let log = client.get(&format!("/v1/audit?request_id={request}")).await;
    assert_eq!(
        (
            &log.body["items"][0]["action"],
            &log.body["items"][0]["resource_id"]
        ),
        (&json!("task.updated"), &json!(id))
    );
    let audited: String = db
        .one("select string_agg(action, ' ' order by id) from audit_entries where resource_kind = 'task'")
        .await;
    assert_eq!(
        audited,
        "task.created task.updated task.deleted task.restored"
    );
    let words: i64 = db
        .one("select count(*) from audit_entries where detail::text ~ 'Pay|secret'")
        .await;
    assert_eq!(words, 0);
    let entries: String = db
        .one("select string_agg(verb, ' ' order by id) from history_entries where object_kind = 'task'")
        .await;
    assert_eq!(entries, "created updated deleted restored");
}

#[tokio::test]
async fn auditor_reads_tasks_projects_and_contacts_and_changes_nothing() {
    let (db, _api, owner) = open().await;
    let id = made(&owner, "tasks", &json!({"title": "Pay"})).await;
    let path = format!("/v1/tasks/{id}");
    let auditor = owner.colleague(&db, Role::Auditor).await;
    assert_eq!(auditor.get(&path).await.status, 200);
    for refused in [
        make(&auditor, "tasks", &json!({"title": "x"})).await,
        change(&auditor, &path, 1, &json!({})).await,
        delete(&auditor, &path, 1).await,
    ] {
        refused.assert_problem(403, "FORBIDDEN", "an auditor");
    }
    let member = owner.colleague(&db, Role::Member).await;
    assert_eq!(delete(&member, &path, 1).await.status, 200);
}
