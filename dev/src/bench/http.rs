//! Emails submitted over HTTP by 32 clients: [`measure`]. Uses the real API process: each request checks its session, stores its
//! idempotency key, its email and its audit entry.
//!
//! The client fills a template and reads a minimum of the response: on two cores, a full HTTP client would take more time than
//! the API.

use super::bench_cluster::{BenchCluster, BenchDatabase};
use super::report::Finding;
use super::{BenchError, Settings, progress, raw};
use crate::session;
use crate::stack::Service;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

pub(super) const CLIENTS: u32 = 32;

pub(super) async fn measure(
    bench: &BenchCluster,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let (mut ours, mut baseline) = (vec![], vec![]);
    for run in 0..settings.runs {
        let database = bench.new_database().await?;
        raw::prepare(&database).await?;
        ours.push(once(&database, bench, settings.window).await?);
        baseline.push(raw::insert(&database, CLIENTS as usize, settings.window).await?);
        database.clear().await?;
        progress(
            "http",
            run,
            format!("ours {:.0}, bare SQL {:.0}", ours[run], baseline[run]),
        );
    }
    Ok(vec![Finding::new("http", "requests/s", ours).raw(baseline)])
}

async fn once(
    database: &BenchDatabase,
    bench: &BenchCluster,
    window: Duration,
) -> Result<f64, BenchError> {
    let token = session::mint(&database.url).await?.token;
    let (_api, address) = api(database, bench).await?;
    // Opens connections and prepares statements before measuring.
    submit(address, token.expose(), Until::Elapsed(window / 4)).await?;
    let started = Instant::now();
    let done = submit(address, token.expose(), Until::Elapsed(window)).await?;
    Ok(done as f64 / started.elapsed().as_secs_f64())
}

/// Starts the API on this database.
pub(super) async fn api(
    database: &BenchDatabase,
    bench: &BenchCluster,
) -> Result<(Service, SocketAddr), BenchError> {
    let variables = [
        ("DATABASE_URL", database.url.as_str()),
        ("DATABASE_LISTEN_URL", database.url.as_str()),
        ("API_ADDR", "127.0.0.1:0"),
        ("API_OPS_ADDR", "127.0.0.1:0"),
        // The `listening` line has this level, and the log of each request belongs to the measured work.
        ("RUST_LOG", "info"),
    ];
    let mut api = Service::spawn(&bench.places, "postroom-api", &["serve"], &variables)?;
    let address = api.listens("api").await?;
    let ops = api.listens("ops").await?;
    api.is_ready(ops).await?;
    Ok((api, address))
}

/// When the clients stop.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    Elapsed(Duration),
    /// A number of requests per client.
    Done(u64),
    /// A number of requests per client, one `every` so often, the clients in turn.
    Paced {
        count: u64,
        every: Duration,
    },
}

/// Submits different emails from all clients; returns the number of accepted ones.
pub(super) async fn submit(
    address: SocketAddr,
    token: &str,
    until: Until,
) -> Result<u64, BenchError> {
    let mut clients = JoinSet::new();
    let started = Instant::now();
    for client in 0..CLIENTS {
        let mut connection = TcpStream::connect(address).await.map_err(refused)?;
        connection.set_nodelay(true).map_err(refused)?;
        let token = token.to_owned();
        clients.spawn(async move {
            let mut answer = Vec::with_capacity(4096);
            let mut done = 0;
            let goes_on = |done| match until {
                Until::Elapsed(window) => started.elapsed() < window,
                Until::Done(count) | Until::Paced { count, .. } => done < count,
            };
            while goes_on(done) {
                if let Until::Paced { every, .. } = until {
                    let turn = started + every * client / CLIENTS + every.mul_f64(done as f64);
                    sleep_until(turn.into()).await;
                }
                let request = request(&token, &format!("{}-{client}-{done}", uuid::Uuid::now_v7()));
                connection.write_all(request.as_bytes()).await?;
                read_answer(&mut connection, &mut answer).await?;
                if !answer.starts_with(b"HTTP/1.1 202 ") {
                    let text = String::from_utf8_lossy(&answer).into_owned();
                    return Err(io::Error::other(text));
                }
                done += 1;
            }
            Ok::<u64, io::Error>(done)
        });
    }
    let mut done = 0;
    while let Some(client) = clients.join_next().await {
        done += client.expect("a client does not panic").map_err(refused)?;
    }
    Ok(done)
}

fn refused(source: io::Error) -> BenchError {
    BenchError::Http(source)
}

/// Returns a request with a new email and a new key.
fn request(token: &str, unique: &str) -> String {
    let mail = format!(
        "From: Jo Bench <jo@client.example>\r\nTo: Mira <mira@postroom.example>\r\nSubject: Offer {unique}\r\n\
         Date: Mon, 23 Nov 2026 07:41:02 +0100\r\nMessage-ID: <{unique}@client.example>\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\nHello Mira,\r\n\r\ncan you send the offer until Friday?\r\n\r\nJo\r\n"
    );
    format!(
        "POST /v1/jobs/triage HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
         Idempotency-Key: {unique}\r\nContent-Type: message/rfc822\r\nContent-Length: {}\r\n\r\n{mail}",
        mail.len()
    )
}

/// Reads one response with its body.
async fn read_answer(connection: &mut TcpStream, answer: &mut Vec<u8>) -> io::Result<()> {
    answer.clear();
    loop {
        if connection.read_buf(answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if whole_length(answer).is_some_and(|length| answer.len() >= length) {
            return Ok(());
        }
    }
}

/// Returns the length of head and body, once the head is complete.
fn whole_length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&answer[..head]).ok()?;
    let body = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    Some(head + 4 + body.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_is_complete_with_its_body() {
        let head = "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(whole_length(head.as_bytes()), Some(head.len() + 2));
        assert_eq!(whole_length(b"HTTP/1.1 202 Accepted\r\nconte"), None);
    }

    #[test]
    fn requests_have_different_emails() {
        let (one, two) = (request("t", "a-1"), request("t", "a-2"));
        let body = |request: &str| request.split_once("\r\n\r\n").unwrap().1.to_owned();
        assert_ne!(body(&one), body(&two));
        assert!(one.contains(&format!("Content-Length: {}\r\n", body(&one).len())));
    }
}
