//! Whatever is done in whatever order, no two blocks that were agreed to overlap, and what ended stays as it ended.

use crate::support::{Client, TestDb};
use base::{TenantId, clock::Clock};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    commands::blocks::{
        BlockCommand, BlockError, BlockProposal, BlockTime, Cause, expire_blocks, propose_block,
        step_block,
    },
    domain::{
        Actor, BlockId, InboxItemId, UserId,
        blocks::{BlockKind, BlockSource, Span},
    },
    store::blocks::{self, BlockFilter},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use std::collections::HashMap;
use uuid::Uuid;

#[derive(Clone, Debug)]
enum Op {
    Propose {
        start: i64,
        length: i64,
        item: u8,
        plan: Option<bool>,
    },
    BlockCommand {
        which: usize,
        command: BlockCommand,
    },
    Move {
        which: usize,
        start: i64,
    },
    PassTime {
        which: usize,
    },
    Expire,
}

fn op() -> impl Strategy<Value = Op> {
    let commands = vec![
        BlockCommand::Accept,
        BlockCommand::Accept,
        BlockCommand::Accept,
        BlockCommand::Reject,
        BlockCommand::Cancel,
        BlockCommand::Displace,
        BlockCommand::Book {
            event_ref: "e".into(),
            event_etag: None,
        },
    ];
    let propose = (
        0..12_i64,
        1..4_i64,
        0..6_u8,
        proptest::option::of(any::<bool>()),
    );
    prop_oneof![
        5 => propose.prop_map(|(start, length, item, plan)| Op::Propose { start, length, item, plan }),
        8 => (any::<usize>(), proptest::sample::select(commands)).prop_map(|(which, command)| Op::BlockCommand { which, command }),
        2 => (any::<usize>(), 0..12_i64).prop_map(|(which, start)| Op::Move { which, start }),
        1 => any::<usize>().prop_map(|which| Op::PassTime { which }),
        1 => Just(Op::Expire),
    ]
}

struct Day<'a> {
    db: &'a TestDb,
    tenant: TenantId,
    user: UserId,
    midnight: DateTime<Utc>,
    set: Uuid,
}

impl Day<'_> {
    fn cause(&self) -> Cause<'static> {
        Cause {
            actor: Actor::System,
            request_id: None,
            client_request_id: None,
            at: self.midnight,
        }
    }

    fn time(&self, hour: i64) -> DateTime<Utc> {
        self.midnight + TimeDelta::hours(hour + 1)
    }

    async fn blocks(&self) -> Vec<(BlockId, String)> {
        let mut conn = self.db.pool().acquire().await.unwrap();
        blocks::list(
            &mut conn,
            self.tenant,
            self.user,
            BlockFilter::default(),
            None,
            200,
        )
        .await
        .unwrap()
        .into_iter()
        .map(|block| (block.id, block.status.to_string()))
        .collect()
    }

    async fn step(&self, which: usize, command: BlockCommand) {
        let blocks = self.blocks().await;
        let Some((id, _)) = blocks.get(which % blocks.len().max(1)) else {
            return;
        };
        let mut tx = self.db.pool().begin().await.unwrap();
        let whose = (self.tenant, self.user);
        match step_block(&mut tx, whose, *id, None, command, self.cause()).await {
            Ok(_) => tx.commit().await.unwrap(),
            Err(BlockError::Refused(_) | BlockError::Taken | BlockError::Past) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn apply(&self, op: Op) {
        match op {
            Op::Propose {
                start,
                length,
                item,
                plan,
            } => {
                let span = Span::new(self.time(start), self.time(start + length)).unwrap();
                let proposal = BlockProposal {
                    title: format!("Item {item}"),
                    kind: BlockKind::Focus,
                    source: BlockSource::Assistant,
                    inbox_item: (item > 2).then(|| InboxItemId(Uuid::from_u128(u128::from(item)))),
                    plan: plan.map(|first| {
                        (
                            self.set,
                            if first { "focus" } else { "balanced" }.to_owned(),
                        )
                    }),
                    when: BlockTime::At(span),
                };
                let mut tx = self.db.pool().begin().await.unwrap();
                propose_block(&mut tx, self.tenant, self.user, proposal, self.cause())
                    .await
                    .unwrap();
                tx.commit().await.unwrap();
            }
            Op::BlockCommand { which, command } => self.step(which, command).await,
            Op::Move { which, start } => {
                let start = Some(self.time(start));
                self.step(
                    which,
                    BlockCommand::Change {
                        title: None,
                        kind: None,
                        start,
                        end: None,
                    },
                )
                .await;
            }
            Op::PassTime { which } => {
                let blocks = self.blocks().await;
                if let Some((id, _)) = blocks.get(which % blocks.len().max(1)) {
                    self.db
                        .execute(&format!(
                            "update blocks set start_at = now() - interval '3 hours',
                                 end_at = now() - interval '2 hours'
                             where id = '{id}' and status in ('proposed', 'conflicted')"
                        ))
                        .await;
                }
            }
            Op::Expire => drop(expire_blocks(self.db.pool(), 500).await.unwrap()),
        }
    }
}

async fn hold(day: &Day<'_>, ended: &mut HashMap<BlockId, String>) {
    let overlaps: i64 = day
        .db
        .one(
            "select count(*) from blocks a join blocks b
                 on a.user_id = b.user_id and a.id < b.id
                 and a.start_at < b.end_at and b.start_at < a.end_at
             where a.status in ('accepted', 'booked') and b.status in ('accepted', 'booked')",
        )
        .await;
    assert_eq!(overlaps, 0, "two blocks were agreed to at once");
    let doubled: i64 = day
        .db
        .one(
            "select count(*) from (
                 select from blocks
                 where inbox_item_id is not null and status in ('proposed', 'conflicted', 'accepted')
                 group by user_id, inbox_item_id, alternatives_id, plan having count(*) > 1) as twice",
        )
        .await;
    assert_eq!(doubled, 0, "one inbox item has two open blocks");
    for (id, status) in day.blocks().await {
        if let Some(former) = ended.get(&id) {
            assert_eq!(former, &status, "{id} did not stay as it had ended");
        } else if ["rejected", "expired", "superseded", "cancelled"].contains(&status.as_str()) {
            ended.insert(id, status);
        }
    }
}

#[test]
fn no_sequence_of_operations_lets_two_agreed_blocks_overlap() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let db = runtime.block_on(TestDb::new());
    let config = Config {
        cases: 16,
        failure_persistence: None,
        max_shrink_iters: 64,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&proptest::collection::vec(op(), 1..40), |ops| {
            runtime.block_on(async {
                let tenant = Client::owner_of_new_tenant(&db).await.tenant;
                let user = UserId::new();
                db.execute(&format!(
                    "insert into users (tenant_id, id, email, role, password_hash)
                     values ('{tenant}', '{user}', '{}@postroom.example', 'member', 'none')",
                    user.0.simple()
                ))
                .await;
                for item in 3..6 {
                    let id = Uuid::from_u128(item);
                    db.execute(&format!(
                        "insert into inbox_items (tenant_id, id, source, dedupe_key, title, rationale, priority)
                         values ('{tenant}', '{id}', 'manual', '{id}', 'Item', '', 'low')"
                    ))
                    .await;
                }
                let midnight = Clock::System.now();
                let day = Day {
                    db: &db,
                    tenant,
                    user,
                    midnight,
                    set: Uuid::now_v7(),
                };
                let mut ended = HashMap::new();
                for op in ops {
                    day.apply(op).await;
                    hold(&day, &mut ended).await;
                }
            });
            Ok(())
        })
        .unwrap();
}
