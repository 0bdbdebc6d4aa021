//! Each check that lists words allows exactly those of its enum: [`enums`] is the table.
//!
//! A new check needs its line here, and so does a new enum that a column holds.

use crate::support::TestDb;
use base::WorkerId;
use jobs::{
    domain::{
        Actor, ApiKeyId, AuditOutcome, UserId, approval,
        blocks::{self, BlockKind, BlockSource},
        connection,
        corrections::CorrectionKind,
        draft::{Confidence, DraftMode, DraftStatus, Origin, Tone},
        effect::{EffectStatus, UnknownSends},
        follow_up::{FollowUpStatus, Reminder},
        gate::{Gate, TrustMode},
        inbox,
        judgement::{Category, Disposition, Priority, Sla, Source, ThreadStatus},
        llm::{Billing, BudgetPeriod, OnOutage, Tier},
        mail::MailFormat,
        memory,
        risk::Risk,
        session::{AuthMethod, RevokeReason, Role},
        subscription::SubscriptionStatus,
        tasks::Progress,
        tenant::{TenantStatus, UserStatus},
    },
    kinds::triage::Mode,
    store::llm_batch_items::ItemState,
};
use queue::{JobState, Outcome, operate::limits::Scope};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

type Words = BTreeSet<String>;

fn words<T: Copy>(all: &[T], word: impl Fn(T) -> &'static str) -> Words {
    all.iter().map(|item| word(*item).to_owned()).collect()
}

/// The words that a job in the hot table, or out of it, can have as its state.
fn job_states(terminal: bool) -> Words {
    let states = JobState::ALL.iter().copied();
    let states: Vec<_> = states
        .filter(|state| state.is_terminal() == terminal)
        .collect();
    words(&states, JobState::as_str)
}

/// How an attempt ends without success. `crashed` is no outcome of a worker: rescue writes it for one that died.
fn attempt_outcomes() -> Words {
    let outcomes = [
        Outcome::Retried {
            delay: Duration::ZERO,
        },
        Outcome::Snoozed {
            until: chrono::DateTime::UNIX_EPOCH,
        },
        Outcome::Waiting { children: 0 },
        Outcome::Interrupted,
        Outcome::Discarded,
        Outcome::Cancelled,
    ];
    let mut words: Words = outcomes
        .iter()
        .map(|outcome| outcome.as_str().to_owned())
        .collect();
    words.insert("crashed".to_owned());
    words
}

/// How a draft came to be. `revise` asks for a version of a draft that exists.
fn draft_modes() -> Words {
    let modes = DraftMode::ALL.iter().copied();
    let modes: Vec<_> = modes.filter(|mode| *mode != DraftMode::Revise).collect();
    words(&modes, DraftMode::as_str)
}

fn actor_kinds() -> Words {
    let user = Actor::User {
        user: UserId::new(),
        session: None,
    };
    let actors = [
        user,
        Actor::ApiKey(ApiKeyId::new()),
        Actor::Anonymous,
        Actor::Worker(WorkerId::new()),
        Actor::System,
        Actor::Cli,
    ];
    words(&actors, Actor::kind)
}

/// What a message that is read may write into the memory, and whose word anything else needs.
fn memory_without_and_with_a_user() -> Words {
    use memory::{Level, Provenance};
    let levels = words(&[Level::Episodic, Level::Narrative], Level::as_str);
    let users = words(
        &[Provenance::User, Provenance::UserEdit],
        Provenance::as_str,
    );
    levels.union(&users).cloned().collect()
}

/// How a stored session was opened; a request with a key stores none.
fn stored_auth_methods() -> Words {
    let mut methods = words(AuthMethod::ALL, AuthMethod::as_str);
    methods.remove(AuthMethod::ApiKey.as_str());
    methods
}

/// The words of each check constraint, by its name.
fn enums() -> BTreeMap<&'static str, Words> {
    let priority = || words(Priority::ALL, Priority::as_str);
    let risk = || words(Risk::ALL, Risk::as_str);
    let role = || words(Role::ALL, Role::as_str);
    let progress = || words(Progress::ALL, Progress::as_str);
    BTreeMap::from([
        // 0001_queue
        ("jobs_check", job_states(false)),
        ("finished_jobs_state_check", job_states(true)),
        ("job_attempts_outcome_check", attempt_outcomes()),
        // The queue's statements write these words; every other event is derived.
        (
            "job_events_kind_check",
            words(&["progress", "cancel_requested", "retried"], |word| word),
        ),
        ("queue_limits_scope_check", words(Scope::ALL, Scope::as_str)),
        // 0002_people_and_access
        (
            "tenants_on_outage_check",
            words(OnOutage::ALL, OnOutage::as_str),
        ),
        (
            "tenants_status_check",
            words(TenantStatus::ALL, TenantStatus::as_str),
        ),
        (
            "tenants_trust_mode_check",
            words(TrustMode::ALL, TrustMode::as_str),
        ),
        (
            "tenants_unknown_sends_check",
            words(UnknownSends::ALL, UnknownSends::as_str),
        ),
        (
            "users_follow_up_check",
            words(Reminder::ALL, Reminder::as_str),
        ),
        ("users_role_check", role()),
        (
            "users_status_check",
            words(UserStatus::ALL, UserStatus::as_str),
        ),
        ("invites_role_check", role()),
        ("sessions_auth_method_check", stored_auth_methods()),
        (
            "sessions_revoke_reason_check",
            words(RevokeReason::ALL, RevokeReason::as_str),
        ),
        // 0003_audit
        ("audit_entries_actor_kind_check", actor_kinds()),
        (
            "audit_entries_outcome_check",
            words(AuditOutcome::ALL, AuditOutcome::as_str),
        ),
        // 0004_mailboxes_and_messages
        (
            "connections_provider_check",
            words(connection::Provider::ALL, connection::Provider::as_str),
        ),
        (
            "connections_status_check",
            words(
                connection::ConnectionStatus::ALL,
                connection::ConnectionStatus::as_str,
            ),
        ),
        (
            "subscriptions_status_check",
            words(SubscriptionStatus::ALL, SubscriptionStatus::as_str),
        ),
        (
            "messages_format_check",
            words(MailFormat::ALL, MailFormat::as_str),
        ),
        // 0005_triage_and_approvals
        ("triage_results_mode_check", words(&Mode::ALL, Mode::as_str)),
        (
            "triage_results_category_check",
            words(Category::ALL, Category::as_str),
        ),
        (
            "triage_results_disposition_check",
            words(Disposition::ALL, Disposition::as_str),
        ),
        ("triage_results_priority_check", priority()),
        ("triage_results_sla_check", words(Sla::ALL, Sla::as_str)),
        (
            "triage_results_source_check",
            words(Source::ALL, Source::as_str),
        ),
        (
            "triage_results_thread_status_check",
            words(ThreadStatus::ALL, ThreadStatus::as_str),
        ),
        ("approvals_risk_check", risk()),
        (
            "approvals_status_check",
            words(approval::Status::ALL, approval::Status::as_str),
        ),
        ("proposed_actions_risk_check", risk()),
        (
            "proposed_actions_gate_check",
            words(Gate::ALL, Gate::as_str),
        ),
        (
            "judgement_corrections_kind_check",
            words(CorrectionKind::ALL, CorrectionKind::as_str),
        ),
        // 0006_drafts_and_effects
        ("drafts_mode_check", draft_modes()),
        (
            "drafts_status_check",
            words(DraftStatus::ALL, DraftStatus::as_str),
        ),
        (
            "draft_versions_origin_check",
            words(Origin::ALL, Origin::as_str),
        ),
        ("draft_versions_tone_check", words(Tone::ALL, Tone::as_str)),
        (
            "draft_versions_confidence_check",
            words(Confidence::ALL, Confidence::as_str),
        ),
        (
            "effects_status_check",
            words(EffectStatus::ALL, EffectStatus::as_str),
        ),
        // 0007_inbox_and_records
        ("projects_status_check", progress()),
        ("tasks_status_check", progress()),
        ("tasks_priority_check", priority()),
        (
            "inbox_items_source_check",
            words(inbox::ItemSource::ALL, inbox::ItemSource::as_str),
        ),
        ("inbox_items_priority_check", priority()),
        (
            "inbox_items_state_check",
            words(inbox::ItemState::ALL, inbox::ItemState::as_str),
        ),
        (
            "follow_ups_reminder_check",
            words(Reminder::ALL, Reminder::as_str),
        ),
        (
            "follow_ups_status_check",
            words(FollowUpStatus::ALL, FollowUpStatus::as_str),
        ),
        // 0008_blocks_and_memory
        (
            "blocks_kind_check",
            words(BlockKind::ALL, BlockKind::as_str),
        ),
        (
            "blocks_source_check",
            words(BlockSource::ALL, BlockSource::as_str),
        ),
        (
            "blocks_status_check",
            words(blocks::Status::ALL, blocks::Status::as_str),
        ),
        (
            "memory_items_level_check",
            words(memory::Level::ALL, memory::Level::as_str),
        ),
        (
            "memory_items_scope_check",
            words(memory::ScopeKind::ALL, memory::ScopeKind::as_str),
        ),
        (
            "memory_items_provenance_check",
            words(memory::Provenance::ALL, memory::Provenance::as_str),
        ),
        (
            "memory_items_status_check",
            words(memory::Status::ALL, memory::Status::as_str),
        ),
        ("memory_items_poisoning", memory_without_and_with_a_user()),
        // 0009_llm
        ("llm_calls_tier_check", words(Tier::ALL, Tier::as_str)),
        (
            "llm_calls_billing_check",
            words(Billing::ALL, Billing::as_str),
        ),
        (
            "llm_budgets_period_check",
            words(BudgetPeriod::ALL, BudgetPeriod::as_str),
        ),
        (
            "llm_batch_items_state_check",
            words(ItemState::ALL, ItemState::as_str),
        ),
    ])
}

/// The quoted words of a definition, if it is a list: `in (…)`, which Postgres keeps as an array, or as an equality when
/// there is only one word.
fn listed(definition: &str) -> Option<Words> {
    let one = definition
        .strip_prefix("CHECK ((")
        .and_then(|rest| rest.strip_suffix("'::text))"))
        .and_then(|rest| rest.split_once(" = '"))
        .is_some_and(|(column, word)| !column.contains(' ') && !word.contains('\''));
    (one || definition.contains("ANY (ARRAY[")).then(|| {
        let quoted = definition.split('\'').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    })
}

#[tokio::test]
async fn checks_allow_exactly_the_words_of_their_enums() {
    let db = TestDb::new().await;
    let checks: Vec<(String, String)> = sqlx::query_scalar(
        "select jsonb_build_array(conname, pg_get_constraintdef(oid))
         from pg_constraint where contype = 'c' and connamespace = 'public'::regnamespace",
    )
    .fetch_all(db.pool())
    .await
    .unwrap()
    .into_iter()
    .map(|sqlx::types::Json(check)| check)
    .collect();
    let checks: BTreeMap<String, Words> = checks
        .into_iter()
        .filter_map(|(name, definition)| Some((name, listed(&definition)?)))
        .collect();
    let mut enums = enums();
    for (name, words) in &checks {
        let expected = enums.remove(name.as_str());
        let expected = expected.unwrap_or_else(|| panic!("add {name} to the table of enums"));
        assert_eq!(words, &expected, "{name}");
    }
    assert!(enums.is_empty(), "no such check: {:?}", enums.keys());
}

#[test]
fn lists_of_words_are_told_from_other_checks() {
    let list = "CHECK ((state = ANY (ARRAY['a'::text, 'b'::text])))";
    assert_eq!(listed(list), Some(words(&["a", "b"], |word| word)));
    let one = "CHECK ((state = 'a'::text))";
    assert_eq!(listed(one), Some(words(&["a"], |word| word)));
    for other in [
        "CHECK ((length(state) > 0))",
        "CHECK (((scope = 'global'::text) = (scope_value = ''::text)))",
        "CHECK (((status <> 'booked'::text) OR (event_ref IS NOT NULL)))",
    ] {
        assert_eq!(listed(other), None, "{other}");
    }
}
