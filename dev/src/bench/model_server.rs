//! A model server that answers every request after a fixed time: [`ModelServer`]. It remembers how long it held each one.

use super::BenchError;
use serde_json::json;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use uuid::Uuid;

/// An answer to every triage prompt: it proposes nothing.
const VERDICT: &str = r#"{"reasoning":"A person asks for an offer.","disposition":"notify","category":"needs_response","priority":"medium","sla":"<72h","matched_rule":null,"confidence":0.9,"actions":[],"entities":{"people":[],"amounts":[],"dates":[]},"injection_suspected":false}"#;

/// An OpenAI-compatible server on loopback.
pub(super) struct ModelServer {
    pub(super) port: u16,
    held: Arc<Mutex<Requests>>,
}

/// What the server remembers.
#[derive(Default)]
struct Requests {
    /// How long it held each request, by the client's id of it.
    times: HashMap<Uuid, Duration>,
    now: usize,
    /// The most requests at the same time.
    most: usize,
}

impl ModelServer {
    pub(super) async fn start(answers_after: Duration) -> Result<Self, BenchError> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(BenchError::Http)?;
        let port = listener.local_addr().map_err(BenchError::Http)?.port();
        let held = Arc::new(Mutex::new(Requests::default()));
        let shared = held.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A connection that breaks is the client's to report: its request has no time then.
                tokio::spawn(serve(stream, shared.clone(), answers_after));
            }
        });
        Ok(Self { port, held })
    }

    /// Returns how long each request was held, and the most that were held at the same time.
    pub(super) fn times(&self) -> (HashMap<Uuid, Duration>, usize) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        (held.times.clone(), held.most)
    }
}

/// Answers the requests of one connection.
async fn serve(
    mut stream: TcpStream,
    held: Arc<Mutex<Requests>>,
    answers_after: Duration,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let response = response();
    let lock = || held.lock().unwrap_or_else(PoisonError::into_inner);
    let mut read = Vec::with_capacity(16 * 1024);
    loop {
        let (id, length) = loop {
            if let Some(request) = complete(&read) {
                break request;
            }
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        read.drain(..length);
        let arrived = Instant::now();
        {
            let mut held = lock();
            held.now += 1;
            held.most = held.most.max(held.now);
        }
        sleep(answers_after).await;
        {
            let mut held = lock();
            held.now -= 1;
            held.times.extend(id.map(|id| (id, arrived.elapsed())));
        }
        stream.write_all(response.as_bytes()).await?;
    }
}

fn response() -> String {
    let body = json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "bench-1",
        "choices": [{
            "index": 0,
            "finish_reason": "stop",
            "message": { "role": "assistant", "content": VERDICT, "refusal": null },
        }],
        "usage": { "prompt_tokens": 1400, "completion_tokens": 90, "total_tokens": 1490 },
    })
    .to_string();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Returns the id and the length of the first request, once all of it was read.
fn complete(read: &[u8]) -> Option<(Option<Uuid>, usize)> {
    let head = read.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&read[..head]).ok()?;
    let header = |wanted: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
        pairs
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim())
    };
    let body: usize = header("content-length")?.parse().ok()?;
    let length = head + 4 + body;
    let id = header("x-client-request-id").and_then(|id| id.parse().ok());
    (read.len() >= length).then_some((id, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_complete_with_its_body_and_has_its_id() {
        let id = "0198c0de-0000-7000-8000-000000000001";
        let head =
            format!("POST / HTTP/1.1\r\nX-Client-Request-Id: {id}\r\ncontent-length: 2\r\n\r\n");
        assert_eq!(complete(head.as_bytes()), None);
        let whole = format!("{head}{{}}POST");
        let found = complete(whole.as_bytes());
        assert_eq!(found, Some((id.parse().ok(), head.len() + 2)));
    }
}
