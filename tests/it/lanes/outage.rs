//! An outage under 300 emails and 50 drafts discards no job, counts no attempt and leaves no email to a person. In a full run it
//! lasts ten minutes.

use super::*;

const EMAILS: usize = 300;
const DRAFTS: usize = 50;
const ALL: i64 = 350;

#[tokio::test]
async fn outage_under_300_emails_and_50_drafts_costs_time_only() {
    let is_full = std::env::var_os("POSTROOM_FULL").is_some();
    let outage = Duration::from_secs(if is_full { 600 } else { 10 });
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Refuses(503, None)]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let variables = [OFTEN, ("WORKER_SLOTS", "4")];
    let _one = model.worker(&db, &variables).await;
    let _other = model.worker(&db, &variables).await;
    submit_emails(&client, 0..EMAILS).await;
    submit_drafts(&client, DRAFTS).await;
    until_count(
        &db,
        AFTERWARDS,
        "select count(*) from jobs where state = 'scheduled'",
        ALL,
    )
    .await;

    let (started, before) = (Instant::now(), model.calls());
    let mut probed = 0;
    while started.elapsed() < outage {
        probed += 1;
        model.asked(before + probed).await;
    }
    let meanwhile = model.calls() - before;
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
    eprintln!("{meanwhile} requests in {seconds} s of the outage");
    assert!(
        meanwhile <= seconds + 1,
        "{meanwhile} requests in {seconds} s"
    );
    for (sql, wanted) in [
        ("select count(*) from finished_jobs", 0),
        ("select count(*) from triage_results", 0),
        (
            "select count(*) from jobs where errors > 0 or crashes > 0",
            0,
        ),
    ] {
        assert_eq!(db.one::<i64>(sql).await, wanted, "{sql}");
    }

    model.turns_to(Reply::Fits);
    let back = Instant::now();
    let (emails, drafts) = (
        i64::try_from(EMAILS).unwrap(),
        i64::try_from(DRAFTS).unwrap(),
    );
    assert_all_done(&db, emails, drafts).await;
    eprintln!("all done {:?} after it", back.elapsed());
    assert!(
        back.elapsed() < Duration::from_secs(120),
        "{:?}",
        back.elapsed()
    );
}
