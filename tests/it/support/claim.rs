//! [`claim_jobs`]: jobs in the hands of a worker that does not run.

use super::TestDb;
use base::WorkerId;
use queue::{
    Job,
    claim::{Capacity, Claim, FairnessTurn, claim},
};
use std::time::Duration;

/// The lease of claimed jobs.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// Claims up to `limit` jobs of this queue and kind, whatever their priority and tenant, for a worker of its own.
pub(crate) async fn claim_jobs(
    db: &TestDb,
    (queue, kind): (&str, &str),
    limit: u32,
    lease: Duration,
) -> Vec<Job> {
    let request = Claim {
        worker: WorkerId::new(),
        queue,
        kinds: &[kind.to_owned()],
        lease,
        limit,
        turn: FairnessTurn::default(),
        priorities: &[1, 2, 3, 4],
        capacity: &Capacity::UNLIMITED,
    };
    claim(db.pool(), &request).await.expect("a claim").jobs
}

/// Claims one job of a kind.
pub(crate) async fn claim_job(db: &TestDb, kind: (&str, &str)) -> Job {
    let jobs = claim_jobs(db, kind, 1, LEASE).await;
    jobs.into_iter().next().expect("a job is due")
}
