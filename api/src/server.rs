//! The users' listener: [`serve`]. An accept loop of our own, since `axum::serve` sets no timer and so no time for
//! reading a request's head: a client that sends one byte a minute would hold its connection for ever.
//!
//! Bounded: connections, size and time of the head. Drains: stop accepting, let requests end, cut what is left.

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

/// How much of clients' behaviour is put up with.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open at the same time; the rest wait in the kernel's backlog.
    pub connections: usize,
    /// Requests worked on at the same time; more are answered with 503. Those that wait count: they hold memory too.
    pub in_flight: usize,
    /// From the first byte of a request's head, or from the last answer, to the head's end.
    pub head_timeout: Duration,
    /// Buffer for a head; more is answered with a bare 431.
    pub head_bytes: usize,
    /// For the whole of a body.
    pub body_timeout: Duration,
    /// How long requests may go on after the stop.
    pub grace: Duration,
    /// Streams of events that one user may have open.
    pub streams_per_user: usize,
    /// Between two signs of life of a stream, and between two looks at its session.
    pub heartbeat: Duration,
    /// After this a stream ends, and its client comes back.
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
    // Set when the grace is over: connections are dropped where they stand.
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
            "cutting connections that did not end in time"
        );
        cut.cancel();
        connections.wait().await;
    }
}

/// The next connection. Errors of accepting are the client's (gone again) or pass (no file descriptor left).
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
    // Answers are written whole: waiting for more to send would only delay them.
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
        // Disconnects and time-outs: the client's business, of use only when looking for a fault.
        tracing::debug!(%error, "a connection ended early");
    }
}
