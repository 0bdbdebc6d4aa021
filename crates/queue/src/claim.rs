//! Taking work: one short statement that leaves nothing locked.

pub mod dead_tuples;
pub mod poll;
pub mod resume;
pub mod under_limits;

use super::{Job, Lease};
use base::{JobId, TenantId, WorkerId};
use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, postgres::types::PgInterval};
use std::time::Duration;
use uuid::Uuid;

/// Who claims, what, and for how long it is theirs without a renewal.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    pub worker: WorkerId,
    pub queue: &'a str,
    /// Kinds this worker has a handler for: during a deploy the others are left for newer workers.
    pub kinds: &'a [String],
    pub lease: Duration,
    pub limit: u32,
    pub turn: Turn,
    /// In the order in which they are served: [`Turn::priorities`], or a part of it.
    pub priorities: &'a [i16],
    pub room: &'a Room,
}

/// Whose turn it is: claims go round the tenants, and now and then the least urgent jobs come first.
///
/// Kept by whoever claims, one per queue; a worker that starts anew starts a new round, which costs nobody more than one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn {
    claims: u32,
    after: Option<TenantId>,
}

impl Turn {
    /// Every so many claims go through the priorities from the least urgent: none of them waits for ever.
    const REVERSED: u32 = 8;

    /// 1 is the most urgent.
    pub fn priorities(self) -> [i16; 4] {
        if self.claims % Self::REVERSED == Self::REVERSED - 1 {
            [4, 3, 2, 1]
        } else {
            [1, 2, 3, 4]
        }
    }

    /// Who was served last.
    pub(super) fn after(self) -> Option<TenantId> {
        self.after
    }

    /// The turn after a claim that brought jobs, the last of them of this tenant.
    pub(super) fn next(self, last: Option<TenantId>) -> Self {
        Self {
            claims: self.claims.wrapping_add(1),
            after: last.or(self.after),
        }
    }
}

/// How many jobs of a tenant may be claimed now; without limits, any number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Tenants for which something else than for all others holds.
    pub tenants: Vec<(TenantId, i32)>,
    pub each_other: i32,
}

impl Room {
    pub const UNLIMITED: Self = Self {
        tenants: Vec::new(),
        each_other: i32::MAX,
    };
}

/// What a claim brought.
#[derive(Debug)]
pub struct Claimed {
    /// In the order in which they should start.
    pub jobs: Vec<Job>,
    /// For the next claim.
    pub turn: Turn,
}

/// Claims up to `limit` jobs: by priority, then one tenant after another, and of each the longest due first.
///
/// A tenant gets an equal share of the limit, so fewer than `limit` may come although more wait: an empty claim alone says
/// that there is nothing (for these kinds, in this queue, now).
///
/// # Errors
/// If the database cannot be asked. Claims whose reply was lost come back when their lease expires.
pub async fn claim<'c>(
    executor: impl PgExecutor<'c>,
    claim: &Claim<'_>,
) -> Result<Claimed, sqlx::Error> {
    // The index steps from one tenant to the next by a look-up each, 64 of them at most, starting after the one that was
    // served last. The laterals are pulled in order and no further than the limit, so only rows that are taken get
    // locked. Rows are found again by ctid: they are locked and cannot have moved; and by a list of ctids, because against
    // a join a planner that does not know the limit reads the whole table (3 s with 1,000,000 waiting).
    // The start is told by the clock: now() is when the statement's first message came, which over a slow line can be before
    // the commit that made the job available, and its attempts would seem to overlap (seen by `cargo dev chaos`, seed 11).
    let rows = sqlx::query_as!(
        Row,
        r#"with picked as (
               select job.ctid
               from unnest($6::smallint[]) as p (priority)
               cross join lateral (
                   with recursive later as (
                       (select tenant_id, 1 as place from jobs
                        where queue = $1 and priority = p.priority and state = 'available' and tenant_id > $7
                        order by tenant_id limit 1)
                       union all
                       select next.tenant_id, place + 1 from later cross join lateral (
                           select tenant_id from jobs
                           where queue = $1 and priority = p.priority and state = 'available' and tenant_id > later.tenant_id
                           order by tenant_id limit 1
                       ) next
                       where place < 64
                   ), earlier as (
                       (select tenant_id, 101 as place from jobs
                        where queue = $1 and priority = p.priority and state = 'available' and tenant_id <= $7
                        order by tenant_id limit 1)
                       union all
                       select next.tenant_id, place + 1 from earlier cross join lateral (
                           select tenant_id from jobs
                           where queue = $1 and priority = p.priority and state = 'available'
                             and tenant_id > earlier.tenant_id and tenant_id <= $7
                           order by tenant_id limit 1
                       ) next
                       where place < 164
                   )
                   select tenant_id, place, count(*) over () as tenants
                   from (select * from later union all select * from earlier) both_ways
                   order by place
               ) tenant
               cross join lateral (
                   select ctid from jobs
                   where queue = $1 and priority = p.priority and state = 'available'
                     and tenant_id = tenant.tenant_id and kind = any($2)
                   order by run_at, id
                   limit least(
                       ($3 + tenant.tenants - 1) / tenant.tenants,
                       coalesce((select room from unnest($8::uuid[], $9::int[]) as known (tenant_id, room)
                                 where known.tenant_id = tenant.tenant_id), $10))
                   for update skip locked
               ) job
               where not exists (select from queue_pauses where queue_pauses.queue = $1)
               limit $3
           )
           update jobs
           set state = 'running', attempt = attempt + 1, worker_id = $4, lease_until = now() + $5,
               started_at = clock_timestamp()
           where ctid = any(array(select ctid from picked)) and state = 'available'
           returning id as "id: JobId", tenant_id as "tenant_id: TenantId", kind, queue, priority, args,
                     attempt, errors, crashes, max_attempts, run_at, created_at, started_at as "started_at!",
                     request_id, traceparent, parent_id as "parent_id: JobId", children"#,
        claim.queue,
        claim.kinds,
        i64::from(claim.limit),
        claim.worker.0,
        interval(claim.lease),
        claim.priorities,
        claim.turn.after.map_or(Uuid::nil(), |tenant| tenant.0),
        &claim.room.tenants.iter().map(|(tenant, _)| tenant.0).collect::<Vec<_>>(),
        &claim.room.tenants.iter().map(|(_, room)| *room).collect::<Vec<_>>(),
        claim.room.each_other,
    )
    .fetch_all(executor)
    .await?;
    Ok(claim.claimed(rows))
}

/// A job as a claiming statement returns it.
pub(super) struct Row {
    pub(super) id: JobId,
    pub(super) tenant_id: TenantId,
    pub(super) kind: String,
    pub(super) queue: String,
    pub(super) priority: i16,
    pub(super) args: serde_json::Value,
    pub(super) attempt: i32,
    pub(super) errors: i32,
    pub(super) crashes: i32,
    pub(super) max_attempts: i32,
    pub(super) run_at: DateTime<Utc>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) started_at: DateTime<Utc>,
    pub(super) request_id: Option<String>,
    pub(super) traceparent: Option<String>,
    pub(super) parent_id: Option<JobId>,
    pub(super) children: i32,
}

impl Claim<'_> {
    /// Puts what was claimed into the order in which it should start: an update returns rows in no order of its own.
    pub(super) fn claimed(&self, mut rows: Vec<Row>) -> Claimed {
        rows.sort_unstable_by_key(|row| {
            let rank = self.priorities.iter().position(|it| *it == row.priority);
            let served = Some(row.tenant_id) <= self.turn.after;
            (rank, served, row.tenant_id, row.run_at, row.id)
        });
        let last = rows.last().map(|row| row.tenant_id);
        let jobs = rows
            .into_iter()
            .map(|row| Job {
                lease: Lease {
                    tenant: row.tenant_id,
                    job: row.id,
                    attempt: row.attempt,
                    worker: self.worker,
                },
                tenant: row.tenant_id,
                kind: row.kind,
                queue: row.queue,
                priority: row.priority,
                args: row.args,
                parent: row.parent_id,
                children: row.children,
                errors: row.errors,
                crashes: row.crashes,
                max_attempts: row.max_attempts,
                run_at: row.run_at,
                created_at: row.created_at,
                started_at: row.started_at,
                request_id: row.request_id,
                traceparent: row.traceparent,
            })
            .collect();
        Claimed {
            jobs,
            turn: self.turn.next(last),
        }
    }
}

/// Postgres counts microseconds; a lease of longer than a year is refused by the configuration.
pub(super) fn interval(duration: Duration) -> PgInterval {
    let microseconds = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    PgInterval {
        months: 0,
        days: 0,
        microseconds,
    }
}
