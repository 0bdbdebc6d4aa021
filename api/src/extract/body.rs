//! Reading a request's body within a size and a time: [`read`].

use crate::{
    App,
    error::{ApiError, Code},
    route_table::Operation,
};
use axum::{
    extract::Request,
    http::{HeaderMap, header},
};
use futures::StreamExt;
use std::sync::Arc;

/// Reads the whole body, up to the operation's limit.
///
/// # Errors
/// 413, 408, or 400 when the connection broke.
pub async fn read(app: &App, request: Request) -> Result<Vec<u8>, ApiError> {
    let limit = request
        .extensions()
        .get::<Arc<Operation>>()
        .expect("the pipeline names every request's operation")
        .body_limit;
    // Before a byte is read, if the client announces the size.
    if content_length(request.headers()).is_some_and(|announced| announced > limit) {
        return Err(too_large(limit));
    }
    tokio::time::timeout(app.limits.body_timeout, collect(request, limit))
        .await
        .map_err(|_| {
            ApiError::new(
                Code::RequestTimeout,
                "The body did not arrive in time. Send it again.",
            )
        })?
}

async fn collect(request: Request, limit: usize) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    let mut chunks = request.into_body().into_data_stream();
    while let Some(chunk) = chunks.next().await {
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
        body.extend_from_slice(&chunk);
    }
    Ok(body)
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
