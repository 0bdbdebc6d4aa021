//! What waits for a person after the samples, and with `--approve` what came of agreeing to all of it: [`show`].

use crate::client::{Client, ClientError};
use crate::say;
use crate::smtp_sink::SmtpSink;
use crate::table::RULED_HEADER;
use comfy_table::Table;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// For the jobs that follow the samples, and for each approval.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// As many as one page holds.
const MOST: usize = 200;

/// What is done in a mailbox: the sink has none.
const IN_MAILBOX: [&str; 8] = [
    "label",
    "unlabel",
    "mark_read",
    "star",
    "archive",
    "move",
    "trash",
    "spam",
];

/// Connects the developer's mail account to the sink, in the place of the one of an earlier run.
///
/// # Errors
/// When the API refuses or cannot be reached.
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

/// Lists what waits for a person. With `approve` it agrees to all of it, waits for what becomes of it, and shows which
/// mails have arrived.
///
/// # Errors
/// When the API refuses or cannot be reached.
pub async fn show(client: &Client, sink: &SmtpSink, approve: bool) -> Result<(), ClientError> {
    settled(client).await?;
    let waiting = client
        .get(&format!("/v1/approvals?status=proposed&limit={MOST}"))
        .await?;
    let waiting = items(&waiting);
    if waiting.is_empty() {
        say::line("Nothing waits for a person.");
        return Ok(());
    }
    let before = sink.received().len();
    let mut table = Table::new();
    table.load_style(RULED_HEADER);
    table.set_header(["approval", "what", "about", "risk", "became"]);
    for approval in &waiting {
        let in_mailbox = approval["kind"]
            .as_str()
            .is_some_and(|kind| IN_MAILBOX.contains(&kind));
        let became = match (approve, in_mailbox) {
            (true, false) => agree(client, approval).await?,
            (true, true) => "waits: the sample account has no mailbox (`imap`)".to_owned(),
            (false, _) => "waits".to_owned(),
        };
        let text = |field: &str| approval[field].as_str().unwrap_or_default().to_owned();
        let about: String = text("summary").chars().take(50).collect();
        table.add_row([text("id"), text("title"), about, text("risk"), became]);
    }
    say::line(table);
    if approve {
        for mail in &sink.received()[before..] {
            let header = |name| mail.header(name).unwrap_or_default();
            say::line(format!(
                "The mail server received: {} → {}: {} ({})",
                mail.from,
                mail.to.join(", "),
                header("subject"),
                header("message-id"),
            ));
        }
    } else {
        say::line(format!(
            "{} approvals wait for a person; `cargo dev up --approve` agrees to all of them.",
            waiting.len()
        ));
    }
    Ok(())
}

/// Waits until the jobs that followed the samples have ended.
async fn settled(client: &Client) -> Result<(), ClientError> {
    let deadline = Instant::now() + PATIENCE;
    for state in ["available", "running", "retryable"] {
        loop {
            let page = client
                .get(&format!("/v1/jobs?state={state}&limit=1"))
                .await?;
            if items(&page).is_empty() || Instant::now() > deadline {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    Ok(())
}

/// Agrees, and tells what the approval became.
async fn agree(client: &Client, approval: &Value) -> Result<String, ClientError> {
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
        // What this version only proposes is a person's to do.
        Err(ClientError::Refused { status, .. }) if status == StatusCode::CONFLICT => {
            return Ok("is yours to do".to_owned());
        }
        Err(error) => return Err(error),
    }
    let deadline = Instant::now() + PATIENCE;
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
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn items(page: &Value) -> Vec<Value> {
    page["items"].as_array().cloned().unwrap_or_default()
}
