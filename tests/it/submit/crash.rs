//! Clients that leave and processes that die: whatever was committed is whole, and a repeat finds it.

use super::mail;
use crate::support::{
    Client, TestDb, eventually,
    system::{Api, TestApi},
    wait::SOON,
};
use futures::{StreamExt, stream};
use std::collections::BTreeMap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const CLIENTS: usize = 1000;

/// How far a client gets before it leaves.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    InTheHead,
    InTheBody,
    AfterTheBody,
    /// Reads the answer's head and no more.
    InTheAnswer,
    /// Reads all of it: the job was acknowledged.
    Afterwards,
}

/// Submits an email over a connection of its own and leaves; the job that was acknowledged, if any.
async fn visit(api: &TestApi, client: &Client, n: usize, leaves: Leaves) -> Option<String> {
    let body = mail(&format!("Visit {n}"));
    let head = format!(
        "POST /v1/jobs/triage HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {}\r\n\
         Content-Type: message/rfc822\r\nContent-Length: {}\r\nIdempotency-Key: visit-{n}\r\n\r\n",
        client.authorization(),
        body.len()
    );
    let mut stream = TcpStream::connect(api.addr).await.unwrap();
    // An abrupt end: a reset instead of a goodbye, so that nothing is answered into a half-closed connection.
    stream.set_zero_linger().unwrap();
    let whole = [head.as_bytes(), &body].concat();
    let sent = match leaves {
        Leaves::InTheHead => head.len() / 2,
        Leaves::InTheBody => head.len() + body.len() / 2,
        Leaves::AfterTheBody | Leaves::InTheAnswer | Leaves::Afterwards => whole.len(),
    };
    stream.write_all(&whole[..sent]).await.unwrap();
    match leaves {
        Leaves::InTheHead | Leaves::InTheBody => None,
        Leaves::AfterTheBody => {
            // Some leave while the transaction runs.
            tokio::task::yield_now().await;
            None
        }
        Leaves::InTheAnswer => {
            let mut start = [0; 12];
            stream.read_exact(&mut start).await.unwrap();
            assert_eq!(&start, b"HTTP/1.1 202");
            None
        }
        Leaves::Afterwards => {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
            Some(body.to_owned())
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousand_clients_that_leave_lose_nothing_that_was_written() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let ways = [
        Leaves::InTheHead,
        Leaves::InTheBody,
        Leaves::AfterTheBody,
        Leaves::AfterTheBody,
        Leaves::InTheAnswer,
        Leaves::Afterwards,
    ];
    let acknowledged: BTreeMap<usize, String> = stream::iter(0..CLIENTS)
        .map(|n| {
            let (api, client) = (&api, &client);
            async move { Some((n, visit(api, client, n, ways[n % ways.len()]).await?)) }
        })
        .buffer_unordered(100)
        .filter_map(async |visit| visit)
        .collect()
        .await;
    eventually(SOON, async || {
        let (tasks, requests) = (
            api.app.tracker.len(),
            api.app.metrics.http_requests_in_flight.get(),
        );
        (tasks == 0 && requests == 0)
            .then_some(())
            .ok_or_else(|| format!("{tasks} tasks and {requests} requests go on"))
    })
    .await;
    assert!(acknowledged.len() >= CLIENTS / ways.len());

    // Whole or not at all: each key has its answer, job, mail and audit entry.
    let keys = db.one::<i64>("select count(*) from request_keys").await;
    assert!(usize::try_from(keys).unwrap() >= acknowledged.len());
    let whole: i64 = db
        .one(
            "select count(*) from request_keys k
             join jobs j on j.id::text = convert_from(k.body, 'utf8')::jsonb->>'id'
             join messages m on m.id::text = j.args->>'message_id'
             join audit_entries a on a.resource_id = j.id::text and a.action = 'job.submitted'
             where k.status = 202",
        )
        .await;
    let jobs = db.one::<i64>("select count(*) from jobs").await;
    let messages = db.one::<i64>("select count(*) from messages").await;
    assert_eq!((whole, jobs, messages), (keys, keys, keys));

    // A retried request gets the promised answer, and no second job is made.
    let again = stream::iter(0..CLIENTS)
        .map(|n| {
            let client = &client;
            async move {
                (
                    n,
                    client
                        .submit(&mail(&format!("Visit {n}")), &format!("visit-{n}"))
                        .await,
                )
            }
        })
        .buffer_unordered(50)
        .collect::<Vec<_>>()
        .await;
    for (n, answer) in again {
        assert_eq!(answer.status, 202, "{n}: {}", answer.text);
        if let Some(body) = acknowledged.get(&n) {
            assert_eq!(&answer.text, body, "{n}");
        }
    }
    let jobs = db.one::<i64>("select count(*) from jobs").await;
    assert_eq!(usize::try_from(jobs).unwrap(), CLIENTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_killed_between_claim_and_commit_leaves_the_key_to_the_next_try() {
    let db = TestDb::new().await;
    let mut api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    // The key is claimed; the job's own key waits for this lock.
    let mut tx = db.pool().begin().await.unwrap();
    sqlx::raw_sql("lock table job_keys in exclusive mode")
        .execute(&mut *tx)
        .await
        .unwrap();
    let request = client.submission(&mail("Killed"), "k").send();
    let request = tokio::spawn(request);
    eventually(SOON, async || {
        let waits: bool = db
            .one("select exists(select from pg_stat_activity where query like 'insert into job_keys%' and wait_event_type = 'Lock')")
            .await;
        waits.then_some(()).ok_or_else(|| "the API has not come so far".to_owned())
    })
    .await;
    api.process.kill();
    assert!(request.await.unwrap().is_err(), "nobody was answered");
    tx.rollback().await.unwrap();

    let next = Api::spawn(&db).await;
    let client = client.at(next.addr);
    let answer = client.submit(&mail("Killed"), "k").await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.header("idempotent-replayed"), None);
    let replay = client.submit(&mail("Killed"), "k").await;
    assert_eq!((replay.text, replay.status), (answer.text, answer.status));
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 1);
}
