//! The connection to a server: [`Line`], plain or encrypted, to an allowed address, with a limit on the bytes read.

use crate::providers::{ProviderError, guard::Guard};
use jobs::domain::connection::{Security, Server};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::step;

/// Limit of bytes read in one session; sessions never fetch emails.
const MAX_BYTES: usize = 8 << 20;

/// A connection.
#[derive(Debug)]
pub(super) struct Line {
    wire: Wire,
    left: usize,
}

#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Line {
    /// Connects to the first address that answers, with TLS if the settings require it from the start.
    pub(super) async fn open(server: &Server, guard: Guard) -> Result<Self, ProviderError> {
        if server.security == Security::None && guard == Guard::Public {
            return Err(ProviderError::Permanent {
                code: "encryption_required",
                message: "The connection must be encrypted. Use `tls` or `starttls`.".into(),
            });
        }
        let addrs: Vec<SocketAddr> = guard.resolve(&server.host, server.port).await?;
        let stream = step("imap_unreachable", TcpStream::connect(&addrs[..])).await?;
        let line = Self {
            wire: Wire::Plain(stream),
            left: MAX_BYTES,
        };
        match server.security {
            Security::Tls => line.encrypted(&server.host).await,
            Security::Starttls | Security::None => Ok(line),
        }
    }

    /// Encrypts the connection from here on.
    pub(super) async fn encrypted(self, host: &str) -> Result<Self, ProviderError> {
        let Wire::Plain(stream) = self.wire else {
            return Ok(self);
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ProviderError::Permanent {
            code: "host_not_allowed",
            message: "This host name cannot have a certificate.".into(),
        })?;
        let connector = TlsConnector::from(trust()?);
        let stream = step("imap_tls", connector.connect(name, stream)).await?;
        Ok(Self {
            wire: Wire::Tls(Box::new(stream)),
            left: self.left,
        })
    }
}

/// Loads the system's root certificates.
fn trust() -> Result<Arc<ClientConfig>, ProviderError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ProviderError::Retryable {
            code: "imap_tls",
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
