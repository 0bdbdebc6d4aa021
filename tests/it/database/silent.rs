//! Connections that go silent without being closed are replaced, whatever waits on them.

use super::{Address, email, ready_says};
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
    let direct = Address::of(&db);
    let proxy = SilentProxy::before(direct.port).await;
    let url = Address {
        host: proxy.addr.ip().to_string(),
        port: proxy.addr.port(),
        ..direct
    }
    .url();
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
