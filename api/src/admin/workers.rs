//! Workers by their heartbeats: `admin workers`.

use super::print;
use anyhow::Context;
use base::db::PgPool;
use queue::operate::workers;

pub(super) async fn list(pool: &PgPool) -> anyhow::Result<()> {
    let all = workers::list(pool)
        .await
        .context("could not read the workers")?;
    if all.is_empty() {
        return print("no worker sent a heartbeat in the last ten minutes");
    }
    for worker in all {
        let status = match (worker.silent, worker.stopping) {
            (true, _) => "silent",
            (false, true) => "stopping",
            (false, false) => "working",
        };
        print(&format!(
            "{} on {}, version {}: {status}, {} running, {} slots for each of {}, last heartbeat {}",
            worker.id,
            worker.host,
            worker.version,
            worker.running,
            worker.slots,
            worker.queues.join(", "),
            worker.seen_at.format("%Y-%m-%d %H:%M:%S UTC"),
        ))?;
    }
    Ok(())
}
