//! What happens to every request, in one place: [`handle`] is wrapped around the whole router.
//!
//! Context → the operation's access → admission → the handler, under the operation's timeout → one response, one log
//! line, one count. **A request that may write runs in a task of its own**: hyper drops a request's future when the
//! client disconnects, and a future dropped inside a transaction can lose acknowledged writes (`base::db`).

use crate::{
    AppState, access,
    admission::{Ticket, overloaded},
    context::{CLIENT_REQUEST_ID, Peer, REQUEST_ID, RequestContext},
    error::{ApiError, Code},
    extract::current_session::{self, CurrentSession},
    metrics::InProgress,
    route_table::{Access, Operation},
};
use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base::telemetry::{chain, millis};
use futures::FutureExt;
use jobs::domain::session::{Origin, Session};
use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};
use tracing::{Instrument, field::Empty};

/// Names and values together. hyper reads a little more, so that this failure is a problem document and not a bare 431.
const HEADER_BYTES: usize = 16 * 1024;
/// Path and query together. RFC 9110, section 4.1, asks servers for at least 8,000.
const TARGET_BYTES: usize = 8 * 1024;

const SECURITY_HEADERS: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
];

/// The middleware.
pub async fn handle(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let peer = request.extensions().get::<Peer>().copied();
    let mut context = RequestContext::new(request.headers(), peer, &app.config.trusted_proxies);

    let path = request.uri().path().to_owned();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let operation = matched
        .as_ref()
        .and_then(|matched| app.table.find(request.method(), matched.as_str()));
    // A path that is not served must not become a label: there are infinitely many.
    let name = operation.as_ref().map_or("unmatched", |found| found.name);
    let span = tracing::info_span!(
        "http.request",
        operation = name,
        request_id = &*context.request_id,
        client_request_id = context.client_request_id.as_deref(),
        trace_id = Empty,
        otel.kind = "server",
        tenant.id = Empty,
        session.id = Empty,
    );
    context.join(&span);
    span.record("trace_id", context.trace_id());
    request.extensions_mut().insert(context.clone());

    let in_progress = InProgress::begin(&app.metrics.http_requests_in_flight);
    let mut response = respond(&app, operation.as_ref(), request, next)
        .instrument(span.clone())
        .await;
    drop(in_progress);

    span.in_scope(|| {
        if response.status().is_success() {
            app.database.served(name);
        }
        if let Some(error) = ApiError::of(&response) {
            app.database.failed(name, &error);
            log_cause(&error);
            response = error.render(&context.request_id, &path);
            if error.code() == Code::MethodNotAllowed
                && let Some(allowed) = matched.map(|matched| app.table.allowed(matched.as_str()))
                && let Ok(allowed) = HeaderValue::from_str(&allowed)
            {
                response.headers_mut().insert(header::ALLOW, allowed);
            }
        }
        finish(&app, name, &context, &mut response, started);
    });
    response
}

/// Responds with the handler's response, or with why the handler was not called.
async fn respond(
    app: &AppState,
    operation: Option<&Arc<Operation>>,
    mut request: Request,
    next: Next,
) -> Response {
    let target = request.uri().path_and_query();
    if target.is_some_and(|target| target.as_str().len() > TARGET_BYTES) {
        return ApiError::new(Code::TargetTooLong, "Send at most 8 KiB of path and query.")
            .into_response();
    }
    if header_bytes(request.headers()) > HEADER_BYTES {
        return ApiError::new(
            Code::HeadersTooLarge,
            "Send at most 16 KiB of request headers.",
        )
        .into_response();
    }
    if let Err(error) = check_host(&request) {
        return error.into_response();
    }
    // Before its session is read; the permit itself is taken when there is something to do.
    if app.admission.available() == 0 {
        return overloaded().into_response();
    }
    let Some(operation) = operation.cloned() else {
        // The router's own fallbacks: 404 and 405.
        return next.run(request).await;
    };
    request.extensions_mut().insert(operation.clone());
    if operation.is_mutation() {
        let task = run(app.clone(), operation, request, next).in_current_span();
        match app.tracker.spawn(task).await {
            Ok(response) => response,
            Err(error) => ApiError::internal(error).into_response(),
        }
    } else {
        run(app.clone(), operation, request, next).await
    }
}

async fn run(app: AppState, operation: Arc<Operation>, request: Request, next: Next) -> Response {
    let timeout = operation.timeout;
    let work = async {
        let admitted = match authorise(&app, &operation, request).await {
            Ok(request) => admit(&app, &operation, request),
            Err(error) => Err(error),
        };
        match admitted {
            Ok((request, ticket)) => {
                let caller = caller(&request);
                let response = next.run(request).await;
                // The request's own was dropped when a handler took it apart.
                drop(ticket);
                if let (Some((session, origin)), Some(error)) = (caller, ApiError::of(&response)) {
                    access::record(&app, &operation, &session, &origin, &error).await;
                }
                response
            }
            Err(error) => error.into_response(),
        }
    };
    match tokio::time::timeout(timeout, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(response)) => response,
        // The panic hook has logged the place; the payload may quote user data.
        Ok(Err(_)) => ApiError::internal("a handler panicked").into_response(),
        Err(elapsed) => ApiError::new(
            Code::Timeout,
            "The request took too long and may or may not have been executed. Check the state, or repeat it with the same Idempotency-Key.",
        )
        .caused_by(elapsed)
        .into_response(),
    }
}

/// Who sends the request, for the entry about a denial that its handler finds.
fn caller(request: &Request) -> Option<(Session, Origin)> {
    let CurrentSession(session) = request.extensions().get()?;
    let context = request.extensions().get::<RequestContext>()?;
    Some((session.clone(), context.origin.clone()))
}

/// Gives the request its ticket. Without a body there is something to do at once.
fn admit(
    app: &AppState,
    operation: &Operation,
    mut request: Request,
) -> Result<(Request, Ticket), ApiError> {
    let extensions = request.extensions();
    let session = extensions
        .get::<CurrentSession>()
        .map(|CurrentSession(session)| session);
    let address = extensions
        .get::<RequestContext>()
        .and_then(|context| context.origin.ip);
    let ticket = app.admission.ticket(session, address);
    if operation.bodies.is_empty() {
        ticket.enter()?;
    }
    request.extensions_mut().insert(ticket.clone());
    Ok((request, ticket))
}

/// RFC 9112, section 3.2: a request of HTTP/1.1 names one host. Two let a proxy and this process disagree about it.
fn check_host(request: &Request) -> Result<(), ApiError> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let needed = request.version() == Version::HTTP_11;
    let valid = first.map_or(!needed, |host| {
        let graphic = |b: &u8| b.is_ascii_graphic() && !b"/?#@,\\".contains(b);
        host.as_bytes().iter().all(graphic)
    });
    if second.is_none() && valid {
        return Ok(());
    }
    Err(
        ApiError::new(Code::MalformedRequest, "Send one Host header.").at(
            "Host",
            "INVALID_VALUE",
            "Must be one host, with a port if it is not the default.",
        ),
    )
}

/// Denies what the route table does not allow; handlers find the session in the request.
async fn authorise(
    app: &AppState,
    operation: &Operation,
    request: Request,
) -> Result<Request, ApiError> {
    match operation.access {
        Access::Public => Ok(request),
        Access::Session(_) | Access::Operators(_) => {
            let (mut parts, body) = request.into_parts();
            let session = current_session::establish(app, &mut parts).await?;
            if let Err(error) = access::check(app, operation, &session).await {
                let origin = &parts
                    .extensions
                    .get::<RequestContext>()
                    .expect("the pipeline gives every request its context")
                    .origin;
                access::record(app, operation, &session, origin, &error).await;
                return Err(error);
            }
            Ok(Request::from_parts(parts, body))
        }
    }
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

/// Logs the cause of an error, once, here.
fn log_cause(error: &ApiError) {
    let Some(cause) = error.cause() else { return };
    let (code, cause) = (error.code().as_str(), chain(cause));
    if error.code() == Code::Internal {
        tracing::error!(code, cause, "request failed");
    } else {
        tracing::warn!(code, cause, "request could not be served");
    }
}

fn finish(
    app: &AppState,
    operation: &str,
    context: &RequestContext,
    response: &mut Response<Body>,
    started: Instant,
) {
    for (name, value) in SECURITY_HEADERS {
        // The reference page has a policy of its own.
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    let id = HeaderValue::from_str(&context.request_id).expect("a request id is visible ASCII");
    response.headers_mut().insert(REQUEST_ID, id);
    if let Some(id) = &context.client_request_id {
        let id = HeaderValue::from_str(id).expect("it was read from a header, and prints");
        response.headers_mut().insert(CLIENT_REQUEST_ID, id);
    }

    let elapsed = started.elapsed();
    let status = response.status();
    app.metrics
        .http_requests_total
        .with_label_values(&[operation, status.as_str()])
        .inc();
    app.metrics
        .http_request_duration_seconds
        .with_label_values(&[operation])
        .observe(elapsed.as_secs_f64());
    let duration_ms = millis(elapsed);
    tracing::info!(status = status.as_u16(), duration_ms, "answered");
}
