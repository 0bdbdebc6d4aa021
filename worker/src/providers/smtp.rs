//! Sends email by SMTP: [`Smtp`]. An error before the end of the data means that nothing was sent; after the final dot, a
//! missing reply leaves the result unknown. `dialogue` has the protocol, `server_id` what a reply says of the Message-ID.

mod dialogue;
mod server_id;

use super::guard::Guard;
use super::{
    Mailer, OnDeferral, ProviderError,
    imap::line::{Line, Service},
};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dialogue::{Code, Dialogue, DialogueError};
use jobs::domain::{
    connection::{Security, Server},
    effect::RenderedEmail,
    mail::{deliverable, needs_smtputf8},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use server_id::server_id;
use std::time::Duration;

/// Timeout of connecting and of each command. RFC 5321 §4.5.3.2 allows minutes, but a job has five.
const STEP: Duration = Duration::from_secs(30);
/// Timeout of the data and of the reply to the final dot.
const REPLY: Duration = Duration::from_secs(60);

/// The codes of a connection that fails before the first command.
const SERVICE: Service = Service {
    unreachable: "smtp_unreachable",
    tls: "smtp_tls",
    timeout: "smtp_timeout",
};

pub(super) struct Smtp {
    pub(super) server: Server,
    /// The user name and the password; none if the server wants none.
    pub(super) login: Option<(String, SecretString)>,
    /// The name that it greets the server with.
    pub(super) helo_name: String,
    pub(super) guard: Guard,
}

#[async_trait]
impl Mailer for Smtp {
    async fn send(
        &self,
        mail: &RenderedEmail,
        on_deferral: OnDeferral,
    ) -> Result<Value, ProviderError> {
        let mut dialogue = self.open().await?;
        let sent = converse(&mut dialogue, mail, (&self.server.host, on_deferral)).await;
        dialogue.quit().await;
        sent
    }

    async fn check(&self) -> Result<(), ProviderError> {
        self.open().await?.quit().await;
        Ok(())
    }
}

impl Smtp {
    async fn open(&self) -> Result<Dialogue, ProviderError> {
        let line = Line::open(&self.server, self.guard, &SERVICE).await?;
        let mut dialogue = Dialogue::begin(line, &self.helo_name)
            .await
            .map_err(not_sent)?;
        if self.server.security == Security::Starttls {
            if !dialogue.offers("STARTTLS") {
                return Err(ProviderError::Permanent {
                    code: "encryption_not_offered",
                    message: "The server does not offer STARTTLS; nothing was sent.".into(),
                });
            }
            dialogue = dialogue.starttls(&self.server.host).await?;
        }
        if let Some((name, password)) = &self.login
            && !name.is_empty()
        {
            log_in(&mut dialogue, name, password.expose_secret()).await?;
        }
        Ok(dialogue)
    }
}

/// Logs in, unless the server knows no logins: a relay in one's own network takes email without one.
async fn log_in(dialogue: &mut Dialogue, name: &str, password: &str) -> Result<(), ProviderError> {
    let Some(mechanisms) = dialogue.parameters("AUTH") else {
        return Ok(());
    };
    let (plain, login) = (mechanisms.contains(&"PLAIN"), mechanisms.contains(&"LOGIN"));
    let logged_in = if plain {
        let token = STANDARD.encode(format!("\0{name}\0{password}"));
        dialogue.command(&format!("AUTH PLAIN {token}"), 235).await
    } else if login {
        let named = async {
            dialogue.command("AUTH LOGIN", 334).await?;
            dialogue.command(&STANDARD.encode(name), 334).await?;
            dialogue.command(&STANDARD.encode(password), 235).await
        };
        named.await
    } else {
        return Err(ProviderError::Permanent {
            code: "auth_not_supported",
            message: "The mail server offers no log-in by user name and password.".into(),
        });
    };
    match logged_in {
        Ok(_) => Ok(()),
        Err(DialogueError::Refused(code)) if code.is_permanent() => Err(ProviderError::Reauth {
            code: "smtp_auth_refused",
        }),
        Err(fault) => Err(not_sent(fault)),
    }
}

async fn converse(
    dialogue: &mut Dialogue,
    mail: &RenderedEmail,
    (host, on_deferral): (&str, OnDeferral),
) -> Result<Value, ProviderError> {
    let from = address(&mail.from)?;
    let mut parameters = String::new();
    if needs_smtputf8(&from) || mail.recipients.iter().any(|to| needs_smtputf8(to)) {
        if !dialogue.offers("SMTPUTF8") {
            return Err(ProviderError::Permanent {
                code: "smtputf8_not_offered",
                message: "The mail server does not accept addresses with characters beyond ASCII before the @.".into(),
            });
        }
        parameters.push_str(" SMTPUTF8");
    }
    let mail_from = format!("MAIL FROM:<{from}>{parameters}");
    dialogue.command(&mail_from, 250).await.map_err(not_sent)?;
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for recipient in &mail.recipients {
        let rcpt = format!("RCPT TO:<{}>", address(recipient)?);
        match dialogue.command(&rcpt, 250).await {
            Ok(_) => accepted.push(recipient),
            Err(DialogueError::Refused(code)) if is_left_out(code, on_deferral) => {
                refused.push((recipient, code));
            }
            // Nothing is sent yet, so that a retry reaches all recipients.
            Err(other) => return Err(not_sent(other)),
        }
    }
    if accepted.is_empty() {
        let deferral = refused.iter().find(|(_, code)| !code.is_permanent());
        return Err(match deferral {
            Some((_, code)) => not_sent(DialogueError::Refused(*code)),
            None => ProviderError::Permanent {
                code: "recipients_refused",
                message: "The server rejected every recipient.".into(),
            },
        });
    }
    let refused: Vec<Value> = refused
        .into_iter()
        .map(|(recipient, code)| json!({ "address": recipient, "status": code.status() }))
        .collect();
    dialogue.command("DATA", 354).await.map_err(not_sent)?;
    let lost = |detail: &str| ProviderError::Unknown {
        code: "smtp_reply_lost",
        detail: detail.into(),
    };
    match dialogue.data(&mail.bytes).await {
        Ok((code, text)) => {
            let mut receipt = json!({
                "accepted": accepted,
                "refused": refused,
                "code": code.number().to_string(),
            });
            if let Some(id) = server_id(host, &text) {
                receipt["server_message_id"] = id.into();
            }
            Ok(receipt)
        }
        Err(fault @ DialogueError::Refused(_)) => Err(not_sent(fault)),
        Err(DialogueError::Unreadable) => Err(lost("the reply to the data is unreadable")),
        Err(DialogueError::Broken) => {
            Err(lost("the connection ended before the reply to the data"))
        }
        Err(DialogueError::TimedOut) => Err(lost("no reply to the data")),
    }
}

/// Whether the email is sent to the others without the recipient that this code refuses.
fn is_left_out(code: Code, on_deferral: OnDeferral) -> bool {
    match on_deferral {
        OnDeferral::SendNothing => code.is_permanent(),
        OnDeferral::SendToOthers => !code.ends_the_session(),
    }
}

fn address(text: &str) -> Result<String, ProviderError> {
    deliverable(text).ok_or_else(|| ProviderError::Permanent {
        code: "bad_address",
        message: "The email has an invalid address.".into(),
    })
}

/// Classifies a fault before anything was sent.
fn not_sent(fault: DialogueError) -> ProviderError {
    match fault {
        DialogueError::Refused(code) if code.is_permanent() => ProviderError::Permanent {
            code: "smtp_refused",
            message: "The mail server rejected this email.".into(),
        },
        DialogueError::Refused(code) => ProviderError::Retryable {
            code: "smtp_deferred",
            detail: format!("the server returned status {}", code.number()),
        },
        DialogueError::Unreadable | DialogueError::Broken => ProviderError::Retryable {
            code: "smtp_unreachable",
            detail: "the connection failed".into(),
        },
        DialogueError::TimedOut => ProviderError::Retryable {
            code: "smtp_timeout",
            detail: "a command timed out".into(),
        },
    }
}

#[cfg(test)]
mod tests;
