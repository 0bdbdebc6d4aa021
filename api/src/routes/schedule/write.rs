//! Proposing a block, and a user's word on one. To decide, `If-Match` names the version that was seen; to propose the same
//! thing again is answered with the block that stands for it.

use super::{Block, Versioned, versioned};
use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, IfMatch, StrictJson, if_match},
    route_table::{Access, Place, Route},
};
use axum::{
    extract::{Path, State},
    http::{Method, StatusCode},
};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    commands::blocks::{
        BlockCommand, BlockError, BlockProposal, BlockTime, Cause, decide_block, propose_block,
    },
    domain::{
        Actor, InboxItemId, Session,
        blocks::{BlockKind, BlockSource, MAX_TITLE, Span},
        session::Scope,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

pub(super) const JSON: &str = "application/json";

pub(super) fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::ScheduleWrite);
    let seen = |route: Route| {
        route
            .parameter::<String>(
                Place::Header,
                "If-Match",
                true,
                "The ETag of the block as you have seen it",
            )
            .answer::<Block>(200, "The block as it is now")
    };
    vec![
        Route::new(
            Method::POST,
            "/v1/schedule",
            "propose_block",
            access,
            propose,
        )
        .summary("Propose a block; the same thing twice is one block")
        .body::<NewBlock>(JSON)
        .answer::<Block>(201, "The block, proposed")
        .answer::<Block>(200, "The block that stands for it already"),
        seen(Route::new(
            Method::PATCH,
            "/v1/schedule/{id}",
            "patch_block",
            access,
            patch,
        ))
        .summary("Describe a proposed block anew, or give it another time")
        .body::<BlockPatch>(JSON),
        seen(Route::new(
            Method::POST,
            "/v1/schedule/{id}/accept",
            "accept_block",
            access,
            accept,
        ))
        .summary(
            "Agree to a block, if its time is free; the other plans of its set are superseded",
        ),
        seen(Route::new(
            Method::POST,
            "/v1/schedule/{id}/reject",
            "reject_block",
            access,
            reject,
        ))
        .summary("Decide against a block"),
    ]
}

/// A block to be proposed: from `start_at` to `end_at`, or for so many `minutes` in the next free working time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewScheduleBlock")]
struct NewBlock {
    /// At most 200 characters.
    #[schemars(length(min = 1, max = 200))]
    title: String,
    #[serde(default = "focus")]
    kind: BlockKind,
    /// What it is for; while a block for it is open there is no second.
    #[serde(default)]
    inbox_item_id: Option<InboxItemId>,
    #[serde(default)]
    start_at: Option<DateTime<Utc>>,
    #[serde(default)]
    end_at: Option<DateTime<Utc>>,
    #[serde(default)]
    #[schemars(range(min = 5, max = 480))]
    minutes: Option<i64>,
    /// One of several plans between which the user chooses.
    #[serde(default)]
    alternative: Option<Alternative>,
}

/// Which plan of which set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Alternative {
    alternatives_id: Uuid,
    /// At most 40 characters.
    #[schemars(length(min = 1, max = 40))]
    plan: String,
}

/// A change; what is left out stays. With a new start alone the block stays as long as it was.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ScheduleBlockPatch")]
struct BlockPatch {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    kind: Option<BlockKind>,
    #[serde(default)]
    start_at: Option<DateTime<Utc>>,
    #[serde(default)]
    end_at: Option<DateTime<Utc>>,
}

const fn focus() -> BlockKind {
    BlockKind::Focus
}

impl NewBlock {
    fn parse(self) -> Result<BlockProposal, ApiError> {
        let when = match (self.start_at, self.end_at, self.minutes) {
            (Some(start), Some(end), None) => {
                BlockTime::At(Span::new(start, end).map_err(|_| no_span())?)
            }
            (None, None, Some(asked)) => BlockTime::Next(minutes(asked)?),
            _ => {
                let message = "Give start_at and end_at, or minutes alone.";
                return Err(refusal("/start_at", message));
            }
        };
        let plan = self.alternative.map(|alternative| {
            line("/alternative/plan", &alternative.plan, 40)
                .map(|plan| (alternative.alternatives_id, plan))
        });
        Ok(BlockProposal {
            title: line("/title", &self.title, MAX_TITLE)?,
            kind: self.kind,
            source: BlockSource::User,
            inbox_item: self.inbox_item_id,
            plan: plan.transpose()?,
            when,
        })
    }
}

/// So much of a day as one may ask for.
pub(super) fn minutes(asked: i64) -> Result<TimeDelta, ApiError> {
    if (5..=480).contains(&asked) {
        Ok(TimeDelta::minutes(asked))
    } else {
        Err(refusal("/minutes", "From 5 to 480."))
    }
}

/// A line of text that is not blank.
fn line(pointer: &'static str, text: &str, max: usize) -> Result<String, ApiError> {
    let text = text.trim();
    let fits = (1..=max).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits {
        Ok(text.to_owned())
    } else {
        Err(refusal(pointer, "A line of text, not too long."))
    }
}

fn no_span() -> ApiError {
    refusal("/end_at", "After the start, by a day at most.")
}

fn refusal(pointer: &'static str, message: &'static str) -> ApiError {
    ApiError::new(
        Code::InvalidBody,
        "This makes no block: correct what is listed in `errors`.",
    )
    .at(pointer, "INVALID_VALUE", message)
}

async fn propose(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    StrictJson(body): StrictJson<NewBlock>,
) -> Result<(StatusCode, Versioned), ApiError> {
    let proposal = body.parse()?;
    let occasion = Cause {
        actor: Actor::User {
            user: session.user,
            session: Some(session.id),
        },
        request_id: Some(&context.request_id),
        at: app.clock.now(),
    };
    let mut tx = app.pool.begin().await?;
    let (block, new) =
        propose_block(&mut tx, session.tenant, session.user, proposal, occasion).await?;
    tx.commit().await?;
    let status = if new { success::CREATED } else { success::OK };
    Ok((status, versioned(block)))
}

async fn patch(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
    StrictJson(body): StrictJson<BlockPatch>,
) -> Result<Versioned, ApiError> {
    let title = body.title.map(|title| line("/title", &title, MAX_TITLE));
    let wish = BlockCommand::Change {
        title: title.transpose()?,
        kind: body.kind,
        start: body.start_at,
        end: body.end_at,
    };
    decide(&app, &session, &context, (&id, seen), wish).await
}

async fn accept(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
) -> Result<Versioned, ApiError> {
    decide(&app, &session, &context, (&id, seen), BlockCommand::Accept).await
}

async fn reject(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
) -> Result<Versioned, ApiError> {
    decide(&app, &session, &context, (&id, seen), BlockCommand::Reject).await
}

async fn decide(
    app: &App,
    session: &Session,
    context: &RequestContext,
    (id, IfMatch(version)): (&str, IfMatch),
    wish: BlockCommand,
) -> Result<Versioned, ApiError> {
    let id = id.parse().map_err(|_| ApiError::not_found())?;
    let (request_id, now) = (&context.request_id, app.clock.now());
    let block = decide_block(&app.pool, session, (id, version), wish, request_id, now).await?;
    Ok(versioned(block))
}

impl From<BlockError> for ApiError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::NotFound => Self::not_found(),
            BlockError::NoItem => refusal("/inbox_item_id", "No such item in your inbox."),
            BlockError::Settled(state) => Self::new(
                Code::Conflict,
                format!(
                    "The item is {}; it needs no time then.",
                    state.as_str().replace('_', " ")
                ),
            ),
            BlockError::Stale => if_match::stale(),
            BlockError::Refused(refused) => Self::new(
                Code::Conflict,
                format!(
                    "The block is {}; one cannot {} it then.",
                    refused.status,
                    refused.step.verb()
                ),
            ),
            BlockError::Taken => Self::new(
                Code::Conflict,
                "A block that you agreed to takes some of this time. Give this one another.",
            ),
            BlockError::NoRoom => Self::new(
                Code::Conflict,
                "No working time of the next two weeks is free for so long. Give a start and an end.",
            ),
            BlockError::NotASpan => no_span(),
            BlockError::Past => Self::new(
                Code::Conflict,
                "The block lies in the past. Give it another time.",
            ),
            BlockError::Database(source) => source.into(),
        }
    }
}
