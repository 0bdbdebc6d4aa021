//! What a tenant's assistant may do without asking: `/v1/settings`.

use crate::{
    AppState,
    context::RequestContext,
    error::ApiError,
    extract::{CurrentSession, StrictJson},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use jobs::{
    commands::settings::put_settings,
    domain::{effect::UnknownSends, gate::TrustMode, session::Scope},
    store::tenants::{self, Settings},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/settings",
            "get_settings",
            Access::Session(Scope::RulesRead),
            get,
        )
        .summary("Get what the assistant may do without asking")
        .answer::<SettingsBody>(200, "The settings"),
        Route::new(
            Method::PUT,
            "/v1/settings",
            "put_settings",
            Access::Session(Scope::SettingsWrite),
            put,
        )
        .summary("Replace what the assistant may do without asking")
        .fresh()
        .body::<NewSettings>("application/json")
        .answer::<SettingsBody>(
            200,
            "The settings; running attempts finish under the old ones",
        ),
    ]
}

/// The settings of a tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Settings")]
struct SettingsBody {
    trust_mode: TrustMode,
    /// While set, nothing is sent: jobs wait and use up no attempts.
    sending_disabled: bool,
    unknown_sends: UnknownSends,
    /// Whether another person than the one who asked for an action must approve it.
    four_eyes: bool,
}

/// New settings, all of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewSettings {
    trust_mode: TrustMode,
    /// While set, nothing is sent: jobs wait and use up no attempts.
    sending_disabled: bool,
    /// `ask` by default.
    #[serde(default = "ask")]
    unknown_sends: UnknownSends,
    /// Whether another person than the one who asked for an action must approve it; `false` by default.
    #[serde(default)]
    four_eyes: bool,
}

const fn ask() -> UnknownSends {
    UnknownSends::Ask
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
) -> Result<Json<SettingsBody>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let settings = tenants::settings(&mut conn, session.tenant).await?;
    Ok(Json(settings.into()))
}

async fn put(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    StrictJson(body): StrictJson<NewSettings>,
) -> Result<Json<SettingsBody>, ApiError> {
    let settings = Settings {
        trust_mode: body.trust_mode,
        sending_disabled: body.sending_disabled,
        unknown_sends: body.unknown_sends,
        four_eyes: body.four_eyes,
    };
    put_settings(&app.pool, &session, settings, &context.request_id).await?;
    Ok(Json(settings.into()))
}

impl From<Settings> for SettingsBody {
    fn from(settings: Settings) -> Self {
        Self {
            trust_mode: settings.trust_mode,
            sending_disabled: settings.sending_disabled,
            unknown_sends: settings.unknown_sends,
            four_eyes: settings.four_eyes,
        }
    }
}
