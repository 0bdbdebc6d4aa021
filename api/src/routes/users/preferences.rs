//! Your own preferences over HTTP: `/v1/users/me/preferences`.

use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, StrictJson},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use chrono::NaiveTime;
use jobs::{
    commands::users::preferences::put_preferences,
    domain::{
        draft::send_at::is_zone,
        follow_up::{DAYS, Reminder},
        session::Scope,
    },
    store::preferences::{self, Preferences},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const PATH: &str = "/v1/users/me/preferences";

pub(super) fn routes() -> Vec<Route> {
    let own = Access::Session(Scope::OwnSessions);
    vec![
        Route::new(Method::GET, PATH, "get_preferences", own, get)
            .summary("Get your preferences: time zone, follow-ups, digest")
            .answer::<PreferencesBody>(200, "Your preferences"),
        Route::new(Method::PUT, PATH, "put_preferences", own, put)
            .summary("Replace your preferences")
            .refused_while_paused()
            .body::<NewPreferences>("application/json")
            .answer::<PreferencesBody>(200, "Your preferences"),
    ]
}

/// A user's own preferences.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Preferences")]
struct PreferencesBody {
    /// An IANA name.
    timezone: String,
    /// After so many days without an answer you are reminded of an email that you sent; null: never.
    #[schemars(range(min = 1, max = 90))]
    follow_up_days: Option<i16>,
    /// How you are reminded.
    follow_up: Reminder,
    /// When your digest comes, as `07:30` in your time zone; null: never.
    digest_at: Option<String>,
    /// Whether the digest is sent to your oldest email account too.
    digest_by_email: bool,
}

/// New preferences, all of them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewPreferences {
    /// An IANA name, such as `Europe/Berlin`.
    timezone: String,
    /// After so many days without an answer you are reminded of an email that you sent and that asks something; by default
    /// never.
    #[serde(default)]
    #[schemars(range(min = 1, max = 90))]
    follow_up_days: Option<i16>,
    /// `item` by default.
    #[serde(default = "item")]
    follow_up: Reminder,
    /// When your digest comes, as `07:30` in your time zone; by default never.
    #[serde(default)]
    #[schemars(regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    digest_at: Option<String>,
    /// Whether the digest is sent to your oldest email account too; `false` by default.
    #[serde(default)]
    digest_by_email: bool,
}

const fn item() -> Reminder {
    Reminder::Item
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
) -> Result<Json<PreferencesBody>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let found = preferences::find(&mut conn, session.tenant, session.user).await?;
    Ok(Json(found.into()))
}

async fn put(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    StrictJson(body): StrictJson<NewPreferences>,
) -> Result<Json<PreferencesBody>, ApiError> {
    let preferences = parse(body)?;
    let now = app.clock.now();
    put_preferences(&app.pool, &session, &preferences, now, &context.request_id).await?;
    Ok(Json(preferences.into()))
}

fn parse(body: NewPreferences) -> Result<Preferences, ApiError> {
    if !is_zone(&body.timezone) {
        return Err(invalid(
            "/timezone",
            "Use the IANA name of a time zone, such as Europe/Berlin.",
        ));
    }
    if body
        .follow_up_days
        .is_some_and(|days| !DAYS.contains(&days))
    {
        return Err(invalid("/follow_up_days", "Use 1 to 90 days."));
    }
    let time = |text: &str| {
        // chrono also accepts one digit.
        let time = NaiveTime::parse_from_str(text, "%H:%M").ok();
        time.filter(|_| text.len() == 5)
            .ok_or_else(|| invalid("/digest_at", "Use a time of day, such as 07:30."))
    };
    Ok(Preferences {
        digest_at: body.digest_at.as_deref().map(time).transpose()?,
        timezone: body.timezone,
        follow_up_days: body.follow_up_days,
        follow_up: body.follow_up,
        digest_by_email: body.digest_by_email,
    })
}

fn invalid(pointer: &str, message: &'static str) -> ApiError {
    ApiError::new(Code::InvalidBody, message).at(pointer, "INVALID_VALUE", message)
}

impl From<Preferences> for PreferencesBody {
    fn from(preferences: Preferences) -> Self {
        Self {
            timezone: preferences.timezone,
            follow_up_days: preferences.follow_up_days,
            follow_up: preferences.follow_up,
            digest_at: preferences
                .digest_at
                .map(|at| at.format("%H:%M").to_string()),
            digest_by_email: preferences.digest_by_email,
        }
    }
}
