//! An event whose answer nobody heard: the calendar is asked, and it is there once.

use super::{PASSWORD, Radicale, TestApp, approval_in, connected, event};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Passes everything on to the server, but the answers to what begins with `method`: there it hangs up. With `swallow`
/// the question is not passed on, either.
async fn losing_one(server: &str, method: &'static str, swallow: bool) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let addr = server
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let url = server.replace(&addr, &format!("127.0.0.1:{port}"));
    tokio::spawn(async move {
        let mut once = false;
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut question = Vec::new();
            let mut part = [0; 4096];
            while !complete(&question) {
                match near.read(&mut part).await.unwrap() {
                    0 => break,
                    read => question.extend_from_slice(&part[..read]),
                }
            }
            let first = !once && question.starts_with(method.as_bytes());
            once |= first;
            if first && swallow {
                continue;
            }
            let mut far = TcpStream::connect(&addr).await.unwrap();
            far.write_all(&question).await.unwrap();
            let mut answer = Vec::new();
            // Radicale closes after each answer (HTTP/1.0).
            far.read_to_end(&mut answer).await.unwrap();
            if !first {
                near.write_all(&answer).await.unwrap();
            }
        }
    });
    url
}

fn complete(question: &[u8]) -> bool {
    let text = String::from_utf8_lossy(question);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    body.len() >= length.unwrap_or(0)
}

#[tokio::test]
async fn event_whose_answer_was_lost_is_found_and_not_made_twice() {
    for swallow in [false, true] {
        let (app, radicale) = (TestApp::open().await, Radicale::start().await);
        let url = losing_one(&radicale.calendar, "PUT", swallow).await;
        connected(&app, &url, PASSWORD).await;
        let _worker = app.worker().await;
        let approval = app.proposed(&event("Lunch")).await;
        app.agree(&approval).await;
        approval_in(&app.client, &approval, "executed").await;
        let all = radicale.all().await;
        assert_eq!(all.matches("BEGIN:VEVENT").count(), 1, "{all}");
        let effect = app.effect().await;
        assert_eq!(effect["status"], "succeeded", "{effect}");
        assert!(effect["receipt"]["etag"].is_string(), "{effect}");
    }
}

#[tokio::test]
async fn event_that_is_there_already_is_ours_by_its_uid_or_refused() {
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    connected(&app, &radicale.calendar, PASSWORD).await;
    let _worker = app.worker().await;
    let approval = app.proposed(&event("Lunch")).await;
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    // The ledger forgets; the calendar does not.
    app.db.execute("delete from effects").await;
    let again = app.proposed(&event("Lunch")).await;
    app.agree(&again).await;
    approval_in(&app.client, &again, "executed").await;
    assert_eq!(radicale.all().await.matches("BEGIN:VEVENT").count(), 1);
}
