//! One connection from its first byte to its end: [`serve`].

use super::{
    Served,
    bodies::{RequestBody, ResponseBody, Unread},
    fault,
    table::{Busy, Connection, TableEntry},
    watched::WatchedStream,
};
use crate::context::Peer;
use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// How long a client may go on sending a body that was refused.
const REST: Duration = Duration::from_secs(30);
/// How long it may pause meanwhile.
const REST_IDLE: Duration = Duration::from_secs(5);

/// A connection that was given a place.
pub(super) struct Accepted<'a> {
    pub(super) peer: SocketAddr,
    pub(super) place: &'a TableEntry,
    pub(super) served: Served,
    pub(super) stopping: CancellationToken,
}

/// Serves requests until the client leaves, breaks the protocol or is too slow, or `stopping` is set.
pub(super) async fn serve(stream: TcpStream, accepted: Accepted<'_>) {
    // Responses are written whole: waiting for more data would only delay them.
    drop(stream.set_nodelay(true));
    let Some(tls) = &accepted.served.tls else {
        return serve_http(stream, accepted).await;
    };
    let handshake = tls.acceptor().accept(stream);
    match timeout(accepted.served.limits.head_timeout, handshake).await {
        Ok(Ok(stream)) => serve_http(Box::new(stream), accepted).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS could not be agreed on"),
        Err(_) => tracing::debug!("TLS was not agreed on in time"),
    }
}

async fn serve_http<S>(stream: S, accepted: Accepted<'_>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Accepted {
        peer,
        place,
        served,
        stopping,
    } = accepted;
    let Served {
        router,
        limits,
        metrics,
        ..
    } = served;
    let stream = WatchedStream::new(stream, place.connection.clone(), limits.write_timeout);
    let of_connection = place.connection.clone();
    let unread = Unread::default();
    let unread_body = unread.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let busy = of_connection.begin();
        let request = request.map(|body| RequestBody::new(body, unread_body.clone()));
        respond(request, peer, of_connection.clone(), busy, router.clone())
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stopping.cancelled() => {
            Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    let mut remains = connection.into_parts().io.into_inner().into_remains();
    let late = ended.as_ref().is_err_and(hyper::Error::is_timeout);
    let failure = match remains.held_back {
        Some(status) => fault::of_status(status),
        None if late && remains.head_begun => fault::late_head(),
        None => {
            if remains.unread {
                metrics.closed("unread");
            }
            match ended {
                Ok(()) if unread.get() => {
                    tokio::select! {
                        () = discard_rest(&mut remains.stream) => {}
                        () = stopping.cancelled() => {}
                    }
                }
                Ok(()) => {}
                // Disconnects and timeouts of clients: of use only for debugging.
                Err(error) => tracing::debug!(%error, "connection ended early"),
            }
            return;
        }
    };
    metrics.closed("malformed");
    if let Err(error) = fault::write(remains.stream, &failure).await {
        tracing::debug!(%error, "connection ended before its failure was sent");
    }
}

async fn respond(
    request: hyper::Request<RequestBody>,
    peer: SocketAddr,
    connection: Arc<Connection>,
    busy: Busy,
    router: Router,
) -> Result<hyper::Response<ResponseBody>, Infallible> {
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(Peer(peer));
    request.extensions_mut().insert(connection);
    let response = router
        .oneshot(request)
        .await
        .unwrap_or_else(|never| match never {});
    Ok(response.map(|body| ResponseBody::new(body, busy)))
}

/// Reads what the client still sends after it was answered. If the connection was closed instead, the kernel would reset it, and the
/// client, which is still sending, would often lose the answer.
async fn discard_rest<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut discarded = vec![0; 16 * 1024];
    let until_it_ends =
        async { while let Ok(Ok(1..)) = timeout(REST_IDLE, stream.read(&mut discarded)).await {} };
    // A client that sends without end is cut off.
    let _ended = timeout(REST, until_it_ends).await;
}
