//! Memory of a worker whose slots all wait for a model: [`measure`].

use super::bench_cluster::{BenchCluster, BenchDatabase};
use super::http::{Until, api, submit};
use super::report::Finding;
use super::sql::{connect, number};
use super::{BenchError, Settings, progress};
use crate::session;
use crate::stack::Service;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::sleep;

const WAITING: usize = 1000;
/// Emails per client: together slightly more than the slots.
const EACH: u64 = 33;
const ASKED_IN: Duration = Duration::from_secs(60);

pub(super) async fn measure(
    bench: &BenchCluster,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let (mut idle, mut waiting) = (vec![], vec![]);
    for run in 0..settings.runs.min(3) {
        let (before, during) = once(bench).await?;
        progress(
            "memory",
            run,
            format!("{before:.0} MB idle, {during:.0} MB waiting"),
        );
        idle.push(before);
        waiting.push(during);
    }
    let before = super::statistics::median(&idle);
    Ok(vec![
        Finding::new("memory", "MB", waiting).detail("MB when idle", before),
    ])
}

/// Measures the resident megabytes of the idle worker and of the worker with all slots waiting.
async fn once(bench: &BenchCluster) -> Result<(f64, f64), BenchError> {
    let database = bench.new_database().await?;
    let token = session::mint(&database.url).await?.token;
    let model = SlowModel::start().await?;
    let base = format!("http://127.0.0.1:{}/v1", model.port);
    let slots = WAITING.to_string();
    let variables = [
        ("DATABASE_URL", database.url.as_str()),
        ("DATABASE_LISTEN_URL", database.url.as_str()),
        ("WORKER_SLOTS", &slots),
        ("WORKER_OPS_ADDR", "127.0.0.1:0"),
        ("LLM_TESTING_MODE", "false"),
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "slow-1"),
        ("LLM_BASE_URL", &base),
        ("LLM_API_KEY", "key-of-the-bench"),
    ];
    let mut worker = Service::spawn(&bench.places, "postroom-worker", &[], &variables)?;
    let ops = worker.listens("ops").await?;
    worker.is_ready(ops).await?;
    sleep(Duration::from_secs(1)).await;
    let idle = resident(worker.pid())?;
    let (api, address) = api(&database, bench).await?;
    submit(address, token.expose(), Until::Done(EACH)).await?;
    drop(api);
    model.wait_for_requests(WAITING).await?;
    running(&database).await?;
    let during = resident(worker.pid())?;
    worker.kill();
    drop(worker);
    database.clear().await?;
    Ok((idle, during))
}

/// Waits until all slots run a job.
async fn running(database: &BenchDatabase) -> Result<(), BenchError> {
    let mut connection = connect(&database.url).await?;
    let count = "select count(*) from jobs where state = 'running'";
    let running = number(&mut connection, count).await?;
    if usize::try_from(running).is_ok_and(|running| running >= WAITING) {
        return Ok(());
    }
    Err(BenchError::Unsound(format!(
        "only {running} jobs are running"
    )))
}

/// Returns `VmRSS` of a process, in megabytes of a million bytes.
pub(super) fn resident(pid: i32) -> Result<f64, BenchError> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let status = fs::read_to_string(&path).map_err(|source| BenchError::File { path, source })?;
    parse_resident(&status)
        .ok_or_else(|| BenchError::Unsound("the system does not report VmRSS".into()))
}

fn parse_resident(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0 / 1_000_000.0)
}

/// A server that accepts every request and never answers.
struct SlowModel {
    port: u16,
    asked: Arc<AtomicUsize>,
}

impl SlowModel {
    async fn start() -> Result<Self, BenchError> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(BenchError::Http)?;
        let port = listener.local_addr().map_err(BenchError::Http)?.port();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counted = counted.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 4096];
                    if stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                    // Waits until the client gives up.
                    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
                });
            }
        });
        Ok(Self { port, asked })
    }

    /// Waits for this number of pending requests.
    async fn wait_for_requests(&self, count: usize) -> Result<(), BenchError> {
        let deadline = Instant::now() + ASKED_IN;
        while self.asked.load(Ordering::Relaxed) < count {
            if Instant::now() > deadline {
                let asked = self.asked.load(Ordering::Relaxed);
                return Err(BenchError::Unsound(format!(
                    "the model got {asked} requests"
                )));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_megabytes() {
        let status = "Name:\tx\nVmPeak:\t  9 kB\nVmRSS:\t  100000 kB\n";
        assert_eq!(parse_resident(status), Some(102.4));
        assert_eq!(parse_resident("Name:\tx\n"), None);
    }
}
