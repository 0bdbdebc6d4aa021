//! `cargo dev chaos`: a chaos run on the real binaries, checked by an oracle. See [`run`] and [`chaos_run`].
//!
//! Runs two APIs and three workers on a temporary Postgres with fsync on, each behind its own proxy, while clients submit
//! emails. Then the faults stop, the queue drains, and [`Oracle`] checks every promise.

mod clients;
mod fault_plan;
mod oracle;
mod processes;
mod proxy;
mod random;
mod report;

pub use clients::Log;
pub use oracle::{Oracle, Verdict};
pub use report::Report;

use crate::cargo;
use crate::client::{Client, ClientError};
use crate::places::{PlaceError, Places};
use crate::postgres::{Cluster, ClusterError, DATABASE, Durability};
use crate::say;
use crate::session::{self, MintError};
use crate::signals::Interrupts;
use clap::Args;
use clients::Clients;
use fault_plan::{ChaosFault, FaultPlan};
use jobs::domain::rules::SAMPLE_RULES;
use nix::sys::signal::Signal;
use processes::Processes;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Another program's outgoing connection may hold the port of Postgres for a moment.
const RESTARTS: u32 = 20;

#[derive(Args, Debug)]
pub struct ChaosArgs {
    /// Duration of the faults; draining the queue takes some seconds more.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Repeat the faults of an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// Emails submitted per second.
    #[arg(long, default_value_t = 60)]
    rate: u64,
    /// Print the report as one line of JSON; the table goes to standard error.
    #[arg(long)]
    json: bool,
}

/// The settings of a chaos run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The folder with the binaries of the API and the worker.
    pub binaries: PathBuf,
    pub duration: Duration,
    pub seed: u64,
    /// Emails per second.
    pub rate: u64,
    /// The lease of the workers, in whole seconds.
    pub lease: Duration,
    /// The time limit for draining the queue afterwards.
    pub drain: Duration,
}

/// The chaos run failed before it had a result.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("could not create the schema or a session")]
    Mint(#[from] MintError),
    #[error("could not save the rules")]
    Rules(#[source] ClientError),
    #[error("could not run cargo")]
    Cargo(#[source] io::Error),
    #[error("the build failed; see the compiler errors above")]
    Build,
    #[error("could not catch signals")]
    Signals(#[source] io::Error),
    #[error("could not create a folder for the logs")]
    Logs(#[source] io::Error),
    #[error("could not open a proxy")]
    Proxy(#[source] io::Error),
    #[error("could not start a process")]
    Spawn(#[source] io::Error),
    #[error("could not query the database")]
    Database(#[from] sqlx::Error),
}

/// Runs the command: prints the report and returns exit code 1 if a promise was broken.
///
/// # Errors
/// If the run could not start or be checked.
pub async fn run(args: ChaosArgs) -> Result<u8, ChaosError> {
    let places = Places::of_this_workspace()?;
    build(&places).await?;
    let plan = Plan {
        binaries: cargo::binaries(&places),
        duration: Duration::from_secs_f64(args.minutes.max(0.0) * 60.0),
        seed: args.seed.unwrap_or_else(|| u64::from(std::process::id())),
        rate: args.rate,
        lease: Duration::from_secs(3),
        drain: Duration::from_mins(3),
    };
    let mut interrupts = Interrupts::catch().map_err(ChaosError::Signals)?;
    let report = tokio::select! {
        report = Box::pin(chaos_run(&plan)) => report?,
        _ = interrupts.next() => return Ok(130),
    };
    if args.json {
        eprintln!("{}", report.table());
        say::line(report.json());
    } else {
        say::line(report.table());
    }
    Ok(u8::from(!report.is_clean()))
}

/// Runs the faults, drains the queue and checks every promise.
///
/// # Errors
/// If the run could not start, or the database fails afterwards.
pub async fn chaos_run(plan: &Plan) -> Result<Report, ChaosError> {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(Durability::Measured)).await;
    let cluster = Arc::new(cluster.expect("starting a cluster does not panic")?);
    let url = cluster.url(DATABASE);
    session::migrate(&url).await?;
    let token = Arc::new(session::mint(&url).await?.token);
    let logs = tempfile::Builder::new().prefix("postroom-chaos-").tempdir();
    let logs = logs.map_err(ChaosError::Logs)?;
    let port = cluster.port();
    let url_through = |own: u16| url.replacen(&format!(":{port}/"), &format!(":{own}/"), 1);
    let processes = Arc::new(Processes::start(plan, logs.path(), port, url_through).await?);
    let stop = CancellationToken::new();
    let restarter = tokio::spawn({
        let (processes, stop) = (processes.clone(), stop.clone());
        async move { processes.restart_ended(&stop).await }
    });
    save_rules(&processes, token.clone()).await?;
    let clients = Clients::start(&processes.apis, token.expose(), plan.seed, plan.rate);
    eprintln!(
        "Chaos run with seed {}: faults for {} s …",
        plan.seed,
        plan.duration.as_secs()
    );
    let faults = inject_faults(plan, &processes, &cluster, &clients).await?;
    processes.stop_faults();
    let log = clients.finish(plan.drain).await;
    let oracle = Oracle::at(&url).await?;
    let drained_in = drain(&oracle, plan.drain).await?;
    let verdicts = oracle.judge(&log).await?;
    let report = Report {
        seed: plan.seed,
        duration: plan.duration,
        faults,
        replies_lost: processes.replies_lost(),
        clocks_skewed: processes::faketime().is_some(),
        accepted: log.answers.len(),
        retries: log.retries,
        ends: oracle.ends().await?,
        lost_attempts: oracle.lost_attempts().await?,
        drained_in,
        verdicts,
    };
    stop.cancel();
    drop(restarter.await);
    if !report.is_clean() {
        let kept = logs.keep();
        eprintln!("The logs of the processes are in {}", kept.display());
    }
    // Stops the processes before Postgres, off the async runtime.
    let ended = tokio::task::spawn_blocking(move || {
        drop(processes);
        cluster.stop()
    });
    ended.await.expect("stopping does not panic")?;
    Ok(report)
}

async fn build(places: &Places) -> Result<(), ChaosError> {
    let mut arguments = vec!["build", "--quiet", "--workspace", "--bins"];
    if !cfg!(debug_assertions) {
        arguments.push("--release");
    }
    let mut build = cargo::command(places, &arguments);
    let built = build.status().await.map_err(ChaosError::Cargo)?;
    if built.success() {
        Ok(())
    } else {
        Err(ChaosError::Build)
    }
}

/// Saves the sample rules, waiting for the API to start.
async fn save_rules(
    processes: &Processes,
    token: Arc<jobs::domain::SessionToken>,
) -> Result<(), ChaosError> {
    let client = Client::new(&format!("http://{}", processes.apis[0]), token);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match client.put_rules_if_none(SAMPLE_RULES).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(ChaosError::Rules(error)),
            Err(_) => sleep(POLL_INTERVAL).await,
        }
    }
}

/// Injects faults for the duration of the run and counts them.
async fn inject_faults(
    plan: &Plan,
    processes: &Arc<Processes>,
    cluster: &Arc<Cluster>,
    clients: &Clients,
) -> Result<BTreeMap<&'static str, u64>, ChaosError> {
    let mut faults = FaultPlan::new(plan.seed, plan.lease);
    let end = Instant::now() + plan.duration;
    let mut counts = BTreeMap::new();
    let mut lasting = JoinSet::new();
    let mut reported_at = Instant::now();
    loop {
        let (wait, fault) = faults.next();
        if Instant::now() + wait > end {
            break;
        }
        sleep(wait).await;
        if inject(fault, processes, cluster, &mut lasting).await? {
            *counts.entry(fault.name()).or_insert(0) += 1;
        }
        if reported_at.elapsed() > Duration::from_secs(10) {
            reported_at = Instant::now();
            let injected: u64 = counts.values().sum();
            eprintln!(
                "{injected} faults injected, {} jobs accepted",
                clients.accepted()
            );
        }
    }
    while lasting.join_next().await.is_some() {}
    Ok(counts)
}

/// Injects a fault; a lasting one continues in the background. Returns false if its process was not running.
async fn inject(
    fault: ChaosFault,
    processes: &Arc<Processes>,
    cluster: &Arc<Cluster>,
    lasting: &mut JoinSet<()>,
) -> Result<bool, ChaosError> {
    match fault {
        ChaosFault::KillWorker(worker) => {
            return Ok(processes.signal(Processes::worker(worker), Signal::SIGKILL));
        }
        ChaosFault::KillApi(api) => return Ok(processes.signal(api, Signal::SIGKILL)),
        ChaosFault::FreezeWorker(worker, time) => {
            let index = Processes::worker(worker);
            if !processes.signal(index, Signal::SIGSTOP) {
                return Ok(false);
            }
            let processes = processes.clone();
            lasting.spawn(async move {
                sleep(time).await;
                processes.signal(index, Signal::SIGCONT);
            });
        }
        ChaosFault::CrashPostgres => crash(cluster.clone()).await?,
        ChaosFault::Cut(index) => processes.proxy(index).cut(),
        ChaosFault::Blackhole(index, time) => {
            processes.proxy(index).open_blackhole();
            let processes = processes.clone();
            lasting.spawn(async move {
                sleep(time).await;
                processes.proxy(index).close_blackhole();
            });
        }
        ChaosFault::LoseReply(index) => processes.proxy(index).lose_reply(),
        ChaosFault::Slow(index, delay) => {
            processes.proxy(index).delay(delay);
            let processes = processes.clone();
            lasting.spawn(async move {
                sleep(Duration::from_secs(4)).await;
                processes.proxy(index).delay(Duration::ZERO);
            });
        }
    }
    Ok(true)
}

async fn crash(cluster: Arc<Cluster>) -> Result<(), ChaosError> {
    let crashed = tokio::task::spawn_blocking(move || {
        cluster.kill()?;
        let mut left = RESTARTS;
        loop {
            left -= 1;
            match cluster.restart() {
                Err(ClusterError::NotReady { .. }) if left > 0 => std::thread::sleep(POLL_INTERVAL),
                ended => return ended,
            }
        }
    });
    Ok(crashed.await.expect("restarting does not panic")?)
}

/// Waits until no job is left. Returns the time it took, or none at the time limit.
async fn drain(oracle: &Oracle, limit: Duration) -> Result<Option<Duration>, ChaosError> {
    let start = Instant::now();
    loop {
        if oracle.unfinished().await? == 0 {
            return Ok(Some(start.elapsed()));
        }
        if start.elapsed() > limit {
            return Ok(None);
        }
        sleep(POLL_INTERVAL).await;
    }
}
