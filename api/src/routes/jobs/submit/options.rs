//! What may be asked of a submission beside the mail: [`Options`], checked before anything is written.

use crate::error::{ApiError, Code};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use jobs::{
    commands::jobs::submit_triage::SubmitOptions, domain::mail::Envelope, kinds::triage::Mode,
};
use queue::{Dedupe, DedupePolicy};
use schemars::JsonSchema;
use serde::Deserialize;

const FURTHEST_DAYS: i64 = 366;
const DEFAULT_PRIORITY: i16 = 3;

/// 1 is the most urgent, 4 the least.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Priority(#[schemars(range(min = 1, max = 4))] i16);

/// What becomes of a waiting job with the same dedupe key.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnDuplicate {
    /// It stays, and is the answer.
    Keep,
    /// It is cancelled, and the new job waits.
    Replace,
    /// As `replace`, and running ones are asked to stop.
    ReplaceAndCancel,
}

/// What is asked of the triage, beside the mail.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Options {
    pub(super) mode: Mode,
    pub(super) dry_run: bool,
    pub(super) force: bool,
    pub(super) external_id: Option<String>,
    priority: Option<Priority>,
    run_at: Option<DateTime<Utc>>,
    dedupe_key: Option<String>,
    on_duplicate: Option<OnDuplicate>,
}

/// A mail that was taken apart by the caller.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TriageBody {
    pub(super) message: Envelope,
    /// Which means may decide.
    #[serde(default)]
    mode: Mode,
    /// Decide, and write nothing but the job's output.
    #[serde(default)]
    dry_run: bool,
    /// Judge again although this mail was judged by the present rules.
    #[serde(default)]
    force: bool,
    /// Your name for this work, 1 to 255 characters: the same name with the same mail and mode is the same job.
    #[serde(default)]
    external_id: Option<String>,
    /// 3 if it is left out.
    #[serde(default)]
    priority: Option<Priority>,
    /// Not before then, at most a year from now.
    #[serde(default)]
    run_at: Option<DateTime<Utc>>,
    /// Your name for a place in line, 1 to 255 characters: of the jobs with one key at most one waits. Work that an
    /// external id names, or that was done for this very mail, is answered with its job all the same.
    #[serde(default)]
    dedupe_key: Option<String>,
    /// `keep` if it is left out.
    #[serde(default)]
    on_duplicate: Option<OnDuplicate>,
}

impl TriageBody {
    pub(super) fn options(&self) -> Options {
        Options {
            mode: self.mode,
            dry_run: self.dry_run,
            force: self.force,
            external_id: self.external_id.clone(),
            priority: self.priority,
            run_at: self.run_at,
            dedupe_key: self.dedupe_key.clone(),
            on_duplicate: self.on_duplicate,
        }
    }
}

impl Options {
    /// What the types cannot say, as far as it does not depend on the time.
    ///
    /// # Errors
    /// 422 with a pointer to the first fault.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        if self.external_id.as_deref().is_some_and(|id| !is_name(id)) {
            return Err(invalid(
                "/external_id",
                "Use an external_id of 1 to 255 characters, none of them a control character.",
            ));
        }
        if self.dedupe_key.as_deref().is_some_and(|key| !is_name(key)) {
            return Err(invalid(
                "/dedupe_key",
                "Use a dedupe_key of 1 to 255 characters, none of them a control character.",
            ));
        }
        if self.on_duplicate.is_some() && self.dedupe_key.is_none() {
            return Err(invalid(
                "/on_duplicate",
                "Send on_duplicate together with a dedupe_key only.",
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
/// 422 if there is no such priority.
pub(super) fn priority(asked: Option<Priority>) -> Result<i16, ApiError> {
    let priority = asked.map_or(DEFAULT_PRIORITY, |it| it.0);
    if (1..=4).contains(&priority) {
        return Ok(priority);
    }
    Err(invalid(
        "/priority",
        "Use a priority from 1, the most urgent, to 4.",
    ))
}

/// A time that has passed is now, or it would be a way to the head of the line. Postgres keeps microseconds.
///
/// # Errors
/// 422 if the time is too far ahead.
pub(super) fn run_at(
    asked: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, ApiError> {
    if asked.is_some_and(|run_at| run_at - now > TimeDelta::days(FURTHEST_DAYS)) {
        return Err(invalid("/run_at", "Use a run_at at most a year from now."));
    }
    Ok(asked
        .filter(|run_at| *run_at > now)
        .map(|run_at| run_at.trunc_subsecs(6)))
}

pub(super) fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

pub(super) fn invalid(pointer: &'static str, detail: &'static str) -> ApiError {
    ApiError::new(Code::InvalidBody, detail).at(
        pointer,
        "INVALID_VALUE",
        "The value does not fit this field.",
    )
}
