//! The duties of one worker.

use super::*;
use base::db::PoolConfig;
use queue::runtime::{
    duty::{Duty, DutyContext},
    worker::{Setup, Worker as QueueWorker},
};

/// A retention that runs until it is released.
struct Slow(&'static str, Arc<Notify>);

#[async_trait]
impl Duty for Slow {
    fn name(&self) -> &'static str {
        self.0
    }

    fn every(&self) -> Duration {
        Duration::from_secs(3600)
    }

    fn is_retention(&self) -> bool {
        true
    }

    async fn run(&self, _: &DutyContext) -> Result<(), sqlx::Error> {
        self.1.notified().await;
        Ok(())
    }
}

struct Frequent(Arc<AtomicUsize>);

#[async_trait]
impl Duty for Frequent {
    fn name(&self) -> &'static str {
        "test_frequent"
    }

    fn every(&self) -> Duration {
        Duration::from_millis(100)
    }

    async fn run(&self, _: &DutyContext) -> Result<(), sqlx::Error> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test]
async fn frequent_duty_runs_while_long_retentions_do() {
    let db = TestDb::new().await;
    let (release, runs) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let database = PoolConfig {
        max_connections: 4,
        ..PoolConfig::new(db.url(), "postroom-test")
    };
    let setup = Setup::connect(database, Registry::default().with(Stuck))
        .await
        .unwrap()
        .with_duty(Slow("test_slow", release.clone()))
        .with_duty(Slow("test_slow_too", release.clone()))
        .with_duty(Frequent(runs.clone()));
    let worker = QueueWorker::start(setup).await.unwrap();
    let stopping = worker.engine().stopping.clone();
    let worker = tokio::spawn(worker.work());
    eventually(SOON, async || match runs.load(Ordering::SeqCst) {
        0..3 => Err("the frequent duty ran less than three times".to_owned()),
        _ => Ok(()),
    })
    .await;
    stopping.cancel();
    release.notify_one();
    worker.await.unwrap().unwrap();
}
