//! The socket of one connection: [`WatchedStream`]. Closes a connection whose client does not read, and holds back hyper's
//! own failures, which have no body.

use super::table::Connection;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// A socket, and what its connection is seen to do.
#[derive(Debug)]
pub(super) struct WatchedStream<S> {
    stream: S,
    connection: Arc<Connection>,
    stall_timeout: Duration,
    /// Runs while the client takes nothing of what is written.
    stall: Pin<Box<Sleep>>,
    stalled: bool,
    /// The status that hyper gave up with.
    held_back: Option<u16>,
    /// The client took nothing for too long.
    unread: bool,
}

/// What is left of a connection that has ended.
#[derive(Debug)]
pub(super) struct Remains<S> {
    pub(super) stream: S,
    /// A head began and did not end.
    pub(super) head_begun: bool,
    /// The status of a failure that hyper could not write a body for.
    pub(super) held_back: Option<u16>,
    /// The client took nothing of a response for too long.
    pub(super) unread: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WatchedStream<S> {
    pub(super) fn new(stream: S, connection: Arc<Connection>, stall_timeout: Duration) -> Self {
        Self {
            stream,
            connection,
            stall_timeout,
            stall: Box::pin(sleep(stall_timeout)),
            stalled: false,
            held_back: None,
            unread: false,
        }
    }

    pub(super) fn into_remains(self) -> Remains<S> {
        Remains {
            head_begun: self.connection.head_has_begun(),
            stream: self.stream,
            held_back: self.held_back,
            unread: self.unread,
        }
    }

    /// Fails when nothing was taken for as long as the timeout.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(result) => {
                if self.stalled {
                    self.stalled = false;
                    self.connection.goes_on();
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                if !self.stalled {
                    self.stalled = true;
                    self.connection.stalls();
                    let deadline = Instant::now() + self.stall_timeout;
                    self.stall.as_mut().reset(deadline);
                }
                ready!(self.stall.as_mut().poll(context));
                self.unread = true;
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.connection.reads();
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(status) = bare_failure(bytes) {
            self.held_back = Some(status);
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [bytes] = buffers
            && let Some(status) = bare_failure(bytes)
        {
            self.held_back = Some(status);
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held_back.is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The status of a failure that hyper wrote itself, after a head that it could not read: it has no request id, which each of
/// our responses has.
fn bare_failure(bytes: &[u8]) -> Option<u16> {
    let head = bytes.strip_prefix(b"HTTP/1.1 4")?;
    if bytes.len() > 256 || !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let text = std::str::from_utf8(head).ok()?;
    if text.contains("x-request-id") || !text.contains("content-length: 0") {
        return None;
    }
    let status: u16 = text.get(..2)?.parse().ok()?;
    Some(400 + status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_without_a_request_id_are_hyper_s_own() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
                     date: Sat, 28 Nov 2026 20:00:00 GMT\r\n\r\n";
        assert_eq!(bare_failure(bare), Some(431));
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nx-request-id: abcdefgh\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 4",
            "",
        ] {
            assert_eq!(bare_failure(other.as_bytes()), None, "{other}");
        }
    }
}
