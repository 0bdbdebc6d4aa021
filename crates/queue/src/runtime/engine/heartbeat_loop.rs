//! Says every now and then that this worker is there, for people who look after the fleet (`queue::workers`).
//!
//! A loop of its own, so that a database which hangs here holds up neither leases nor claims; one statement in 15
//! seconds, two more when the worker stops. Nothing depends on it.

use super::Engine;
use crate::operate::workers::{self, BEAT, Beat};
use nix::unistd::gethostname;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Less than the process waits for its loops when it ends.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn run(engine: Arc<Engine>) {
    let started = Instant::now();
    let host = gethostname().map_or_else(
        |_| "unknown".to_owned(),
        |host| host.to_string_lossy().into_owned(),
    );
    let queues: Vec<String> = engine
        .registry
        .queues()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let mut tick = interval(BEAT);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told_of_the_end = false;
    loop {
        tokio::select! {
            () = engine.drained.cancelled() => break,
            () = engine.stopping.cancelled(), if !told_of_the_end => told_of_the_end = true,
            _ = tick.tick() => {}
        }
        let beat = Beat {
            worker: engine.worker,
            host: &host,
            queues: &queues,
            slots: i32::try_from(engine.config.slots).unwrap_or(i32::MAX),
            running: i32::try_from(engine.held.count()).unwrap_or(i32::MAX),
            stopping: engine.stopping.is_cancelled(),
            version: env!("CARGO_PKG_VERSION"),
            uptime: started.elapsed(),
        };
        said(workers::beat(&engine.queue_pool, &beat)).await;
    }
    said(workers::leave(&engine.queue_pool, engine.worker)).await;
}

async fn said(statement: impl Future<Output = Result<(), sqlx::Error>>) {
    match timeout(PATIENCE, statement).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "could not write that this worker is there"),
        Err(_) => tracing::debug!("writing that this worker is there took too long"),
    }
}
