//! A URL with several hosts leads to the one that answers.

use super::email;
use crate::support::{
    TestDb,
    process::Process,
    system::{Api, Worker},
};

#[tokio::test]
async fn url_with_several_hosts_serves_both_processes_and_migrations() {
    let db = TestDb::new().await;
    let url = db.url();
    let (start, rest) = url.split_once('@').unwrap();
    let (host, end) = rest.split_once('/').unwrap();
    let database = end.split('?').next().unwrap();
    // Nobody listens at the first.
    let several = format!("{start}@127.0.0.1:1,{host}/{database}?target_session_attrs=read-write");
    let migrate = Process::spawn("postroom-api", &["migrate"], &[("DATABASE_URL", &several)]);
    let ended = migrate.ended().await;
    assert!(ended.status.success(), "{}", ended.stderr);
    let variables = [("DATABASE_URL", &*several), ("LLM_TESTING_MODE", "true")];
    let (api, _worker) = tokio::join!(Api::spawn_at(&several), Worker::spawn_with(&db, &variables));
    let client = api.sign_in(&db).await;
    let id = client.submitted(&email(1), "k").await;
    assert_eq!(client.finished(&id).await["state"], "succeeded");
}
