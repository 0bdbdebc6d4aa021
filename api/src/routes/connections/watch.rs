//! The watch of a mailbox: `/v1/connections/{id}/watch`. Workers read new emails of the watched folders and triage them.

use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, Id, StrictJson},
    route_table::{Access, Route},
};
use axum::{
    Json,
    extract::State,
    http::{Method, StatusCode},
};
use chrono::{DateTime, Utc};
use jobs::{
    commands::watches::{self, Watch, WatchError},
    domain::{
        ConnectionId,
        session::Scope,
        time::Moment,
        watch::{FolderName, MAX_FOLDERS, WatchStatus},
    },
    store::watches::folders::StoredFolder,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const PATH: &str = "/v1/connections/{id}/watch";

pub(super) fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::ConnectionsOwn);
    vec![
        Route::new(Method::GET, PATH, "get_watch", access, get)
            .summary("Get the watch of a mailbox, with the state of each folder")
            .answer::<WatchBody>(200, "The watch")
            .errors(&[Code::Conflict]),
        Route::new(Method::PUT, PATH, "put_watch", access, put)
            .summary("Watch a mailbox")
            .description(
                "New emails of these folders are read and triaged, each once. Nothing is changed in the mailbox. Replaces \
                 an earlier watch; folders that stay keep their place.",
            )
            .body::<NewWatch>("application/json")
            .answer::<WatchBody>(200, "The watch")
            .errors(&[Code::Conflict]),
        Route::new(Method::DELETE, PATH, "delete_watch", access, delete)
            .summary("Stop watching a mailbox")
            .empty_answer(204, "The mailbox is no longer watched")
            .errors(&[Code::Conflict]),
    ]
}

/// A watched mailbox.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Watch")]
struct WatchBody {
    status: WatchStatus,
    /// Emails that the server received before are not read.
    since: DateTime<Utc>,
    /// The code of the last failure; null after a check that succeeded.
    last_error: Option<String>,
    /// The latest time of the next check.
    next_check_at: DateTime<Utc>,
    folders: Vec<WatchedFolder>,
    created_at: DateTime<Utc>,
}

/// A watched folder.
#[derive(Serialize, JsonSchema)]
struct WatchedFolder {
    folder: FolderName,
    /// The last check that found nothing more to read; null before the first.
    checked_at: Option<DateTime<Utc>>,
    /// When an email was last read.
    last_email_at: Option<DateTime<Utc>>,
    /// Emails that were read for the first time.
    #[schemars(range(min = 0))]
    emails: i64,
    /// Emails that were too large or could not be read.
    #[schemars(range(min = 0))]
    skipped: i64,
    /// The code of this folder's failure, such as `folder_missing`.
    last_error: Option<String>,
    /// The server's `UIDVALIDITY`; UIDs up to `last_uid` were read under it.
    #[schemars(range(min = 0))]
    uid_validity: Option<u32>,
    #[schemars(range(min = 0))]
    last_uid: u32,
}

/// The folders to watch.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewWatch {
    /// Names with `/` between their parts; `\Sent` is the folder of sent mail, whatever its name: what its user sends with
    /// another program makes waiting drafts unnecessary. The inbox and `\Sent` by default.
    #[serde(default = "usual")]
    #[schemars(with = "Vec<FolderName>", length(min = 1, max = 200))]
    folders: Vec<String>,
    /// Emails that the server received before are not read; now by default.
    #[serde(default)]
    #[schemars(with = "Moment")]
    since: Option<Moment>,
}

fn usual() -> Vec<String> {
    vec!["INBOX".to_owned(), jobs::domain::watch::SENT.to_owned()]
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<ConnectionId>,
) -> Result<Json<WatchBody>, ApiError> {
    let watch = watches::get(&app.pool, &session, id).await?;
    Ok(Json(watch.into()))
}

async fn put(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<ConnectionId>,
    StrictJson(body): StrictJson<NewWatch>,
) -> Result<Json<WatchBody>, ApiError> {
    let folders = checked(&body.folders)?;
    let since = body.since.map_or_else(|| app.clock.now(), Moment::utc);
    let watched = (&folders[..], since);
    let watch = watches::set(&app.pool, &session, id, watched, &context.request_id).await?;
    Ok(Json(watch.into()))
}

async fn delete(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<ConnectionId>,
) -> Result<StatusCode, ApiError> {
    watches::end(&app.pool, &session, id, &context.request_id).await?;
    Ok(success::NO_CONTENT)
}

/// Parses the names, each once.
fn checked(names: &[String]) -> Result<Vec<FolderName>, ApiError> {
    let invalid = |detail: &str| {
        ApiError::new(Code::InvalidBody, detail.to_owned()).at("/folders", "INVALID_VALUE", detail)
    };
    if names.is_empty() || names.len() > MAX_FOLDERS {
        return Err(invalid("Name 1 to 200 folders."));
    }
    let mut folders = Vec::with_capacity(names.len());
    for name in names {
        let folder = FolderName::parse(name).ok_or_else(|| {
            invalid(
                "Use folder names of 1 to 200 characters without control characters, quotes, `*`, `%` and `\\`, or `\\Sent`.",
            )
        })?;
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    Ok(folders)
}

impl From<Watch> for WatchBody {
    fn from(watch: Watch) -> Self {
        Self {
            status: watch.status,
            since: watch.watch.since,
            last_error: watch.watch.last_error,
            next_check_at: watch.watch.next_check_at,
            folders: watch.folders.into_iter().map(Into::into).collect(),
            created_at: watch.watch.created_at,
        }
    }
}

impl From<StoredFolder> for WatchedFolder {
    fn from(stored: StoredFolder) -> Self {
        Self {
            folder: stored.folder,
            checked_at: stored.checked_at,
            last_email_at: stored.last_email_at,
            emails: stored.emails,
            skipped: stored.skipped,
            last_error: stored.last_error,
            uid_validity: stored.cursor.uid_validity,
            last_uid: stored.cursor.last_uid,
        }
    }
}

impl From<WatchError> for ApiError {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::NotFound => Self::not_found(),
            WatchError::NoMailbox => Self::new(
                Code::Conflict,
                "This connection has no mailbox. Connect the account with `imap`.",
            ),
            WatchError::Database(source) => source.into(),
        }
    }
}
