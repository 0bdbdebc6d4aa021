//! A model of the lease protocol, searched exhaustively: what holds in every order of everything that can happen.
//!
//! The processes of `crash` and `cargo dev chaos` show what a storm happens to hit; the search shows that there is no
//! order of events that hurts, within its bounds: one job (rows share nothing), two workers, leases of two ticks, so many
//! faults. A statement is on its way, lands (atomically, as in Postgres), and its answer is on its way back; each of the
//! three may take any time, and be cut off.
//!
//! | model | code |
//! |---|---|
//! | `Request::Claim` | `queue::claim` (one statement), `queue::runtime::engine::claim_loop` (counts the lease from before it asked) |
//! | `Request::Renew`, `Action::GiveUpLease` | `queue::lease::renew`, `queue::runtime::engine::lease_loop`, `Held::renewed` and `Held::expire` |
//! | `Request::Write` | `queue::lease::hold` and what is written in its transaction |
//! | `Request::Settle` | `queue::settle` with its transaction, `queue::runtime::settle_attempt` (asks again until it is answered) |
//! | `Action::Rescue` | `queue::settle::rescue`, with poison; any worker that is up may be elected |
//! | `Action::Promote` | `queue::claim::promote_due` |
//! | `Action::Restart` | a new process under the name of the old one: `WorkerId` is new, `Identity::life` |
//! | `Action::CrashPostgres` | what was committed stays, what was under way is gone with every answer |
//!
//! Time in Postgres and in workers runs at one speed but is never compared: each side counts its own ticks, as the code
//! does (`now()` there, `Instant` here), so the skew of clocks cannot matter and is not in the model. Not in it either:
//! retries of dead letters by people, which begin a new life of a job.

mod protocol;
mod rules;
mod search;
mod state;

use protocol::Protocol;
use rules::{Guard, RescueBy, Rules};
use search::{Searched, search};
use state::Broken;

/// Faults in one run. Two need ten times as many states, which only an optimised build visits in seconds.
const FAULTS: u8 = if cfg!(debug_assertions) { 1 } else { 2 };

fn check(protocol: &Protocol) -> Result<Searched, Broken> {
    search(protocol).map_err(|found| {
        // The way there, for whoever looks at the output of a failed test.
        for action in &found.trace {
            eprintln!("{action:?}");
        }
        found.broken
    })
}

fn breaks(rules: Rules) -> Broken {
    breaks_at(2, rules)
}

/// A counterexample ends the search, so that more faults may be allowed where one is expected.
fn breaks_at(faults: u8, rules: Rules) -> Broken {
    let protocol = Protocol {
        rules,
        faults,
        writes: rules.write != Rules::OURS.write,
    };
    check(&protocol).expect_err("a broken rule goes unnoticed")
}

#[test]
fn every_order_of_events_keeps_the_promises_of_the_lease() {
    let protocol = Protocol {
        rules: Rules::OURS,
        faults: FAULTS,
        writes: false,
    };
    let searched = check(&protocol).unwrap_or_else(|broken| panic!("{broken:?}"));
    println!("{searched:?}");
    assert!(searched.states > 100_000 && searched.steps > searched.states && searched.ends > 0);
}

#[test]
fn every_order_of_delays_keeps_writes_in_the_middle_of_work_fenced() {
    let protocol = Protocol {
        rules: Rules::OURS,
        faults: FAULTS - 1,
        writes: true,
    };
    let searched = check(&protocol).unwrap_or_else(|broken| panic!("{broken:?}"));
    println!("{searched:?}");
    assert!(searched.states > 10_000 && searched.ends > 0);
}

#[test]
fn settling_by_id_alone_lets_a_ghost_write() {
    let rules = Rules {
        settle: Guard::Running,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::WrittenByStaleAttempt);
}

#[test]
fn settling_whatever_state_the_row_is_in_ends_a_job_twice() {
    let rules = Rules {
        settle: Guard::Nothing,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::EndedTwice);
}

#[test]
fn writing_by_id_alone_lets_a_ghost_write() {
    let rules = Rules {
        write: Guard::Running,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::WrittenByStaleAttempt);
}

#[test]
fn rescue_by_time_alone_takes_a_job_from_a_worker_that_lives() {
    let rules = Rules {
        rescue: RescueBy::Age,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::TwoBelieve);
}

#[test]
fn an_attempt_number_given_back_is_no_fence() {
    let rules = Rules {
        attempts_only_grow: false,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::WrittenByStaleAttempt);
}

#[test]
fn a_heartbeat_for_a_name_keeps_the_job_of_a_dead_namesake_for_ever() {
    let rules = Rules {
        renew: Guard::NameAndRunning,
        ..Rules::OURS
    };
    assert_eq!(breaks_at(1, rules), Broken::NeverEnds);
}

#[test]
fn settling_by_name_lets_the_ghost_of_a_namesake_write() {
    let rules = Rules {
        settle: Guard::NameAndRunning,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::WrittenByStaleAttempt);
}

#[test]
fn renewing_by_id_alone_lets_two_workers_believe() {
    let rules = Rules {
        renew: Guard::Running,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::TwoBelieve);
}

#[test]
fn a_lease_counted_from_its_answer_is_longer_than_it_is() {
    let rules = Rules {
        counts_from_asking: false,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::TwoBelieve);
}

#[test]
fn a_settle_that_forgets_itself_reports_done_work_as_lost() {
    let rules = Rules {
        recognises_its_own: false,
        ..Rules::OURS
    };
    assert_eq!(breaks(rules), Broken::DoneReportedAsLost);
}

#[test]
fn without_a_rescue_a_dead_workers_job_never_ends() {
    let rules = Rules {
        rescue: RescueBy::Nobody,
        ..Rules::OURS
    };
    assert_eq!(breaks_at(1, rules), Broken::NeverEnds);
}
