//! What a prompt is given of the memory.

use super::{change, colleague, item, learn, somebody, store_note};
use crate::support::TestDb;
use futures::future::join_all;
use jobs::{
    commands::memory::Change,
    domain::{
        Session,
        memory::{Level, MemoryScope, NewMemory, Provenance, ScopeKind},
    },
    store::memory_items::{Recalled, for_prompt},
};
use serde_json::json;

async fn recall(db: &TestDb, user: &Session, scopes: &[MemoryScope]) -> Vec<Recalled> {
    let mut conn = db.pool().acquire().await.unwrap();
    for_prompt(&mut conn, user.tenant, user.user, scopes)
        .await
        .unwrap()
}

fn keys(recalled: &[Recalled]) -> Vec<&str> {
    recalled.iter().map(|item| item.key.as_str()).collect()
}

async fn note(db: &TestDb, user: &Session, scope: MemoryScope, key: &str) {
    let note = item(Level::Semantic, key, json!(key), Provenance::User);
    learn(db, user, NewMemory { scope, ..note }).await.unwrap();
}

#[tokio::test]
async fn prompt_is_given_what_holds_everywhere_and_in_its_scopes_and_nobody_else_s() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    let of = |kind, value| MemoryScope::parse(kind, value).unwrap();
    note(&db, &user, MemoryScope::global(), "everywhere").await;
    note(
        &db,
        &user,
        of(ScopeKind::Sender, "ada@client.com"),
        "for Ada",
    )
    .await;
    note(
        &db,
        &user,
        of(ScopeKind::Domain, "client.com"),
        "for the client",
    )
    .await;
    note(
        &db,
        &user,
        of(ScopeKind::Sender, "eve@client.com"),
        "for Eve",
    )
    .await;
    // The same word as a topic is another scope.
    note(
        &db,
        &user,
        of(ScopeKind::Topic, "client.com"),
        "on the topic",
    )
    .await;
    let same_tenant = colleague(&db, user.tenant).await;
    note(&db, &same_tenant, MemoryScope::global(), "a colleague's").await;
    let stranger = somebody(&db).await;
    note(&db, &stranger, MemoryScope::global(), "a stranger's").await;
    let scopes = MemoryScope::of_sender("Ada@Client.com");
    let recalled = recall(&db, &user, &scopes).await;
    assert_eq!(keys(&recalled), ["for the client", "for Ada", "everywhere"]);
    assert_eq!(keys(&recall(&db, &user, &[]).await), ["everywhere"]);
    assert_eq!(
        keys(&recall(&db, &stranger, &scopes).await),
        ["a stranger's"]
    );
}

#[tokio::test]
async fn of_each_level_the_youngest_five_come_and_what_is_pinned_first() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    let pinned = store_note(&db, &user, Level::Semantic, "fact 0", "x").await;
    for n in 1..8 {
        store_note(&db, &user, Level::Semantic, &format!("fact {n}"), "x").await;
    }
    store_note(&db, &user, Level::Episodic, "event", "x").await;
    change(&db, &user, (pinned, 1), Change::Pin).await;
    let recalled = recall(&db, &user, &[]).await;
    assert_eq!(
        keys(&recalled),
        ["fact 0", "event", "fact 7", "fact 6", "fact 5", "fact 4"]
    );
}

#[tokio::test]
async fn what_does_not_fit_a_prompt_is_left_out_and_not_counted_as_used() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    for key in ["old", "new"] {
        store_note(&db, &user, Level::Procedural, key, &"x".repeat(3_500)).await;
    }
    assert_eq!(keys(&recall(&db, &user, &[]).await), ["new"]);
    let used: String = db
        .one("select string_agg(key || ' ' || use_count, ', ' order by key) from memory_items")
        .await;
    assert_eq!(used, "new 1, old 0");
}

#[tokio::test]
async fn being_read_keeps_an_item_from_being_the_oldest() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    store_note(&db, &user, Level::Semantic, "fact", "x").await;
    db.execute("update memory_items set last_used_at = now() - interval '1 year'")
        .await;
    let recalled = recall(&db, &user, &[]).await;
    let recent: String = db
        .one("select id::text from memory_items where last_used_at > now() - interval '1 minute' and use_count = 1")
        .await;
    assert_eq!(recent, recalled[0].id.to_string());
}

#[tokio::test]
async fn item_is_not_read_from_the_moment_its_time_is_over() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    for key in ["past", "present"] {
        store_note(&db, &user, Level::Episodic, key, "x").await;
    }
    db.execute(
        "update memory_items set expires_at = now() - interval '1 second' where key = 'past'",
    )
    .await;
    assert_eq!(keys(&recall(&db, &user, &[]).await), ["present"]);
}

#[tokio::test]
async fn prompts_at_the_same_time_wait_neither_for_each_other_nor_for_a_writer() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    for n in 0..5 {
        store_note(&db, &user, Level::Semantic, &format!("fact {n}"), "x").await;
    }
    let mut writer = db.pool().begin().await.unwrap();
    sqlx::raw_sql("update memory_items set confidence = 0.5")
        .execute(&mut *writer)
        .await
        .unwrap();
    let all = join_all((0..10).map(|_| recall(&db, &user, &[]))).await;
    assert!(all.iter().all(|recalled| recalled.len() == 5));
    writer.rollback().await.unwrap();
}
