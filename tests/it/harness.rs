//! Every handler, struck at every step: its worker killed before the step is committed, killed after it, or frozen until
//! another has finished the job. Whatever happens, the job ends once and its effect is there once.

mod cases;
mod providers;
mod stops;

use crate::support::{
    Client, TestDb, eventually,
    system::{Worker, metric},
    wait::SOON,
};
use nix::sys::signal::Signal;
use serde_json::Value;
use stops::Stops;

/// More steps than any handler takes.
const MANY: usize = 40;

/// One kind of work, against real peers.
pub(crate) trait Case: Sync {
    fn db(&self) -> &TestDb;

    fn client(&self) -> &Client;

    async fn worker(&self) -> Worker;

    /// Asks for the n-th piece of work; the id of its job.
    async fn submit(&self, n: usize) -> String;

    /// The n-th job has ended and its effect is there once, or not at all and the ledger says that a person must look.
    async fn assert_once(&self, n: usize, job: &Value);
}

/// What happens to the worker that is held.
#[derive(Clone, Copy, Debug)]
enum Blow {
    /// Killed, and the step is not committed.
    KilledBefore,
    /// Killed, and the step is committed: its reply is lost.
    KilledAfter,
    /// Stopped until another has taken the job from it; then it wakes.
    Frozen,
}

/// Strikes at one step after another, each time on a new job, until a job ends before the step is reached.
pub(crate) async fn strike(case: &impl Case) {
    let mut stops = Stops::on(case.db()).await;
    let mut n = 0;
    for blow in [Blow::KilledBefore, Blow::KilledAfter, Blow::Frozen] {
        let mut steps = 0;
        for step in 1..MANY {
            n += 1;
            let id = case.submit(n).await;
            stops.at(step).await;
            let mut struck = case.worker().await;
            if !stops.reached().await {
                stops.let_go().await;
                case.assert_once(n, &ended(case, &id).await).await;
                break;
            }
            steps = step;
            match blow {
                Blow::KilledBefore => {
                    struck.process.kill();
                    stops.throw_back().await;
                }
                Blow::KilledAfter => {
                    struck.process.kill();
                    stops.let_go().await;
                }
                Blow::Frozen => {
                    struck.process.signal(Signal::SIGSTOP);
                    stops.let_go().await;
                }
            }
            let _other = case.worker().await;
            let job = ended(case, &id).await;
            if let Blow::Frozen = blow {
                struck.process.signal(Signal::SIGCONT);
                settled_down(&struck).await;
                assert_eq!(ended(case, &id).await, job, "{blow:?} at {step}");
            }
            case.assert_once(n, &job).await;
        }
        assert!((2..MANY - 1).contains(&steps), "{blow:?}: {steps} steps");
    }
}

/// The job, ended, with one line for its end and nothing left of it or what follows it in the queue.
async fn ended(case: &impl Case, id: &str) -> Value {
    let job = case.client().finished(id).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    eventually(SOON, async || {
        let open: i64 = case.db().one("select count(*) from jobs").await;
        if open == 0 {
            Ok(())
        } else {
            Err(format!("{open} jobs left"))
        }
    })
    .await;
    let ends: i64 = sqlx::query_scalar(
        "select count(*) from audit_log where action = 'job.succeeded' and job_id = $1::uuid",
    )
    .bind(id)
    .fetch_one(case.db().pool())
    .await
    .expect("count the ends");
    assert_eq!(ends, 1, "{job}");
    job
}

/// Waits until a worker that woke up has let go of what it lost.
async fn settled_down(woken: &Worker) {
    eventually(SOON, async || {
        let running = metric(woken.ops, "postroom_jobs_running", &[]).await;
        if running < 1.0 {
            Ok(())
        } else {
            Err(format!("{running} running"))
        }
    })
    .await;
}
