//! The whole system as real processes on one database: [`Api`] and [`Worker`], any number of each. [`TestApi`] is the
//! same API inside the test.
//!
//! Each is configured for a test: free ports, and a lease short enough to be waited for.

use super::{
    TestDb,
    client::{Client, http},
    process::Process,
};
use api::{config::ApiConfig, route_table::Route, server::Limits};
use base::env::Env;
use std::net::SocketAddr;
use tokio::task::JoinHandle;

/// Variables by name; a later one wins.
pub(crate) type Variables<'a> = &'a [(&'a str, &'a str)];

/// A running `postroom-api serve`.
pub(crate) struct Api {
    pub(crate) process: Process,
    pub(crate) addr: SocketAddr,
    pub(crate) ops: SocketAddr,
}

/// A running `postroom-worker`.
pub(crate) struct Worker {
    pub(crate) process: Process,
    pub(crate) ops: SocketAddr,
}

impl Api {
    /// Ready for requests when this returns.
    pub(crate) async fn spawn(db: &TestDb) -> Self {
        Self::spawn_at(&db.url()).await
    }

    /// With further variables.
    pub(crate) async fn spawn_with(db: &TestDb, variables: Variables<'_>) -> Self {
        let url = db.url();
        let mut all = at(&url).to_vec();
        all.extend(variables);
        Self::listening(Process::spawn("postroom-api", &["serve"], &all)).await
    }

    /// On a database that is reached another way than directly.
    pub(crate) async fn spawn_at(url: &str) -> Self {
        Self::listening(Process::spawn("postroom-api", &["serve"], &at(url))).await
    }

    /// With limits of descriptors, soft and hard.
    pub(crate) async fn spawn_limited(db: &TestDb, limits: (u32, u32)) -> Self {
        let url = db.url();
        let process = Process::spawn_limited("postroom-api", &["serve"], &at(&url), limits);
        Self::listening(process).await
    }

    async fn listening(mut process: Process) -> Self {
        let (addr, ops) = (process.addr("api").await, process.addr("ops").await);
        Self { process, addr, ops }
    }

    /// The owner of a new tenant, signed in and talking to this process.
    pub(crate) async fn sign_in(&self, db: &TestDb) -> Client {
        Client::owner_of_new_tenant(db).await.at(self.addr)
    }
}

/// What a serving API needs, on free ports.
fn at(url: &str) -> [(&str, &str); 3] {
    [
        ("DATABASE_URL", url),
        ("API_ADDR", "127.0.0.1:0"),
        ("API_OPS_ADDR", "127.0.0.1:0"),
    ]
}

impl Worker {
    /// In testing mode: answers come from the fixtures.
    pub(crate) async fn spawn(db: &TestDb) -> Self {
        Self::spawn_with(db, &[("LLM_TESTING_MODE", "true")]).await
    }

    /// With the model and whatever else is given.
    pub(crate) async fn spawn_with(db: &TestDb, variables: Variables<'_>) -> Self {
        let url = db.url();
        let mut all = vec![
            ("DATABASE_URL", url.as_str()),
            ("WORKER_OPS_ADDR", "127.0.0.1:0"),
            ("WORKER_LEASE_SECONDS", "2"),
            ("WORKER_POLL_SECONDS", "0.2"),
        ];
        all.extend(variables);
        let mut process = Process::spawn("postroom-worker", &[], &all);
        let ops = process.addr("ops").await;
        Self { process, ops }
    }
}

/// The API inside the test's own process: quicker than a process, for tests that kill nothing.
pub(crate) struct TestApi {
    pub(crate) app: api::AppState,
    pub(crate) addr: SocketAddr,
    pub(crate) ops: SocketAddr,
    /// Taken by [`TestApi::stop`].
    running: Option<JoinHandle<anyhow::Result<()>>>,
}

/// What a test wants otherwise than in service.
#[derive(Default)]
pub(crate) struct Setup<'a> {
    pub(crate) variables: Variables<'a>,
    pub(crate) limits: Limits,
    pub(crate) more_routes: Vec<Route>,
}

impl TestApi {
    /// The real router on free ports; it stops with the value.
    pub(crate) async fn start(db: &TestDb) -> Self {
        Self::start_with(db, &[]).await
    }

    /// With further variables.
    pub(crate) async fn start_with(db: &TestDb, variables: Variables<'_>) -> Self {
        let setup = Setup {
            variables,
            ..Setup::default()
        };
        Self::start_as(db, setup).await
    }

    /// With limits that a test can reach, and routes that behave as no real one does.
    pub(crate) async fn start_as(db: &TestDb, setup: Setup<'_>) -> Self {
        let url = db.url();
        let mut all = vec![
            ("DATABASE_URL", url.as_str()),
            ("API_ADDR", "127.0.0.1:0"),
            ("API_OPS_ADDR", "127.0.0.1:0"),
        ];
        all.extend(setup.variables);
        let config =
            ApiConfig::from_env(Env::from_vars(all)).expect("the configuration is complete");
        let mut routes = api::routes::all();
        routes.extend(setup.more_routes);
        let api = api::serve::Api::start(config, setup.limits, routes)
            .await
            .expect("start the API");
        let (app, addr, ops) = (api.app.clone(), api.addr, api.ops_addr);
        let running = Some(tokio::spawn(api.run()));
        Self {
            app,
            addr,
            ops,
            running,
        }
    }

    /// Stops as at SIGTERM and waits for the end.
    pub(crate) async fn stop(mut self) {
        self.app.stopping.cancel();
        let running = self.running.take().expect("stopped once");
        running
            .await
            .expect("the API does not panic")
            .expect("an orderly end");
    }

    /// The owner of a new tenant, signed in and talking to this API.
    pub(crate) async fn sign_in(&self, db: &TestDb) -> Client {
        Client::owner_of_new_tenant(db).await.at(self.addr)
    }
}

impl Drop for TestApi {
    fn drop(&mut self) {
        self.app.stopping.cancel();
    }
}

/// One number of a process's `/metrics`: the sum over all series of the metric that carry all these labels.
pub(crate) async fn metric(ops: SocketAddr, name: &str, labels: &[(&str, &str)]) -> f64 {
    let text = metrics(ops).await;
    let series = text.lines().filter(|line| {
        line.split(['{', ' ']).next() == Some(name)
            && labels
                .iter()
                .all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
    });
    series
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// All of a process's `/metrics`.
pub(crate) async fn metrics(ops: SocketAddr) -> String {
    let response = http()
        .get(format!("http://{ops}/metrics"))
        .send()
        .await
        .expect("scrape a process");
    response.text().await.expect("read the metrics")
}

#[tokio::test]
async fn api_in_the_test_answers_where_it_says() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    assert_eq!(client.get("/nowhere").await.status, 404);
    assert!(metric(api.ops, "postroom_http_requests_in_flight", &[]).await < 1.0);
}
