//! A URL with several hosts leads to the one that answers.

use super::{Address, email};
use crate::support::{
    TestDb,
    process::Process,
    system::{Api, Worker},
};

#[tokio::test]
async fn url_with_several_hosts_serves_both_processes_and_migrations() {
    let db = TestDb::new().await;
    let address = Address::of(&db);
    // Nobody listens at the first.
    let several = Address {
        host: format!("127.0.0.1:1,{}", address.host),
        ..address
    };
    let several = format!("{}?target_session_attrs=read-write", several.url());
    let migrate = Process::spawn("postroom-api", &["migrate"], &[("DATABASE_URL", &several)]);
    let ended = migrate.ended().await;
    assert!(ended.status.success(), "{}", ended.stderr);
    let variables = [("DATABASE_URL", &*several), ("LLM_TESTING_MODE", "true")];
    let (api, _worker) = tokio::join!(Api::spawn_at(&several), Worker::spawn_with(&db, &variables));
    let client = api.sign_in(&db).await;
    let id = client.submitted(&email(1), "k").await;
    assert_eq!(client.finished(&id).await["state"], "succeeded");
}
