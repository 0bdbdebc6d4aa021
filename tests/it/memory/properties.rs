//! Whatever is done in whatever order, the memory keeps its rules.

use super::{item, learn, somebody, store_note};
use crate::support::TestDb;
use base::clock::Clock;
use jobs::{
    commands::memory::{Change, MemoryError, change_memory, sweep_memory},
    domain::{
        MemoryId, Session,
        memory::{Level, MemoryScope, NewMemory, Provenance, ScopeKind},
    },
    store::memory_items,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use std::collections::HashSet;

/// One thing that a user, a job or the passing of time does.
#[derive(Clone, Debug)]
enum Op {
    Write {
        level: Level,
        sender: bool,
        key: u8,
        value: u8,
        provenance: Provenance,
        pinned: bool,
    },
    Change {
        which: usize,
        change: Change,
    },
    /// The time of every item with this key is over.
    PassTime {
        key: u8,
    },
    Sweep,
    Prompt {
        sender: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let level = prop_oneof![
        // The smallest cap, and full from the start.
        3 => Just(Level::Narrative),
        1 => Just(Level::Semantic),
        1 => Just(Level::Episodic),
    ];
    let provenance = proptest::sample::select(Provenance::ALL.to_vec());
    let write = (
        level,
        any::<bool>(),
        0..60_u8,
        0..3_u8,
        provenance,
        proptest::bool::weighted(0.2),
    );
    let change = proptest::sample::select(vec![Change::Pin, Change::Unpin, Change::Delete]);
    prop_oneof![
        8 => write.prop_map(|(level, sender, key, value, provenance, pinned)| {
            Op::Write { level, sender, key, value, provenance, pinned }
        }),
        3 => (any::<usize>(), change).prop_map(|(which, change)| Op::Change { which, change }),
        1 => (0..60_u8).prop_map(|key| Op::PassTime { key }),
        1 => Just(Op::Sweep),
        1 => any::<bool>().prop_map(|sender| Op::Prompt { sender }),
    ]
}

fn ada() -> MemoryScope {
    MemoryScope::parse(ScopeKind::Sender, "ada@client.com").unwrap()
}

/// Does it, and says what a prompt was given.
async fn apply(db: &TestDb, user: &Session, op: Op) -> Vec<MemoryId> {
    match op {
        Op::Write {
            level,
            sender,
            key,
            value,
            provenance,
            pinned,
        } => {
            let scope = if sender { ada() } else { MemoryScope::global() };
            let new = item(level, &format!("story {key}"), json!(value), provenance);
            match (NewMemory {
                scope,
                pinned,
                ..new
            })
            .checked()
            {
                Ok(new) => match learn(db, user, new).await {
                    Ok(_) | Err(MemoryError::Full { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                },
                Err(fault) => assert!(!provenance.may_write(level), "{fault}"),
            }
        }
        Op::Change { which, change } => {
            let mut conn = db.pool().acquire().await.unwrap();
            let filter = memory_items::MemoryFilter::default();
            let all = memory_items::list(&mut conn, user.tenant, user.user, &filter, None, 500)
                .await
                .unwrap();
            drop(conn);
            if let Some(item) = all.get(which % all.len().max(1)) {
                let (seen, now) = ((item.id, &item.version.into()), Clock::System.now());
                change_memory(db.pool(), user, seen, change, "req-memory", now)
                    .await
                    .unwrap();
            }
        }
        Op::PassTime { key } => {
            db.execute(&format!(
                "update memory_items set expires_at = now() - interval '1 second'
                 where status = 'active' and key = 'story {key}'"
            ))
            .await;
        }
        Op::Sweep => drop(sweep_memory(db.pool(), 500).await.unwrap()),
        Op::Prompt { sender } => {
            let scopes = if sender { vec![ada()] } else { vec![] };
            let mut conn = db.pool().acquire().await.unwrap();
            let recalled = memory_items::for_prompt(&mut conn, user.tenant, user.user, &scopes)
                .await
                .unwrap();
            assert!(recalled.len() <= 20);
            return recalled.into_iter().map(|item| item.id).collect();
        }
    }
    Vec::new()
}

/// What no sequence of operations may bring about, by statements that know nothing of the code.
async fn hold(db: &TestDb, read: &[MemoryId]) {
    let crowded: i64 = db
        .one(
            "select count(*) from (
                 select level, count(*) as n from memory_items where status = 'active' group by user_id, level) as l
             where n > case level when 'narrative' then 50 when 'procedural' then 100 when 'semantic' then 200 else 500 end",
        )
        .await;
    assert_eq!(crowded, 0, "a level is over its cap");
    let doubled: i64 = db
        .one(
            "select count(*) from (select from memory_items where status = 'active'
                 group by user_id, level, scope, scope_value, key having count(*) > 1) as twice",
        )
        .await;
    assert_eq!(doubled, 0, "a key is held twice");
    let pinned: i64 = db
        .one("select count(*) from memory_items where status = 'evicted' and pinned")
        .await;
    assert_eq!(pinned, 0, "a pinned item was evicted");
    let poisoned: i64 = db
        .one("select count(*) from memory_items where provenance in ('llm', 'email') and level in ('semantic', 'procedural')")
        .await;
    assert_eq!(poisoned, 0, "an email made a fact");
    let kept: i64 = db
        .one("select count(*) from memory_items where status = 'deleted' and value <> 'null'")
        .await;
    assert_eq!(kept, 0, "what was deleted is still there");
    for id in read {
        let mut conn = db.pool().acquire().await.unwrap();
        let alive: bool = sqlx::query_scalar(
            "select exists (select from memory_items where id = $1 and status = 'active'
                 and coalesce(expires_at > now(), true) and use_count > 0)",
        )
        .bind(id.0)
        .fetch_one(&mut *conn)
        .await
        .unwrap();
        assert!(alive, "a prompt was given {id}, which is not alive");
    }
    assert_eq!(read.iter().collect::<HashSet<_>>().len(), read.len());
}

#[test]
fn no_sequence_of_operations_breaks_a_rule() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let db = runtime.block_on(TestDb::new());
    let config = Config {
        cases: 12,
        failure_persistence: None,
        max_shrink_iters: 64,
        ..Config::default()
    };
    let sequence = proptest::collection::vec(op(), 1..40);
    TestRunner::new(config)
        .run(&sequence, |ops| {
            runtime.block_on(async {
                let user = somebody(&db).await;
                for n in 0..48 {
                    store_note(&db, &user, Level::Narrative, &format!("story {n}"), "x").await;
                }
                for op in ops {
                    let read = apply(&db, &user, op).await;
                    hold(&db, &read).await;
                }
            });
            Ok(())
        })
        .unwrap();
}
