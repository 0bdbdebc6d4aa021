//! A call whose answer nobody heard, because the line broke or the worker died: it is made again, and its receiver can tell.

use super::{TestApp, answering, approval_in, call, header, hooked, received};
use crate::support::{eventually, wait::SOON};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};
use wiremock::{Mock, ResponseTemplate, matchers::any};

/// Hangs up on the first call and takes the others; tells the id of each.
async fn hanging_up_once() -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (sender, calls) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut first = true;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = String::new();
            while !heard.contains("}}") {
                let mut part = [0; 4096];
                let read = stream.read(&mut part).await.unwrap();
                assert_ne!(read, 0, "{heard}");
                heard.push_str(std::str::from_utf8(&part[..read]).unwrap());
            }
            let id = heard
                .lines()
                .find_map(|line| line.strip_prefix("webhook-id: "));
            sender.send(id.unwrap().to_owned()).unwrap();
            if !first {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
            first = false;
        }
    });
    (url, calls)
}

#[tokio::test]
async fn call_whose_answer_is_lost_is_made_again_under_the_same_id() {
    let app = TestApp::open().await;
    let (url, mut calls) = hanging_up_once().await;
    let (connection, _) = hooked(&app, &url).await;
    let _worker = app.worker().await;
    let approval = app.proposed(&call(&connection)).await;
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    let (first, second) = (calls.recv().await.unwrap(), calls.recv().await.unwrap());
    assert_eq!(first, second);
    assert!(calls.try_recv().is_err(), "two calls");
    assert_eq!(app.effect().await["receipt"]["webhook_id"], first);
}

#[tokio::test]
async fn call_that_its_worker_died_over_is_made_again_under_the_same_id() {
    let app = TestApp::open().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    let receiver = answering(slow).await;
    let (connection, _) = hooked(&app, &receiver.uri()).await;
    let mut worker = app.worker().await;
    let approval = app.proposed(&call(&connection)).await;
    app.agree(&approval).await;
    eventually(SOON, async || {
        let calls = app
            .db
            .one::<i64>("select count(*) from effects where status = 'in_flight'")
            .await;
        let heard = received(&receiver).await.len();
        if calls == 1 && heard == 1 {
            Ok(())
        } else {
            Err(format!("{calls} {heard}"))
        }
    })
    .await;
    worker.process.kill();
    let first = header(&received(&receiver).await[0], "webhook-id").to_owned();
    receiver.reset().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200))
        .mount(&receiver)
        .await;
    let _other = app.worker().await;
    approval_in(&app.client, &approval, "executed").await;
    let again = received(&receiver).await;
    assert_eq!(again.len(), 1);
    assert_eq!(header(&again[0], "webhook-id"), first);
}
