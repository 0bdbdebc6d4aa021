//! Reading the older email of a mailbox: `/v1/connections/{id}/backfill`.

use super::invalid;
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, Id, StrictJson},
    route_table::{Access, ResponseHeader, Route},
    routes::jobs::{JobBody, submit},
};
use axum::{extract::State, http::Method, response::Response};
use jobs::{
    commands::{
        jobs::submit_triage::Submitted,
        watches::backfill::{BackfillError, RequestBackfill, request},
    },
    domain::{
        ConnectionId,
        llm::urgency::Urgency,
        session::Scope,
        time::Moment,
        watch::{FolderName, Period},
    },
    kinds::backfill::{Args, Backfill, MAX_EMAILS, USUAL_EMAILS},
};
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/v1/connections/{id}/backfill",
            "backfill_connection",
            Access::Session(Scope::ConnectionsOwn),
            backfill,
        )
        .summary("Triage the older email of a folder")
        .description(
            "A job reads the folder, oldest email first, and enqueues the triage of each at the lowest priority. Email that \
             was read or submitted before is not triaged again. The job's output counts what it did.",
        )
        .body::<NewBackfill>("application/json")
        .answer::<JobBody>(202, "A new job")
        .headers(&[ResponseHeader::Location])
        .answer::<JobBody>(200, "The same job, which waits already")
        .headers(&[ResponseHeader::Location])
        .errors(&[Code::Conflict]),
    ]
}

/// What to read.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewBackfill {
    /// A name with `/` between its parts, or `\Sent`; the inbox by default.
    #[serde(default = "inbox")]
    #[schemars(with = "FolderName")]
    folder: String,
    /// Email that the server received before is left out.
    since: Moment,
    /// Email that the server received then or later is left out; none by default.
    #[serde(default)]
    #[schemars(with = "Moment")]
    until: Option<Moment>,
    /// The most emails to read; 1,000 by default.
    #[serde(default = "usual")]
    #[schemars(range(min = 1, max = 10_000))]
    limit: i64,
    /// Only counts the emails.
    #[serde(default)]
    dry_run: bool,
    /// How soon the models' answers about the emails are needed; `now` by default. What can wait may cost less.
    #[serde(default)]
    urgency: Urgency,
}

fn inbox() -> String {
    "INBOX".to_owned()
}

const fn usual() -> i64 {
    USUAL_EMAILS
}

async fn backfill(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<ConnectionId>,
    StrictJson(body): StrictJson<NewBackfill>,
) -> Result<Response, ApiError> {
    let command = RequestBackfill {
        session: &session,
        args: body.check(id)?,
        request_id: &context.request_id,
        traceparent: &context.traceparent,
    };
    let (view, how) = request(&app.pool, &app.notifier, &command).await?;
    submit::count::<Backfill>(&app, how);
    Ok(submit::respond(Submitted::new(
        submit::answer_of(&view, how),
        how,
    )))
}

impl NewBackfill {
    fn check(self, connection_id: ConnectionId) -> Result<Args, ApiError> {
        let folder = FolderName::parse(&self.folder).ok_or_else(|| {
            invalid(
                "/folder",
                "Use a folder name of 1 to 200 characters without control characters, quotes, `*`, `%` and `\\`, or `\\Sent`.",
            )
        })?;
        if self.until.is_some_and(|until| until <= self.since) {
            return Err(invalid("/until", "Use an `until` after `since`."));
        }
        if !(1..=MAX_EMAILS).contains(&self.limit) {
            return Err(invalid("/limit", "Use a limit of 1 to 10,000 emails."));
        }
        Ok(Args {
            connection_id,
            folder,
            period: Period {
                since: self.since.utc(),
                until: self.until.map(Moment::utc),
            },
            limit: self.limit,
            dry_run: self.dry_run,
            urgency: self.urgency,
        })
    }
}

impl From<BackfillError> for ApiError {
    fn from(error: BackfillError) -> Self {
        match error {
            BackfillError::NotFound => Self::not_found(),
            BackfillError::NoMailbox => Self::new(
                Code::Conflict,
                "This connection has no mailbox. Connect the account with `imap`.",
            ),
            BackfillError::Enqueue(source) => source.into(),
            BackfillError::Database(source) => source.into(),
        }
    }
}
