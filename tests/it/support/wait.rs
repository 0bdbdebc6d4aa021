//! Waiting for a condition with a deadline: the only place where the tests sleep.

use super::TestDb;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Long enough for a busy two-core machine, short enough to be read as a failure: the deadline of conditions that
/// state no promise about time.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Looks at `condition` until it yields a value, and returns that value.
///
/// The error of the last look is part of the panic: a condition that fails says why.
///
/// # Panics
/// When the deadline passes first.
#[track_caller]
pub(crate) fn eventually<T, F>(deadline: Duration, condition: F) -> impl Future<Output = T>
where
    F: AsyncFnMut() -> Result<T, String>,
{
    let caller = std::panic::Location::caller();
    wait(deadline, condition, caller)
}

/// Waits until a statement on this database waits for a lock, which the test holds.
pub(crate) async fn statement_waits(db: &TestDb) {
    eventually(SOON, async || {
        let waiting: i64 = db
            .one("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
            .await;
        (waiting > 0)
            .then_some(())
            .ok_or_else(|| "nothing waits for a lock".to_owned())
    })
    .await;
}

async fn wait<T>(
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> Result<T, String>,
    caller: &'static std::panic::Location<'static>,
) -> T {
    let started = Instant::now();
    loop {
        let why = match condition().await {
            Ok(value) => return value,
            Err(why) => why,
        };
        assert!(
            started.elapsed() < deadline,
            "{caller}: still not so after {deadline:?}: {why}"
        );
        tokio::time::sleep(INTERVAL).await;
    }
}

#[tokio::test]
async fn condition_is_looked_at_until_it_holds() {
    let mut looks = 0;
    let seen = eventually(SOON, async || {
        looks += 1;
        if looks == 3 {
            Ok(looks)
        } else {
            Err(format!("look {looks}"))
        }
    })
    .await;
    assert_eq!(seen, 3);
}

#[tokio::test]
#[should_panic(expected = "still not so after 1ms: the reason")]
async fn condition_that_never_holds_fails_with_its_reason() {
    eventually(Duration::from_millis(1), async || {
        Err::<(), _>("the reason".to_owned())
    })
    .await;
}
