//! Claiming on from where the last claim ended, while more waits than fits.
//!
//! The index keeps an entry of every claimed job until vacuum has removed it, and vacuum cannot as long as any older
//! transaction is open. A claim that looks from the start steps over all of them: at 100,000 jobs a fifth of its time, with
//! a transaction open for minutes nearly all of it. See [`claim_onward`] and [`super::dead_tuples`].

mod after;
mod missed_rows;

use super::{
    Claim, Claimed, claim,
    dead_tuples::{Survey, TRIAL, is_cheap, rest, table_blocks},
};
use crate::Job;
use after::claim_after;
use base::{JobId, TenantId, db::is_cut_off};
use chrono::{DateTime, Utc};
use missed_rows::claim_strays;
use sqlx::PgPool;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Looks from the start that took long, running, make litter of what is the disk's mood otherwise.
const RUNNING: u8 = 2;
/// Tenants and priorities whose marks are kept when they do not come from one claim.
const MOST: usize = 256;

/// A job's place in its tenant's queue.
type Place = (DateTime<Utc>, JobId);

/// How far a queue's backlog has been claimed, tenant by tenant. Kept by whoever claims, one per queue.
#[derive(Debug)]
pub struct Marks {
    /// The last job taken of each priority and tenant.
    reached: BTreeMap<(i16, TenantId), Place>,
    /// When the next claim has to look from the start; `None` is now. Jobs that were handed back are found so, that were
    /// committed late, of tenants that had none, more urgent ones.
    look_back: Option<Instant>,
    /// How many looks from the start running took long. Nothing is known of the first: it is watched.
    slow: u8,
    survey: Survey,
    /// The last claim went to strays: now it is the turn of what lies after the marks.
    strayed: bool,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            reached: BTreeMap::new(),
            look_back: None,
            slow: 1,
            survey: Survey::default(),
            strayed: false,
        }
    }
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
        self.forget_the_oldest();
    }

    /// Who had no mark gets one at the first of theirs, so that the next claim goes on from there in their order; strays of
    /// the others lie before their marks.
    fn pass_strays(&mut self, jobs: &[Job]) {
        let mut jobs: Vec<&Job> = jobs.iter().collect();
        jobs.sort_unstable_by_key(|job| (job.run_at, job.lease.job));
        for job in jobs {
            let place = (job.run_at, job.lease.job);
            let key = (job.priority, job.tenant);
            self.reached.entry(key).or_insert(place);
        }
        self.forget_the_oldest();
    }

    fn forget_the_oldest(&mut self) {
        if self.reached.len() > MOST && self.is_amid_litter() {
            // Those who had something last are the likeliest to have more.
            let mut places: Vec<Place> = self.reached.values().copied().collect();
            places.sort_unstable();
            let oldest = places[places.len() - MOST];
            self.reached.retain(|_, place| *place >= oldest);
        }
    }

    /// Forgets what was reached: there is no backlog any more.
    fn clear(&mut self) {
        self.reached.clear();
        self.look_back = None;
    }

    /// Takes in how long a look from the start took. It is put off by that, and amid litter the table is surveyed meanwhile.
    fn looked_back(&mut self, took: Duration, cut_off: bool) {
        self.look_back = Some(Instant::now() + rest(took));
        if cut_off {
            self.slow = RUNNING;
        } else if !is_cheap(took) {
            self.slow = self.slow.saturating_add(1);
        } else {
            self.slow = 0;
            self.survey = Survey::default();
        }
    }

    const fn is_amid_litter(&self) -> bool {
        self.slow >= RUNNING
    }

    /// How long an empty claim says nothing about jobs that do not lie after a mark; `None` if it says that there are none.
    pub fn put_off(&self) -> Option<Duration> {
        let look_back = self.look_back.filter(|_| self.is_amid_litter())?;
        let look_back = look_back.saturating_duration_since(Instant::now());
        Some(look_back.min(self.survey.put_off()))
    }
}

/// As [`claim`], from where the marks are; from the start when nothing is there, and from time to time. Amid litter looks
/// from the start are cut off, what they would find is found by surveying the table, and an empty claim means little:
/// see [`Marks::put_off`].
///
/// # Errors
/// As [`claim`].
pub async fn claim_onward(
    pool: &PgPool,
    request: &Claim<'_>,
    marks: &mut Marks,
) -> Result<Claimed, sqlx::Error> {
    let put_off = marks.look_back.is_some_and(|at| Instant::now() < at);
    if put_off && !marks.is_amid_litter() {
        let claimed = claim_after(pool, request, marks).await?;
        if !is_full(&claimed, request) {
            marks.clear();
        }
        if !claimed.jobs.is_empty() {
            marks.pass(&claimed.jobs);
            return Ok(claimed);
        }
    }
    if !(put_off && marks.is_amid_litter())
        && let Some(claimed) = look_back(pool, request, marks).await?
    {
        return Ok(claimed);
    }
    let strays = survey(pool, request, marks).await?;
    marks.strayed = strays.is_some();
    if let Some(strays) = strays {
        marks.pass_strays(&strays.jobs);
        return Ok(strays);
    }
    let started = Instant::now();
    let claimed = claim_after(pool, request, marks).await;
    if started.elapsed() > TRIAL {
        // Others have gone on from these marks for long, and what they left lies behind them now, too.
        marks.reached.clear();
    }
    match claimed {
        Ok(claimed) => {
            marks.pass(&claimed.jobs);
            Ok(claimed)
        }
        Err(error) if is_cut_off(&error) => Ok(request.claimed(Vec::new())),
        Err(error) => Err(error),
    }
}

fn is_full(claimed: &Claimed, request: &Claim<'_>) -> bool {
    u32::try_from(claimed.jobs.len()).is_ok_and(|jobs| jobs >= request.limit)
}

/// Claims from the start; `None` if that took too long and was cut off.
async fn look_back(
    pool: &PgPool,
    request: &Claim<'_>,
    marks: &mut Marks,
) -> Result<Option<Claimed>, sqlx::Error> {
    let started = Instant::now();
    let (result, took) = if marks.slow == 0 {
        let claimed = claim(pool, request).await;
        (claimed, started.elapsed())
    } else {
        claim_for_a_while(pool, request).await
    };
    let cut_off = result.as_ref().is_err_and(is_cut_off);
    marks.looked_back(took, cut_off);
    if cut_off {
        return Ok(None);
    }
    let claimed = result?;
    if marks.is_amid_litter() {
        // Of tenants that were served it is known how far; of all others what was known before.
        for job in &claimed.jobs {
            marks.reached.remove(&(job.priority, job.tenant));
        }
        marks.pass(&claimed.jobs);
    } else if is_full(&claimed, request) {
        marks.reached.clear();
        marks.pass(&claimed.jobs);
    } else {
        marks.clear();
    }
    Ok(Some(claimed))
}

/// As [`claim`], cut off after [`TRIAL`]; and how long it took without its commit, which waits for the disk.
async fn claim_for_a_while(
    pool: &PgPool,
    request: &Claim<'_>,
) -> (Result<Claimed, sqlx::Error>, Duration) {
    let mut took = Duration::ZERO;
    let claimed = async {
        let mut transaction = pool.begin().await?;
        sqlx::query!(
            "select set_config('statement_timeout', $1, true)",
            TRIAL.as_millis().to_string()
        )
        .fetch_one(&mut *transaction)
        .await?;
        let started = Instant::now();
        let claimed = claim(&mut *transaction, request).await;
        took = started.elapsed();
        let claimed = claimed?;
        transaction.commit().await?;
        Ok(claimed)
    }
    .await;
    (claimed, took)
}

/// Claims what strays in the stretch of the table that is due, if one is; `None` if nothing came of it.
async fn survey(
    pool: &PgPool,
    request: &Claim<'_>,
    marks: &mut Marks,
) -> Result<Option<Claimed>, sqlx::Error> {
    if marks.strayed || !marks.survey.put_off().is_zero() {
        return Ok(None);
    }
    let blocks = table_blocks(pool).await?;
    let Some(stretch) = marks.survey.next(blocks) else {
        return Ok(None);
    };
    let started = Instant::now();
    match claim_strays(pool, request, marks, &stretch).await {
        Ok(claimed) => {
            let full = is_full(&claimed, request);
            marks.survey.looked(&stretch, started.elapsed(), full);
            Ok(Some(claimed).filter(|claimed| !claimed.jobs.is_empty()))
        }
        Err(error) => {
            marks.survey.failed(&stretch, started.elapsed());
            if is_cut_off(&error) {
                Ok(None)
            } else {
                Err(error)
            }
        }
    }
}
