//! A mail server that stores emails and delivers none: [`SmtpSink`]. Supports the part of RFC 5321 that a client needs, and injects
//! faults for tests.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// A received email.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub from: String,
    pub to: Vec<String>,
    /// Headers and body, dots unstuffed.
    pub text: String,
}

impl Received {
    /// Returns the first header with this name.
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        unfolded.split("\r\n").find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }
}

/// A fault of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkFault {
    /// Rejects every recipient permanently.
    RefuseRecipients,
    /// Defers the email.
    Defer,
    /// Closes the connection in the middle of the data.
    DropInData,
    /// Stores the email and closes the connection before the reply.
    DropReply,
    /// Stores the email and sends no reply; [`SmtpSink::hang_up`] closes the connection.
    Stall,
}

/// A running server; dropping it stops it.
pub struct SmtpSink {
    pub addr: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    received: Mutex<Vec<Received>>,
    faults: Mutex<VecDeque<SinkFault>>,
    /// The required password; none accepts any.
    password: Mutex<Option<String>>,
    /// The reply to an email that is stored; none is the usual one.
    confirmation: Mutex<Option<String>>,
    hang_up: Notify,
}

impl SmtpSink {
    /// Listens on a free port of this machine.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State::default());
        let serving = state.clone();
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = serving.clone();
                // Ignores clients that disconnect.
                open.spawn(async move { drop(converse(stream, &state).await) });
                while open.try_join_next().is_some() {}
            }
        });
        Ok(Self { addr, state, task })
    }

    /// Returns the received emails, oldest first.
    pub fn received(&self) -> Vec<Received> {
        locked(&self.state.received).clone()
    }

    /// Sets the faults of the next connections, one each.
    pub fn misbehave(&self, faults: impl IntoIterator<Item = SinkFault>) {
        locked(&self.state.faults).extend(faults);
    }

    /// Closes one connection that got no reply.
    pub fn hang_up(&self) {
        self.state.hang_up.notify_one();
    }

    /// Replies with this to each email that it stores.
    pub fn confirm_with(&self, reply: &str) {
        *locked(&self.state.confirmation) = Some(reply.to_owned());
    }

    /// Requires this password.
    pub fn demand(&self, password: &str) {
        *locked(&self.state.password) = Some(password.to_owned());
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn converse(stream: TcpStream, state: &State) -> std::io::Result<()> {
    let fault = locked(&state.faults).pop_front();
    let mut line = Line {
        stream: BufReader::new(stream),
    };
    line.say("220 sink ready").await?;
    let (mut from, mut to) = (String::new(), Vec::new());
    while let Some(command) = line.hear().await? {
        let (verb, rest) = command.split_once(' ').unwrap_or((&command, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                line.say("250-sink\r\n250-8BITMIME\r\n250 AUTH PLAIN")
                    .await?;
            }
            "HELO" | "NOOP" => line.say("250 ok").await?,
            "AUTH" if is_let_in(state, rest) => line.say("235 ok").await?,
            "AUTH" => line.say("535 wrong password").await?,
            "MAIL" if fault == Some(SinkFault::Defer) => line.say("451 later").await?,
            "MAIL" => {
                from = path(rest);
                to.clear();
                line.say("250 ok").await?;
            }
            "RCPT" if fault == Some(SinkFault::RefuseRecipients) => {
                line.say("550 no such user").await?;
            }
            "RCPT" => {
                to.push(path(rest));
                line.say("250 ok").await?;
            }
            "DATA" => {
                line.say("354 send the data").await?;
                if fault == Some(SinkFault::DropInData) {
                    let mut some = [0; 8];
                    line.stream.read_exact(&mut some).await?;
                    return Ok(());
                }
                let text = line.data().await?;
                locked(&state.received).push(Received {
                    from: from.clone(),
                    to: to.clone(),
                    text,
                });
                match fault {
                    Some(SinkFault::DropReply) => return Ok(()),
                    Some(SinkFault::Stall) => {
                        state.hang_up.notified().await;
                        return Ok(());
                    }
                    _ => {
                        let reply = locked(&state.confirmation).clone();
                        line.say(reply.as_deref().unwrap_or("250 kept")).await?;
                    }
                }
            }
            "RSET" => {
                to.clear();
                line.say("250 ok").await?;
            }
            "QUIT" => return line.say("221 bye").await,
            _ => line.say("502 not supported").await?,
        }
    }
    Ok(())
}

/// `PLAIN` with an initial response: authorisation, user and password, each after a NUL.
fn is_let_in(state: &State, rest: &str) -> bool {
    let Some(wanted) = locked(&state.password).clone() else {
        return true;
    };
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let given = rest
        .split_once(' ')
        .and_then(|(_, response)| STANDARD.decode(response.trim()).ok());
    given.is_some_and(|given| given.rsplit(|byte| *byte == 0).next() == Some(wanted.as_bytes()))
}

/// `FROM:<a@b.c> SIZE=1` → `a@b.c`.
fn path(rest: &str) -> String {
    let inside = rest
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or_else(String::new, |(path, _)| path.to_owned())
}

struct Line {
    stream: BufReader<TcpStream>,
}

impl Line {
    async fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.stream
            .get_mut()
            .write_all(format!("{text}\r\n").as_bytes())
            .await
    }

    async fn hear(&mut self) -> std::io::Result<Option<String>> {
        let mut text = String::new();
        let read = self.stream.read_line(&mut text).await?;
        Ok((read > 0).then(|| text.trim_end().to_owned()))
    }

    /// Reads up to the line with a single dot.
    async fn data(&mut self) -> std::io::Result<String> {
        let mut mail = String::new();
        loop {
            let mut bytes = Vec::new();
            if self.stream.read_until(b'\n', &mut bytes).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let text = String::from_utf8_lossy(&bytes);
            match text.strip_prefix('.') {
                Some("\r\n" | "\n") => return Ok(mail),
                Some(unstuffed) => mail.push_str(unstuffed),
                None => mail.push_str(&text),
            }
        }
    }
}
