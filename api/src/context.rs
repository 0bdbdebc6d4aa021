//! What identifies a request before it is authenticated: [`RequestContext`].
//!
//! They go into logs, jobs and audit rows, so a client's own request id is kept only if it prints, beside ours, and its
//! trace context only in the exact form that we write. Decides nothing about access.

use crate::{AppState, proxies::TrustedProxies};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use base::telemetry::{self, export};
use jobs::{
    commands::actor::TenantActor,
    domain::{Session, session::Origin},
};
use std::{convert::Infallible, net::SocketAddr, sync::Arc};
use tracing::Span;
use uuid::Uuid;

pub const REQUEST_ID: &str = "x-request-id";
/// Repeats the client's own `X-Request-Id`.
pub const CLIENT_REQUEST_ID: &str = "x-client-request-id";
const TRACEPARENT: &str = "traceparent";

/// The peer of the connection, from the socket.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Identifies one request through API, queue, worker and audit.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Ours: unique, whatever the client sends.
    pub request_id: Arc<str>,
    /// The client's, which it may send with any number of requests.
    pub client_request_id: Option<Arc<str>>,
    /// W3C trace context: the caller's, or a new one; of this request's span, if spans are exported.
    pub traceparent: Arc<str>,
    is_traced: bool,
    pub origin: Origin,
}

impl RequestContext {
    /// Names the user of this request as the actor of a command.
    pub fn actor<'a>(&'a self, session: &'a Session) -> TenantActor<'a> {
        TenantActor::User {
            session,
            request_id: &self.request_id,
        }
    }

    pub fn new(headers: &HeaderMap, peer: Option<Peer>, proxies: &TrustedProxies) -> Self {
        let given = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let only = values.next()?.to_str().ok()?;
            values.next().is_none().then_some(only)
        };
        let request_id: Arc<str> = new_request_id().into();
        let client_request_id: Option<Arc<str>> = given(REQUEST_ID)
            .filter(|id| is_printable(id))
            .map(Into::into);
        let caller = given(TRACEPARENT).filter(|value| is_traceparent(value));
        let mut origin = Origin::new(
            peer.map(|peer| proxies.client(peer.0.ip(), headers)),
            given("user-agent"),
            Some(request_id.to_string()),
        );
        origin.client_request_id.clone_from(&client_request_id);
        Self {
            request_id,
            client_request_id,
            is_traced: caller.is_some(),
            traceparent: caller.map_or_else(|| new_traceparent().into(), Into::into),
            origin,
        }
    }

    /// Makes the request's span part of the caller's trace, if it sent one. Jobs are then part of the span.
    pub fn join(&mut self, span: &Span) {
        let caller = self.is_traced.then_some(&*self.traceparent);
        if let Some(own) = export::join(span, caller) {
            self.traceparent = own.into();
        }
    }

    pub fn trace_id(&self) -> &str {
        telemetry::trace_id(&self.traceparent).unwrap_or_default()
    }
}

impl FromRequestParts<AppState> for RequestContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Self::Rejection> {
        Ok(parts
            .extensions
            .get::<Self>()
            .expect("the pipeline gives every request its context")
            .clone())
    }
}

/// A new id for a request.
pub fn new_request_id() -> String {
    Uuid::now_v7().to_string()
}

/// 1 to 128 printable ASCII characters: nothing that could break a log line or a header.
fn is_printable(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| matches!(b, b' '..=b'~'))
}

/// Version 00 exactly: ids of lower-case hex, neither of them all zeroes.
fn is_traceparent(value: &str) -> bool {
    let hex = |part: &str, len: usize| {
        part.len() == len
            && part
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let set = |part: &str| part.bytes().any(|b| b != b'0');
    match value.split('-').collect::<Vec<_>>()[..] {
        ["00", trace, span, flags] => {
            hex(trace, 32) && set(trace) && hex(span, 16) && set(span) && hex(flags, 2)
        }
        _ => false,
    }
}

fn new_traceparent() -> String {
    let trace = Uuid::now_v7().simple();
    let span = &Uuid::now_v7().simple().to_string()[16..];
    format!("00-{trace}-{span}-01")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn context(headers: &[(&'static str, &str)]) -> RequestContext {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        RequestContext::new(&map, None, &TrustedProxies::default())
    }

    #[test]
    fn client_s_request_id_is_kept_beside_ours_if_it_prints() {
        for good in ["abc_DEF-123", "x", "order 7; try 2", &"a".repeat(128)] {
            let context = context(&[(REQUEST_ID, good)]);
            assert_eq!(context.client_request_id.as_deref(), Some(good));
            assert_eq!(context.origin.client_request_id.as_deref(), Some(good));
            assert_ne!(&*context.request_id, good);
        }
        for bad in ["ünïcödé-12", "tab\there", &"a".repeat(129), ""] {
            let context = context(&[(REQUEST_ID, bad)]);
            assert_eq!(context.client_request_id, None, "{bad:?}");
            assert!(Uuid::parse_str(&context.request_id).is_ok());
        }
        let two = context(&[(REQUEST_ID, "abcdefgh1"), (REQUEST_ID, "abcdefgh2")]);
        assert_eq!(two.client_request_id, None);
    }

    #[test]
    fn trace_context_is_joined_if_it_is_valid() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let joined = context(&[(TRACEPARENT, good)]);
        assert_eq!(&*joined.traceparent, good);
        assert_eq!(joined.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        for bad in [
            "",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            let fresh = context(&[(TRACEPARENT, bad)]);
            assert_ne!(&*fresh.traceparent, bad);
            assert!(is_traceparent(&fresh.traceparent), "{}", fresh.traceparent);
        }
    }
}
