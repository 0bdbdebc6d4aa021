//! The options of a submission beside the email: [`Options`], checked before anything is written.

use crate::error::{ApiError, Code};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use jobs::{
    commands::jobs::submit_triage::SubmitOptions,
    domain::{llm::urgency::Urgency, mail::Envelope, time::Moment},
    kinds::triage::Mode,
};
use queue::{Dedupe, DedupePolicy};
use schemars::JsonSchema;
use serde::Deserialize;

const MAX_DAYS_AHEAD: i64 = 366;
const DEFAULT_PRIORITY: i16 = 3;

/// 1 is the most urgent, 4 the least.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(rename = "JobPriority")]
pub(super) struct Priority(#[schemars(range(min = 1, max = 4))] i16);

/// What happens to a waiting job with the same dedupe key.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnDuplicate {
    /// It stays, and the response is that job.
    Keep,
    /// It is cancelled, and the new job waits.
    Replace,
    /// As `replace`, and running jobs are cancelled too.
    ReplaceAndCancel,
}

/// The options of a triage.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Options {
    /// Whether rules, the model or both decide; both by default.
    pub(super) mode: Mode,
    /// Decides and writes nothing but the job's output.
    pub(super) dry_run: bool,
    /// Triages again although the current rules have already triaged this email.
    pub(super) force: bool,
    /// How soon the model's answer is needed; `now` by default. What can wait may cost less.
    pub(super) urgency: Urgency,
    /// Your name for this work, without control characters: the same name with the same email and mode is the same job.
    #[schemars(length(min = 1, max = 255))]
    pub(super) external_id: Option<String>,
    /// 1 is the most urgent, 4 the least; 3 by default.
    priority: Option<Priority>,
    /// The earliest start, at most a year from now.
    run_at: Option<Moment>,
    /// At most one job with this key waits at a time. A job for the same external id or email is returned all the same.
    #[schemars(length(min = 1, max = 255))]
    dedupe_key: Option<String>,
    /// What happens to a waiting job with the same dedupe key; `keep` by default. Needs a dedupe key.
    on_duplicate: Option<OnDuplicate>,
}

/// An email that the caller has parsed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SubmitTriage", extend("dependentRequired" = { "on_duplicate": ["dedupe_key"] }))]
pub(super) struct TriageBody {
    pub(super) message: Envelope,
    /// Whether rules, the model or both decide.
    #[serde(default)]
    mode: Mode,
    /// Decides and writes nothing but the job's output.
    #[serde(default)]
    dry_run: bool,
    /// Triages again although the current rules have already triaged this email.
    #[serde(default)]
    force: bool,
    /// How soon the model's answer is needed; `now` by default. What can wait may cost less.
    #[serde(default)]
    urgency: Urgency,
    /// Your name for this work, without control characters: the same name with the same email and mode is the same job.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255))]
    external_id: Option<String>,
    /// 3 by default.
    #[serde(default)]
    priority: Option<Priority>,
    /// The earliest start, at most a year from now.
    #[serde(default)]
    run_at: Option<Moment>,
    /// At most one job with this key waits at a time. A job for the same external id or email is returned all the same.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255))]
    dedupe_key: Option<String>,
    /// `keep` by default. Needs a dedupe key.
    #[serde(default)]
    on_duplicate: Option<OnDuplicate>,
}

impl TriageBody {
    pub(super) fn options(&self) -> Options {
        Options {
            mode: self.mode,
            dry_run: self.dry_run,
            force: self.force,
            urgency: self.urgency,
            external_id: self.external_id.clone(),
            priority: self.priority,
            run_at: self.run_at,
            dedupe_key: self.dedupe_key.clone(),
            on_duplicate: self.on_duplicate,
        }
    }
}

impl Options {
    /// Checks what the types do not, except what depends on the time.
    ///
    /// # Errors
    /// 422 with a pointer to the first fault.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        if self.external_id.as_deref().is_some_and(|id| !is_name(id)) {
            return Err(invalid(
                "/external_id",
                "Use an external_id of 1 to 255 characters without control characters.",
            ));
        }
        if self.dedupe_key.as_deref().is_some_and(|key| !is_name(key)) {
            return Err(invalid(
                "/dedupe_key",
                "Use a dedupe_key of 1 to 255 characters without control characters.",
            ));
        }
        if self.on_duplicate.is_some() && self.dedupe_key.is_none() {
            return Err(invalid(
                "/on_duplicate",
                "Send `on_duplicate` only together with `dedupe_key`.",
            ));
        }
        priority(self.priority).map(drop)
    }

    /// # Errors
    /// 422 if the time is too far ahead.
    pub(super) fn place(&self, now: DateTime<Utc>) -> Result<SubmitOptions, ApiError> {
        let policy = match self.on_duplicate {
            None | Some(OnDuplicate::Keep) => DedupePolicy::KeepWaiting,
            Some(OnDuplicate::Replace) => DedupePolicy::Replace {
                cancel_running: false,
            },
            Some(OnDuplicate::ReplaceAndCancel) => DedupePolicy::Replace {
                cancel_running: true,
            },
        };
        Ok(SubmitOptions {
            priority: priority(self.priority)?,
            run_at: run_at(self.run_at, now)?,
            dedupe: self.dedupe_key.clone().map(|key| Dedupe { key, policy }),
        })
    }
}

/// # Errors
/// 422 if it is out of range.
pub(super) fn priority(given: Option<Priority>) -> Result<i16, ApiError> {
    let priority = given.map_or(DEFAULT_PRIORITY, |it| it.0);
    if (1..=4).contains(&priority) {
        return Ok(priority);
    }
    Err(invalid(
        "/priority",
        "Use a priority from 1, the most urgent, to 4.",
    ))
}

/// Treats a past time as now: it would otherwise jump the queue. Postgres stores microseconds.
///
/// # Errors
/// 422 if the time is too far ahead.
pub(super) fn run_at(
    given: Option<Moment>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, ApiError> {
    let given = given.map(Moment::utc);
    if given.is_some_and(|run_at| run_at - now > TimeDelta::days(MAX_DAYS_AHEAD)) {
        return Err(invalid("/run_at", "Use a run_at within the next year."));
    }
    Ok(given
        .filter(|run_at| *run_at > now)
        .map(|run_at| run_at.trunc_subsecs(6)))
}

pub(super) fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

pub(super) fn invalid(pointer: &'static str, detail: &'static str) -> ApiError {
    ApiError::new(Code::InvalidBody, detail).at(pointer, "INVALID_VALUE", detail)
}
