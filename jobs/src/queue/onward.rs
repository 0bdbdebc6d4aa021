//! Claiming on from where the last claim ended, while more waits than fits.
//!
//! The index keeps an entry of every claimed job until vacuum has removed it, and vacuum cannot as long as any older
//! transaction is open. A claim that looks from the start steps over all of them: at 100,000 jobs a fifth of its time, with
//! a transaction open for minutes nearly all of it. See [`claim_onward`].

use super::{
    Job,
    claim::{Claim, Claimed, Row, claim, interval},
};
use crate::domain::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// What lies behind the marks is looked for this often at least: jobs that were handed back, that were committed late, of
/// tenants that had none, more urgent ones.
const LOOK_BACK: Duration = Duration::from_millis(100);
/// … unless looking takes long: a tenth of the time may go into it.
const LOOK_BACK_SHARE: u32 = 10;
/// Looking from the start may be had at any time as long as it takes no longer. When it does twice running, it is not the
/// disk's mood: the index is full of entries that vacuum may not remove, and then even an empty queue is only looked through
/// now and then.
const CHEAP: Duration = Duration::from_millis(20);
const RUNNING: u8 = 2;
/// Tenants and priorities whose marks outlive a look from the start.
const MOST: usize = 256;

/// How far a queue's backlog has been claimed, tenant by tenant. Kept by whoever claims, one per queue.
#[derive(Debug, Default)]
pub struct Marks {
    /// The last job taken of each priority and tenant.
    reached: BTreeMap<(i16, TenantId), (DateTime<Utc>, JobId)>,
    /// When the next claim has to look from the start; `None` is now.
    look_back: Option<Instant>,
    /// How many looks from the start running took long.
    slow: u8,
}

impl Marks {
    fn pass(&mut self, jobs: &[Job]) {
        for job in jobs {
            let place = (job.run_at, job.lease.job);
            let reached = self
                .reached
                .entry((job.priority, job.tenant))
                .or_insert(place);
            *reached = place.max(*reached);
        }
    }

    /// Forgets what was reached: there is no backlog any more.
    fn clear(&mut self) {
        *self = Self {
            slow: self.slow,
            ..Self::default()
        };
    }

    /// Of tenants that were served it is known how far; of all others what was known before.
    fn pass_anew(&mut self, jobs: &[Job]) {
        for job in jobs {
            self.reached.remove(&(job.priority, job.tenant));
        }
        if self.reached.len() > MOST {
            self.reached.clear();
        }
        self.pass(jobs);
    }

    fn put_off_look_back(&mut self, took: Duration) {
        self.look_back = Some(Instant::now() + LOOK_BACK.max(took * LOOK_BACK_SHARE));
        self.slow = if took > CHEAP {
            self.slow.saturating_add(1)
        } else {
            0
        };
    }

    const fn is_costly(&self) -> bool {
        self.slow >= RUNNING
    }

    /// How long an empty claim says nothing about jobs that a look from the start would find; `None` if it was one.
    pub fn put_off(&self) -> Option<Duration> {
        let look_back = self.look_back.filter(|_| self.is_costly())?;
        Some(look_back.saturating_duration_since(Instant::now()))
    }
}

/// As [`claim`], from where the marks are; from the start when nothing is there, and from time to time. When that takes
/// long it happens seldom, and until then an empty claim means little: see [`Marks::put_off`].
///
/// # Errors
/// As [`claim`].
pub async fn claim_onward<'c, E>(
    executor: E,
    request: &Claim<'_>,
    marks: &mut Marks,
) -> Result<Claimed, sqlx::Error>
where
    E: PgExecutor<'c> + Copy,
{
    if marks.look_back.is_some_and(|at| Instant::now() < at) {
        let claimed = claim_after(executor, request, marks).await?;
        if !is_full(&claimed, request) && !marks.is_costly() {
            marks.clear();
        }
        if !claimed.jobs.is_empty() || marks.is_costly() {
            marks.pass(&claimed.jobs);
            return Ok(claimed);
        }
    }
    let started = Instant::now();
    let claimed = claim(executor, request).await;
    marks.put_off_look_back(started.elapsed());
    let claimed = claimed?;
    if marks.is_costly() {
        marks.pass_anew(&claimed.jobs);
    } else if is_full(&claimed, request) {
        marks.reached.clear();
        marks.pass(&claimed.jobs);
    } else {
        marks.clear();
    }
    Ok(claimed)
}

fn is_full(claimed: &Claimed, request: &Claim<'_>) -> bool {
    u32::try_from(claimed.jobs.len()).is_ok_and(|jobs| jobs >= request.limit)
}

async fn claim_after<'c>(
    executor: impl PgExecutor<'c>,
    request: &Claim<'_>,
    marks: &Marks,
) -> Result<Claimed, sqlx::Error> {
    let mut known = Vec::with_capacity(marks.reached.len());
    for priority in request.priorities {
        let of_it = marks
            .reached
            .range((*priority, TenantId(uuid::Uuid::nil()))..);
        let of_it = of_it.take_while(|((other, _), _)| other == priority);
        let mut tenants: Vec<_> = of_it.collect();
        let served =
            tenants.partition_point(|((_, tenant), _)| Some(*tenant) <= request.turn.after());
        tenants.rotate_left(served);
        let count = u32::try_from(tenants.len().max(1)).unwrap_or(u32::MAX);
        let share = i64::from(request.limit.div_ceil(count));
        known.extend(
            tenants
                .into_iter()
                .map(|(key, place)| (*key, *place, share)),
        );
    }
    let rows = sqlx::query_as!(
        Row,
        r#"with picked as (
               select job.ctid
               from unnest($6::smallint[], $7::uuid[], $8::timestamptz[], $9::uuid[], $10::bigint[])
                   as known (priority, tenant_id, run_at, id, share)
               cross join lateral (
                   select ctid from jobs
                   where queue = $1 and priority = known.priority and state = 'available'
                     and tenant_id = known.tenant_id and (run_at, id) > (known.run_at, known.id) and kind = any($2)
                   order by run_at, id
                   limit known.share
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
        request.queue,
        request.kinds,
        i64::from(request.limit),
        request.worker.0,
        interval(request.lease),
        &known.iter().map(|((priority, _), _, _)| *priority).collect::<Vec<_>>(),
        &known.iter().map(|((_, tenant), _, _)| tenant.0).collect::<Vec<_>>(),
        &known.iter().map(|(_, (run_at, _), _)| *run_at).collect::<Vec<_>>(),
        &known.iter().map(|(_, (_, id), _)| id.0).collect::<Vec<_>>(),
        &known.iter().map(|(_, _, share)| *share).collect::<Vec<_>>(),
    )
    .fetch_all(executor)
    .await?;
    Ok(request.claimed(rows))
}
