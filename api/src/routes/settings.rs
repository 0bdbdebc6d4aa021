//! What a tenant's assistant may do without asking: `/v1/settings`.

use super::connections::stored_secrets;
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, StrictJson},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use jobs::{
    commands::settings::{PutSettingsError, put_settings},
    domain::{
        effect::UnknownSends,
        gate::TrustMode,
        llm::{OnOutage, OutagePolicy},
        session::Scope,
    },
    store::tenants::{self, Settings},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long a tenant may keep emails, in days.
const RETENTIONS: std::ops::RangeInclusive<i32> = 7..=3650;
/// How long questions to models may be kept, in days; none: they are not.
const CAPTURES: std::ops::RangeInclusive<i32> = 0..=14;
/// How long answers may be used again, in seconds.
const CACHE: std::ops::RangeInclusive<i32> = 60..=86_400;
/// The waits that a tenant may choose, in seconds.
const WAITS: std::ops::RangeInclusive<i32> = 1..=2_592_000;

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/settings",
            "get_settings",
            Access::Session(Scope::RulesRead),
            get,
        )
        .summary("Get the tenant's settings")
        .answer::<SettingsBody>(200, "The settings"),
        Route::new(
            Method::PUT,
            "/v1/settings",
            "put_settings",
            Access::Session(Scope::SettingsWrite),
            put,
        )
        .summary("Replace the tenant's settings")
        .fresh()
        .body::<NewSettings>("application/json")
        .answer::<SettingsBody>(
            200,
            "The settings; running attempts finish under the old ones",
        )
        .errors(&[Code::NotConfigured]),
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
    /// Whether another person than the one who asked for an action, or created the API key that did, must approve it.
    four_eyes: bool,
    /// Whether users need a second factor; those without one can only enrol one.
    require_second_factor: bool,
    /// Whether drafts of answers have the original email below their text.
    quote_original: bool,
    /// After so many days an email and what was made of it are deleted; null: they are kept.
    #[schemars(range(min = 7, max = 3650))]
    email_retention_days: Option<i32>,
    /// How long the answer of a language model is used again for the same question of the same day; null: never.
    #[schemars(range(min = 60, max = 86_400))]
    answer_cache_seconds: Option<i32>,
    /// So many days what language models are asked and answer is kept, sealed, for the owners to read; null: it is not.
    #[schemars(range(min = 1, max = 14))]
    prompt_capture_days: Option<i32>,
    on_outage: OnOutage,
    /// The longest time that an email waits for a language model that is unavailable.
    #[schemars(range(min = 1, max = 2_592_000))]
    triage_wait_seconds: i32,
    /// The longest time that a draft waits for a language model that is unavailable.
    #[schemars(range(min = 1, max = 2_592_000))]
    draft_wait_seconds: i32,
    /// With `fallback_after`: when an email is left to a person.
    #[schemars(range(min = 1, max = 2_592_000))]
    fallback_after_seconds: i32,
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
    /// Whether another person than the one who asked for an action must approve it; unchanged by default. Who created the
    /// API key that asked for it counts as having asked. Only owners and admins change it.
    #[serde(default)]
    four_eyes: Option<bool>,
    /// Whether users need a second factor, also those who are logged in; unchanged by default. Only owners and admins change
    /// it.
    #[serde(default)]
    require_second_factor: Option<bool>,
    /// Whether drafts of answers have the original email below their text; `false` by default.
    #[serde(default)]
    quote_original: bool,
    /// After so many days an email and what was made of it are deleted; by default they are kept.
    #[serde(default)]
    #[schemars(range(min = 7, max = 3650))]
    email_retention_days: Option<i32>,
    /// How long the answer of a language model is used again for the same question of the same day; by default never.
    #[serde(default)]
    #[schemars(range(min = 60, max = 86_400))]
    answer_cache_seconds: Option<i32>,
    /// So many days what language models are asked and answer is kept, sealed, for the owners to read; 0: it is not, and what
    /// was kept is deleted. Unchanged by default; only owners change it.
    #[serde(default)]
    #[schemars(range(min = 0, max = 14))]
    prompt_capture_days: Option<i32>,
    /// `wait` by default.
    #[serde(default = "wait")]
    on_outage: OnOutage,
    /// The longest time that an email waits for a language model that is unavailable; a day by default.
    #[serde(default = "a_day")]
    #[schemars(range(min = 1, max = 2_592_000))]
    triage_wait_seconds: i32,
    /// The longest time that a draft waits for a language model that is unavailable; three days by default.
    #[serde(default = "three_days")]
    #[schemars(range(min = 1, max = 2_592_000))]
    draft_wait_seconds: i32,
    /// With `fallback_after`: when an email is left to a person; an hour by default.
    #[serde(default = "an_hour")]
    #[schemars(range(min = 1, max = 2_592_000))]
    fallback_after_seconds: i32,
}

const fn ask() -> UnknownSends {
    UnknownSends::Ask
}

const fn wait() -> OnOutage {
    OnOutage::Wait
}

fn a_day() -> i32 {
    OutagePolicy::default().triage_wait
}

fn three_days() -> i32 {
    OutagePolicy::default().draft_wait
}

fn an_hour() -> i32 {
    OutagePolicy::default().fallback_after
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
    for (field, seconds) in [
        ("/triage_wait_seconds", body.triage_wait_seconds),
        ("/draft_wait_seconds", body.draft_wait_seconds),
        ("/fallback_after_seconds", body.fallback_after_seconds),
    ] {
        if !WAITS.contains(&seconds) {
            let detail = "Must be from 1 second to 30 days.";
            return Err(
                ApiError::new(Code::InvalidBody, "Use a wait of 1 to 2,592,000 seconds.").at(
                    field,
                    "OUT_OF_RANGE",
                    detail,
                ),
            );
        }
    }
    if body
        .email_retention_days
        .is_some_and(|days| !RETENTIONS.contains(&days))
    {
        return Err(
            ApiError::new(Code::InvalidBody, "Keep emails for 7 to 3,650 days.").at(
                "/email_retention_days",
                "OUT_OF_RANGE",
                "Must be from 7 to 3,650 days.",
            ),
        );
    }
    if body.require_second_factor == Some(true) {
        // Without keys nobody could enrol one, and all would be locked out.
        stored_secrets(&app)?;
    }
    if body
        .answer_cache_seconds
        .is_some_and(|seconds| !CACHE.contains(&seconds))
    {
        return Err(ApiError::new(
            Code::InvalidBody,
            "Use answers again for 60 to 86,400 seconds.",
        )
        .at(
            "/answer_cache_seconds",
            "OUT_OF_RANGE",
            "Must be from 60 seconds to a day.",
        ));
    }
    if let Some(days) = body.prompt_capture_days {
        if !CAPTURES.contains(&days) {
            let detail = "Must be from 0 to 14 days.";
            return Err(ApiError::new(
                Code::InvalidBody,
                "Keep questions to language models for 14 days at most.",
            )
            .at("/prompt_capture_days", "OUT_OF_RANGE", detail));
        }
        if days > 0 {
            stored_secrets(&app)?;
        }
    }
    let new = |present: Settings| Settings {
        trust_mode: body.trust_mode,
        sending_disabled: body.sending_disabled,
        unknown_sends: body.unknown_sends,
        four_eyes: body.four_eyes.unwrap_or(present.four_eyes),
        require_second_factor: body
            .require_second_factor
            .unwrap_or(present.require_second_factor),
        quote_original: body.quote_original,
        email_retention_days: body.email_retention_days,
        answer_cache_seconds: body.answer_cache_seconds,
        prompt_capture_days: match body.prompt_capture_days {
            None => present.prompt_capture_days,
            Some(days) => (days > 0).then_some(days),
        },
        outage: OutagePolicy {
            on_outage: body.on_outage,
            triage_wait: body.triage_wait_seconds,
            draft_wait: body.draft_wait_seconds,
            fallback_after: body.fallback_after_seconds,
        },
    };
    let settings = put_settings(&app.pool, &session, &context.request_id, new).await?;
    Ok(Json(settings.into()))
}

impl From<PutSettingsError> for ApiError {
    fn from(error: PutSettingsError) -> Self {
        match error {
            PutSettingsError::SecondFactor => Self::new(
                Code::Forbidden,
                "Only owners and admins change whether users need a second factor.",
            ),
            PutSettingsError::FourEyes => Self::new(
                Code::Forbidden,
                "Only owners and admins change whether another person must approve an action.",
            ),
            PutSettingsError::Captures => Self::new(
                Code::Forbidden,
                "Only owners change whether questions to language models are kept.",
            ),
            PutSettingsError::Database(error) => error.into(),
        }
    }
}

impl From<Settings> for SettingsBody {
    fn from(settings: Settings) -> Self {
        Self {
            trust_mode: settings.trust_mode,
            sending_disabled: settings.sending_disabled,
            unknown_sends: settings.unknown_sends,
            four_eyes: settings.four_eyes,
            require_second_factor: settings.require_second_factor,
            quote_original: settings.quote_original,
            email_retention_days: settings.email_retention_days,
            answer_cache_seconds: settings.answer_cache_seconds,
            prompt_capture_days: settings.prompt_capture_days,
            on_outage: settings.outage.on_outage,
            triage_wait_seconds: settings.outage.triage_wait,
            draft_wait_seconds: settings.outage.draft_wait,
            fallback_after_seconds: settings.outage.fallback_after,
        }
    }
}
