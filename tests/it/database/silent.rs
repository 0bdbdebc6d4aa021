//! Connections that go silent without being closed are replaced, whatever waits on them.

use super::{email, ready_says};
use crate::support::{
    TestDb,
    client::Client,
    eventually,
    silent_proxy::SilentProxy,
    system::{Api, Worker},
};
use std::time::Duration;

/// The promise, from the moment when the connections go silent.
const REPLACED: Duration = Duration::from_secs(60);

/// A database that is reached through the proxy.
fn through(proxy: &SilentProxy, db: &TestDb) -> String {
    let url = db.url();
    let (start, rest) = url.split_once('@').expect("a user");
    let (_, end) = rest.split_once('/').expect("a database");
    format!("{start}@{}/{end}", proxy.addr)
}

fn port(db: &TestDb) -> u16 {
    let url = db.url();
    let port = url.rsplit_once(':').expect("a port").1;
    port.split(['/', '?']).next().unwrap().parse().unwrap()
}

async fn works(client: &Client, n: u64) -> Result<(), String> {
    let answer = client.submit(&email(n), &format!("k{n}")).await;
    if answer.status != 202 {
        return Err(answer.text);
    }
    let job = client.job(answer.body["id"].as_str().unwrap()).await;
    if job["state"] == "succeeded" {
        Ok(())
    } else {
        Err(job.to_string())
    }
}

#[tokio::test]
async fn silent_connections_are_replaced_under_load_and_in_rest() {
    let db = TestDb::new().await;
    let proxy = SilentProxy::before(port(&db)).await;
    let url = through(&proxy, &db);
    let variables = [("DATABASE_URL", &*url), ("LLM_TESTING_MODE", "true")];
    let (api, worker) = tokio::join!(Api::spawn_at(&url), Worker::spawn_with(&db, &variables));
    let client = api.sign_in(&db).await;
    eventually(REPLACED, async || works(&client, 1).await).await;

    // With a statement under way on every connection that is in use.
    let mut lock = db.pool().begin().await.unwrap();
    sqlx::raw_sql("lock table jobs, sessions in access exclusive mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let request = client.submission(&email(2), "k2");
        async move { drop(request.send().await) }
    });
    eventually(REPLACED, async || {
        let waiting: i64 = db
            .one("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()")
            .await;
        if waiting > 1 { Ok(()) } else { Err("nobody waits".to_owned()) }
    })
    .await;
    proxy.silence();
    lock.rollback().await.unwrap();
    eventually(REPLACED, async || works(&client, 2).await).await;
    waiting.abort();

    // With nothing under way.
    proxy.silence();
    eventually(REPLACED, async || works(&client, 3).await).await;
    for ops in [api.ops, worker.ops] {
        ready_says(ops, 200, "ok").await;
    }
    let counted: i64 = db
        .one("select coalesce(sum(errors), 0)::bigint from finished_jobs")
        .await;
    assert_eq!(counted, 0, "no attempt counts");
}
