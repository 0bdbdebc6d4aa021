//! A tenant's triage rules: `/v1/rules`. They are replaced as a whole; replacing needs the version as ETag, so that of two
//! people who edit at once the second learns of the first.

use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code},
    etag::{Versioned, has_version},
    extract::{CurrentSession, body, if_match::Condition, json},
    route_table::{Access, Route},
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method},
};
use chrono::{DateTime, Utc};
use jobs::{
    commands::rules::{PutRulesError, put_rules},
    domain::{SeenVersions, rules::limits, session::Scope},
    store::rule_sets::{self, StoredRuleSet},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const YAML: &str = "application/yaml";
const JSON: &str = "application/json";
/// In JSON each line break of the rules takes two bytes.
const BODY_BYTES: usize = 2 * limits::YAML_BYTES;

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/rules",
            "get_rules",
            Access::Session(Scope::RulesRead),
            get_rules,
        )
        .summary("Get the active rules")
        .versioned::<RulesBody>(200, "The rules; version 0 if there are none"),
        Route::new(
            Method::PUT,
            "/v1/rules",
            "put_rules",
            Access::Session(Scope::RulesWrite),
            replace_rules,
        )
        .summary("Replace the rules")
        .if_match_or_any()
        .body_limit(BODY_BYTES)
        .body::<String>(YAML)
        .body::<NewRules>(JSON)
        .versioned::<RulesBody>(200, "The rules as they are now")
        .errors(&[Code::InvalidRules]),
    ]
}

/// A tenant's rules.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Rules")]
struct RulesBody {
    /// Grows with every change; 0 before the first.
    #[schemars(range(min = 0))]
    version: i32,
    /// As it was written; empty before the first change.
    yaml: String,
    changed_at: Option<DateTime<Utc>>,
}

/// New rules, for clients that send JSON only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewRules {
    yaml: String,
}

has_version!(RulesBody);

async fn get_rules(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
) -> Result<Versioned<RulesBody>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let active = rule_sets::active(&mut conn, session.tenant).await?;
    Ok(versioned(active))
}

async fn replace_rules(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    request: Request,
) -> Result<Versioned<RulesBody>, ApiError> {
    let seen = seen_versions(request.headers())?;
    let yaml = yaml(&app, request).await?;
    let stored = put_rules(
        &app.pool,
        &session,
        seen.as_ref(),
        &yaml,
        Some(&context.request_id),
    )
    .await?;
    Ok(versioned(Some(stored)))
}

fn versioned(stored: Option<StoredRuleSet>) -> Versioned<RulesBody> {
    Versioned(stored.map_or(
        RulesBody {
            version: 0,
            yaml: String::new(),
            changed_at: None,
        },
        |stored| RulesBody {
            version: stored.version,
            yaml: stored.yaml,
            changed_at: Some(stored.created_at),
        },
    ))
}

/// What the caller has read; `None` is `*`.
fn seen_versions(headers: &HeaderMap) -> Result<Option<SeenVersions>, ApiError> {
    match Condition::of(headers) {
        None => Err(ApiError::new(
            Code::PreconditionRequired,
            "Send If-Match with the ETag of GET /v1/rules, so that no change is lost.",
        )),
        Some(Condition::Any) => Ok(None),
        Some(Condition::Seen(seen)) => Ok(Some(seen)),
    }
}

/// 412: the caller has not read the active version.
fn stale() -> ApiError {
    ApiError::new(
        Code::PreconditionFailed,
        "The rules were changed since you read them. Read them again and repeat your change.",
    )
}

async fn yaml(app: &App, request: Request) -> Result<String, ApiError> {
    let media_type = body::media_type(request.headers());
    match media_type.as_str() {
        YAML => {
            let text = String::from_utf8(body::read(app, request).await?)
                .map_err(|_| ApiError::new(Code::MalformedRequest, "Send the rules as UTF-8."))?;
            if text.contains('\0') {
                return Err(ApiError::new(
                    Code::MalformedRequest,
                    "Remove U+0000 from the rules: it cannot be stored.",
                ));
            }
            Ok(text)
        }
        JSON => {
            let value = json::parse(&body::read(app, request).await?)?;
            Ok(json::into_type::<NewRules>(value)?.yaml)
        }
        _ => Err(body::unsupported("application/yaml or application/json")),
    }
}

impl From<PutRulesError> for ApiError {
    fn from(error: PutRulesError) -> Self {
        match error {
            PutRulesError::Faulty(faults) => faults.into_iter().fold(
                Self::new(
                    Code::InvalidRules,
                    "The rules were not changed. Correct the faults that `errors` lists.",
                ),
                |refusal, fault| refusal.at(fault.pointer, fault.code, fault.message),
            ),
            PutRulesError::Stale { .. } => stale(),
            PutRulesError::Compile(source) => Self::internal(source),
            PutRulesError::Database(source) => source.into(),
        }
    }
}
