//! The log as read from the tables.

use super::*;
use queue::settle::rescue::rescue;

/// A job with every event: tried again, reported, cancelled while running, retried by a person, cancelled while waiting, retried
/// and discarded, retried and succeeded.
pub(super) async fn eventful() -> Case {
    let case = Case::new().await;
    let lease = case.claim().await;
    assert!(case.report(lease, 0.5, "half").await);
    let delay = Duration::ZERO;
    case.end(lease, Outcome::Retried { delay }).await;
    case.db.execute("update jobs set state = 'available'").await;
    let lease = case.claim().await;
    assert!(case.report(lease, 0.25, "again").await);
    for _ in 0..2 {
        assert_eq!(case.cancel().await, Cancelled::Requested);
    }
    assert!(case.report(lease, 0.75, "nearly").await);
    case.end(lease, Outcome::Cancelled).await;
    case.retry().await;
    assert_eq!(case.cancel().await, Cancelled::Now);
    case.retry().await;
    let lease = case.claim().await;
    case.end(lease, Outcome::Discarded).await;
    case.retry().await;
    let lease = case.claim().await;
    case.end(lease, Outcome::Succeeded { output: json!(1) })
        .await;
    case
}

#[tokio::test]
async fn log_shows_all_events_in_their_order() {
    let case = eventful().await;
    let all = case.all().await;
    assert_eq!(
        lines(&all),
        [
            "0.0.0 created",
            "1.1.0 started",
            "1.2.1 0.5 half",
            "1.3.0 retried",
            "2.1.0 started",
            "2.2.1 0.25 again",
            "2.2.2 cancel requested",
            "2.2.3 0.75 nearly",
            "2.3.0 cancelled",
            "2.4.5 retried",
            "2.4.7 retried",
            "3.1.0 started",
            "3.3.0 discarded",
            "3.4.2 retried",
            "4.1.0 started",
            "4.3.0 succeeded",
            "4.4.1 succeeded, final",
        ]
    );
    assert!(all.is_sorted_by_key(|event| event.at), "{all:?}");
}

#[tokio::test]
async fn reading_after_any_event_returns_exactly_the_rest() {
    let case = eventful().await;
    let all = case.all().await;
    for (place, event) in all.iter().enumerate() {
        let rest = case.read(Some(event.id), 1000).await;
        assert_eq!(rest, all[place + 1..], "after {}", event.id);
    }
    let mut paged = Vec::new();
    while let [event] = &case
        .read(paged.last().map(|event: &Event| event.id), 1)
        .await[..]
    {
        paged.push(event.clone());
    }
    assert_eq!(paged, all);
}

#[tokio::test]
async fn event_keeps_its_id_while_the_job_moves_between_the_tables() {
    let case = Case::new().await;
    let mut seen = case.all().await;
    let mut look = async |case: &Case| {
        let now = case.all().await;
        let (mut before, after) = (lines(&seen), lines(&now));
        let newest = seen.last().map(|event| event.id);
        // Only a final event may disappear: a person retried the job.
        before.retain(|event| !event.ends_with("final"));
        assert!(after.starts_with(&before), "{after:?}\nwas\n{before:?}");
        assert!(now.last().map(|event| event.id) > newest);
        seen = now;
    };
    let lease = case.claim().await;
    look(&case).await;
    assert!(case.report(lease, 0.5, "half").await);
    look(&case).await;
    case.cancel().await;
    look(&case).await;
    case.end(lease, Outcome::Discarded).await;
    look(&case).await;
    case.retry().await;
    look(&case).await;
    case.cancel().await;
    look(&case).await;
    case.retry().await;
    look(&case).await;
    let lease = case.claim().await;
    look(&case).await;
    case.end(lease, Outcome::Succeeded { output: json!(1) })
        .await;
    look(&case).await;
}

#[tokio::test]
async fn log_of_a_poisoned_job_ends_with_its_crash_and_its_discard() {
    let case = Case::new().await;
    case.claim().await;
    case.db
        .execute("update jobs set lease_until = now() - interval '1 s', crashes = 2")
        .await;
    let mut conn = case.db.pool().acquire().await.unwrap();
    assert_eq!(rescue(&mut conn, None, 10).await.unwrap().len(), 1);
    drop(conn);
    assert_eq!(
        lines(&case.all().await),
        [
            "0.0.0 created",
            "1.1.0 started",
            "1.3.0 crashed",
            "1.4.1 discarded, final"
        ]
    );
}

#[tokio::test]
async fn another_tenants_job_has_no_events() {
    let mut case = eventful().await;
    case.tenant = TenantId::new();
    assert!(case.all().await.is_empty());
}
