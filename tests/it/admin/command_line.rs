//! `postroom-api admin`: the operators' commands from a shell on the server.

use crate::support::{
    Client, TestDb,
    binaries::binary,
    caller::admin,
    eventually,
    process::{Ended, Process},
    system::Worker,
    wait::SOON,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::process::{Command, Stdio};
use tokio::time::timeout;

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
async fn command_that_would_do_nothing_is_refused_with_what_it_lacks() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let url = db.url();
    let slug = format!("t-{}", tenant.0.simple());
    let of_user = ["--tenant", &slug, "--email", "owner@example.com"];
    let update = [&["user", "update"][..], &of_user].concat();
    let revoke = ["keys", "revoke", "--tenant", &slug, "importer"];
    for (args, says) in [
        (&update[..], "--role <ROLE>"),
        (&revoke[..], "is not an id such as"),
    ] {
        let ended = admin(&url, args).await;
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
    }
}

/// An `admin` command of somebody with this operators' tenant in their shell.
async fn as_operator(db: &TestDb, tenant: &str, args: &[&str]) -> Ended {
    let url = db.url();
    let key = format!("k:{}", STANDARD.encode([7; 32]));
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("OPERATOR_TENANT", tenant),
        ("CREDENTIAL_KEYS", key.as_str()),
    ];
    let args: Vec<&str> = std::iter::once("admin")
        .chain(args.iter().copied())
        .collect();
    Process::spawn("postroom-api", &args, &variables)
        .ended()
        .await
}

#[tokio::test]
async fn acts_of_the_shell_are_recorded_with_the_operators_or_say_that_they_are_not() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let slug = format!("t-{}", tenant.0.simple());
    for args in [
        &["pause", "triage", "--reason", "r"][..],
        &["resume", "triage"],
        &["limits", "set", "queue", "triage", "4"],
        &["limits", "remove", "queue", "triage"],
        &["reseal"],
    ] {
        let refused = as_operator(&db, "mistyped", args).await;
        assert!(!refused.status.success(), "{args:?}");
        assert!(
            refused.stderr.contains("no tenant mistyped"),
            "{}",
            refused.stderr
        );
        let done = as_operator(&db, &slug, args).await;
        assert!(done.status.success(), "{args:?}: {}", done.stderr);
        assert_eq!(done.stderr, "", "{args:?}");
    }
    let recorded: String = db
        .one(
            "select string_agg(action || ' ' || resource_id, ', ' order by seq) from audit_entries
             where actor_kind = 'cli'",
        )
        .await;
    assert_eq!(
        recorded,
        "queue.paused triage, queue.resumed triage, limit.set queue:triage, limit.removed queue:triage, \
         secrets.resealed k"
    );
    let unnamed = admin(&db.url(), &["pause", "triage", "--reason", "r"]).await;
    assert!(
        unnamed.status.success() && unnamed.stderr.contains("not recorded"),
        "{}",
        unnamed.stderr
    );
    assert_eq!(admin(&db.url(), &["queues"]).await.stderr, "");
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

#[tokio::test]
async fn command_whose_reader_has_left_ends_quietly() {
    let db = TestDb::new().await;
    let url = db.url();
    for args in [&["openapi"][..], &["migrate"], &["admin", "audit", "head"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = Command::new(binary("postroom-api"))
            .args(args)
            .env_clear()
            .env("DATABASE_URL", &url)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let ended = tokio::task::spawn_blocking(|| child.wait_with_output());
        let ended = timeout(SOON, ended).await.unwrap().unwrap().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(141), "{args:?}: {said}");
        assert!(!said.contains("postroom-api:"), "{args:?}: {said}");
    }
}
