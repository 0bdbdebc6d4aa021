//! The log is for people: a process works on when it cannot be written.

use crate::support::{TestDb, corpus::fixture, process::Process, system::Api};

#[tokio::test]
async fn worker_works_on_when_the_disk_of_its_log_is_full() {
    let db = TestDb::new().await;
    let url = db.url();
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("WORKER_OPS_ADDR", "127.0.0.1:0"),
        ("LLM_TESTING_MODE", "true"),
    ];
    let mut worker = Process::spawn_with_full_log("postroom-worker", &variables);
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    let id = client.submitted(&fixture("plain-question"), "k").await;
    assert_eq!(client.finished(&id).await["state"], "succeeded");
    assert!(worker.is_running());
}
