//! `postroom-api admin`: the operators' commands from a shell on the server.

use crate::support::{Client, TestDb, caller::admin, eventually, system::Worker, wait::SOON};

#[tokio::test]
async fn limits_are_set_listed_and_lifted_by_names_that_exist() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let url = db.url();
    let slug = format!("t-{}", tenant.0.simple());
    for (scope, name) in [("queue", "triage"), ("tenant", "*"), ("tenant", &slug)] {
        let set = admin(&url, &["limits", "set", scope, name, "4"]).await;
        assert!(set.status.success(), "{}", set.stderr);
    }
    let listed = admin(&url, &["limits", "list"]).await.stdout;
    let expected = format!(
        "queue triage: at most 4 running\ntenant *: at most 4 running\ntenant {tenant}: at most 4 running\n"
    );
    assert_eq!(listed, expected);
    for wrong in [
        ["set", "queue", "traige", "4"].as_slice(),
        &["set", "kind", "triage", "4"],
        &["set", "tenant", "nobody", "4"],
        &["set", "queue", "triage", "0"],
        &["set", "host", "here", "4"],
        &["remove", "kind", "triage.email"],
    ] {
        let args: Vec<&str> = ["limits"].iter().chain(wrong).copied().collect();
        assert!(!admin(&url, &args).await.status.success(), "{args:?}");
    }
    for name in ["*", &slug] {
        let removed = admin(&url, &["limits", "remove", "tenant", name]).await;
        assert!(removed.status.success(), "{}", removed.stderr);
    }
    let left: String = db
        .one("select string_agg(scope || ' ' || name, ', ') from queue_limits")
        .await;
    assert_eq!(left, "queue triage");
}

#[tokio::test]
async fn workers_are_listed_with_what_they_do() {
    let db = TestDb::new().await;
    let none = admin(&db.url(), &["workers"]).await;
    assert!(none.stdout.starts_with("no worker"), "{}", none.stdout);
    let _worker = Worker::spawn(&db).await;
    eventually(SOON, async || {
        let listed = admin(&db.url(), &["workers"]).await.stdout;
        let is_listed =
            listed.contains(": working, 0 running, 16 slots for each of action, draft, triage");
        is_listed.then_some(()).ok_or(listed)
    })
    .await;
}
