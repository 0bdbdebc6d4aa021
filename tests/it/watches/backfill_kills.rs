//! A large folder is backfilled while the worker is killed again and again: each email gets one job, and new email of another
//! tenant goes first. `cargo dev test --full` reads 2,000 emails and kills ten times.

use super::{QUICK, TestApp, app_at, email, oracle};
use crate::support::{client::send, cutter::Cutter, dovecot::Dovecot, eventually, wait::SOON};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Emails that are read with one command.
const GROUP: usize = 50;
/// Jobs that one claim may take.
const SLOTS: i64 = 8;
/// The number of the other tenant's first email.
const OTHERS: usize = 1_000_000;

async fn worker(app: &TestApp) -> crate::support::system::Worker {
    let slots = SLOTS.to_string();
    let variables = [QUICK[0], ("WORKER_SLOTS", slots.as_str())];
    app.worker_with(&variables).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backfill_whose_workers_are_killed_enqueues_each_email_once_and_delays_nobody() {
    let (emails, kills) = if std::env::var_os("POSTROOM_FULL").is_some() {
        (2_000, 10)
    } else {
        (400, 4)
    };
    let dovecot = Dovecot::start().await;
    let cutter = Cutter::before(dovecot.port).await;
    let app = app_at(cutter.port).await;
    let other = app.api.sign_in(&app.db).await;
    for number in 0..emails {
        dovecot.deliver("INBOX", &email(number));
    }
    let path = format!("/v1/connections/{}/backfill", app.connection);
    let body = json!({"since": "2026-01-01T00:00:00Z", "limit": 10_000});
    let asked = send(app.client.request(Method::POST, &path).json(&body)).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    app.db
        .execute("create table accepted (id uuid, at timestamptz default clock_timestamp())")
        .await;
    let mut running = worker(&app).await;
    for kill in 1..=kills {
        let last = emails * kill / (kills + 1) / GROUP * GROUP;
        cutter.stall_after(&format!(",{last} (UID BODY.PEEK[])"));
        eventually(SOON * 10, async || {
            hurry(&app).await;
            (cutter.cuts() == kill)
                .then_some(())
                .ok_or_else(|| format!("the group up to {last} was not fetched"))
        })
        .await;
        // What was read before waits behind it.
        let text = email(OTHERS + kill);
        let id = other
            .submitted(text.as_bytes(), &format!("other-{kill}"))
            .await;
        app.db
            .execute(&format!("insert into accepted (id) values ('{id}')"))
            .await;
        assert_eq!(other.finished(&id).await["state"], "succeeded");
        running.process.kill();
        // Its session would count among those that the server allows.
        cutter.cut_all(false);
        app.db
            .execute("update jobs set lease_until = now() where state = 'running'")
            .await;
        running = worker(&app).await;
    }
    let job = ended(&app, asked.body["id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!(job["output"]["enqueued"], emails, "{job}");
    assert_eq!(oracle::lost(&dovecot, &app.db).await.len(), 0);
    let mut read = oracle::read(&app.db).await;
    read.retain(|number| *number < OTHERS);
    read.sort_unstable();
    assert_eq!(read, (0..emails).collect::<Vec<_>>(), "each email once");
    // A claim that continues from the last one starts over at the head of the queue ten times a second.
    let overtaken: i64 = app
        .db
        .one(
            "select coalesce(max((
                 select count(*) from finished_jobs old
                 where old.kind = 'triage.email' and old.priority = 4 and old.attempt = 1
                     and old.started_at > accepted.at + interval '2 seconds' and old.started_at < new.started_at)), 0)
             from finished_jobs new join accepted using (id) where new.attempt = 1",
        )
        .await;
    assert!(
        overtaken <= SLOTS,
        "{overtaken} older emails went before a new one, {SLOTS} are one claim"
    );
    let wait: f64 = app
        .db
        .one(
            "select max(extract(epoch from new.started_at - accepted.at))::float8
             from finished_jobs new join accepted using (id) where new.attempt = 1",
        )
        .await;
    eprintln!("{emails} emails, {kills} kills: each once; new email waited {wait:.3} s at most");
}

/// Lets a backfill that was rescued continue before the actions on the emails that it has read, and at once: it would wait up to a
/// minute for the sake of others.
async fn hurry(app: &TestApp) {
    app.db
        .execute(
            "update jobs set run_at = now() - interval '1 hour'
             where kind = 'mailbox.backfill' and state <> 'running' and run_at > now() - interval '30 minutes'",
        )
        .await;
}

/// Waits for the end of a long job.
async fn ended(app: &TestApp, id: &str) -> Value {
    eventually(Duration::from_secs(900), async || {
        hurry(app).await;
        let job = app.client.job(id).await;
        let is_over = ["succeeded", "discarded", "cancelled"]
            .contains(&job["state"].as_str().unwrap_or_default());
        is_over
            .then_some(job.clone())
            .ok_or_else(|| job.to_string())
    })
    .await
}
