//! The versions of a draft and the difference between two of them.

use super::WHO_READS;
use crate::{
    AppState,
    error::{ApiError, Code},
    extract::{CurrentSession, Id, StrictQuery},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use base::{JobId, hex};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        DraftId,
        draft::{Confidence, DiffLine, Origin, Tone, diff},
        session::Scope,
    },
    store::{
        draft_versions::{self, StoredVersion},
        drafts::read,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const PAGE_SIZE: i64 = 100;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/drafts/{id}/versions",
            "list_draft_versions",
            Access::Session(Scope::ApprovalsRead),
            list,
        )
        .summary("List the versions of a draft, newest first")
        .description(WHO_READS)
        .query::<VersionsQuery>()
        .answer::<VersionPage>(200, "Up to 100 versions"),
        Route::new(
            Method::GET,
            "/v1/drafts/{id}/diff",
            "diff_draft",
            Access::Session(Scope::ApprovalsRead),
            compare,
        )
        .summary("Compare two versions of a draft")
        .description(WHO_READS)
        .query::<DiffQuery>()
        .answer::<DraftDiff>(200, "All lines of both versions"),
    ]
}

/// One version of a draft.
#[derive(Serialize, JsonSchema)]
pub(super) struct DraftVersion {
    #[schemars(range(min = 1))]
    version: i32,
    /// The sender's address; null for the default of the sending account.
    from: Option<String>,
    to: Vec<String>,
    cc: Vec<String>,
    bcc: Vec<String>,
    subject: String,
    in_reply_to: Option<String>,
    references: Vec<String>,
    body_text: String,
    /// When it is sent after its approval; null for immediately.
    send_at: Option<DateTime<Utc>>,
    /// SHA-256 of all fields above, as its approval holds it.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    content_hash: String,
    origin: Origin,
    instructions: Option<String>,
    tone: Option<Tone>,
    confidence: Confidence,
    language: Option<String>,
    assumptions: Vec<String>,
    open_questions: Vec<String>,
    /// The memory items in its prompt; see `/v1/memory`.
    memory_ids: Vec<Uuid>,
    model: Option<String>,
    prompt_version: Option<String>,
    /// The job that wrote it.
    job_id: JobId,
    created_at: DateTime<Utc>,
}

/// A page of versions.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DraftVersionList")]
struct VersionPage {
    items: Vec<DraftVersion>,
    /// Send it as `before` to read the next page; null on the last page.
    #[schemars(range(min = 2))]
    next_before: Option<i32>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VersionsQuery {
    /// Only versions before this one: the `next_before` of the previous page.
    #[schemars(range(min = 1))]
    before: Option<i32>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DiffQuery {
    /// The version to compare from.
    #[schemars(range(min = 1))]
    from: i32,
    /// The version to compare to.
    #[schemars(range(min = 1))]
    to: i32,
}

/// The difference between two versions.
#[derive(Serialize, JsonSchema)]
struct DraftDiff {
    #[schemars(range(min = 1))]
    from: i32,
    #[schemars(range(min = 1))]
    to: i32,
    /// Null if it is the same in both.
    subject: Option<SubjectChange>,
    lines: Vec<DiffLine>,
}

/// The subjects of both versions.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DraftSubjectChange")]
struct SubjectChange {
    from: String,
    to: String,
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<DraftId>,
    StrictQuery(query): StrictQuery<VersionsQuery>,
) -> Result<Json<VersionPage>, ApiError> {
    if query.before.is_some_and(|before| before < 1) {
        return Err(ApiError::new(
            Code::InvalidParameter,
            "Use the `next_before` of the previous page.",
        )
        .at("?before", "OUT_OF_RANGE", "Must be at least 1."));
    }
    let mut conn = app.pool.acquire().await?;
    read::find(&mut conn, (session.tenant, session.reader()), id)
        .await?
        .ok_or_else(ApiError::not_found)?;
    let found =
        draft_versions::list(&mut conn, session.tenant, id, query.before, PAGE_SIZE).await?;
    // Versions are numbered without a gap, so the last one tells whether more follow.
    let next_before = found
        .last()
        .map(|last| last.version)
        .filter(|last| *last > 1);
    let items = found.into_iter().map(DraftVersion::from).collect();
    Ok(Json(VersionPage { items, next_before }))
}

async fn compare(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<DraftId>,
    StrictQuery(query): StrictQuery<DiffQuery>,
) -> Result<Json<DraftDiff>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    read::find(&mut conn, (session.tenant, session.reader()), id)
        .await?
        .ok_or_else(ApiError::not_found)?;
    let mut versions = Vec::with_capacity(2);
    for (pointer, version) in [("?from", query.from), ("?to", query.to)] {
        let found = draft_versions::find(&mut conn, session.tenant, id, version).await?;
        versions.push(found.ok_or_else(|| {
            ApiError::new(
                Code::InvalidParameter,
                "The draft has no such version. List its versions.",
            )
            .at(pointer, "NOT_FOUND", "Must be a version of this draft.")
        })?);
    }
    let (from, to) = (&versions[0].message, &versions[1].message);
    Ok(Json(DraftDiff {
        from: query.from,
        to: query.to,
        subject: (from.subject != to.subject).then(|| SubjectChange {
            from: from.subject.clone(),
            to: to.subject.clone(),
        }),
        lines: diff(&from.body_text, &to.body_text),
    }))
}

impl From<StoredVersion> for DraftVersion {
    fn from(stored: StoredVersion) -> Self {
        let StoredVersion {
            message, making, ..
        } = stored;
        Self {
            version: stored.version,
            from: message.from,
            to: message.to,
            cc: message.cc,
            bcc: message.bcc,
            subject: message.subject,
            in_reply_to: message.in_reply_to,
            references: message.references,
            body_text: message.body_text,
            send_at: message.send_at,
            content_hash: hex(&stored.content_hash),
            origin: making.origin,
            instructions: making.instructions,
            tone: making.tone,
            confidence: making.confidence,
            language: making.language,
            assumptions: making.assumptions,
            open_questions: making.open_questions,
            memory_ids: making.memory_ids,
            model: making.model,
            prompt_version: making.prompt_version,
            job_id: making.job,
            created_at: stored.created_at,
        }
    }
}
