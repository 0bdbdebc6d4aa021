//! Whether a session may call an operation: [`check`]. By its role or the scopes of its key, and for operators by its
//! tenant too; a tenant can require a second factor, what concerns access asks for a recent password, and a paused tenant
//! submits nothing.
//!
//! [`record`] writes every denial to the audit log of the session's tenant, also one that the handler found: that a draft is
//! another user's, or that a role is too high.

use crate::{
    AppState,
    error::{ApiError, Code},
    route_table::{Access, Operation},
};
use base::telemetry::chain;
use jobs::{
    commands::sessions::record_denial,
    domain::{
        api_key::KeyScope,
        session::{Caller, Origin, Scope, Session},
    },
    store::tenants,
};

/// # Errors
/// 403 if the role or the key does not carry the operation's scope, if the operation is for operators and the session's
/// tenant is not theirs, if the user must enrol a second factor or confirm their password first, or if the tenant is
/// paused.
pub async fn check(
    app: &AppState,
    operation: &Operation,
    session: &Session,
) -> Result<(), ApiError> {
    let (scope, refusal) = match operation.access {
        Access::Public => return Ok(()),
        Access::Session(scope) => (scope, check_role(session, scope)),
        Access::Operators(scope) => match check_tenant(app, session).await? {
            None => (scope, check_role(session, scope)),
            refusal => (scope, refusal),
        },
    };
    let refusal = refusal
        .or_else(|| check_enrolled(scope, session))
        .or_else(|| check_fresh(operation, session))
        .or_else(|| check_paused(operation, session));
    refusal.map_or(Ok(()), Err)
}

/// Records an error that denied the session what it asked for; others leave no entry. A failure to record is logged: the
/// request is refused all the same.
pub async fn record(
    app: &AppState,
    operation: &Operation,
    session: &Session,
    origin: &Origin,
    error: &ApiError,
) {
    let (Access::Session(scope) | Access::Operators(scope)) = operation.access else {
        return;
    };
    if !error.code().is_denial() {
        return;
    }
    let (name, code) = (operation.name, error.code().as_str());
    let recorded = record_denial(&app.pool, &app.denials, session, name, scope, code, origin).await;
    if let Err(error) = recorded {
        tracing::error!(
            error = chain(&error),
            operation = name,
            "could not write a denial to the audit log"
        );
    }
}

fn check_role(session: &Session, scope: Scope) -> Option<ApiError> {
    if session.may(scope) {
        return None;
    }
    let needed = scope.as_str();
    let detail = match session.caller {
        Caller::User(_) => format!(
            "This operation needs the scope {needed}, which your role does not have. Ask an owner or an admin."
        ),
        Caller::ApiKey(_) if KeyScope::ALL.iter().any(|key| key.scope() == scope) => format!(
            "This operation needs the scope {needed}, which the API key does not have. Use a key that has it."
        ),
        Caller::ApiKey(_) => format!(
            "This operation needs the scope {needed}, which no API key can have: keys do not approve, manage access or \
             read what belongs to one person. Log in as a user."
        ),
    };
    Some(ApiError::new(Code::Forbidden, detail))
}

/// The own sessions, password and second factor are all that is open without the second factor that the tenant requires.
fn check_enrolled(scope: Scope, session: &Session) -> Option<ApiError> {
    (session.must_enrol && scope != Scope::OwnSessions).then(|| {
        ApiError::new(
            Code::EnrolmentRequired,
            "Your tenant requires a second factor. Enrol one with POST /v1/users/me/second-factor.",
        )
    })
}

fn check_fresh(operation: &Operation, session: &Session) -> Option<ApiError> {
    (operation.fresh && !session.fresh).then(|| {
        ApiError::new(
            Code::ConfirmationRequired,
            "Confirm your password with POST /v1/sessions/current/confirm, then send the request again.",
        )
    })
}

fn check_paused(operation: &Operation, session: &Session) -> Option<ApiError> {
    (session.paused && operation.is_mutation() && !operation.while_paused).then(|| {
        ApiError::new(
            Code::TenantPaused,
            "This tenant is paused: it can be read, and nothing can be changed. Ask the operators of this installation.",
        )
    })
}

/// Looks up the tenant's name for each request: the operators' tenant may be created after the API has started.
async fn check_tenant(app: &AppState, session: &Session) -> Result<Option<ApiError>, ApiError> {
    let Some(operators) = &app.config.operator_tenant else {
        return Ok(Some(ApiError::new(
            Code::NotOperator,
            "This installation has no operators' tenant: OPERATOR_TENANT is not set. Use `postroom-api admin`.",
        )));
    };
    let mut conn = app.pool.acquire().await?;
    let slug = tenants::open_slug(&mut conn, session.tenant).await?;
    Ok((slug.as_deref() != Some(operators.as_str())).then(|| {
        ApiError::new(
            Code::NotOperator,
            "This operation concerns all tenants. Ask the operators of this installation.",
        )
    }))
}
