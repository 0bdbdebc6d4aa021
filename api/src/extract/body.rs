//! Reading a request's body within a size and a time: [`read`].

use crate::{
    App,
    admission::Ticket,
    error::{ApiError, Code},
    route_table::Operation,
    server::Connection,
};
use axum::{
    extract::Request,
    http::{HeaderMap, header},
};
use futures::StreamExt;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// Slower clients are cut off: 25 MiB take at most this many seconds more than a small body.
const SECONDS_PER_MIB: f64 = 1.0;
const MIB: f64 = 1024.0 * 1024.0;

/// Reads the whole body, up to the operation's limit, and takes the request's permit.
///
/// # Errors
/// 413, 415 if it is compressed, 408, 429 or 503 if there is no room for it, or 400 when the connection broke.
pub async fn read(app: &App, request: Request) -> Result<Vec<u8>, ApiError> {
    let limit = request
        .extensions()
        .get::<Arc<Operation>>()
        .expect("the pipeline names every request's operation")
        .body_limit;
    read_up_to(app, request, limit).await
}

/// As [`read`], up to a limit of the caller's.
///
/// # Errors
/// As [`read`].
pub async fn read_up_to(app: &App, request: Request, limit: usize) -> Result<Vec<u8>, ApiError> {
    check_encoding(request.headers())?;
    // Before a byte is read, if the client announces the size.
    if content_length(request.headers()).is_some_and(|announced| announced > limit) {
        return Err(too_large(limit));
    }
    let ticket = request.extensions().get::<Ticket>().cloned();
    let ticket = ticket.expect("the pipeline gives every operation's request a ticket");
    let connection = request.extensions().get::<Arc<Connection>>().cloned();
    let body = collect(app, request, limit, &ticket, connection.as_deref()).await?;
    if let Some(connection) = connection {
        connection.works();
    }
    ticket.enter()?;
    Ok(body)
}

async fn collect(
    app: &App,
    request: Request,
    limit: usize,
    ticket: &Ticket,
    connection: Option<&Connection>,
) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    let started = Instant::now();
    let mut chunks = request.into_body().into_data_stream();
    loop {
        if let Some(connection) = connection {
            connection.receives();
        }
        let deadline = started + app.limits.body_timeout + time_for(body.len());
        let chunk = timeout_at(deadline, chunks.next()).await.map_err(|_| {
            ApiError::new(
                Code::RequestTimeout,
                "The body did not arrive in time. Send it again.",
            )
        })?;
        let Some(chunk) = chunk else {
            return Ok(body);
        };
        let chunk = chunk.map_err(|error| {
            ApiError::new(
                Code::MalformedRequest,
                "The body ended early. Send it again.",
            )
            .caused_by(error)
        })?;
        if body.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        ticket.reserve(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
}

fn time_for(bytes: usize) -> Duration {
    #[expect(
        clippy::cast_precision_loss,
        reason = "bodies are far below 2^52 bytes"
    )]
    let mib = bytes as f64 / MIB;
    Duration::from_secs_f64(mib * SECONDS_PER_MIB)
}

/// Bodies are read as they are: a compressed one may be small here and large afterwards.
fn check_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let plain = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if plain {
        return Ok(());
    }
    Err(ApiError::new(
        Code::UnsupportedMediaType,
        "Send the body without Content-Encoding: compressed bodies are not accepted.",
    ))
}

/// Returns the media type in lower case, without parameters; empty if none was sent.
pub fn media_type(headers: &HeaderMap) -> String {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|media_type| media_type.trim().to_ascii_lowercase())
        .unwrap_or_default()
}

/// 415, with the accepted media types.
pub fn unsupported(accepted: &str) -> ApiError {
    ApiError::new(
        Code::UnsupportedMediaType,
        format!("Send the body with Content-Type {accepted}."),
    )
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        Code::BodyTooLarge,
        format!("Send at most {limit} bytes to this operation."),
    )
}
