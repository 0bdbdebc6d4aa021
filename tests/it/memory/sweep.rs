//! Expired memories are deleted by one worker of all, in small batches, and purged later.

use super::{colleague, somebody, store_note};
use crate::support::{TestDb, eventually, system::Worker, wait::SOON};
use futures::future::join_all;
use jobs::{commands::memory::sweep_memory, domain::memory::Level};

const OVER: &str =
    "update memory_items set expires_at = now() - interval '1 second' where key like 'past%'";

#[tokio::test]
async fn items_expire_each_once_and_in_batches() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    for n in 0..7 {
        store_note(&db, &user, Level::Episodic, &format!("past {n}"), "x").await;
    }
    store_note(&db, &user, Level::Episodic, "present", "x").await;
    db.execute(OVER).await;
    assert_eq!(sweep_memory(db.pool(), 3).await.unwrap(), 3);
    let rest = join_all((0..4).map(|_| sweep_memory(db.pool(), 500))).await;
    assert_eq!(rest.into_iter().map(Result::unwrap).sum::<u64>(), 4);
    let audited: i64 = db
        .one(
            "select count(distinct resource_id) from audit_entries where action = 'memory.expired'",
        )
        .await;
    let twice: i64 = db
        .one("select count(*) - count(distinct resource_id) from audit_entries where action = 'memory.expired'")
        .await;
    let alive: String = db
        .one("select string_agg(key, ' ') from memory_items where status = 'active'")
        .await;
    assert_eq!((audited, twice, alive.as_str()), (7, 0, "present"));
    let entries: String = db
        .one(
            "select count(distinct object_id) || ' ' || bool_and(user_id is not null) || ' ' || min(rationale)
             from history_entries where verb = 'expired'",
        )
        .await;
    assert_eq!(entries, "7 true episodic memory");
}

#[tokio::test]
async fn expired_item_neither_counts_nor_holds_its_key_before_it_is_swept() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    for n in 0..50 {
        store_note(&db, &user, Level::Narrative, &format!("past {n}"), "x").await;
    }
    db.execute(OVER).await;
    store_note(&db, &user, Level::Narrative, "past 3", "again").await;
    let states: String = db
        .one(
            "select string_agg(status || ' ' || n, ', ' order by status)
             from (select status, count(*) as n from memory_items group by status) as states",
        )
        .await;
    assert_eq!(states, "active 1, expired 50");
}

#[tokio::test]
async fn what_ended_a_week_ago_is_gone_for_good_and_nothing_else() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    let other = colleague(&db, user.tenant).await;
    store_note(&db, &user, Level::Episodic, "past", "x").await;
    store_note(&db, &other, Level::Episodic, "past", "x").await;
    store_note(&db, &user, Level::Episodic, "present", "x").await;
    db.execute(OVER).await;
    sweep_memory(db.pool(), 500).await.unwrap();
    db.execute(&format!(
        "update memory_items set ended_at = now() - interval '8 days' where status = 'expired' and user_id = '{}'",
        user.user
    ))
    .await;
    assert_eq!(sweep_memory(db.pool(), 500).await.unwrap(), 1);
    assert_eq!(sweep_memory(db.pool(), 500).await.unwrap(), 0);
    let left: String = db
        .one("select string_agg(key || ' ' || status, ', ' order by key) from memory_items")
        .await;
    assert_eq!(left, "past expired, present active");
}

#[tokio::test]
async fn worker_sweeps_the_memory() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    store_note(&db, &user, Level::Episodic, "past", "x").await;
    db.execute(OVER).await;
    let _worker = Worker::spawn(&db).await;
    eventually(SOON, async || {
        let status: String = db.one("select status from memory_items").await;
        (status == "expired").then_some(()).ok_or(status)
    })
    .await;
}
