//! Projects: named once in their tenant, and gone and back together with their tasks.

use crate::support::records::{change, delete, listed, made, make, restore};
use crate::support::{TestDb, system::TestApi};
use futures::future::join_all;
use serde_json::json;

#[tokio::test]
async fn name_is_one_project_s_however_it_is_written() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (client, stranger) = (api.sign_in(&db).await, api.sign_in(&db).await);
    made(&client, "projects", &json!({"name": "Møbel"})).await;
    let refused = make(&client, "projects", &json!({"name": " MØBEL "})).await;
    refused.assert_problem(409, "CONFLICT", "taken");
    assert!(refused.body["detail"].as_str().unwrap().contains("MØBEL"));
    made(&stranger, "projects", &json!({"name": "Møbel"})).await;
    let other = made(&client, "projects", &json!({"name": "Else"})).await;
    let path = format!("/v1/projects/{other}");
    let refused = change(&client, &path, 1, &json!({"name": "møbel"})).await;
    refused.assert_problem(409, "CONFLICT", "renamed");
    let changed = change(
        &client,
        &path,
        1,
        &json!({"name": "ELSE", "status": "done"}),
    )
    .await;
    assert_eq!(
        (&changed.body["name"], &changed.body["status"]),
        (&json!("ELSE"), &json!("done"))
    );
    assert_eq!(
        listed(&client, "/v1/projects?status=done", "name").await,
        ["ELSE"]
    );
    assert_eq!(listed(&stranger, "/v1/projects", "name").await, ["Møbel"]);
}

#[tokio::test]
async fn project_goes_with_its_tasks_and_comes_back_with_exactly_those() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let project = made(&client, "projects", &json!({"name": "Web"})).await;
    let task = |title: &str| json!({"title": title, "project_id": project});
    let kept = made(&client, "tasks", &task("StoredMessage")).await;
    let before = made(&client, "tasks", &task("Gone before")).await;
    let elsewhere = made(&client, "tasks", &json!({"title": "Elsewhere"})).await;
    delete(&client, &format!("/v1/tasks/{before}"), 1).await;

    let path = format!("/v1/projects/{project}");
    let gone = delete(&client, &path, 1).await;
    assert_eq!(gone.status, 200, "{}", gone.text);
    assert_eq!(
        listed(&client, "/v1/tasks", "id").await,
        std::slice::from_ref(&elsewhere)
    );
    let with: i64 = db
        .one("select (detail ->> 'others')::bigint from audit_entries where action = 'project.deleted'")
        .await;
    assert_eq!(with, 1);

    // A task does not come back alone into a project that is gone, and none is put there.
    let refused = restore(&client, &format!("/v1/tasks/{kept}"), 2).await;
    refused.assert_problem(409, "CONFLICT", "alone");
    let refused = restore(&client, &format!("/v1/tasks/{before}"), 2).await;
    refused.assert_problem(409, "CONFLICT", "alone, deleted before");
    let refused = make(&client, "tasks", &task("Late")).await;
    refused.assert_problem(422, "INVALID_BODY", "into it");
    let into = json!({"project_id": project});
    let refused = change(&client, &format!("/v1/tasks/{elsewhere}"), 1, &into).await;
    refused.assert_problem(422, "INVALID_BODY", "moved into it");

    assert_eq!(restore(&client, &path, 2).await.status, 200);
    assert_eq!(listed(&client, "/v1/tasks", "id").await, [elsewhere, kept]);
    let restored = restore(&client, &format!("/v1/tasks/{before}"), 2).await;
    assert_eq!(restored.status, 200, "{}", restored.text);
}

#[tokio::test]
async fn name_that_was_taken_meanwhile_is_not_restored_and_neither_are_the_tasks() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    made(
        &client,
        "tasks",
        &json!({"title": "Pay", "project": "Bills"}),
    )
    .await;
    let first = listed(&client, "/v1/projects", "id").await.remove(0);
    let path = format!("/v1/projects/{first}");
    delete(&client, &path, 1).await;
    made(&client, "projects", &json!({"name": "bills"})).await;
    let refused = restore(&client, &path, 2).await;
    refused.assert_problem(409, "CONFLICT", "the name");
    assert!(listed(&client, "/v1/tasks", "id").await.is_empty());
}

#[tokio::test]
async fn no_task_slips_into_a_project_that_is_being_deleted() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    for round in 0..4 {
        let project = made(&client, "projects", &json!({"name": format!("P{round}")})).await;
        let path = format!("/v1/projects/{project}");
        let answers = join_all((0..6).map(|n| {
            let (client, path, project) = (&client, &path, &project);
            async move {
                if n == 3 {
                    delete(client, path, 1).await
                } else {
                    let body = json!({"title": format!("T{n}"), "project_id": project});
                    make(client, "tasks", &body).await
                }
            }
        }))
        .await;
        assert!(
            answers
                .iter()
                .all(|answer| [200, 201, 422].contains(&answer.status.as_u16()))
        );
    }
    let stranded: i64 = db
        .one(
            "select count(*) from tasks t join projects p on p.tenant_id = t.tenant_id and p.id = t.project_id
             where t.deleted_at is null and p.deleted_at is not null",
        )
        .await;
    assert_eq!(stranded, 0);
}
