//! `mailbox.backfill`: reads a folder group by group and delivers each with the cursor, so that a crash or a cut costs at most
//! the group that was being read. Gives its slot back every now and then.

use super::{
    action::provider_error::refusal_or_failure, connected::connected, internal,
    model_failure::effects::BUDGET_CODE, unavailable,
};
use crate::{
    effects::ProviderContext,
    providers::{
        ProviderError, Providers,
        imap::reader::{Page, Reader},
    },
    watch::{
        check::parsed,
        groups::{Group, groups},
        memory::ReadMemory,
        refused::{GroupRead, list_part, neighbours, read_group},
    },
};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    commands::watches::backfill::deliver,
    kinds::backfill::{Args, Backfill, Output},
    store::{
        backfills::{self, BackfillProgress},
        connections::StoredConnection,
    },
};
use queue::Failure;
use queue::runtime::handler::{Handler, JobContext, Settlement};
use std::time::Duration;
use tokio::time::Instant;

/// Emails whose size is asked for with one command.
const LISTED: usize = 200;
/// How long an attempt reads before it lets other jobs have its slot.
const TURN: Duration = Duration::from_secs(20);
const PAUSE: TimeDelta = TimeDelta::milliseconds(500);
/// How long it waits at most before it looks whether emails still wait for a budget.
const BUDGET_PAUSE: TimeDelta = TimeDelta::minutes(10);

/// Backfills folders.
pub struct BackfillHandler {
    providers: Providers,
    memory: ReadMemory,
}

impl BackfillHandler {
    pub fn new(providers: Providers, memory: ReadMemory) -> Self {
        Self { providers, memory }
    }
}

/// How a turn ended.
enum TurnEnd {
    /// The folder was read to its end.
    Complete,
    /// The limit was reached before.
    Limited,
    /// Other jobs have their turn first.
    Paused,
    /// Emails wait for a budget: more of them would only wait too, and be left to a person in the end.
    OverBudget(DateTime<Utc>),
}

/// Why a turn failed.
enum Stop {
    Provider(ProviderError),
    Failure(Failure),
}

impl From<ProviderError> for Stop {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

#[async_trait]
impl Handler for BackfillHandler {
    type Kind = Backfill;

    async fn run(&self, ctx: &JobContext, args: Args) -> Result<Settlement, Failure> {
        let connection = connected(ctx, args.connection_id).await?;
        let read = async {
            let mut conn = ctx.pool.acquire().await?;
            backfills::find(&mut conn, &ctx.job).await
        };
        let progress = read.await.map_err(|error| unavailable(&error))?;
        let turn = BackfillRun {
            ctx,
            args: &args,
            memory: &self.memory,
            ends_at: Instant::now() + TURN,
            progress,
        };
        let providers = ProviderContext::new(ctx, &self.providers);
        let ended = tokio::select! {
            ended = turn.run(&providers, &connection) => ended,
            () = ctx.cancelled.cancelled() => return Err(Failure::cancelled()),
        };
        let output = match ended {
            Ok(output) => output,
            Err(Stop::Failure(failure)) => return Err(failure),
            Err(Stop::Provider(error)) => {
                let (code, message) = refusal_or_failure(ctx, &connection, error).await?;
                return Err(Failure::permanent(code, message, "refused by the provider"));
            }
        };
        let value = serde_json::to_value(output).map_err(|error| internal(&error))?;
        Ok(Settlement::of(value))
    }
}

/// One attempt's share of the work.
struct BackfillRun<'a> {
    ctx: &'a JobContext,
    args: &'a Args,
    memory: &'a ReadMemory,
    ends_at: Instant,
    progress: BackfillProgress,
}

impl BackfillRun<'_> {
    async fn run(
        mut self,
        providers: &ProviderContext<'_>,
        connection: &StoredConnection,
    ) -> Result<Output, Stop> {
        let mut reader = providers.reader(connection).await?;
        let state = reader.examine(&self.args.folder).await?.ok_or_else(|| {
            Stop::Failure(Failure::permanent(
                "folder_missing",
                "The mailbox has no such folder.",
                "the server does not list the folder",
            ))
        })?;
        if self.progress.cursor.uid_validity != Some(state.uid_validity) {
            // Read again from the start; emails that are known by their content get no second job.
            self.progress.cursor.last_uid = 0;
            self.progress.cursor.uid_validity = Some(state.uid_validity);
        }
        let end = self.read(&mut reader).await?;
        reader.close().await;
        match end {
            TurnEnd::Paused => Err(Stop::Failure(self.pause())),
            TurnEnd::OverBudget(until) => Err(Stop::Failure(self.over_budget(until))),
            TurnEnd::Limited => Ok(self.output(true)),
            TurnEnd::Complete => Ok(self.output(false)),
        }
    }

    /// Reads the folder from its cursor on, page by page.
    async fn read(&mut self, reader: &mut Reader) -> Result<TurnEnd, Stop> {
        let mut after = self.progress.cursor.last_uid;
        loop {
            let page = reader.list_after(after, &self.args.period).await?;
            if let Some(end) = self.read_page(reader, &page).await? {
                return Ok(end);
            }
            let Some(next) = page.next else {
                return Ok(TurnEnd::Complete);
            };
            after = next;
        }
    }

    /// Reads the emails of a page. Returns why the turn ends before the next one, if it does.
    async fn read_page(
        &mut self,
        reader: &mut Reader,
        page: &Page,
    ) -> Result<Option<TurnEnd>, Stop> {
        let uids = &page.uids;
        for part in uids.chunks(LISTED) {
            let listed = list_part(reader, part, self.was_refused()).await?;
            for group in groups(&listed, &self.args.period) {
                if let Some(until) = self.budget_stop().await? {
                    return Ok(Some(TurnEnd::OverBudget(until)));
                }
                let left = self.left();
                let exceeds = group.uids.len() > left;
                if left > 0 || !exceeds {
                    self.deliver(reader, group, uids).await?;
                }
                if exceeds {
                    return Ok(Some(TurnEnd::Limited));
                }
                let read = uids.partition_point(|uid| *uid <= self.progress.cursor.last_uid);
                // How many the next pages have is not known; the limit is the most.
                let remaining = match page.next {
                    Some(_) => usize::MAX,
                    None => uids.len() - read,
                };
                self.report(remaining)?;
                // A dry run stores no cursor, and reads no email either.
                let is_over = Instant::now() >= self.ends_at && remaining > 0;
                if is_over && !self.args.dry_run {
                    return Ok(Some(TurnEnd::Paused));
                }
            }
        }
        Ok(None)
    }

    /// Returns when an email continues that a budget has stopped.
    async fn budget_stop(&self) -> Result<Option<DateTime<Utc>>, Stop> {
        if self.args.dry_run {
            return Ok(None);
        }
        let read = async {
            let mut conn = self.ctx.pool.acquire().await?;
            backfills::budget_stop(&mut conn, self.ctx.job.lease.tenant, BUDGET_CODE).await
        };
        read.await
            .map_err(|error| Stop::Failure(unavailable(&error)))
    }

    /// Emails that may still be read.
    fn left(&self) -> usize {
        usize::try_from(self.args.limit - self.progress.emails).unwrap_or(0)
    }

    /// Whether an attempt has failed before, perhaps at an email that the server refuses to send.
    fn was_refused(&self) -> bool {
        self.ctx.job.errors > 0
    }

    async fn deliver(
        &mut self,
        reader: &mut Reader,
        mut group: Group,
        uids: &[u32],
    ) -> Result<(), Stop> {
        group.truncate(self.left());
        let beside = neighbours(self.progress.cursor.last_uid, uids, group.last_uid);
        self.progress.emails += i64::try_from(group.uids.len()).unwrap_or(i64::MAX);
        self.progress.cursor.last_uid = group.last_uid;
        if self.args.dry_run {
            return Ok(());
        }
        let _reserved = self.memory.reserve(group.bytes).await;
        let GroupRead { emails, refused } =
            read_group(reader, &group, &beside, self.was_refused()).await?;
        let (emails, malformed) = parsed(emails).await;
        let skipped = group.too_large.len() + malformed.len() + refused.len();
        self.progress.skipped += i64::try_from(skipped).unwrap_or(i64::MAX);
        let (pool, job) = (&self.ctx.pool, &self.ctx.job);
        let delivered = deliver(pool, job, self.args, emails, self.progress).await;
        let held = delivered.map_err(|error| Stop::Failure(unavailable(&error)))?;
        self.progress = held.ok_or_else(|| Stop::Failure(Failure::interrupted()))?;
        Ok(())
    }

    fn report(&self, remaining: usize) -> Result<(), Stop> {
        let note = format!("{} emails read", self.progress.emails);
        let share = share(self.progress.emails, remaining, self.args.limit);
        let reported = self.ctx.report(share, &note);
        reported.map_err(|_| Stop::Failure(Failure::interrupted()))
    }

    fn pause(&self) -> Failure {
        Failure::rate_limited(
            self.ctx.clock.now() + PAUSE,
            "backfill_continues",
            "The backfill lets other jobs go first and continues automatically.",
            "the turn is over",
        )
    }

    fn over_budget(&self, until: DateTime<Utc>) -> Failure {
        // It may be raised before.
        let again = until.min(self.ctx.clock.now() + BUDGET_PAUSE);
        Failure::rate_limited(
            again,
            "backfill_over_budget",
            "The budget for language models is used up; the backfill reads on when it is renewed or raised.",
            "emails wait for the budget",
        )
    }

    fn output(&self, is_limited: bool) -> Output {
        Output {
            connection_id: self.args.connection_id,
            folder: self.args.folder.clone(),
            dry_run: self.args.dry_run,
            emails: self.progress.emails,
            enqueued: self.progress.enqueued,
            skipped: self.progress.skipped,
            is_limited,
        }
    }
}

/// The part of a backfill that is done, over all turns.
fn share(emails: i64, remaining: usize, limit: i64) -> f32 {
    let remaining = i64::try_from(remaining).unwrap_or(i64::MAX);
    let total = emails.saturating_add(remaining).min(limit).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a share needs no precision")]
    let share = emails as f32 / total as f32;
    share.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn share_counts_former_turns_and_ends_at_the_limit() {
        for (emails, remaining, limit, expected) in [
            (50, 150, 1_000, 0.25),
            (150, 50, 1_000, 0.75),
            (50, 5_000, 100, 0.5),
            (100, 5_000, 100, 1.0),
            (0, 0, 100, 0.0),
        ] {
            let found = share(emails, remaining, limit);
            assert!(
                (found - expected).abs() < 0.001,
                "{emails} {remaining}: {found}"
            );
        }
    }
}
