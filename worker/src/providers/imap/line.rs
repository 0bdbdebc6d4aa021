//! The connection to a mail server: [`Line`], plain or encrypted, to an allowed address, with a limit on the bytes read.
//! SMTP and IMAP share it.

use crate::providers::{ProviderError, guard::Guard};
use jobs::domain::connection::{Security, Server};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Timeout of connecting, for all addresses of a host together, and of the TLS handshake.
const STEP: Duration = Duration::from_secs(30);
/// The least time for one address.
const LEAST: Duration = Duration::from_secs(5);
/// Addresses of a host that are tried.
const MAX_ADDRESSES: usize = 8;
/// Limit of bytes read until [`Line::allow`]; only a reader of emails allows more.
const MAX_BYTES: usize = 8 << 20;

/// The error codes of one protocol.
#[derive(Debug)]
pub(in crate::providers) struct Service {
    pub(in crate::providers) unreachable: &'static str,
    pub(in crate::providers) tls: &'static str,
    pub(in crate::providers) timeout: &'static str,
}

/// A connection.
#[derive(Debug)]
pub(in crate::providers) struct Line {
    wire: Wire,
    left: usize,
    received: Received,
    service: &'static Service,
}

/// How many bytes a connection has received. Shows that a long response is on its way.
#[derive(Clone, Debug, Default)]
pub(super) struct Received(Arc<AtomicUsize>);

impl Received {
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Line {
    /// Connects to the first address that answers, with TLS if the settings require it from the start.
    pub(in crate::providers) async fn open(
        server: &Server,
        guard: Guard,
        service: &'static Service,
    ) -> Result<Self, ProviderError> {
        if server.security == Security::None && guard == Guard::Public {
            return Err(ProviderError::Permanent {
                code: "encryption_required",
                message: "The connection must be encrypted. Use `tls` or `starttls`.".into(),
            });
        }
        let addrs: Vec<SocketAddr> = guard.resolve(&server.host, server.port).await?;
        let stream = connect(&addrs, limit_of_each(addrs.len()))
            .await
            .map_err(|error| service.failure(&error))?;
        let line = Self {
            wire: Wire::Plain(stream),
            left: MAX_BYTES,
            received: Received::default(),
            service,
        };
        match server.security {
            Security::Tls => line.encrypted(&server.host).await,
            Security::Starttls | Security::None => Ok(line),
        }
    }

    /// Encrypts the connection from here on.
    pub(in crate::providers) async fn encrypted(self, host: &str) -> Result<Self, ProviderError> {
        let Wire::Plain(stream) = self.wire else {
            return Ok(self);
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ProviderError::Permanent {
            code: "host_not_allowed",
            message: "This host name cannot have a certificate.".into(),
        })?;
        let service = self.service;
        let connector = TlsConnector::from(trust(service)?);
        let stream = service
            .step(service.tls, connector.connect(name, stream))
            .await?;
        Ok(Self {
            wire: Wire::Tls(Box::new(stream)),
            left: self.left,
            received: self.received,
            service,
        })
    }

    pub(super) fn received(&self) -> Received {
        self.received.clone()
    }

    /// Sets how many more bytes may be read.
    pub(super) fn allow(&mut self, bytes: usize) {
        self.left = bytes;
    }
}

/// The time for each of so many addresses. One limit for all would be used up by the first that stays silent, such as an IPv6
/// address on a network without a way there.
fn limit_of_each(addresses: usize) -> Duration {
    let number = u32::try_from(addresses.max(1)).unwrap_or(u32::MAX);
    (STEP / number).max(LEAST)
}

/// Connects to the first address that answers in its time.
async fn connect(addrs: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for addr in addrs.iter().take(MAX_ADDRESSES) {
        match timeout(limit, TcpStream::connect(addr)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}

impl Service {
    /// No address could be connected to.
    fn failure(&self, error: &io::Error) -> ProviderError {
        let (code, detail) = match error.kind() {
            io::ErrorKind::TimedOut => (self.timeout, "connecting timed out"),
            _ => (self.unreachable, "the connection failed"),
        };
        ProviderError::Retryable {
            code,
            detail: detail.into(),
        }
    }

    /// Runs a step of connecting, which changes nothing.
    async fn step<T, E>(
        &self,
        code: &'static str,
        action: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ProviderError> {
        let (code, detail) = match timeout(STEP, action).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(_)) => (code, "the connection failed"),
            Err(_) => (self.timeout, "connecting timed out"),
        };
        Err(ProviderError::Retryable {
            code,
            detail: detail.into(),
        })
    }
}

/// Loads the system's root certificates.
fn trust(service: &Service) -> Result<Arc<ClientConfig>, ProviderError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ProviderError::Retryable {
            code: service.tls,
            detail: error.to_string(),
        })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other("the server sent too much data")));
        }
        let limit = self.left.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(limit));
        let polled = match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, &mut part),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, &mut part),
        };
        let read = part.filled().len();
        buf.advance(read);
        self.left -= read;
        self.received.0.fetch_add(read, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpSocket};

    #[test]
    fn addresses_share_the_time() {
        for (addresses, seconds) in [(0, 30), (1, 30), (2, 15), (6, 5), (40, 5)] {
            assert_eq!(limit_of_each(addresses), Duration::from_secs(seconds));
        }
    }

    #[tokio::test]
    async fn silent_address_leaves_time_for_the_next() {
        // Its queue takes one connection and is full then, so that it answers no other.
        let silent = TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = silent.listen(0).unwrap();
        let silent_addr = silent.local_addr().unwrap();
        let _first = TcpStream::connect(silent_addr).await.unwrap();
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addrs = [silent_addr, alive.local_addr().unwrap()];
        let limit = Duration::from_millis(200);
        let stream = connect(&addrs, limit).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addrs[1]);
        let error = connect(&addrs[..1], limit).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
