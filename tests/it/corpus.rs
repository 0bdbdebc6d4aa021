//! Every email of the corpus through real processes: each is either refused with a reason or triaged to an end.

use crate::support::{
    TestDb,
    client::Client,
    corpus::{self, Mail},
    eventually,
    system::{Api, Worker},
    wait::SOON,
};
use futures::{StreamExt, stream};
use reqwest::StatusCode;

/// What became of one email.
enum End {
    Refused,
    Triaged,
}

#[tokio::test]
async fn every_email_of_every_shape_reaches_an_end_and_harms_nobody() {
    let db = TestDb::new().await;
    let (mut api, mut worker) = tokio::join!(Api::spawn(&db), Worker::spawn(&db));
    let client = api.sign_in(&db).await;
    let emails = corpus::all();
    let count = emails.len();
    let ends: Vec<End> = stream::iter(emails.into_iter().enumerate())
        .map(|(n, mail)| hand_in(&client, n, mail))
        .buffer_unordered(8)
        .collect()
        .await;
    assert!(api.process.is_running() && worker.process.is_running());
    let triaged = ends
        .iter()
        .filter(|end| matches!(end, End::Triaged))
        .count();
    assert!(
        count >= 250 && triaged * 10 >= count * 9,
        "{triaged} of {count} emails were triaged"
    );
    // What follows from a triage ends, too.
    eventually(SOON, async || {
        match db.one::<i64>("select count(*) from jobs").await {
            0 => Ok(()),
            left => Err(format!("{left} jobs are left behind")),
        }
    })
    .await;
    for log in [api.process.log(), worker.process.log()] {
        assert!(!log.contains("panicked"), "{log}");
    }
    for (process, written) in [
        ("api", api.process.stdout()),
        ("worker", worker.process.stdout()),
    ] {
        assert_eq!(written, "", "{process} writes to stdout");
    }
}

async fn hand_in(client: &Client, n: usize, mail: Mail) -> End {
    let answer = client.submit(&mail.bytes, &format!("corpus-{n}")).await;
    if answer.status == StatusCode::UNPROCESSABLE_ENTITY {
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{}",
            mail.name
        );
        assert!(
            answer.body["code"].is_string(),
            "{}: {}",
            mail.name,
            answer.body
        );
        return End::Refused;
    }
    // 200 when it is a copy of an email that is known already.
    assert!(
        [StatusCode::ACCEPTED, StatusCode::OK].contains(&answer.status),
        "{}: {} {}",
        mail.name,
        answer.status,
        answer.body
    );
    let job = client
        .finished(answer.body["id"].as_str().expect("a job has an id"))
        .await;
    assert_eq!(job["state"], "succeeded", "{}: {job}", mail.name);
    End::Triaged
}
