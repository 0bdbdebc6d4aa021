//! Emails arrive while everything that a watch depends on is cut, in an order that a seed gives: none is lost and none is read
//! twice. What arrived is read from the server's own files, not from the code under test.
//!
//! One seed is part of the usual tests; `cargo dev test --full` makes 51 cuts, each of 17 kinds three times. `system` has the processes.

mod system;

use crate::support::dovecot::Dovecot;
use rand::{RngExt as _, SeedableRng, rngs::StdRng, seq::SliceRandom as _};
use std::time::Duration;
use system::WatchedSystem;

/// What is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// All connections to the mail server end, in the middle of whatever happens.
    Connections,
    /// The server says BYE on all of them.
    Goodbye,
    /// A connection ends after some bytes of the server.
    HalfResponse,
    /// The server ran the command, and its response is lost.
    LostResponse,
    /// The server fails at a command.
    Refused,
    /// The processes that serve sessions are killed.
    SessionsKilled,
    ServerRestarted,
    /// The server comes back with other UIDs under another UIDVALIDITY.
    UidsForgotten,
    /// An email is deleted by another program of its user.
    EmailDeleted,
    /// An email is moved to the other folder, which is watched, too.
    EmailMoved,
    WorkerKilled,
    /// While the server's response to its fetch is on the way.
    WorkerKilledOverFetch,
    /// Until another worker has the mailbox; then it goes on.
    WorkerFrozen,
    WorkerStopped,
    LeaseMoved,
    PostgresRestarted,
    PostgresCrashed,
}

const CUTS: [Cut; 17] = [
    Cut::Connections,
    Cut::Goodbye,
    Cut::HalfResponse,
    Cut::LostResponse,
    Cut::Refused,
    Cut::SessionsKilled,
    Cut::ServerRestarted,
    Cut::UidsForgotten,
    Cut::EmailDeleted,
    Cut::EmailMoved,
    Cut::WorkerKilled,
    Cut::WorkerKilledOverFetch,
    Cut::WorkerFrozen,
    Cut::WorkerStopped,
    Cut::LeaseMoved,
    Cut::PostgresRestarted,
    Cut::PostgresCrashed,
];

/// Commands whose response may be lost.
const COMMANDS: [&str; 5] = [
    "BODY.PEEK[]",
    "RFC822.SIZE",
    "SEARCH",
    "EXAMINE",
    "CAPABILITY",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn email_is_read_once_whatever_is_cut() {
    // Each seed makes each cut once.
    let seeds = if std::env::var_os("POSTROOM_FULL").is_some() {
        3
    } else {
        1
    };
    let mut system = WatchedSystem::around(Dovecot::start().await).await;
    let mut cuts = 0;
    for seed in 1..=seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let mut order = CUTS;
        order.shuffle(&mut random);
        for cut in order {
            system.step(&format!("seed {seed}, {cut:?}"));
            make(&mut system, cut, &mut random).await;
            cuts += 1;
            // Now and then the next cut falls into the recovery from this one.
            if random.random_bool(0.7) {
                system.all_read().await;
            }
        }
        system.all_read().await;
        system.judge().await;
    }
    eprintln!(
        "{cuts} cuts, {} emails: 0 lost, 0 twice",
        system.delivered()
    );
}

/// Makes one cut, with emails before, during and after it.
async fn make(system: &mut WatchedSystem, cut: Cut, random: &mut StdRng) {
    system.deliver(random.random_range(1..4), random);
    let wait = Duration::from_millis(random.random_range(0..150));
    tokio::time::timeout(wait, std::future::pending::<()>())
        .await
        .expect_err("only time passes");
    match cut {
        Cut::Connections => system.cutter.cut_all(false),
        Cut::Goodbye => system.cutter.cut_all(true),
        Cut::HalfResponse => {
            system.cutter.cut_within(random.random_range(1..3000));
            system.cut_happens(random).await;
        }
        Cut::LostResponse | Cut::Refused => {
            let command = COMMANDS[random.random_range(0..COMMANDS.len())];
            if cut == Cut::Refused {
                system.cutter.refuse(command);
            } else {
                system.cutter.cut_after(command);
            }
            if command == "CAPABILITY" {
                system.cutter.cut_all(false);
            }
            system.cut_happens(random).await;
        }
        Cut::SessionsKilled => {
            system.dovecot.kill_sessions();
        }
        Cut::ServerRestarted | Cut::UidsForgotten => {
            system.dovecot.stop().await;
            if cut == Cut::UidsForgotten {
                system.dovecot.forget_uids("INBOX");
                system.dovecot.forget_uids("Team");
            }
            system.deliver(1, random);
            system.dovecot.start_again().await;
        }
        Cut::EmailDeleted => system.delete_one(random),
        Cut::EmailMoved => system.move_one(random),
        Cut::WorkerKilled => system.kill_holder().await,
        Cut::WorkerKilledOverFetch => {
            system.cutter.stall_after("BODY.PEEK[]");
            system.cut_happens(random).await;
            system.kill_holder().await;
        }
        Cut::WorkerFrozen => system.freeze_holder(random).await,
        Cut::WorkerStopped => system.stop_holder().await,
        Cut::LeaseMoved => system.end_lease().await,
        Cut::PostgresRestarted => system.cluster.restart().expect("restart Postgres"),
        Cut::PostgresCrashed => {
            system.cluster.kill().expect("crash Postgres");
            system.deliver(1, random);
            system.cluster.restart().expect("start Postgres again");
        }
    }
    system.deliver(random.random_range(1..3), random);
}
