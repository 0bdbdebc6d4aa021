//! Failures of a connection, for which there is no request: [`write`] sends them as problem documents, as all others.

use crate::{
    context::{REQUEST_ID, new_request_id},
    error::{ApiError, Code, PROBLEM_JSON},
};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// For the response and for what the client is still sending.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Read and dropped, so that the client sees the response and not a reset.
const REST: u64 = 2 * 1024 * 1024;

/// The failure that hyper describes by a status alone.
pub(super) fn of_status(status: u16) -> ApiError {
    match status {
        431 => ApiError::new(
            Code::HeadersTooLarge,
            "Send at most 16 KiB of request headers.",
        ),
        414 => ApiError::new(Code::TargetTooLong, "Send at most 8 KiB of path and query."),
        _ => ApiError::new(
            Code::MalformedRequest,
            "The request is not valid HTTP/1.1. Check its first line and its headers.",
        ),
    }
}

/// A head that did not arrive in time.
pub(super) fn late_head() -> ApiError {
    ApiError::new(
        Code::RequestTimeout,
        "The request's headers did not arrive in time. Send it again.",
    )
}

/// No connection is free.
pub(super) fn no_connection() -> ApiError {
    ApiError::new(
        Code::Overloaded,
        "The service has reached its limit of connections. Try again in a moment.",
    )
    .retry_after(1)
}

/// Sends the failure and closes the connection, within [`TIMEOUT`].
pub(super) async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    error: &ApiError,
) -> io::Result<()> {
    let bytes = response(error);
    let sent = timeout(TIMEOUT, async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        let mut rest = (&mut stream).take(REST);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    });
    match sent.await {
        Ok(result) => result.map(|_| ()),
        Err(_) => Ok(()),
    }
}

/// Sends as much of the failure as fits without waiting: for connections of which there are too many to wait for.
pub(super) fn write_now(stream: &TcpStream, error: &ApiError) {
    // What the client has sent already would turn the end of the connection into a reset.
    let mut sent = [0; 4096];
    drop(stream.try_read(&mut sent));
    drop(stream.try_write(&response(error)));
}

fn response(error: &ApiError) -> Vec<u8> {
    use std::fmt::Write;
    let request_id = new_request_id();
    let problem = error.problem(&request_id, "");
    let body = serde_json::to_string(&problem).expect("a problem is plain strings");
    let status = error.code().status();
    let mut text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {}\r\nconnection: close\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\n{REQUEST_ID}: {request_id}\r\n",
        body.len()
    );
    if let Some(seconds) = error.retry_after_seconds() {
        let written = write!(text, "retry-after: {seconds}\r\n");
        written.expect("a string takes everything");
    }
    text.push_str("\r\n");
    text.push_str(&body);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_is_a_whole_response() {
        let text = String::from_utf8(response(&no_connection())).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
            "{head}"
        );
        assert!(head.contains("retry-after: 1"), "{head}");
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{head}"
        );
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], "OVERLOADED");
    }
}
