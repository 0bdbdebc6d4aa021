//! What time and the calendar do to blocks: they expire, are booked within another transaction, and are displaced.

use super::{at, block, decide, patch, status};
use crate::support::{
    Client, TestDb, eventually,
    system::{TestApi, Worker},
    wait::SOON,
};
use base::clock::Clock;
use futures::future::join_all;
use jobs::{
    commands::blocks::{BlockCommand, BlockError, Cause, expire_blocks, step_block},
    domain::{Actor, BlockId, UserId},
};
use serde_json::json;

const PASS: &str =
    "update blocks set start_at = now() - interval '2 hours', end_at = now() - interval '1 hour'
                    where title like 'past%'";

async fn user_of(db: &TestDb, client: &Client) -> UserId {
    let _ = client;
    UserId(db.one("select user_id from blocks limit 1").await)
}

/// What a worker does to a block as it is.
async fn step(
    db: &TestDb,
    client: &Client,
    id: &str,
    command: BlockCommand,
) -> Result<(), BlockError> {
    let user = user_of(db, client).await;
    let cause = Cause {
        actor: Actor::System,
        request_id: None,
        client_request_id: None,
        at: Clock::System.now(),
    };
    let id: BlockId = id.parse().unwrap();
    let mut tx = db.pool().begin().await.unwrap();
    step_block(&mut tx, (client.tenant, user), id, None, command, cause).await?;
    tx.commit().await.unwrap();
    Ok(())
}

#[tokio::test]
async fn blocks_that_nobody_decided_about_expire_each_once_and_in_batches() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    for n in 0..7 {
        block(&client, &format!("past {n}"), "09:00", "10:00").await;
    }
    let open = block(&client, "open", "09:00", "10:00").await;
    let agreed = block(&client, "past and agreed", "11:00", "12:00").await;
    assert_eq!(decide(&client, &agreed, "accept", 1).await.status, 200);
    db.execute(PASS).await;
    assert_eq!(expire_blocks(db.pool(), 3).await.unwrap(), 3);
    let rest = join_all((0..4).map(|_| expire_blocks(db.pool(), 500))).await;
    assert_eq!(rest.into_iter().map(Result::unwrap).sum::<u64>(), 4);
    let entries: i64 = db
        .one("select count(distinct object_id) from history_entries where verb = 'expired' and user_id is not null")
        .await;
    let audited: i64 = db
        .one("select count(*) from audit_entries where action = 'block.expired' and actor_kind = 'system'")
        .await;
    assert_eq!((entries, audited), (7, 7));
    assert_eq!(status(&client, &open).await, "proposed");
    assert_eq!(status(&client, &agreed).await, "accepted");
}

#[tokio::test]
async fn worker_expires_blocks_and_a_late_accept_is_refused_before_it_does() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = block(&client, "past", "09:00", "10:00").await;
    db.execute(PASS).await;
    decide(&client, &id, "accept", 1)
        .await
        .assert_problem(409, "CONFLICT", "too late");
    let _worker = Worker::spawn(&db).await;
    eventually(SOON, async || {
        let now = status(&client, &id).await;
        (now == "expired").then_some(()).ok_or(now)
    })
    .await;
}

#[tokio::test]
async fn accepted_block_is_booked_keeps_its_time_and_is_cancelled() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = block(&client, "Write", "09:00", "10:00").await;
    let book = BlockCommand::Book {
        event_ref: "https://dav.example/1.ics".into(),
        event_etag: Some("\"7\"".into()),
    };
    let early = step(&db, &client, &id, book.clone()).await;
    assert!(matches!(early, Err(BlockError::Refused(_))), "{early:?}");
    assert_eq!(decide(&client, &id, "accept", 1).await.status, 200);
    step(&db, &client, &id, book).await.unwrap();
    let booked = client.get(&format!("/v1/blocks/{id}")).await;
    assert_eq!(
        (
            &booked.body["status"],
            &booked.body["event_ref"],
            booked.header("etag")
        ),
        (
            &json!("booked"),
            &json!("https://dav.example/1.ics"),
            Some("\"3\"")
        )
    );
    let etag: String = db.one("select event_etag from blocks").await;
    assert_eq!(etag, "\"7\"");
    let rival = block(&client, "Rival", "09:30", "10:30").await;
    decide(&client, &rival, "accept", 1)
        .await
        .assert_problem(409, "CONFLICT", "taken");
    assert_eq!(
        decide(&client, &id, "cancel", 3).await.body["status"],
        "cancelled"
    );
    assert_eq!(decide(&client, &rival, "accept", 1).await.status, 200);
}

#[tokio::test]
async fn displaced_block_gives_its_time_free_and_is_proposed_again_at_another() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = block(&client, "Write", "09:00", "10:00").await;
    assert_eq!(decide(&client, &id, "accept", 1).await.status, 200);
    patch(&client, &id, 2, &json!({"start_at": at("14:00")}))
        .await
        .assert_problem(409, "CONFLICT", "agreed to");
    step(&db, &client, &id, BlockCommand::Displace)
        .await
        .unwrap();
    assert_eq!(status(&client, &id).await, "conflicted");
    decide(&client, &id, "accept", 3)
        .await
        .assert_problem(409, "CONFLICT", "without another time");
    let moved = patch(&client, &id, 3, &json!({"start_at": at("14:00")})).await;
    assert_eq!(
        (&moved.body["status"], &moved.body["end_at"]),
        (&json!("proposed"), &json!(at("15:00")))
    );
    assert_eq!(decide(&client, &id, "accept", 4).await.status, 200);
}
