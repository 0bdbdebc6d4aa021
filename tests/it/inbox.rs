//! The inbox: who sees which items, in which order, and how an item leaves and returns.

use crate::support::records::seeing;
use crate::support::{
    Client, TestDb,
    client::{TestResponse, send},
    people::TestTenant,
    system::TestApi,
};
use base::TenantId;
use chrono::{DateTime, Utc};
use futures::future::join_all;
use jobs::{
    commands::{
        inbox::{self, ItemCommand},
        record::{RecordError, command::Caller},
    },
    domain::{
        InboxItemId, TaskId, UserId,
        inbox::{Bucket, ItemSource, ItemStep, NewItem, Until},
        judgement::Priority,
        name::Name,
        session::Role,
    },
    store::inbox_items,
};
use reqwest::Method;
use serde_json::{Value, json};

fn item(name: &str, priority: Priority, owner: Option<UserId>) -> NewItem {
    NewItem {
        owner,
        source: ItemSource::Email,
        dedupe_key: name.to_owned(),
        title: Name::parse(name, 200).unwrap(),
        rationale: "They ask.".to_owned(),
        priority,
        message: None,
        job: None,
    }
}

async fn put(db: &TestDb, tenant: TenantId, item: &NewItem) -> Option<InboxItemId> {
    let mut conn = db.pool().acquire().await.unwrap();
    inbox_items::insert(&mut conn, tenant, item).await.unwrap()
}

async fn act(
    client: &Client,
    id: InboxItemId,
    what: &str,
    seen: i32,
    body: Option<Value>,
) -> TestResponse {
    let request = seeing(
        client,
        Method::POST,
        &format!("/v1/inbox/{id}/{what}"),
        seen,
    );
    send(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

/// The titles of a part of the inbox.
async fn titles(client: &Client, part: &str) -> Vec<String> {
    let inbox = client.get("/v1/inbox").await;
    assert_eq!(inbox.status, 200, "{}", inbox.text);
    let items = inbox.body[part].as_array().unwrap();
    items
        .iter()
        .map(|item| item["title"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn five_are_seen_the_next_ten_are_at_hand_and_the_most_urgent_come_first() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    for n in 0..16 {
        put(
            &db,
            client.tenant,
            &item(&format!("m{n:02}"), Priority::Medium, None),
        )
        .await;
    }
    put(&db, client.tenant, &item("low", Priority::Low, None)).await;
    put(&db, client.tenant, &item("high", Priority::High, None)).await;
    put(&db, client.tenant, &item("urgent", Priority::Urgent, None)).await;
    assert_eq!(
        titles(&client, "visible").await,
        ["urgent", "high", "m00", "m01", "m02"]
    );
    let next = titles(&client, "next").await;
    assert_eq!(
        (next.len(), next[0].as_str(), next[9].as_str()),
        (10, "m03", "m12")
    );
    let inbox = client.get("/v1/inbox").await;
    assert_eq!(
        (&inbox.body["waiting"], &inbox.body["deferred"]),
        (&json!(19), &json!(0))
    );
    let offered: Vec<_> = inbox.body["defer_to"].as_array().unwrap().iter().collect();
    assert!(offered.iter().any(|offer| offer["bucket"] == "next_week"));
}

#[tokio::test]
async fn source_brings_the_same_thing_once_whatever_became_of_it() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (client, stranger) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let same = item("pay", Priority::High, None);
    let found = join_all((0..8).map(|_| put(&db, client.tenant, &same))).await;
    let ids: Vec<_> = found.into_iter().flatten().collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(act(&client, ids[0], "dismiss", 1, None).await.status, 200);
    assert_eq!(put(&db, client.tenant, &same).await, None);
    assert!(put(&db, stranger.tenant, &same).await.is_some());
    let manual = NewItem {
        source: ItemSource::Manual,
        ..same
    };
    assert!(put(&db, client.tenant, &manual).await.is_some());
}

#[tokio::test]
async fn item_is_its_owner_s_or_everybody_s_and_never_another_tenant_s() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (owner, stranger) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let colleague = owner.colleague(&db, Role::Member).await;
    let user = UserId(
        db.one("select user_id from sessions order by created_at desc limit 1")
            .await,
    );
    let private = put(
        &db,
        owner.tenant,
        &item("private", Priority::High, Some(user)),
    )
    .await
    .unwrap();
    put(&db, owner.tenant, &item("shared", Priority::Low, None)).await;
    assert_eq!(titles(&owner, "visible").await, ["shared"]);
    assert_eq!(titles(&colleague, "visible").await, ["private", "shared"]);
    assert!(titles(&stranger, "visible").await.is_empty());
    for client in [&owner, &stranger] {
        let read = client.get(&format!("/v1/inbox/{private}")).await;
        read.assert_problem(404, "NOT_FOUND", "read");
        let done = act(client, private, "complete", 1, None).await;
        done.assert_problem(404, "NOT_FOUND", "complete");
    }
    let auditor = owner.colleague(&db, Role::Auditor).await;
    let refused = act(&auditor, private, "complete", 1, None).await;
    refused.assert_problem(403, "FORBIDDEN", "an auditor");
    assert_eq!(
        act(&colleague, private, "complete", 1, None).await.status,
        200
    );
    for (client, lines) in [(&owner, 0), (&colleague, 1)] {
        let history = client.get("/v1/history?object_kind=inbox_item").await;
        assert_eq!(history.body["items"].as_array().unwrap().len(), lines);
    }
}

#[tokio::test]
async fn what_is_put_off_vanishes_and_comes_back_by_itself() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = put(&db, client.tenant, &item("pay", Priority::High, None))
        .await
        .unwrap();
    let deferred = act(
        &client,
        id,
        "defer",
        1,
        Some(json!({"bucket": "next_week"})),
    )
    .await;
    assert_eq!(
        (
            deferred.status.as_u16(),
            &deferred.body["state"],
            deferred.header("etag")
        ),
        (200, &json!("deferred"), Some("\"2\""))
    );
    assert!(deferred.body["defer_until"].is_string());
    assert!(titles(&client, "visible").await.is_empty());
    assert_eq!(client.get("/v1/inbox").await.body["deferred"], 1);
    db.execute("update inbox_items set defer_until = now()")
        .await;
    assert_eq!(titles(&client, "visible").await, ["pay"]);
    let read = client.get(&format!("/v1/inbox/{id}")).await;
    assert_eq!(
        (&read.body["state"], &read.body["defer_until"]),
        (&json!("open"), &Value::Null)
    );
    let inbox = client.get("/v1/inbox").await;
    assert_eq!(
        (&inbox.body["waiting"], &inbox.body["deferred"]),
        (&json!(1), &json!(0))
    );
    // Open again, so there is nothing to reopen.
    let refused = act(&client, id, "reopen", 2, None).await;
    refused.assert_problem(409, "CONFLICT", "reopen");
    let again = act(
        &client,
        id,
        "defer",
        2,
        Some(json!({"until": "tomorrow 09:00"})),
    )
    .await;
    assert_eq!(again.body["state"], "deferred");
    assert_eq!(
        act(&client, id, "reopen", 3, None).await.body["state"],
        "open"
    );
}

#[tokio::test]
async fn step_names_the_version_it_was_made_on_and_of_steps_at_once_one_is_taken() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = put(&db, client.tenant, &item("pay", Priority::High, None))
        .await
        .unwrap();
    let request = client.request(Method::POST, &format!("/v1/inbox/{id}/complete"));
    send(request)
        .await
        .assert_problem(428, "PRECONDITION_REQUIRED", "no If-Match");
    let answers = join_all((0..9).map(|n| {
        let what = ["complete", "dismiss", "complete"][n % 3];
        act(&client, id, what, 1, None)
    }))
    .await;
    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(taken, 1);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.assert_problem(412, "PRECONDITION_FAILED", "the others");
    }
    let refused = act(&client, id, "complete", 2, None).await;
    refused.assert_problem(409, "CONFLICT", "it is done");
    let history: i64 = db
        .one("select count(*) from history_entries where object_kind = 'inbox_item'")
        .await;
    assert_eq!(history, 1);
    let audited: i64 = db
        .one("select count(*) from audit_entries where action ~ '^inbox_item' and request_id is not null")
        .await;
    assert_eq!(audited, 1);
}

#[tokio::test]
async fn bad_moment_is_refused_with_a_pointer() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = put(&db, client.tenant, &item("pay", Priority::High, None))
        .await
        .unwrap();
    for (body, status, code) in [
        (json!({}), 422, "INVALID_BODY"),
        (json!({"until": "later"}), 422, "INVALID_BODY"),
        (json!({"bucket": "someday"}), 422, "INVALID_BODY"),
        (
            json!({"bucket": "tomorrow", "until": "tomorrow 09:00"}),
            422,
            "INVALID_BODY",
        ),
        (
            json!({"until": "2020-01-01T00:00:00Z"}),
            400,
            "INVALID_PARAMETER",
        ),
        (
            json!({"until": "2999-01-01T00:00:00Z"}),
            400,
            "INVALID_PARAMETER",
        ),
    ] {
        let refused = act(&client, id, "defer", 1, Some(body.clone())).await;
        refused.assert_problem(status, code, &body.to_string());
        assert!(
            refused.body["errors"][0]["pointer"].is_string(),
            "{}",
            refused.text
        );
    }
    assert_eq!(
        client.get(&format!("/v1/inbox/{id}")).await.body["version"],
        1
    );
}

#[tokio::test]
async fn bucket_is_meant_in_the_person_s_own_zone_and_refused_when_it_is_not_offered() {
    let acme = TestTenant::open().await;
    acme.db
        .execute("update users set timezone = 'America/New_York'")
        .await;
    let tenant = acme.owner.tenant;
    let id = put(&acme.db, tenant, &item("pay", Priority::High, None))
        .await
        .unwrap();
    let asking = Caller {
        session: &acme.owner,
        request_id: "req-inbox",
    };
    let defer = async |bucket, seen: i32, now: &str| {
        let now: DateTime<Utc> = now.parse().unwrap();
        let command = ItemCommand::Defer(Until::Bucket(bucket));
        inbox::execute(acme.db.pool(), asking, id, &seen.into(), command, now).await
    };
    // 16:30 and Thursday, there.
    for (bucket, now) in [
        (Bucket::Afternoon, "2026-11-23T21:30:00Z"),
        (Bucket::ThisWeek, "2026-11-27T03:00:00Z"),
    ] {
        let refused = defer(bucket, 1, now).await.unwrap_err();
        assert!(matches!(refused, RecordError::NotOffered(_)), "{refused:?}");
    }
    // Friday morning there: the next workday is Monday.
    let until = async |bucket, seen, now| {
        defer(bucket, seen, now)
            .await
            .unwrap()
            .defer_until
            .unwrap()
            .to_rfc3339()
    };
    let friday = "2099-11-27T15:00:00Z";
    assert_eq!(
        until(Bucket::Tomorrow, 1, friday).await,
        "2099-11-30T14:00:00+00:00"
    );
    assert_eq!(
        until(Bucket::Afternoon, 2, friday).await,
        "2099-11-27T18:00:00+00:00"
    );
}

#[tokio::test]
async fn item_becomes_a_task_inside_another_transaction_and_can_be_put_back() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let id = put(&db, tenant, &item("pay", Priority::High, None))
        .await
        .unwrap();
    let task = TaskId::new();
    db.execute(&format!(
        "insert into tasks (tenant_id, id, title, title_key, status, priority)
         values ('{tenant}', '{task}', 'Pay', 'pay', 'ready', 'high')"
    ))
    .await;
    let mut tx = db.pool().begin().await.unwrap();
    let changed = inbox::advance(&mut tx, tenant, None, id, None, ItemStep::Convert(task))
        .await
        .unwrap();
    assert_eq!(
        (changed.before.task, changed.after.task),
        (None, Some(task))
    );
    tx.commit().await.unwrap();
    let mut conn = db.pool().acquire().await.unwrap();
    let refused = inbox::advance(&mut conn, tenant, None, id, None, ItemStep::Complete).await;
    assert!(matches!(refused, Err(RecordError::NotNow { .. })));
    let back = inbox::advance(
        &mut conn,
        tenant,
        None,
        id,
        Some(&2.into()),
        ItemStep::Reopen,
    )
    .await
    .unwrap();
    assert_eq!(back.after.task, None);
}
