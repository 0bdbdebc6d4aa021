//! The heartbeat loop: sends this worker's heartbeat, which operators see in the worker list.
//!
//! A loop of its own, so that a statement that hangs here delays neither leases nor claims. Sends one statement in 15
//! seconds, and two more when the worker stops. Nothing depends on it.

use crate::operate::workers::{self, HEARTBEAT_INTERVAL, Heartbeat};
use crate::runtime::engine::Engine;
use nix::unistd::gethostname;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Shorter than the process waits for its loops when it stops.
const TIMEOUT: Duration = Duration::from_secs(3);

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
    let mut tick = interval(HEARTBEAT_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent_stopping = false;
    loop {
        tokio::select! {
            () = engine.drained.cancelled() => break,
            () = engine.stopping.cancelled(), if !sent_stopping => sent_stopping = true,
            _ = tick.tick() => {}
        }
        let heartbeat = Heartbeat {
            worker: engine.worker,
            host: &host,
            queues: &queues,
            slots: i32::try_from(engine.config.slots).unwrap_or(i32::MAX),
            running: i32::try_from(engine.leases.count()).unwrap_or(i32::MAX),
            stopping: engine.stopping.is_cancelled(),
            version: env!("CARGO_PKG_VERSION"),
            uptime: started.elapsed(),
        };
        send(workers::heartbeat(&engine.queue_pool, &heartbeat)).await;
    }
    send(workers::remove(&engine.queue_pool, engine.worker)).await;
}

async fn send(statement: impl Future<Output = Result<(), sqlx::Error>>) {
    match timeout(TIMEOUT, statement).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "could not send the heartbeat"),
        Err(_) => tracing::debug!("the heartbeat timed out"),
    }
}
