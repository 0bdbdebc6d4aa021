//! The measured worker in a separate process, with the real engine and the no-op handler: [`serve`] is the child,
//! [`WorkerProcess`] the parent.
//!
//! The parent writes a line to start the work and closes the pipe to end it, so that the child never outlives the parent. The
//! child writes the number of settled attempts and the pick-up times.

use super::bench_cluster::BenchDatabase;
use super::noop::NoopHandler;
use super::{BenchError, Settings};
use crate::places::Places;
use base::env::Env;
use base::telemetry;
use queue::runtime::handler::Registry;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use worker::config::WorkerConfig;
use worker::metrics::WorkerMetrics;
use worker::run::Worker;

/// The hidden command of this binary.
pub const COMMAND: &str = "bench-worker";

/// The precision of the measured end of a drain.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
const STARTED_IN: Duration = Duration::from_secs(30);
const SILENT: Duration = Duration::from_secs(120);

/// Runs the child: a worker configured by its environment, as in production.
///
/// # Errors
/// If the worker cannot start or its loops failed.
pub async fn serve() -> anyhow::Result<()> {
    let config = WorkerConfig::from_env(Env::from_process())?;
    telemetry::init(&config.telemetry.directives)?;
    let metrics = WorkerMetrics::new()?;
    let finished = metrics
        .runtime
        .jobs_finished_total
        .with_label_values(&["bench.noop", "succeeded"]);
    let (pickups, mut times) = mpsc::unbounded_channel();
    let registry = Registry::default().with(NoopHandler { pickups });
    let worker = Worker::start(config, registry, metrics).await?;
    let engine = worker.engine().clone();
    let mut orders = BufReader::new(stdin()).lines();
    say("ready");
    if orders.next_line().await?.is_none() {
        return Ok(());
    }
    let working = tokio::spawn(worker.work());
    let mut reported = 0;
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    loop {
        tokio::select! {
            order = orders.next_line() => if order?.is_none() { break },
            Some(us) = times.recv() => say(&format!("pickup {us}")),
            _ = ticks.tick() => {
                let now = finished.get();
                if now > reported {
                    say(&format!("finished {now}"));
                    reported = now;
                }
            }
        }
    }
    engine.stopping.cancel();
    working.await?
}

/// Writes a line to the parent. Ignores errors: if the parent is gone, the pipe of orders ends too.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// A worker process, as the parent sees it.
pub(super) struct WorkerProcess {
    child: Child,
    orders: Option<ChildStdin>,
    finished: watch::Receiver<u64>,
    pickups: mpsc::UnboundedReceiver<u64>,
    log: PathBuf,
}

impl WorkerProcess {
    /// Starts a worker on this database; it is connected but does not claim yet.
    pub(super) async fn start(
        database: &BenchDatabase,
        places: &Places,
        settings: &Settings,
    ) -> Result<Self, BenchError> {
        let failed = |source| BenchError::Spawn {
            program: COMMAND.to_owned(),
            source,
        };
        let (log, file) = log_file(places, COMMAND)?;
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .arg(COMMAND)
            .envs([
                ("DATABASE_URL", database.url.as_str()),
                ("DATABASE_LISTEN_URL", &database.url),
                ("WORKER_SLOTS", &settings.slots.to_string()),
                ("WORKER_OPS_ADDR", "127.0.0.1:0"),
                ("LLM_TESTING_MODE", "true"),
                ("RUST_LOG", "warn"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let out = child.stdout.take().expect("stdout is piped");
        let orders = child.stdin.take();
        let (count, finished) = watch::channel(0);
        let (timed, pickups) = mpsc::unbounded_channel();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let (mut lines, mut ready) = (BufReader::new(out).lines(), Some(ready));
            while let Ok(Some(line)) = lines.next_line().await {
                match line.split_once(' ') {
                    Some(("finished", n)) => drop(count.send(n.parse().unwrap_or_default())),
                    Some(("pickup", us)) => drop(timed.send(us.parse().unwrap_or_default())),
                    _ => drop(ready.take().map(|ready| ready.send(()))),
                }
            }
        });
        let process = Self {
            child,
            orders,
            finished,
            pickups,
            log,
        };
        match timeout(STARTED_IN, is_ready).await {
            Ok(Ok(())) => Ok(process),
            _ => Err(process.silent()),
        }
    }

    /// Lets it claim.
    pub(super) async fn go(&mut self) -> Result<(), BenchError> {
        let sent = match &mut self.orders {
            Some(orders) => orders.write_all(b"go\n").await,
            None => Ok(()),
        };
        sent.map_err(|_| self.silent())
    }

    /// Jobs that it settled so far.
    pub(super) fn finished(&self) -> u64 {
        *self.finished.borrow()
    }

    /// Waits until it settled one more.
    pub(super) async fn progress(&mut self) -> Result<(), BenchError> {
        match timeout(SILENT, self.finished.changed()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(self.silent()),
        }
    }

    /// The next pick-up's time in microseconds.
    pub(super) async fn pickup(&mut self) -> Result<u64, BenchError> {
        match timeout(STARTED_IN, self.pickups.recv()).await {
            Ok(Some(us)) => Ok(us),
            _ => Err(self.silent()),
        }
    }

    /// Stops it in order and waits for its end.
    pub(super) async fn stop(mut self) -> Result<(), BenchError> {
        drop(self.orders.take());
        match timeout(SILENT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            _ => Err(self.silent()),
        }
    }

    fn silent(&self) -> BenchError {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        BenchError::Process {
            program: COMMAND.to_owned(),
            log: lines[lines.len().saturating_sub(8)..].join("\n"),
        }
    }
}

/// A log for one run, among those of the checkout.
pub(super) fn log_file(places: &Places, name: &str) -> Result<(PathBuf, fs::File), BenchError> {
    let folder = places.dev.join("logs");
    let path = folder.join(format!("{name}.log"));
    match fs::create_dir_all(&folder).and_then(|()| fs::File::create(&path)) {
        Ok(file) => Ok((path, file)),
        Err(source) => Err(BenchError::File { path, source }),
    }
}
