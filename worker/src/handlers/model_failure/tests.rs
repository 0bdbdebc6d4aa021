//! Every class of failure with what it means for lane and job, and the bounds of the waits.

use super::*;
use effects::{Subject, lane_effect};
use jobs::domain::llm::LaneEffect;
use llm::{InvalidReason, error::RetryAfter};

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn wait_of(seconds: u64) -> RetryAfter {
    let delay = Duration::from_secs(seconds);
    RetryAfter {
        delay,
        at: now() + delay,
    }
}

fn quota(seconds: i64) -> LlmError {
    LlmError::QuotaExhausted {
        code: "insufficient_quota",
        until: now() + TimeDelta::seconds(seconds),
    }
}

#[test]
fn each_failure_has_its_effect_on_lane_and_job() {
    let at = |seconds| now() + TimeDelta::seconds(seconds);
    let transient = |retry_after| LlmError::Transient {
        status: 503,
        retry_after,
    };
    let limited = |retry_after| LlmError::RateLimited { retry_after };
    let invalid = || LlmError::InvalidReply { what: "no choices" };
    let bad = || LlmError::BadRequest {
        status: 404,
        code: "model_not_found",
    };
    let timeout = || LlmError::Timeout {
        after: Duration::from_secs(60),
    };
    let connect = || LlmError::Connect {
        was_sent: false,
        source: "refused".into(),
    };
    let open = NotAdmitted::LaneOpen {
        reason: "auth",
        until: at(7),
    };
    let over = NotAdmitted::OverBudget { until: at(9) };
    use JobEffect as Job;
    use LaneEffect as Lane;
    for (error, is_billed, subject, lane, job) in [
        (
            transient(None),
            false,
            Subject::Provider,
            Lane::Counts,
            Job::Wait,
        ),
        (
            transient(Some(wait_of(30))),
            false,
            Subject::Provider,
            Lane::OpensUntil(at(30)),
            Job::WaitUntil(at(30)),
        ),
        (
            limited(None),
            false,
            Subject::Provider,
            Lane::Counts,
            Job::Wait,
        ),
        (
            limited(Some(wait_of(30))),
            false,
            Subject::Provider,
            Lane::OpensUntil(at(30)),
            Job::WaitUntil(at(30)),
        ),
        (
            quota(301),
            false,
            Subject::Provider,
            Lane::OpensUntil(at(301)),
            Job::WaitUntil(at(301)),
        ),
        (
            LlmError::Auth { status: 401 },
            false,
            Subject::Provider,
            Lane::Stops,
            Job::WaitForLane(now()),
        ),
        (
            bad(),
            false,
            Subject::Provider,
            Lane::Stops,
            Job::WaitForLane(now()),
        ),
        (bad(), false, Subject::Job, Lane::Nothing, Job::Unanswerable),
        (
            LlmError::Auth { status: 403 },
            false,
            Subject::Job,
            Lane::Nothing,
            Job::Unanswerable,
        ),
        (
            LlmError::DoNotRetry { status: 500 },
            false,
            Subject::Provider,
            Lane::Counts,
            Job::Wait,
        ),
        (timeout(), false, Subject::Provider, Lane::Counts, Job::Wait),
        (connect(), false, Subject::Provider, Lane::Counts, Job::Wait),
        (invalid(), false, Subject::Provider, Lane::Counts, Job::Wait),
        (
            invalid(),
            true,
            Subject::Provider,
            Lane::Nothing,
            Job::AskAgain,
        ),
        (
            LlmError::ContextTooLong { status: 400 },
            false,
            Subject::Provider,
            Lane::Nothing,
            Job::Unanswerable,
        ),
        (
            LlmError::Refused { reason: "refusal" },
            true,
            Subject::Provider,
            Lane::Nothing,
            Job::Unanswerable,
        ),
        (
            LlmError::Truncated {
                max_output_tokens: 9,
            },
            true,
            Subject::Provider,
            Lane::Nothing,
            Job::Unanswerable,
        ),
        (
            LlmError::ReplyTooLarge { limit: 9 },
            false,
            Subject::Provider,
            Lane::Nothing,
            Job::Unanswerable,
        ),
        (
            LlmError::InvalidOutput {
                reason: InvalidReason::Json,
            },
            true,
            Subject::Provider,
            Lane::Nothing,
            Job::AskAgain,
        ),
        (
            LlmError::UnknownFixture { task: "triage" },
            false,
            Subject::Provider,
            Lane::Nothing,
            Job::Misconfigured,
        ),
        (
            LlmError::Cancelled,
            false,
            Subject::Provider,
            Lane::Nothing,
            Job::HandBack,
        ),
        (
            LlmError::NotAdmitted(NotAdmitted::LeaseLost),
            false,
            Subject::Provider,
            Lane::Nothing,
            Job::HandBack,
        ),
        (
            LlmError::NotAdmitted(open),
            false,
            Subject::Provider,
            Lane::Nothing,
            Job::WaitForLane(at(7)),
        ),
        (
            LlmError::NotAdmitted(over),
            false,
            Subject::Provider,
            Lane::Nothing,
            Job::WaitUntil(at(9)),
        ),
        (
            LlmError::NotAdmitted(NotAdmitted::RateReached { until: at(11) }),
            false,
            Subject::Provider,
            Lane::Nothing,
            Job::WaitForTurn(at(11)),
        ),
        (
            LlmError::Ledger {
                source: "down".into(),
            },
            false,
            Subject::Provider,
            Lane::Nothing,
            Job::OurFault,
        ),
    ] {
        assert_eq!(lane_effect(&error, is_billed, subject), lane, "{error}");
        assert_eq!(
            job_effect(&error, is_billed, subject, now()),
            job,
            "{error}"
        );
    }
}

#[test]
fn waits_respect_the_lane_and_the_time_that_was_named() {
    let facts = |failed_attempts| FailureFacts {
        waits_since: now(),
        failed_attempts,
        now: now(),
    };
    let seconds = |effect, failed, open: Option<i64>| {
        let open = open.map(|open| now() + TimeDelta::seconds(open));
        (wait_until(effect, 1, facts(failed), open) - now()).as_seconds_f64()
    };
    for _ in 0..200 {
        let first = seconds(JobEffect::Wait, 1, None);
        assert!((0.1..=2.0).contains(&first), "{first}");
        let late = seconds(JobEffect::Wait, 40, None);
        assert!((0.1..=3600.0).contains(&late), "{late}");
        let behind_lane = seconds(JobEffect::Wait, 1, Some(30));
        assert!((30.1..=31.0).contains(&behind_lane), "{behind_lane}");
        let requested_wait = now() + TimeDelta::seconds(100);
        let requested_wait = seconds(JobEffect::WaitUntil(requested_wait), 1, Some(100));
        assert!(
            (100.1..=111.1).contains(&requested_wait),
            "{requested_wait}"
        );
        let lane = seconds(JobEffect::WaitForLane(now()), 1, Some(30));
        assert!((90.0..=330.0).contains(&lane), "{lane}");
        let later = wait_until(JobEffect::WaitForLane(now()), 99, facts(1), None) - now();
        assert!(
            (720.0..=3600.0).contains(&later.as_seconds_f64()),
            "{later}"
        );
    }
}

#[test]
fn waiting_job_names_its_reason_and_uses_no_attempt() {
    let lane = |reason| {
        LlmError::NotAdmitted(NotAdmitted::LaneOpen {
            reason,
            until: now(),
        })
    };
    for (error, code) in [
        (lane("timeout"), "llm_unavailable"),
        (lane("auth"), "llm_stopped"),
        (lane("bad_request"), "llm_stopped"),
        (lane("rate_limited"), "llm_rate_limited"),
        (lane("quota_exhausted"), "llm_quota_exhausted"),
        (LlmError::Auth { status: 401 }, "llm_stopped"),
        (quota(1), "llm_quota_exhausted"),
        (
            LlmError::NotAdmitted(NotAdmitted::OverBudget { until: now() }),
            "llm_over_budget",
        ),
        (
            LlmError::NotAdmitted(NotAdmitted::PriceUnknown { until: now() }),
            "llm_price_unknown",
        ),
    ] {
        let failure = waiting(&error, now());
        assert_eq!(failure.code, code, "{error}");
        let class = queue::FailureClass::RateLimited { until: now() };
        assert_eq!(failure.class, class, "{error}");
    }
}

#[test]
fn job_that_waits_for_its_turn_names_the_model_and_uses_no_attempt() {
    let error = LlmError::NotAdmitted(NotAdmitted::RateReached { until: now() });
    let failure = rate_reached(&error, "model-7", now());
    assert_eq!(failure.code, "llm_rate_reached");
    assert!(failure.message.contains("model-7"), "{}", failure.message);
    let class = queue::FailureClass::RateLimited { until: now() };
    assert_eq!(failure.class, class);
}
