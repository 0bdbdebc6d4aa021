//! Sends email by SMTP: [`Smtp`]. An error before the end of the data means that nothing was sent; after the final dot, a
//! missing reply leaves the result unknown.

use super::guard::Guard;
use super::{Mailer, Outgoing, ProviderError};
use async_trait::async_trait;
use base::telemetry::chain;
use jobs::domain::connection::{MailSecret, Security, Server};
use lettre::{
    Address,
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::ClientId,
    },
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// Timeout of connecting and of each command. RFC 5321 §4.5.3.2 allows minutes, but a job has five.
const STEP: Duration = Duration::from_secs(30);
/// Timeout of the reply to the final dot.
const REPLY: Duration = Duration::from_secs(60);

pub(super) struct Smtp {
    pub(super) server: Server,
    pub(super) secret: MailSecret,
    pub(super) guard: Guard,
}

#[async_trait]
impl Mailer for Smtp {
    async fn send(&self, mail: &Outgoing) -> Result<Value, ProviderError> {
        let mut line = self.open().await?;
        let sent = converse(&mut line, mail).await;
        // The result does not depend on QUIT.
        drop(timeout(Duration::from_secs(1), line.quit()).await);
        sent
    }

    async fn check(&self) -> Result<(), ProviderError> {
        let mut line = self.open().await?;
        drop(timeout(Duration::from_secs(1), line.quit()).await);
        Ok(())
    }
}

impl Smtp {
    async fn open(&self) -> Result<AsyncSmtpConnection, ProviderError> {
        let Server {
            host,
            port,
            security,
        } = &self.server;
        if *security == Security::None && self.guard == Guard::Public {
            return Err(ProviderError::Permanent {
                code: "encryption_required",
                message: "The connection must be encrypted. Use `tls` or `starttls`.".into(),
            });
        }
        let addrs = self.guard.resolve(host, *port).await?;
        let parameters = || {
            TlsParameters::new(host.clone()).map_err(|error| ProviderError::Retryable {
                code: "smtp_tls",
                detail: chain(&error),
            })
        };
        let wrapped = match security {
            Security::Tls => Some(parameters()?),
            Security::Starttls | Security::None => None,
        };
        let name = ClientId::default();
        let connect =
            AsyncSmtpConnection::connect_tokio1(&addrs[..], Some(STEP), &name, wrapped, None);
        let mut line = step(connect).await?;
        if *security == Security::Starttls {
            if !line.can_starttls() {
                return Err(ProviderError::Permanent {
                    code: "encryption_not_offered",
                    message: "The server does not offer STARTTLS; nothing was sent.".into(),
                });
            }
            step(line.starttls(parameters()?, &name)).await?;
        }
        if !self.secret.username.is_empty() {
            let credentials = Credentials::new(
                self.secret.username.clone(),
                self.secret.password.expose_secret().to_owned(),
            );
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            match timeout(STEP, line.auth(&mechanisms, &credentials)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) if error.is_permanent() || error.is_client() => {
                    return Err(ProviderError::Reauth {
                        code: "smtp_auth_refused",
                    });
                }
                Ok(Err(error)) => return Err(not_sent(&error)),
                Err(_) => return Err(timed_out()),
            }
        }
        Ok(line)
    }
}

async fn converse(line: &mut AsyncSmtpConnection, mail: &Outgoing) -> Result<Value, ProviderError> {
    let from = address(&mail.from)?;
    step(line.command(Mail::new(Some(from), Vec::new()))).await?;
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for recipient in &mail.recipients {
        let to = Rcpt::new(address(recipient)?, Vec::new());
        match step(line.command(to)).await {
            Ok(_) => accepted.push(recipient),
            Err(ProviderError::Permanent { .. }) => refused.push(recipient),
            // Nothing is sent yet, so that a retry reaches all recipients.
            Err(other) => return Err(other),
        }
    }
    if accepted.is_empty() {
        return Err(ProviderError::Permanent {
            code: "recipients_refused",
            message: "The server rejected every recipient.".into(),
        });
    }
    step(line.command(Data)).await?;
    let reply = match timeout(REPLY, line.message(&mail.bytes)).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) if error.is_transient() || error.is_permanent() => {
            return Err(not_sent(&error));
        }
        // Omits the error's text, which quotes an unreadable reply.
        Ok(Err(error)) => {
            return Err(ProviderError::Unknown {
                code: "smtp_reply_lost",
                detail: if error.is_response() {
                    "the reply to the data is unreadable".into()
                } else {
                    "the connection ended before the reply to the data".into()
                },
            });
        }
        Err(_) => {
            return Err(ProviderError::Unknown {
                code: "smtp_reply_lost",
                detail: "no reply to the data".into(),
            });
        }
    };
    Ok(json!({
        "accepted": accepted,
        "refused": refused,
        "code": reply.code().to_string(),
    }))
}

fn address(text: &str) -> Result<Address, ProviderError> {
    text.parse().map_err(|_| ProviderError::Permanent {
        code: "bad_address",
        message: "The email has an invalid address.".into(),
    })
}

/// Runs a step before anything is sent.
async fn step<T>(action: impl Future<Output = Result<T, Error>>) -> Result<T, ProviderError> {
    match timeout(STEP, action).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(not_sent(&error)),
        Err(_) => Err(timed_out()),
    }
}

/// Classifies an error before anything was sent. Omits the server's text, which may quote addresses.
fn not_sent(error: &Error) -> ProviderError {
    if error.is_permanent() {
        return ProviderError::Permanent {
            code: "smtp_refused",
            message: "The mail server rejected this email.".into(),
        };
    }
    let detail = match error.status() {
        Some(status) => format!("the server returned status {status}"),
        None => "the connection failed".into(),
    };
    ProviderError::Retryable {
        code: if error.is_transient() {
            "smtp_deferred"
        } else {
            "smtp_unreachable"
        },
        detail,
    }
}

fn timed_out() -> ProviderError {
    ProviderError::Retryable {
        code: "smtp_timeout",
        detail: "a command timed out".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        net::TcpListener,
    };

    /// Starts a server that accepts an email and answers its end with `last`.
    async fn answering(last: &'static str) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            write.write_all(b"220 ready\r\n").await.unwrap();
            while let Ok(Some(line)) = lines.next_line().await {
                let reply = match line.as_str() {
                    "DATA" => "354 go on\r\n",
                    "." => last,
                    text if text.starts_with("Subject") || text.is_empty() => continue,
                    _ => "250 ok\r\n",
                };
                write.write_all(reply.as_bytes()).await.unwrap();
            }
        });
        port
    }

    #[tokio::test]
    async fn unreadable_reply_leaves_the_result_unknown_and_is_not_quoted() {
        let smtp = Smtp {
            server: Server {
                host: "127.0.0.1".into(),
                port: answering("kept for alice@example.org\r\n").await,
                security: Security::None,
            },
            secret: MailSecret {
                username: String::new(),
                password: String::new().into(),
            },
            guard: Guard::Anywhere,
        };
        let mail = Outgoing {
            from: "me@example.org".into(),
            recipients: vec!["alice@example.org".into()],
            bytes: b"Subject: x\r\n\r\n".to_vec(),
        };
        let error = smtp.send(&mail).await.unwrap_err();
        assert!(matches!(error, ProviderError::Unknown { .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("alice"), "{error:?}");
    }
}
