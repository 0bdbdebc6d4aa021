//! A listener and its connections: [`serve`]. It has its own accept loop, since `axum::serve` has no timeout for reading a
//! request's head: a client that sends one byte a minute would hold its connection forever.
//!
//! Bounds connections, the size and time of the head, and the time for which a client may not read. Drains: stops accepting,
//! lets requests end, closes the rest. The users' and the operators' listener each have their own limits.

mod bodies;
mod connection;
mod fault;
mod table;
pub mod tls;
mod watched;

pub use table::Connection;

use crate::{metrics::ApiMetrics, proxies::TrustedProxies};
use axum::Router;
use connection::Accepted;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use table::{Admitted, ConnectionTable};
use tls::Tls;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Connections that the kernel completes before they are accepted; it takes the lower of this and `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// Limits on what clients may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections. When all are taken, the longest idle one makes way for a new one.
    pub connections: usize,
    /// Those of one address that is not a trusted proxy.
    pub connections_per_address: usize,
    /// Requests in progress; more get 503. Those whose body is still arriving and long polls do not count.
    pub in_flight: usize,
    /// Those of one tenant; more get 429.
    pub in_flight_per_tenant: usize,
    /// Bytes of the bodies of requests that have not ended; more get 503.
    pub body_bytes: usize,
    /// Those of one user; more get 429.
    pub body_bytes_per_user: usize,
    /// From the first byte of a request's head, or the last response, to the end of the head.
    pub head_timeout: Duration,
    /// Buffer for a head; a longer one gets 431.
    pub head_bytes: usize,
    /// For a body; each MiB that has arrived adds a second.
    pub body_timeout: Duration,
    /// How long a client may take nothing of a response.
    pub write_timeout: Duration,
    /// How long requests may continue after the stop.
    pub grace: Duration,
    /// Requests of one user that wait for a job to end.
    pub polls_per_user: usize,
    /// Event streams that one user may have open.
    pub streams_per_user: usize,
    /// Between two keep-alives of a stream, and between two checks of its session.
    pub heartbeat: Duration,
    /// The maximum age of a stream; its client reconnects.
    pub longest_stream: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: 2048,
            in_flight: 2048,
            in_flight_per_tenant: 1024,
            body_bytes: 192 * 1024 * 1024,
            body_bytes_per_user: 64 * 1024 * 1024,
            head_timeout: Duration::from_secs(10),
            head_bytes: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(25),
            polls_per_user: 100,
            streams_per_user: 20,
            heartbeat: Duration::from_secs(15),
            longest_stream: Duration::from_secs(3600),
        }
    }
}

impl Limits {
    /// The limits of the operators' listener, whose clients are probes and scrapers.
    #[must_use]
    pub fn for_operators(self) -> Self {
        Self {
            connections: OPERATORS,
            connections_per_address: OPERATORS,
            grace: Duration::from_secs(1),
            ..self
        }
    }

    /// Bounds the users' connections below the number of descriptors that the process may open, of which it keeps
    /// `reserved` for other things.
    #[must_use]
    pub fn within(self, descriptors: usize, reserved: usize) -> Self {
        let left = descriptors.saturating_sub(reserved.saturating_add(OPERATORS + SPARE));
        let connections = self.connections.min(left.max(MIN_CONNECTIONS));
        Self {
            connections,
            // One address must not be able to take all of what is left.
            connections_per_address: self.connections_per_address.min(connections / 2 + 1),
            ..self
        }
    }
}

/// Connections of operators.
const OPERATORS: usize = 32;
/// Descriptors for files, timers, and connections that are being closed.
const SPARE: usize = 40;
/// Below this the process would be of no use.
const MIN_CONNECTIONS: usize = 16;

/// Closing a connection takes no longer, unless the process has no time at all.
const EVICTION_TIMEOUT: Duration = Duration::from_millis(100);

/// Binds a listener with a [`BACKLOG`].
///
/// # Errors
/// If the address cannot be used.
pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A restarted process must not wait for its predecessor's connections to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// What a listener serves, and how much of it.
#[derive(Clone, Debug)]
pub struct Served {
    pub router: Router,
    pub limits: Limits,
    /// Their connections are those of many clients.
    pub proxies: TrustedProxies,
    pub metrics: ApiMetrics,
    /// Without it, HTTP is plain.
    pub tls: Option<Arc<Tls>>,
}

/// Serves until `stopping` is set and the open requests have ended, or the grace is over.
pub async fn serve(listener: TcpListener, served: Served, stopping: CancellationToken) {
    let limits = served.limits;
    let table = ConnectionTable::new(limits.connections, limits.connections_per_address);
    let connections = TaskTracker::new();
    // Set when the grace period is over: open connections are dropped.
    let cut = CancellationToken::new();
    loop {
        let (stream, peer) = tokio::select! {
            () = stopping.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        let address = Some(peer.ip()).filter(|address| !served.proxies.contains(*address));
        let place = match table.admit(address) {
            Admitted::Yes(place) => place,
            Admitted::InsteadOf(evicted, place) => {
                served.metrics.closed("evicted");
                // Else descriptors would run out: those that are closed are as many as the kernel has in its backlog.
                drop(timeout(EVICTION_TIMEOUT, evicted.gone()).await);
                place
            }
            Admitted::No => {
                served.metrics.closed("refused");
                if served.tls.is_none() {
                    fault::write_now(&stream, &fault::no_connection());
                }
                continue;
            }
        };
        let (served, stopping, cut) = (served.clone(), stopping.clone(), cut.clone());
        connections.spawn(async move {
            let accepted = Accepted {
                peer,
                place: &place,
                served,
                stopping,
            };
            tokio::select! {
                () = connection::serve(stream, accepted) => {}
                () = place.connection.cut.cancelled() => {}
                () = cut.cancelled() => {}
            }
        });
    }
    drop(listener);
    connections.close();
    if timeout(limits.grace, connections.wait()).await.is_err() {
        tracing::warn!(
            open = connections.len(),
            "closing connections that did not end within the grace period"
        );
        cut.cancel();
        connections.wait().await;
    }
}

/// Accepts the next connection. Errors are the client's (disconnected) or temporary (no file descriptor left).
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::error!(%error, "could not accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_bounded_below_the_descriptors() {
        let limits = Limits::default();
        assert_eq!(limits.within(1_000_000, 20).connections, 4096);
        let few = limits.within(200, 20);
        assert_eq!((few.connections, few.connections_per_address), (108, 55));
        assert_eq!(limits.within(30, 20).connections, 16);
    }
}
