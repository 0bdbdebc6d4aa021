//! The duties without a state of their own: [`TABLE`].

use super::{
    Needs, Retention,
    work::{
        build_digests, cancel_jobs_of_closed, deliver_events, expire_approvals, expire_blocks,
        lose_effects, lose_llm_calls, purge_rate_turns, remind, seal_audit, sweep_memory,
        warn_of_budgets,
    },
};
use futures::future::BoxFuture;
use jobs::store::{
    backfills, corrections, identity_providers, llm_answers, llm_batch_items, llm_captures,
    llm_checkpoints, login_failures, request_keys, sessions, watches,
};
use queue::runtime::duty::DutyContext;
use sqlx::PgConnection;
use std::time::Duration;

/// A duty.
pub(super) struct Row {
    /// Stored in Postgres, where workers elect one of them.
    pub(super) name: &'static str,
    /// The time between two ticks.
    pub(super) every: Duration,
    pub(super) work: Work,
}

/// What a duty does in one tick.
#[derive(Clone, Copy)]
pub(super) enum Work {
    Run(Run),
    /// Deletes what is old with these, one after the other. Expired rows are not read in any case; this only deletes them.
    Purge(&'static [Purge]),
}

type Run = for<'a> fn(&'a Needs, &'a DutyContext) -> BoxFuture<'a, Result<(), sqlx::Error>>;

/// Deletes up to so many old rows and returns how many.
type Purge =
    for<'a> fn(&'a mut PgConnection, &'a Retention, i64) -> BoxFuture<'a, Result<u64, sqlx::Error>>;

/// The time between two ticks of a purge.
const PURGE_EVERY: Duration = Duration::from_secs(300);

const fn run(name: &'static str, seconds: u64, run: Run) -> Row {
    Row {
        name,
        every: Duration::from_secs(seconds),
        work: Work::Run(run),
    }
}

const fn purge(name: &'static str, purges: &'static [Purge]) -> Row {
    Row {
        name,
        every: PURGE_EVERY,
        work: Work::Purge(purges),
    }
}

/// Name, seconds between two ticks, function.
pub(super) const TABLE: &[Row] = &[
    // Deletes stored model answers of ended jobs, their requests in batches, answers that are not used again any more, and what
    // was kept for people to read.
    purge(
        "purge_checkpoints",
        &[
            |conn, _, limit| Box::pin(llm_checkpoints::purge(conn, limit)),
            |conn, _, limit| Box::pin(llm_batch_items::purge(conn, limit)),
            |conn, _, limit| Box::pin(llm_answers::purge(conn, limit)),
            |conn, _, limit| Box::pin(llm_captures::purge(conn, limit)),
        ],
    ),
    // Deletes corrections of judgements after their retention.
    purge(
        "purge_corrections",
        &[|conn, _, limit| Box::pin(corrections::purge(conn, limit))],
    ),
    // Deletes sessions that ended long ago, failed log-ins that no longer count, and used tokens that have expired.
    purge(
        "purge_sessions",
        &[
            |conn, _, limit| Box::pin(sessions::purge(conn, limit)),
            |conn, _, limit| Box::pin(login_failures::purge(conn, limit)),
            |conn, _, limit| Box::pin(identity_providers::purge_tokens(conn, limit)),
        ],
    ),
    // Deletes stored HTTP responses after their retention.
    purge(
        "purge_request_keys",
        &[|conn, _, limit| Box::pin(request_keys::purge(conn, limit))],
    ),
    // Forgets which emails of mailboxes were read, after their retention, and how far backfills came whose jobs are gone.
    purge(
        "purge_fetched_emails",
        &[
            |conn, keep, limit| Box::pin(watches::purge_fetched(conn, keep.fetched_emails, limit)),
            |conn, _, limit| Box::pin(backfills::purge(conn, limit)),
        ],
    ),
    // How late an event may be; a turn without subscriptions is one statement.
    run("deliver_events", 2, |_, context| {
        Box::pin(deliver_events(context))
    }),
    run("lose_llm_calls", 5, |needs, context| {
        Box::pin(lose_llm_calls(needs, context))
    }),
    // The shorter, the less can be forged before it is sealed; a turn without entries is one statement.
    run("seal_audit", 10, |_, context| Box::pin(seal_audit(context))),
    run("lose_effects", 30, |_, context| {
        Box::pin(lose_effects(context))
    }),
    // How late a reminder or a digest may be.
    run("remind", 30, |_, context| Box::pin(remind(context))),
    run("build_digests", 30, |_, context| {
        Box::pin(build_digests(context))
    }),
    // A late decision is rejected in any case; this only updates the status.
    run("expire_approvals", 60, |needs, context| {
        Box::pin(expire_approvals(needs, context))
    }),
    run("expire_blocks", 60, |_, context| {
        Box::pin(expire_blocks(context))
    }),
    run("cancel_jobs_of_closed", 60, |_, context| {
        Box::pin(cancel_jobs_of_closed(context))
    }),
    run("warn_of_budgets", 60, |_, context| {
        Box::pin(warn_of_budgets(context))
    }),
    run("purge_rate_turns", 60, |_, context| {
        Box::pin(purge_rate_turns(context))
    }),
    // Expired memories are not read in any case.
    run("sweep_memory", 300, |_, context| {
        Box::pin(sweep_memory(context))
    }),
];
