//! The older email of a folder, read by a job: each email once, at low priority, also if the worker dies on the way.

use super::{QUICK, TestApp, app_at, app_with, email, jobs};
use crate::{
    lanes::put_budgets,
    support::{
        client::send,
        cutter::Cutter,
        dovecot::{Dovecot, USER},
        eventually,
        wait::SOON,
    },
};
use reqwest::Method;
use serde_json::{Value, json};

async fn ask(app: &TestApp, body: &Value) -> crate::support::client::TestResponse {
    let path = format!("/v1/connections/{}/backfill", app.connection);
    send(app.client.request(Method::POST, &path).json(body)).await
}

/// What the job says at its end.
pub(super) async fn backfilled(app: &TestApp, body: &Value) -> Value {
    let asked = ask(app, body).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    let job = app
        .client
        .finished(asked.body["id"].as_str().unwrap())
        .await;
    assert_eq!(job["state"], "succeeded", "{job}");
    job["output"].clone()
}

#[tokio::test]
async fn folder_is_counted_in_a_dry_run_and_read_up_to_the_limit() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker_with(QUICK).await;
    for number in 0..12 {
        dovecot.deliver("INBOX", &email(number));
    }
    let since = "2026-01-01T00:00:00Z";
    let dry = backfilled(&app, &json!({"since": since, "dry_run": true})).await;
    assert_eq!(
        (&dry["emails"], &dry["enqueued"]),
        (&json!(12), &json!(0)),
        "{dry}"
    );
    assert_eq!(jobs(&app).await, 0);
    let some = backfilled(&app, &json!({"since": since, "limit": 5})).await;
    assert_eq!(
        (&some["enqueued"], &some["is_limited"]),
        (&json!(5), &json!(true)),
        "{some}"
    );
    let all = backfilled(&app, &json!({"since": since})).await;
    assert_eq!(
        (&all["emails"], &all["enqueued"]),
        (&json!(12), &json!(7)),
        "{all}"
    );
    assert_eq!(jobs(&app).await, 12);
    let least: i64 = app
        .db
        .one(
            "select (select count(*) from jobs where kind = 'triage.email' and priority <> 4)
                 + (select count(*) from finished_jobs where kind = 'triage.email' and priority <> 4)",
        )
        .await;
    assert_eq!(least, 0, "all other email goes first");
    let none = backfilled(
        &app,
        &json!({"since": since, "until": "2026-01-02T00:00:00Z"}),
    )
    .await;
    assert_eq!(none["emails"], 0, "{none}");
    let kept = dovecot.kept();
    assert!(kept.iter().all(|mail| mail.flags.is_empty()), "{kept:?}");
}

#[tokio::test]
async fn large_folder_is_listed_in_parts_and_only_as_far_as_the_limit() {
    let dovecot = Dovecot::start().await;
    let cutter = Cutter::before(dovecot.port).await;
    let app = app_at(cutter.port).await;
    let _worker = app.worker_with(QUICK).await;
    let opened =
        "* 45000 EXISTS\r\n* OK [UIDVALIDITY 7] .\r\n* OK [UIDNEXT 45001] .\r\n{tag} OK .\r\n";
    cutter.answer("EXAMINE", opened);
    for (range, uids) in [("1:20000", [1, 2]), ("40001:*", [40_001, 45_000])] {
        let [first, last] = uids;
        let found = format!("* SEARCH {first} {last}\r\n{{tag}} OK .\r\n");
        cutter.answer(&format!("SEARCH UID {range}"), &found);
        let email = |uid| {
            format!(
                "* {uid} FETCH (UID {uid} RFC822.SIZE 99 INTERNALDATE \"02-Nov-2026 10:00:00 +0000\")\r\n"
            )
        };
        let listed = format!("{}{}{{tag}} OK .\r\n", email(first), email(last));
        cutter.answer(&format!("FETCH {first},{last} "), &listed);
    }
    cutter.answer("SEARCH UID 20001:40000", "* SEARCH\r\n{tag} OK .\r\n");
    let body = json!({"since": "2026-01-01T00:00:00Z", "dry_run": true, "limit": 1});
    let some = backfilled(&app, &body).await;
    let found = (&some["emails"], &some["is_limited"]);
    assert_eq!(found, (&json!(1), &json!(true)), "{some}");
    assert_eq!(
        cutter.heard("SEARCH UID").len(),
        1,
        "no further than it reads"
    );
    let body = json!({"since": "2026-01-01T00:00:00Z", "dry_run": true});
    let all = backfilled(&app, &body).await;
    let found = (&all["emails"], &all["is_limited"]);
    assert_eq!(found, (&json!(4), &json!(false)), "{all}");
    assert_eq!(cutter.heard("SEARCH UID").len(), 1 + 3);
}

#[tokio::test]
async fn backfill_whose_worker_died_is_continued_and_enqueues_no_email_twice() {
    let dovecot = Dovecot::start().await;
    let cutter = Cutter::before(dovecot.port).await;
    let app = app_at(cutter.port).await;
    let mut worker = app.worker_with(QUICK).await;
    // More than one group.
    for number in 0..60 {
        dovecot.deliver("INBOX", &email(number));
    }
    // The second group ends with it.
    cutter.stall_after("60 (UID BODY.PEEK[])");
    let asked = ask(&app, &json!({"since": "2026-01-01T00:00:00Z"})).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    eventually(SOON, async || {
        (cutter.cuts() == 1)
            .then_some(())
            .ok_or_else(|| "the second group was not fetched".to_owned())
    })
    .await;
    assert_eq!(jobs(&app).await, 50, "the first group was delivered");
    worker.process.kill();
    app.db
        .execute("update jobs set lease_until = now() where state = 'running'")
        .await;
    let _next = app.worker_with(QUICK).await;
    let id = asked.body["id"].as_str().unwrap();
    let job = app.client.finished(id).await;
    assert_eq!(job["output"]["emails"], 60, "{job}");
    assert_eq!(jobs(&app).await, 60);
    let distinct: i64 = app
        .db
        .one("select count(distinct content_hash) from messages")
        .await;
    assert_eq!(distinct, 60);
}

#[tokio::test]
async fn backfill_of_an_empty_period_or_of_no_folder_is_refused() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let since = "2026-01-01T00:00:00Z";
    for (body, pointer) in [
        (json!({"since": since, "until": since}), "/until"),
        (json!({"since": since, "limit": 0}), "/limit"),
        (json!({"since": since, "folder": "*"}), "/folder"),
    ] {
        let refused = ask(&app, &body).await;
        refused.assert_problem(422, "INVALID_BODY", pointer);
        assert!(refused.text.contains(pointer), "{}", refused.text);
    }
}

#[tokio::test]
async fn request_is_not_swallowed_by_another_that_waits() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let since = "2026-01-01T00:00:00Z";
    let mut jobs = Vec::new();
    for (body, status) in [
        (json!({"since": since, "dry_run": true}), 202),
        (json!({"since": since}), 202),
        (json!({"since": since, "limit": 5}), 202),
        (json!({"since": "2026-02-01T00:00:00Z"}), 202),
        (json!({"since": since}), 200),
    ] {
        let asked = ask(&app, &body).await;
        assert_eq!(asked.status, status, "{body}: {}", asked.text);
        jobs.push(asked.body["id"].clone());
    }
    assert_eq!(jobs[1], jobs[4], "the same work");
}

#[tokio::test]
async fn backfill_says_how_soon_its_emails_are_judged() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker_with(QUICK).await;
    dovecot.deliver("INBOX", &email(1));
    let body = json!({"since": "2026-01-01T00:00:00Z", "urgency": "soon"});
    backfilled(&app, &body).await;
    let urgency: String = app
        .db
        .one(
            "select coalesce((select args ->> 'urgency' from jobs where kind = 'triage.email'),
                 (select args ->> 'urgency' from finished_jobs where kind = 'triage.email'))",
        )
        .await;
    assert_eq!(urgency, "soon");
}

#[tokio::test]
async fn password_that_was_rejected_is_not_tried_again() {
    let dovecot = Dovecot::start().await;
    let imap = json!({"host": "127.0.0.1", "port": dovecot.port, "security": "none"});
    let app = TestApp::open_with(|account| {
        account["imap"] = imap;
        account["username"] = Value::from(USER);
        account["password"] = Value::from("of last year");
    })
    .await;
    let _worker = app.worker_with(QUICK).await;
    let asked = ask(&app, &json!({"since": "2026-01-01T00:00:00Z"})).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    for attempt in 1..=3 {
        eventually(SOON, async || {
            let made: i32 = app
                .db
                .one(
                    "select coalesce(max(attempt), 0) from jobs where kind = 'mailbox.backfill' and state = 'scheduled'",
                )
                .await;
            (made >= attempt)
                .then_some(())
                .ok_or_else(|| format!("{made} attempts"))
        })
        .await;
        // As if the wait were over.
        app.db
            .execute("update jobs set run_at = now() where state = 'scheduled'")
            .await;
    }
    let log = dovecot.log();
    assert_eq!(log.matches("auth failed").count(), 1, "{log}");
}

#[tokio::test]
async fn backfill_waits_for_the_budget_and_says_so() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    for number in 0..5 {
        dovecot.deliver("INBOX", &email(number));
    }
    let budget =
        |tokens: i64| json!({"budgets": [{"kind": "*", "period": "day", "max_tokens": tokens}]});
    put_budgets(&app.client, &budget(10)).await;
    let _worker = app.worker_with(QUICK).await;
    let first = app.client.submitted(email(100).as_bytes(), "first").await;
    let reason = async |id: &str| {
        let why = app.client.get(&format!("/v1/jobs/{id}/explain")).await;
        why.body["reasons"][0]["error_code"].clone()
    };
    let stops = async |id: &str, code: &str| {
        eventually(SOON, async || match reason(id).await {
            found if found == code => Ok(()),
            found => Err(found.to_string()),
        })
        .await;
    };
    stops(&first, "llm_over_budget").await;
    let body = json!({"since": "2026-01-01T00:00:00Z"});
    let asked = ask(&app, &body).await;
    let id = asked.body["id"].as_str().unwrap().to_owned();
    stops(&id, "backfill_over_budget").await;
    assert_eq!(jobs(&app).await, 1, "no email was enqueued to wait");
    let job = app.client.job(&id).await;
    assert_eq!(job["state"], "scheduled", "{job}");

    put_budgets(&app.client, &budget(100_000_000)).await;
    let due = "update jobs set run_at = now() where state = 'scheduled' and kind = '";
    app.db.execute(&format!("{due}triage.email'")).await;
    app.client.finished(&first).await;
    app.db.execute(&format!("{due}mailbox.backfill'")).await;
    let job = app.client.finished(&id).await;
    assert_eq!(job["output"]["enqueued"], 5, "{job}");
}
