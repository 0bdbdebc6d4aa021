//! A model of the lease protocol, searched exhaustively: its properties hold in every order of events.
//!
//! The processes of `crash` and `cargo dev chaos` show the orders of events that a run happens to hit. The search shows that
//! no order breaks the protocol, within its bounds: one job (rows share nothing), two workers, leases of two ticks, and a
//! number of faults. A statement is sent, takes effect (atomically, as in Postgres), and its reply returns; each of the three
//! may take any time or be lost.
//!
//! | model | code |
//! |---|---|
//! | `Request::Claim` | `queue::claim` (one statement), `queue::runtime::loops::claim` (counts the lease from before the request) |
//! | `Request::Renew`, `Action::GiveUpLease` | `queue::lease::renew`, `queue::runtime::loops::lease`, `LeaseTable::renewed` and `LeaseTable::expire` |
//! | `Request::Write` | `queue::lease::lock_if_held` and the writes of its transaction |
//! | `Request::Settle` | `queue::settle` with its transaction, `queue::runtime::settle_attempt` (retries until there is a reply) |
//! | `Action::Rescue` | `queue::settle::rescue`, with poison; any running worker may do it |
//! | `Action::Promote` | `queue::claim::poll` |
//! | `Action::Restart` | a new process under the old name: `WorkerId` is new, `Identity::life` |
//! | `Action::CrashPostgres` | commits stay; statements in flight and replies are lost |
//! | `Action::PromoteStandby` | an asynchronous standby takes over that lacks the last claim, so the next has its number |
//!
//! Time in Postgres and in workers runs at the same speed but is never compared: each side counts its own ticks, as the code
//! does (`now()` and `Instant`), so clock skew has no effect and is not modelled. Retries of dead letters, which start a
//! job anew, are not modelled either.

mod protocol;
mod rules;
mod search;
mod state;

use protocol::Protocol;
use rules::{Guard, RescueBy, Rules};
use search::{Searched, search};
use state::Broken;

/// Faults per run. Two need ten times as many states, which only an optimised build visits in seconds.
const FAULTS: u8 = if cfg!(debug_assertions) { 1 } else { 2 };

fn check(protocol: &Protocol) -> Result<Searched, Broken> {
    search(protocol).map_err(|found| {
        // The counterexample, for the output of a failed test.
        for action in &found.trace {
            eprintln!("{action:?}");
        }
        found.broken
    })
}

fn breaks(rules: Rules) -> Broken {
    breaks_at(2, rules)
}

/// Allows more faults where a counterexample is expected, because that ends the search.
fn breaks_at(faults: u8, rules: Rules) -> Broken {
    let protocol = Protocol {
        rules,
        faults,
        writes: rules.write != Rules::OURS.write,
        promotions: [rules.settle, rules.write].contains(&Guard::AttemptAndRunning),
    };
    check(&protocol).expect_err("a broken rule goes unnoticed")
}

#[test]
fn lease_promises_hold_in_every_order_of_events() {
    let protocol = Protocol {
        rules: Rules::OURS,
        faults: FAULTS,
        writes: false,
        promotions: true,
    };
    let searched = check(&protocol).unwrap_or_else(|broken| panic!("{broken:?}"));
    println!("{searched:?}");
    assert!(searched.states > 100_000 && searched.steps > searched.states && searched.ends > 0);
}

#[test]
fn writes_during_an_attempt_are_fenced_in_every_order_of_delays() {
    let protocol = Protocol {
        rules: Rules::OURS,
        faults: FAULTS - 1,
        writes: true,
        promotions: true,
    };
    let searched = check(&protocol).unwrap_or_else(|broken| panic!("{broken:?}"));
    println!("{searched:?}");
    assert!(searched.states > 10_000 && searched.ends > 0);
}

#[test]
fn settle_by_id_alone_lets_a_ghost_write() {
    let rules = Rules {
        settle: Guard::Running,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::WrittenByStaleAttempt);
}

#[test]
fn settle_in_any_state_ends_a_job_twice() {
    let rules = Rules {
        settle: Guard::Nothing,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::EndedTwice);
}

#[test]
fn write_by_id_alone_lets_a_ghost_write() {
    let rules = Rules {
        write: Guard::Running,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::WrittenByStaleAttempt);
}

#[test]
fn rescue_by_time_alone_takes_a_job_from_a_live_worker() {
    let rules = Rules {
        rescue: RescueBy::Age,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::TwoBelieve);
}

#[test]
fn attempt_number_that_is_reused_is_no_fence() {
    let rules = Rules {
        attempts_only_grow: false,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::WrittenByStaleAttempt);
}

#[test]
fn attempt_without_its_worker_is_no_fence_after_a_standby_was_promoted() {
    let rules = Rules {
        settle: Guard::AttemptAndRunning,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::WrittenByStaleAttempt);
    let rules = Rules {
        write: Guard::AttemptAndRunning,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::WrittenByStaleAttempt);
}

#[test]
fn heartbeat_by_worker_name_keeps_the_job_of_a_dead_namesake() {
    let rules = Rules {
        renew: Guard::NameAndRunning,
        ..Rules::OURS
    };
    assert_eq!(breaks_at(1, rules), Broken::NeverEnds);
}

#[test]
fn settle_by_worker_name_lets_the_ghost_of_a_namesake_write() {
    let rules = Rules {
        settle: Guard::NameAndRunning,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::WrittenByStaleAttempt);
}

#[test]
fn renewal_by_id_alone_gives_two_workers_the_lease() {
    let rules = Rules {
        renew: Guard::Running,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::TwoBelieve);
}

#[test]
fn lease_counted_from_its_reply_is_too_long() {
    let rules = Rules {
        counts_from_asking: false,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::TwoBelieve);
}

#[test]
fn settle_that_does_not_recognise_itself_reports_done_work_as_lost() {
    let rules = Rules {
        recognises_its_own: false,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::DoneReportedAsLost);
}

#[test]
fn job_of_a_dead_worker_never_ends_without_a_rescue() {
    let rules = Rules {
        rescue: RescueBy::Nobody,
        ..Rules::OURS
    };
    assert_eq!(breaks_at(1, rules), Broken::NeverEnds);
}
