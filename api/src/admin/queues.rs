//! Listing, pausing and resuming queues on all workers: `admin queues`, `admin pause`, `admin resume`.

use super::{announced, operator, print};
use anyhow::{Context, ensure};
use base::db::PgPool;
use clap::Subcommand;
use jobs::{
    commands::operators::{pause_queue, resume_queue},
    domain::invite::TenantSlug,
    kinds::queues,
};
use queue::{operate::pause, view::stats};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a drain counts the running jobs.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List the queues with their pauses and their jobs by state at the last count.
    Queues,
    /// Pause a queue: jobs are accepted and running ones go on, but no worker claims more.
    Pause {
        /// The queue's name, as `queues` prints it.
        queue: String,
        /// Why, for other operators.
        #[arg(long)]
        reason: String,
        /// Wait until no job of the queue runs; fail after this many seconds.
        #[arg(long, value_name = "SECONDS")]
        drain: Option<u64>,
    },
    /// Resume a paused queue.
    Resume {
        /// The queue's name, as `queues` prints it.
        queue: String,
    },
}

pub(super) async fn run(
    pool: &PgPool,
    operators: Option<&TenantSlug>,
    command: QueueCommand,
) -> anyhow::Result<()> {
    match command {
        QueueCommand::Queues => list(pool).await,
        QueueCommand::Pause {
            queue,
            reason,
            drain,
        } => {
            known(&queue)?;
            let operator = operator(pool, operators).await?;
            pause_queue(pool, operator, &queue, &reason)
                .await
                .context("could not pause the queue")?;
            print(&format!("{queue} is paused"))?;
            match drain {
                None => Ok(()),
                Some(seconds) => drained(pool, &queue, Duration::from_secs(seconds)).await,
            }
        }
        QueueCommand::Resume { queue } => {
            known(&queue)?;
            let operator = operator(pool, operators).await?;
            let resumed = announced(pool, async |notifier| {
                resume_queue(pool, notifier, operator, &queue).await
            })
            .await
            .context("could not resume the queue")?;
            print(&if resumed {
                format!("{queue} is resumed")
            } else {
                format!("{queue} was not paused")
            })
        }
    }
}

/// Refuses unknown names: a mistyped one would pause nothing.
fn known(queue: &str) -> anyhow::Result<()> {
    let queues = queues();
    ensure!(
        queues.contains(&queue),
        "there is no queue {queue}; use one of: {}",
        queues.join(", ")
    );
    Ok(())
}

async fn list(pool: &PgPool) -> anyhow::Result<()> {
    let paused = pause::paused(pool)
        .await
        .context("could not read the pauses")?;
    let sample = stats::read_sample(pool)
        .await
        .context("could not read the last count")?;
    for queue in queues() {
        let counts: Vec<String> = sample
            .iter()
            .filter(|depth| depth.queue == queue)
            .map(|depth| format!("{} {}", depth.jobs, depth.state))
            .collect();
        let counts = if counts.is_empty() {
            "not counted yet".to_owned()
        } else {
            counts.join(", ")
        };
        let pause = paused
            .iter()
            .find(|pause| pause.queue == queue)
            .map_or_else(String::new, |pause| {
                format!(
                    ", paused since {}: {}",
                    pause.paused_at.format("%Y-%m-%d %H:%M UTC"),
                    pause.reason
                )
            });
        print(&format!("{queue}: {counts}{pause}"))?;
    }
    Ok(())
}

async fn drained(pool: &PgPool, queue: &str, at_most: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + at_most;
    loop {
        let running = pause::running(pool, queue)
            .await
            .context("could not count running jobs")?;
        if running == 0 {
            return print(&format!("{queue} is drained: none of its jobs runs"));
        }
        ensure!(
            Instant::now() < deadline,
            "{running} job(s) of {queue} still run; the queue stays paused"
        );
        sleep(POLL_INTERVAL).await;
    }
}
