//! Offers this worker for every duty when the poll finds one due, and does those it was elected for.

use super::Engine;
use crate::operate::duties;
use base::telemetry::chain;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// No duty may hold up the others for longer.
const DUTY_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn run(engine: Arc<Engine>) {
    let offered: Vec<_> = engine
        .duties
        .iter()
        .map(|duty| (duty.name(), duty.every()))
        .collect();
    loop {
        tokio::select! {
            () = engine.stopping.cancelled() => return,
            () = engine.duty_due.notified() => {}
        }
        let elected = match duties::take_due(&engine.queue_pool, engine.worker, &offered).await {
            Ok(elected) => elected,
            Err(error) => {
                tracing::warn!(%error, "could not ask for maintenance duties; trying again");
                continue;
            }
        };
        for duty in &engine.duties {
            if !elected.iter().any(|name| name == duty.name()) {
                continue;
            }
            let started = Instant::now();
            let done = timeout(DUTY_TIMEOUT, duty.run(&engine)).await;
            if let Err(error) = duty.rest(&engine, started.elapsed()).await {
                tracing::warn!(%error, duty = duty.name(), "could not put a maintenance duty off");
            }
            match done {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(
                    duty = duty.name(),
                    error = chain(&error),
                    "maintenance duty failed; left to its next tick"
                ),
                Err(_) => tracing::warn!(
                    duty = duty.name(),
                    "maintenance duty took too long; left to its next tick"
                ),
            }
        }
    }
}
