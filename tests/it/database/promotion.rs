//! A synchronous standby takes over under load, because the primary is gone or has only frozen: both processes find it by
//! themselves within a minute, and nothing that was accepted is lost.

use super::{Address, email, own_cluster, ready_says};
use crate::support::{
    TestDb,
    client::Client,
    eventually,
    system::{Api, Worker},
    wait::SOON,
};
use dev::postgres::{Cluster, STANDBY};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// The promise, from the promotion.
const BACK: Duration = Duration::from_secs(60);

/// A cluster and the standby without which it commits nothing.
async fn replicated() -> (Cluster, Cluster, TestDb) {
    let (primary, db) = own_cluster().await;
    let (primary, standby) = tokio::task::spawn_blocking(|| {
        let standby = primary.standby().expect("start a standby");
        (primary, standby)
    })
    .await
    .expect("starting a standby does not panic");
    db.execute(&format!(
        "alter system set synchronous_standby_names = '{STANDBY}'"
    ))
    .await;
    db.execute("select pg_reload_conf()").await;
    eventually(SOON, async || {
        let synchronous: i64 = db
            .one("select count(*) from pg_stat_replication where sync_state = 'sync'")
            .await;
        if synchronous == 1 {
            Ok(())
        } else {
            Err("the standby is not synchronous".to_owned())
        }
    })
    .await;
    (primary, standby, db)
}

/// The stopped processes of a cluster. They go on when it is dropped, so that the cluster can end.
struct Frozen(Vec<Pid>);

impl Frozen {
    async fn all_of(cluster: &Cluster, db: &TestDb) -> Self {
        let first = Pid::from_raw(cluster.pid());
        // It starts no more processes; then those that there are.
        let mut frozen = Self(Vec::new());
        frozen.stop(first);
        let others: Vec<i32> = sqlx::query_scalar("select pid from pg_stat_activity")
            .fetch_all(db.pool())
            .await
            .expect("list the processes of Postgres");
        for pid in others.into_iter().map(Pid::from_raw) {
            frozen.stop(pid);
        }
        frozen
    }

    fn stop(&mut self, pid: Pid) {
        kill(pid, Signal::SIGSTOP).expect("stop a process of Postgres");
        self.0.push(pid);
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            // One that ended meanwhile needs nothing.
            let _ = kill(*pid, Signal::SIGCONT);
        }
    }
}

/// Clients that submit without end; the jobs that were accepted.
struct Load {
    accepted: Arc<Mutex<Vec<String>>>,
    next: Arc<AtomicU64>,
    _clients: JoinSet<()>,
}

impl Load {
    fn of(client: &Client) -> Self {
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let next = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for _ in 0..3 {
            let (client, accepted, next) = (client.clone(), accepted.clone(), next.clone());
            clients.spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let answer = client.submit(&email(n), &format!("k{n}")).await;
                    if answer.status == 202 {
                        let id = answer.body["id"].as_str().expect("an id").to_owned();
                        accepted.lock().expect("no client panics").push(id);
                    }
                }
            });
        }
        Self {
            accepted,
            next,
            _clients: clients,
        }
    }

    fn accepted(&self) -> Vec<String> {
        self.accepted.lock().expect("no client panics").clone()
    }

    /// Waits until this many more jobs were accepted.
    async fn goes_on(&self, within: Duration) {
        let before = self.accepted().len();
        eventually(within, async || match self.accepted().len() - before {
            more if more > 20 => Ok(()),
            more => Err(format!(
                "{more} accepted of {} sent",
                self.next.load(Ordering::Relaxed)
            )),
        })
        .await;
    }
}

/// Takes the primary away, promotes the standby, and judges what is left.
async fn takes_over<G>(end: impl AsyncFnOnce(&Cluster, &TestDb) -> G) {
    let (primary, standby, mut db) = replicated().await;
    let at = Address::of(&db);
    let both = format!(
        "postgres://{}:{}@127.0.0.1:{},127.0.0.1:{}/{}?target_session_attrs=read-write",
        at.user,
        at.password,
        primary.port(),
        standby.port(),
        at.database
    );
    let variables = [("DATABASE_URL", &*both), ("LLM_TESTING_MODE", "true")];
    let (mut api, mut worker) =
        tokio::join!(Api::spawn_at(&both), Worker::spawn_with(&db, &variables));
    let client = api.sign_in(&db).await;
    let load = Load::of(&client);
    load.goes_on(SOON).await;

    let _ended = end(&primary, &db).await;
    db.follow_to(&standby.url("postgres"));
    assert!(db.one::<bool>("select pg_promote()").await);
    load.goes_on(BACK).await;
    let accepted = load.accepted();
    drop(load);
    for id in &accepted {
        let job = client.finished(id).await;
        assert_eq!(job["state"], "succeeded", "{job}");
    }
    let twice: i64 = db
        .one(
            "select count(*) from (select job_id from audit_log where action = 'job.succeeded'
             group by job_id having count(*) > 1) audited",
        )
        .await;
    assert_eq!(twice, 0, "each success is audited once");
    let counted: i64 = db
        .one("select coalesce(sum(errors), 0)::bigint from finished_jobs")
        .await;
    assert_eq!(counted, 0, "no attempt counts");
    for ops in [api.ops, worker.ops] {
        ready_says(ops, 200, "ok").await;
    }
    assert!(api.process.is_running() && worker.process.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standby_takes_over_from_a_primary_that_crashed() {
    takes_over(async |primary, _db| primary.kill().expect("crash the primary")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standby_takes_over_from_a_primary_that_only_froze() {
    takes_over(Frozen::all_of).await;
}
