//! Emails that wait for an answer: who is reminded, once, and what ends the wait.

mod reminders;
mod renamed;
mod threads;

use crate::{
    actions::{approved::approval_in, sending::TestApp},
    approvals::decision,
    drafts::generated::{done, message, post},
    effects::bounces::{handed_in, report},
    mailbox::app_with,
    support::{Client, client::send, dovecot::Dovecot, eventually, wait::SOON},
    watches::{QUICK, has_jobs, watch},
};
use base::clock::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use jobs::commands::follow_ups::remind::remind;
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) async fn put_preferences(client: &Client, body: &Value) -> Value {
    let request = client.request(Method::PUT, "/v1/users/me/preferences");
    let put = send(request.json(body)).await;
    assert_eq!(put.status, 200, "{}", put.text);
    put.body
}

/// An app whose user waits three days for answers, and is reminded like this.
async fn app_that_waits(reminder: &str) -> TestApp {
    let app = TestApp::open().await;
    let body = json!({"timezone": "Europe/Berlin", "follow_up_days": 3, "follow_up": reminder});
    put_preferences(&app.client, &body).await;
    app
}

/// Sends an email with this text; its Message-ID.
async fn sent(app: &TestApp, text: &str) -> String {
    let action = json!({"type": "send", "payload": {"to": "bob@example.org", "subject": "Offer", "body": text}});
    let approval = app.proposed(&action).await;
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    let id = app
        .db
        .one("select rfc_message_id from effects where type = 'send' order by id desc limit 1");
    id.await
}

async fn follow_ups(client: &Client) -> Vec<Value> {
    let found = client.get("/v1/follow-ups").await.body;
    found["items"].as_array().cloned().unwrap_or_default()
}

/// The status of the only follow-up.
async fn status(client: &Client) -> String {
    let found = follow_ups(client).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]["status"].as_str().unwrap().to_owned()
}

async fn waiting_items(client: &Client) -> Vec<Value> {
    let inbox = client.get("/v1/inbox").await.body;
    inbox["visible"].as_array().unwrap().clone()
}

/// Lets the time of all follow-ups come, and has four workers look at once.
async fn time_is_over(app: &TestApp) -> u64 {
    app.db
        .execute("update follow_ups set due_at = now() where status = 'waiting'")
        .await;
    let notifier = &app.api.app.notifier;
    let looked = join_all((0..4).map(|_| remind(app.db.pool(), notifier, 50))).await;
    looked.into_iter().map(Result::unwrap).sum()
}

/// An email of somebody else's in the thread.
fn answer(parent: &str) -> Value {
    json!({
        "mode": "rules_only",
        "message": {
            "message_id": "<answer@example.org>", "in_reply_to": parent, "references": [parent],
            "from": {"addr": "bob@example.org"}, "to": [{"addr": "owner@acme.example"}],
            "subject": "Re: Offer", "body_text": "The second one.",
        },
    })
}

fn hours(hours: i64) -> DateTime<Utc> {
    Clock::System.now() + TimeDelta::hours(hours)
}

/// An email that the user sent with another program.
fn own(id: &str, sent_at: DateTime<Utc>) -> Value {
    json!({
        "mode": "rules_only",
        "message": {
            "message_id": id, "direction": "out", "date": sent_at,
            "from": {"addr": "Owner@acme.example"}, "to": [{"addr": "bob@example.org"}],
            "subject": "Offer", "body_text": "Which one do you want?",
        },
    })
}

#[tokio::test]
async fn sender_is_reminded_once_of_an_email_that_nobody_answered() {
    let app = app_that_waits("item").await;
    let _worker = app.worker().await;
    let id = sent(&app, "Which one do you want?").await;
    let waiting = follow_ups(&app.client).await;
    assert_eq!(
        (&waiting[0]["title"], &waiting[0]["status"]),
        (&json!("Offer"), &json!("waiting"))
    );
    let notifier = &app.api.app.notifier;
    assert_eq!(
        remind(app.db.pool(), notifier, 50).await.unwrap(),
        0,
        "too early"
    );
    assert_eq!(time_is_over(&app).await, 1);
    let items = waiting_items(&app.client).await;
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(
        (&items[0]["title"], &items[0]["source"]),
        (&json!("No answer: Offer"), &json!("follow_up"))
    );
    assert_eq!(time_is_over(&app).await, 0, "reminded once");
    let reminded = "select count(*) from audit_entries where action = 'follow_up.reminded'";
    assert_eq!(app.db.one::<i64>(reminded).await, 1);
    // The answer comes after all.
    done(&app.client, "/v1/jobs/triage", &answer(&id)).await;
    assert_eq!(status(&app.client).await, "answered");
    let item = items[0]["id"].as_str().unwrap();
    let item = app.client.get(&format!("/v1/inbox/{item}")).await.body;
    assert_eq!(item["state"], "completed", "{item}");
}

#[tokio::test]
async fn email_that_asks_nothing_or_whose_sender_does_not_wait_has_no_follow_up() {
    let app = app_that_waits("item").await;
    let _worker = app.worker().await;
    sent(&app, "Thanks, that is all.").await;
    assert_eq!(follow_ups(&app.client).await, Vec::<Value>::new());
    put_preferences(&app.client, &json!({"timezone": "UTC"})).await;
    sent(&app, "Which one?").await;
    assert_eq!(follow_ups(&app.client).await, Vec::<Value>::new());
}

#[tokio::test]
async fn answer_ends_the_wait_before_it_is_triaged_and_an_absence_note_does_not() {
    let app = app_that_waits("item").await;
    let _worker = app.worker().await;
    let id = sent(&app, "Which one?").await;
    let mut note = answer(&id);
    note["message"]["message_id"] = json!("<note@example.org>");
    note["message"]["auto_submitted"] = json!("auto-replied");
    done(&app.client, "/v1/jobs/triage", &note).await;
    assert_eq!(status(&app.client).await, "waiting");
    let mut later = answer(&id);
    later["run_at"] = json!(hours(5));
    let kept = post(&app.client, "/v1/jobs/triage", &later).await;
    assert_eq!(kept.status, 202, "{}", kept.text);
    assert_eq!(time_is_over(&app).await, 1);
    assert_eq!(status(&app.client).await, "answered");
    assert_eq!(waiting_items(&app.client).await, Vec::<Value>::new());
}

#[tokio::test]
async fn own_email_is_waited_for_unless_its_answer_or_its_time_came_first() {
    let app = app_that_waits("item").await;
    let _worker = app.worker().await;
    for (email, waits) in [
        (own("<new@acme.example>", hours(-1)), 1),
        (own("<old@acme.example>", hours(-24 * 4)), 1),
    ] {
        done(&app.client, "/v1/jobs/triage", &email).await;
        assert_eq!(follow_ups(&app.client).await.len(), waits, "{email}");
    }
    // The user writes again in the thread.
    let mut again = own("<again@acme.example>", hours(0));
    again["message"]["in_reply_to"] = json!("<new@acme.example>");
    done(&app.client, "/v1/jobs/triage", &again).await;
    let found = follow_ups(&app.client).await;
    assert_eq!(
        (&found[0]["status"], &found[1]["status"]),
        (&json!("waiting"), &json!("continued"))
    );
    // The inbox may be read before the folder of sent emails.
    app.db.execute("delete from follow_ups").await;
    done(
        &app.client,
        "/v1/jobs/triage",
        &answer("<late@acme.example>"),
    )
    .await;
    done(
        &app.client,
        "/v1/jobs/triage",
        &own("<late@acme.example>", hours(-2)),
    )
    .await;
    assert_eq!(time_is_over(&app).await, 1);
    assert_eq!(status(&app.client).await, "answered");
    assert_eq!(waiting_items(&app.client).await, Vec::<Value>::new());
}

#[tokio::test]
async fn own_email_of_a_clock_that_is_fast_is_waited_for_from_now_on() {
    let app = app_that_waits("item").await;
    let _worker = app.worker().await;
    for (email, waits) in [
        (own("<fast@acme.example>", hours(2)), 1),
        (own("<next-week@acme.example>", hours(24 * 7)), 1),
    ] {
        done(&app.client, "/v1/jobs/triage", &email).await;
        assert_eq!(follow_ups(&app.client).await.len(), waits, "{email}");
    }
    let sent_before_now = "select bool_and(sent_at <= now()) from follow_ups";
    assert!(app.db.one::<bool>(sent_before_now).await);
}

#[tokio::test]
async fn email_that_came_back_is_not_waited_for() {
    let app = app_that_waits("item").await;
    let _worker = app.worker().await;
    let id = sent(&app, "Which one do you want?").await;
    assert_eq!(status(&app.client).await, "waiting");
    handed_in(&app.client, report("owner@acme.example", &id, "failed")).await;
    assert_eq!(status(&app.client).await, "cancelled");
    assert_eq!(time_is_over(&app).await, 0);
    let audited = "select count(*) from audit_entries where action = 'follow_up.ended'";
    assert_eq!(app.db.one::<i64>(audited).await, 1);
}

#[tokio::test]
async fn reminder_that_cannot_be_drafted_is_an_inbox_item() {
    let app = app_that_waits("draft").await;
    let mut worker = app.worker().await;
    sent(&app, "Which one do you want?").await;
    worker.process.kill();
    assert_eq!(time_is_over(&app).await, 1);
    assert_eq!(waiting_items(&app.client).await, Vec::<Value>::new());
    // Its job fails for good.
    app.db
        .execute("update jobs set args = jsonb_set(args, '{message_id}', to_jsonb(gen_random_uuid())) where kind = 'draft.generate'")
        .await;
    let _next = app.worker().await;
    let items = eventually(SOON, async || {
        time_is_over(&app).await;
        let items = waiting_items(&app.client).await;
        (!items.is_empty())
            .then_some(items)
            .ok_or_else(|| "no item".to_owned())
    })
    .await;
    assert_eq!(items[0]["title"], "No answer: Offer", "{items:?}");
    assert_eq!(status(&app.client).await, "reminded");
    assert_eq!(time_is_over(&app).await, 0, "once");
}

#[tokio::test]
async fn answer_in_a_watched_mailbox_ends_the_wait() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    put_preferences(
        &app.client,
        &json!({"timezone": "UTC", "follow_up_days": 2}),
    )
    .await;
    let _worker = app.worker_with(QUICK).await;
    watch(&app, &["INBOX", "\\Sent"]).await;
    let date = Clock::System.now().to_rfc2822();
    let email = |from: &str, to: &str, more: &str| {
        format!(
            "From: {from}\r\nTo: {to}\r\nSubject: Offer\r\nDate: {date}\r\n{more}\r\n\r\nWhich one?\r\n"
        )
    };
    let (owner, bob) = ("owner@acme.example", "bob@example.org");
    dovecot.deliver("Sent", &email(owner, bob, "Message-ID: <w1@acme.example>"));
    eventually(SOON, async || {
        let found = follow_ups(&app.client).await;
        (found.len() == 1)
            .then_some(())
            .ok_or_else(|| format!("{found:?}"))
    })
    .await;
    let refers = "Message-ID: <w2@example.org>\r\nIn-Reply-To: <w1@acme.example>";
    dovecot.deliver("INBOX", &email(bob, owner, refers));
    has_jobs(&app, 2).await;
    eventually(SOON, async || {
        let found = status(&app.client).await;
        (found == "answered").then_some(()).ok_or(found)
    })
    .await;
}

#[tokio::test]
async fn days_of_one_draft_are_stronger_than_those_of_its_writer() {
    let app = app_that_waits("item").await;
    let _worker = app.worker().await;
    let email = message(&app.client, "Plan").await;
    for (days, expected) in [(0, 0), (9, 1)] {
        let body = json!({"mode": "reply", "message_id": email, "follow_up_days": days});
        let output = done(&app.client, "/v1/jobs/draft", &body).await;
        let approval = output["approval_id"].as_str().unwrap();
        let request = decision(&app.client, approval, "approve", 1);
        let agreed = send(request.json(&json!({"hold_seconds": 0}))).await;
        assert_eq!(agreed.status, 200, "{}", agreed.text);
        approval_in(&app.client, approval, "executed").await;
        assert_eq!(follow_ups(&app.client).await.len(), expected, "{days}");
        // The next one is no second answer.
        app.db
            .execute("update drafts set status = 'discarded'")
            .await;
    }
    let days = "select extract(day from due_at - sent_at)::int from follow_ups";
    assert_eq!(app.db.one::<i32>(days).await, 9);
    for bad in [json!(-1), json!(91)] {
        let body = json!({"mode": "reply", "message_id": email, "follow_up_days": bad});
        let refused = post(&app.client, "/v1/jobs/draft", &body).await;
        refused.assert_problem(422, "INVALID_BODY", "days");
    }
}

#[tokio::test]
async fn follow_up_is_cancelled_by_its_user_alone() {
    let app = app_that_waits("item").await;
    let _worker = app.worker().await;
    sent(&app, "Which one?").await;
    let id = follow_ups(&app.client).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/follow-ups/{id}");
    let colleague = app
        .client
        .colleague(&app.db, jobs::domain::session::Role::Admin)
        .await;
    assert_eq!(follow_ups(&colleague).await, Vec::<Value>::new());
    let refused = send(colleague.request(Method::DELETE, &path)).await;
    refused.assert_problem(404, "NOT_FOUND", "of somebody else");
    let cancelled = send(app.client.request(Method::DELETE, &path)).await;
    assert_eq!(cancelled.status, 204);
    let again = send(app.client.request(Method::DELETE, &path)).await;
    again.assert_problem(404, "NOT_FOUND", "cancelled before");
    assert_eq!(time_is_over(&app).await, 0);
    let cancelled = app.client.get("/v1/follow-ups?status=cancelled").await.body;
    assert_eq!(cancelled["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn preferences_are_replaced_and_refused_with_their_field() {
    let app = TestApp::open().await;
    let path = "/v1/users/me/preferences";
    let usual = app.client.get(path).await.body;
    assert_eq!(
        usual,
        json!({"timezone": "UTC", "follow_up_days": null, "follow_up": "item", "digest_at": null, "digest_by_email": false})
    );
    let new = json!({"timezone": "Asia/Kathmandu", "follow_up_days": 90, "follow_up": "draft", "digest_at": "07:30", "digest_by_email": true});
    assert_eq!(put_preferences(&app.client, &new).await, new);
    assert_eq!(app.client.get(path).await.body, new);
    for (field, value) in [
        ("timezone", json!("Mars/Olympus")),
        ("follow_up_days", json!(0)),
        ("digest_at", json!("7:30")),
        ("digest_at", json!("24:00")),
    ] {
        let mut bad = new.clone();
        bad[field] = value;
        let refused = send(app.client.request(Method::PUT, path).json(&bad)).await;
        refused.assert_problem(422, "INVALID_BODY", field);
        assert!(
            refused.text.contains(&format!("/{field}")),
            "{}",
            refused.text
        );
    }
}

#[tokio::test]
async fn follow_up_is_forgotten_with_its_email() {
    let app = app_that_waits("item").await;
    let _worker = app.worker().await;
    sent(&app, "Which one?").await;
    app.db
        .execute(
            "update tenants set email_retention_days = 7; \
             update messages set received_at = now() - interval '8 days'",
        )
        .await;
    let forgotten: i64 = app
        .db
        .one("select forget_old_emails(id, 10) from tenants")
        .await;
    assert_eq!(forgotten, 1);
    assert_eq!(follow_ups(&app.client).await, Vec::<Value>::new());
}
