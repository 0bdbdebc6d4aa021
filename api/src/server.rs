//! The users' listener: [`serve`]. It has its own accept loop, since `axum::serve` has no timeout for reading a request's
//! head: a client that sends one byte a minute would hold its connection forever.
//!
//! Bounds connections and the size and time of the head. Drains: stops accepting, lets requests end, closes the rest.

use crate::context::Peer;
use axum::{Router, body::Body, extract::Request};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// Limits on what clients may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections; more wait in the kernel's backlog.
    pub connections: usize,
    /// Requests in progress; more get 503. Waiting ones count: they hold memory too.
    pub in_flight: usize,
    /// From the first byte of a request's head, or the last response, to the end of the head.
    pub head_timeout: Duration,
    /// Buffer for a head; a longer one gets a bare 431.
    pub head_bytes: usize,
    /// For the whole of a body.
    pub body_timeout: Duration,
    /// How long requests may continue after the stop.
    pub grace: Duration,
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
            in_flight: 2048,
            head_timeout: Duration::from_secs(10),
            head_bytes: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            grace: Duration::from_secs(25),
            streams_per_user: 20,
            heartbeat: Duration::from_secs(15),
            longest_stream: Duration::from_secs(3600),
        }
    }
}

/// Serves until `stopping` is set and the open requests have ended, or the grace is over.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stopping: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    // Set when the grace period is over: open connections are dropped.
    let cut = CancellationToken::new();
    loop {
        let slot = tokio::select! {
            () = stopping.cancelled() => break,
            slot = slots.clone().acquire_owned() => slot.expect("the semaphore is never closed"),
        };
        let (stream, peer) = tokio::select! {
            () = stopping.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        let connection = connection(stream, peer, router.clone(), limits, stopping.clone());
        let cut = cut.clone();
        connections.spawn(async move {
            tokio::select! {
                () = connection => {}
                () = cut.cancelled() => {}
            }
            drop(slot);
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

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    stopping: CancellationToken,
) {
    // Responses are written whole: waiting for more data would only delay them.
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let router = router.clone();
        async move {
            Ok::<_, Infallible>(
                router
                    .oneshot(request)
                    .await
                    .unwrap_or_else(|never| match never {}),
            )
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Disconnects and timeouts of clients: of use only for debugging.
        tracing::debug!(%error, "connection ended early");
    }
}
