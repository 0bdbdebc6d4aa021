//! The duty loop: when a poll finds a duty due, takes part in its election and runs it if elected.

use crate::operate::duties;
use crate::runtime::duty::{Duty, DutyContext};
use crate::runtime::engine::Engine;
use base::telemetry::chain;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, timeout},
};

/// The longest run of a duty, so that it does not delay the others.
const DUTY_TIMEOUT: Duration = Duration::from_secs(30);
/// The most duties at the same time. Each uses a connection, and one is left to the queue.
const AT_ONCE: usize = 2;
/// The most retention duties of those: one that is behind takes ten seconds of each run, and others are due every second.
const RETENTIONS_AT_ONCE: usize = 1;

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
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let retentions = Arc::new(Semaphore::new(RETENTIONS_AT_ONCE));
    let mut runs: HashMap<&str, JoinHandle<()>> = HashMap::new();
    loop {
        tokio::select! {
            () = engine.stopping.cancelled() => break,
            () = engine.duty_due.notified() => {}
        }
        runs.retain(|_, run| !run.is_finished());
        let idle: Vec<_> = engine
            .duties
            .iter()
            .map(|duty| (duty.name(), duty.every()))
            .filter(|(name, _)| !runs.contains_key(name))
            .collect();
        let elected = match duties::claim_due(&engine.queue_pool, engine.worker, &idle).await {
            Ok(elected) => elected,
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "could not claim maintenance duties; retrying"
                );
                continue;
            }
        };
        for duty in &engine.duties {
            if !elected.iter().any(|name| name == duty.name()) {
                continue;
            }
            let name = duty.name();
            let (duty, context) = (duty.clone(), context.clone());
            let (at_once, retentions) = (at_once.clone(), retentions.clone());
            let failures = engine.metrics.duty_failures_total.clone();
            let stopping = engine.stopping.clone();
            let run = tokio::spawn(async move {
                let _turn = if duty.is_retention() {
                    Some(retentions.acquire().await)
                } else {
                    None
                };
                let _permit = at_once.acquire().await;
                if stopping.is_cancelled() {
                    return;
                }
                if !succeeds(&*duty, &context).await {
                    failures.with_label_values(&[name]).inc();
                }
            });
            runs.insert(name, run);
        }
    }
    for run in runs.into_values() {
        // A panic was reported where it happened.
        let _ended = run.await;
    }
}

/// Runs the duty once, and logs why if it fails.
async fn succeeds(duty: &dyn Duty, context: &DutyContext) -> bool {
    let started = Instant::now();
    let done = timeout(DUTY_TIMEOUT, duty.run(context)).await;
    if let Err(error) = duty.rest(context, started.elapsed()).await {
        tracing::warn!(
            error = chain(&error),
            duty = duty.name(),
            "could not postpone a maintenance duty"
        );
    }
    match done {
        Ok(Ok(())) => return true,
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
    false
}
