//! Workers die in the middle of sending, again and again, wherever they happen to be: the server never has an email twice, and
//! the ledger never says something else than the server.

use super::{TestApp, ask, send_action, server::app_sending_by};
use crate::support::{aiosmtpd::Aiosmtpd, eventually, wait::SOON};
use rand::{RngExt as _, SeedableRng, rngs::StdRng};
use serde_json::json;
use std::collections::HashMap;

const SEED: u64 = 20_261_123;
const KILLS: usize = 200;
const EMAILS_A_ROUND: usize = 2;

async fn steps(app: &TestApp) -> i64 {
    app.db
        .one("select count(*) from audit_entries where action like 'effect.%'")
        .await
}

#[tokio::test]
async fn two_hundred_killed_workers_send_no_mail_twice() {
    let server = Aiosmtpd::start();
    let app = app_sending_by(&server).await;
    app.db
        .execute("update connections set sends_per_hour = 10000")
        .await;
    let mut random = StdRng::seed_from_u64(SEED);
    // They ask nobody: what is to be shown here is what happens once somebody has agreed.
    let written = {
        let _worker = app.worker().await;
        let mut approvals = Vec::new();
        for batch in 0..KILLS * EMAILS_A_ROUND / 50 {
            let emails: Vec<_> = (0..50)
                .map(|n| send_action(&format!("Mail {batch} {n}")))
                .collect();
            let asked = ask(&app.client, &json!({ "actions": emails })).await;
            let id = asked.body["id"].as_str().unwrap();
            let job = app.client.finished(id).await;
            for action in job["output"]["actions"].as_array().unwrap() {
                approvals.push(action["approval_id"].as_str().unwrap().to_owned());
            }
        }
        approvals
    };
    let mut rounds = written.chunks(EMAILS_A_ROUND);
    let mut kills = 0;
    while kills < KILLS {
        for approval in rounds.next().unwrap_or_default() {
            app.agree(approval).await;
        }
        let mut worker = app.worker().await;
        // After some steps of some emails; which ones is up to the machine.
        let wanted = steps(&app).await + random.random_range(0..=5);
        let deadline = tokio::time::timeout(std::time::Duration::from_secs(3), async {
            while steps(&app).await < wanted {
                tokio::task::yield_now().await;
            }
        });
        drop(deadline.await);
        worker.process.kill();
        kills += 1;
    }
    let _worker = app.worker().await;
    eventually(SOON * 3, async || {
        let left: i64 = app
            .db
            .one("select (select count(*) from jobs) + (select count(*) from effects where status in ('intent', 'in_flight'))")
            .await;
        if left == 0 { Ok(()) } else { Err(format!("{left} left")) }
    })
    .await;
    let mut copies: HashMap<String, i64> = HashMap::new();
    for mail in server.received() {
        *copies
            .entry(mail.header("message-id").unwrap())
            .or_default() += 1;
    }
    let twice: Vec<_> = copies.iter().filter(|(_, copies)| **copies > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let ledger: String = app
        .db
        .one("select string_agg(rfc_message_id || ' ' || status, e'\n') from effects")
        .await;
    let mut ends: HashMap<String, i64> = HashMap::new();
    for line in ledger.lines() {
        let (message_id, status) = line.split_once(' ').unwrap();
        let held = copies.remove(message_id).unwrap_or_default();
        let true_to_the_server = match status {
            "succeeded" => held == 1,
            "retryable" | "failed_permanent" => held == 0,
            "unknown" | "needs_human" => true,
            _ => false,
        };
        assert!(true_to_the_server, "{status}, and {held} copies");
        *ends.entry(status.to_owned()).or_default() += 1;
    }
    assert!(copies.is_empty(), "emails that the ledger does not know");
    assert!(ends["succeeded"] > 0, "{ends:?}");
    println!("{kills} kills: {ends:?}");
}
