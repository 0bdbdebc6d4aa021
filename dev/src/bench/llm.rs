//! What a job adds to its call to a model: [`measure`]. The real worker with intents, a budget and the lanes, emails at a steady
//! pace, and a server that answers after two seconds, so that 200 calls are under way at any time.
//!
//! The overhead of a job is the time from its claim to its settlement without the time that the server held its request.

use super::bench_cluster::{BenchCluster, BenchDatabase};
use super::http::{CLIENTS, Until, api, submit};
use super::model_server::ModelServer;
use super::report::Finding;
use super::sql::{connect, execute, number, pairs};
use super::statistics::percentile;
use super::{BenchError, Settings, progress};
use crate::session;
use crate::stack::Service;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use uuid::Uuid;

const ANSWERS_AFTER: Duration = Duration::from_secs(2);
/// Calls under way: the pace is this number in the time of one answer.
const CALLS: u32 = 200;
/// More than the calls: a job whose pick-up is late must not wait for another one's end.
const SLOTS: &str = "400";
/// Jobs at the beginning, before the pace is steady, and with statements that are prepared for the first time.
const WARM_UP: usize = 300;
const SETTLED_IN: Duration = Duration::from_secs(60);

pub(super) async fn measure(
    bench: &BenchCluster,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let (mut p50, mut p99) = (vec![], vec![]);
    let mut most = 0;
    for run in 0..settings.runs.min(3) {
        let run_of = once(bench, if settings.quick { 20 } else { 60 }).await?;
        p50.push(percentile(&run_of.overheads, 50));
        p99.push(percentile(&run_of.overheads, 99));
        most = most.max(run_of.most);
        progress(
            "llm",
            run,
            format!(
                "p50 {:.1} ms, p99 {:.1} ms of {} jobs, {} calls at the same time",
                p50[run],
                p99[run],
                run_of.overheads.len(),
                run_of.most
            ),
        );
    }
    Ok(vec![
        Finding::new("llm.p50", "ms", p50).detail("most calls", most as f64),
        Finding::new("llm.p99", "ms", p99),
    ])
}

/// One measurement.
struct Run {
    /// In milliseconds, of the jobs after the warm-up.
    overheads: Vec<f64>,
    /// The most calls at the same time.
    most: usize,
}

/// Measures with this number of emails per client.
async fn once(bench: &BenchCluster, each: u64) -> Result<Run, BenchError> {
    let database = bench.new_database().await?;
    let token = session::mint(&database.url).await?.token;
    let mut connection = connect(&database.url).await?;
    // Far from being reached, so that it is counted and refuses nothing.
    execute(
        &mut connection,
        "insert into llm_budgets (tenant_id, kind, period, max_tokens, max_micros, period_start)
         select id, '*', 'day', 1000000000, 1000000000, current_date from tenants",
    )
    .await?;
    let model = ModelServer::start(ANSWERS_AFTER).await?;
    let base = format!("http://127.0.0.1:{}/v1", model.port);
    let variables = [
        ("DATABASE_URL", database.url.as_str()),
        ("DATABASE_LISTEN_URL", database.url.as_str()),
        ("WORKER_SLOTS", SLOTS),
        ("WORKER_OPS_ADDR", "127.0.0.1:0"),
        ("LLM_TESTING_MODE", "false"),
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "gpt-4.1-mini"),
        ("LLM_BASE_URL", &base),
        ("LLM_API_KEY", "key-of-the-bench"),
    ];
    let mut worker = Service::spawn(&bench.places, "postroom-worker", &[], &variables)?;
    let ops = worker.listens("ops").await?;
    worker.is_ready(ops).await?;
    let (api, address) = api(&database, bench).await?;
    let every = ANSWERS_AFTER * CLIENTS / CALLS;
    let pace = Until::Paced { count: each, every };
    let submitted = submit(address, token.expose(), pace).await?;
    settled(&database, submitted).await?;
    drop(api);
    worker.kill();
    drop(worker);
    let jobs = jobs(&database).await?;
    database.clear().await?;
    let (held, most) = model.times();
    Ok(Run {
        overheads: overheads(&jobs, &held)?,
        most,
    })
}

/// Waits until all jobs are answered by the model.
async fn settled(database: &BenchDatabase, submitted: u64) -> Result<(), BenchError> {
    let mut connection = connect(&database.url).await?;
    let deadline = Instant::now() + SETTLED_IN;
    let count = "select count(*) from finished_jobs where output->>'source' = 'llm'";
    loop {
        let done = number(&mut connection, count).await?;
        if u64::try_from(done).is_ok_and(|done| done == submitted) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(BenchError::Unsound(format!(
                "the model answered {done} of {submitted} jobs"
            )));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Lists the request of each job and the milliseconds from its claim to its settlement, in the order of the claims.
async fn jobs(database: &BenchDatabase) -> Result<Vec<(Uuid, f64)>, BenchError> {
    let mut connection = connect(&database.url).await?;
    let jobs = pairs(
        &mut connection,
        "select call.id, extract(epoch from job.finished_at - job.started_at)::float8 * 1000
         from finished_jobs job join llm_calls call on call.tenant_id = job.tenant_id and call.job_id = job.id
         where job.attempt = 1 order by job.started_at, job.id",
    )
    .await?;
    Ok(jobs)
}

/// Returns the milliseconds that each job took beside its call.
fn overheads(jobs: &[(Uuid, f64)], held: &HashMap<Uuid, Duration>) -> Result<Vec<f64>, BenchError> {
    let measured = jobs.get(WARM_UP..).unwrap_or_default();
    let overheads = measured.iter().map(|(request, took)| {
        let held = held.get(request)?;
        Some(took - held.as_secs_f64() * 1000.0)
    });
    let overheads: Option<Vec<f64>> = overheads.collect();
    overheads.filter(|some| !some.is_empty()).ok_or_else(|| {
        BenchError::Unsound(format!(
            "{} jobs, and not each was answered once",
            jobs.len()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overhead_is_the_jobs_time_without_the_call_and_without_the_warm_up() {
        let ids: Vec<Uuid> = (0..WARM_UP as u128 + 2).map(Uuid::from_u128).collect();
        let held = |id: &Uuid| (*id, Duration::from_millis(2000));
        let jobs: Vec<_> = (ids.iter().enumerate())
            .map(|(n, id)| (*id, if n < WARM_UP { 9000.0 } else { 2007.0 }))
            .collect();
        let all = ids.iter().map(held).collect();
        assert_eq!(overheads(&jobs, &all).unwrap(), [7.0, 7.0]);
        let without_the_last = ids[..ids.len() - 1].iter().map(held).collect();
        assert!(overheads(&jobs, &without_the_last).is_err());
        assert!(overheads(&jobs[..9], &all).is_err());
    }
}
