//! Postgres is far away: 200 ms there and back.

use super::{Address, email, ready_says, readyz};
use crate::support::{
    TestDb,
    silent_proxy::SilentProxy,
    system::{Api, Worker},
};
use std::time::Duration;

#[tokio::test]
async fn processes_are_ready_and_work_with_200_ms_to_the_database() {
    let db = TestDb::new().await;
    let direct = Address::of(&db);
    let proxy = SilentProxy::far_from(direct.port, Duration::from_millis(100)).await;
    let url = Address {
        host: proxy.addr.ip().to_string(),
        port: proxy.addr.port(),
        ..direct
    }
    .url();
    let variables = [("DATABASE_URL", &*url), ("LLM_TESTING_MODE", "true")];
    let (api, worker) = tokio::join!(Api::spawn_at(&url), Worker::spawn_with(&db, &variables));
    let client = api.sign_in(&db).await;
    for ops in [api.ops, worker.ops] {
        ready_says(ops, 200, "ok").await;
        // Not once in a while: an orchestrator asks every few seconds.
        for _ in 0..5 {
            let (status, text) = readyz(ops).await;
            assert_eq!(status, 200, "{text}");
        }
    }
    let id = client.submitted(&email(1), "k").await;
    assert_eq!(client.finished(&id).await["state"], "succeeded");
}
