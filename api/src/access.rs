//! Whether a session may call an operation: [`check`]. By its role, and for operators by its tenant too.
//!
//! Every denial is written to the audit log of the session's tenant.

use crate::{
    AppState,
    error::{ApiError, Code},
    route_table::{Access, Operation},
};
use jobs::{
    commands::sessions::record_denial,
    domain::session::{Origin, Scope, Session},
    store::tenants,
};

/// # Errors
/// 403 if the role does not carry the operation's scope, or if the operation is for operators and the session's tenant
/// is not theirs.
pub async fn check(
    app: &AppState,
    operation: &Operation,
    session: &Session,
    origin: &Origin,
) -> Result<(), ApiError> {
    let (scope, refusal) = match operation.access {
        Access::Public => return Ok(()),
        Access::Session(scope) => (scope, check_role(session, scope)),
        Access::Operators(scope) => match check_tenant(app, session).await? {
            None => (scope, check_role(session, scope)),
            refusal => (scope, refusal),
        },
    };
    let Some(refusal) = refusal else {
        return Ok(());
    };
    let (name, code) = (operation.name, refusal.code().as_str());
    let recorded = record_denial(&app.pool, &app.denials, session, name, scope, code, origin).await;
    if let Err(error) = recorded {
        tracing::error!(%error, operation = name, "could not write a denial to the audit log");
    }
    Err(refusal)
}

fn check_role(session: &Session, scope: Scope) -> Option<ApiError> {
    (!session.may(scope)).then(|| {
        ApiError::new(
            Code::Forbidden,
            "Your role does not have the scope that this operation needs. Ask an owner or an admin.",
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
