//! What a user has answered by another program, or wants otherwise, is not sent, however late they say so.

use super::generated::{done, message};
use crate::{
    actions::{
        approved::approval_in,
        sending::{KEYS, TestApp},
    },
    approvals::{decide, decision},
    support::{
        Client, TestDb,
        client::send,
        system::{TestApi, Worker},
    },
};
use base::clock::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};

/// An app whose user writes by the address of their account.
async fn open_app() -> TestApp {
    let app = TestApp::open().await;
    app.db
        .execute("update users set email = 'owner@acme.example'")
        .await;
    app
}

/// A draft that answers `<1@x.example>`; its path and that of its approval.
struct Written {
    id: String,
    approval: String,
}

async fn written(client: &Client, subject: &str, payload: Value) -> Written {
    let mut body = json!({"mode": "reply", "message_id": message(client, subject).await});
    for (field, value) in payload.as_object().unwrap() {
        body[field] = value.clone();
    }
    let output = done(client, "/v1/jobs/draft", &body).await;
    assert_eq!(output["outcome"], "drafted", "{output}");
    Written {
        id: output["draft_id"].as_str().unwrap().into(),
        approval: output["approval_id"].as_str().unwrap().into(),
    }
}

fn hours(hours: i64) -> DateTime<Utc> {
    Clock::System.now() + TimeDelta::hours(hours)
}

/// An email of the user's own to `parent`'s writer.
fn own(parent: &str, date: DateTime<Utc>) -> Value {
    json!({
        "mode": "rules_only",
        "message": {
            "message_id": format!("<own-{}@acme.example>", date.timestamp_micros()), "direction": "out",
            "in_reply_to": parent, "references": ["<0@x.example>", parent], "date": date,
            "from": {"addr": "Owner@acme.example"}, "to": [{"addr": "ada@x.example"}],
            "subject": "Re: Plan", "body_text": "The second one.",
        },
    })
}

async fn draft(client: &Client, id: &str) -> Value {
    client.get(&format!("/v1/drafts/{id}")).await.body
}

async fn agree(app: &TestApp, approval: &str, hold: i64) {
    let request = decision(&app.client, approval, "approve", 1);
    let agreed = send(request.json(&json!({"hold_seconds": hold}))).await;
    assert_eq!(agreed.status, 200, "{}", agreed.text);
}

/// How often this was written down about the object.
async fn recorded(db: &TestDb, what: &str, id: &str) -> i64 {
    let sql = format!("select count(*) from {what} = '{id}'");
    db.one(Box::leak(sql.into_boxed_str())).await
}

#[tokio::test]
async fn answer_by_another_program_takes_a_held_or_scheduled_one_back() {
    let app = open_app().await;
    let _worker = app.worker().await;
    for (payload, hold, waits) in [
        (json!({"send_at": hours(3)}), 0, "scheduled"),
        (json!({}), 60, "approved"),
    ] {
        let Written { id, approval } = written(&app.client, waits, payload).await;
        agree(&app, &approval, hold).await;
        assert_eq!(draft(&app.client, &id).await["status"], waits);
        let approved = app.client.get(&format!("/v1/approvals/{approval}")).await;
        let job = approved.body["execution_job_id"]
            .as_str()
            .unwrap()
            .to_owned();
        done(
            &app.client,
            "/v1/jobs/triage",
            &own("<1@x.example>", hours(1)),
        )
        .await;
        assert_eq!(
            draft(&app.client, &id).await["status"],
            "superseded_by_user"
        );
        let rejected = app.client.get(&format!("/v1/approvals/{approval}")).await;
        assert_eq!(rejected.body["status"], "rejected");
        assert_eq!(app.client.job(&job).await["state"], "cancelled");
        let history = "history_entries where verb = 'superseded' and object_id";
        let history = recorded(&app.db, history, &id).await;
        let audit = "audit_entries where action = 'draft.superseded' and resource_id";
        let audit = recorded(&app.db, audit, &id).await;
        assert_eq!((history, audit), (1, 1), "{waits}");
        let back = decide(&app.client, &approval, "undo", 2).await;
        assert_eq!(back.status, 200, "{}", back.text);
        decide(&app.client, &approval, "approve", 3)
            .await
            .assert_problem(409, "CONFLICT", "answered by another program");
        // The thread has its answer now: the next round is about one that has none.
        app.db.execute("delete from own_messages").await;
    }
    assert_eq!(app.sink.received(), []);
}

#[tokio::test]
async fn answer_that_nobody_has_looked_at_yet_is_seen_before_a_draft_goes() {
    let app = open_app().await;
    let _worker = app.worker().await;
    let Written { id, approval } = written(&app.client, "Plan", json!({})).await;
    let mut later = own("<1@x.example>", hours(1));
    later["run_at"] = json!(hours(5));
    let kept = super::generated::post(&app.client, "/v1/jobs/triage", &later).await;
    assert_eq!(kept.status, 202, "{}", kept.text);
    assert_eq!(draft(&app.client, &id).await["status"], "ready");
    agree(&app, &approval, 0).await;
    let failed = approval_in(&app.client, &approval, "failed").await;
    assert_eq!(failed["error"]["code"], "answered_by_user", "{failed}");
    assert_eq!(app.sink.received(), []);
}

#[tokio::test]
async fn what_is_no_answer_to_this_thread_by_this_user_after_this_email_stops_nothing() {
    let app = open_app().await;
    let worker = app.worker().await;
    let Written { id, approval } = written(&app.client, "Plan", json!({})).await;
    let mut by_somebody = own("<1@x.example>", hours(1));
    by_somebody["message"]["from"]["addr"] = json!("ada@x.example");
    let mut automatic = own("<1@x.example>", hours(2));
    automatic["message"]["auto_submitted"] = json!("auto-replied");
    let mut earlier = own("<0@x.example>", hours(-24 * 365));
    earlier["message"]["references"] = json!(["<0@x.example>"]);
    let mut dry = own("<1@x.example>", hours(3));
    dry["dry_run"] = json!(true);
    let mut elsewhere = own("<7@y.example>", hours(1));
    elsewhere["message"]["references"] = json!([]);
    for other in [elsewhere, by_somebody, automatic, earlier, dry] {
        done(&app.client, "/v1/jobs/triage", &other).await;
        assert_eq!(draft(&app.client, &id).await["status"], "ready", "{other}");
    }
    // Another tenant's mail of the same address and thread.
    let stranger = app.api.sign_in(&app.db).await;
    done(
        &stranger,
        "/v1/jobs/triage",
        &own("<1@x.example>", hours(4)),
    )
    .await;
    agree(&app, &approval, 0).await;
    approval_in(&app.client, &approval, "executed").await;
    assert_eq!(app.sink.received().len(), 1);
    // What we sent comes back with the sent folder: nobody's answer by another program.
    let mut sent = own("<1@x.example>", hours(5));
    sent["message"]["message_id"] = app.effect().await["message_id"].clone();
    done(&app.client, "/v1/jobs/triage", &sent).await;
    let kept: i64 = app
        .db
        .one("select count(*) from own_messages where refers_to = '<1@x.example>'")
        .await;
    assert_eq!(kept, 0);
    drop(worker);
}

#[tokio::test]
async fn second_draft_of_a_reply_is_not_sent_after_the_first_until_it_is_revised() {
    let app = open_app().await;
    let _worker = app.worker().await;
    let body = json!({"mode": "reply", "message_id": message(&app.client, "Plan").await});
    let mut approvals = Vec::new();
    for _ in 0..2 {
        let output = done(&app.client, "/v1/jobs/draft", &body).await;
        assert_eq!(output["outcome"], "drafted", "{output}");
        let id = |field: &str| output[field].as_str().unwrap().to_owned();
        approvals.push((id("draft_id"), id("approval_id")));
    }
    let (first, (draft_id, second)) = (&approvals[0].1, &approvals[1]);
    agree(&app, first, 0).await;
    approval_in(&app.client, first, "executed").await;
    agree(&app, second, 0).await;
    let failed = approval_in(&app.client, second, "failed").await;
    assert_eq!(failed["error"]["code"], "answered_meanwhile", "{failed}");
    assert_eq!(app.sink.received().len(), 1);
    let revision = json!({"base_version": 1, "instructions": "Shorter."});
    let path = format!("/v1/drafts/{draft_id}/revise");
    let revised = done(&app.client, &path, &revision).await;
    let third = revised["approval_id"].as_str().unwrap();
    agree(&app, third, 0).await;
    approval_in(&app.client, third, "executed").await;
    assert_eq!(app.sink.received().len(), 2);
}

#[tokio::test]
async fn email_that_was_answered_by_another_program_needs_no_draft() {
    let db = TestDb::new().await;
    let api = TestApi::start_with(&db, &[("CREDENTIAL_KEYS", KEYS)]).await;
    let client = api.sign_in(&db).await;
    db.execute("update users set email = 'owner@acme.example'")
        .await;
    let _worker = Worker::spawn(&db).await;
    done(&client, "/v1/jobs/triage", &own("<1@x.example>", hours(-1))).await;
    let body = json!({"mode": "reply", "message_id": message(&client, "Plan").await});
    let output = done(&client, "/v1/jobs/draft", &body).await;
    assert_eq!(
        (&output["outcome"], &output["not_needed"]),
        (&json!("not_needed"), &json!("answered")),
        "{output}"
    );
}

#[tokio::test]
async fn who_wants_an_agreed_draft_otherwise_takes_the_agreement_back() {
    let app = open_app().await;
    let _worker = app.worker().await;
    let Written { id, approval } = written(&app.client, "Plan", json!({"send_at": hours(3)})).await;
    agree(&app, &approval, 0).await;
    let agreed = app.client.get(&format!("/v1/approvals/{approval}")).await;
    let job = agreed.body["execution_job_id"].as_str().unwrap().to_owned();
    let body = json!({"base_version": 1, "instructions": "Shorter."});
    let output = done(&app.client, &format!("/v1/drafts/{id}/revise"), &body).await;
    assert_eq!(
        (&output["version"], &output["approval_id"]),
        (&json!(2), &json!(approval))
    );
    assert_eq!(app.client.job(&job).await["state"], "cancelled");
    let again = app.client.get(&format!("/v1/approvals/{approval}")).await;
    assert_eq!(
        (&again.body["status"], &again.body["version"]),
        (&json!("proposed"), &json!(3))
    );
    assert_eq!(draft(&app.client, &id).await["status"], "ready");
    // The same in the person's words on the approval, while it is held.
    let request = decision(&app.client, &approval, "approve", 3);
    let held = send(request.json(&json!({"hold_seconds": 60}))).await;
    assert_eq!(held.status, 200, "{}", held.text);
    let edit = app
        .client
        .request(Method::POST, &format!("/v1/approvals/{approval}/edit"))
        .header("If-Match", "\"3\"")
        .json(&json!({"instructions": "More formal."}));
    assert_eq!(send(edit).await.body["status"], "editing");
    approval_in(&app.client, &approval, "proposed").await;
    assert_eq!(draft(&app.client, &id).await["version"], 3);
    assert_eq!(app.sink.received(), []);
}
