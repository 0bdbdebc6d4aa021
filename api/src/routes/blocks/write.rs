//! Proposing a block, and a user's word on one. To decide, `If-Match` names the version that was seen; to propose the same
//! thing again is answered with the block that stands for it.

use super::Block;
use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    etag::Versioned,
    extract::{CurrentSession, Id, IfMatch, StrictJson, if_match},
    route_table::{Access, Route},
};
use axum::{
    extract::State,
    http::{Method, StatusCode},
};
use chrono::TimeDelta;
use jobs::{
    commands::blocks::{
        BlockCommand, BlockError, BlockProposal, BlockTime, Cause, decide_block, propose_block,
    },
    domain::{
        Actor, BlockId, InboxItemId, Session,
        blocks::{BlockKind, BlockSource, MAX_TITLE, Span},
        session::Scope,
        time::Moment,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

pub(super) const JSON: &str = "application/json";

pub(super) fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::BlocksWrite);
    let seen = |route: Route| {
        route
            .if_match()
            .versioned::<Block>(200, "The block as it is now")
            .errors(&[Code::Conflict, Code::InvalidBody])
    };
    vec![
        Route::new(Method::POST, "/v1/blocks", "propose_block", access, propose)
            .summary("Propose a block. Idempotent")
            .body::<NewBlock>(JSON)
            .versioned::<Block>(201, "The proposed block")
            .versioned::<Block>(200, "The block that already exists for it")
            .errors(&[Code::Conflict]),
        seen(Route::new(
            Method::PATCH,
            "/v1/blocks/{id}",
            "patch_block",
            access,
            patch,
        ))
        .summary("Change a proposed block's content or time")
        .body::<BlockPatch>(JSON),
        seen(Route::new(
            Method::POST,
            "/v1/blocks/{id}/accept",
            "accept_block",
            access,
            accept,
        ))
        .summary("Accept a block, if its time is free, and supersede the other plans of its set"),
        seen(Route::new(
            Method::POST,
            "/v1/blocks/{id}/reject",
            "reject_block",
            access,
            reject,
        ))
        .summary("Reject a block"),
    ]
}

/// A block to propose: from `start_at` to `end_at`, or `minutes` long in the next free working time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "NewBlock",
    extend("oneOf" = [
        { "required": ["start_at", "end_at"], "properties": { "minutes": false } },
        { "required": ["minutes"], "properties": { "start_at": false, "end_at": false } },
    ])
)]
struct NewBlock {
    /// At most 200 characters.
    #[schemars(length(min = 1, max = 200))]
    title: String,
    #[serde(default = "focus")]
    kind: BlockKind,
    /// The inbox item that it is for. An item has one open block at a time.
    #[serde(default)]
    inbox_item_id: Option<InboxItemId>,
    #[serde(default)]
    #[schemars(with = "Moment")]
    start_at: Option<Moment>,
    #[serde(default)]
    #[schemars(with = "Moment")]
    end_at: Option<Moment>,
    #[serde(default)]
    #[schemars(with = "i64", range(min = 5, max = 480))]
    minutes: Option<i64>,
    /// Set for one of several plans between which the user chooses.
    #[serde(default)]
    alternative: Option<Alternative>,
}

/// A plan and the set that it belongs to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Alternative {
    alternatives_id: Uuid,
    /// At most 40 characters.
    #[schemars(length(min = 1, max = 40))]
    plan: String,
}

/// A change. Fields that are left out keep their values; with a new start alone the block keeps its length.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BlockPatch")]
struct BlockPatch {
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    title: Option<String>,
    #[serde(default)]
    kind: Option<BlockKind>,
    #[serde(default)]
    start_at: Option<Moment>,
    #[serde(default)]
    end_at: Option<Moment>,
}

const fn focus() -> BlockKind {
    BlockKind::Focus
}

impl NewBlock {
    fn parse(self) -> Result<BlockProposal, ApiError> {
        let when = match (self.start_at, self.end_at, self.minutes) {
            (Some(start), Some(end), None) => {
                BlockTime::At(Span::new(start.utc(), end.utc()).map_err(|_| no_span())?)
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
        Err(refusal("/minutes", "Must be 5 to 480 minutes."))
    }
}

/// A line of text that is not blank.
fn line(pointer: &'static str, text: &str, max: usize) -> Result<String, ApiError> {
    let text = text.trim();
    let fits = (1..=max).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits {
        Ok(text.to_owned())
    } else {
        let message = format!("Must be one line of 1 to {max} characters.");
        Err(refusal(pointer, message))
    }
}

fn no_span() -> ApiError {
    refusal("/end_at", "Must be after `start_at`, by at most one day.")
}

fn refusal(pointer: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::new(
        Code::InvalidBody,
        "The block was not stored. Correct the fields that `errors` lists.",
    )
    .at(pointer, "INVALID_VALUE", message)
}

async fn propose(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    StrictJson(body): StrictJson<NewBlock>,
) -> Result<(StatusCode, Versioned<Block>), ApiError> {
    let proposal = body.parse()?;
    let cause = Cause {
        actor: Actor::User {
            user: session.user,
            session: Some(session.id),
        },
        request_id: Some(&context.request_id),
        client_request_id: session.client_request_id.as_deref(),
        at: app.clock.now(),
    };
    let mut tx = app.pool.begin().await?;
    let (block, new) =
        propose_block(&mut tx, session.tenant, session.user, proposal, cause).await?;
    tx.commit().await?;
    let status = if new { success::CREATED } else { success::OK };
    Ok((status, Versioned(block.into())))
}

async fn patch(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<BlockId>,
    seen: IfMatch,
    StrictJson(body): StrictJson<BlockPatch>,
) -> Result<Versioned<Block>, ApiError> {
    let title = body.title.map(|title| line("/title", &title, MAX_TITLE));
    let command = BlockCommand::Change {
        title: title.transpose()?,
        kind: body.kind,
        start: body.start_at.map(Moment::utc),
        end: body.end_at.map(Moment::utc),
    };
    decide(&app, &session, &context, (id, seen), command).await
}

async fn accept(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<BlockId>,
    seen: IfMatch,
) -> Result<Versioned<Block>, ApiError> {
    decide(&app, &session, &context, (id, seen), BlockCommand::Accept).await
}

async fn reject(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<BlockId>,
    seen: IfMatch,
) -> Result<Versioned<Block>, ApiError> {
    decide(&app, &session, &context, (id, seen), BlockCommand::Reject).await
}

async fn decide(
    app: &App,
    session: &Session,
    context: &RequestContext,
    (id, IfMatch(seen)): (BlockId, IfMatch),
    command: BlockCommand,
) -> Result<Versioned<Block>, ApiError> {
    let (request_id, now) = (&context.request_id, app.clock.now());
    let block = decide_block(&app.pool, session, (id, &seen), command, request_id, now).await?;
    Ok(Versioned(block.into()))
}

impl From<BlockError> for ApiError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::NotFound => Self::not_found(),
            BlockError::NoItem => refusal("/inbox_item_id", "There is no such item in your inbox."),
            BlockError::Settled(state) => Self::new(
                Code::Conflict,
                format!(
                    "The inbox item is {}: it needs no block.",
                    state.as_str().replace('_', " ")
                ),
            ),
            BlockError::Stale => if_match::stale(),
            BlockError::Refused(refused) => Self::new(
                Code::Conflict,
                format!(
                    "The block is {}: you cannot {} it.",
                    refused.status,
                    refused.step.verb()
                ),
            ),
            BlockError::Taken => Self::new(
                Code::Conflict,
                "An accepted block overlaps this time. Choose another time.",
            ),
            BlockError::NoRoom => Self::new(
                Code::Conflict,
                "No free working time of this length in the next two weeks. Give `start_at` and `end_at`.",
            ),
            BlockError::NotASpan => no_span(),
            BlockError::Past => Self::new(
                Code::Conflict,
                "The block is in the past. Choose another time.",
            ),
            BlockError::Database(source) => source.into(),
        }
    }
}
