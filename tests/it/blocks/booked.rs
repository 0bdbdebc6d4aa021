//! Blocks in a real calendar: what is agreed to is put there once at its time, and what is given up is taken out again.

use super::{at, block, decide, status};
use crate::{
    actions::{approved::approval_in, sending::TestApp},
    approvals::decision,
    calendar::connected,
    support::{
        Client,
        api_keys::key,
        client::{TestResponse, send},
        eventually,
        radicale::{PASSWORD, Radicale},
        wait::SOON,
    },
};
use futures::future::join_all;
use jobs::{
    commands::approvals::execute::abandon,
    domain::{api_key::KeyScope, session::Role},
};
use reqwest::Method;
use serde_json::{Value, json};

/// A block that was agreed to, from one time of the day to another.
async fn accepted(app: &TestApp, title: &str, start: &str, end: &str) -> String {
    let id = block(&app.client, title, start, end).await;
    let agreed = decide(&app.client, &id, "accept", 1).await;
    assert_eq!(agreed.status, 200, "{}", agreed.text);
    id
}

async fn read(app: &TestApp, id: &str) -> Value {
    app.client.get(&format!("/v1/blocks/{id}")).await.body
}

/// The block, once it is so.
async fn becomes(app: &TestApp, id: &str, wanted: &str) -> Value {
    eventually(SOON * 2, async || {
        let found = read(app, id).await;
        if found["status"] == wanted {
            Ok(found)
        } else {
            Err(found.to_string())
        }
    })
    .await
}

async fn book(app: &TestApp, id: &str, version: i32) -> TestResponse {
    decide(&app.client, id, "book", version).await
}

#[tokio::test]
async fn block_is_booked_once_however_often_it_is_asked_and_cancelled_with_its_event() {
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    connected(&app, &radicale.calendar, PASSWORD).await;
    let id = accepted(&app, "Write the report", "09:00", "10:30").await;
    let asked = join_all((0..8).map(|_| book(&app, &id, 2))).await;
    for answer in &asked {
        assert_eq!(answer.status, 202, "{}", answer.text);
        assert_eq!(answer.body["approval_id"], asked[0].body["approval_id"]);
        assert_eq!(answer.body["status"], "accepted");
    }
    assert_eq!(radicale.all().await.matches("BEGIN:VEVENT").count(), 0);
    let _worker = app.worker().await;
    let booked = becomes(&app, &id, "booked").await;
    let all = radicale.all().await;
    for line in [
        "DTSTART:20350604T090000Z",
        "DTEND:20350604T103000Z",
        "SUMMARY:Write the report",
    ] {
        assert_eq!(all.matches(line).count(), 1, "{line}\n{all}");
    }
    let uid = format!("UID:{}", booked["event_ref"].as_str().unwrap());
    assert!(all.contains(&uid), "{all}");
    let again = book(&app, &id, 3).await;
    assert_eq!(again.status, 200, "{}", again.text);
    let asked = decide(&app.client, &id, "cancel", 3).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    becomes(&app, &id, "cancelled").await;
    assert_eq!(radicale.all().await.matches("BEGIN:VEVENT").count(), 0);
    // Its time is free again, also in the calendar.
    let next = accepted(&app, "Write the report", "09:00", "10:30").await;
    book(&app, &next, 2).await;
    becomes(&app, &next, "booked").await;
    assert_eq!(radicale.all().await.matches("BEGIN:VEVENT").count(), 1);
    let entries: String = app
        .db
        .one("select string_agg(action, ' ' order by id) from audit_entries where action in ('block.booked', 'block.cancelled')")
        .await;
    assert_eq!(entries, "block.booked block.cancelled block.booked");
}

#[tokio::test]
async fn what_is_cancelled_before_a_worker_comes_is_never_put_into_the_calendar() {
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    connected(&app, &radicale.calendar, PASSWORD).await;
    let id = accepted(&app, "Think", "09:00", "10:00").await;
    let asked = book(&app, &id, 2).await;
    let approval = asked.body["approval_id"].as_str().unwrap().to_owned();
    let cancelled = decide(&app.client, &id, "cancel", 2).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
    assert_eq!(cancelled.body["status"], "cancelled");
    approval_in(&app.client, &approval, "rejected").await;
    // Who agrees to it after all agrees to an event for a block that is none any more.
    for (what, version) in [("undo", 2), ("approve", 3)] {
        let decided = send(decision(&app.client, &approval, what, version)).await;
        assert_eq!(decided.status, 200, "{}", decided.text);
    }
    let _worker = app.worker().await;
    // A later one is done: the earlier one would have been.
    let later = accepted(&app, "Write", "11:00", "12:00").await;
    book(&app, &later, 2).await;
    becomes(&app, &later, "booked").await;
    let all = radicale.all().await;
    assert!(!all.contains("Think"), "{all}");
}

#[tokio::test]
async fn event_that_somebody_has_moved_stays_and_its_block_is_cancelled_when_asked_twice() {
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    connected(&app, &radicale.calendar, PASSWORD).await;
    let _worker = app.worker().await;
    let id = accepted(&app, "Think", "09:00", "10:00").await;
    book(&app, &id, 2).await;
    let booked = becomes(&app, &id, "booked").await;
    let file = format!("{}.ics", booked["event_ref"].as_str().unwrap());
    let ours = radicale.get(&file).await.text().await.unwrap();
    let put = radicale
        .request(Method::PUT, &file)
        .header("content-type", "text/calendar")
        .body(ours.replace("SUMMARY:Think", "SUMMARY:Moved by hand"));
    assert!(put.send().await.unwrap().status().is_success());
    let asked = decide(&app.client, &id, "cancel", 3).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    let approval = booked["approval_id"].as_str().unwrap();
    let refused = eventually(SOON, async || {
        let found = app.client.get(&format!("/v1/approvals/{approval}")).await;
        if found.body["error"].is_null() {
            Err(found.text)
        } else {
            Ok(found.body)
        }
    })
    .await;
    assert_eq!(refused["error"]["code"], "moved_on", "{refused}");
    assert_eq!(status(&app.client, &id).await, "booked");
    assert!(radicale.all().await.contains("Moved by hand"));
    // Asked again, its time is free, and the event is the user's.
    let again = decide(&app.client, &id, "cancel", 3).await;
    assert_eq!(again.status, 200, "{}", again.text);
    assert_eq!(again.body["status"], "cancelled");
    assert!(radicale.all().await.contains("Moved by hand"));
}

#[tokio::test]
async fn block_is_booked_only_when_it_was_agreed_to_and_there_is_a_calendar() {
    let app = TestApp::open().await;
    let id = block(&app.client, "Think", "09:00", "10:00").await;
    book(&app, &id, 1)
        .await
        .assert_problem(409, "CONFLICT", "nobody has agreed");
    decide(&app.client, &id, "accept", 1).await;
    book(&app, &id, 1)
        .await
        .assert_problem(412, "PRECONDITION_FAILED", "an old version");
    book(&app, &id, 2)
        .await
        .assert_problem(409, "CONFLICT", "there is no calendar");
    let approvals: i64 = app.db.one("select count(*) from approvals").await;
    assert_eq!(approvals, 0);
}

#[tokio::test]
async fn booking_that_is_undone_by_its_approval_takes_the_block_with_it() {
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    connected(&app, &radicale.calendar, PASSWORD).await;
    let _worker = app.worker().await;
    let id = accepted(&app, "Think", "09:00", "10:00").await;
    book(&app, &id, 2).await;
    let booked = becomes(&app, &id, "booked").await;
    assert_eq!(booked["start_at"], at("09:00"));
    let approval = booked["approval_id"].as_str().unwrap();
    let asked = send(decision(&app.client, approval, "undo", 1)).await;
    assert_eq!(asked.status, 200, "{}", asked.text);
    becomes(&app, &id, "cancelled").await;
    assert_eq!(radicale.all().await.matches("BEGIN:VEVENT").count(), 0);
}

#[tokio::test]
async fn approval_of_a_booked_block_is_seen_and_decided_by_its_user_alone() {
    let app = TestApp::open().await;
    connected(&app, "https://cal.example.org/ada/work", PASSWORD).await;
    let id = accepted(&app, "Doctor", "09:00", "10:00").await;
    let asked = book(&app, &id, 2).await;
    let approval = asked.body["approval_id"].as_str().unwrap();
    let path = format!("/v1/approvals/{approval}");
    let listed = async |client: &Client| {
        let list = client.get("/v1/approvals").await;
        list.body["items"].as_array().unwrap().len()
    };
    let token = key(&app.db, app.client.tenant, KeyScope::ALL.iter().copied()).await;
    for other in [
        app.client.colleague(&app.db, Role::Owner).await,
        app.client.with_token(&token),
    ] {
        assert_eq!(listed(&other).await, 0);
        other
            .get(&path)
            .await
            .assert_problem(404, "NOT_FOUND", "read");
    }
    let colleague = app.client.colleague(&app.db, Role::Owner).await;
    for what in ["revoke", "reject", "undo"] {
        send(decision(&colleague, approval, what, 1))
            .await
            .assert_problem(404, "NOT_FOUND", what);
    }
    let work = json!({"approval_id": approval, "version": 1});
    let found = crate::actions::ask(&colleague, &work).await;
    assert!(found.status.is_client_error(), "{}", found.text);
    assert_eq!(crate::actions::ask(&app.client, &work).await.status, 200);
    assert_eq!(listed(&app.client).await, 1);
    assert_eq!(app.client.get(&path).await.status, 200);
}

#[tokio::test]
async fn block_whose_event_could_not_be_removed_is_cancelled_when_asked_again() {
    let app = TestApp::open().await;
    connected(&app, "https://cal.example.org/ada/work", PASSWORD).await;
    let id = accepted(&app, "Think", "09:00", "10:00").await;
    let asked = book(&app, &id, 2).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    // As after a first cancel whose undo failed.
    app.db
        .execute(
            "update blocks set status = 'booked', event_ref = 'event-1';
             update approvals set status = 'executed', failure_code = 'moved_on', failure_message = 'It was changed.'",
        )
        .await;
    let cancelled = decide(&app.client, &id, "cancel", 2).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
    assert_eq!(cancelled.body["status"], "cancelled");
}

#[tokio::test]
async fn cancel_whose_job_ended_halfway_removes_the_event_when_asked_again() {
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    connected(&app, &radicale.calendar, PASSWORD).await;
    let worker = app.worker().await;
    let id = accepted(&app, "Think", "09:00", "10:00").await;
    book(&app, &id, 2).await;
    let booked = becomes(&app, &id, "booked").await;
    let file = format!("{}.ics", booked["event_ref"].as_str().unwrap());
    drop(worker);
    let asked = decide(&app.client, &id, "cancel", 3).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    app.db
        .execute("update effects set status = 'compensating'; delete from jobs")
        .await;
    assert_eq!(abandon(app.db.pool(), 500).await.unwrap(), 1);
    assert_eq!(app.effect().await["status"], "compensation_failed");
    let audited = "select count(*) from audit_entries where action = 'effect.undone' and error_code = 'job_ended'";
    assert_eq!(app.db.one::<i64>(audited).await, 1);
    let _worker = app.worker().await;
    let again = decide(&app.client, &id, "cancel", 3).await;
    assert_eq!(again.status, 202, "{}", again.text);
    becomes(&app, &id, "cancelled").await;
    assert_eq!(radicale.get(&file).await.status(), 404);
}
