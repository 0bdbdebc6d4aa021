//! [`Gate`]: a way to Postgres that a test can shut and open again, as a broken network would.

use super::{TestDb, wait::SOON};
use sqlx::postgres::PgConnectOptions;
use std::{net::SocketAddr, str::FromStr};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Forwards to the database while it is open; while it is shut, connections break and new ones are dropped.
pub(crate) struct Gate {
    url: String,
    open: watch::Sender<bool>,
}

impl Gate {
    pub(crate) async fn before(db: &TestDb) -> Self {
        let behind = PgConnectOptions::from_str(&db.url()).expect("the test database's address");
        let target = format!("{}:{}", behind.get_host(), behind.get_port());
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind the gate");
        let addr = listener.local_addr().expect("the gate is bound");
        let (open, state) = watch::channel(true);
        tokio::spawn(forward(listener, target, state));
        Self {
            url: through(behind, addr),
            open,
        }
    }

    /// `DATABASE_URL` for a process behind the gate.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn shut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }
}

fn through(behind: PgConnectOptions, gate: SocketAddr) -> String {
    use sqlx::ConnectOptions as _;
    behind
        .host(&gate.ip().to_string())
        .port(gate.port())
        .to_url_lossy()
        .to_string()
}

async fn forward(listener: TcpListener, target: String, state: watch::Receiver<bool>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let (target, mut state) = (target.clone(), state.clone());
        if !*state.borrow() {
            continue;
        }
        tokio::spawn(async move {
            let server = tokio::time::timeout(SOON, TcpStream::connect(target)).await;
            let Ok(Ok(mut server)) = server else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                _ = state.wait_for(|open| !open) => {}
            }
        });
    }
}
