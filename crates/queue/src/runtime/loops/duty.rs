//! The duty loop: when a poll finds a duty due, takes part in its election and runs it if elected.

use crate::operate::duties;
use crate::runtime::duty::DutyContext;
use crate::runtime::engine::Engine;
use base::telemetry::chain;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// The longest run of a duty, so that it does not delay the others.
const DUTY_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn run(engine: Arc<Engine>) {
    let context = DutyContext {
        pool: engine.pool.clone(),
        queue_pool: engine.queue_pool.clone(),
        notifier: engine.notifier.clone(),
        queues: engine
            .registry
            .queues()
            .into_iter()
            .map(str::to_owned)
            .collect(),
    };
    let names: Vec<_> = engine
        .duties
        .iter()
        .map(|duty| (duty.name(), duty.every()))
        .collect();
    loop {
        tokio::select! {
            () = engine.stopping.cancelled() => return,
            () = engine.duty_due.notified() => {}
        }
        let elected = match duties::claim_due(&engine.queue_pool, engine.worker, &names).await {
            Ok(elected) => elected,
            Err(error) => {
                tracing::warn!(%error, "could not claim maintenance duties; retrying");
                continue;
            }
        };
        for duty in &engine.duties {
            if !elected.iter().any(|name| name == duty.name()) {
                continue;
            }
            let started = Instant::now();
            let done = timeout(DUTY_TIMEOUT, duty.run(&context)).await;
            if let Err(error) = duty.rest(&context, started.elapsed()).await {
                tracing::warn!(%error, duty = duty.name(), "could not postpone a maintenance duty");
            }
            match done {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(
                    duty = duty.name(),
                    error = chain(&error),
                    "maintenance duty failed; it runs again at its next tick"
                ),
                Err(_) => tracing::warn!(
                    duty = duty.name(),
                    "maintenance duty timed out; it runs again at its next tick"
                ),
            }
        }
    }
}
