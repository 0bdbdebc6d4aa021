//! Shows the approvals after the samples and, with `--approve`, approves them and shows the results: [`show`].

use crate::client::{Client, ClientError};
use crate::say;
use crate::smtp_sink::SmtpSink;
use crate::table::RULED_HEADER;
use comfy_table::Table;
use jobs::domain::action::{ActionType, Executor};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Time limit for the follow-up jobs, and for each approval.
const TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The maximum page size.
const PAGE_SIZE: usize = 200;

/// Connects the sample account to the local mail server, replacing that of an earlier run.
///
/// # Errors
/// If the API rejects a request or is unreachable.
pub async fn connect(client: &Client, sink: &SmtpSink, address: &str) -> Result<(), ClientError> {
    let known = client.get("/v1/connections").await?;
    let of_mail = |connection: &&Value| connection["provider"] == "imap_smtp";
    for connection in items(&known).iter().filter(of_mail) {
        if let Some(id) = connection["id"].as_str() {
            client.delete(&format!("/v1/connections/{id}")).await?;
        }
    }
    let account = json!({
        "provider": "imap_smtp",
        "address": address,
        "smtp": { "host": "127.0.0.1", "port": sink.addr.port(), "security": "none" },
        "username": "",
        "password": "",
    });
    client.post("/v1/connections", None, &account).await?;
    Ok(())
}

/// Lists the proposed approvals. With `approve`, approves them, waits for the results, and shows the received emails.
///
/// # Errors
/// If the API rejects a request or is unreachable.
pub async fn show(client: &Client, sink: &SmtpSink, approve: bool) -> Result<(), ClientError> {
    settled(client).await?;
    let waiting = client
        .get(&format!("/v1/approvals?status=proposed&limit={PAGE_SIZE}"))
        .await?;
    let waiting = items(&waiting);
    if waiting.is_empty() {
        say::line("Nothing needs approval.");
        return Ok(());
    }
    let before = sink.received().len();
    let mut table = Table::new();
    table.load_style(RULED_HEADER);
    table.set_header(["approval", "action", "email", "risk", "status"]);
    for approval in &waiting {
        let in_mailbox = approval["kind"]
            .as_str()
            .and_then(ActionType::parse)
            .is_some_and(|kind| matches!(kind.spec().executor, Executor::Mailbox(_)));
        let status = match (approve, in_mailbox) {
            (true, false) => approve_and_wait(client, approval).await?,
            (true, true) => {
                "proposed: needs a mailbox (`imap`), which the sample account does not have"
                    .to_owned()
            }
            (false, _) => "proposed".to_owned(),
        };
        let text = |field: &str| approval[field].as_str().unwrap_or_default().to_owned();
        let subject = approval["message"]["subject"].as_str();
        let about = subject.map_or_else(|| text("summary"), str::to_owned);
        let about: String = about.chars().take(50).collect();
        table.add_row([text("id"), text("title"), about, text("risk"), status]);
    }
    say::line(table);
    if approve {
        for mail in &sink.received()[before..] {
            let header = |name| mail.header(name).unwrap_or_default();
            say::line(format!(
                "The local mail server received: {} → {}: {} ({})",
                mail.from,
                mail.to.join(", "),
                header("subject"),
                header("message-id"),
            ));
        }
    } else {
        say::line(format!(
            "{} actions need approval. To approve them all, run `cargo dev up --approve`.",
            waiting.len()
        ));
    }
    Ok(())
}

/// Waits until the follow-up jobs of the samples have ended.
async fn settled(client: &Client) -> Result<(), ClientError> {
    let deadline = Instant::now() + TIMEOUT;
    for state in ["available", "running", "retryable"] {
        loop {
            let page = client
                .get(&format!("/v1/jobs?state={state}&limit=1"))
                .await?;
            if items(&page).is_empty() || Instant::now() > deadline {
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
    Ok(())
}

/// Approves, waits for the result and returns the status.
async fn approve_and_wait(client: &Client, approval: &Value) -> Result<String, ClientError> {
    let path = format!(
        "/v1/approvals/{}",
        approval["id"].as_str().unwrap_or_default()
    );
    let version = approval["version"].as_i64().unwrap_or_default();
    let body = json!({ "hold_seconds": 0 });
    match client
        .post(&format!("{path}/approve"), Some(version), &body)
        .await
    {
        Ok(_) => {}
        // Decided meanwhile, for example with another approval of the same.
        Err(ClientError::Refused { status, said }) if status == StatusCode::CONFLICT => {
            return Ok(format!("not approved: {said}"));
        }
        Err(error) => return Err(error),
    }
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let found = client.get(&path).await?;
        let status = found["status"].as_str().unwrap_or_default();
        match status {
            "approved" | "executing" if Instant::now() < deadline => {}
            "failed" => {
                let why = found["error"]["message"].as_str().unwrap_or_default();
                return Ok(format!("failed: {why}"));
            }
            _ => return Ok(status.to_owned()),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn items(page: &Value) -> Vec<Value> {
    page["items"].as_array().cloned().unwrap_or_default()
}
