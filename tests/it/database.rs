//! What happens to Postgres costs time and nothing else: no job is given up, no attempt counted, no restart needed, and
//! readiness and metrics say what is wrong meanwhile.

mod fence;
mod hosts;
mod outage;
mod pooler;
mod promotion;
mod ready;
mod refuses;
mod retention;
mod round_trips;
mod silent;
mod upgrade;

use crate::support::{TestDb, client::http, corpus::generated, eventually, wait::SOON};
use dev::postgres::{Cluster, Durability};
use std::net::SocketAddr;

/// A Postgres that the test may stop and crash.
pub(crate) async fn own_cluster() -> (Cluster, TestDb) {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(Durability::ThrowAway))
        .await
        .expect("starting a cluster does not panic")
        .expect("start a cluster");
    let db = TestDb::on(&cluster.url("postgres")).await;
    (cluster, db)
}

/// The status and the text of a process's `/readyz`.
async fn readyz(ops: SocketAddr) -> (u16, String) {
    let response = http()
        .get(format!("http://{ops}/readyz"))
        .send()
        .await
        .expect("ask a process");
    let status = response.status().as_u16();
    (status, response.text().await.expect("read the answer"))
}

/// Waits until `/readyz` answers this status, with this in its text.
async fn ready_says(ops: SocketAddr, status: u16, text: &str) {
    eventually(SOON, async || {
        let seen = readyz(ops).await;
        if seen.0 == status && seen.1.contains(text) {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    })
    .await;
}

/// The parts of a database's URL.
struct Address {
    user: String,
    password: String,
    host: String,
    port: u16,
    database: String,
}

impl Address {
    fn of(db: &TestDb) -> Self {
        let url = reqwest::Url::parse(&db.url()).expect("a URL");
        Self {
            user: url.username().to_owned(),
            password: url.password().unwrap_or_default().to_owned(),
            host: url.host_str().expect("a host").to_owned(),
            port: url.port().expect("a port"),
            database: url.path().trim_start_matches('/').to_owned(),
        }
    }

    fn url(&self) -> String {
        let Self {
            user,
            password,
            host,
            port,
            database,
        } = self;
        format!("postgres://{user}:{password}@{host}:{port}/{database}")
    }
}

/// A distinct email that a rule decides.
fn email(n: u64) -> Vec<u8> {
    generated(n).bytes
}
