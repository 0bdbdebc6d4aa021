//! What is remembered for a user: caps, keys, ends and provenance hold for many writers at once and for any sequence of
//! operations; what a prompt is given is in scope, alive and the user's own.

mod http;
mod prompt;
mod properties;
mod sweep;

use crate::support::{Client, TestDb};
use base::{TenantId, clock::Clock};
use chrono::Utc;
use futures::future::join_all;
use jobs::{
    commands::memory::{
        Cause, Change, ExpectedVersion, MemoryError, StoreOutcome, change_memory, put_note, store,
    },
    domain::{
        Actor, MemoryId, Session, SessionId, UserId,
        memory::{Level, MemoryScope, NewMemory, Provenance},
        session::{AuthMethod, Caller, Role},
    },
};
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;

/// The owner of a tenant of their own, as a request of theirs is known.
async fn somebody(db: &TestDb) -> Session {
    let tenant = Client::owner_of_new_tenant(db).await.tenant;
    colleague(db, tenant).await
}

async fn colleague(db: &TestDb, tenant: TenantId) -> Session {
    let user = UserId::new();
    db.execute(&format!(
        "insert into users (tenant_id, id, email, role, password_hash)
         values ('{tenant}', '{user}', '{}@postroom.example', 'member', 'none')",
        user.0.simple()
    ))
    .await;
    let now: chrono::DateTime<Utc> = Clock::System.now();
    Session {
        id: SessionId::new(),
        tenant,
        user,
        caller: Caller::User(Role::Member),
        auth_method: AuthMethod::Dev,
        fresh: true,
        paused: false,
        must_enrol: false,
        created_at: now,
        expires_at: now,
        client_request_id: None,
        idle_expires_at: now,
    }
}

fn item(level: Level, key: &str, value: Value, provenance: Provenance) -> NewMemory {
    NewMemory {
        level,
        scope: MemoryScope::global(),
        key: key.into(),
        value,
        provenance,
        confidence: 0.8,
        pinned: false,
        expires_at: None,
    }
}

/// What a job remembers for the user.
async fn learn(
    db: &TestDb,
    session: &Session,
    item: NewMemory,
) -> Result<StoreOutcome, MemoryError> {
    let cause = Cause {
        actor: Actor::System,
        job: None,
        request_id: None,
        client_request_id: None,
        at: Clock::System.now(),
    };
    let mut tx = db.pool().begin().await.unwrap();
    let done = store(
        &mut tx,
        session.tenant,
        session.user,
        item,
        ExpectedVersion::Any,
        cause,
    )
    .await?;
    tx.commit().await.unwrap();
    Ok(done)
}

/// What a user tells, in a level, whatever else is remembered there.
async fn store_note(
    db: &TestDb,
    session: &Session,
    level: Level,
    key: &str,
    value: &str,
) -> MemoryId {
    let note = item(level, key, json!(value), Provenance::User);
    let now = Clock::System.now();
    match put_note(db.pool(), session, note, None, "req-memory", now)
        .await
        .unwrap()
    {
        StoreOutcome::New(item) => item.id,
        other => panic!("{key} is remembered already: {other:?}"),
    }
}

async fn change(db: &TestDb, session: &Session, seen: (MemoryId, i32), to: Change) {
    let now = Clock::System.now();
    let seen = (seen.0, &seen.1.into());
    change_memory(db.pool(), session, seen, to, "req-memory", now)
        .await
        .unwrap();
}

#[tokio::test]
async fn full_level_evicts_what_was_used_least_recently_and_nothing_that_is_pinned() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    let mut ids = Vec::new();
    for n in 0..50 {
        ids.push(store_note(&db, &user, Level::Narrative, &format!("story {n}"), "x").await);
    }
    change(&db, &user, (ids[0], 1), Change::Pin).await;
    // Used just now, so that the third is the oldest of those that may go.
    db.execute(&format!(
        "update memory_items set last_used_at = clock_timestamp() where id = '{}'",
        ids[1]
    ))
    .await;
    store_note(&db, &user, Level::Narrative, "one more", "x").await;
    let evicted: String = db
        .one("select string_agg(id::text, ' ') from memory_items where status = 'evicted'")
        .await;
    assert_eq!(evicted, ids[2].to_string());
    let entry: String = db
        .one("select resource_id from audit_entries where action = 'memory.evicted' and actor_kind = 'system'")
        .await;
    assert_eq!(entry, evicted);
    // Other levels, and other users, have room of their own.
    store_note(&db, &user, Level::Semantic, "fact", "x").await;
    let other = colleague(&db, user.tenant).await;
    store_note(&db, &other, Level::Narrative, "story", "x").await;
    assert_eq!(
        db.one::<i64>("select count(*) from memory_items where status = 'evicted'")
            .await,
        1
    );
}

#[tokio::test]
async fn what_is_all_pinned_takes_nothing_more() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    for n in 0..50 {
        store_note(&db, &user, Level::Narrative, &format!("story {n}"), "x").await;
    }
    db.execute("update memory_items set pinned = true").await;
    let more = item(Level::Narrative, "one more", json!("x"), Provenance::Llm);
    let refused = learn(&db, &user, more).await;
    assert!(
        matches!(refused, Err(MemoryError::Full { cap: 50 })),
        "{refused:?}"
    );
    // What takes another's place needs no room.
    let again = item(
        Level::Narrative,
        "story 7",
        json!("y"),
        Provenance::UserEdit,
    );
    assert!(matches!(
        learn(&db, &user, again).await,
        Ok(StoreOutcome::Replaced(_))
    ));
}

#[tokio::test]
async fn cap_holds_under_fifty_writers_at_once() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    for n in 0..45 {
        store_note(&db, &user, Level::Narrative, &format!("story {n}"), "x").await;
    }
    let many = PgPoolOptions::new()
        .max_connections(25)
        .connect(&db.url())
        .await
        .unwrap();
    let now = Clock::System.now();
    let writers = (0..50).map(|n| {
        let (many, user) = (&many, &user);
        async move {
            let key = format!("writer {n}");
            let note = item(Level::Narrative, &key, json!(n), Provenance::User);
            put_note(many, user, note, None, "req-memory", now).await
        }
    });
    for done in join_all(writers).await {
        assert!(matches!(done, Ok(StoreOutcome::New(_))), "{done:?}");
    }
    let (kept, evicted): (i64, i64) = (
        db.one("select count(*) from memory_items where status = 'active'")
            .await,
        db.one("select count(*) from memory_items where status = 'evicted'")
            .await,
    );
    assert_eq!((kept, evicted), (50, 45));
    let of_writers: i64 = db
        .one("select count(*) from memory_items where status = 'active' and key like 'writer %'")
        .await;
    assert_eq!(of_writers, 50);
}

#[tokio::test]
async fn of_writers_of_one_key_at_once_one_is_first_and_the_others_learn_of_it() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    let now = Clock::System.now();
    let writers = (0..12).map(|n| {
        let (db, user) = (&db, &user);
        async move {
            let note = item(Level::Semantic, "sign-off", json!(n), Provenance::User);
            put_note(db.pool(), user, note, None, "req-memory", now).await
        }
    });
    let done = join_all(writers).await;
    let first = done.iter().filter(|done| done.is_ok()).count();
    let refused = done
        .iter()
        .filter(|done| matches!(done, Err(MemoryError::Unseen)));
    assert_eq!((first, refused.count()), (1, 11));
}

#[tokio::test]
async fn email_or_a_model_writes_no_fact_and_no_habit_not_even_past_the_code() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    for level in ["semantic", "procedural"] {
        for provenance in ["llm", "email"] {
            let mut conn = db.pool().acquire().await.unwrap();
            let sql = format!(
                "insert into memory_items (tenant_id, id, user_id, level, scope, scope_value, key, value, provenance,
                     confidence, pinned, version)
                 values ('{}', gen_random_uuid(), '{}', '{level}', 'global', '', 'k', '1', '{provenance}', 1, false, 1)",
                user.tenant, user.user
            );
            let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                .execute(&mut *conn)
                .await
                .unwrap_err();
            let constraint = refused
                .as_database_error()
                .and_then(|error| error.constraint());
            assert_eq!(
                constraint,
                Some("memory_items_poisoning"),
                "{level} {provenance}"
            );
        }
    }
    let read = item(
        Level::Semantic,
        "bank account",
        json!("DE00"),
        Provenance::Email,
    );
    assert_eq!(read.checked().unwrap_err().field, "level");
}

#[tokio::test]
async fn what_was_read_never_replaces_what_the_user_said() {
    let db = TestDb::new().await;
    let user = somebody(&db).await;
    let id = store_note(&db, &user, Level::Episodic, "last call", "on Monday").await;
    for provenance in [Provenance::Llm, Provenance::Email] {
        let read = item(Level::Episodic, "last call", json!("never"), provenance);
        match learn(&db, &user, read).await.unwrap() {
            StoreOutcome::Outranked(stands) => {
                assert_eq!((stands.id, stands.value), (id, json!("on Monday")));
            }
            other => panic!("{other:?}"),
        }
    }
    // The other way round it is the user's edit.
    let read = item(
        Level::Episodic,
        "next call",
        json!("never"),
        Provenance::Email,
    );
    learn(&db, &user, read).await.unwrap();
    let said = item(
        Level::Episodic,
        "next call",
        json!("on Friday"),
        Provenance::User,
    );
    match learn(&db, &user, said).await.unwrap() {
        StoreOutcome::Replaced(item) => {
            assert_eq!((item.provenance, item.version), (Provenance::UserEdit, 2));
        }
        other => panic!("{other:?}"),
    }
}
