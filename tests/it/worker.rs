//! A real worker on a real database; the job's argument selects the handler's behaviour.

mod duties;
mod fairness;
mod families;
mod gauges;
mod poison;
mod stopping;
mod vacuum_blocked;

use crate::support::{TestDb, eventually, wait::SOON};
use async_trait::async_trait;
use base::{TenantId, env::Env};
use queue::runtime::handler::{Handler, JobContext, Registry, SettleWrites, Settlement};
use queue::{
    Failure, Job, JobKind, JobState, JobView, NewJob, RetryPolicy, enqueue::enqueue, run::children,
    view,
};
use serde_json::json;
use sqlx::PgConnection;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, task::JoinHandle};
use worker::{config::WorkerConfig, metrics::WorkerMetrics, run::Worker};

struct Probe;

impl JobKind for Probe {
    const NAME: &'static str = "test.probe";
    const QUEUE: &'static str = "test";
    const TIMEOUT: Duration = SOON;
    type Args = String;
    type Output = ();

    fn retry_policy() -> RetryPolicy {
        quick_retries()
    }
}

/// A kind with a timeout of almost nothing.
struct Brief;

impl JobKind for Brief {
    const NAME: &'static str = "test.brief";
    const QUEUE: &'static str = "test";
    const TIMEOUT: Duration = Duration::from_millis(50);
    type Args = ();
    type Output = ();

    fn retry_policy() -> RetryPolicy {
        quick_retries()
    }
}

fn quick_retries() -> RetryPolicy {
    let floor = Duration::from_millis(10);
    RetryPolicy {
        max_attempts: 3,
        base: floor,
        cap: Duration::from_millis(50),
        floor,
    }
}

struct Stuck;

#[async_trait]
impl Handler for Stuck {
    type Kind = Brief;

    async fn run(&self, _: &JobContext, (): ()) -> Result<Settlement, Failure> {
        std::future::pending().await
    }
}

/// Behaves as the job's argument says.
#[derive(Clone, Default)]
struct ProbeHandler {
    starts: Arc<AtomicUsize>,
    release: Arc<Notify>,
}

/// Writes a row that only a committed settlement leaves.
struct Trace(&'static str);

#[async_trait]
impl SettleWrites for Trace {
    async fn apply(&self, conn: &mut PgConnection, job: &Job) -> Result<(), sqlx::Error> {
        let sql = match self.0 {
            "refused" => "select 1/0",
            _ => "insert into queue_samples (queue, state, jobs) values ($1, 'trace', 1)",
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "a table of a test is not in the checked schema"
        )]
        sqlx::query(sql)
            .bind(job.lease.job.to_string())
            .execute(conn)
            .await
            .map(|_| ())
    }
}

#[async_trait]
impl Handler for ProbeHandler {
    type Kind = Probe;

    async fn run(&self, ctx: &JobContext, args: String) -> Result<Settlement, Failure> {
        let start = self.starts.fetch_add(1, Ordering::SeqCst) + 1;
        let output = Settlement::of(json!({ "start": start }));
        let done = |trace| Ok(output.with(Trace(trace)));
        match args.as_str() {
            "flaky" if start < 3 => Err(Failure::transient("flaky", "It was flaky.", "detail")),
            "progresses" if start < 5 => Err(poison::progress(ctx).await),
            "fails" => Err(Failure::transient("fails", "It failed.", "detail")),
            "permanent" => Err(Failure::permanent(
                "permanent",
                "It can never work.",
                "detail",
            )),
            "panics" => panic!("a secret in a panic"),
            "refused" => done("refused"),
            "waits" => {
                self.release.notified().await;
                done("trace")
            }
            "cooperates" => {
                ctx.cancelled.cancelled().await;
                Err(Failure::interrupted())
            }
            "naps" => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(Settlement::of(json!(null)))
            }
            // No trace: an attempt without writes is settled in a batch.
            "plain" => Ok(Settlement::of(json!({ "start": start }))),
            // The other words are the arguments of its children.
            family if family.starts_with("parent ") => families::raise(ctx, family).await,
            "unstorable" => Ok(Settlement::of(json!("\u{0}"))),
            _ => done("trace"),
        }
    }
}

struct Running {
    handler: ProbeHandler,
    metrics: WorkerMetrics,
    worker: Arc<queue::runtime::engine::Engine>,
    ended: JoinHandle<anyhow::Result<()>>,
}

async fn start(db: &TestDb, variables: &[(&str, &str)]) -> Running {
    let url = db.url();
    let mut all = vec![
        ("DATABASE_URL", url.as_str()),
        ("WORKER_OPS_ADDR", "127.0.0.1:0"),
        ("WORKER_POLL_SECONDS", "0.05"),
        ("WORKER_LEASE_SECONDS", "0.9"),
        ("LLM_TESTING_MODE", "true"),
    ];
    all.extend(variables);
    let config = WorkerConfig::from_env(Env::from_vars(all)).unwrap();
    let handler = ProbeHandler::default();
    let metrics = WorkerMetrics::new().unwrap();
    let registry = Registry::default().with(handler.clone()).with(Stuck);
    let worker = Worker::start(config, registry, metrics.clone())
        .await
        .unwrap();
    let engine = worker.engine().clone();
    Running {
        handler,
        metrics,
        worker: engine,
        ended: tokio::spawn(worker.work()),
    }
}

impl Running {
    async fn stop(self) {
        self.worker.stopping.cancel();
        self.ended.await.unwrap().unwrap();
    }

    fn finished(&self, outcome: &str) -> u64 {
        self.metrics
            .runtime
            .jobs_finished_total
            .with_label_values(&[Probe::NAME, outcome])
            .get()
    }

    fn starts(&self) -> usize {
        self.handler.starts.load(Ordering::SeqCst)
    }
}

async fn put(db: &TestDb, args: &str) -> NewJob {
    insert(
        db,
        NewJob::of::<Probe>(TenantId::new(), &args.to_owned()).unwrap(),
    )
    .await
}

async fn put_brief(db: &TestDb) -> NewJob {
    insert(db, NewJob::of::<Brief>(TenantId::new(), &()).unwrap()).await
}

async fn insert(db: &TestDb, job: NewJob) -> NewJob {
    let mut conn = db.pool().acquire().await.unwrap();
    enqueue(&mut conn, &job).await.unwrap();
    job
}

async fn view(db: &TestDb, job: &NewJob) -> JobView {
    let mut conn = db.pool().acquire().await.unwrap();
    view::find(&mut conn, job.tenant, job.id)
        .await
        .unwrap()
        .expect("the job exists")
}

async fn finished(db: &TestDb, job: &NewJob) -> JobView {
    until("the job is finished", async || {
        view(db, job).await.state.is_terminal()
    })
    .await;
    view(db, job).await
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    eventually(SOON, async || {
        if holds().await {
            Ok(())
        } else {
            Err(format!("not yet: {what}"))
        }
    })
    .await;
}

async fn traces(db: &TestDb) -> i64 {
    db.one("select count(*) from queue_samples where state = 'trace'")
        .await
}

#[tokio::test]
async fn flaky_job_succeeds_at_its_third_attempt_and_shows_the_others() {
    let db = TestDb::new().await;
    let running = start(&db, &[]).await;
    let job = put(&db, "flaky").await;
    let seen = finished(&db, &job).await;
    assert_eq!(
        (seen.state, seen.attempts, seen.output),
        (JobState::Succeeded, 3, Some(json!({ "start": 3 })))
    );
    assert_eq!(
        db.one::<i64>("select count(*) from job_attempts where error_code = 'flaky'")
            .await,
        2
    );
    let audited: String = db
        .one("select string_agg(action, ' ' order by id) from audit_log")
        .await;
    assert_eq!(audited, "job.retried job.retried job.succeeded");
    until("the success is counted", async || {
        running.finished("succeeded") == 1
    })
    .await;
    assert_eq!(running.finished("retried"), 2);
    running.stop().await;
}

#[tokio::test]
async fn job_is_discarded_after_its_last_attempt_or_a_permanent_error() {
    let db = TestDb::new().await;
    let running = start(&db, &[]).await;
    let (spent, permanent) = (put(&db, "fails").await, put(&db, "permanent").await);
    let (spent, permanent) = (finished(&db, &spent).await, finished(&db, &permanent).await);
    assert_eq!((spent.state, spent.attempts), (JobState::Discarded, 3));
    assert_eq!(
        (permanent.state, permanent.attempts),
        (JobState::Discarded, 1)
    );
    assert_eq!(permanent.error.unwrap().message, "It can never work.");
    running.stop().await;
}

#[tokio::test]
async fn panic_and_timeout_fail_the_job_and_not_the_worker() {
    let db = TestDb::new().await;
    let running = start(&db, &[]).await;
    let (panics, stuck) = (put(&db, "panics").await, put_brief(&db).await);
    let (panics, stuck) = (finished(&db, &panics).await, finished(&db, &stuck).await);
    assert_eq!(
        (panics.state, panics.error.unwrap().code.as_str()),
        (JobState::Discarded, "internal_error")
    );
    assert_eq!(
        (stuck.state, stuck.error.unwrap().code.as_str()),
        (JobState::Discarded, "timed_out")
    );
    let good = put(&db, "good").await;
    assert_eq!(finished(&db, &good).await.state, JobState::Succeeded);
    running.stop().await;
}

#[tokio::test]
async fn refused_writes_fail_the_attempt_and_leave_nothing() {
    let db = TestDb::new().await;
    let running = start(&db, &[]).await;
    let job = put(&db, "refused").await;
    let seen = finished(&db, &job).await;
    assert_eq!(
        (seen.state, seen.attempts, seen.output),
        (JobState::Discarded, 3, None)
    );
    running.stop().await;
}

#[tokio::test]
async fn job_with_undecodable_arguments_is_discarded_after_a_day_and_the_worker_continues() {
    let db = TestDb::new().await;
    let running = start(&db, &[]).await;
    let mut poison = NewJob::of::<Probe>(TenantId::new(), &String::new()).unwrap();
    poison.args = json!({ "not": "a string" });
    let mut conn = db.pool().acquire().await.unwrap();
    enqueue(&mut conn, &poison).await.unwrap();
    drop(conn);
    until("the job was left to a newer worker", async || {
        db.one::<i64>("select count(*) from job_attempts where outcome = 'snoozed'")
            .await
            > 0
    })
    .await;
    db.execute("update jobs set created_at = created_at - interval '25 hours'")
        .await;
    let seen = finished(&db, &poison).await;
    assert_eq!(
        (seen.state, seen.error.unwrap().code.as_str()),
        (JobState::Discarded, "undecodable_args")
    );
    let good = put(&db, "good").await;
    assert_eq!(finished(&db, &good).await.state, JobState::Succeeded);
    running.stop().await;
}

#[tokio::test]
async fn job_longer_than_its_lease_is_renewed_and_runs_once() {
    let db = TestDb::new().await;
    let running = start(&db, &[("WORKER_LEASE_SECONDS", "0.3")]).await;
    let job = put(&db, "waits").await;
    until("the handler has started", async || running.starts() == 1).await;
    let first_until: String = db.one("select lease_until::text from jobs").await;
    until("the lease was renewed", async || {
        db.one::<String>("select lease_until::text from jobs").await != first_until
    })
    .await;
    running.handler.release.notify_one();
    let seen = finished(&db, &job).await;
    assert_eq!((seen.state, running.starts()), (JobState::Succeeded, 1));
    running.stop().await;
}

#[tokio::test]
async fn handler_that_lost_its_lease_is_stopped_and_writes_nothing() {
    let db = TestDb::new().await;
    let running = start(&db, &[("WORKER_LEASE_SECONDS", "0.3")]).await;
    put(&db, "waits").await;
    until("the handler has started", async || running.starts() == 1).await;
    // As if another worker had rescued and claimed the job.
    db.execute("update jobs set attempt = attempt + 1, lease_until = 'tomorrow'")
        .await;
    let lost = running
        .metrics
        .runtime
        .lease_lost_total
        .with_label_values(&[Probe::NAME]);
    until("the loss is counted", async || lost.get() == 1).await;
    assert_eq!(traces(&db).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn shutdown_waits_for_running_jobs_and_counts_no_attempt() {
    let db = TestDb::new().await;
    let running = start(
        &db,
        &[("WORKER_GRACE_SECONDS", "0.2"), ("WORKER_SLOTS", "50")],
    )
    .await;
    let mut all = Vec::new();
    for _ in 0..50 {
        all.push(put(&db, "cooperates").await);
    }
    until("all handlers have started", async || running.starts() == 50).await;
    running.worker.stopping.cancel();
    running.worker.grace_over.cancel();
    running.ended.await.unwrap().unwrap();
    for job in &all {
        let seen = view(&db, job).await;
        assert_eq!((seen.state, seen.attempts), (JobState::Available, 0));
    }
    assert_eq!(
        db.one::<i64>("select count(*) from job_attempts where outcome = 'interrupted'")
            .await,
        50
    );
}

#[tokio::test]
async fn job_that_ends_within_the_grace_period_is_settled() {
    let db = TestDb::new().await;
    let running = start(&db, &[]).await;
    let job = put(&db, "waits").await;
    until("the handler has started", async || running.starts() == 1).await;
    running.worker.stopping.cancel();
    running.handler.release.notify_one();
    running.ended.await.unwrap().unwrap();
    assert_eq!(view(&db, &job).await.state, JobState::Succeeded);
    assert_eq!(traces(&db).await, 1);
}

#[tokio::test]
async fn stopping_worker_claims_no_more_jobs() {
    let db = TestDb::new().await;
    let running = start(&db, &[("WORKER_SLOTS", "1")]).await;
    let (first, second) = (put(&db, "waits").await, put(&db, "good").await);
    until("the handler has started", async || running.starts() == 1).await;
    running.worker.stopping.cancel();
    running.handler.release.notify_one();
    running.ended.await.unwrap().unwrap();
    assert_eq!(view(&db, &first).await.state, JobState::Succeeded);
    assert_eq!(view(&db, &second).await.state, JobState::Available);
}

#[tokio::test]
async fn running_jobs_never_exceed_the_slots() {
    let db = TestDb::new().await;
    let running = start(&db, &[("WORKER_SLOTS", "3")]).await;
    for _ in 0..10 {
        put(&db, "waits").await;
    }
    until("three handlers have started", async || {
        running.starts() == 3
    })
    .await;
    assert_eq!(
        db.one::<i64>("select count(*) from jobs where state = 'running'")
            .await,
        3
    );
    for left in (0..10).rev() {
        running.handler.release.notify_one();
        until("another job is done", async || {
            db.one::<i64>("select count(*) from jobs").await == left
        })
        .await;
    }
    running.stop().await;
}

#[tokio::test]
async fn worker_survives_the_loss_of_all_its_connections() {
    let db = TestDb::new().await;
    let running = start(&db, &[]).await;
    let first = put(&db, "waits").await;
    until("the handler has started", async || running.starts() == 1).await;
    db.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'postroom-worker'",
    )
    .await;
    running.handler.release.notify_one();
    assert_eq!(finished(&db, &first).await.state, JobState::Succeeded);
    let second = put(&db, "good").await;
    assert_eq!(finished(&db, &second).await.state, JobState::Succeeded);
    assert_eq!(running.starts(), 2);
    running.stop().await;
}
