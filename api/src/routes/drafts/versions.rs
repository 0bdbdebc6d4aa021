//! What a draft says, and has said: its versions and what changed from one to the other.

use super::parse_id;
use crate::{
    AppState,
    error::{ApiError, Code},
    extract::{CurrentSession, StrictQuery},
    route_table::{Access, Place, Route},
};
use axum::{
    Json,
    extract::{Path, State},
    http::Method,
};
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        draft::{Confidence, DiffLine, Origin, Tone, diff, hex},
        session::Scope,
    },
    store::{
        draft_versions::{self, StoredVersion},
        drafts,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const MOST: i64 = 100;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/drafts/{id}/versions",
            "list_draft_versions",
            Access::Session(Scope::ApprovalsRead),
            list,
        )
        .summary("The versions of a draft, the newest first")
        .parameter::<i32>(
            Place::Query,
            "before",
            false,
            "`next_before` of the page before",
        )
        .answer::<VersionPage>(200, "Up to 100 versions"),
        Route::new(
            Method::GET,
            "/v1/drafts/{id}/diff",
            "diff_draft",
            Access::Session(Scope::ApprovalsRead),
            compare,
        )
        .summary("What changed from one version of a draft to another")
        .parameter::<i32>(Place::Query, "from", true, "A version")
        .parameter::<i32>(Place::Query, "to", true, "Another version")
        .answer::<DraftDiff>(200, "All lines of both texts"),
    ]
}

/// One version of a draft.
#[derive(Serialize, JsonSchema)]
pub(super) struct DraftVersion {
    version: i32,
    /// The address it is written as; null: that of whoever sends it.
    from: Option<String>,
    to: Vec<String>,
    cc: Vec<String>,
    bcc: Vec<String>,
    subject: String,
    in_reply_to: Option<String>,
    references: Vec<String>,
    body_text: String,
    /// It goes then, once it is approved; null: at once.
    send_at: Option<DateTime<Utc>>,
    /// sha256 of all of the above; what an approval holds.
    content_hash: String,
    origin: Origin,
    instructions: Option<String>,
    tone: Option<Tone>,
    confidence: Confidence,
    language: Option<String>,
    assumptions: Vec<String>,
    open_questions: Vec<String>,
    /// What was remembered for the user and went into it; see `/v1/memory`.
    memory_ids: Vec<Uuid>,
    model: Option<String>,
    prompt_version: Option<String>,
    /// The job that wrote it.
    job_id: JobId,
    created_at: DateTime<Utc>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DraftVersionPage")]
struct VersionPage {
    items: Vec<DraftVersion>,
    /// Give it back as `before` for what follows; null at the end.
    next_before: Option<i32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionsQuery {
    before: Option<i32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiffQuery {
    from: i32,
    to: i32,
}

/// What changed from one version to another.
#[derive(Serialize, JsonSchema)]
struct DraftDiff {
    from: i32,
    to: i32,
    /// `null` if it is the same in both.
    subject: Option<SubjectChange>,
    lines: Vec<DiffLine>,
}

/// Two subjects.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DraftSubjectChange")]
struct SubjectChange {
    from: String,
    to: String,
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<VersionsQuery>,
) -> Result<Json<VersionPage>, ApiError> {
    let id = parse_id(&id)?;
    let mut conn = app.pool.acquire().await?;
    drafts::find(&mut conn, session.tenant, id)
        .await?
        .ok_or_else(ApiError::not_found)?;
    let found = draft_versions::list(&mut conn, session.tenant, id, query.before, MOST).await?;
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
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<DiffQuery>,
) -> Result<Json<DraftDiff>, ApiError> {
    let id = parse_id(&id)?;
    let mut conn = app.pool.acquire().await?;
    drafts::find(&mut conn, session.tenant, id)
        .await?
        .ok_or_else(ApiError::not_found)?;
    let mut versions = Vec::with_capacity(2);
    for (pointer, version) in [("?from", query.from), ("?to", query.to)] {
        let found = draft_versions::find(&mut conn, session.tenant, id, version).await?;
        versions.push(found.ok_or_else(|| {
            ApiError::new(Code::InvalidParameter, "The draft has no such version.").at(
                pointer,
                "NOT_FOUND",
                "No version of this draft.",
            )
        })?);
    }
    let (from, to) = (&versions[0].letter, &versions[1].letter);
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
        let StoredVersion { letter, making, .. } = stored;
        Self {
            version: stored.version,
            from: letter.from,
            to: letter.to,
            cc: letter.cc,
            bcc: letter.bcc,
            subject: letter.subject,
            in_reply_to: letter.in_reply_to,
            references: letter.references,
            body_text: letter.body_text,
            send_at: letter.send_at,
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
