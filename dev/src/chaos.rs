//! `cargo dev chaos`: a storm over the real binaries, and an oracle over what it left behind. See [`run`] and [`storm`].
//!
//! Two APIs and three workers on a throw-away Postgres with fsync on, each behind a proxy of its own; clients hand in mail
//! all the while. Then nothing fails any more, the queue runs dry, and [`Oracle`] looks for a promise that was broken.

mod clients;
mod fleet;
mod oracle;
mod proxy;
mod random;
mod report;
mod schedule;

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
use fleet::Fleet;
use jobs::domain::rules::SAMPLE_RULES;
use nix::sys::signal::Signal;
use schedule::{Fault, Schedule};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const LOOK: Duration = Duration::from_millis(250);
/// Postgres may find its port taken for a moment by somebody's outgoing connection.
const RESTARTS: u32 = 20;

#[derive(Args, Debug)]
pub struct ChaosArgs {
    /// How long the storm lasts; the calm after it takes some seconds more.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Repeats the faults of another run.
    #[arg(long)]
    seed: Option<u64>,
    /// Mails handed in a second.
    #[arg(long, default_value_t = 60)]
    rate: u64,
    /// End with one line of JSON on standard output; the table goes to standard error.
    #[arg(long)]
    json: bool,
}

/// A storm to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the binaries of the API and the worker are.
    pub binaries: PathBuf,
    pub duration: Duration,
    pub seed: u64,
    /// Mails a second.
    pub rate: u64,
    /// Whole seconds.
    pub lease: Duration,
    /// How long the queue may take to run dry afterwards.
    pub drain: Duration,
}

/// The storm could not be raised, or not be judged.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("could not make the schema or a session")]
    Mint(#[from] MintError),
    #[error("could not save the rules")]
    Rules(#[source] ClientError),
    #[error("could not run cargo")]
    Cargo(#[source] io::Error),
    #[error("the binaries could not be built")]
    Build,
    #[error("could not catch signals")]
    Signals(#[source] io::Error),
    #[error("could not make a folder for the logs")]
    Logs(#[source] io::Error),
    #[error("could not open a proxy")]
    Proxy(#[source] io::Error),
    #[error("could not start a process")]
    Spawn(#[source] io::Error),
    #[error("could not ask the database")]
    Database(#[from] sqlx::Error),
}

/// Raises a storm and tells what it found; the exit code is 1 if a promise was broken.
///
/// # Errors
/// When there could be no storm.
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
        report = Box::pin(storm(&plan)) => report?,
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

/// Raises the storm and judges what it left.
///
/// # Errors
/// When there could be no storm, or the database cannot be asked afterwards.
pub async fn storm(plan: &Plan) -> Result<Report, ChaosError> {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(Durability::Measured)).await;
    let cluster = Arc::new(cluster.expect("starting a cluster does not panic")?);
    let url = cluster.url(DATABASE);
    session::migrate(&url).await?;
    let token = Arc::new(session::mint(&url).await?.token);
    let logs = tempfile::Builder::new().prefix("postroom-chaos-").tempdir();
    let logs = logs.map_err(ChaosError::Logs)?;
    let port = cluster.port();
    let by_way_of = |own: u16| url.replacen(&format!(":{port}/"), &format!(":{own}/"), 1);
    let fleet = Arc::new(Fleet::start(plan, logs.path(), port, by_way_of).await?);
    let stop = CancellationToken::new();
    let keeper = tokio::spawn({
        let (fleet, stop) = (fleet.clone(), stop.clone());
        async move { fleet.keep_up(&stop).await }
    });
    save_rules(&fleet, token.clone()).await?;
    let clients = Clients::start(&fleet.apis, token.expose(), plan.seed, plan.rate);
    eprintln!(
        "seed {}: the storm lasts {} s",
        plan.seed,
        plan.duration.as_secs()
    );
    let faults = rage(plan, &fleet, &cluster, &clients).await?;
    fleet.calm();
    let log = clients.finish(plan.drain).await;
    let oracle = Oracle::at(&url).await?;
    let drained_in = drain(&oracle, plan.drain).await?;
    let verdicts = oracle.judge(&log).await?;
    let report = Report {
        seed: plan.seed,
        storm: plan.duration,
        faults,
        replies_lost: fleet.replies_lost(),
        clocks_skewed: fleet::faketime().is_some(),
        accepted: log.answers.len(),
        retries: log.retries,
        ends: oracle.ends().await?,
        lost_attempts: oracle.lost_attempts().await?,
        drained_in,
        verdicts,
    };
    stop.cancel();
    drop(keeper.await);
    if !report.is_clean() {
        let kept = logs.keep();
        eprintln!("The logs of the processes are kept in {}", kept.display());
    }
    // The processes go before their Postgres, and neither may hold up the runtime.
    let ended = tokio::task::spawn_blocking(move || {
        drop(fleet);
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

/// Asks until the API is there to take them.
async fn save_rules(
    fleet: &Fleet,
    token: Arc<jobs::domain::SessionToken>,
) -> Result<(), ChaosError> {
    let client = Client::new(&format!("http://{}", fleet.apis[0]), token);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match client.put_rules_if_none(SAMPLE_RULES).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(ChaosError::Rules(error)),
            Err(_) => sleep(LOOK).await,
        }
    }
}

/// One fault after the other for as long as the plan says; counts them.
async fn rage(
    plan: &Plan,
    fleet: &Arc<Fleet>,
    cluster: &Arc<Cluster>,
    clients: &Clients,
) -> Result<BTreeMap<&'static str, u64>, ChaosError> {
    let mut schedule = Schedule::new(plan.seed, plan.lease);
    let end = Instant::now() + plan.duration;
    let mut counts = BTreeMap::new();
    let mut lasting = JoinSet::new();
    let mut told = Instant::now();
    loop {
        let (wait, fault) = schedule.next();
        if Instant::now() + wait > end {
            break;
        }
        sleep(wait).await;
        if strike(fault, fleet, cluster, &mut lasting).await? {
            *counts.entry(fault.name()).or_insert(0) += 1;
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            let faults: u64 = counts.values().sum();
            eprintln!("{faults} faults, {} jobs accepted", clients.accepted());
        }
    }
    while lasting.join_next().await.is_some() {}
    Ok(counts)
}

/// Lets a fault happen; one that lasts goes on beside the next ones. False if its victim was not there.
async fn strike(
    fault: Fault,
    fleet: &Arc<Fleet>,
    cluster: &Arc<Cluster>,
    lasting: &mut JoinSet<()>,
) -> Result<bool, ChaosError> {
    match fault {
        Fault::KillWorker(worker) => {
            return Ok(fleet.signal(Fleet::worker(worker), Signal::SIGKILL));
        }
        Fault::KillApi(api) => return Ok(fleet.signal(api, Signal::SIGKILL)),
        Fault::FreezeWorker(worker, time) => {
            let place = Fleet::worker(worker);
            if !fleet.signal(place, Signal::SIGSTOP) {
                return Ok(false);
            }
            let fleet = fleet.clone();
            lasting.spawn(async move {
                sleep(time).await;
                fleet.signal(place, Signal::SIGCONT);
            });
        }
        Fault::CrashPostgres => crash(cluster.clone()).await?,
        Fault::Cut(place) => fleet.proxy(place).cut(),
        Fault::Hole(place, time) => {
            fleet.proxy(place).open_hole();
            let fleet = fleet.clone();
            lasting.spawn(async move {
                sleep(time).await;
                fleet.proxy(place).close_hole();
            });
        }
        Fault::LoseReply(place) => fleet.proxy(place).lose_reply(),
        Fault::Slow(place, delay) => {
            fleet.proxy(place).delay(delay);
            let fleet = fleet.clone();
            lasting.spawn(async move {
                sleep(Duration::from_secs(4)).await;
                fleet.proxy(place).delay(Duration::ZERO);
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
                Err(ClusterError::NotReady { .. }) if left > 0 => std::thread::sleep(LOOK),
                ended => return ended,
            }
        }
    });
    Ok(crashed.await.expect("restarting does not panic")?)
}

/// Waits until no job is left; how long that took, or nothing if it did not come to that.
async fn drain(oracle: &Oracle, patience: Duration) -> Result<Option<Duration>, ChaosError> {
    let start = Instant::now();
    loop {
        if oracle.unfinished().await? == 0 {
            return Ok(Some(start.elapsed()));
        }
        if start.elapsed() > patience {
            return Ok(None);
        }
        sleep(LOOK).await;
    }
}
