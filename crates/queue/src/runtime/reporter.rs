//! [`Reporter`]: writes a handler's progress while it runs.
//!
//! A report never waits for the database and holds no connection: a task writes the latest one, at most twice a second, and
//! starts with the first report. A handler that ends at once costs no statement; a report not yet written then is dropped.

use crate::{
    Lease,
    run::progress::{self, InvalidProgress, Progress},
};
use base::telemetry::chain;
use sqlx::PgPool;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// The delay of the first write: a handler that ends sooner writes none.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const INTERVAL: Duration = Duration::from_millis(500);

/// A report was not accepted. A handler may ignore this: if the lease was lost, its `cancelled` token is set too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    #[error("the report is invalid")]
    Invalid(#[from] InvalidProgress),
    #[error("the lease was lost")]
    LeaseLost,
}

/// The progress reports of one attempt; clones share them.
#[derive(Clone)]
pub struct Reporter(Arc<Attempt>);

struct Attempt {
    pool: PgPool,
    lease: Lease,
    /// The handler's token.
    cancelled: CancellationToken,
    /// The writing task ends with this, or when the lease is lost.
    latest: OnceLock<watch::Sender<Progress>>,
}

impl Reporter {
    /// `cancelled` is set when a report finds that the lease was lost.
    pub fn new(pool: PgPool, lease: Lease, cancelled: CancellationToken) -> Self {
        Self(Arc::new(Attempt {
            pool,
            lease,
            cancelled,
            latest: OnceLock::new(),
        }))
    }

    /// See [`crate::runtime::handler::JobContext::report`].
    ///
    /// # Errors
    /// If the report is invalid, or an earlier one found that the lease was lost.
    pub fn report(&self, value: f32, note: &str) -> Result<(), ReportError> {
        let progress = Progress::new(value, note)?;
        let attempt = &*self.0;
        let latest = attempt.latest.get_or_init(|| {
            let (latest, unwritten) = watch::channel(progress.clone());
            let (pool, cancelled) = (attempt.pool.clone(), attempt.cancelled.clone());
            let writer = write(pool, attempt.lease, cancelled, unwritten);
            tokio::spawn(writer.in_current_span());
            latest
        });
        latest.send(progress).map_err(|_| ReportError::LeaseLost)
    }
}

/// Writes reports until the attempt ends or its lease is lost.
async fn write(
    pool: PgPool,
    lease: Lease,
    cancelled: CancellationToken,
    mut unwritten: watch::Receiver<Progress>,
) {
    let mut delay = FIRST_DELAY;
    loop {
        if ended_within(delay, &unwritten).await
            || unwritten.changed().await.is_err()
            || unwritten.has_changed().is_err()
        {
            return;
        }
        delay = INTERVAL;
        let progress = unwritten.borrow_and_update().clone();
        match progress::report(&pool, lease, &progress).await {
            Ok(true) => {}
            Ok(false) => {
                // Without a receiver the next report is refused.
                drop(unwritten);
                cancelled.cancel();
                return;
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "could not write progress; retrying");
                unwritten.mark_changed();
            }
        }
    }
}

/// Waits, at most until the attempt ends, and says whether it has: its span is exported when this task is done, too.
async fn ended_within(delay: Duration, reports: &watch::Receiver<Progress>) -> bool {
    let mut reports = reports.clone();
    let ended = reports.wait_for(|_| false);
    timeout(delay, ended).await.is_ok()
}
