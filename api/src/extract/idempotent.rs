//! Requests that are executed once however often they are sent: [`Idempotent`].

use super::{CurrentSession, IdempotencyKey, body, json};
use crate::{
    AppState,
    context::RequestContext,
    error::ApiError,
    fingerprint::{self, Content},
    route_table::Operation,
};
use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::request::Parts,
};
use jobs::{domain::Session, store::request_keys::RequestKey};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

const JSON: &str = "application/json";
/// A JSON body takes a multiple of its bytes when it is parsed: a raw email may be larger.
const JSON_BYTES: usize = 4 * 1024 * 1024;

/// Who sends a request, for which operation and under which key.
#[derive(Clone, Debug)]
pub struct KeyedRequest {
    pub session: Session,
    pub operation: Arc<Operation>,
    pub context: RequestContext,
    pub key: IdempotencyKey,
}

/// A keyed request with its JSON body and the fingerprint that tells it from others under the same key.
#[derive(Clone, Debug)]
pub struct Idempotent<T> {
    pub request: KeyedRequest,
    pub fingerprint: [u8; 32],
    pub body: T,
}

impl KeyedRequest {
    pub fn request_key(&self) -> RequestKey<'_> {
        RequestKey {
            tenant: self.session.tenant,
            actor: self.session.user,
            operation: self.operation.name,
            key: self.key.as_str(),
        }
    }
}

impl FromRequestParts<AppState> for KeyedRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        let CurrentSession(session) = parts
            .extensions
            .get::<CurrentSession>()
            .expect("only operations that need a session take a key")
            .clone();
        let operation = parts.extensions.get::<Arc<Operation>>();
        let context = parts.extensions.get::<RequestContext>();
        let in_pipeline = "the pipeline names every request's operation and context";
        Ok(Self {
            session,
            operation: operation.expect(in_pipeline).clone(),
            context: context.expect(in_pipeline).clone(),
            key: IdempotencyKey::from_headers(&parts.headers)?,
        })
    }
}

/// The value that a strict JSON body holds, and the fingerprint of the request.
///
/// # Errors
/// 400, 408, 413 or 415.
pub async fn read_json(
    app: &AppState,
    operation: &Operation,
    request: Request,
) -> Result<(Value, [u8; 32]), ApiError> {
    let uri = request.uri().clone();
    if body::media_type(request.headers()) != JSON {
        return Err(body::unsupported(JSON));
    }
    let limit = operation.body_limit.min(JSON_BYTES);
    let value = json::parse(&body::read_up_to(app, request, limit).await?)?;
    let fingerprint = fingerprint::of_request(operation, &uri, Content::Json(&value))
        .map_err(ApiError::internal)?;
    Ok((value, fingerprint))
}

impl<T: DeserializeOwned> FromRequest<AppState> for Idempotent<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let keyed = KeyedRequest::from_request_parts(&mut parts, app).await?;
        let request = Request::from_parts(parts, body);
        let (value, fingerprint) = read_json(app, &keyed.operation, request).await?;
        Ok(Self {
            fingerprint,
            body: json::into_type(value)?,
            request: keyed,
        })
    }
}
