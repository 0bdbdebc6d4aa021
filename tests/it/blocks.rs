//! Blocks of the day over HTTP: approved blocks never overlap, however many approvals come at once and in any order
//! things are done.

mod booked;
mod passing;
mod properties;
mod today;

use crate::support::{
    Client, TestDb,
    client::{TestResponse, send},
    system::TestApi,
};
use futures::future::join_all;
use jobs::{
    domain::{
        inbox::{ItemSource, NewItem},
        judgement::Priority,
        name::Name,
        session::Role,
    },
    store::inbox_items,
};
use reqwest::Method;
use serde_json::{Value, json};

/// A day in the working hours of everybody in UTC: a Monday.
fn at(time: &str) -> String {
    format!("2035-06-04T{time}:00Z")
}

async fn propose(client: &Client, body: &Value) -> TestResponse {
    send(client.request(Method::POST, "/v1/blocks").json(body)).await
}

/// The id of a block from one time of that day to another.
pub(crate) async fn block(client: &Client, title: &str, start: &str, end: &str) -> String {
    let body = json!({"title": title, "start_at": at(start), "end_at": at(end)});
    let answer = propose(client, &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.body["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn decide(client: &Client, id: &str, what: &str, version: i32) -> TestResponse {
    let path = format!("/v1/blocks/{id}/{what}");
    let request = client.request(Method::POST, &path);
    send(request.header("If-Match", format!("\"{version}\""))).await
}

/// The id of an item in everybody's inbox.
pub(crate) async fn waiting(db: &TestDb, client: &Client, title: &str) -> String {
    let item = NewItem {
        owner: None,
        source: ItemSource::Manual,
        dedupe_key: title.to_owned(),
        title: Name::parse(title, 200).unwrap(),
        rationale: "Somebody asks.".to_owned(),
        priority: Priority::Medium,
        message: None,
        job: None,
    };
    let mut conn = db.pool().acquire().await.unwrap();
    let id = inbox_items::insert(&mut conn, client.tenant, &item).await;
    id.unwrap().unwrap().to_string()
}

async fn patch(client: &Client, id: &str, version: i32, body: &Value) -> TestResponse {
    let request = client.request(Method::PATCH, &format!("/v1/blocks/{id}"));
    send(
        request
            .header("If-Match", format!("\"{version}\""))
            .json(body),
    )
    .await
}

async fn status(client: &Client, id: &str) -> String {
    let answer = client.get(&format!("/v1/blocks/{id}")).await;
    answer.body["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn of_twenty_accepts_of_overlapping_blocks_at_once_exactly_those_win_that_do_not_overlap() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    // Four half hours, five blocks for each: one of each five can be agreed to.
    let mut ids = Vec::new();
    for n in 0..20 {
        let (start, end) = [
            ("09:00", "09:30"),
            ("09:30", "10:00"),
            ("10:00", "10:30"),
            ("10:30", "11:00"),
        ][n % 4];
        ids.push(block(&client, &format!("Block {n}"), start, end).await);
    }
    let answers = join_all(ids.iter().map(|id| decide(&client, id, "accept", 1))).await;
    let won = answers.iter().filter(|answer| answer.status == 200).count();
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.assert_problem(409, "CONFLICT", "its time is taken");
    }
    assert_eq!(won, 4);
    let overlaps: i64 = db
        .one(
            "select count(*) from blocks a join blocks b
                 on a.id < b.id and tstzrange(a.start_at, a.end_at) && tstzrange(b.start_at, b.end_at)
             where a.status = 'accepted' and b.status = 'accepted'",
        )
        .await;
    assert_eq!(overlaps, 0);
    let audited: i64 = db
        .one("select count(*) from audit_entries where action = 'block.accepted'")
        .await;
    assert_eq!(audited, 4);
}

#[tokio::test]
async fn table_refuses_an_overlap_whatever_the_code_believes() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let colleague = client.colleague(&db, Role::Member).await;
    let first = block(&client, "First", "09:00", "10:00").await;
    let second = block(&client, "Second", "09:30", "10:30").await;
    let theirs = block(&colleague, "Theirs", "09:00", "10:00").await;
    for (client, id) in [(&client, &first), (&colleague, &theirs)] {
        assert_eq!(decide(client, id, "accept", 1).await.status, 200);
    }
    let mut conn = db.pool().acquire().await.unwrap();
    let sql = format!("update blocks set status = 'accepted' where id = '{second}'");
    let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&mut *conn)
        .await
        .unwrap_err();
    let constraint = refused
        .as_database_error()
        .and_then(|error| error.constraint());
    assert_eq!(constraint, Some("blocks_no_overlap"));
}

#[tokio::test]
async fn what_is_for_one_inbox_item_is_one_block_while_it_is_open_however_often_it_is_asked_for() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let item = waiting(&db, &client, "Pay Ada").await;
    let body = json!({"title": "Pay Ada", "minutes": 30, "inbox_item_id": item});
    let answers = join_all((0..12).map(|_| propose(&client, &body))).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    let same = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((created, same), (1, 11));
    let id = answers[0].body["id"].as_str().unwrap().to_owned();
    assert!(answers.iter().all(|answer| answer.body["id"] == *id));
    assert_eq!(answers[0].body["outside_hours"], false);
    // Also after it was approved; and a new one after it was rejected.
    assert_eq!(decide(&client, &id, "accept", 1).await.status, 200);
    assert_eq!(propose(&client, &body).await.body["id"], *id);
    assert_eq!(decide(&client, &id, "cancel", 2).await.status, 200);
    let anew = propose(&client, &body).await;
    assert_eq!(anew.status, 201);
    assert_ne!(anew.body["id"], *id);
    // For the user who asks, and for nobody else.
    let colleague = client.colleague(&db, Role::Member).await;
    assert_eq!(propose(&colleague, &body).await.status, 201);
}

#[tokio::test]
async fn block_without_a_time_finds_a_free_one() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let mut taken: Vec<(String, String)> = Vec::new();
    for n in 0..4 {
        let answer = propose(
            &client,
            &json!({"title": format!("Task {n}"), "minutes": 240}),
        )
        .await;
        assert_eq!(answer.body["outside_hours"], false, "{}", answer.text);
        let time = |field: &str| answer.body[field].as_str().unwrap().to_owned();
        let span = (time("start_at"), time("end_at"));
        assert!(
            taken
                .iter()
                .all(|other| span.0 >= other.1 || other.0 >= span.1)
        );
        taken.push(span);
    }
}

#[tokio::test]
async fn working_hours_are_those_of_the_user_s_zone() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    db.execute("update users set timezone = 'America/New_York'")
        .await;
    let outside = async |start: &str, end: &str| {
        let id = block(&client, start, start, end).await;
        client.get(&format!("/v1/blocks/{id}")).await.body["outside_hours"].clone()
    };
    assert_eq!(outside("12:30", "13:30").await, true);
    assert_eq!(outside("13:00", "14:00").await, false);
    assert_eq!(outside("20:00", "21:00").await, false);
    assert_eq!(outside("20:30", "21:30").await, true);
}

#[tokio::test]
async fn choosing_one_plan_supersedes_the_others() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let set = uuid::Uuid::now_v7();
    let item = waiting(&db, &client, "Write").await;
    let mut ids = Vec::new();
    for (plan, start, end) in [
        ("focus", "09:00", "11:00"),
        ("balanced", "10:00", "11:00"),
        ("balanced", "14:00", "15:00"),
    ] {
        let mut body = json!({"title": format!("{plan} {start}"), "start_at": at(start), "end_at": at(end),
            "alternative": {"alternatives_id": set, "plan": plan}});
        if start != "14:00" {
            body["inbox_item_id"] = json!(item);
        }
        let answer = propose(&client, &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        ids.push(answer.body["id"].as_str().unwrap().to_owned());
    }
    let bystander = block(&client, "Something else", "12:00", "13:00").await;
    assert_eq!(decide(&client, &ids[1], "accept", 1).await.status, 200);
    let now = join_all(ids.iter().map(|id| status(&client, id))).await;
    assert_eq!(now, ["superseded", "accepted", "proposed"]);
    assert_eq!(status(&client, &bystander).await, "proposed");
    decide(&client, &ids[0], "accept", 2)
        .await
        .assert_problem(409, "CONFLICT", "superseded");
    assert_eq!(decide(&client, &ids[2], "accept", 1).await.status, 200);
}

#[tokio::test]
async fn decision_names_the_version_it_was_made_on_and_a_wrong_state_is_named() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = block(&client, "Write", "09:00", "10:00").await;
    let path = format!("/v1/blocks/{id}/accept");
    send(client.request(Method::POST, &path))
        .await
        .assert_problem(428, "PRECONDITION_REQUIRED", "unseen");
    let moved = patch(
        &client,
        &id,
        1,
        &json!({"start_at": at("16:30"), "kind": "admin"}),
    )
    .await;
    assert_eq!(
        (
            &moved.body["end_at"],
            &moved.body["outside_hours"],
            &moved.body["kind"],
            &moved.body["title"]
        ),
        (
            &json!(at("17:30")),
            &json!(true),
            &json!("admin"),
            &json!("Write")
        )
    );
    assert_eq!(moved.header("etag"), Some("\"2\""));
    decide(&client, &id, "accept", 1)
        .await
        .assert_problem(412, "PRECONDITION_FAILED", "stale");
    assert_eq!(
        decide(&client, &id, "reject", 2).await.body["status"],
        "rejected"
    );
    for refused in [
        decide(&client, &id, "accept", 3).await,
        patch(&client, &id, 3, &json!({})).await,
    ] {
        refused.assert_problem(409, "CONFLICT", "after a rejection");
        assert!(
            refused.body["detail"]
                .as_str()
                .unwrap()
                .contains("rejected")
        );
    }
    decide(&client, &id, "cancel", 3)
        .await
        .assert_problem(409, "CONFLICT", "never agreed to");
}

#[tokio::test]
async fn bad_block_is_refused_with_a_pointer() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let (start, end) = (at("09:00"), at("10:00"));
    for (body, pointer) in [
        (json!({"title": " ", "minutes": 30}), "/title"),
        (json!({"title": "t".repeat(201), "minutes": 30}), "/title"),
        (json!({"title": "x"}), "/start_at"),
        (json!({"title": "x", "start_at": start}), "/start_at"),
        (
            json!({"title": "x", "start_at": start, "end_at": end, "minutes": 5}),
            "/start_at",
        ),
        (
            json!({"title": "x", "start_at": end, "end_at": start}),
            "/end_at",
        ),
        (
            json!({"title": "x", "start_at": "2035-06-04T09:00:00.0000001Z", "end_at": "2035-06-04T09:00:00.0000002Z"}),
            "/end_at",
        ),
        (json!({"title": "x", "minutes": 0}), "/minutes"),
        (
            json!({"title": "x", "minutes": 30, "kind": "work"}),
            "/kind",
        ),
        (
            json!({"title": "x", "minutes": 30, "status": "booked"}),
            "/status",
        ),
        (
            json!({"title": "x", "minutes": 30, "inbox_item_id": "7"}),
            "/inbox_item_id",
        ),
        (
            json!({"title": "x", "minutes": 30, "alternative": {"alternatives_id": uuid::Uuid::nil(), "plan": ""}}),
            "/alternative/plan",
        ),
    ] {
        let refused = propose(&client, &body).await;
        refused.assert_problem(422, "INVALID_BODY", &body.to_string());
        assert_eq!(
            refused.body["errors"][0]["pointer"], pointer,
            "{}",
            refused.text
        );
    }
    let past =
        json!({"title": "x", "start_at": "2020-01-01T09:00:00Z", "end_at": "2020-01-01T10:00:00Z"});
    propose(&client, &past)
        .await
        .assert_problem(409, "CONFLICT", "in the past");
}

#[tokio::test]
async fn list_is_paged_filtered_and_the_user_s_own() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let mut ids = Vec::new();
    for (title, start, end) in [
        ("a", "09:00", "10:00"),
        ("b", "10:00", "11:00"),
        ("c", "11:00", "12:00"),
    ] {
        ids.push(block(&client, title, start, end).await);
    }
    ids.reverse();
    let seen = |page: &TestResponse| -> Vec<String> {
        let items = page.body["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = client.get("/v1/blocks?limit=2").await;
    assert_eq!(seen(&first), ids[..2]);
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = client
        .get(&format!("/v1/blocks?limit=2&cursor={cursor}"))
        .await;
    assert_eq!(
        (seen(&second), &second.body["next_cursor"]),
        (ids[2..].to_vec(), &Value::Null)
    );
    let middle = format!(
        "/v1/blocks?status=proposed&from={}&until={}",
        at("10:00"),
        at("11:00")
    );
    assert_eq!(seen(&client.get(&middle).await), ids[1..2]);
    for other in [
        client.colleague(&db, Role::Owner).await,
        api.sign_in(&db).await,
    ] {
        assert!(seen(&other.get("/v1/blocks").await).is_empty());
        other
            .get(&format!("/v1/blocks/{}", ids[0]))
            .await
            .assert_problem(404, "NOT_FOUND", "read");
        for what in ["accept", "reject", "cancel"] {
            decide(&other, &ids[0], what, 1)
                .await
                .assert_problem(404, "NOT_FOUND", what);
        }
        patch(&other, &ids[0], 1, &json!({}))
            .await
            .assert_problem(404, "NOT_FOUND", "patch");
    }
    let auditor = client.colleague(&db, Role::Auditor).await;
    decide(&auditor, &ids[0], "accept", 1)
        .await
        .assert_problem(403, "FORBIDDEN", "an auditor");
}
